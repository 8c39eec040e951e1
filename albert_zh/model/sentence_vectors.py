"""Sentence vectors: pooling of a model's tokens as recorded in `sentence_embedding.json`.

    notes = sentence_vectors.read_notes("embedding_output/best")  # None: not an embedding model
    vectors = sentence_vectors.sentence_vector(model, input_mask, notes)  # [B, W]

A model folder with that file is an embedding model: all commands that encode texts with it read
pooling, normalization, width and length from the file. A projection (whitening or trained) is
stored in the folder's checkpoint, in the variables `sentence_projection/kernel` and `/bias`.
"""

import os
from typing import Any, Callable, Dict, List, NamedTuple, Optional, Tuple

import tensorflow.compat.v1 as tf

from albert_zh.common import files, output_files, storage, validation
from albert_zh.common.errors import UserError
from albert_zh.model.layers import max_over_tokens, mean_over_tokens

__all__ = [
    "POOLINGS",
    "PROJECTION",
    "SENTENCE_FILE",
    "SentenceNotes",
    "check_notes",
    "notes_of_embedding_model",
    "notes_or_mean",
    "pooled_tokens",
    "read_notes",
    "sentence_vector",
    "write_notes",
]

# Name of the file in a model folder that describes its sentence vectors.
SENTENCE_FILE = "sentence_embedding.json"
PROJECTION = "sentence_projection"  # variable scope
UNTRAINED_LENGTH = 128  # maximum number of tokens of a model without that file
_TINY = 1e-12  # shorter vectors are not normalized to length 1


def _first_token(layers, mask):
    del mask
    return layers[-1][:, 0, :]


def _mean_of_layers(*indices: int) -> Callable[[List[tf.Tensor], tf.Tensor], tf.Tensor]:
    """The mean of some layers, each once; indices before the first layer are clamped to it."""

    def pooled(layers, mask):
        places = dict.fromkeys(max(index, -len(layers)) for index in indices)
        return mean_over_tokens(tf.add_n([layers[i] for i in places]) / len(places), mask)

    return pooled


# name: function (layer outputs [B, F, H], mask [B, F, 1]) -> [B, H]. "cls" is the first token
# itself, not the pooler's tanh of it; means include [CLS] and [SEP], but never padding.
POOLINGS: Dict[str, Callable[[List[tf.Tensor], tf.Tensor], tf.Tensor]] = {
    "cls": _first_token,
    "mean": _mean_of_layers(-1),
    "max": lambda layers, mask: max_over_tokens(layers[-1], mask),
    "first_last_mean": lambda layers, mask: mean_over_tokens((layers[0] + layers[-1]) / 2, mask),
    "second_to_last": _mean_of_layers(-2),
    "last4": _mean_of_layers(-1, -2, -3, -4),
}

FIELDS = {
    "pooling": validation.one_of(*POOLINGS),
    "normalize": validation.BOOLEAN,
    "width": validation.integer(1),
    "widths": validation.list_of(validation.integer(1)),
    "max_seq_length": validation.integer(3),
    "projection_width": validation.or_none(validation.integer(1)),
}
NOTES = validation.record(
    FIELDS,
    required=("pooling", "normalize", "width", "max_seq_length"),
    expected="the JSON object that training wrote there",
)
_WAY_OUT = "restore what training wrote there, or train again"


class SentenceNotes(NamedTuple):
    """How a model computes sentence vectors.

    Fields:
        pooling: a name in `POOLINGS`.
        normalize: whether vectors are normalized to length 1.
        width: W, dimensions of a vector: the first W values after pooling or projection.
        max_seq_length: maximum input length in tokens; longer inputs are truncated.
        widths: all widths that the vectors were trained for (Matryoshka), the largest first.
        projection_width: outputs of the projection after the pooling; None without a projection.
    """

    pooling: str = "mean"
    normalize: bool = True
    width: int = 0
    max_seq_length: int = 64
    widths: Tuple[int, ...] = ()
    projection_width: Optional[int] = None


def write_notes(folder: str, notes: SentenceNotes) -> None:
    """Writes `sentence_embedding.json`, which marks a model folder as an embedding model."""
    output_files.write_json(os.path.join(folder, SENTENCE_FILE), as_json(notes))


def as_json(notes: SentenceNotes) -> Dict[str, Any]:
    """The content of `sentence_embedding.json`."""
    return dict(notes._asdict(), widths=list(notes.widths))


