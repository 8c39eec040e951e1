"""Metrics equal worked examples and SciPy's correlations; losses equal the training graph's."""

import numpy as np
import pytest

from albert_zh.model import classifier_output
from albert_zh.tasks import datasets, input_examples, kind_interface, registry
from albert_zh.tasks import metrics as task_metrics
from albert_zh.tasks import settings as task_settings
from albert_zh.tasks.classification import losses as class_losses
from classification_scores import evaluate

pytest.importorskip("sklearn")


def test_losses_are_the_training_graphs():
    tf = pytest.importorskip("tensorflow.compat.v1")
    generator = np.random.RandomState(0)
    logits = generator.standard_normal([6, 4]).astype(np.float32) * 5
    golds = {
        "single_label": generator.randint(0, 4, 6),
        "multi_label": generator.randint(0, 2, [6, 4]),
        "regression": generator.standard_normal(6).astype(np.float32),
    }
    for objective, gold in golds.items():
        settings = task_settings.Settings(objective=objective)
        with tf.Graph().as_default(), tf.Session() as session:
            losses, rows = session.run(
                [
                    class_losses.per_example_loss(tf.constant(logits), tf.constant(gold), settings),
                    classifier_output.probabilities(tf.constant(logits), objective),
                ]
            )
        np.testing.assert_allclose(
            task_metrics.example_losses(objective, logits, gold), losses, 1e-4
        )
        np.testing.assert_allclose(task_metrics.probabilities(objective, logits), rows, 1e-4, 1e-7)
    mean = task_metrics.example_losses("multi_label", logits, golds["multi_label"], "mean")
    total = task_metrics.example_losses("multi_label", logits, golds["multi_label"])
    np.testing.assert_allclose(4 * mean, total)


def test_evaluation_of_single_labels():
    logits = np.log([[0.7, 0.2, 0.1], [0.1, 0.1, 0.8], [0.3, 0.4, 0.3]])
    found = evaluate("single_label", logits, np.array([0, 2, 2]), 2, ["macro_f1", "mcc"])
    losses = -np.log([0.7, 0.8, 0.3])
    assert found["eval_accuracy"] == pytest.approx(2 / 3)
    assert found["eval_loss"] == pytest.approx(losses.mean())
    assert found["loss"] == pytest.approx((losses[:2].mean() + losses[2]) / 2)
    assert found["eval_macro_f1"] == pytest.approx((1 + 0 + 2 / 3) / 3)
    assert set(found) == {"eval_accuracy", "eval_loss", "loss", "eval_macro_f1", "eval_mcc"}


def test_f1_and_mcc_of_two_labels():
    gold = np.array([1, 1, 1, 0, 0, 0, 0, 0])
    decided = np.array([1, 1, 0, 1, 0, 0, 0, 0])  # F1 of the other label: 0.8
    names = ["f1", "mcc", "weighted_f1"]
    found = evaluate("single_label", np.eye(2)[decided], gold, 8, names)
    assert [found["eval_" + name] for name in names] == pytest.approx([2 / 3, 7 / 15, 0.75])


def test_thresholds_are_those_of_the_best_f1():
    """All thresholds between two probabilities are equally good; the middle one is taken."""
    gold = np.array([[1, 0], [1, 0], [0, 0], [1, 0]])
    rows = np.array([[0.3, 0.9], [0.2, 0.9], [0.15, 0.9], [0.1, 0.9]])

    def tuned(gold, rows):
        return task_metrics.tuned_thresholds(gold, rows, pooled_rows=0)

    step = 2 * task_metrics.THRESHOLDS[0]
    # F1 of the first label is 0.8 if its first two rows are predicted, 6 / 7 if all four are.
    assert tuned(gold, rows) == [pytest.approx(0.05, abs=step), pytest.approx(0.5)]
    gold[3, 0] = 0
    assert tuned(gold, rows) == [pytest.approx(0.175, abs=step), pytest.approx(0.5)]
    equal = np.array([[0.4], [0.4]])
    assert tuned(np.array([[1], [0]]), equal) == [pytest.approx(0.2, abs=step)]


