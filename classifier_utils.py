"""Examples and data sets. Code: albert_zh/compatibility/classifier_utils.py"""

from albert_zh.compatibility.classifier_utils import *  # noqa: F403
