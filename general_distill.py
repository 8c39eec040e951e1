"""Trains a small model on raw text to have a large one's attention and hidden states (TinyBERT).

Code: albert_zh/commands/general_distill.py
"""

from albert_zh.commands.general_distill import *  # noqa: F403  (names that other programs import)
from albert_zh.commands.general_distill import main

if __name__ == "__main__":
    main()
