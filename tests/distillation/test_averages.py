"""Averages of teachers' logits, with weights fitted to the labels."""

import os

import numpy as np
import pytest

from albert_zh.common.errors import UserError
from albert_zh.distillation import mixtures
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
    weights = mixtures.fitted_weights(likelihoods)
    assert weights[0] == pytest.approx(grid[int(np.argmax(logs))], abs=2e-3)
    assert sum(weights) == pytest.approx(1)


@pytest.mark.parametrize("noise", [1e-4, 0.02, 0.5])
def test_fitted_weights_of_teachers_that_are_nearly_alike_are_the_best(noise):
    """Regression: after 500 steps of EM, the loss was 1e-3 above the optimum."""
    draws = np.random.RandomState(1)
    teacher = draws.beta(4, 2, [2000, 1])
    likelihoods = np.clip(teacher * [1, 1.01, 1] * (1 + noise * draws.randn(2000, 3)), 1e-9, 1)
    weights = mixtures.fitted_weights(likelihoods)
    assert sum(weights) == pytest.approx(1) and min(weights) >= 0
    slopes = (likelihoods / (likelihoods @ weights)[:, None]).mean(axis=0)
    assert slopes.max() <= 1 + 1e-5  # at the maximum, no slope exceeds 1


@pytest.mark.parametrize("scale", [1.0, 1000.0])
def test_weights_of_values_are_the_best_of_a_grid_on_any_scale(scale):
    """Regression: for labels of 0 to 1,000, 0.72 of the better teacher gave a worse average."""
    draws = np.random.RandomState(4)
    errors = scale * draws.randn(500, 3) * [0.1, 0.5, 0.12]
    shares = [(a, b, 1 - a - b) for a in np.linspace(0, 1, 101) for b in np.linspace(0, 1 - a, 101)]
    best = min(np.square(errors @ share).mean() for share in shares)
    weights = mixtures.least_squares_weights(errors)
    assert np.square(errors @ weights).mean() <= best * (1 + 1e-6)
    assert sum(weights) == pytest.approx(1) and min(weights) >= 0
    same = np.stack([errors[:, 0]] * 2, axis=1)
    assert mixtures.least_squares_weights(same) == [0.5, 0.5]
    alone = errors[:, :1] + [0.0, 10.0 * scale]  # an average with a bad teacher is worse
    assert mixtures.least_squares_weights(alone) == pytest.approx([1, 0], abs=1e-2)


def test_a_label_that_no_teacher_thinks_possible_changes_no_weights():
    likelihoods = np.array([[0.9, 0.2], [0.6, 0.5], [0.0, 0.0]])
    weights = mixtures.fitted_weights(likelihoods)
    assert np.isfinite(weights).all() and weights[0] > weights[1]
    assert sum(weights) == pytest.approx(1)


def test_weights_of_the_flag():
    assert mixtures.checked_weights(None, 2) == [0.5, 0.5]
    assert mixtures.checked_weights(["3", "1"], 2) == [0.75, 0.25]
    assert mixtures.checked_weights(["auto"], 2) is None
    for given in (["1"], ["1", "x"], ["1", "-1"], ["0", "0"], ["auto", "1"], ["nan", "1"]):
        with pytest.raises(UserError, match="--teacher_weights=.*expected 2 numbers"):
            mixtures.checked_weights(given, 2)


def test_logits_are_averaged_where_the_flag_says_so():
    golden = np.load(os.path.join(GOLDEN, "distillation_losses.npz"))
    teachers = [golden["teacher_logits"], golden["teacher2_logits"] + 5]
    settings = Settings(temperature=2.0, teacher_average="logits")
    averaged = distillation.average_logits(teachers, [0.75, 0.25], settings)
    expected = golden["two_teachers_weighted_logits_.75_.25"]
    np.testing.assert_allclose(
        distillation.log_softmax(averaged), distillation.log_softmax(expected), rtol=1e-5
    )
    labels = distillation.average_label_logits(teachers, [0.75, 0.25], settings)
    np.testing.assert_allclose(labels, expected + 1.25, rtol=1e-5)


def test_the_fitted_temperature_is_that_by_which_logits_were_sharpened():
    draws = np.random.RandomState(5)
    logits = 2 * draws.randn(20000, 4)
    shares = np.exp(distillation.log_softmax(logits))
    gold = (shares.cumsum(axis=1) > draws.rand(20000, 1)).argmax(axis=1)  # drawn by softmax

    def likelihoods(temperature):
        rows = distillation.log_softmax(3.0 * logits / temperature)
        return np.exp(rows[np.arange(len(gold)), gold])

    assert mixtures.fitted_temperature(likelihoods) == pytest.approx(3.0, rel=0.03)


def test_the_fitted_temperature_has_bounds():
    perfect = np.array([[9.0, 0.0]])

    def likelihoods(temperature):
        return np.exp(distillation.log_softmax(perfect / temperature)[:, 0])

    assert mixtures.fitted_temperature(likelihoods) == pytest.approx(0.5, rel=1e-3)


def test_temperatures_of_the_flag():
    assert mixtures.checked_temperatures(None, 2) is None
    assert mixtures.checked_temperatures(["auto"], 2) is None
    assert mixtures.checked_temperatures(["1"], 2) == [1.0, 1.0]
    assert mixtures.checked_temperatures(["2", "0.5"], 2) == [2.0, 0.5]
    for given in (["1", "2", "3"], ["x"], ["0"], ["-1", "1"], ["inf"], ["auto", "1"]):
        with pytest.raises(UserError, match="--teacher_temperatures=.*expected 1 or 2 numbers"):
            mixtures.checked_temperatures(given, 2)
    with pytest.raises(UserError, match="--teacher_temperatures=0: expected 1 number of more"):
        mixtures.checked_temperatures(["0"], 1)
