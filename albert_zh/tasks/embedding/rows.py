"""Packs several texts into one row: their ids in records, and the inputs of the encoder.

A record has the ids of all texts of an example, concatenated without padding, and the length of
each text. The encoder reads such a packed row directly: texts do not attend to each other, and
positions start again at 0 with each text (`packed_vectors`).
Letters in shape comments: B examples, T texts per example, F tokens, L tokens of the longest text.
"""

from typing import Any, Callable, Dict, List, NamedTuple, Sequence, Tuple

import tensorflow.compat.v1 as tf

from albert_zh.model.layers import dropout_seed, gather_positions, get_shape_list
from albert_zh.text import encoding

LENGTHS = "text_lengths"
REPETITION = 0.32  # maximum share of tokens that ESimCSE repeats (Wu et al. 2021)
Tensors = Dict[str, tf.Tensor]


def record(
    texts: Sequence[str], num_texts: int, tokenizer: Any, max_seq_length: int
) -> Tuple[Dict[str, Any], bool]:
    """The ids of an example.

    Args:
        texts: its texts, the first one not empty.
        num_texts: T; missing texts are empty and have length 0.
        tokenizer: `FullTokenizer`.
        max_seq_length: maximum length of a text with [CLS] and [SEP].

    Returns:
        ({column: list of int}, whether a text was truncated).
    """
    ids_of_all: List[int] = []
    lengths, was_cut = [], False
    for text in list(texts) + [""] * (num_texts - len(texts)):
        ids, _, is_cut = encoding.encode(tokenizer, text, None, max_seq_length)
        lengths.append(len(ids) if text else 0)
        ids_of_all += ids[: lengths[-1]]
        was_cut |= is_cut
    segment_ids = [0] * len(ids_of_all)
    return {"input_ids": ids_of_all, "segment_ids": segment_ids, LENGTHS: lengths}, was_cut


class Places(NamedTuple):
    """The text and position of each token of packed rows.

    Fields:
        text: int [B, F], the index of a token's text in the row; T for padding.
        position: int [B, F], the position of a token in its text; 0 for padding.
    """

    text: tf.Tensor
    position: tf.Tensor


def places(lengths: tf.Tensor, width: Any) -> Places:
    """The `Places` of rows whose texts have the given lengths.

    Args:
        lengths: int [B, T].
        width: F, int or int scalar tensor.
    """
    ends = tf.cumsum(lengths, axis=1)  # [B, T]
    columns = tf.range(width)[None, :]
    text = tf.reduce_sum(tf.cast(columns[:, :, None] >= ends[:, None, :], tf.int32), axis=2)
    padded_starts = tf.concat([tf.zeros_like(ends[:, :1]), ends], axis=1)  # [B, T + 1]
    position = columns - tf.batch_gather(padded_starts, text)
    return Places(text, tf.where(text < int(lengths.shape[1]), position, tf.zeros_like(position)))


def packed_vectors(
    model: Callable[..., Any], pool: Callable[[Any, tf.Tensor], tf.Tensor], packed: Tensors
) -> tf.Tensor:
    """Vectors of the texts in packed rows, the same as if each text were a separate row.

    Args:
        model: function that creates an `AlbertModel` from rows and further arguments.
        pool: function of a model's layers (`get_hidden_states`) and a mask [N, L] ->
            float [N, W].
        packed: input_ids [B, F] and `LENGTHS` [B, T].

    Returns:
        float [B, T, W]; the vectors of texts of length 0 are meaningless.
    """
    ids, lengths = packed["input_ids"], packed[LENGTHS]
    where = places(lengths, get_shape_list(ids)[1])
    sees = tf.cast(tf.equal(where.text[:, :, None], where.text[:, None, :]), tf.int32)
    rows = of_ids(ids, tf.reduce_sum(lengths, axis=1))
    encoder = model(rows, attention_mask=sees, position_ids=where.position)
    texts = _SeparateTexts(encoder, lengths, get_shape_list(ids)[1])
    vectors = pool(texts, texts.mask)  # [B * T, W]
    return tf.reshape(vectors, [-1, int(lengths.shape[1]), int(vectors.shape[-1])])


