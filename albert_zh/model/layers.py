"""Layers that the encoder and the heads are built from.

Letters in shape comments: as in `encoder`.
"""

import contextlib
from typing import TYPE_CHECKING, Any, Callable, Iterator, List, Optional, Sequence, Tuple, Union
import zlib

import numpy as np
import tensorflow.compat.v1 as tf

from albert_zh.model.activations import get_activation
from albert_zh.model.channel_scales import divided, with_scaled_input
from albert_zh.model.variables import new_variable

if TYPE_CHECKING:
    from albert_zh.model.config import AlbertConfig

LAYER_NORM_EPSILON = 1e-12
FIRST_TOKEN = "first token"  # a value of `output_positions`, see `encoder.AlbertModel`
# Number formats of the encoder's matrix products. Variables, LayerNorm, softmax and losses are
# always float32.
PRECISIONS = {"float32": tf.float32, "bfloat16": tf.bfloat16, "mixed_float16": tf.float16}

_PARTS_OF_BATCH = [0]  # see `part_of_batch`
_REPLAYED: List[Any] = []  # see `replayed_dropout`
_PARTS_OF_REPLICA = 1 << 20  # more than any batch has parts


def gather_positions(sequence: tf.Tensor, positions: tf.Tensor) -> tf.Tensor:
    """Rows of a sequence; float [B, F, H] at int [B, P] -> [B * P, H]."""
    batch, length, width = get_shape_list(sequence, expected_rank=3)
    offsets = tf.reshape(tf.range(batch) * length, [-1, 1])
    flat_positions = tf.reshape(tf.cast(positions, tf.int32) + offsets, [-1])
    return tf.gather(tf.reshape(sequence, [-1, width]), flat_positions)


def mean_over_tokens(sequence: tf.Tensor, mask: tf.Tensor) -> tf.Tensor:
    """Mean over a sequence's tokens, [B, F, W] and float [B, F, 1] -> [B, W]; 0 without tokens."""
    return tf.reduce_sum(sequence * mask, axis=1) / tf.maximum(tf.reduce_sum(mask, axis=1), 1.0)


def max_over_tokens(sequence: tf.Tensor, mask: tf.Tensor) -> tf.Tensor:
    """Maximum over a sequence's tokens, [B, F, W] and float [B, F, 1] -> [B, W]."""
    return tf.reduce_max(sequence + (1.0 - mask) * sequence.dtype.min / 2, axis=1)


def dense(
    x: tf.Tensor,
    width: int,
    config: "AlbertConfig",
    scope: str,
    activation: Any = "linear",
    in_scale: Optional[np.ndarray] = None,
    out_scale: Optional[np.ndarray] = None,
) -> tf.Tensor:
    """Dense layer, variables `kernel` and `bias`.

    Args:
        x: float tensor [R, in].
        width: int, size of the output.
        config: `AlbertConfig`, for the initial values.
        scope: variable scope.
        activation: a name in `ACTIVATIONS`, applied to the output.
        in_scale: as in `channel_scales.with_scaled_input`.
        out_scale: as in `channel_scales.divided`.

    Returns:
        float tensor [R, width].
    """
    with tf.variable_scope(scope):
        kernel, bias = kernel_and_bias(int(x.shape[-1]), width, config)
        x, kernel = with_scaled_input(x, kernel, in_scale)
        kernel, bias = divided(kernel, out_scale), divided(bias, out_scale)
        x = product(x, kernel)
        return get_activation(activation)(tf.nn.bias_add(x, tf.cast(bias, x.dtype)))


