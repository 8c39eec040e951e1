"""Creates TFRecords like Google's ALBERT: n-gram masks, random next sentences, SentencePiece.

Code: albert_zh/commands/create_pretraining_data_google.py
"""

from albert_zh.commands.create_pretraining_data_google import *  # noqa: F403  (names that other programs import)
from albert_zh.commands.create_pretraining_data_google import __getattr__, main

FLAGS = __getattr__("FLAGS")  # defined by the import, as the original defines its flags

if __name__ == "__main__":
    main()
