"""Checks arguments and settings; an invalid one is reported in a one-line error.

top_k = checked("top_k", top_k, integer(1))
"""

from typing import Any

from albert_zh.common.errors import UserError
from albert_zh.common.validation import Kind, fault_of


def checked(name: str, value: Any, kind: Kind) -> Any:
    """Returns a value after checking that it is of the expected kind.

    Args:
        name: the value's name in the error message.
        value: the value to check, of any type.
        kind: the expected `Kind`.

    Returns:
        the value, unchanged.

    Raises:
        UserError: if the value is not of that kind.
    """
    fault = fault_of(name, value, kind)
    if fault is not None:
        raise UserError(fault)
    return value
