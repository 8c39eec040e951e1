"""Position tables that continue beyond the positions that pre-training reached.

    table = extended(table, trained_length=128)  # float [512, H], of which 128 rows are trained

A model whose pre-training ended at 128 tokens has random rows behind: what it reads there it does
not understand, until fine-tuning has learnt them from far fewer tokens. But a trained table is
smooth: in its main directions one linear map leads from each row to the next, as rotations do for
sinusoids. That map is fitted to the trained rows and then applied on and on.
"""

import numpy as np

POSITION_TABLES = (
    "bert/embeddings/position_embeddings",
    "electra/embeddings/position_embeddings",
)
TABLE_OF_GENERATOR = "generator/embeddings/position_embeddings"
DIRECTIONS = 29  # main directions in which the table continues; one is that of its mean
SHORTEST = 64  # trained rows that a fit needs
# Rows that differ from the others: [CLS] and what is near it, [SEP] at the end of full inputs.
_FIRST, _LAST = 4, 6
_NEGLIGIBLE = 1e-6  # share of the main direction's size below which a direction is rounding


def extended(table: np.ndarray, trained_length: int) -> np.ndarray:
    """The table with all rows behind the trained ones computed from them.

    The last six trained rows are replaced, too: in pre-training a full input ended there.

    Args:
        table: float [positions, H].
        trained_length: rows that pre-training reached, from `SHORTEST` to the table's rows.

    Returns:
        float32 [positions, H].
    """
    end = trained_length - _LAST
    rows = np.asarray(table, np.float64)
    _, sizes, vectors = np.linalg.svd(rows[_FIRST:end], full_matrices=False)
    is_main = (sizes > _NEGLIGIBLE * sizes[0]) & (np.arange(len(sizes)) < DIRECTIONS)
    directions = vectors[is_main]  # [K, H]
    points = rows[_FIRST:end] @ directions.T  # [rows, K]
    advance = _isometric(np.linalg.lstsq(points[:-1], points[1:], rcond=None)[0])
    result, point = rows.copy(), points[-1]
    for position in range(end, len(rows)):
        point = point @ advance
        result[position] = point @ directions
    return result.astype(np.float32)


def _isometric(advance: np.ndarray) -> np.ndarray:
    """A map of the same directions whose powers neither vanish nor grow: eigenvalues on the circle.

    Args:
        advance: float [K, K].
    """
    eigenvalues, vectors = np.linalg.eig(advance)
    turned = vectors @ np.diag(eigenvalues / np.abs(eigenvalues)) @ np.linalg.inv(vectors)
    return np.real(turned)
