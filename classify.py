"""Classifies texts or text pairs with a fine-tuned model: classes, several labels or values.

Code: albert_zh/commands/classify.py
"""

from albert_zh.commands.classify import *  # noqa: F403  (names that other programs import)
from albert_zh.commands.classify import main

if __name__ == "__main__":
    main()
