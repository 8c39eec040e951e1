"""Fine-tunes a reader with the flags and output files of BERT's and NEZHA's run_squad.py.

Code: albert_zh/commands/run_squad.py
"""

from albert_zh.commands.run_squad import *  # noqa: F403  (names that other programs import)
from albert_zh.commands.run_squad import main

if __name__ == "__main__":
    main()
