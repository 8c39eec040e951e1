"""ALBERT and BERT: configs, encoders, heads. Code: albert_zh/model/modeling.py"""

from albert_zh.model.modeling import *  # noqa: F403
