"""google's name and flags for pre-training with grouped feed-forward layers.

Code: albert_zh/commands/run_pretraining_google_fast.py
"""

from albert_zh.commands.run_pretraining_google_fast import *  # noqa: F403  (names that other programs import)
from albert_zh.commands.run_pretraining_google_fast import __getattr__, main  # noqa: F401  (FLAGS)

if __name__ == "__main__":
    main()
