"""Builds a vocabulary (vocab.txt) from text, and measures how well a vocabulary covers texts.

Code: albert_zh/commands/build_vocab.py
"""

from albert_zh.commands.build_vocab import *  # noqa: F403  (names that other programs import)
from albert_zh.commands.build_vocab import main

if __name__ == "__main__":
    main()
