"""What all models kept in memory share. Code: albert_zh/inference/loaded_model.py, input_rows.py"""

from albert_zh.inference.input_rows import *  # noqa: F403
from albert_zh.inference.loaded_model import *  # noqa: F403
