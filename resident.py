"""What all models kept in memory share. Code: albert_zh/inference/loaded_model.py"""

from albert_zh.inference.loaded_model import *  # noqa: F403
