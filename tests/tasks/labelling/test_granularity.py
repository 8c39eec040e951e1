"""Parts of a segmenter with several granularities: hashed bigrams, attention, auxiliary loss."""

import copy

import numpy as np
import pytest
import tensorflow.compat.v1 as tf

from albert_zh.common.errors import UserError
from albert_zh.model.config import AlbertConfig
from albert_zh.tasks.labelling import granularity
from albert_zh.tasks.labelling.granularity import GranularitySettings

ROWS, LENGTH, HIDDEN = 2, 6, 8
CONFIG = AlbertConfig(
    vocab_size=30,
    hidden_size=HIDDEN,
    num_attention_heads=2,
    hidden_dropout_prob=0.0,
    attention_probs_dropout_prob=0.0,
)
FEATURES = {
    "input_ids": np.array([[2, 7, 9, 8, 9, 3], [2, 7, 8, 3, 0, 0]]),
    "input_mask": np.array([[1] * 6, [1] * 4 + [0] * 2]),
}
NAMES = ("fine", "coarse")


def encoded(seed=1):
    return np.random.RandomState(seed).randn(ROWS, LENGTH, HIDDEN).astype(np.float32)


def hashed(first, second, size):
    pair = (first * 65521 + second) % 2**32
    return pair * 2654435761 % 2**32 % (size - 1)


