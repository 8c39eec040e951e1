"""Makes one model of several runs: the mean of their weights.

Code: albert_zh/commands/average_models.py
"""

from albert_zh.commands.average_models import *  # noqa: F403  (names that other programs import)
from albert_zh.commands.average_models import main

if __name__ == "__main__":
    main()