def read_notes(folder: str) -> Optional[SentenceNotes]:
    """How a folder's model computes sentence vectors; None if it is not an embedding model.

    Raises:
        UserError: if the file is damaged.
    """
    path = os.path.join(folder, SENTENCE_FILE)
    if not storage.exists(path):
        return None
    content = files.read_json(path, NOTES, _WAY_OUT)
    known = {name: content[name] for name in SentenceNotes._fields if name in content}
    notes = SentenceNotes(**dict(known, widths=tuple(known.get("widths", ()))))
    if notes.widths and notes.width not in notes.widths:
        raise UserError(
            "%s: width is %d, expected one of its widths %s: %s"
            % (path, notes.width, list(notes.widths), _WAY_OUT)
        )
    return notes


def notes_of_embedding_model(folder: str, flag: str = "model_dir") -> SentenceNotes:
    """As `read_notes`, for a folder that must hold an embedding model.

    Args:
        folder: the model folder.
        flag: the flag that named it, for the error.

    Raises:
        UserError: if it does not record how sentence vectors are computed.
    """
    notes = read_notes(folder)
    if notes is None:
        raise UserError(
            "--%s: %s has no %s, so the pooling of its vectors is unknown: train an embedding "
            "model with run_sentence_embedding.py, or name the folder of such a model"
            % (flag, folder, SENTENCE_FILE)
        )
    return notes


def notes_or_mean(folder: str, config: Any) -> SentenceNotes:
    """How a folder's model computes sentence vectors; by default the mean of its tokens.

    Args:
        folder: the model folder.
        config: its `AlbertConfig`.

    Raises:
        UserError: if the notes are damaged or do not fit the model.
    """
    notes = read_notes(folder)
    if notes is None:
        length = min(UNTRAINED_LENGTH, config.longest_sequence)
        return SentenceNotes("mean", False, config.hidden_size, length)
    check_notes(notes, config, os.path.join(folder, SENTENCE_FILE))
    return notes


def check_notes(notes: SentenceNotes, config: Any, source: str) -> None:
    """Raises `UserError` unless notes fit a model.

    Args:
        notes: the notes.
        config: `AlbertConfig`.
        source: file or flag that they come from, for the error.
    """
    full = notes.projection_width or config.hidden_size
    widest = max((notes.width,) + tuple(notes.widths))
    if widest > full:
        raise UserError(
            "%s: a width of %d, expected at most %d, the width of the model's vectors"
            % (source, widest, full)
        )
    if notes.max_seq_length > config.longest_sequence:
        raise UserError(
            "%s: max_seq_length is %d, expected at most %d, the positions of the model"
            % (source, notes.max_seq_length, config.longest_sequence)
        )


def pooled_tokens(model: Any, input_mask: tf.Tensor, pooling: str) -> tf.Tensor:
    """Pools the tokens of each row into one vector, float32 [B, H].

    Args:
        model: `AlbertModel`; the layers that `pooling` needs are pooled.
        input_mask: int [B, F], 1 for tokens and 0 for padding.
        pooling: a name in `POOLINGS`.
    """
    layers = [tf.cast(layer, tf.float32) for layer in model.get_hidden_states()[1:]]
    mask = tf.cast(input_mask[:, :, None], tf.float32)  # [B, F, 1]
    return POOLINGS[pooling](layers, mask)


def sentence_vector(model: Any, input_mask: tf.Tensor, notes: SentenceNotes) -> tf.Tensor:
    """Builds the graph of a model's sentence vectors, float32 [B, W].

    Args:
        model: `AlbertModel` with all positions of its last layer (for "cls" the first suffices).
        input_mask: int [B, F], 1 for tokens and 0 for padding.
        notes: how vectors are computed.
    """
    vectors = pooled_tokens(model, input_mask, notes.pooling)  # [B, H]
    if notes.projection_width:
        shape = [int(vectors.shape[-1]), notes.projection_width]
        with tf.variable_scope(PROJECTION):
            kernel = tf.get_variable("kernel", shape)
            bias = tf.get_variable("bias", shape[1:], initializer=tf.zeros_initializer())
        vectors = tf.nn.bias_add(tf.matmul(vectors, kernel), bias)
    vectors = vectors[:, : notes.width]
    if notes.normalize:
        vectors /= tf.maximum(tf.norm(vectors, axis=-1, keepdims=True), _TINY)
    return vectors
