"""Rows of several texts: their ids in records, and as the encoder reads them.

A record has the ids of an example's first text as those of any task, those of the others in
columns `ids_2`, `ids_3` ..., all as long as the longest, and how long each is. In the graph they
are stacked: rows 0 to B - 1 are the first texts of the batch, B to 2 B - 1 the second ones.
Letters in shape comments: B examples, T texts of each, F tokens.
"""

from typing import Any, Dict, List, Sequence, Tuple

import tensorflow.compat.v1 as tf

from albert_zh.model.layers import dropout_seed
from albert_zh.text import encoding

LENGTHS = "text_lengths"
REPETITION = 0.32  # share of tokens that ESimCSE repeats at most (Wu et al. 2021)
Tensors = Dict[str, tf.Tensor]


def columns_of_ids(num_texts: int) -> List[str]:
    """Names of the columns with the ids of the second to last text."""
    return ["ids_%d" % number for number in range(2, num_texts + 1)]


def record(
    texts: Sequence[str], num_texts: int, tokenizer: Any, max_seq_length: int
) -> Tuple[Dict[str, Any], bool]:
    """The ids of an example.

    Args:
        texts: its texts, the first one not empty.
        num_texts: T; what is missing of them is empty, which has length 0.
        tokenizer: `FullTokenizer`.
        max_seq_length: longest text with [CLS] and [SEP].

    Returns:
        ({column: list of int}, whether a text was cut).
    """
    rows, was_cut = [], False
    for text in list(texts) + [""] * (num_texts - len(texts)):
        ids, _, is_cut = encoding.encode(tokenizer, text, None, max_seq_length)
        rows.append(ids if text else [])
        was_cut |= is_cut
    longest = max(map(len, rows))
    padded = [ids + [0] * (longest - len(ids)) for ids in rows]
    columns = dict(zip(["input_ids"] + columns_of_ids(num_texts), padded))
    return dict(columns, segment_ids=[0] * longest, **{LENGTHS: list(map(len, rows))}), was_cut


def stacked(features: Tensors, num_texts: int) -> Tensors:
    """The first texts of a batch as rows for the encoder: input_ids, input_mask, segment_ids.

    Args:
        features: a batch: `input_ids`, the columns of ids [B, F] and `LENGTHS` [B, T]; or one
            without those columns, of single texts.
        num_texts: how many texts of each.

    Returns:
        {name: int [num_texts * B, F]}.
    """
    if LENGTHS not in features:
        return {name: features[name] for name in ("input_ids", "input_mask", "segment_ids")}
    names = ["input_ids"] + columns_of_ids(num_texts)
    ids = tf.concat([features[name] for name in names], axis=0)
    lengths = tf.transpose(features[LENGTHS][:, :num_texts])
    return of_ids(ids, tf.reshape(lengths, [-1]))


def of_ids(ids: tf.Tensor, lengths: tf.Tensor) -> Tensors:
    """Rows for the encoder of ids [N, F] and their lengths [N]."""
    mask = tf.sequence_mask(lengths, tf.shape(ids)[1], dtype=tf.int32)
    return {"input_ids": ids, "input_mask": mask, "segment_ids": tf.zeros_like(ids)}


def two_views(rows: Tensors, repeats_words: bool, max_length: int) -> Tensors:
    """Each row twice, [B, F] -> [2 B, F]; the second time with some of its tokens repeated.

    Args:
        rows: input_ids, input_mask, segment_ids.
        repeats_words: whether tokens are repeated (ESimCSE); dropout alone makes the views
            different otherwise (SimCSE).
        max_length: longest row.
    """
    ids, lengths = rows["input_ids"], tf.reduce_sum(rows["input_mask"], axis=1)
    others, lengths_of_others = ids, lengths
    if repeats_words:
        others, lengths_of_others = with_repeated_tokens(ids, lengths, dropout_seed(), max_length)
        missing = tf.shape(others)[1] - tf.shape(ids)[1]
        ids = tf.pad(ids, [[0, 0], [0, missing]])
    return of_ids(tf.concat([ids, others], axis=0), tf.concat([lengths, lengths_of_others], axis=0))


def with_repeated_tokens(
    ids: tf.Tensor, lengths: tf.Tensor, seed: tf.Tensor, max_length: int
) -> Tuple[tf.Tensor, tf.Tensor]:
    """Repeats random tokens: of n, a uniform number of 0 to max(2, 0.32 n), each once.

    [CLS] and [SEP] are not repeated, and no row grows beyond the longest length.

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
