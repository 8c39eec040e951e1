"""Tensor shapes, UniLM's mask. Code: albert_zh/compatibility/bert_utils.py"""

from albert_zh.compatibility.bert_utils import *  # noqa: F403
