"""Wording of messages."""

import pytest

from albert_zh.common.wording import counted


@pytest.mark.parametrize(
    "number, words, expected",
    [
        (0, ("row",), "0 rows"),
        (1, ("row",), "1 row"),
        (2, ("row",), "2 rows"),
        (1, ("entry is", "entries are"), "1 entry is"),
        (12, ("entry is", "entries are"), "12 entries are"),
    ],
)
def test_what_is_counted_agrees_with_its_number(number, words, expected):
    assert counted(number, *words) == expected