@pytest.mark.parametrize("size", [2**10, 2**16, 2**32 // 2])
def test_bigrams_are_hashed(size):
    ids = np.array([[2, 21127, 9, 9, 21127], [0, 1, 2, 3, 2147483647]])
    with tf.Graph().as_default(), tf.Session() as session:
        rows = session.run(granularity.bigram_ids(tf.constant(ids), size))
    for row, values in zip(rows, ids.tolist()):
        assert row.tolist() == [hashed(a, b, size) for a, b in zip(values, values[1:] + [0])]
    assert rows.min() >= 0 and rows.max() < size


def test_bigrams_seldom_share_a_row():
    pairs = [(a, b) for a in range(500, 4500, 40) for b in range(500, 4500, 40)]
    ids = np.array(pairs)
    with tf.Graph().as_default(), tf.Session() as session:
        rows = session.run(granularity.bigram_ids(tf.constant(ids), 2**16))[:, 0]
    expected = 2**16 * (1 - np.exp(-len(pairs) / 2**16))  # for a random hash function
    assert len(set(rows)) > 0.95 * expected


def variables_of(settings, is_training=False):
    """Returns ([joined output, loss], {variable: shape})."""
    with tf.Graph().as_default(), tf.Session() as session:
        tf.set_random_seed(1)
        output = tf.constant(encoded())
        joined = granularity.joined_output(output, FEATURES, CONFIG, settings, is_training)
        loss = granularity.granularity_loss(joined, np.array([0, 1]), CONFIG, settings, is_training)
        session.run(tf.global_variables_initializer())
        shapes = {v.op.name: v.shape.as_list() for v in tf.trainable_variables()}
        return session.run([joined, loss]), shapes


def test_all_parts():
    settings = GranularitySettings(NAMES, num_bigrams=64, bigram_width=4)
    (joined, loss), shapes = variables_of(settings)
    assert joined.shape == (ROWS, LENGTH, HIDDEN) and loss.shape == (ROWS,)
    np.testing.assert_allclose(loss, 0.1 * np.log(2), rtol=0.2)
    assert shapes["granularity/bigram_embeddings"] == [64, 4]
    assert shapes["granularity/join/kernel"] == [4, HIDDEN]
    assert shapes["granularity/prediction/kernel"] == [HIDDEN, 2]
    assert shapes["granularity/attention/self/query/kernel"] == [HIDDEN, HIDDEN]
    parts = {"bigram_embeddings", "join", "attention", "attention_gate", "prediction"}
    assert {tuple(name.split("/")[:2]) for name in shapes} == {("granularity", p) for p in parts}


@pytest.mark.parametrize(
    "settings, prefixes",
    [
        ({"has_bigrams": False}, {"attention", "attention_gate", "prediction"}),
        ({"has_attention": False}, {"bigram_embeddings", "join", "prediction"}),
        ({"has_bigrams": False, "has_attention": False}, {"prediction"}),
        ({"has_bigrams": False, "has_attention": False, "loss_weight": 0}, set()),
    ],
)
def test_parts_can_be_left_out(settings, prefixes):
    (joined, loss), shapes = variables_of(GranularitySettings(NAMES, **settings))
    assert {name.split("/")[1] for name in shapes} == prefixes
    assert np.array_equal(joined, encoded())  # untrained parts change nothing
    if not prefixes:
        assert not loss.any()


def test_padding_and_other_rows_do_not_matter():
    settings = GranularitySettings(NAMES, num_bigrams=64, bigram_width=4)
    config = copy.copy(CONFIG)  # its dropout must only act in training
    config.hidden_dropout_prob = config.attention_probs_dropout_prob = 0.5
    results = []
    for value in (0.0, 50.0):
        output = encoded()
        output[1, 4:] += value
        with tf.Graph().as_default(), tf.Session() as session:
            tf.set_random_seed(1)
            joined = granularity.joined_output(
                tf.constant(output), FEATURES, config, settings, False
            )
            session.run(tf.global_variables_initializer())
            with tf.variable_scope(granularity.SCOPE, reuse=True):
                tf.get_variable("attention_gate", [HIDDEN]).load(np.ones([HIDDEN]), session)
            results.append(session.run(joined))
    assert not np.allclose(results[0][0], encoded()[0])
    np.testing.assert_allclose(results[0][0], results[1][0], rtol=1e-5)
    np.testing.assert_allclose(results[0][1, :4], results[1][1, :4], rtol=1e-5)


def joined_of_trained_bigrams(ids, is_training=False):
    settings = GranularitySettings(NAMES, has_attention=False, num_bigrams=2**16, bigram_width=4)
    with tf.Graph().as_default(), tf.Session() as session:
        tf.set_random_seed(1)
        features = dict(FEATURES, input_ids=ids)
        joined = granularity.joined_output(
            tf.constant(encoded()), features, CONFIG, settings, is_training
        )
        session.run(tf.global_variables_initializer())
        with tf.variable_scope(granularity.SCOPE, reuse=True):
            table = tf.get_variable("bigram_embeddings", [2**16, 4])
        table.load(np.random.RandomState(1).normal(size=(2**16, 4)), session)
        return session.run(joined)


def test_bigrams_are_dropped_in_training_alone():
    found, again = (joined_of_trained_bigrams(FEATURES["input_ids"]) for _ in range(2))
    assert np.array_equal(found, again)
    training = joined_of_trained_bigrams(FEATURES["input_ids"], is_training=True)
    assert (np.abs(training - found).max(axis=2) > 1e-7).mean() > 0.5


def test_a_bigram_changes_its_position_only_without_attention():
    ids_of_both = (FEATURES["input_ids"], np.array([[2, 7, 9, 8, 9, 4], [2, 7, 8, 3, 0, 0]]))
    results = [joined_of_trained_bigrams(ids) for ids in ids_of_both]
    differs = np.abs(results[0] - results[1]).max(axis=2) > 1e-7
    assert np.argwhere(differs).tolist() == [[0, 4], [0, 5]]


def test_the_granularity_is_learnt():
    settings = GranularitySettings(NAMES, loss_weight=1.0)
    with tf.Graph().as_default(), tf.Session() as session:
        tf.set_random_seed(1)
        loss = tf.reduce_mean(
            granularity.granularity_loss(
                tf.constant(encoded()), np.array([1, 0]), CONFIG, settings, False
            )
        )
        train = tf.train.AdamOptimizer(0.1).minimize(loss)
        session.run(tf.global_variables_initializer())
        first = session.run(loss)
        for _ in range(50):
            session.run(train)
        assert session.run(loss) < 0.1 * first


def test_tokens_of_granularities():
    vocab = {"[PAD]": 0, "": 5, "[unused1]": 1, "我": 2, "[unused3]": 3, "龘": 4, "厵": 6}
    tokens = granularity.granularity_tokens(vocab, NAMES, used={"我"})
    assert tokens == {"fine": "[unused1]", "coarse": "[unused3]"}
    tokens = granularity.granularity_tokens(vocab, ["a", "b", "c", "d"], used={"我"})
    assert tokens == {"a": "[unused1]", "b": "[unused3]", "c": "厵", "d": "龘"}
    with pytest.raises(UserError, match=r"--granularities=a,b: the training texts use all.*but 1"):
        granularity.granularity_tokens({"[CLS]": 0, "我": 1, "厵": 2}, ["a", "b"], used={"我"})
