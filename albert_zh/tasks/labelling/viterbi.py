"""The Viterbi algorithm in NumPy, for all rows of a batch at once, for use outside of graphs."""

from typing import Optional, Tuple

import numpy as np

IMPOSSIBLE = -1e9  # score of a forbidden transition, below all sums of scores


def decode(
    unaries: np.ndarray,
    lengths: np.ndarray,
    transitions: np.ndarray,
    moves: Optional[Tuple[np.ndarray, np.ndarray, np.ndarray]] = None,
) -> Tuple[np.ndarray, np.ndarray]:
    """Finds the best path of each row; among equally good paths, the one with the lowest ids.

    Args:
        unaries: float [B, T, K].
        lengths: int [B].
        transitions: float [K, K], row: previous tag, column: next tag.
        moves: (transitions, starts, ends), bool [K, K], [K] and [K]: whether they are allowed, as
            in `tag_schemes.allowed_moves`; None: all are allowed.

    Returns:
        (tags, scores): int32 [B, T], 0 beyond a row's length, and float [B].
    """
    scores = np.array(unaries, np.float64)
    between = np.array(transitions, np.float64)
    num_rows, num_steps, _ = scores.shape
    rows = np.arange(num_rows)
    tags = np.zeros([num_rows, num_steps], np.int32)
    if not num_steps:
        return tags, np.zeros(num_rows)
    if moves is not None:
        between = np.where(moves[0], between, IMPOSSIBLE)
        scores[:, 0] += np.where(moves[1], 0.0, IMPOSSIBLE)
        scores[rows, np.maximum(lengths, 1) - 1] += np.where(moves[2], 0.0, IMPOSSIBLE)
    order = np.argsort(-np.asarray(lengths), kind="stable")  # longest first: rows end one by one
    best, before = _forward(scores[order], np.asarray(lengths)[order], between)
    tags[order] = _backward(best, before, np.asarray(lengths)[order])
    top = np.empty(num_rows)
    top[order] = best.max(axis=1)
    return tags, top


def _forward(scores, lengths, between):
    """(best score of a path to each tag of the last step [B, K], previous tags [T, B, K])."""
    num_rows, num_steps, num_tags = scores.shape
    best = scores[:, 0].copy()
    before = np.zeros([num_steps, num_rows, num_tags], np.int32)
    for step in range(1, num_steps):
        num_inside = int(np.searchsorted(-lengths, -step, side="left"))  # lengths > step
        if not num_inside:
            break
        paths = best[:num_inside, :, None] + between[None]  # [rows, K, K]
        before[step, :num_inside] = paths.argmax(axis=1)
        best[:num_inside] = paths.max(axis=1) + scores[:num_inside, step]
    return best, before


def _backward(best, before, lengths):
    """Returns the tags [B, T] of the best paths."""
    num_steps, num_rows, _ = before.shape
    tags = np.zeros([num_rows, num_steps], np.int32)
    tag = best.argmax(axis=1)
    rows = np.arange(num_rows)
    for step in range(num_steps - 1, -1, -1):
        is_inside = step < lengths
        if step + 1 < num_steps:
            tag = np.where(step + 1 < lengths, before[step + 1, rows, tag], tag)
        tags[:, step] = np.where(is_inside, tag, 0)
    return tags
