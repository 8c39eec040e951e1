"""Magnitudes of channels, which differ too much for one range in int8, and scales against it.

A few channels are many times as large as the others (Sun et al. 2024, Massive Activations in Large
Language Models). In 8-bit integers with one range for all channels, the others would be rounded
away.
"""

import re
from typing import Any, Iterable, Mapping, Optional, Sequence

import numpy as np
import tensorflow.compat.v1 as tf

from albert_zh.model import graph_inputs
from albert_zh.model.activations import get_activation
from albert_zh.model.channel_scales import ChannelScales
from albert_zh.model.layouts import LAYOUTS

Rows = Iterable[Sequence[np.ndarray]]
LEAST_OF_SCALE = 1e-3  # minimum scale of a channel, relative to the largest
LARGE = 3  # a channel is large if its largest value is this many times the median channel's
MOST_LARGE = 1 / 32  # maximum share of the channels that are computed apart, but at least one
SMOOTHING = 0.75  # share of a channel's size that moves to the kernel, the exponent of the scale


def input_scales(
    session: tf.Session, inputs: Mapping[str, tf.Tensor], config: Any, rows: Rows
) -> ChannelScales:
    """Scales of the products' inputs, and the channels that are computed apart.

    Args:
        session: session of the model's graph.
        inputs: {name: placeholder} of the graph.
        config: the graph's `AlbertConfig`, with empty `channel_scales`.
        rows: as returned by `to_tflite.calibration_rows`.

    Returns:
        `ChannelScales` without those of outputs; grouped kernels have neither `ffn_in` nor
        `ffn_apart`.
    """
    layout = LAYOUTS[config.layout]
    attention = "/%s/self/(query|key|value)" % layout.attention
    products = _operations(session, attention + "/MatMul$")
    attention_in = _smoothing_scale(session, inputs, rows, products)
    if config.ffn_groups > 1:
        return ChannelScales(attention_in=attention_in)
    products = _operations(session, "/%s/MatMul$" % layout.ffn_in)
    ffn_in = _smoothing_scale(session, inputs, rows, products)
    apart = large_channels(session, inputs, config, rows)
    return ChannelScales(attention_in=attention_in, ffn_in=ffn_in, ffn_apart=apart)


def large_channels(
    session: tf.Session, inputs: Mapping[str, tf.Tensor], config: Any, rows: Rows
) -> Optional[np.ndarray]:
    """The channels between the feed-forward layers that are much larger than the others.

    int8 computes them apart, their products in floating point: they would determine the range of
    all channels.

    Args:
        session: session of the model's graph.
        inputs: {name: placeholder} of the graph.
        config: the graph's `AlbertConfig`.
        rows: as returned by `to_tflite.calibration_rows`.

    Returns:
        int array; None if there is no such channel.
    """
    activation = get_activation(config.hidden_act)
    layers = _operations(session, "/%s/BiasAdd$" % LAYOUTS[config.layout].ffn_in)
    tensors = [activation(layer.outputs[0]) for layer in layers]
    largest = _largest(session, inputs, rows, tensors)  # [I]
    most = max(1, int(MOST_LARGE * len(largest)))
    order = np.argsort(-largest, kind="stable")[:most]
    large = np.sort(order[largest[order] > LARGE * np.median(largest)])
    return large if len(large) else None


def output_scales(
    session: tf.Session, inputs: Mapping[str, tf.Tensor], config: Any, rows: Rows
) -> ChannelScales:
    """Adds to the scales the sizes of the outputs' channels.

    Args:
        session: session of the model's graph.
        inputs: {name: placeholder} of the graph.
        config: the graph's `AlbertConfig`; what `channel_scales.ffn_apart` contributes to the
            outputs does not count.
        rows: as returned by `to_tflite.calibration_rows`.

    Returns:
        the config's `channel_scales` with `attention_out` and `ffn_out`.
    """
    layout = LAYOUTS[config.layout]
    layers = {
        "attention_out": "/%s/output/dense/BiasAdd$" % layout.attention,
        "ffn_out": "(?<!attention)/%s/BiasAdd$" % layout.ffn_out,  # attention's end may be the same
    }
    sizes = {}
    for name, pattern in layers.items():
        outputs = [layer.outputs[0] for layer in _operations(session, pattern)]
        sizes[name] = _bounded(_largest(session, inputs, rows, outputs))  # [H]
    return config.channel_scales._replace(**sizes)


def _smoothing_scale(session, inputs, rows, products):
    """The scale of the products' inputs, as in SmoothQuant (Xiao et al. 2023): float array [in].

    Part of a channel's size moves from the input, where all channels have one range, to the
    kernel, where each output has its range.
    """
    largest = _bounded(_largest(session, inputs, rows, [p.inputs[0] for p in products]))
    kernels = session.run([product.inputs[1] for product in products])
    weights = _bounded(np.max([np.abs(kernel).max(axis=1) for kernel in kernels], axis=0))
    scale = largest**SMOOTHING / weights ** (1 - SMOOTHING)
    return scale * (largest / scale).max()


def _bounded(largest):
    """Scales that are not too small to divide by; 1 if all values are 0."""
    return np.maximum(largest, np.float32(LEAST_OF_SCALE * largest.max() or 1.0))


def _operations(session, pattern):
    """The graph's operations whose names match a pattern."""
    found = [op for op in session.graph.get_operations() if re.search(pattern, op.name)]
    if not found:
        raise ValueError("no operation of the graph is named %s" % pattern)
    return found


def _largest(session, inputs, rows, tensors):
    """The largest absolute values of tensors [R, channels], for each channel."""
    placeholders = [inputs[name] for name in graph_inputs.ENCODER_INPUTS]
    largest = np.zeros([int(tensors[0].shape[-1])], np.float32)
    for row in rows:
        for value in session.run(tensors, dict(zip(placeholders, row))):
            largest = np.maximum(largest, np.abs(value).max(axis=0))
    return largest
