"""Augments a task's training data by replacing words (TinyBERT's data augmentation, for Chinese).

Code: albert_zh/commands/data_augmentation.py
"""

from albert_zh.commands.data_augmentation import *  # noqa: F403  (names that others import)
from albert_zh.commands.data_augmentation import main

if __name__ == "__main__":
    main()
