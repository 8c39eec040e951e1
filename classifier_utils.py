"""Examples, data sets, features, classifier. Code: albert_zh/compatibility/classification.py"""

from albert_zh.compatibility.classification import *  # noqa: F403
