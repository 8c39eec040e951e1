"""Pre-trains a model of any layout on TFRecords, with masked LM and sentence order.

Code: albert_zh/commands/run_pretraining.py
"""

from albert_zh.commands.run_pretraining import *  # noqa: F403  (names that other programs import)
from albert_zh.commands.run_pretraining import __getattr__, main

FLAGS = __getattr__("FLAGS")  # defined by the import, as the original defines its flags

if __name__ == "__main__":
    main()
