"""Averages the weights of several training runs into one model.

Code: albert_zh/commands/average_models.py
"""

from albert_zh.commands.average_models import *  # noqa: F403  (names that other programs import)
from albert_zh.commands.average_models import main

if __name__ == "__main__":
    main()
