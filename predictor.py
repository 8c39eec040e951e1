"""Predicts with a model kept in memory. Code: albert_zh/inference/predictor.py"""

from albert_zh.inference.predictor import *  # noqa: F403
