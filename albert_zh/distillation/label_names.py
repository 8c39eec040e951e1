"""How a teacher's labels differ from those of the data, in words."""

from typing import Sequence

_SHOWN = 12


def both_sides(of_teacher: Sequence[str], of_data: Sequence[str]) -> str:
    """Names the labels of both sides, and those that one side alone has.

    Args:
        of_teacher: label names.
        of_data: label names.

    Returns:
        such as "the labels a, b, the data a, c (only the teacher has b, only the data c)".
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
    """The first labels, and how many more there are."""
    rest = len(labels) - _SHOWN
    return ", ".join(labels[:_SHOWN]) + (", and %d more" % rest if rest > 0 else "")
