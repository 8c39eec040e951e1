"""Shows the records of a pre-training file as readable text, and checks them.

Code: albert_zh/commands/inspect_tfrecord.py
"""

from albert_zh.commands.inspect_tfrecord import *  # noqa: F403  (names that other programs import)
from albert_zh.commands.inspect_tfrecord import main

if __name__ == "__main__":
    main()
