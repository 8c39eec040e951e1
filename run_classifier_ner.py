"""Labels entities under the name that NEZHA's script has: an alias of run_seq_labelling.py.

Code: albert_zh/commands/run_classifier_ner.py
"""

from albert_zh.commands.run_classifier_ner import *  # noqa: F403  (names that other programs import)
from albert_zh.commands.run_classifier_ner import main

if __name__ == "__main__":
    main()
