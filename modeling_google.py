"""Google's ALBERT with its arguments. Code: albert_zh/compatibility/modeling_google.py"""

from albert_zh.compatibility.modeling_google import *  # noqa: F403
