"""Finds entities or words in texts with a model that run_seq_labelling.py trained.

Code: albert_zh/commands/label.py
"""

from albert_zh.commands.label import *  # noqa: F403  (names that other programs import)
from albert_zh.commands.label import main

if __name__ == "__main__":
    main()
