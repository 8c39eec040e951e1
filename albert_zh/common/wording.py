"""Wording of messages."""

from typing import Optional


def counted(number: int, one: str, many: Optional[str] = None) -> str:
    """A number and what it counts: "1 row", "2 rows"; by default the plural only adds an "s"."""
    return "%d %s" % (number, one if number == 1 else many or one + "s")
