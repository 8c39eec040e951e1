"""Which layer of a teacher each layer of a student learns from.

    pairs = layer_pairs(num_student=4, num_teacher=12)  # [(0, 0), (1, 3), (2, 6), (3, 9), (4, 12)]

Layers are counted by depth, from 1, however many of them share their weights; depth 0 is the input
of the first layer.
"""

import re
from typing import List, Optional, Tuple

from albert_zh.common.errors import UserError

_PAIR = re.compile(r"\s*(\d+)\s*:\s*(\d+)\s*$")
_EXAMPLE = "pairs STUDENT:TEACHER of depths such as 0:0,2:6,4:12"


def layer_pairs(
    num_student: int, num_teacher: int, chosen: Optional[List[str]] = None
) -> List[Tuple[int, int]]:
    """The depths that are compared: TinyBERT's uniform mapping, rounded to the nearest depth.

    Args:
        num_student: layers of the student, M.
        num_teacher: layers of the teacher, N; M and N may be any numbers.
        chosen: "STUDENT:TEACHER" pairs in place of all of the uniform mapping.

    Returns:
        list of (depth of the student, depth of the teacher), increasing.

    Raises:
        UserError: for chosen pairs that are none, or of layers that there are not.

    Source: g(m) = m N / M of TinyBERT (Jiao et al. 2020), section 3.1.
    """
    if chosen:
        return sorted(_checked_pair(text, num_student, num_teacher) for text in chosen)
    return [
        (depth, (2 * depth * num_teacher + num_student) // (2 * num_student))
        for depth in range(num_student + 1)
    ]


def _checked_pair(text, num_student, num_teacher):
    match = _PAIR.match(text)
    if not match:
        raise UserError("--layers: %r is no pair, expected %s" % (text, _EXAMPLE))
    student, teacher = map(int, match.groups())
    for whose, depth, highest in (
        ("student", student, num_student),
        ("teacher", teacher, num_teacher),
    ):
        if depth > highest:
            raise UserError(
                "--layers=%s: the %s has %d layers, expected %s" % (text, whose, highest, _EXAMPLE)
            )
    return student, teacher
