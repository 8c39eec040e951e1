"""Rows of several texts, and views of a text with repeated tokens."""

import numpy as np
import tensorflow.compat.v1 as tf

from albert_zh.tasks.embedding import rows
from albert_zh.text import tokenization
import small_models


def test_texts_of_an_example_are_stacked_below_each_other():
    tokenizer = tokenization.FullTokenizer(small_models.STARTER_VOCABULARY)
    record, was_cut = rows.record(["开户", "怎么开户呢"], 3, tokenizer, 6)
    assert was_cut and record[rows.LENGTHS] == [4, 6, 0]
    with tf.Graph().as_default(), tf.Session() as session:
        features = {name: tf.constant([content]) for name, content in record.items()}
        stacked = session.run(rows.stacked(features, 3))
    pieces = [
        tokenizer.convert_ids_to_tokens(ids[:n]) for ids, n in zip(stacked["input_ids"], (4, 6))
    ]
    assert pieces[0] == ["[CLS]", "开", "户", "[SEP]"]
    assert pieces[1] == ["[CLS]", "怎", "么", "开", "户", "[SEP]"]
    assert stacked["input_mask"].sum(axis=1).tolist() == [4, 6, 0]


def test_repeated_tokens_are_words_that_stand_beside_themselves():
    lengths = np.array([12, 3, 2, 9], np.int32)
    ids = np.zeros((4, 12), np.int32)
    for row, length in zip(ids, lengths):
        row[:length] = [1] + list(range(10, 8 + length)) + [2]
    counts = []
    with tf.Graph().as_default(), tf.Session() as session:
        seed = tf.placeholder(tf.int32, [2])
        views = rows.with_repeated_tokens(tf.constant(ids), tf.constant(lengths), seed, 14)
        for number in range(40):
            changed, new_lengths = session.run(views, {seed: [number, 5]})
            for row, length, before, old in zip(changed, new_lengths, ids, lengths):
                kept = [row[0]] + [b for a, b in zip(row[:length], row[1:length]) if a != b]
                assert kept == before[:old].tolist()
                assert length <= min(14, old + max(2, int(0.32 * (old - 2))))
            counts.append(new_lengths - lengths)
    counts = np.array(counts)
    assert set(counts[:, 0]) == {0, 1, 2} and set(counts[:, 1]) == {0, 1}
    assert not counts[:, 2].any()
