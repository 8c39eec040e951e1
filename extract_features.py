"""Vectors of sentences or tokens, by any checkpoint's encoder; order kept, memory flat.

Code: albert_zh/commands/extract_features.py
"""

from albert_zh.commands.extract_features import *  # noqa: F403  (names that other programs import)
from albert_zh.commands.extract_features import main

if __name__ == "__main__":
    main()
