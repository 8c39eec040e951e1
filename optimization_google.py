"""AdamW and LAMB of Google's programs. Code: albert_zh/compatibility/optimization_google.py"""

from albert_zh.compatibility.optimization_google import *  # noqa: F403
