"""Common parts of models kept in memory. Code: albert_zh/compatibility/resident.py"""

from albert_zh.compatibility.resident import *  # noqa: F403
