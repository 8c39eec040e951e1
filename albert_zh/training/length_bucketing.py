"""Length bucketing: batches of sequences of similar length, which need little padding.

order = order_by_length(lengths, batch_size, seed)  # every row of a window once, in batches
starts = window_starts(num_examples, batch_size, num_steps)  # windows within epochs
share = share_of(params)  # which part of each step an input function must return
"""

import collections
from typing import Any, Callable, Mapping, Optional, Sequence, TypeVar

import numpy as np
import tensorflow.compat.v1 as tf

_Function = TypeVar("_Function", bound=Callable[..., Any])

PREFETCHED = 4  # batches that are prepared ahead
WINDOW = 4096  # rows that are sorted by length together
ROW = "row"  # the feature with the original position of a reordered row


# The number of replicas (TPU cores, devices) that share a step, the number of input pipelines that
# feed them, and the index of this pipeline.
Share = collections.namedtuple("Share", "num_replicas num_pipelines pipeline")
ALONE = Share(num_replicas=1, num_pipelines=1, pipeline=0)


def share_of(
    params: Mapping[str, Any], input_context: Optional[tf.distribute.InputContext] = None
) -> Share:
    """The part of a step's batch that an input function must return.

    Args:
        params: parameters of a TPUEstimator's input function; on TPU they include a `TPUContext`.
        input_context: context of a strategy; None without a strategy.

    Returns:
        the part; each element of the input is one replica's part of a step.
    """
    if "context" in params:
        context = params["context"]
        return Share(context.num_replicas, context.num_hosts, context.current_host)
    if input_context is not None:
        return Share(
            input_context.num_replicas_in_sync,
            input_context.num_input_pipelines,
            input_context.input_pipeline_id,
        )
    return ALONE


def of_pipeline(batches: tf.data.Dataset, share: Share) -> tf.data.Dataset:
    """The batches that one of several input pipelines yields."""
    if share.num_pipelines == 1:
        return batches
    return batches.shard(share.num_pipelines, share.pipeline)


def order_by_length(lengths: tf.Tensor, batch_size: int, seed: Sequence[Any]) -> tf.Tensor:
    """An order of rows in which a batch has similar lengths and batches come in random order.

    Args:
        lengths: int tensor [N], N a multiple of `batch_size`.
        batch_size: B.
        seed: two int scalars; equal seeds give equal orders.

    Returns:
        int32 tensor [N].
    """
    by_length = tf.reshape(tf.argsort(lengths, stable=True), [-1, batch_size])
    order = tf.argsort(tf.random.stateless_uniform([tf.shape(by_length)[0]], seed))
    return tf.reshape(tf.gather(by_length, order), [-1])


def window_starts(
    num_examples: int, batch_size: int, num_steps: int, window: int = WINDOW
) -> np.ndarray:
    """The first steps of windows; the batches of a window belong to one epoch.

    A batch with the end of one epoch and the beginning of the next is a separate window, so that
    sorting never puts an example into a batch twice.

    Args:
        num_examples: rows per epoch.
        batch_size: rows per step.
        num_steps: the step at which the last window ends.
        window: maximum number of rows in a window.

    Returns:
        int64 [windows], increasing, the first one 0.
    """
    steps_of_window = max(1, window // batch_size)
    num_epochs = -(-num_steps * batch_size // num_examples)
    borders = np.arange(num_epochs + 1, dtype=np.int64) * num_examples
    begins, ends = -(-borders[:-1] // batch_size), borders[1:] // batch_size
    starts = [np.arange(begin, end, steps_of_window) for begin, end in zip(begins, ends)]
    starts = np.unique(np.concatenate(starts + [borders // batch_size]))
    return starts[starts < num_steps]


def prefetched(batches: tf.data.Dataset) -> tf.data.Dataset:
    """Prefetches batches and keeps TensorFlow from tuning or rewriting the pipeline.

    All parallelism is set explicitly. The autotuner's thread would sleep for up to a minute at a
    time and delay the end of its session as long. TensorFlow 1.15 would fuse `shuffle` and `repeat`
    into one operation that uses other seeds, so its order would differ from later versions.

    Args:
        batches: batches of any features.

    Returns:
        the same batches.
    """
    options = tf.data.Options()
    if tf.__version__.startswith("1"):
        options.experimental_optimization.autotune = False
        options.experimental_optimization.shuffle_and_repeat_fusion = False
    else:
        options.autotune.enabled = False
    return batches.prefetch(PREFETCHED).with_options(options)


def without_translation(function: _Function) -> _Function:
    """Wraps a function so that AutoGraph does not convert the input pipelines in it.

    AutoGraph would search for Python loops and conditions to convert to graphs, which takes most of
    a second, and there are none. Do not use it for a function that an Estimator calls, because an
    Estimator inspects parameter names.
    """
    return tf.autograph.experimental.do_not_convert(function)
