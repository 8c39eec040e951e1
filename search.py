"""Finds the lines of a file that mean the same as a text. Code: albert_zh/inference/search.py"""

from albert_zh.inference.search import *  # noqa: F403
