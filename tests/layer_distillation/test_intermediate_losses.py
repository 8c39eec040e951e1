"""Losses of attention and hidden states, compared with TinyBERT, TextBrewer and MiniLM."""

import numpy as np
import pytest
import tensorflow.compat.v1 as tf

from albert_zh.layer_distillation import intermediate_losses as losses
from golden_distillation import GOLDEN

MASK = GOLDEN["mask"]
LAYERS = range(3)
RELATIVE = 1e-6


def run(fetches):
    with tf.Session() as session:
        return session.run(fetches)


def assert_close(actual, expected):
    scale = np.max(np.abs(expected))
    np.testing.assert_allclose(actual, expected, rtol=RELATIVE, atol=RELATIVE * scale)


@pytest.fixture(autouse=True)
def graph():
    with tf.Graph().as_default():
        yield


def test_tinybert_attention_loss_and_gradient():
    scores = tf.constant(GOLDEN["student_scores"])
    layers = GOLDEN["tinybert_attention_layers_of_teacher_0based"]
    by_layer = [
        losses.original_attention_loss(scores[i], tf.constant(GOLDEN["teacher_scores"][layers[i]]))
        for i in LAYERS
    ]
    actual, gradient = run([by_layer, tf.gradients(tf.add_n(by_layer), scores)[0]])
    assert_close(actual, GOLDEN["tinybert_attention_losses"])
    assert_close(gradient, GOLDEN["tinybert_grad_student_scores"])


def test_tinybert_hidden_loss_and_gradients():
    inputs = [tf.constant(GOLDEN[name]) for name in ("student_hidden", "fit_kernel", "fit_bias")]
    states = GOLDEN["tinybert_hidden_indices_of_teacher_0_is_embeddings"]
    by_state = [
        losses.original_hidden_loss(
            losses.fitted(inputs[0][i], *inputs[1:]), tf.constant(GOLDEN["teacher_hidden"][j])
        )
        for i, j in enumerate(states)
    ]
    actual, gradients = run([by_state, tf.gradients(tf.add_n(by_state), inputs)])
    assert_close(actual, GOLDEN["tinybert_hidden_losses"])
    for name, gradient in zip(("student_hidden", "fit_kernel", "fit_bias"), gradients):
        assert_close(gradient, GOLDEN["tinybert_grad_" + name])


def test_losses_of_real_tokens_alone():
    """The losses equal TextBrewer's masked losses."""
    fitted = losses.fitted(
        tf.constant(GOLDEN["student_hidden"][1]), GOLDEN["fit_kernel"], GOLDEN["fit_bias"]
    )
    mask = tf.constant(MASK)
    hidden = losses.hidden_loss(fitted, tf.constant(GOLDEN["teacher_hidden"][2]), mask)
    scores = [tf.constant(GOLDEN[name]) for name in ("student_scores", "teacher_scores")]
    attention = losses.attention_loss(scores[0][0], scores[1][1], mask)
    hidden, attention = run([hidden, attention])
    assert_close(hidden, GOLDEN["textbrewer_hidden_mse"])
    assert_close(attention, GOLDEN["textbrewer_attention_mse_masked"])


@pytest.mark.parametrize("number, name", enumerate(["qq", "kk", "vv"]))
@pytest.mark.parametrize("heads", [1, 2, 4])
def test_relations(number, name, heads):
    """The losses equal MiniLMv2's, for any number of heads in the vectors."""
    vectors = [_in_heads(GOLDEN[key][number], heads) for key in ("student_qkv", "teacher_qkv")]
    loss = losses.relation_loss(*vectors, tf.constant(MASK), num_heads=4)
    assert_close(run(loss), GOLDEN["minilmv2_%s_4_heads" % name])


def _in_heads(rows, heads):
    batch, length, width = rows.shape
    rows = rows.reshape(batch, length, heads, width // heads)
    return tf.constant(rows.transpose(0, 2, 1, 3))


@pytest.mark.parametrize("widths, heads", [((312, 768), 24), ((312, 1024), 8), ((312, 312), 24)])
def test_number_of_relation_heads(widths, heads):
    assert losses.num_relation_heads(*widths) == heads


def test_parts_of_a_batch_add_up_to_its_losses():
    mask = tf.constant(MASK)
    counts = losses.counts_of(mask)
    inputs = {
        losses.attention_loss: (GOLDEN["student_scores"][0], GOLDEN["teacher_scores"][0]),
        losses.hidden_loss: (GOLDEN["student_hidden"][0], GOLDEN["student_hidden"][1]),
    }
    for loss, pair in inputs.items():
        pair = [tf.constant(x) for x in pair]
        parts = [
            loss(*[x[begin:end] for x in pair], mask[begin:end], counts)
            for begin, end in ((0, 1), (1, 3))
        ]
        whole, total = run([loss(*pair, mask), tf.add_n(parts)])
        assert_close(total, whole)
