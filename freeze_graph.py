"""Makes a frozen graph of a checkpoint and its .meta file: the old command, as it was typed.

Code: albert_zh/commands/freeze_graph.py
"""

from albert_zh.commands.freeze_graph import *  # noqa: F403  (names that other programs import)
from albert_zh.commands.freeze_graph import main

if __name__ == "__main__":
    main()
