"""Initial weights with which masked-LM training soon leaves its first plateau (`--warm_start`).

    values = start_values(config, shapes, piece_counts, seed)  # {variable name: array}

Names and shapes are the same as in any checkpoint of the layout; only some values are not random:

- word table: standard deviation 0.03; its projection to the hidden size: orthogonal, gain 1.5;
- position table: sinusoids of rms 0.05;
- half of the heads attend to the neighbours at -1, +1, -2, +2, -3, +3: the key holds sines and
  cosines of a position, the query the same, rotated by the offset;
- a quarter of the heads attend to the same piece: query and key are the same projection of the word
  vector, and an additional column favours the other segment;
- output bias: log of the pieces' frequencies.

Thus every layer can read position and word from the first step on, and the model can begin by
learning n-gram statistics. docs/pretraining.md shows the effect of each part.
"""

import re
from typing import Dict, Mapping, Sequence

import numpy as np

from albert_zh.common.errors import UserError
from albert_zh.model.checkpoints import checkpoint_values
from albert_zh.model.config import AlbertConfig
from albert_zh.model.layouts import LAYOUTS

WORD_DEVIATION = 0.03
PROJECTION_GAIN = 1.5
POSITION_RMS = 0.05
SEGMENT_RMS = 0.02
NEIGHBOUR_GAIN = 1.3  # gain of query and key: how sharp the attention of a head is
SAME_PIECE_GAIN = 1.2
OTHER_SEGMENT_GAIN = 0.25
OFFSETS = (-1, 1, -2, 2, -3, 3)
_LOWEST_FREQUENCY = 1 / 2000.0
_ATTENTION = re.compile(r"/self/(query|key)/kernel$")


def write_checkpoint(
    prefix: str,
    config: AlbertConfig,
    shapes: Mapping[str, Sequence[int]],
    piece_counts: np.ndarray,
    seed: int,
) -> str:
    """Writes `start_values` as a checkpoint.

    Args:
        prefix: checkpoint prefix to write.
        config: `AlbertConfig`.
        shapes: {name: shape} of the variables.
        piece_counts: int [V], how often each piece occurs.
        seed: int.

    Returns:
        `prefix`.
    """
    checkpoint_values.write_checkpoint(prefix, start_values(config, shapes, piece_counts, seed))
    return prefix


def start_values(
    config: AlbertConfig, shapes: Mapping[str, Sequence[int]], piece_counts: np.ndarray, seed: int
) -> Dict[str, np.ndarray]:
    """Computes the initial values of all variables.

    Args:
        config: `AlbertConfig`.
        shapes: {name: shape} of the variables.
        piece_counts: int [V], how often each piece occurs.
        seed: int.

    Returns:
        {name: float32 array}.

    Raises:
        UserError: for ELECTRA, and for a model without a position table, which the heads' initial
            values require.
    """
    if config.use_relative_position:
        raise UserError(
            "--warm_start: the config has use_relative_position, and these initial weights need "
            "a position table: train with --warm_start=false"
        )
    if config.layout == "electra":
        raise UserError(
            "--warm_start: these initial weights do not support ELECTRA: train with "
            "--warm_start=false"
        )
    generator = np.random.RandomState(seed)
    weights = _drawn_weights(config, shapes, generator)
    tables = _tables(config, weights, generator)
    queries, keys = _attention_columns(config, tables, generator)
    for name in weights:
        match = _ATTENTION.search(name)
        if match:
            columns = queries if match.group(1) == "query" else keys
            weights[name][:, : columns.shape[1]] = columns
        elif name.endswith("cls/predictions/output_bias"):
            frequencies = (piece_counts + 1.0) / (piece_counts + 1.0).sum()
            weights[name] = np.log(frequencies) - np.log(frequencies).mean()
    return _in_float32(weights)


def usual_values(
    config: AlbertConfig, shapes: Mapping[str, Sequence[int]], seed: int
) -> Dict[str, np.ndarray]:
    """Initial values without any of the parts above, for comparison.

    They are nearly what a graph draws: values beyond two standard deviations are clipped here,
    whereas a graph redraws them.

    Args:
        config: `AlbertConfig`.
        shapes: {name: shape} of the variables.
        seed: int.

    Returns:
        {name: float32 array}.
    """
    return _in_float32(_drawn_weights(config, shapes, np.random.RandomState(seed)))


def _in_float32(weights):
    return {name: np.asarray(array, np.float32) for name, array in weights.items()}


def _drawn_weights(config, shapes, generator):
    return {name: _drawn_weight(name, shapes[name], config, generator) for name in sorted(shapes)}


def _drawn_weight(name, shape, config, generator):
    if name.endswith("gamma"):
        return np.ones(shape)
    if name.endswith(("beta", "bias")):
        return np.zeros(shape)
    return np.clip(generator.standard_normal(shape), -2, 2) * config.initializer_range


