"""Generates texts from texts with a model of run_seq2seq.py, as JSON lines.

Code: albert_zh/commands/generate.py
"""

from albert_zh.commands.generate import *  # noqa: F403  (names that other programs import)
from albert_zh.commands.generate import main

if __name__ == "__main__":
    main()
