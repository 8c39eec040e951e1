"""Trains sentence embeddings for search and comparison, and compares them with TF-IDF.

Code: albert_zh/commands/run_sentence_embedding.py
"""

from albert_zh.commands.run_sentence_embedding import *  # noqa: F403  (names that other programs import)
from albert_zh.commands.run_sentence_embedding import main

if __name__ == "__main__":
    main()
