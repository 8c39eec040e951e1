"""Magnitudes of the feed-forward layers' channels, which differ too much for one range in int8.

A few channels are many times as large as the others (Sun et al. 2024, Massive Activations in Large
Language Models). In 8-bit integers with one range for all channels, the others would be rounded
away.
"""

import re
from typing import Any, Callable, Iterable, Mapping, Optional, Sequence

import numpy as np
import tensorflow.compat.v1 as tf

from albert_zh.model import graph_inputs
from albert_zh.model.activations import get_activation
from albert_zh.model.layouts import LAYOUTS

Rows = Iterable[Sequence[np.ndarray]]
LEAST_OF_SCALE = 1e-3  # minimum scale of a channel, relative to the largest
LARGE = 3  # a channel is large if its largest value is this many times the median channel's
MOST_LARGE = 1 / 32  # maximum share of the channels that are computed apart, but at least one


def large_channels(
    session: tf.Session, inputs: Mapping[str, tf.Tensor], config: Any, rows: Rows
) -> Optional[np.ndarray]:
    """The channels between the feed-forward layers that are much larger than the others.

    int8 computes them apart, their products in floating point: they would determine the range of
    all channels. All layers have the same large channels: shared weights stay shared.

    Args:
        session: session of the model's graph.
        inputs: {name: placeholder} of the graph.
        config: the graph's `AlbertConfig`.
        rows: as returned by `to_tflite.calibration_rows`.

    Returns:
        int array; None if there is no such channel, or if the layers have grouped kernels.
    """
    if config.ffn_groups > 1:
        return None
    scope = "/" + LAYOUTS[config.layout].ffn_in
    function = get_activation(config.hidden_act)
    largest = _largest(session, inputs, rows, scope, function)  # [I]
    most = max(1, int(MOST_LARGE * len(largest)))
    order = np.argsort(-largest, kind="stable")[:most]
    large = np.sort(order[largest[order] > LARGE * np.median(largest)])
    return large if len(large) else None


def feed_forward_scale(
    session: tf.Session, inputs: Mapping[str, tf.Tensor], config: Any, rows: Rows
) -> np.ndarray:
    """The magnitude of each channel of the feed-forward layers' outputs.

    int8 divides the outputs by this scale, as part of the weights, and multiplies the sum with the
    layer's input by it in floating point. All layers share one scale: shared weights stay shared.

    Args:
        session: session of the model's graph.
        inputs: {name: placeholder} of the graph.
        config: the graph's `AlbertConfig`; what its `ffn_apart` contributes to the outputs does
            not count.
        rows: as returned by `to_tflite.calibration_rows`.

    Returns:
        float32 array [H].
    """
    largest = _largest(session, inputs, rows, scope_of_outputs(config), tf.identity)
    least = LEAST_OF_SCALE * largest.max() or 1.0  # if all values are 0, nothing is scaled
    return np.maximum(largest, np.float32(least))


def scope_of_outputs(config: Any) -> str:
    """Pattern of the second feed-forward layer's scope; attention's scope may have the same end."""
    return "(?<!attention)/" + LAYOUTS[config.layout].ffn_out


def _largest(
    session: tf.Session,
    inputs: Mapping[str, tf.Tensor],
    rows: Rows,
    scope: str,
    function: Callable[[tf.Tensor], tf.Tensor],
) -> np.ndarray:
    """The largest absolute values of a function of layers' outputs, for each channel."""
    outputs = scope + "/BiasAdd$"
    tensors = [
        function(operation.outputs[0])
        for operation in session.graph.get_operations()
        if re.search(outputs, operation.name)
    ]
    if not tensors:
        raise ValueError("no operation of the graph is named %s" % outputs)
    placeholders = [inputs[name] for name in graph_inputs.ENCODER_INPUTS]
    largest = np.zeros([int(tensors[0].shape[-1])], np.float32)
    for row in rows:
        for output in session.run(tensors, dict(zip(placeholders, row))):  # [R, channels]
            largest = np.maximum(largest, np.abs(output).max(axis=0))
    return largest
