"""Shares of teachers in their average: as a flag gives them, or fitted to labels."""

from typing import List, Optional, Sequence

import numpy as np

from albert_zh.common.errors import UserError

AUTO = "auto"
_STEPS_OF_EM = 500


def checked_weights(given: Optional[Sequence[str]], num_teachers: int) -> Optional[List[float]]:
    """Weights of teachers as a flag has them, adding up to 1.

    Args:
        given: list of numbers as text, or of `AUTO` alone; None: equal ones.
        num_teachers: int.

    Returns:
        list of float; None where they are to be fitted.

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


def fitted_weights(likelihoods: np.ndarray) -> List[float]:
    """Weights of a mixture that make the gold labels most probable, by EM (a convex problem).

    Args:
        likelihoods: float [n, T], what each of T teachers gives to each gold label.

    Returns:
        list of T floats that add up to 1.
    """
    weights = np.full(likelihoods.shape[1], 1.0 / likelihoods.shape[1])
    for _ in range(_STEPS_OF_EM):
        joint = likelihoods * weights
        weights = (joint / joint.sum(axis=1, keepdims=True)).mean(axis=0)
    return weights.tolist()
