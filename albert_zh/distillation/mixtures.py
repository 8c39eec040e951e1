"""Teachers' shares in their average and their temperatures: of flags, or fitted to labels."""

import itertools
from typing import Any, Callable, List, NamedTuple, Optional, Sequence

import numpy as np

from albert_zh.common.errors import UserError

AUTO = "auto"
_STEPS_OF_MIXTURE = 100
_GAP = 1e-6  # of a mean logarithm
_STEPS_OF_PAIRS = 200
_TINY = 1e-30
# Sharper than this a fit is of too few rows: a teacher that is right on all of them has no best
# temperature, and none of what it knows of improbable classes would be left.
_LEAST_TEMPERATURE, _GREATEST_TEMPERATURE = 0.5, 10.0
_GOLDEN = (np.sqrt(5.0) - 1.0) / 2.0
_STEPS_OF_SEARCH = 20  # each leaves 0.618 of the interval: the last is 2e-4 wide


class Mixture(NamedTuple):
    """Teachers whose outputs are averaged.

    Attributes:
        teachers: see `teachers.open_teacher`.
        weights: their shares, adding up to 1.
        temperatures: by which each one's logits are divided before anything else is done to them.
    """

    teachers: Sequence[Any]
    weights: Sequence[float]
    temperatures: Sequence[float]


def single(teacher: Any) -> Mixture:
    """A teacher alone, as it is."""
    return Mixture([teacher], [1.0], [1.0])


def checked_weights(given: Optional[Sequence[str]], num_teachers: int) -> Optional[List[float]]:
    """Weights of teachers as a flag has them, adding up to 1.

    Args:
        given: numbers as text, or `AUTO` alone; None: equal ones.
        num_teachers: their number.

    Returns:
        the weights; None where they are to be fitted.

    Raises:
        UserError: for what are no weights.
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
    """Temperatures of teachers as a flag has them.

    Args:
        given: numbers as text, one for all teachers or one for each, or `AUTO` alone; None: `AUTO`.
        num_teachers: their number.

    Returns:
        the temperatures; None where they are to be fitted.

    Raises:
        UserError: for what are no temperatures.
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
    """The temperature that makes the gold labels most probable (Guo et al. 2017).

    The mean of the logarithms is concave in the temperature's inverse: it has one maximum, which
    golden sections find.

    Args:
        likelihoods: of a temperature, what the teacher gives to each gold label: float [n].
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
    """Weights of an average of values that bring it next to the gold values (a convex problem).

    Args:
        errors: float [n, T], what each of T teachers' values is above each gold value.

    Returns:
        list of T floats of 0 or more that add up to 1.
    """
    products = errors.T @ errors / len(errors)  # of two teachers' errors, [T, T]
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
    """Weights of a mixture that make the gold labels most probable (a convex problem).

    Each step takes the best weights of the quadratic function that is like the mean of the
    logarithms at the present ones (Kim, Carbonetto, Stephens and Anitescu 2020, mix-SQP), or goes
    a part of the way there. Of teachers that are nearly alike, EM would take thousands of steps.

    Args:
        likelihoods: float [n, T], what each of T teachers gives to each gold label.

    Returns:
        list of T floats of 0 or more that add up to 1.
    """
    likelihoods = np.maximum(likelihoods, _TINY)  # a label that no teacher thinks possible
    weights = np.full(likelihoods.shape[1], 1.0 / likelihoods.shape[1])
    goodness = np.log(likelihoods @ weights).mean()
    for _ in range(_STEPS_OF_MIXTURE):
        shares = likelihoods / (likelihoods @ weights)[:, None]
        if shares.mean(axis=0).max() <= 1 + _GAP:  # no weights are better by more than that
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
