"""Checks of flag values that all training commands share."""

from typing import Sequence

from absl import flags

from albert_zh.common.errors import UserError

LARGEST_SEED = 2**31 - 1


def require_flags(options: flags.FlagValues, names: Sequence[str]) -> None:
    """Raises `UserError` for the first required flag that is missing."""
    for name in names:
        if not options[name].value:
            raise UserError(
                "--%s is required (%s)" % (name, options[name].help.strip().rstrip("."))
            )


def require_positive(options: flags.FlagValues, names: Sequence[str]) -> None:
    """Raises `UserError` for the first flag whose value is not a number above 0."""
    for name in names:
        if not 0 < options[name].value < float("inf"):
            raise UserError("--%s=%s: expected a number above 0" % (name, options[name].value))


def require_at_least_0(options: flags.FlagValues, names: Sequence[str]) -> None:
    """Raises `UserError` for the first flag that is set to a value below 0."""
    for name in names:
        if options[name].value is not None and options[name].value < 0:
            raise UserError("--%s=%s: expected 0 or more" % (name, options[name].value))


def check_seed(seed: int, name: str = "seed") -> None:
    """Raises `UserError` for a seed that random generators do not accept; `name`: its flag."""
    if not 0 <= seed <= LARGEST_SEED:
        raise UserError("--%s: %d is out of range, expected 0 to %d" % (name, seed, LARGEST_SEED))
