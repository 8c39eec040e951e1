"""Extends a model that was pre-trained on short texts to longer texts, without training.

Code: albert_zh/commands/extend_positions.py
"""

from albert_zh.commands.extend_positions import *  # noqa: F403  (names that other programs import)
from albert_zh.commands.extend_positions import main

if __name__ == "__main__":
    main()
