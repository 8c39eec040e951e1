"""What all models kept in memory share. Code: albert_zh/compatibility/resident.py"""

from albert_zh.compatibility.resident import *  # noqa: F403
