"""Averages of teachers' logits, weights fitted to labels."""

import os

import numpy as np
import pytest

from albert_zh.common.errors import UserError
from albert_zh.distillation import teacher_weights
from albert_zh.tasks import distillation
from albert_zh.tasks.settings import Settings

GOLDEN = os.path.join(os.path.dirname(os.path.dirname(__file__)), "golden")


@pytest.mark.parametrize("temperature", [1, 8])
def test_probabilities_are_averaged_at_the_temperature(temperature):
    golden = np.load(os.path.join(GOLDEN, "distillation_losses.npz"))
    teachers = [golden["teacher_logits"], golden["teacher2_logits"]]
    settings = Settings(temperature=float(temperature))
    averaged = distillation.average_logits(teachers, [0.75, 0.25], settings)
    softened = np.exp(distillation.log_softmax(averaged / temperature))
    expected = golden["two_teachers_weighted_probabilities_.75_.25_T%d" % temperature]
    np.testing.assert_allclose(softened, expected, rtol=1e-6)
    student = distillation.log_softmax(golden["student_logits"] / temperature)
    loss = -(softened * student).sum(axis=1).mean()
    name = "two_teachers_weighted_probabilities_ce_T%d" % temperature
    assert loss == pytest.approx(float(golden[name]), rel=1e-6)


def test_logits_are_averaged_centred_for_the_squared_loss():
    golden = np.load(os.path.join(GOLDEN, "distillation_losses.npz"))
    teachers = [golden["teacher_logits"], golden["teacher2_logits"] + 5]
    settings = Settings(distill_loss="mse")
    averaged = distillation.average_logits(teachers, [0.75, 0.25], settings)
    expected = golden["two_teachers_weighted_logits_.75_.25"]
    expected = expected - expected.mean(axis=1, keepdims=True)
    np.testing.assert_allclose(averaged, expected, rtol=1e-5)


def test_probabilities_become_logits():
    golden = np.load(os.path.join(GOLDEN, "distillation_losses.npz"))
    probabilities = np.exp(distillation.log_softmax(golden["teacher_logits"]))
    logits = distillation.logits_of_classes(probabilities)
    np.testing.assert_allclose(logits, golden["probabilities_to_logits"], rtol=1e-6)
    assert distillation.logits_of_classes(np.array([0.0]))[0] == pytest.approx(np.log(1e-7))


def test_labels_are_averaged_as_probabilities():
    settings = Settings(objective="multi_label")
    averaged = distillation.average_label_logits(
        [np.array([2.0, -9.0]), np.array([-1.0, 9.0])], [0.5, 0.5], settings
    )
    expected = [(1 / (1 + np.exp(-2)) + 1 / (1 + np.e)) / 2, 0.5]
    np.testing.assert_allclose(distillation.sigmoid(averaged), expected, rtol=1e-9)


def test_fitted_weights_are_the_best_of_a_grid():
    draws = np.random.RandomState(3)
    likelihoods = np.stack([draws.beta(4, 2, 400), draws.beta(2, 2, 400)], axis=1)
    grid = np.linspace(0, 1, 1001)
    logs = [np.log(likelihoods @ [share, 1 - share]).mean() for share in grid]
    weights = teacher_weights.fitted_weights(likelihoods)
    assert weights[0] == pytest.approx(grid[int(np.argmax(logs))], abs=2e-3)
    assert sum(weights) == pytest.approx(1)


def test_weights_of_the_flag():
    assert teacher_weights.checked_weights(None, 2) == [0.5, 0.5]
    assert teacher_weights.checked_weights(["3", "1"], 2) == [0.75, 0.25]
    assert teacher_weights.checked_weights(["auto"], 2) is None
    for given in (["1"], ["1", "x"], ["1", "-1"], ["0", "0"], ["auto", "1"], ["nan", "1"]):
        with pytest.raises(UserError, match="--teacher_weights=.*expected 2 numbers"):
            teacher_weights.checked_weights(given, 2)
