"""Distillation losses: values and gradients, compared with other implementations' golden file."""

import os

import numpy as np
import pytest
import tensorflow.compat.v1 as tf

from albert_zh.model import distillation_losses as losses

GOLDEN = os.path.join(os.path.dirname(os.path.dirname(__file__)), "golden")


@pytest.fixture(scope="module")
def golden():
    return np.load(os.path.join(GOLDEN, "distillation_losses.npz"))


def _computed(golden, loss, teacher=None):
    """Returns (mean over the rows, its gradient) of a loss of the golden logits, in float64."""
    with tf.Graph().as_default(), tf.Session() as session:
        student = tf.constant(golden["student_logits"], tf.float64)
        target = golden["teacher_logits"] if teacher is None else teacher
        mean = tf.reduce_mean(loss(student, tf.constant(target, tf.float64)))
        return session.run([mean, tf.gradients(mean, student)[0]])


def _summed_over_classes(logits, teacher_logits, temperature):
    """Hinton's loss: the mean over the classes times their number."""
    num_classes = int(logits.shape[-1])
    return num_classes * losses.mean_soft_cross_entropy(logits, teacher_logits, temperature)


@pytest.mark.parametrize("temperature", [1, 2, 8])
def test_soft_losses_are_those_of_textbrewer_and_distilbert(golden, temperature):
    for name, loss in (
        ("kd_ce_T%d", lambda s, t: _summed_over_classes(s, t, temperature)),
        ("distilbert_kl_T2scaled_T%d", lambda s, t: losses.softened_divergence(s, t, temperature)),
        ("tinybert_soft_ce_T%d", lambda s, t: losses.mean_soft_cross_entropy(s, t, temperature)),
    ):
        mean, gradient = _computed(golden, loss)
        assert mean == pytest.approx(float(golden[name % temperature]), rel=1e-9)
        expected = golden[name % temperature + "_grad"]
        np.testing.assert_allclose(gradient, expected, rtol=1e-6, atol=1e-9)
    mean, _ = _computed(
        golden, lambda s, t: losses.squared_distance(s / temperature, t / temperature)
    )
    assert mean == pytest.approx(float(golden["kd_mse_T%d" % temperature]), rel=1e-9)


def test_the_labels_share_is_hintons(golden):
    def loss(student, teacher):
        labels = tf.constant(golden["labels"])
        hard = tf.nn.sparse_softmax_cross_entropy_with_logits(labels=labels, logits=student)
        return 0.7 * losses.softened_divergence(student, teacher, 4.0) + 0.3 * hard

    expected = float(golden["hinton_alpha0.7_T4"])
    assert _computed(golden, loss)[0] == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize("temperature", [1, 2])
def test_multi_label_loss(golden, temperature):
    mean, _ = _computed(golden, lambda s, t: losses.softened_label_cross_entropy(s, t, temperature))
    assert mean == pytest.approx(float(golden["multi_label_bce_T%d" % temperature]), rel=1e-9)


def test_a_constant_of_a_row_changes_nothing(golden):
    moved = golden["teacher_logits"] + np.array([[3.0], [-7.0], [0.5]])
    for loss in (
        lambda s, t: losses.softened_divergence(s, t, 2.0),
        lambda s, t: losses.squared_distance(losses.centred(s), losses.centred(t)),
    ):
        assert _computed(golden, loss)[0] == pytest.approx(_computed(golden, loss, moved)[0])


def test_mean_over_mask_leaves_positions_out():
    with tf.Graph().as_default(), tf.Session() as session:
        of_rows = losses.mean_over_mask(
            tf.constant([[1.0, 2.0, 9.0], [5.0, 5.0, 5.0]]),
            tf.constant([[1.0, 1.0, 0.0], [0.0, 0.0, 0.0]]),
        )
        np.testing.assert_allclose(session.run(of_rows), [1.5, 0.0])
