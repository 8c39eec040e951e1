"""Creates a frozen graph from a checkpoint and its .meta file, like TensorFlow 1's freeze_graph.

Code: albert_zh/commands/freeze_graph.py
"""

from albert_zh.commands.freeze_graph import *  # noqa: F403  (names that other programs import)
from albert_zh.commands.freeze_graph import main

if __name__ == "__main__":
    main()
