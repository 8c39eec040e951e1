"""Predicts the words at [MASK] with a pre-trained model: a quick check of its weights.

Code: albert_zh/commands/fill_mask.py
"""

from albert_zh.commands.fill_mask import *  # noqa: F403  (names that other programs import)
from albert_zh.commands.fill_mask import main

if __name__ == "__main__":
    main()
