"""BERT and SentencePiece tokenizers. Code: albert_zh/text/tokenization.py"""

from albert_zh.text.tokenization import *  # noqa: F403
