"""Fine-tunes an encoder for text generation: titles, replies, any sequence-to-sequence task.

Code: albert_zh/commands/run_seq2seq.py
"""

from albert_zh.commands.run_seq2seq import *  # noqa: F403  (names that other programs import)
from albert_zh.commands.run_seq2seq import main

if __name__ == "__main__":
    main()
