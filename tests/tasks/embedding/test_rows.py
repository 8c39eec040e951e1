"""Rows that pack several texts, and views of a text with repeated tokens."""

import numpy as np
import pytest
import tensorflow.compat.v1 as tf

from albert_zh.model import modeling, sentence_vectors
from albert_zh.tasks.embedding import rows
from albert_zh.text import tokenization
import small_models
from workspace import CONFIG


def test_texts_of_an_example_follow_each_other_without_padding():
    tokenizer = tokenization.FullTokenizer(small_models.STARTER_VOCABULARY)
    record, was_cut = rows.record(["开户", "怎么开户呢"], 3, tokenizer, 6)
    assert was_cut and record[rows.LENGTHS] == [4, 6, 0]
    pieces = tokenizer.convert_ids_to_tokens(record["input_ids"])
    assert pieces == "[CLS] 开 户 [SEP] [CLS] 怎 么 开 户 [SEP]".split()
    assert record["segment_ids"] == [0] * 10
    with tf.Graph().as_default(), tf.Session() as session:
        found = session.run(rows.places(tf.constant([record[rows.LENGTHS]]), 12))
    assert found.text.tolist() == [[0] * 4 + [1] * 6 + [3] * 2]
    assert found.position.tolist() == [[0, 1, 2, 3, 0, 1, 2, 3, 4, 5, 0, 0]]


@pytest.mark.reference
@pytest.mark.parametrize(
    "layout, pooling, is_static",
    [
        ({}, "mean", False),
        ({}, "max", True),
        ({"use_relative_position": True}, "mean", True),
        ({"use_relative_position": True}, "cls", False),
    ],
)
def test_vectors_of_packed_texts_are_those_of_texts_alone(layout, pooling, is_static):
    """Rows are longer than the table of positions: the positions of each text begin at 0."""
    config = modeling.AlbertConfig.from_dict(
        dict(CONFIG, max_position_embeddings=8, initializer_range=0.5, **layout)
    )
    notes = sentence_vectors.SentenceNotes(pooling, True, CONFIG["hidden_size"])
    lengths = np.array([[3, 8, 5], [8, 2, 0], [4, 4, 4]], np.int32)
    random = np.random.RandomState(1)
    texts = [[random.randint(5, 30, length) for length in of_row] for of_row in lengths]
    packed, alone = np.zeros([3, 18], np.int32), np.zeros([9, 8], np.int32)
    for row, of_row in zip(packed, texts):
        row[: sum(map(len, of_row))] = np.concatenate(of_row)
    for row, ids in zip(alone, sum(texts, [])):
        row[: len(ids)] = ids

    def model(of_model, **further):
        names = ("input_ids", "input_mask", "segment_ids")
        arguments = [of_model[name] for name in names]
        return modeling.AlbertModel(config, False, *arguments, scope=config.scope, **further)

    def pool(encoder, mask):
        return sentence_vectors.sentence_vector(encoder, mask, notes)

    with tf.Graph().as_default(), tf.Session() as session:
        ids = tf.placeholder(tf.int32, packed.shape if is_static else [None, None])
        batch = {"input_ids": ids, rows.LENGTHS: tf.constant(lengths)}
        with tf.variable_scope("m", reuse=tf.AUTO_REUSE):
            found = rows.packed_vectors(model, pool, batch)
            of_alone = rows.of_ids(tf.constant(alone), tf.constant(lengths.ravel()))
            expected = pool(model(of_alone), of_alone["input_mask"])
        session.run(tf.global_variables_initializer())
        found, expected = session.run([found, expected], {ids: packed})
    is_text = lengths.ravel() > 0
    np.testing.assert_allclose(found.reshape(9, -1)[is_text], expected[is_text], atol=2e-6)
    assert len(np.unique(expected[is_text].round(3), axis=0)) == is_text.sum()


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
