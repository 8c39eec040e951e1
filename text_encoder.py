"""Encodes texts as vectors. Code: albert_zh/inference/text_encoder.py"""

from albert_zh.inference.text_encoder import *  # noqa: F403
