"""Finds functions that AutoGraph has translated (to convert Python's loops and conditions)."""

import contextlib
import traceback

import pytest
import tensorflow.compat.v1 as tf

_PREFIX = "tf__"  # prefix of the names of translated functions


@contextlib.contextmanager
def of_parsers():
    """Yields a list; each call of a record parser adds the translated functions in its stack."""
    found, parse = [], tf.io.parse_example

    def watched(*given, **named):
        names = [frame.name for frame in traceback.extract_stack()]
        found.append([name for name in names if name.startswith(_PREFIX)])
        return parse(*given, **named)

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(tf.io, "parse_example", watched)
        yield found
