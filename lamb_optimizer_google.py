"""LAMB of Google's ALBERT. Code: albert_zh/compatibility/lamb_optimizer_google.py"""

from albert_zh.compatibility.lamb_optimizer_google import *  # noqa: F403
