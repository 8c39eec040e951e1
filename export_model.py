"""Exports a model folder for phones, servers and other programs.

Code: albert_zh/commands/export_model.py
"""

from albert_zh.commands.export_model import *  # noqa: F403  (names that other programs import)
from albert_zh.commands.export_model import main

if __name__ == "__main__":
    main()
