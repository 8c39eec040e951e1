"""Runs run_classifier.py with the flags of Google's ALBERT script of the same name.

Code: albert_zh/commands/run_classifier_sp_google.py
"""

from albert_zh.commands.run_classifier_sp_google import *  # noqa: F403  (names that other programs import)
from albert_zh.commands.run_classifier_sp_google import __getattr__, main

FLAGS = __getattr__("FLAGS")  # defined by the import, as the original defines its flags

if __name__ == "__main__":
    main()
