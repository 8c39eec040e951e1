"""A small HTTP service around a fine-tuned model, with a page to try it on.

Code: albert_zh/commands/serve.py
"""

from albert_zh.commands.serve import *  # noqa: F403  (names that other programs import)
from albert_zh.commands.serve import main

if __name__ == "__main__":
    main()
