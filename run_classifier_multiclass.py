"""Fine-tunes a classifier on your own data: texts or pairs, with labels of any kind.

Code: albert_zh/commands/run_classifier_multiclass.py
"""

from albert_zh.commands.run_classifier_multiclass import *  # noqa: F403  (names that other programs import)
from albert_zh.commands.run_classifier_multiclass import __getattr__, main

FLAGS = __getattr__("FLAGS")  # defined by the import, as the original defines its flags

if __name__ == "__main__":
    main()
