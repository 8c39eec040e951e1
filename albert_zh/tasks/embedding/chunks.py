"""Computes the vectors of a large batch in chunks: same results, with the memory of one chunk.

    vectors = vectors_in_chunks(encode, {"input_ids": ids, "input_mask": mask}, 8)  # [N, W]

Method: Gao et al. 2021, "Scaling Deep Contrastive Learning Batch Size under Memory Limited Setup"
(GradCache). The loss and its gradient are computed for all vectors; each chunk is then computed
again with the same dropout, to backpropagate the gradient through it.
"""

import functools
from typing import Callable, Dict, List

import tensorflow.compat.v1 as tf

from albert_zh.model.gradient_checkpointing import recomputed_chain
from albert_zh.model.layers import replayed_dropout

Tensors = Dict[str, tf.Tensor]


def vectors_in_chunks(
    encode: Callable[[Tensors], tf.Tensor], rows: Tensors, width: int, num_chunks: int
) -> tf.Tensor:
    """The vectors of rows, computed one chunk at a time.

    Args:
        encode: function of {name: tensor [n, ...]} -> float [n, W] that gets its variables by
            `tf.get_variable` and its seeds by `layers.dropout_seed`.
        rows: {name: tensor [N, ...]}.
        width: int, W.
        num_chunks: int, at most N.

    Returns:
        float [N, W].
    """
    count = tf.shape(next(iter(rows.values())))[0]

    def with_chunk(chunk: int, seeds: List[tf.Tensor], before: tf.Tensor) -> tf.Tensor:
        first, last = (count * share // num_chunks for share in (chunk, chunk + 1))
        with tf.control_dependencies([before]):  # after the previous chunks
            share = {name: tf.identity(tensor[first:last]) for name, tensor in rows.items()}
        with replayed_dropout(seeds):
            return tf.concat([before, encode(share)], axis=0)

    steps = [functools.partial(with_chunk, chunk, []) for chunk in range(num_chunks)]
    return recomputed_chain(steps, tf.zeros([0, width]))[-1]
