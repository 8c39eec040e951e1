"""Fine-tunes an encoder to write texts from texts: titles, replies, any sequence to sequence.

Code: albert_zh/commands/run_seq2seq.py
"""

from albert_zh.commands.run_seq2seq import *  # noqa: F403  (names that other programs import)
from albert_zh.commands.run_seq2seq import main

if __name__ == "__main__":
    main()