class _Tables:
    """Maps from hidden vectors back to the embeddings in them.

    Attributes:
        positions: maps hidden vectors to the columns of the position table, [H, columns].
        words: maps hidden vectors to word vectors, [H, word width].
        segment: the direction of hidden vectors in which the segments differ, [H].
        frequencies: frequencies of the sinusoids, [columns // 2].
    """

    def __init__(self, positions, words, segment, frequencies):
        self.positions = positions
        self.words = words
        self.segment = segment
        self.frequencies = frequencies


def _tables(config, weights, generator):
    """Sets the embedding tables and their projection in `weights`; returns `_Tables`."""
    scope = "bert/embeddings/"
    words = weights[scope + "word_embeddings"]
    words[:] = generator.standard_normal(words.shape) * WORD_DEVIATION
    projection = np.eye(config.word_width)
    kind = LAYOUTS[config.layout].projection
    projection_name = {
        "word_embeddings_2": scope + "word_embeddings_2",
        "embedding_hidden_mapping_in": "bert/encoder/embedding_hidden_mapping_in/kernel",
    }.get(kind)
    if projection_name in weights:
        projection = _orthogonal(weights[projection_name].shape, generator)  # [E, H]
        weights[projection_name] = PROJECTION_GAIN * projection
    positions = weights[scope + "position_embeddings"]
    frequencies = _frequencies(positions.shape[1] // 2, generator)
    angles = np.arange(len(positions))[:, None] * frequencies
    waves = np.sqrt(2) * POSITION_RMS * np.concatenate([np.sin(angles), np.cos(angles)], axis=1)
    positions[:, : waves.shape[1]] = waves
    segments = weights[scope + "token_type_embeddings"]
    direction = generator.choice([-1.0, 1.0], segments.shape[1])
    segments[:2] = SEGMENT_RMS * direction * np.array([[1.0], [-1.0]])[: len(segments)]
    is_before = kind != "embedding_hidden_mapping_in" or projection_name not in weights
    to_tables = np.eye(config.hidden_size) if is_before else projection.T
    segment = to_tables.dot(direction / np.sqrt(len(direction)))
    return _Tables(to_tables, projection.T, segment, frequencies)


def _frequencies(count, generator):
    """Frequencies: half are high, to separate neighbours, half low, for distant positions."""
    high = generator.uniform(0.05, np.pi, count - count // 2)
    low = np.geomspace(1.0, _LOWEST_FREQUENCY, max(count // 2, 1))[: count // 2]
    return np.concatenate([high, low])


def _attention_columns(config, tables, generator):
    """The first columns of query and key kernels, [H, heads * D] each, for the heads set here."""
    size = config.hidden_size // config.num_attention_heads
    queries, keys = [], []
    for head in range(config.num_attention_heads // 2):
        query, key = _neighbour_head(tables, size, head, generator)
        queries.append(query)
        keys.append(key)
    for _ in range(config.num_attention_heads // 4):
        query, key = _same_piece_head(tables, size, generator)
        queries.append(query)
        keys.append(key)
    return [
        np.concatenate(columns or [np.zeros([config.hidden_size, 0])], axis=1)
        for columns in (queries, keys)
    ]


def _neighbour_head(tables, size, head, generator):
    """(query, key) kernels [H, D] of a head that attends to a fixed offset."""
    count = len(tables.frequencies)
    num_high = count - count // 2
    chosen = generator.permutation(num_high)[: size // 2]
    angles = OFFSETS[head % len(OFFSETS)] * tables.frequencies[chosen]
    sines, cosines = tables.positions[:, chosen], tables.positions[:, count + chosen]
    query, key = (np.zeros([len(tables.positions), size]) for _ in range(2))
    width = len(chosen)
    key[:, :width], key[:, width : 2 * width] = sines, cosines
    # sin(a + o) = sin a cos o + cos a sin o; cos(a + o) = cos a cos o - sin a sin o
    query[:, :width] = sines * np.cos(angles) + cosines * np.sin(angles)
    query[:, width : 2 * width] = cosines * np.cos(angles) - sines * np.sin(angles)
    return NEIGHBOUR_GAIN * query, NEIGHBOUR_GAIN * key


def _same_piece_head(tables, size, generator):
    """(query, key) kernels [H, D] of a head that attends to the same piece in the other segment."""
    width = min(size - 1, tables.words.shape[1])
    columns = np.zeros([len(tables.words), size])
    columns[:, :width] = tables.words.dot(_orthogonal([tables.words.shape[1], width], generator))
    query, key = SAME_PIECE_GAIN * columns, SAME_PIECE_GAIN * columns
    query[:, -1] = OTHER_SEGMENT_GAIN * tables.segment
    key[:, -1] = -OTHER_SEGMENT_GAIN * tables.segment
    return query, key


def _orthogonal(shape, generator):
    """A matrix with orthonormal rows or columns, whichever are fewer."""
    rows, columns = shape
    square, _ = np.linalg.qr(generator.standard_normal([max(shape), min(shape)]))
    return square if rows >= columns else square.T