def test_thresholds_have_the_best_f1_of_the_labels_rows_and_those_of_all():
    """The expected F1 is scikit-learn's, of a label's rows plus the weighted rows of all labels."""
    metrics = pytest.importorskip("sklearn.metrics")
    generator = np.random.RandomState(3)
    gold = (generator.uniform(size=(200, 3)) < [0.5, 0.2, 0.02]).astype(int)
    rows = 1 / (1 + np.exp(2 - 2 * gold + generator.standard_normal(gold.shape)))
    found = task_metrics.tuned_thresholds(gold, rows, pooled_rows=30)
    weights = np.repeat([1.0, 30 / gold.sum()], [200, 600])
    for label, threshold in enumerate(found):
        both = [np.concatenate([x[:, label], x.ravel()]) for x in (gold, rows)]
        # Rounded down to multiples of 1 / 400, as thresholds are, so the curve has their points.
        curve = metrics.precision_recall_curve(
            both[0], np.floor(400 * both[1]) / 400, sample_weight=weights
        )
        best = max(2 * p * r / (p + r) for p, r in zip(*curve[:2]) if p + r)
        f1 = metrics.f1_score(both[0], both[1] >= threshold, sample_weight=weights)
        assert threshold in task_metrics.THRESHOLDS and f1 == pytest.approx(best)


def test_a_rare_labels_threshold_is_near_that_of_all_labels():
    """One row of 500 that is right by chance is no reason to predict the label for many others."""
    generator = np.random.RandomState(4)
    common = generator.uniform(size=500)
    gold = (generator.uniform(size=500) < common).astype(int)
    rare = np.zeros(500, int)
    rare[0] = 1
    values = np.where(rare, 0.02, 0.01)
    both = np.stack([gold, rare], 1), np.stack([common, values], 1)
    alone, pooled = (task_metrics.tuned_thresholds(*both, pooled_rows=rows)[1] for rows in (0, 30))
    assert alone < 0.025 and 0.2 < pooled < 0.6
    assert task_metrics.tuned_thresholds(both[0][:, 1:] * 0, both[1][:, 1:]) == [pytest.approx(0.5)]


def test_evaluation_of_several_labels_uses_them():
    gold = np.array([[1, 0], [0, 1], [1, 1]])
    rows = np.array([[0.30, 0.1], [0.1, 0.2], [0.25, 0.3]])
    logits = np.log(rows / (1 - rows))
    thresholds = task_metrics.tuned_thresholds(gold, rows)
    found = evaluate("multi_label", logits, gold, 8, thresholds=thresholds)
    assert (found["eval_micro_f1"], found["eval_macro_f1"], found["eval_accuracy"]) == (1, 1, 1)
    assert evaluate("multi_label", logits, gold, 8)["eval_micro_f1"] == 0


def test_a_single_label_that_rows_may_lack_is_scored_by_its_rows_alone():
    """2 of 3 rows with the label are found; 1 of 7 rows without it gets it by mistake."""
    gold = np.array([[1], [1], [1], [0], [0], [0], [0], [0], [0], [0]])
    decided = np.array([[1], [1], [0], [1], [0], [0], [0], [0], [0], [0]])
    names = ["macro_f1", "micro_f1", "weighted_f1", "accuracy"]
    found = evaluate("multi_label", 2.0 * decided - 1, gold, 4, names)
    assert [found["eval_" + name] for name in names] == pytest.approx([2 / 3, 2 / 3, 2 / 3, 0.8])
    (row,) = task_metrics.per_class(gold, decided, ["a"])
    assert (row["precision"], row["recall"], row["f1"]) == pytest.approx((2 / 3, 2 / 3, 2 / 3))
    assert row["support"] == 3
    assert task_metrics.constant_prediction("multi_label", gold, "micro_f1") == (
        pytest.approx(6 / 13),
        [0],
    )


def test_correlations_equal_scipys():
    stats = pytest.importorskip("scipy.stats")
    generator = np.random.RandomState(1)
    gold = generator.randint(0, 5, 40).astype(float)
    logits = gold + generator.standard_normal(40)
    found = evaluate("regression", logits[:, None], gold, 8)
    assert found["eval_pearson"] == pytest.approx(stats.pearsonr(gold, logits)[0])
    assert found["eval_spearman"] == pytest.approx(stats.spearmanr(gold, logits)[0])
    constant = evaluate("regression", np.zeros([40, 1]), gold, 8)
    assert constant["eval_pearson"] == 0.0


