"""Fine-tunes a model that finds entities or words in texts, evaluates it and predicts with it.

Code: albert_zh/commands/run_seq_labelling.py
"""

from albert_zh.commands.run_seq_labelling import *  # noqa: F403  (names that other programs import)
from albert_zh.commands.run_seq_labelling import main

if __name__ == "__main__":
    main()
