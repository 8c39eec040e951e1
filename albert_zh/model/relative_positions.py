"""Functional relative positions (NEZHA, Wei et al. 2019): distances in place of absolute positions.

Query i and key j are `r = clip(j - i, -M, M) + M` apart, M = 64. Row r of a
fixed table of sines and cosines, T [2M + 1, D], is added to key j in the attention's scores and to
value j in its output:

    scores[i, j] = q_i . (k_j + T[r]) / sqrt(D)        context[i] = sum over j of p_ij (v_j + T[r])

The table has no variables and is the same in all layers and heads. The products are computed with
its 2M + 1 rows; `shifted_to_keys` and `shifted_to_distances` then move row i by i columns, which
are copies of memory, so nothing of size [F, F, D] is made.

Letters in shape comments: as in `encoder`; K queries, T keys, C columns of distances.
"""

from typing import Any, Optional

import numpy as np
import tensorflow.compat.v1 as tf

from albert_zh.model.layers import FIRST_TOKEN, get_shape_list

_WAVELENGTH = 10000.0


def relative_table(depth: int, max_distance: int) -> np.ndarray:
    """The table of distances: sines in even columns, cosines in odd ones, of the row's index.

    Args:
        depth: width of the table, D; the last column of an odd width is 0, as in the original.
        max_distance: largest distance, M.

    Returns:
        float32 [2M + 1, D]; row M is distance 0.
    """
    rows = np.arange(2 * max_distance + 1)[:, None]  # the original counts rows, not distances
    pairs = np.arange(depth // 2)[None, :]
    angles = rows / np.power(_WAVELENGTH, 2.0 * pairs / depth)
    table = np.zeros([2 * max_distance + 1, depth])
    table[:, 0 : 2 * (depth // 2) : 2] = np.sin(angles)
    table[:, 1 : 2 * (depth // 2) : 2] = np.cos(angles)
    return table.astype(np.float32)


class RelativePositions:
    """What relative positions add to one layer's attention."""

    def __init__(
        self,
        depth: int,
        max_distance: int,
        output_positions: Any = None,
        key_positions: Optional[tf.Tensor] = None,
    ) -> None:
        """Keeps what the attention asks for.

        Args:
            depth: size of a head, D.
            max_distance: largest distance, M.
            output_positions: positions of the queries: None for all, in order; `FIRST_TOKEN`; or
                int tensor [B, K].
            key_positions: int tensor [B, T], those of the keys; None: in order. Needs positions of
                the queries.
        """
        self._key_positions = key_positions
        self._table = relative_table(depth, max_distance)
        self._max_distance = max_distance
        self._positions = output_positions

    def scores(self, query: tf.Tensor, num_keys: Any) -> tf.Tensor:
        """Products of queries and the table's rows, before they are divided by sqrt(D).

        Args:
            query: float tensor [B, N, K, D].
            num_keys: int or int scalar tensor, T.

        Returns:
            float tensor [B, N, K, T].
        """
        if self._positions is not None:
            vectors = self._vectors_of_positions(num_keys, query.dtype)  # [B, K, T, D]
            by_query = tf.transpose(query, [0, 2, 1, 3])  # [B, K, N, D]
            products = tf.matmul(by_query, vectors, transpose_b=True)  # [B, K, N, T]
            return tf.transpose(products, [0, 2, 1, 3])
        table, beyond = self._columns(num_keys, query.dtype)
        by_distance = tf.tensordot(query, table, [[3], [1]])  # [B, N, F, C]
        return shifted_to_keys(_repeated_at_ends(by_distance, beyond))

    def context(self, weights: tf.Tensor) -> tf.Tensor:
        """The table's rows, summed by attention weights.

        Args:
            weights: float tensor [B, N, K, T].

        Returns:
            float tensor [B, N, K, D].
        """
        num_keys = get_shape_list(weights)[3]
        if self._positions is not None:
            vectors = self._vectors_of_positions(num_keys, weights.dtype)  # [B, K, T, D]
            by_query = tf.transpose(weights, [0, 2, 1, 3])  # [B, K, N, T]
            return tf.transpose(tf.matmul(by_query, vectors), [0, 2, 1, 3])
        table, beyond = self._columns(num_keys, weights.dtype)
        by_distance = _summed_at_ends(shifted_to_distances(weights), beyond)  # [B, N, F, C]
        return tf.tensordot(by_distance, table, [[3], [0]])

    def _columns(self, length, dtype):
        """(rows of the table that a length needs, distances on each side that share an end row)."""
        if isinstance(length, int):
            nearest = min(length - 1, self._max_distance)
        else:
            nearest = tf.minimum(length - 1, self._max_distance)
        first = self._max_distance - nearest
        table = tf.cast(tf.constant(self._table)[first : first + 2 * nearest + 1], dtype)  # [C, D]
        return table, length - 1 - nearest

    def _vectors_of_positions(self, num_keys, dtype):
        """The table's rows between given queries and all keys, [B, K, T, D]; [1, 1, T, D]."""
        is_first = self._positions is FIRST_TOKEN
        queries = tf.zeros([1, 1], tf.int32) if is_first else tf.cast(self._positions, tf.int32)
        keys = tf.range(num_keys)[None] if self._key_positions is None else self._key_positions
        distances = keys[:, None, :] - queries[:, :, None]  # [B, K, T]
        distances = tf.clip_by_value(distances, -self._max_distance, self._max_distance)
        return tf.cast(tf.gather(self._table, distances + self._max_distance), dtype)


def shifted_to_keys(by_distance: tf.Tensor) -> tf.Tensor:
    """Columns of distances become columns of keys: out[i, j] = x[i, j - i + F - 1].

    Args:
        by_distance: float tensor [B, N, F, 2F - 1], of the distances -(F - 1) .. F - 1.

    Returns:
        float tensor [B, N, F, F].
    """
    batch, heads, length, _ = get_shape_list(by_distance)
    x = tf.pad(by_distance, [[0, 0], [0, 0], [0, 0], [0, 1]])  # [B, N, F, 2F]
    x = tf.reshape(x, [batch, heads, 2 * length * length])
    # Entry (i, j) is at 2F * i + j - i + F - 1 = (2F - 1) * i + j + F - 1.
    x = x[:, :, length - 1 : length - 1 + length * (2 * length - 1)]
    return tf.reshape(x, [batch, heads, length, 2 * length - 1])[:, :, :, :length]


def shifted_to_distances(by_key: tf.Tensor) -> tf.Tensor:
    """The reverse of `shifted_to_keys`: out[i, j - i + F - 1] = x[i, j], 0 elsewhere.

    Args:
        by_key: float tensor [B, N, F, F].

    Returns:
        float tensor [B, N, F, 2F - 1].
    """
    batch, heads, length, _ = get_shape_list(by_key)
    x = tf.pad(by_key, [[0, 0], [0, 0], [0, 0], [0, length - 1]])  # [B, N, F, 2F - 1]
    x = tf.reshape(x, [batch, heads, length * (2 * length - 1)])
    x = tf.pad(x, [[0, 0], [0, 0], [length - 1, 1]])
    return tf.reshape(x, [batch, heads, length, 2 * length])[:, :, :, : 2 * length - 1]


def _repeated_at_ends(x: tf.Tensor, count: Any) -> tf.Tensor:
    """The first and last column repeated `count` times more; [B, N, F, C] -> [.., C + 2 count]."""
    if isinstance(count, int) and count == 0:
        return x
    first, last = (tf.tile(end, [1, 1, 1, count]) for end in (x[:, :, :, :1], x[:, :, :, -1:]))
    return tf.concat([first, x, last], axis=3)


def _summed_at_ends(x: tf.Tensor, count: Any) -> tf.Tensor:
    """`count` columns of each end are added to the next one; [B, N, F, C + 2 count] -> [.., C]."""
    if isinstance(count, int) and count == 0:
        return x
    middle = get_shape_list(x)[3] - count
    ends = [x[:, :, :, :count], x[:, :, :, middle:]]
    first, last = (tf.reduce_sum(end, axis=3, keepdims=True) for end in ends)
    others = middle - count - 1
    first = tf.pad(first, [[0, 0], [0, 0], [0, 0], [0, others]])
    last = tf.pad(last, [[0, 0], [0, 0], [0, 0], [others, 0]])
    return x[:, :, :, count:middle] + first + last