def test_calibration_error():
    confidences = np.array([0.95, 0.95, 0.55, 0.55])
    is_right = np.array([True, True, True, False])
    error, rows = task_metrics.expected_calibration_error(confidences, is_right, bins=10)
    assert error == pytest.approx(0.5 * 0.05 + 0.5 * 0.05)
    assert [row[2] for row in rows] == [2, 2]
    assert task_metrics.expected_calibration_error(np.array([1.0]), np.array([True]))[0] == 0.0


def test_confusion_and_classes():
    gold, decided = np.array([0, 0, 1, 2]), np.array([0, 1, 1, 1])
    np.testing.assert_array_equal(
        task_metrics.confusion(gold, decided, 3), [[1, 1, 0], [0, 1, 0], [0, 1, 0]]
    )
    rows = task_metrics.per_class(gold, decided, ("a", "b", "c"))
    assert rows[0] == {
        "label": "a",
        "precision": 1.0,
        "recall": 0.5,
        "f1": pytest.approx(2 / 3),
        "support": 2,
    }
    assert rows[2]["f1"] == 0.0 and rows[2]["support"] == 1


@pytest.mark.parametrize(
    "objective, gold, metric, expected",
    [
        ("single_label", [0, 2, 2, 1, 2], "accuracy", (0.6, 2)),
        ("single_label", [1, 0, 0, 0], "f1", (0.4, 1)),  # always 1: precision 1/4, recall 1
        ("single_label", [1, 0, 0, 0], "mcc", (0.0, 0)),
        # All three labels are predicted: precision 4/9, recall 4/4.
        ("multi_label", [[1, 0, 0], [1, 1, 0], [0, 0, 1]], "micro_f1", (8 / 13, [0, 1, 2])),
        ("multi_label", [[1, 0, 0], [1, 0, 0], [0, 0, 1]], "micro_f1", (2 / 3, [0])),
        ("regression", [1.0, 2.0, 6.0], "pearson", (0.0, 3.0)),
    ],
)
def test_the_best_prediction_for_all_rows_alike(objective, gold, metric, expected):
    score, prediction = task_metrics.constant_prediction(objective, np.array(gold), metric)
    assert (pytest.approx(score), prediction) == expected


@pytest.mark.parametrize(
    "score, constant, num_rows, is_within",
    [
        (0.5, 0.5, 1000, True),
        (0.45, 0.5, 1000, True),
        (0.51, 0.5, 1000, True),
        (0.52, 0.5, 1000, False),
        (0.55, 0.5, 10, True),
        (0.6, 0.5, 10, False),
        (0.05, 0.13, 1500, True),
        (0.02, 0.0, 1000, True),  # a correlation: 0 for constants
        (0.1, 0.0, 1000, False),
        (1.0, 1.0, 10, True),
    ],
)
def test_what_is_no_better_than_one_prediction_for_all(score, constant, num_rows, is_within):
    assert task_metrics.is_within_chance(score, constant, num_rows) == is_within


@pytest.mark.parametrize(
    "objective, labels, gold, described",
    [
        ("single_label", ['say "hi", x', "b"], ['say "hi", x'] * 3, r'the label "say \"hi\", x"'),
        ("multi_label", ["a b", "c, d"], ["a b|c, d"] * 3, 'the labels "a b", "c, d"'),
        ("multi_label", ["a"], ["a"] * 3, 'the label "a"'),
        ("regression", [], ["2.5"] * 3, "the value 2.5"),
    ],
)
def test_labels_of_a_constant_prediction_stand_in_quotes(objective, labels, gold, described):
    kind = registry.get(objective)
    task = datasets.TASKS[datasets.OWN_DATA]._replace(
        labels=tuple(labels), columns=("text_a", "label"), objective=objective
    )
    use = kind_interface.ModelInUse(task, {}, None, 16)
    scorer = kind.scorer(use, task_settings.Settings(objective=objective))
    for number, label in enumerate(gold):
        example = input_examples.InputExample("dev-%d" % number, "今天", None, label)
        scorer.add(example, [{"logits": np.zeros(max(1, len(labels)), np.float32)}])
    assert scorer.constant(kind.usual_metrics[0])[1] == described
