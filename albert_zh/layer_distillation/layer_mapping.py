"""Layer mapping: determines which layer of a teacher each layer of a student learns from.

    pairs = layer_pairs(num_student=4, num_teacher=12)  # [(0, 0), (1, 3), (2, 6), (3, 9), (4, 12)]

Layers are counted by depth, from 1, whether or not they share weights; depth 0 is the input of the
first layer.
"""

import re
from typing import List, Optional, Tuple

from albert_zh.common.errors import UserError

_PAIR = re.compile(r"\s*(\d+)\s*:\s*(\d+)\s*$")
_EXAMPLE = "pairs STUDENT:TEACHER of depths such as 0:0,2:6,4:12"


def layer_pairs(
    num_student: int, num_teacher: int, chosen: Optional[List[str]] = None
) -> List[Tuple[int, int]]:
    """Returns the compared depths: TinyBERT's uniform mapping, rounded to the nearest depth.

    Args:
        num_student: M, the number of the student's layers.
        num_teacher: N, the number of the teacher's layers; it need not be a multiple of M.
        chosen: "STUDENT:TEACHER" pairs that replace the uniform mapping.

    Returns:
        list of (depth of the student, depth of the teacher), increasing.

    Raises:
        UserError: if a chosen pair is malformed, or names a layer that does not exist.

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
