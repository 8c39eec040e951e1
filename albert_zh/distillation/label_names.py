"""Describes for error messages how a teacher's labels differ from the labels of the data."""

from typing import Sequence

_SHOWN = 12


def both_sides(of_teacher: Sequence[str], of_data: Sequence[str]) -> str:
    """Lists the labels of the teacher and the data, and the labels that only one of them has.

    Args:
        of_teacher: label names of the teacher.
        of_data: label names of the data.

    Returns:
        a text such as "the labels a, b, the data a, c (only the teacher has b, only the data c)".
    """
    sides = [
        "only %s %s" % (whose, shown(alone))
        for whose, alone in (
            ("the teacher has", [label for label in of_teacher if label not in of_data]),
            ("the data", [label for label in of_data if label not in of_teacher]),
        )
        if alone
    ]
    alone = " (%s)" % ", ".join(sides) if sides else ""
    return "the labels %s, the data %s%s" % (shown(of_teacher), shown(of_data), alone)


def shown(labels: Sequence[str]) -> str:
    """Returns the first labels as text, with the number of further labels."""
    rest = len(labels) - _SHOWN
    return ", ".join(labels[:_SHOWN]) + (", and %d more" % rest if rest > 0 else "")
