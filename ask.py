"""Answers questions with a fine-tuned reader: from a text, a file, or a folder of documents.

Code: albert_zh/commands/ask.py
"""

from albert_zh.commands.ask import *  # noqa: F403  (names that other programs import)
from albert_zh.commands.ask import main

if __name__ == "__main__":
    main()
