"""Extrapolates a position table beyond the positions that pre-training reached.

    table = extended(table, trained_length=128)  # float [512, H], of which 128 rows are trained

If a model was pre-trained on at most 128 tokens, the later rows of its position table are random:
the model cannot make use of tokens there until fine-tuning has trained these rows, on far fewer
tokens. A trained table, however, is smooth: in its principal directions, one linear map leads from
each row to the next, as rotations do for sinusoids. This map is fitted to the trained rows and then
applied repeatedly.
"""

import numpy as np

POSITION_TABLES = (
    "bert/embeddings/position_embeddings",
    "electra/embeddings/position_embeddings",
)
TABLE_OF_GENERATOR = "generator/embeddings/position_embeddings"
DIRECTIONS = 29  # principal directions in which the table is extrapolated; one is its mean
SHORTEST = 64  # minimum number of trained rows for a fit
# Untypical rows: those of [CLS] and near it, and those near [SEP] at the end of full inputs.
_FIRST, _LAST = 4, 6
_NEGLIGIBLE = 1e-6  # directions below this fraction of the largest one are rounding errors


def extended(table: np.ndarray, trained_length: int) -> np.ndarray:
    """Computes all rows after the trained ones from the trained rows.

    The last six trained rows are also replaced, since full inputs ended there in pre-training.

    Args:
        table: float [positions, H].
        trained_length: number of trained rows, from `SHORTEST` to the number of rows.

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
    """Moves a map's eigenvalues to the unit circle, so that its powers neither vanish nor grow.

    Args:
        advance: float [K, K].
    """
    eigenvalues, vectors = np.linalg.eig(advance)
    turned = vectors @ np.diag(eigenvalues / np.abs(eigenvalues)) @ np.linalg.inv(vectors)
    return np.real(turned)
