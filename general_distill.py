"""Distils attention and hidden states of a large model into a small one on raw text (TinyBERT).

Code: albert_zh/commands/general_distill.py
"""

from albert_zh.commands.general_distill import *  # noqa: F403  (names that other programs import)
from albert_zh.commands.general_distill import main

if __name__ == "__main__":
    main()
