"""Predicts how probably two sentences mean the same, with a fine-tuned sentence-pair model.

Code: albert_zh/commands/similarity.py
"""

from albert_zh.commands.similarity import *  # noqa: F403  (names that other programs import)
from albert_zh.commands.similarity import main

if __name__ == "__main__":
    main()
