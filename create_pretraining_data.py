"""Creates TFRecords for pre-training from raw text: masked LM and sentence order.

Code: albert_zh/commands/create_pretraining_data.py
"""

from albert_zh.commands.create_pretraining_data import *  # noqa: F403  (names that other programs import)
from albert_zh.commands.create_pretraining_data import __getattr__, main

FLAGS = __getattr__("FLAGS")  # defined by the import, as the original defines its flags

if __name__ == "__main__":
    main()
