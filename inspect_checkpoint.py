"""Describes a checkpoint: layout, matching config, parameters, size and step.

Code: albert_zh/commands/inspect_checkpoint.py
"""

from albert_zh.commands.inspect_checkpoint import *  # noqa: F403  (names that other programs import)
from albert_zh.commands.inspect_checkpoint import main

if __name__ == "__main__":
    main()
