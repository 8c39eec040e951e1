"""Allowed values of the arguments of the inference classes, by argument name."""

import os
from typing import Any

import numpy as np

from albert_zh.common import checks, validation
from albert_zh.common.errors import UserError
from albert_zh.model.layers import PRECISIONS

_FLAG = validation.scalar(
    "True or False", lambda value: isinstance(value, (bool, np.bool_)) or value in (0, 1)
)
_PATH_OR_NONE = validation.or_none(validation.PATH, "None")
ARGUMENTS = {
    "max_seq_length": validation.or_none(validation.integer(1, 1 << 20), "None"),
    "num_threads": validation.or_none(validation.integer(1, 1 << 10), "None"),
    "do_lower_case": validation.or_none(_FLAG, "None"),
    "normalize": _FLAG,
    "check_text_form": _FLAG,
    "granularity": validation.or_none(validation.TEXT, "None"),
    "model_dir": validation.PATH,
    "path": validation.PATH,
    "config_file": _PATH_OR_NONE,
    "vocab_file": _PATH_OR_NONE,
    "cache_dir": _PATH_OR_NONE,
    "precision": validation.TEXT,
    "layers": validation.TEXT,
    "pooling": validation.or_none(validation.TEXT, "None"),
    "encoding": validation.TEXT,
    "top_k": validation.integer(1),
    "candidates": validation.integer(1),
    "batch_size": validation.or_none(validation.integer(1), "None"),
}


def check_arguments(**arguments: Any) -> None:
    """Raises `UserError` for an argument whose value `ARGUMENTS` does not allow for its name."""
    for name, argument in arguments.items():
        checks.checked(name, argument, ARGUMENTS[name])


def check_precision(precision: str) -> None:
    """Raises `UserError` unless the precision is a key of `modeling.PRECISIONS`."""
    check_arguments(precision=precision)
    if precision not in PRECISIONS:
        raise UserError(
            "precision: unknown %r, expected one of %s" % (precision, ", ".join(sorted(PRECISIONS)))
        )


def checked_path(path: Any) -> str:
    """Returns a path as str; raises `UserError` for a value that is no path."""
    return os.fspath(checks.checked("path", path, validation.PATH))