def kernel_and_bias(
    size: int, width: int, config: "AlbertConfig", groups: int = 1
) -> Tuple[tf.Variable, tf.Variable]:
    """Variables of a dense layer: [size, width] (grouped: [size / G, width / G, G]) and [width]."""
    shape = [size, width] if groups == 1 else [size // groups, width // groups, groups]
    kernel = new_variable("kernel", shape, config)
    return kernel, tf.get_variable("bias", [width], initializer=tf.zeros_initializer())


def joint_dense(
    x: tf.Tensor, width: int, config: "AlbertConfig", scopes: Sequence[str]
) -> tf.Tensor:
    """Several dense layers of the same input as one matrix product, each with its own variables.

    Args:
        x: float tensor [R, in].
        width: int, size of each output.
        config: `AlbertConfig`, for the initial values.
        scopes: variable scopes.

    Returns:
        float tensor [R, len(scopes) * width].
    """
    kernels, biases = [], []
    for scope in scopes:
        with tf.variable_scope(scope):
            kernels.append(new_variable("kernel", [int(x.shape[-1]), width], config))
            biases.append(tf.get_variable("bias", [width], initializer=tf.zeros_initializer()))
    bias = tf.cast(tf.concat(biases, axis=0), x.dtype)
    return tf.nn.bias_add(product(x, tf.concat(kernels, axis=1)), bias)


def product(x: tf.Tensor, kernel: tf.Tensor, transpose_b: bool = False) -> tf.Tensor:
    """Matrix product in the precision of x, whatever the precision of the kernel."""
    return tf.matmul(x, tf.cast(kernel, x.dtype), transpose_b=transpose_b)


def layer_norm(
    input_tensor: tf.Tensor, name: Optional[str] = None, normalize: Optional[Callable] = None
) -> tf.Tensor:
    """Layer normalization (Ba et al. 2016) of the last axis, variables `beta` and `gamma`.

    Args:
        input_tensor: float tensor [..., width].
        name: variable scope; by default `LayerNorm`, `LayerNorm_1` ... in the current scope.
        normalize: function that computes it, `plainly_normalized` by default.

    Returns:
        float tensor of the same shape.
    """
    width = [int(input_tensor.shape[-1])]
    with tf.variable_scope(name, default_name="LayerNorm"):
        beta = tf.get_variable("beta", width, initializer=tf.zeros_initializer())
        gamma = tf.get_variable("gamma", width, initializer=tf.ones_initializer())
        normalize = normalize or plainly_normalized
        return normalize(input_tensor, beta, gamma, LAYER_NORM_EPSILON)


def plainly_normalized(
    x: tf.Tensor, beta: tf.Tensor, gamma: tf.Tensor, epsilon: float
) -> tf.Tensor:
    """Layer normalization by its plain formula: [..., W], [W], [W] -> [..., W]."""
    wide = tf.cast(x, tf.float32)
    centered = wide - tf.reduce_mean(wide, axis=-1, keepdims=True)
    variance = tf.reduce_mean(centered * centered, axis=-1, keepdims=True)
    # These parentheses keep TensorFlow Lite's converter from folding gamma into the kernels that
    # follow, which would then differ after each LayerNorm.
    wide = centered * (tf.rsqrt(variance + epsilon) * gamma) + beta
    return tf.cast(wide, x.dtype)


def dropout(input_tensor: tf.Tensor, dropout_prob: Optional[float], seed: Any = None) -> tf.Tensor:
    """Dropout (Srivastava et al. 2014) with a seed that is a tensor.

    Args:
        input_tensor: float tensor of any shape.
        dropout_prob: fraction of values set to 0; the rest is scaled by 1 / (1 - dropout_prob). 0
            or None for no dropout.
        seed: int tensor [2]; `dropout_seed()` by default.

    Returns:
        float tensor of the same shape.
    """
    if not dropout_prob:
        return input_tensor
    with tf.name_scope("dropout"):
        seed = dropout_seed() if seed is None else seed
        kept = tf.random.stateless_uniform(tf.shape(input_tensor), seed) >= dropout_prob
        return input_tensor * tf.cast(kept, input_tensor.dtype) * (1.0 / (1.0 - dropout_prob))


def dropout_seed() -> tf.Tensor:
    """An int tensor [2] that depends on graph seed, place in the graph, replica and global step.

    So a run that is stopped and resumed drops the same values as an uninterrupted run. Without a
    global step no run could be reproduced, and the seed is random.
    """
    return _REPLAYED[-1].next_seed() if _REPLAYED else _new_dropout_seed()


def _new_dropout_seed():
    step = tf.train.get_global_step()
    if step is None:
        return tf.random.uniform([2], maxval=2**31 - 1, dtype=tf.int32)
    with tf.name_scope("dropout_seed") as scope:
        site = zlib.crc32(("%s %s" % (tf.get_default_graph().seed, scope)).encode("utf-8"))
        site = tf.constant(site & 0x3FFFFFFF) + _PARTS_OF_BATCH[-1]
        if tf.distribute.has_strategy():
            replica = tf.distribute.get_replica_context().replica_id_in_sync_group
            site += _PARTS_OF_REPLICA * tf.cast(replica, tf.int32)
        return tf.stack([site, tf.cast(step, tf.int32)])


@contextlib.contextmanager
def part_of_batch(number: Any) -> Iterator[None]:
    """Context in which dropout gets separate seeds for each part of a step's batch.

    Args:
        number: int or int scalar tensor, number of the part.
    """
    _PARTS_OF_BATCH.append(number)
    try:
        yield
    finally:
        _PARTS_OF_BATCH.pop()


class _Replay:
    """Hands out the seeds of a list one after another and appends new ones when it is exhausted."""

    def __init__(self, seeds):
        self._seeds, self._num_taken = seeds, 0

    def next_seed(self):
        if self._num_taken == len(self._seeds):
            self._seeds.append(_new_dropout_seed())
        self._num_taken += 1
        return self._seeds[self._num_taken - 1]


@contextlib.contextmanager
def replayed_dropout(seeds: List[tf.Tensor]) -> Iterator[None]:
    """Context in which dropout uses the seeds of a list, so that a rebuilt part drops the same.

    Args:
        seeds: list of int tensors [2]; the first part that is built with the list fills it.
    """
    _REPLAYED.append(_Replay(seeds))
    try:
        yield
    finally:
        _REPLAYED.pop()


def lookup(table: tf.Variable, ids: tf.Tensor, use_one_hot: bool) -> tf.Tensor:
    """Looks up rows of a table: float [V, E] at int [B, F] -> [R, E]."""
    flat_ids = tf.reshape(ids, [-1])
    if use_one_hot:
        return tf.matmul(
            tf.one_hot(flat_ids, int(table.shape[0]), dtype=table.dtype.base_dtype), table
        )
    return tf.gather(table, flat_ids)


def get_shape_list(
    tensor: tf.Tensor,
    expected_rank: Union[int, Sequence[int], None] = None,
    name: Optional[str] = None,
) -> List[Any]:
    """The sizes of a tensor's axes: ints if they are known statically, otherwise scalar tensors.

    Args:
        tensor: the tensor.
        expected_rank: int, or list of accepted ints; None for any rank.
        name: what errors call the tensor; its own name by default.

    Raises:
        ValueError: if the rank is not an expected rank.
    """
    static = tensor.shape.as_list()
    if expected_rank is not None:
        expected = [expected_rank] if isinstance(expected_rank, int) else list(expected_rank)
        if len(static) not in expected:
            raise ValueError(
                "%s has rank %d, expected rank %s"
                % (name or tensor.name, len(static), " or ".join(map(str, expected)))
            )
    dynamic = tf.shape(tensor)
    return [dynamic[axis] if size is None else size for axis, size in enumerate(static)]
