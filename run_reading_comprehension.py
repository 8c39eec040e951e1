"""Fine-tunes a reader on questions about texts, evaluates it and answers a file of questions.

Code: albert_zh/commands/run_reading_comprehension.py
"""

from albert_zh.commands.run_reading_comprehension import *  # noqa: F403  (names that other programs import)
from albert_zh.commands.run_reading_comprehension import main

if __name__ == "__main__":
    main()
