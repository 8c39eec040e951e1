"""Linear-chain conditional random field (Lafferty et al. 2001), built from basic graph operations.

    log_likelihood = crf_log_likelihood(unaries, tag_ids, lengths, transitions)   # [B]

The score of a path is the sum of its unaries and of transitions[previous tag, next tag]; there are
no scores for start and end. The same operations run on TensorFlow 1.15 and 2.15. A row of length 0
has score 0 and log norm 0. Letters in shape comments: B rows, T steps, K tags.
"""

import numpy as np
import tensorflow.compat.v1 as tf


def crf_log_likelihood(
    unaries: tf.Tensor, tag_ids: tf.Tensor, lengths: tf.Tensor, transitions: tf.Tensor
) -> tf.Tensor:
    """Computes the log-likelihood of the gold tags.

    Args:
        unaries: float tensor [B, T, K].
        tag_ids: int tensor [B, T]; any valid ids beyond a row's length.
        lengths: int tensor [B].
        transitions: float tensor [K, K], row: previous tag, column: next tag.

    Returns:
        float tensor [B].
    """
    score = crf_sequence_score(unaries, tag_ids, lengths, transitions)
    return score - crf_log_norm(unaries, lengths, transitions)


def crf_sequence_score(
    unaries: tf.Tensor, tag_ids: tf.Tensor, lengths: tf.Tensor, transitions: tf.Tensor
) -> tf.Tensor:
    """Computes the score of the gold path, float tensor [B]; arguments as in `crf_log_likelihood`.

    Scores of -inf, which forbid tags or transitions, only count if the path contains them.
    """
    inside = _mask(unaries, lengths, tf.bool)
    num_tags = int(transitions.shape[0])
    is_gold = tf.one_hot(tag_ids, num_tags, True, False, dtype=tf.bool)  # [B, T, K]
    is_counted = is_gold & inside[:, :, None]
    unary = tf.reduce_sum(tf.where(is_counted, unaries, tf.zeros_like(unaries)), axis=2)
    pairs = tag_ids[:, :-1] * num_tags + tag_ids[:, 1:]
    binary = tf.gather(tf.reshape(transitions, [-1]), pairs)  # [B, T - 1]
    binary = tf.where(inside[:, 1:], binary, tf.zeros_like(binary))
    return tf.reduce_sum(unary, axis=1) + tf.reduce_sum(binary, axis=1)


def crf_log_norm(unaries: tf.Tensor, lengths: tf.Tensor, transitions: tf.Tensor) -> tf.Tensor:
    """Computes the logarithm of the sum of exp(score) over all paths, by the forward algorithm.

    Args:
        unaries: float tensor [B, T, K].
        lengths: int tensor [B].
        transitions: float tensor [K, K].

    Returns:
        float tensor [B].
    """

    def step(alpha, inputs):
        unary, is_inside = inputs  # [B, K], [B, 1]
        scores = alpha[:, :, None] + transitions[None]  # [B, K, K]
        return tf.where(is_inside, tf.reduce_logsumexp(scores, axis=1) + unary, alpha)

    alpha = _last_of_scan(step, unaries, lengths)
    log_norm = tf.reduce_logsumexp(alpha, axis=1)
    return tf.where(lengths > 0, log_norm, tf.zeros_like(log_norm))


def _mask(unaries, lengths, dtype=None):
    return tf.sequence_mask(lengths, tf.shape(unaries)[1], dtype=dtype or unaries.dtype)


def _time_major(unaries, lengths):
    """(unaries [T + 1, B, K], whether a step is inside its row [T + 1, B, K])."""
    # One extra step, outside of all rows, since a scan over no steps has no gradient.
    steps = tf.transpose(tf.pad(unaries, [[0, 0], [0, 1], [0, 0]]), [1, 0, 2])
    inside = tf.range(tf.shape(steps)[0])[:, None] < tf.cast(lengths, tf.int32)[None]  # [T + 1, B]
    return steps, inside[:, :, None] & tf.ones_like(steps, tf.bool)  # 1.15's `where` needs [.., K]


def _last_of_scan(step, unaries, lengths):
    """Returns the state [B, K] after the last step; the initial state is the first unaries."""
    steps, inside = _time_major(unaries, lengths)
    return tf.scan(step, (steps[1:], inside[1:]), initializer=steps[0])[-1]


def soft_divergence(
    unaries: tf.Tensor, target_logs: tf.Tensor, lengths: tf.Tensor, transitions: tf.Tensor
) -> tf.Tensor:
    """KL divergence between a chain of independent tags, with a teacher's marginals, and the CRF.

    As the tags of the chain are independent, the expected score of its paths is a sum over
    positions and over neighbouring pairs. If all tags have probability 1, the divergence is the
    negative log-likelihood.

    Args:
        unaries: float tensor [B, T, K].
        target_logs: float tensor [B, T, K], log-probabilities of the tags.
        lengths: int tensor [B].
        transitions: float tensor [K, K], row: previous tag, column: next tag.

    Returns:
        float tensor [B], summed over the steps.
    """
    mask = _mask(unaries, lengths)[:, :, None]  # [B, T, 1]
    targets = tf.exp(target_logs) * mask
    before = tf.tensordot(targets[:, :-1], transitions, axes=1)  # [B, T - 1, K]
    score = tf.reduce_sum(targets * unaries, axis=[1, 2])
    score += tf.reduce_sum(before * targets[:, 1:], axis=[1, 2])
    negative_entropy = tf.reduce_sum(targets * target_logs, axis=[1, 2])
    return crf_log_norm(unaries, lengths, transitions) - score + negative_entropy


def log_marginals(unaries: np.ndarray, transitions: np.ndarray) -> np.ndarray:
    """Computes the log marginals of each step's tags, by the forward-backward algorithm.

    Args:
        unaries: float [T, K] of one row.
        transitions: float [K, K].

    Returns:
        float64 [T, K].
    """
    unaries, moves = np.asarray(unaries, np.float64), np.asarray(transitions, np.float64)
    forward, backward = unaries.copy(), np.zeros_like(unaries)
    for step in range(1, len(unaries)):
        forward[step] += _log_sum(forward[step - 1][:, None] + moves, axis=0)
    for step in range(len(unaries) - 2, -1, -1):
        backward[step] = _log_sum(moves + (unaries[step + 1] + backward[step + 1]), axis=1)
    joint = forward + backward
    return joint - _log_sum(joint, axis=1)[:, None]


def _log_sum(scores, axis):
    top = scores.max(axis=axis, keepdims=True)
    return np.squeeze(top, axis) + np.log(np.exp(scores - top).sum(axis=axis))
