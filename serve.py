"""Serves a fine-tuned model over HTTP, with a web page to try it out.

Code: albert_zh/commands/serve.py
"""

from albert_zh.commands.serve import *  # noqa: F403  (names that other programs import)
from albert_zh.commands.serve import main

if __name__ == "__main__":
    main()
