"""Google's ALBERT with 16 groups. Code: albert_zh/compatibility/modeling_google_fast.py"""

from albert_zh.compatibility.modeling_google_fast import *  # noqa: F403
