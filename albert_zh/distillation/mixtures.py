"""Weights and temperatures of averaged teachers: read from flags, or fitted to gold labels."""

import itertools
from typing import Any, Callable, List, NamedTuple, Optional, Sequence

import numpy as np

from albert_zh.common.errors import UserError

AUTO = "auto"
_STEPS_OF_MIXTURE = 100
_GAP = 1e-6  # tolerance, as a mean log-likelihood
_STEPS_OF_PAIRS = 200
_TINY = 1e-30
# A lower temperature only results from a fit on too few rows: for a teacher that is right on all of
# them no temperature is best, and what it knows about improbable classes would be lost.
_LEAST_TEMPERATURE, _GREATEST_TEMPERATURE = 0.5, 10.0
_GOLDEN = (np.sqrt(5.0) - 1.0) / 2.0
_STEPS_OF_SEARCH = 20  # each shrinks the interval to 0.618 of its width, down to 2e-4


class Mixture(NamedTuple):
    """Teachers whose outputs are averaged.

    Attributes:
        teachers: teachers as `teachers.open_teacher` returns them.
        weights: weight of each teacher in the average; the weights add up to 1.
        temperatures: temperature of each teacher; its logits are divided by it first of all.
    """

    teachers: Sequence[Any]
    weights: Sequence[float]
    temperatures: Sequence[float]


def single(teacher: Any) -> Mixture:
    """Returns the mixture that consists of one teacher, at temperature 1."""
    return Mixture([teacher], [1.0], [1.0])


def checked_weights(given: Optional[Sequence[str]], num_teachers: int) -> Optional[List[float]]:
    """Parses the weights of teachers in a flag; the weights are normalized to add up to 1.

    Args:
        given: numbers as text, or only `AUTO`; None: equal weights.
        num_teachers: number of teachers.

    Returns:
        the weights; None if they are to be fitted.

    Raises:
        UserError: if the flag's values are not valid weights.
    """
    if not given:
        return [1.0 / num_teachers] * num_teachers
    if list(given) == [AUTO]:
        return None
    expected = "%d numbers of 0 or more, or %s" % (num_teachers, AUTO)
    try:
        weights = [float(weight) for weight in given]
    except ValueError:
        weights = []
    is_sensible = len(weights) == num_teachers and all(0 <= w < np.inf for w in weights)
    if not is_sensible or not sum(weights):
        raise UserError("--teacher_weights=%s: expected %s" % (",".join(given), expected))
    return [weight / sum(weights) for weight in weights]


def checked_temperatures(
    given: Optional[Sequence[str]], num_teachers: int
) -> Optional[List[float]]:
    """Parses the temperatures of teachers in a flag.

    Args:
        given: numbers as text, one for all teachers or one per teacher, or only `AUTO`; None:
            `AUTO`.
        num_teachers: number of teachers.

    Returns:
        the temperatures; None if they are to be fitted.

    Raises:
        UserError: if the flag's values are not valid temperatures.
    """
    if not given or list(given) == [AUTO]:
        return None
    try:
        temperatures = [float(temperature) for temperature in given]
    except ValueError:
        temperatures = []
    is_sensible = len(temperatures) in (1, num_teachers) and all(
        0 < temperature < np.inf for temperature in temperatures
    )
    if not is_sensible:
        raise UserError(
            "--teacher_temperatures=%s: expected %s of more than 0, or %s"
            % (
                ",".join(given),
                "1 number" if num_teachers == 1 else "1 or %d numbers" % num_teachers,
                AUTO,
            )
        )
    return temperatures * num_teachers if len(temperatures) == 1 else temperatures


def fitted_temperature(likelihoods: Callable[[float], np.ndarray]) -> float:
    """Fits the temperature that makes the gold labels most probable (Guo et al. 2017).

    The mean log-likelihood is concave in the inverse of the temperature, so it has a single
    maximum, which a golden-section search finds.

    Args:
        likelihoods: function from a temperature to the probabilities that the teacher assigns to
            the gold labels: float [n].
    """

    def goodness(log_temperature):
        return np.log(np.maximum(likelihoods(np.exp(log_temperature)), _TINY)).mean()

    low, high = np.log([_LEAST_TEMPERATURE, _GREATEST_TEMPERATURE])
    left, right = high - _GOLDEN * (high - low), low + _GOLDEN * (high - low)
    of_left, of_right = goodness(left), goodness(right)
    for _ in range(_STEPS_OF_SEARCH):
        if of_left >= of_right:
            high, right, of_right = right, left, of_left
            left = high - _GOLDEN * (high - low)
            of_left = goodness(left)
        else:
            low, left, of_left = left, right, of_right
            right = low + _GOLDEN * (high - low)
            of_right = goodness(right)
    return float(np.exp((low + high) / 2.0))


def least_squares_weights(errors: np.ndarray) -> List[float]:
    """Fits weights whose average of values has the least squared error (a convex problem).

    Args:
        errors: float [n, T], differences of the values of T teachers from the gold values.

    Returns:
        list of T non-negative floats that add up to 1.
    """
    products = errors.T @ errors / len(errors)  # mean products of two teachers' errors, [T, T]
    weights = np.full(len(products), 1.0 / len(products))
    for _ in range(_STEPS_OF_PAIRS):
        for taker, giver in itertools.permutations(range(len(products)), 2):
            slope = products[giver] @ weights - products[taker] @ weights
            curve = products[taker, taker] + products[giver, giver] - 2 * products[taker, giver]
            if slope > 0:
                moved = min(weights[giver], slope / max(curve, _TINY))
                weights[[taker, giver]] += [moved, -moved]
    return weights.tolist()


def fitted_weights(likelihoods: np.ndarray) -> List[float]:
    """Fits mixture weights that make the gold labels most probable (a convex problem).

    Each step maximizes the quadratic approximation of the mean log-likelihood at the current
    weights (Kim, Carbonetto, Stephens and Anitescu 2020, mix-SQP) and moves to its maximum, or part
    of the way there. For teachers that are nearly alike, EM would need thousands of steps.

    Args:
        likelihoods: float [n, T], probabilities that T teachers assign to the gold labels.

    Returns:
        list of T non-negative floats that add up to 1.
    """
    likelihoods = np.maximum(likelihoods, _TINY)  # no logarithm of 0 if all teachers rule it out
    weights = np.full(likelihoods.shape[1], 1.0 / likelihoods.shape[1])
    goodness = np.log(likelihoods @ weights).mean()
    for _ in range(_STEPS_OF_MIXTURE):
        shares = likelihoods / (likelihoods @ weights)[:, None]
        if shares.mean(axis=0).max() <= 1 + _GAP:  # no weights are better by more than _GAP
            break
        move = np.array(least_squares_weights(shares - 2.0)) - weights
        for part in 0.5 ** np.arange(_STEPS_OF_SEARCH):
            moved = np.log(likelihoods @ (weights + part * move)).mean()
            if moved > goodness:
                break
        else:
            break
        weights, goodness = weights + part * move, moved
    return weights.tolist()
