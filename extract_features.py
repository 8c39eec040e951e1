"""Computes sentence or token vectors with any checkpoint's encoder, in input order.

Code: albert_zh/commands/extract_features.py
"""

from albert_zh.commands.extract_features import *  # noqa: F403  (names that other programs import)
from albert_zh.commands.extract_features import main

if __name__ == "__main__":
    main()
