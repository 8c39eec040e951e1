"""Functional relative positions (NEZHA, Wei et al. 2019): distances instead of absolute positions.

The distance of query i and key j has the index `r = clip(j - i, -M, M) + M`, M = 64. Row r of a
fixed table of sines and cosines, T [2M + 1, D], is added to key j in the attention scores and to
value j in the attention output:

    scores[i, j] = q_i . (k_j + T[r]) / sqrt(D)        context[i] = sum over j of p_ij (v_j + T[r])

The table has no variables and is the same in all layers and heads. Its rows are gathered for all
pairs of positions; at each position, the queries of all rows and heads are multiplied with the
vectors of that position in one product.

Letters in shape comments: as in `encoder`; K queries, T keys.
"""

from typing import TYPE_CHECKING, Any, Optional

import numpy as np
import tensorflow.compat.v1 as tf

from albert_zh.model.layers import FIRST_TOKEN, get_shape_list

if TYPE_CHECKING:
    from albert_zh.model.config import AlbertConfig

_WAVELENGTH = 10000.0


def relative_table(depth: int, max_distance: int) -> np.ndarray:
    """The table of distances: sines (even columns) and cosines (odd columns) of the row index.

    Args:
        depth: width of the table, D; if it is odd, the last column is 0, as in the original.
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
        """Computes the table and stores the positions.

        Args:
            depth: size of a head, D.
            max_distance: largest distance, M.
            output_positions: positions of the queries: None for all, in order; `FIRST_TOKEN`; or
                int tensor [B, K].
            key_positions: int tensor [B, T], positions of the keys; None: in order. Requires
                `output_positions`.
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
        batch, heads, length, depth = get_shape_list(query)
        vectors = self._vectors_in_order(num_keys, query.dtype)  # [F, F, D]
        by_query = tf.reshape(tf.transpose(query, [2, 0, 1, 3]), [length, batch * heads, depth])
        products = tf.matmul(by_query, vectors, transpose_b=True)  # [F, B * N, F]
        products = tf.reshape(products, [length, batch, heads, num_keys])
        return tf.transpose(products, [1, 2, 0, 3])

    def context(self, weights: tf.Tensor) -> tf.Tensor:
        """The table's rows, summed with the attention weights.

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
        batch, heads, length, _ = get_shape_list(weights)
        vectors = self._vectors_in_order(num_keys, weights.dtype)  # [F, F, D]
        by_query = tf.reshape(
            tf.transpose(weights, [2, 0, 1, 3]), [length, batch * heads, num_keys]
        )
        sums = tf.matmul(by_query, vectors)  # [F, B * N, D]
        sums = tf.reshape(sums, [length, batch, heads, self._table.shape[1]])
        return tf.transpose(sums, [1, 2, 0, 3])

    def _vectors_in_order(self, length, dtype):
        """The table's rows for all pairs of positions, [F, F, D]."""
        places = tf.range(length)
        distances = places[None, :] - places[:, None]
        distances = tf.clip_by_value(distances, -self._max_distance, self._max_distance)
        return tf.cast(tf.gather(self._table, distances + self._max_distance), dtype)

    def _vectors_of_positions(self, num_keys, dtype):
        """The table's rows for given queries and all keys, [B, K, T, D] or [1, 1, T, D]."""
        is_first = self._positions is FIRST_TOKEN
        queries = tf.zeros([1, 1], tf.int32) if is_first else tf.cast(self._positions, tf.int32)
        keys = tf.range(num_keys)[None] if self._key_positions is None else self._key_positions
        distances = keys[:, None, :] - queries[:, :, None]  # [B, K, T]
        distances = tf.clip_by_value(distances, -self._max_distance, self._max_distance)
        return tf.cast(tf.gather(self._table, distances + self._max_distance), dtype)


def relative_positions_of(
    config: "AlbertConfig", output_positions: Any = None
) -> Optional[RelativePositions]:
    """The relative positions of a layer's attention; None if positions are absolute.

    Args:
        config: `AlbertConfig`.
        output_positions: the only query positions, see `encoder.AlbertModel`; None for all.
    """
    if not config.use_relative_position:
        return None
    depth, most = config.hidden_size // config.num_attention_heads, config.max_relative_position
    places = config.position_ids
    if places is None:
        return RelativePositions(depth, most, output_positions)
    if config.decoding_step is not None:  # the cache's columns are positions
        return RelativePositions(depth, most, places)
    looking = places
    if output_positions is FIRST_TOKEN:
        looking = places[:, :1]
    elif output_positions is not None:
        looking = tf.gather(places, output_positions, batch_dims=1)
    return RelativePositions(depth, most, looking, places)
