"""Arguments and settings that are of a kind, or a one-line error that says which is not.

top_k = checked("top_k", top_k, integer(1))
"""

from typing import Any

from albert_zh.common.errors import UserError
from albert_zh.common.validation import Kind, fault_of


def checked(name: str, value: Any, kind: Kind) -> Any:
    """A value that is of a kind.

    Args:
        name: what the value is called in an error.
        value: anything.
        kind: `Kind`.

    Returns:
        the value.

    Raises:
        UserError: if it is of another kind.
    """
    fault = fault_of(name, value, kind)
    if fault is not None:
        raise UserError(fault)
    return value