class _SeparateTexts:
    """The layers of packed rows, split into one row per text, [B * T, L, H]."""

    def __init__(self, model, lengths, width):
        """`model`: model of the packed rows; `lengths`: int [B, T]; `width`: F, int or tensor."""
        self._model = model
        self._longest = width if isinstance(width, int) else tf.reduce_max(lengths)  # L
        starts = tf.cumsum(lengths, axis=1, exclusive=True)
        columns = starts[:, :, None] + tf.range(self._longest)  # [B, T, L]
        columns = tf.minimum(columns, width - 1)  # the mask hides what follows a text
        self._columns = tf.reshape(columns, [-1, int(lengths.shape[1]) * self._longest])
        self.mask = tf.sequence_mask(tf.reshape(lengths, [-1]), self._longest, dtype=tf.int32)

    def get_hidden_states(self):
        """List of [B * T, L, H], the first layer's input and the output of each layer."""
        return [
            tf.reshape(
                gather_positions(layer, self._columns), [-1, self._longest, int(layer.shape[-1])]
            )
            for layer in self._model.get_hidden_states()
        ]


def of_ids(ids: tf.Tensor, lengths: tf.Tensor) -> Tensors:
    """Inputs of the encoder for ids [N, F] with lengths [N]."""
    mask = tf.sequence_mask(lengths, tf.shape(ids)[1], dtype=tf.int32)
    return {"input_ids": ids, "input_mask": mask, "segment_ids": tf.zeros_like(ids)}


def two_views(texts: Tensors, repeats_words: bool, max_length: int) -> Tensors:
    """Two views of each text; in the second view, some tokens may be repeated.

    Args:
        texts: input_ids [B, F] and `LENGTHS` [B, 1].
        repeats_words: whether tokens are repeated (ESimCSE); otherwise the views only differ by
            dropout (SimCSE).
        max_length: maximum length of a row.

    Returns:
        input_ids [2 B, F'] and `LENGTHS` [2 B, 1]: all first views, then all second views.
    """
    ids, lengths = texts["input_ids"], texts[LENGTHS][:, 0]
    others, lengths_of_others = ids, lengths
    if repeats_words:
        others, lengths_of_others = with_repeated_tokens(ids, lengths, dropout_seed(), max_length)
        missing = tf.shape(others)[1] - tf.shape(ids)[1]
        ids = tf.pad(ids, [[0, 0], [0, missing]])
    both = tf.concat([lengths, lengths_of_others], axis=0)
    return {"input_ids": tf.concat([ids, others], axis=0), LENGTHS: both[:, None]}


def with_repeated_tokens(
    ids: tf.Tensor, lengths: tf.Tensor, seed: tf.Tensor, max_length: int
) -> Tuple[tf.Tensor, tf.Tensor]:
    """Repeats random tokens once: of n tokens, a uniform number from 0 to max(2, 0.32 n).

    [CLS] and [SEP] are not repeated, and no row becomes longer than `max_length`.

    Args:
        ids: int [N, F].
        lengths: int [N].
        seed: int [2].
        max_length: int.

    Returns:
        (ids [N, F'], lengths [N]).
    """
    width = tf.shape(ids)[1]
    num_words = tf.maximum(lengths - 2, 0)
    most = tf.maximum(2, tf.cast(REPETITION * tf.cast(num_words, tf.float32), tf.int32))
    most = tf.minimum(tf.minimum(most, num_words), tf.maximum(max_length - lengths, 0))
    draws = tf.random.stateless_uniform([tf.shape(ids)[0], width + 1], seed)
    counts = tf.cast(tf.cast(most + 1, tf.float32) * draws[:, 0], tf.int32)  # [N]
    positions = tf.range(width)[None, :]
    is_word = tf.logical_and(positions >= 1, positions < lengths[:, None] - 1)
    order = tf.where(is_word, draws[:, 1:], tf.fill(tf.shape(ids), 2.0))
    ranks = tf.argsort(tf.argsort(order, axis=1), axis=1)
    is_repeated = tf.logical_and(is_word, ranks < counts[:, None])
    ends = tf.cumsum(1 + tf.cast(is_repeated, tf.int32), axis=1)  # [N, F]
    new_width = width + tf.reduce_max(counts)
    targets = tf.tile(tf.range(new_width)[None, :], [tf.shape(ids)[0], 1])
    sources = tf.minimum(tf.searchsorted(ends, targets, side="right"), width - 1)  # [N, F']
    return tf.batch_gather(ids, sources), lengths + counts
