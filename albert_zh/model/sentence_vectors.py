"""Sentence vectors: how a model's tokens become one, as `sentence_embedding.json` records it.

    notes = sentence_vectors.read_notes("embedding_output/best")  # None: no embedding model
    vectors = sentence_vectors.sentence_vector(model, input_mask, notes)  # [B, W]

A model folder with that file is an embedding model: everything that encodes texts with it takes
pooling, normalization, width and length from there. A projection (whitening, or a trained one) is
in the folder's checkpoint, variables `sentence_projection/kernel` and `/bias`.
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

# What a model folder calls the description of its sentence vectors.
SENTENCE_FILE = "sentence_embedding.json"
PROJECTION = "sentence_projection"  # variable scope
UNTRAINED_LENGTH = 128  # tokens, where nothing is said
_TINY = 1e-12  # the shortest vector that is normalized to length 1


def _first_token(layers, mask):
    del mask
    return layers[-1][:, 0, :]


def _mean_of_layers(*indices: int) -> Callable[[List[tf.Tensor], tf.Tensor], tf.Tensor]:
    """Of a model with fewer layers those that it has, each once."""

    def pooled(layers, mask):
        places = dict.fromkeys(max(index, -len(layers)) for index in indices)
        return mean_over_tokens(tf.add_n([layers[i] for i in places]) / len(places), mask)

    return pooled


# name: function of the layers' outputs [B, F, H] and a mask [B, F, 1] -> [B, H]. "cls" is the first
# token itself, not the pooler's tanh of it; means count [CLS] and [SEP] as tokens, padding never.
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
_WAY_OUT = "put back what training wrote there, or train again"


class SentenceNotes(NamedTuple):
    """How a model makes a vector of a sentence.

    Fields:
        pooling: a name in `POOLINGS`.
        normalize: whether vectors are made 1 long.
        width: W, values of a vector: the first ones of all that pooling or projection give.
        max_seq_length: longest input in tokens, longer ones are cut.
        widths: all widths that vectors were trained to be cut to (Matryoshka), the largest first.
        projection_width: outputs of the projection that follows the pooling; None without one.
    """

    pooling: str = "mean"
    normalize: bool = True
    width: int = 0
    max_seq_length: int = 64
    widths: Tuple[int, ...] = ()
    projection_width: Optional[int] = None


def write_notes(folder: str, notes: SentenceNotes) -> None:
    """Writes `sentence_embedding.json`, which makes a model folder that of an embedding model."""
    output_files.write_json(os.path.join(folder, SENTENCE_FILE), as_json(notes))


def as_json(notes: SentenceNotes) -> Dict[str, Any]:
    """The content of `sentence_embedding.json`."""
    return dict(notes._asdict(), widths=list(notes.widths))


def read_notes(folder: str) -> Optional[SentenceNotes]:
    """How the model of a folder makes sentence vectors; None of a folder that does not say it.

    Raises:
        UserError: for a file that is damaged.
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
    """`read_notes` of a folder that has to be an embedding model's.

    Args:
        folder: the model folder.
        flag: the flag that named it, for the error.

    Raises:
        UserError: if it does not say how sentence vectors are made.
    """
    notes = read_notes(folder)
    if notes is None:
        raise UserError(
            "--%s: %s has no %s, so it is not known how its vectors are pooled: train an embedding "
            "model with run_sentence_embedding.py, or name the folder of one"
            % (flag, folder, SENTENCE_FILE)
        )
    return notes


def notes_or_mean(folder: str, config: Any) -> SentenceNotes:
    """How a folder's model makes sentence vectors; of one that does not say it the mean of tokens.

    Args:
        folder: the model folder.
        config: its `AlbertConfig`.

    Raises:
        UserError: for notes that are damaged or do not suit the model.
    """
    notes = read_notes(folder)
    if notes is None:
        length = min(UNTRAINED_LENGTH, config.longest_sequence)
        return SentenceNotes("mean", False, config.hidden_size, length)
    check_notes(notes, config, os.path.join(folder, SENTENCE_FILE))
    return notes


def check_notes(notes: SentenceNotes, config: Any, source: str) -> None:
    """Raises `UserError` unless notes suit a model.

    Args:
        notes: the notes.
        config: `AlbertConfig`.
        source: file or flag that they are from, for the error.
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
    """One vector for a row's tokens, float32 [B, H].

    Args:
        model: `AlbertModel`; pooled of it are the layers that `pooling` needs.
        input_mask: int [B, F], 1 for tokens and 0 for padding.
        pooling: a name in `POOLINGS`.
    """
    layers = [tf.cast(layer, tf.float32) for layer in model.get_hidden_states()[1:]]
    mask = tf.cast(input_mask[:, :, None], tf.float32)  # [B, F, 1]
    return POOLINGS[pooling](layers, mask)


def sentence_vector(model: Any, input_mask: tf.Tensor, notes: SentenceNotes) -> tf.Tensor:
    """The graph of a model's sentence vectors, float32 [B, W].

    Args:
        model: `AlbertModel` with all positions of its last layer (of "cls" the first suffices).
        input_mask: int [B, F], 1 for tokens and 0 for padding.
        notes: how vectors are made.
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
