"""Records as google's ALBERT has them: n-gram masks, B from other documents, SentencePiece.

Code: albert_zh/commands/create_pretraining_data_google.py
"""

from albert_zh.commands.create_pretraining_data_google import *  # noqa: F403  (names that other programs import)
from albert_zh.commands.create_pretraining_data_google import __getattr__, main  # noqa: F401  (FLAGS)

if __name__ == "__main__":
    main()
