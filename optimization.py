"""Optimizers and learning rates. Code: albert_zh/model/optimization.py"""

from albert_zh.model.optimization import *  # noqa: F403
