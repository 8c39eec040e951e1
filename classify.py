"""Classifies texts with a fine-tuned model of any kind: classes, several labels, values; or pairs.

Code: albert_zh/commands/classify.py
"""

from albert_zh.commands.classify import *  # noqa: F403  (names that other programs import)
from albert_zh.commands.classify import main

if __name__ == "__main__":
    main()
