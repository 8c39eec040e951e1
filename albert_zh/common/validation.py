"""Validates the values of JSON files and arguments against tables of kinds.

    NOTES = record({"bytes": integer(0), "objective": one_of("single_label", "regression")})
    notes = files.read_json("notes.json", NOTES, "train again")
    top_k = checks.checked("top_k", top_k, integer(1))

A value that does not match its kind is reported in one line, which names the file and key, or the
argument, what was found and what is expected. Keys that a table does not name may have any value.
"""

import collections
import math
import numbers
import os
from typing import Any, Callable, Dict, Optional, Sequence

LARGEST_INTEGER = 2**53  # any language represents integers up to it exactly as JSON numbers
_SHOWN_VALUE, _SHOWN_NAME = 40, 80  # characters

Kind = collections.namedtuple("Kind", ["expected", "accepts", "members"])
Kind.__doc__ = """The kind of values that are allowed.

Fields:
    expected: str, description of the kind for error messages.
    accepts: function of a value -> whether it is of this kind, without checking its members.
    members: function of an accepted value -> iterable of (key, member, `Kind` of the member).
"""


class _Missing:
    """Stands for the value of a missing key."""

    def __repr__(self):
        return "missing"


MISSING = _Missing()


def _no_members(value):
    return ()


def _is_integer(value):
    return isinstance(value, numbers.Integral) and not isinstance(value, bool)


def _is_number(value):
    is_real = isinstance(value, numbers.Real) and not isinstance(value, bool)
    return is_real and (_is_integer(value) or math.isfinite(value))


def reads_as_number(text: str) -> bool:
    """Whether `float` can read a text as a number."""
    try:
        float(text)
    except ValueError:
        return False
    return True


def scalar(expected: str, accepts: Callable[[Any], bool]) -> Kind:
    """Returns the kind of values without members that `accepts` returns true for."""
    return Kind(expected, accepts, _no_members)


ANYTHING = scalar("a value", lambda value: value is not MISSING)
BOOLEAN = scalar("true or false", lambda value: isinstance(value, bool))
TEXT = scalar("a text", lambda value: isinstance(value, str))
NUMBER_OR_NAN = scalar("a number", lambda value: _is_integer(value) or isinstance(value, float))
PATH = scalar(
    "the path of a file or folder",
    lambda value: isinstance(value, (str, os.PathLike)) and "\0" not in str(value),
)


def integer(least: Optional[int] = None, most: int = LARGEST_INTEGER) -> Kind:
    """Returns the kind of integers (including NumPy's, but not bool) from `least` to `most`."""
    lowest = -LARGEST_INTEGER if least is None else least
    return scalar(
        "an integer" + _range(least, None if most == LARGEST_INTEGER else most),
        lambda value: _is_integer(value) and lowest <= value <= most,
    )


def number(
    least: Optional[float] = None,
    most: Optional[float] = None,
    above: Optional[float] = None,
    below: Optional[float] = None,
) -> Kind:
    """Returns the kind of finite numbers within bounds; `above` and `below` are exclusive."""
    bounds = [_range(least, most)] if (least, most) != (None, None) else []
    bounds += [" above %g" % above] if above is not None else []
    bounds += [" below %g" % below] if below is not None else []
    return scalar(
        "a number" + " and".join(bounds),
        lambda value: (
            _is_number(value)
            and (least is None or value >= least)
            and (most is None or value <= most)
            and (above is None or value > above)
            and (below is None or value < below)
        ),
    )


def _range(least, most):
    if least is None:
        return "" if most is None else " of at most %s" % most
    return " of at least %s" % least if most is None else " from %s to %s" % (least, most)


def one_of(*choices: Any) -> Kind:
    """Returns the kind of values that equal one of the choices, in value and type."""
    return scalar(
        "one of " + ", ".join(map(str, choices)),
        lambda value: any(type(value) is type(choice) and value == choice for choice in choices),
    )


def or_none(kind: Kind, none: str = "null") -> Kind:
    """Returns a kind that also allows None, which error messages call `none` (JSON's null)."""
    return Kind(
        "%s, or %s" % (kind.expected, none),
        lambda value: value is None or kind.accepts(value),
        lambda value: () if value is None else kind.members(value),
    )


def list_of(kind: Kind, length: Optional[int] = None) -> Kind:
    """Returns the kind of lists whose members are of a kind, with a fixed length if specified."""
    return Kind(
        "a list" if length is None else "a list of %d" % length,
        lambda value: isinstance(value, list) and length in (None, len(value)),
        lambda value: (("[%d]" % index, member, kind) for index, member in enumerate(value)),
    )


def record(
    fields: Optional[Dict[str, Kind]] = None,
    required: Sequence[str] = (),
    others: Kind = ANYTHING,
    expected: str = "a JSON object",
) -> Kind:
    """Returns the kind of JSON objects (dicts).

    Args:
        fields: {key: `Kind` of its value}.
        required: keys that must be present.
        others: `Kind` of the values of all other keys.
        expected: description of the object for error messages.
    """
    fields = fields or {}

    def members(value):
        for name in required:
            if name not in value:
                yield name, MISSING, fields.get(name, others)
        for name, member in value.items():
            yield str(name), member, fields.get(name, others)

    return Kind(expected, lambda value: isinstance(value, dict), members)


def fault_of(name: str, value: Any, kind: Kind) -> Optional[str]:
    """Describes in one line what is wrong with a value; returns None if it matches its kind.

    Args:
        name: the value's name in the message.
        value: the value to check, of any type.
        kind: the expected `Kind`.
    """
    for key, found, expected in _faults(value, kind, ""):
        name = "%s: %s" % (name, shown_key(key)) if key else name
        if found is MISSING:
            return "%s is missing, expected %s" % (name, expected)
        return "%s: expected %s, found %s" % (name, expected, shown(found))
    return None


def _faults(value, kind, key):
    """Yields (key, value, what is expected) for each mismatch at any depth."""
    if not kind.accepts(value):
        yield key, value, kind.expected
        return
    for name, member, member_kind in kind.members(value):
        inner = name if not key else key + name if name.startswith("[") else key + "." + name
        yield from _faults(member, member_kind, inner)


def shown(value: Any) -> str:
    """Formats a value for an error message: on one line, truncated if it is long."""
    try:
        text = repr(value)
    except Exception:  # a foreign class may raise anything; Python refuses ints of 5,000 digits
        text = "a value of the type %s" % type(value).__name__
    return shortened(text, _SHOWN_VALUE)


def shown_key(key: str) -> str:
    """Formats a key for an error message; a key in a file may be any text."""
    return shortened(printed_name(key))


def printed_name(name: str) -> str:
    """Formats a name, such as a path, on one line and at its full length."""
    return name if name.isprintable() else repr(name)


def shortened(text: str, length: int = _SHOWN_NAME) -> str:
    """Puts a text on one line and truncates it if it is long."""
    text = " ".join(text.split())
    return text if len(text) <= length else text[:length] + "..."
