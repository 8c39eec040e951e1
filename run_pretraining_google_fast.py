"""Pre-trains a model with grouped feed-forward layers, with the name and flags of Google's script.

Code: albert_zh/commands/run_pretraining_google_fast.py
"""

from albert_zh.commands.run_pretraining_google_fast import *  # noqa: F403  (names that other programs import)
from albert_zh.commands.run_pretraining_google_fast import __getattr__, main

FLAGS = __getattr__("FLAGS")  # defined by the import, as the original defines its flags

if __name__ == "__main__":
    main()
