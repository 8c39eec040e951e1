"""Errors that users can fix, and exits of commands. Code: albert_zh/common/errors.py"""

from albert_zh.common.errors import *  # noqa: F403
