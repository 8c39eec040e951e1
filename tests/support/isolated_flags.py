"""Isolates the flags of one command at a time, although all tests share absl's flags."""

import contextlib

from absl import flags
from absl.testing import flagsaver

from albert_zh.common import errors, path_rules


@contextlib.contextmanager
def flags_of(arguments, define_flags):
    """Defines only the flags of a command and parses these arguments.

    Args:
        arguments: list of str, without the command's name.
        define_flags: function that defines the command's flags.
    """
    with defined(define_flags), parsed(arguments):
        yield


@contextlib.contextmanager
def defined(define_flags):
    """Defines only the flags of a command, without parsing them."""
    values = flags.FLAGS
    before = {name: values[name] for name in values if values[name].name == name}
    others = [name for name in before if name not in _flags_of_absl(values)]
    for name in others:
        delattr(values, name)
    try:
        define_flags()
        yield
    finally:
        for name in [name for name in values if name not in before or name in others]:
            delattr(values, name)
        for name in others:
            values[name] = before[name]


@contextlib.contextmanager
def parsed(arguments):
    """Parses arguments for the flags that are `defined`; restores their defaults afterwards."""
    try:
        with flagsaver.flagsaver():
            errors.parse_flags(["command"] + arguments)
            yield
    finally:
        path_rules.forget_inputs()


def _flags_of_absl(values):
    by_module = values.flags_by_module_dict()
    return [flag.name for module in by_module if "absl" in module for flag in by_module[module]]
