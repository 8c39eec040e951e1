"""ALBERT and BERT: configs, encoders, heads. Code: albert_zh/compatibility/modeling.py"""

from albert_zh.compatibility.modeling import *  # noqa: F403
