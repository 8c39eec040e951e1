"""The table of n-grams beside a classifier, compared with an implementation in NumPy."""

import numpy as np
import pytest
import tensorflow.compat.v1 as tf

from albert_zh.model import ngram_table

IDS = np.array([[2, 50, 51, 7, 50, 3], [2, 60, 60, 3, 0, 0]], np.int32)
MASK = np.array([[1, 1, 1, 1, 1, 1], [1, 1, 1, 1, 0, 0]], np.int32)


def expected_places(tokens, num_rows, singles, length):
    """The rows of a text's tokens after the first one, and of its pairs and triples of tokens."""
    tokens = [token % 32768 for token in tokens]
    longer = [a * 40499 + b for a, b in zip(tokens, tokens[1:])]
    if length == 3:
        longer += [pair % 32749 * 40499 + c for pair, c in zip(longer, tokens[2:])]
    assert max(longer) < 2**31
    places = [singles + number % (num_rows - singles) for number in longer]
    return [token % singles for token in tokens[1:]] + places


def logits_of(ids, mask, weights, bias, singles=256, length=3):
    """The logits of rows of ids for a table with these values."""
    with tf.Graph().as_default(), tf.Session() as session:
        shape = ngram_table.TableShape(len(weights), singles, length)
        logits = ngram_table.ngram_logits(
            tf.constant(ids), tf.constant(mask), shape, weights.shape[1]
        )
        session.run(tf.global_variables_initializer())
        assert not session.run(logits).any()  # the table starts as 0
        variables = {variable.op.name: variable for variable in tf.trainable_variables()}
        assert set(variables) == {"ngrams/table", "ngrams/bias"}
        variables["ngrams/table"].load(weights, session)
        variables["ngrams/bias"].load(bias, session)
        return session.run(logits)


@pytest.mark.parametrize("length", [2, 3])
@pytest.mark.parametrize("num_rows, singles", [(65536, 8000), (1024, 256), (1024, 40)])
def test_logits_are_the_formula(num_rows, singles, length):
    draw = np.random.RandomState(num_rows)
    weights = draw.randn(num_rows, 5).astype(np.float32)
    bias = draw.randn(5).astype(np.float32)
    found = logits_of(IDS, MASK, weights, bias, singles, length)
    for row, tokens in zip(found, ([2, 50, 51, 7, 50, 3], [2, 60, 60, 3])):
        places = expected_places(
            tokens, num_rows, singles, length
        )  # repeated tokens count repeatedly
        expected = bias + 4 * weights[places].sum(axis=0) / np.sqrt(len(places))
        np.testing.assert_allclose(row, expected, rtol=1e-5)


def test_the_first_logits_are_the_initial_bias():
    with tf.Graph().as_default(), tf.Session() as session:
        ids, mask = tf.constant(IDS), tf.constant(MASK)
        shape = ngram_table.TableShape(1024, 256, 3)
        logits = ngram_table.ngram_logits(ids, mask, shape, 2, [0.5, -3.0])
        session.run(tf.global_variables_initializer())
        assert session.run(logits).tolist() == [[0.5, -3.0]] * 2


def test_padding_does_not_change_logits():
    draw = np.random.RandomState(3)
    weights, bias = draw.randn(1024, 3).astype(np.float32), np.zeros(3, np.float32)
    shorter = logits_of(IDS[1:, :4], MASK[1:, :4], weights, bias)
    np.testing.assert_allclose(logits_of(IDS, MASK, weights, bias)[1:], shorter, rtol=1e-6)


@pytest.mark.parametrize(
    "head, vocab_size, expected",
    [
        ({"ngram_rows": 2**18, "ngram_length": 3}, 8000, (2**18, 8000, 3)),
        ({"ngram_rows": 2**18, "ngram_length": 3}, 119547, (2**18, 2**15, 3)),
        ({"ngram_rows": 2**12, "ngram_length": 3}, 8000, (2**12, 2**10, 3)),
        ({"ngram_rows": 2**17}, 8000, (2**17, 2**15, 2)),  # a model of the first version
    ],
)
def test_shape_of_a_models_table(head, vocab_size, expected):
    assert ngram_table.table_shape(head, vocab_size) == expected


def test_ids_of_large_vocabularies_stay_in_the_table():
    draw = np.random.RandomState(4)
    weights, bias = draw.randn(1024, 3).astype(np.float32), np.zeros(3, np.float32)
    found = logits_of(np.full([1, 6], 119546, np.int32), MASK[:1], weights, bias)
    places = expected_places([119546] * 6, 1024, 256, 3)
    expected = 4 * weights[places].sum(axis=0) / np.sqrt(len(places))
    np.testing.assert_allclose(found[0], expected, rtol=1e-5)


def test_predicted_is_the_mean_of_both_and_trained_is_each():
    with tf.Graph().as_default(), tf.Session() as session:
        of_encoder = {"logits": tf.constant([[1.0, 2.0], [3.0, 5.0]]), "other": tf.constant(7)}
        of_table = tf.constant([[4.0, 6.0], [4.0, 6.0]])
        trained = ngram_table.beside_encoder(of_encoder, of_table, True)
        used = ngram_table.beside_encoder(of_encoder, of_table, False)
        assert trained == dict(of_encoder, ngram_logits=of_table)
        assert set(used) == {"logits", "other"}
        assert session.run(used["logits"]).tolist() == [[2.5, 4], [3.5, 5.5]]
