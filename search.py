"""Finds the lines of a file most like a text. Code: albert_zh/inference/retrieval/search.py"""

from albert_zh.inference.retrieval.search import *  # noqa: F403
