"""Weight averaging (model soups) of several models that were trained from the same start.

    weights = averaged({"seed_1/best": weights_1, "seed_2/best": weights_2})

Runs that start from the same weights and differ in seed, order of rows or learning rate end near
one another, and the mean of their weights is often better than each of them (Wortsman et al. 2022,
"Model soups"). If each run starts from random weights, averaging does not work: the directions of
the weights have nothing in common.
"""

from typing import Dict, List, Mapping

import numpy as np

from albert_zh.common.errors import UserError

# Least cosine between the same matrix of two models: runs from the same start reach 0.97 and more,
# runs from different random starts 0.1 and less.
LEAST_COSINE = 0.5
_STEP = "global_step"

Weights = Mapping[str, np.ndarray]


def averaged(models: Mapping[str, Weights]) -> Dict[str, np.ndarray]:
    """The mean of each weight; the step count is taken from the first model.

    Args:
        models: {model name for the user: {name: array}} of two or more models.

    Raises:
        UserError: if they have different variables, or were not trained from the same start.
    """
    (first, weights), *others = models.items()
    for name, other in others:
        _check_same_variables(first, weights, name, other)
        _check_same_start(first, weights, name, other)
    return {
        name: value if name == _STEP else _mean([of_one[name] for of_one in models.values()])
        for name, value in weights.items()
    }


def _mean(arrays: List[np.ndarray]) -> np.ndarray:
    return np.mean(arrays, axis=0, dtype=np.float64).astype(arrays[0].dtype)


def _check_same_variables(first: str, weights: Weights, name: str, other: Weights) -> None:
    shapes, others = ({n: w.shape for n, w in of.items() if n != _STEP} for of in (weights, other))
    for variable in sorted(shapes.keys() | others.keys()):
        if shapes.get(variable) != others.get(variable):
            raise UserError(
                "%s has %s, %s has %s: expected models of the same kind and size"
                % (first, _shown(variable, shapes), name, _shown(variable, others))
            )


def _shown(variable, shapes):
    if variable not in shapes:
        return "no %s" % variable
    return "%s %s" % (variable, list(shapes[variable]))


def _check_same_start(first: str, weights: Weights, name: str, other: Weights) -> None:
    for variable, value in sorted(weights.items()):
        if np.ndim(value) < 2 or np.array_equal(value, other[variable]):
            continue
        cosine = _cosine(value, other[variable])
        if cosine < LEAST_COSINE:
            raise UserError(
                "%s of %s and of %s have a cosine similarity of %.2f: they were initialized with "
                "different weights (a head starts from random ones, drawn by --seed), so their "
                "mean does not work: expected models that were trained from the same weights"
                % (variable, first, name, cosine)
            )


def _cosine(a, b):
    a, b = (np.ravel(matrix).astype(np.float64) for matrix in (a, b))
    norms = np.linalg.norm(a) * np.linalg.norm(b)
    return float(a @ b / norms) if norms else 0.0
