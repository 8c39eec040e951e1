"""Combinations of parameters, of which each value is in one that is always run."""

import itertools

import pytest


def crossed(first, second):
    """Parameter sets of all pairs of values; those that have nothing of their own are slow.

    Args:
        first, second: lists of values. The n-th of the longer list is always run with the n-th of
            the other one, counted round; all other pairs with --slow only.

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
        values: list; of tuples where a set has several parameters.
        always: those of them that others add little to.

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
