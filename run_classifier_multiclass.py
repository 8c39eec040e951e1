"""Fine-tunes a classifier on a folder of one's own: texts or pairs, labels of any kind.

Code: albert_zh/commands/run_classifier_multiclass.py
"""

from albert_zh.commands.run_classifier_multiclass import *  # noqa: F403  (names that other programs import)
from albert_zh.commands.run_classifier_multiclass import __getattr__, main  # noqa: F401  (FLAGS)

if __name__ == "__main__":
    main()
