"""Masks that the model fills itself, and the detection of replaced pieces."""

import numpy as np
import pytest
import tensorflow.compat.v1 as tf

from albert_zh.model import modeling
from albert_zh.model.checkpoints import checkpoint_values
from albert_zh.pretraining.objectives import replaced_tokens
from pretraining_steps import features_of, trained
import pretraining_workspace as small

VOCAB_SIZE = small.CONFIG["vocab_size"]


def sure_of(ids):
    """Returns log probabilities [N, V] of a model that is certain of these pieces."""
    log_probs = np.full([np.size(ids), VOCAB_SIZE], -1e4, np.float32)
    log_probs[np.arange(np.size(ids)), np.reshape(ids, -1)] = 0
    return tf.constant(log_probs)


@pytest.mark.parametrize("is_right", [True, False])
def test_masks_are_filled_and_the_rest_stays(is_right):
    records = small.masked_records(8)
    records["masked_lm_weights"][2:4, 1:] = 0  # unused predictions
    records["masked_lm_positions"][2:4, 1:] = 0
    records["masked_lm_ids"][2:4, 1:] = 0
    text = small.unmasked_records(8)["input_ids"]
    text[2:4, 3], text[2:4, 5] = (records["input_ids"][2:4, place] for place in (3, 5))
    wanted = records["masked_lm_ids"]
    if not is_right:
        wanted = small.FIRST_WORD + (wanted + 1) % (VOCAB_SIZE - small.FIRST_WORD)
    with tf.Graph().as_default(), tf.Session() as session:
        tf.train.get_or_create_global_step()
        features = {name: tf.constant(values) for name, values in records.items()}
        filled = replaced_tokens.fill(features, sure_of(wanted))
        session.run(tf.global_variables_initializer())
        ids, is_replaced = session.run(filled)
    rows, predictions = np.nonzero(records["masked_lm_weights"])
    places = (rows, records["masked_lm_positions"][rows, predictions])
    expected = text.copy()
    expected[places] = wanted[rows, predictions]
    np.testing.assert_array_equal(ids, expected)
    np.testing.assert_array_equal(is_replaced, expected != text)
    assert is_replaced.sum() == (0 if is_right else len(rows))


def test_pieces_are_drawn_as_often_as_they_are_probable():
    count = 500
    records = small.masked_records(count)
    probabilities = np.zeros(VOCAB_SIZE)
    probabilities[[7, 9]] = 0.25, 0.75
    log_probs = np.log(np.tile(probabilities + 1e-9, [3 * count, 1])).astype(np.float32)
    drawn = []
    for step in (0, 0, 1):
        with tf.Graph().as_default(), tf.Session() as session:
            tf.set_random_seed(1)
            global_step = tf.train.get_or_create_global_step()
            features = {name: tf.constant(values) for name, values in records.items()}
            filled = replaced_tokens.fill(features, tf.constant(log_probs))
            session.run(tf.global_variables_initializer())
            session.run(global_step.assign(step))
            drawn.append(session.run(filled.input_ids)[:, [1, 3, 5]])
    assert set(drawn[0].ravel()) == {7, 9}
    assert abs((drawn[0] == 9).mean() - 0.75) < 0.04
    np.testing.assert_array_equal(drawn[0], drawn[1])  # a resumed run draws the same
    assert (drawn[0] != drawn[2]).any()


def test_losses_of_pieces():
    """A kernel of zeros gives losses of ln 2, which then depend on the bias alone."""
    config = modeling.AlbertConfig.from_dict(small.CONFIG)
    is_replaced = np.float32([[0, 1, 0], [1, 0, 0]])
    with tf.Graph().as_default(), tf.Session() as session:
        ids = tf.constant([[7, 8, 9], [9, 9, 8]])
        model = modeling.AlbertModel(config, False, ids, scope="bert")
        losses = replaced_tokens.detection_losses(config, model, tf.constant(is_replaced))
        session.run(tf.global_variables_initializer())
        head = {v.op.name: v for v in tf.global_variables() if replaced_tokens.SCOPE in v.op.name}
        kernel, bias = (
            head[replaced_tokens.SCOPE + "/output/" + name] for name in ("kernel", "bias")
        )
        session.run(kernel.assign(tf.zeros_like(kernel)))
        np.testing.assert_allclose(session.run(losses), np.full([2, 3], np.log(2)), rtol=1e-6)
        session.run(bias.assign([3.0]))
        expected = np.where(is_replaced, np.log1p(np.exp(-3)), np.log1p(np.exp(3)))
        np.testing.assert_allclose(session.run(losses), expected, rtol=1e-6)


@pytest.mark.slow
@pytest.mark.newest
def test_the_head_is_learnt_and_no_part_of_the_model():
    losses, values = trained(12, replaced_token_weight=2.0)
    _, plain = trained(12)
    head = set(values) - set(plain)
    weights = {name for name in head if not name.endswith(("lamb_m", "lamb_v"))}
    assert weights == {
        "cls/replaced_tokens/%s/%s" % (layer, name)
        for layer in ("dense", "output")
        for name in ("kernel", "bias")
    }
    assert {name for name in head if checkpoint_values.is_of_objective(name)} == weights
    assert {name for name in head if checkpoint_values.is_training_state(name)} == head - weights
    # Guessing costs 2 ln 2 for the detection, and ln 2 for the order of the masked and filled text.
    assert losses[0] == pytest.approx(np.log(VOCAB_SIZE) + 4 * np.log(2), abs=0.2)
    assert losses[-1] < losses[0] - 0.05
    table = "bert/embeddings/word_embeddings"
    assert np.abs(values[table] - plain[table]).max() > 1e-4


@pytest.mark.newest
@pytest.mark.parametrize("changes", [{"plain": True}, {"recompute": True}])
@pytest.mark.slow
def test_other_ways_of_computing_begin_with_the_same_loss(changes):
    """Random draws may differ, which hardly changes the loss before the first step."""
    fast, other = (
        trained(1, replaced_token_weight=2.0, features=features_of, **ways)
        for ways in ({}, changes)
    )
    assert fast[0][0] == pytest.approx(other[0][0], abs=0.02)
