"""Combinations of parameters: each value is in one that always runs, further ones are slow."""

import itertools

import pytest


def crossed(first, second):
    """Parameter sets of all pairs of values; pairs that repeat tested values are marked slow.

    Args:
        first, second: lists of values. The n-th of the longer list always runs with the n-th of
            the other list, modulo its length; all other pairs run with --slow only.

    Returns:
        list of `pytest.param`.
    """
    longest = max(len(first), len(second))
    chosen = {(n % len(first), n % len(second)) for n in range(longest)}
    return [
        pytest.param(a, b, marks=() if (i, j) in chosen else pytest.mark.slow)
        for (i, a), (j, b) in itertools.product(enumerate(first), enumerate(second))
    ]


def with_slow(values, always):
    """Parameter sets of values; those that are not in `always` run with --slow only.

    Args:
        values: list of values; of tuples if a set has several parameters.
        always: the values that always run; the others add little to them.

    Returns:
        list of `pytest.param`.
    """
    unknown = [value for value in always if value not in values]
    assert not unknown, unknown
    return [
        pytest.param(
            *(value if isinstance(value, tuple) else (value,)),
            marks=() if value in always else pytest.mark.slow,
        )
        for value in values
    ]
