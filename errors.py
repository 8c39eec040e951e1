"""Errors a user can mend, and how commands end. Code: albert_zh/common/errors.py"""

from albert_zh.common.errors import *  # noqa: F403
