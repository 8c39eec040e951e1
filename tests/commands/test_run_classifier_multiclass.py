"""Tests of run_classifier_multiclass.py: from users' data to reports; invalid input."""

import csv
import json
import os
import random
import re
import shutil
import types

from absl import flags
import numpy as np
import pytest
import tensorflow.compat.v1 as tf

from albert_zh.common import files, output_files, package_files, plotting
from albert_zh.common.errors import UserError
from albert_zh.finetuning import flags as finetuning_flags
from albert_zh.model.checkpoints import checkpoint_files, checkpoint_values, label_map
from albert_zh.tasks import confusion_picture, datasets, input_examples, kind_interface, registry
from albert_zh.tasks import report as task_report
from albert_zh.tasks import settings as task_settings
from albert_zh.tasks.classification import losses
from albert_zh.training import run_folder, session_engine
from albert_zh.training.training_errors import Diverged
from titles import LABELS, titles
from workspace import CHARACTERS, Workspace, flags_of, run_here, run_process


class OwnData(Workspace):
    """A workspace with a folder of CSV files."""

    def __init__(self, folder, **splits):
        super().__init__(folder)
        self.data = os.path.join(self.folder, "own")
        os.makedirs(self.data)
        for name, rows in splits.items():
            self.write_rows(name + ".csv", rows)

    def write_rows(self, name, rows, header=("text_a", "label")):
        """Writes a CSV file with Python's `csv` module."""
        with open(os.path.join(self.data, name), "w", encoding="utf-8", newline="") as handle:
            csv.writer(handle).writerows([header] + list(rows))

    def arguments(self, **changes):
        values = {"task_name": datasets.OWN_DATA, "train_batch_size": 8, "num_train_epochs": 3}
        return super().arguments(**dict(values, **changes))

    def results(self, name="eval_results.json"):
        return json.loads(self.read(name))


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    rows = titles(96)
    data = OwnData(
        tmp_path_factory.mktemp("own"),
        train=rows,
        dev=titles(20, 2) + rows[:4],
        test=titles(10, 3) + [('逗号,引号"换行\n和\t', LABELS[0])],
    )
    run_here(data.arguments(early_stopping=50, best_metric="macro_f1"))
    return data


def test_labels_and_notes_lie_beside_the_checkpoints(finished):
    for folder in ("", "best/"):
        label_map = json.loads(finished.read(folder + "label_map.json"))
        assert label_map == {"a b": 0, "体育": 1, "财经": 2}
        notes = json.loads(finished.read(folder + "fine_tuning.json"))
        assert notes["columns"] == ["text_a", "label"] and notes["pooling"] == "cls"
    assert finished.results()["best"]["eval_macro_f1"] > 0.4


@pytest.mark.parametrize("do_eval", [True, None])
def test_rows_with_labels_that_training_never_saw_are_predicted(
    finished, tmp_path, capsys, do_eval
):
    rows = titles(6, 5)
    data = OwnData(tmp_path, dev=titles(8, 2), test=rows + [("今天", "军事"), ("明天", "")])
    best = os.path.join(finished.output, "best")
    run_here(data.arguments(do_train=None, do_eval=do_eval, init_checkpoint=best))
    out = capsys.readouterr().out
    assert "test.csv: 1 label does not belong to the task" in out
    assert "its row is not scored" in out
    report = data.results("report.json")
    assert data.results()["test_accuracy"] == report["test"]["accuracy"]
    assert report["test"]["rows"] == 6 and report["data"]["test"] == 8
    assert report["remarks"]["unscored_in_test"] == 2
    assert len(data.read("predictions.tsv").splitlines()) == 9


def test_flags_of_dev_rows_beside_a_dev_file_are_noted(finished, capsys):
    run_here(finished.arguments(early_stopping=50, best_metric="macro_f1", dev_share=0.2))
    out = capsys.readouterr().out
    assert "note: --dev_share has no effect: there is a dev file" in out
    assert "rows are set aside" not in out


@pytest.mark.slow
def test_a_linear_model_of_the_same_rows_is_a_teacher(finished, tmp_path, capsys):
    settings = {"teachers": "linear", "train_step": 1, "do_predict": False, "do_eval": True}
    settings["teacher_cache"] = str(tmp_path / "targets")
    run_here(finished.arguments(output_dir=str(tmp_path / "a"), **settings))
    first = capsys.readouterr().out
    assert re.search(
        r"teacher 1: dev accuracy \d\.\d{4}, 1\d\d targets computed, .*: linear\n", first
    )
    run_here(finished.arguments(output_dir=str(tmp_path / "b"), seed=2, **settings))
    assert "targets computed" not in capsys.readouterr().out


def without_labels(finished, folder, **splits):
    """Creates data whose training file contains only texts; `splits` are further files."""
    texts = [(text,) for text, _ in titles(96)]
    data = OwnData(folder, dev=titles(20, 2), **splits)
    data.write_rows("train.csv", texts, header=("text_a",))
    return data


@pytest.mark.slow
@pytest.mark.parametrize("labels_of", ["teacher", "dev"])
def test_texts_alone_are_learnt_from_teachers(finished, tmp_path, capsys, labels_of):
    """The label names come from the teacher or dev, and the student agrees with the teacher."""
    teacher = os.path.join(finished.output, "best")
    if labels_of == "dev":
        rows = titles(96) + titles(20, 2)
        lines = [json.dumps({"text_a": text, "label": label}) for text, label in rows]
        teacher = Workspace(tmp_path).write("answers.jsonl", "\n".join(lines))
    data = without_labels(finished, tmp_path / "own")
    settings = {"teachers": teacher, "distill_weight": 1, "num_train_epochs": 20}
    run_here(data.arguments(do_predict=None, **settings))
    out = capsys.readouterr().out
    assert "train.csv: 96 rows, no labels" in out and "teacher 1: dev accuracy" in out
    assert data.results("label_map.json") == {"a b": 0, "体育": 1, "财经": 2}
    assert data.results()["best"]["eval_accuracy"] > 0.6
    assert "not clearly better" not in out


@pytest.mark.parametrize(
    "changes, message",
    [
        (
            {"distill_weight": 0.9},
            "train.csv has no labels, but they have a share of 0.1 .*distill_weight=1",
        ),
        ({"teachers": None, "distill_weight": None}, "train.csv has no label column"),
        ({"data": "alone", "do_predict": None}, "train.csv has no labels, by which rows set aside"),
        ({"teachers": "linear"}, "--teachers=linear: it is trained on the training rows, which"),
    ],
)
def test_texts_alone_need_a_source_of_labels(finished, tmp_path, changes, message):
    data = without_labels(finished, tmp_path)
    if changes.get("data"):
        os.remove(os.path.join(data.data, "dev.csv"))
    best = os.path.join(finished.output, "best")
    given = dict({"teachers": best, "distill_weight": 1, "do_predict": None}, **changes)
    given = {name: value for name, value in given.items() if name != "data"}
    with pytest.raises(UserError, match=message) as caught:
        run_here(data.arguments(**given))
    assert "\n" not in str(caught.value)


def test_report_has_what_a_reader_asks(finished):
    report = finished.results("report.json")
    for name, count in (("dev", 24), ("test", 11)):
        found = report[name]
        assert found["rows"] == count == sum(c["support"] for c in found["classes"])
        assert 0 <= found["expected_calibration_error"] <= 1
        wrong = round((1 - found["accuracy"]) * count)
        assert len(found["errors"]) == wrong
        confidences = [error["confidence"] for error in found["errors"]]
        assert confidences == sorted(confidences, reverse=True)
    assert report["dev"]["seen_rows"] == 4 and "accuracy_of_unseen_rows" in report["dev"]
    assert report["remarks"]["seen_in_dev"] == 4
    assert set(report["examples_per_second"]) >= {"evaluation", "prediction"}
    assert "highest dev macro_f1" in report["checkpoint"]
    text = finished.read("report.md")
    assert "## test" in text and "| 财经 |" in text and "most confident errors" in text
    for name in ("confusion_matrix.png", "learning_curve.png"):
        with open(os.path.join(finished.output, name), "rb") as handle:
            assert handle.read(8) == b"\x89PNG\r\n\x1a\n"


def test_predictions_are_one_line_an_example(finished):
    lines = finished.read("predictions.tsv").splitlines()
    assert lines[0].split("\t")[4:] == ["probability", "P(a b)", "P(体育)", "P(财经)"]
    table = [line.split("\t") for line in lines[1:]]
    assert len(table) == 11 and {len(row) for row in table} == {8}
    assert table[-1][0] == '逗号,引号"换行 和' and table[-1][2] == "体育"
    for row in table:
        probabilities = np.array(row[5:], float)
        assert probabilities.sum() == pytest.approx(1, abs=1e-5)
        assert row[3] == ("a b", "体育", "财经")[probabilities.argmax()]


def test_prediction_alone_streams_and_has_a_line_for_each_record(finished, tmp_path, capsys):
    best = os.path.join(finished.output, "best")
    other = OwnData(tmp_path / "other")
    content = "text_a\n今天\n\n去,吃,饭\n".encode() + b"\xff\n" + "明天".encode()
    with open(os.path.join(other.data, "test.csv"), "wb") as handle:
        handle.write(content)
    arguments = other.arguments(do_train=False, do_eval=False, init_checkpoint=best)
    run_here(arguments)
    table = [line.split("\t") for line in other.read("predictions.tsv").splitlines()[1:]]
    assert [row[0] for row in table] == ["今天", "", "去,吃,饭", "\ufffd", "明天"]
    assert len(other.read("test_results.tsv").splitlines()) == 5
    assert "1 invalid row and 1 blank line are predicted" in capsys.readouterr().out
    assert not os.path.exists(os.path.join(other.output, "test.tf_record"))


def test_streamed_predictions_equal_those_of_the_training_run(finished, tmp_path):
    out = str(tmp_path / "out")
    best = os.path.join(finished.output, "best")
    changes = {"do_train": False, "do_eval": False, "init_checkpoint": best, "output_dir": out}
    run_here(finished.arguments(predict_batch_size=3, **changes))
    with open(os.path.join(out, "test_results.tsv")) as handle:
        rows = np.array([line.split("\t") for line in handle], float)
    expected = [line.split("\t") for line in finished.read("test_results.tsv").splitlines()]
    np.testing.assert_allclose(rows, np.array(expected, float), atol=1e-6)
    with open(os.path.join(out, "report.json"), encoding="utf-8") as handle:
        assert json.load(handle)["test"]["rows"] == 11


def test_other_labels_in_the_same_folder_are_refused(finished):
    path = os.path.join(finished.data, "train.csv")
    former = files.read_text(path)
    try:
        finished.write_rows("train.csv", titles(96, labels=("甲", "乙")))
        with pytest.raises(
            UserError, match="label_map.json next to the checkpoint belongs to another"
        ):
            run_here(finished.arguments(early_stopping=50, best_metric="macro_f1"))
    finally:
        with output_files.atomic_write(path) as handle:
            handle.write(former)


def test_a_model_keeps_its_pooling_and_needs_its_labels(finished, tmp_path):
    best = os.path.join(finished.output, "best")
    changes = {"do_train": False, "do_eval": False, "output_dir": str(tmp_path / "out")}
    with pytest.raises(UserError, match="trained with pooling cls, the flags ask for mean"):
        run_here(finished.arguments(init_checkpoint=best, pooling="mean", **changes))
    with pytest.raises(UserError, match=r"label_separator \|, the flags ask for ;"):
        run_here(finished.arguments(init_checkpoint=best, label_separator=";", **changes))
    with pytest.raises(UserError, match="which labels the model has is not known"):
        run_here(finished.arguments(**changes))


@pytest.mark.slow
def test_predicting_again_keeps_what_is_known_of_dev(tmp_path, capsys):
    train = titles(32) + [("今天" * 12, LABELS[0])]
    data = OwnData(tmp_path, train=train, dev=titles(8, 2), test=titles(8, 3))
    run_here(data.arguments(num_train_epochs=1))
    words = "note: 1 of 33 rows of %s are longer than --max_seq_length=24 tokens and were truncated"
    assert words % os.path.join(data.data, "train.csv") in capsys.readouterr().out
    assert data.results("report.json")["remarks"]["cut_in_train"] == 1
    former, text = data.results("report.json"), data.read("report.md")
    data.write_rows("test.csv", titles(6, 4) + [("今天", "")])
    run_here(data.arguments(num_train_epochs=1, do_train=False, do_eval=False))
    report = data.results("report.json")
    assert report["dev"] == former["dev"] and report["checkpoint"] == former["checkpoint"]
    assert report["data"] == {"dev": 8, "test": 7} and report["test"]["rows"] == 6
    section = text[text.index("## dev") : text.index("## test")]
    assert section in data.read("report.md")
    assert "Rows: dev 8, test 7. Time: " in data.read("report.md")
    # Results of another test file are not preserved.
    data.write_rows("test.csv", [("今天",)] * 3, header=("text_a",))
    run_here(data.arguments(num_train_epochs=1, do_train=False, do_eval=False))
    report = data.results("report.json")
    assert "test" not in report and report["data"] == {"dev": 8, "test": 3}
    assert data.results()["test"] is None
    # Results of another model are not preserved.
    best = os.path.join(data.output, "best", "albert_model.ckpt")
    values = checkpoint_values.read_weights(best)
    values["output_bias"] = values["output_bias"] + 1.0
    checkpoint_values.write_checkpoint(best, values)
    run_here(data.arguments(num_train_epochs=1, do_train=False, do_eval=False))
    assert "dev" not in data.results("report.json") and "## dev" not in data.read("report.md")


@pytest.mark.slow
def test_several_labels_a_row_without_a_dev_file(tmp_path, capsys):
    generator = random.Random(5)
    rows = []
    for text, label in titles(90):
        second, other = generator.choice(titles(9, generator.random()))
        rows.append((text[:4] + second[:4], ";".join(sorted({label, other}))))
    data = OwnData(tmp_path, train=rows + [("今", "")], test=rows[:6])
    options = {"multi_label": True, "label_separator": ";", "pooling": "mean"}
    run_here(data.arguments(dev_share=0.2, class_weights="balanced", **options))
    out = capsys.readouterr().out
    assert "no confusion matrix: rows may have several labels" in out
    assert "no dev file: 18 of its 91 rows are set aside" in out
    notes = json.loads(data.read("best/fine_tuning.json"))
    assert notes["objective"] == "multi_label" and notes["pooling"] == "mean"
    assert len(notes["thresholds"]) == 3
    with pytest.raises(UserError, match="unknown metric 'mcc'"):
        run_here(data.arguments(do_train=None, do_predict=None, dev_share=0.2, best_metric="mcc"))
    assert data.results()["best"]["eval_micro_f1"] > 0.5
    table = [line.split("\t") for line in data.read("predictions.tsv").splitlines()[1:]]
    for row in table:
        probabilities = np.array(row[5:], float)
        is_over = probabilities >= notes["thresholds"]
        decided = [label for label, is_there in zip(("a b", "体育", "财经"), is_over) if is_there]
        assert row[3] == ";".join(decided)


@pytest.mark.slow
@pytest.mark.parametrize("given, weights", [("balanced", [2 / 3, 2]), ({"b": 3}, [1, 3])])
def test_class_weights_and_f1_of_the_second_of_two_labels(tmp_path, given, weights):
    rows = titles(96, labels=("a", "b"))
    first, second = ([row for row in rows if row[1] == label] for label in "ab")
    data = OwnData(tmp_path, train=first[:24] + second[:8], dev=first[24:32] + second[8:16])
    if given != "balanced":
        given = data.write("weights.json", json.dumps(given))
    settings = {"num_train_epochs": 1, "best_metric": "f1", "do_predict": None}
    run_here(data.arguments(class_weights=given, **settings))
    fixed = data.results("run_settings.json")["fixed"]
    assert fixed["class_weights"] == pytest.approx(weights)
    report = data.results("report.json")
    of_second = report["dev"]["classes"][1]
    assert of_second["label"] == "b" and of_second["f1"] > 0
    assert data.results()["best"]["eval_f1"] == pytest.approx(of_second["f1"])
    assert "highest dev f1" in report["checkpoint"]


def rows_of_several_labels(count, seed=1):
    """Returns rows (text, labels joined by |) with halves of two `titles` and both labels."""
    pairs = zip(titles(count, seed), titles(count, seed + 100))
    return [(a[:4] + b[:4], "|".join(sorted({x, y}))) for (a, x), (b, y) in pairs]


def _check_renamed_predicts_the_same(data, predictions):
    """Predicts with a copy that looks like a converted model: without a step, written again."""
    folder = os.path.join(data.folder, "converted")
    shutil.copytree(os.path.join(data.output, "best"), folder)
    prefix = os.path.join(folder, "albert_model.ckpt")
    values = checkpoint_values.read_weights(prefix)
    del values["global_step"]
    checkpoint_values.write_checkpoint(prefix, values)
    output = os.path.join(data.folder, "predicted")
    settings = {"do_train": False, "do_eval": False, "init_checkpoint": prefix}
    run_here(data.arguments(output_dir=output, **settings))
    with open(os.path.join(output, "predictions.tsv"), encoding="utf-8") as handle:
        assert handle.read() == predictions


@pytest.mark.slow
@pytest.mark.parametrize("keep_best", [True, False])
def test_thresholds_of_the_best_are_kept_for_all_that_follows(tmp_path, keep_best):
    data = OwnData(
        tmp_path,
        train=rows_of_several_labels(64),
        dev=rows_of_several_labels(24, 2),
        test=rows_of_several_labels(16, 3),
    )
    run_here(data.arguments(multi_label=True, keep_best=keep_best))
    best = data.results()["best"]
    records = [json.loads(line) for line in data.read("metrics.jsonl").splitlines()]
    thresholds = {r["step"]: r["thresholds"] for r in records if "dev" in r}[best["global_step"]]
    assert len(thresholds) == 3 and 0.5 not in thresholds, "0.5 should not be best here"
    newest = max((r for r in records if "thresholds" in r), key=lambda record: record["step"])
    assert json.loads(data.read("fine_tuning.json"))["thresholds"] == newest["thresholds"]
    assert data.results("report.json")["dev"]["micro_f1"] == pytest.approx(best["eval_micro_f1"])
    predictions = data.read("predictions.tsv")
    for row in [line.split("\t") for line in predictions.splitlines()[1:]]:
        decided = np.array(row[5:], float) >= thresholds
        assert row[3] == "|".join(np.array(("a b", "体育", "财经"))[decided])
    if keep_best:
        _check_renamed_predicts_the_same(data, predictions)
    data.write_rows("dev.csv", rows_of_several_labels(24, 7))
    run_here(data.arguments(do_train=False, keep_best=keep_best))
    assert data.read("predictions.tsv") == predictions
    other = data.results()["best"]
    assert other["global_step"] == best["global_step"]
    assert data.results("report.json")["dev"]["micro_f1"] == pytest.approx(other["eval_micro_f1"])


@pytest.mark.parametrize("changes", [{"do_eval": False}, {"do_predict": False}])
@pytest.mark.slow
def test_label_maps_of_two_runs_are_not_mixed(tmp_path, changes):
    data = OwnData(tmp_path, train=titles(16), dev=titles(8, 2), test=titles(8, 3))
    run_here(data.arguments(num_train_epochs=1))
    data.write("out/label_map.json", json.dumps({"财经": 0, "体育": 1, "a b": 2}))
    with pytest.raises(
        UserError, match="label_map.json next to the checkpoint belongs to another run"
    ):
        run_here(data.arguments(num_train_epochs=1, do_train=False, **changes))


@pytest.mark.slow
def test_numbers_are_estimated(tmp_path):
    labels = [(text, "%.1f" % (10 + 5 * LABELS.index(label))) for text, label in titles(80)]
    rows = [(text, str(float(label) / 10)) for text, label in labels]
    data = OwnData(tmp_path, train=rows[:60], dev=rows[60:70], test=rows[70:])
    run_here(data.arguments(regression=True, num_train_epochs=6))
    best = data.results()["best"]
    assert best["eval_pearson"] > 0.3 and "eval_spearman" in best and "eval_accuracy" not in best
    assert json.loads(data.read("best/label_map.json")) == {"score": 0}
    assert data.read("predictions.tsv").splitlines()[0] == "text_a\ttext_b\tlabel\tprediction"
    errors = data.results("report.json")["test"]["errors"]
    assert len(errors) == 10 and "confidence" not in errors[0]
    assert errors[0]["error"] == pytest.approx(
        abs(float(errors[0]["label"]) - float(errors[0]["predicted"])), abs=1e-4
    )
    assert "| label | predicted | error | line |" in data.read("report.md")
    settings = {"do_train": None, "do_predict": None}  # the model determines the objective
    with pytest.raises(UserError, match="unknown metric 'macro_f1', expected one of loss, pearson"):
        run_here(data.arguments(best_metric="macro_f1", **settings))
    run_here(data.arguments(best_metric="spearman", **settings))


@pytest.mark.slow
def test_early_stopping_ends_training_and_is_remembered(tmp_path, capsys):
    data = OwnData(tmp_path, train=titles(32), dev=titles(8, 2))
    changes = {"num_train_epochs": 30, "learning_rate": 1e-12, "do_predict": None}
    run_here(data.arguments(early_stopping=2, **changes))
    assert "in 2 evaluations: training ends at step 12 of 120" in capsys.readouterr().out
    run_here(data.arguments(early_stopping=2, **changes))
    assert "training ended early at step 12: nothing to train" in capsys.readouterr().out
    assert len(data.results()["evaluations"]) == 4  # at steps 0, 4, 8 and 12


def test_runs_over_seeds_and_rates_make_a_table(tmp_path, capsys, monkeypatch):
    data = OwnData(tmp_path, train=titles(16), dev=titles(8, 2), test=titles(8, 3))
    settings = {"num_train_epochs": 1, "seeds": "1,2", "keep_best": False}
    graphs, build = [], session_engine.Engine._specify
    monkeypatch.setattr(
        session_engine.Engine, "_specify", lambda *given: graphs.append(given[2]) or build(*given)
    )
    run_here(data.arguments(**settings))
    # All checkpoints of a run and both of its files are predicted in one graph.
    assert graphs == ["train", "infer"] * 2
    runs = data.results("runs.json")
    best = max(runs["runs"], key=lambda run: run["dev"]["eval_accuracy"])
    assert capsys.readouterr().out.splitlines()[-1] == (
        "best"
        + 14 * " "
        + "%s: %s: highest dev accuracy, %.4f, of 2 runs"
        % (best["folder"], best["checkpoint"], best["dev"]["eval_accuracy"])
    )
    assert os.path.exists(best["checkpoint"] + ".index") and runs["best_run"] == best["folder"]
    values = [run["dev"]["eval_accuracy"] for run in runs["runs"]]
    assert runs["rows"][0]["dev"] == pytest.approx([np.mean(values), np.std(values, ddof=1)])
    assert "| 1, 2 | %.4f ± %.4f |" % tuple(runs["rows"][0]["dev"]) in data.read("runs.md")
    assert not os.path.exists(os.path.join(data.output, "seed_1", "best"))
    with pytest.raises(UserError, match="--seeds=1,x"):
        run_here(data.arguments(seeds="1,x"))
    with pytest.raises(UserError, match="no model itself.* are in .*/seed_1, .*/seed_2: name one"):
        run_here(data.arguments(do_train=False, do_eval=False))
    capsys.readouterr()
    # max_seq_length is a setting of all kinds, pooling one of this kind.
    for name, value in (("max_seq_length", 32), ("pooling", "mean")):
        with pytest.raises(UserError, match="seed_2 contains a run with another " + name):
            run_here(data.arguments(**dict(settings, seeds="3,2", **{name: value})))
    assert "run 1" not in capsys.readouterr().out  # the check precedes training


@pytest.mark.slow
def test_runs_over_seeds_share_their_dev_rows(tmp_path):
    data = OwnData(tmp_path, train=titles(40))
    settings = {"num_train_epochs": 1, "do_predict": None, "dev_share": 0.25}
    run_here(data.arguments(seeds="5,6", **settings))
    one, two = (data.read("seed_%d/run_settings.json" % seed) for seed in (5, 6))
    assert json.loads(one)["fixed"]["dev_seed"] == json.loads(two)["fixed"]["dev_seed"] == 5
    folder = os.path.join(data.output, "seed_6")
    former = data.results("seed_6/eval_results.json")["best"]
    run_here(data.arguments(output_dir=folder, do_train=False, seed=6, **settings))
    assert data.results("seed_6/eval_results.json")["best"] == pytest.approx(former)


@pytest.mark.slow
def test_runs_that_are_not_compared_are_named(tmp_path, capsys):
    data = OwnData(tmp_path, train=titles(16))
    run_here(data.arguments(num_train_epochs=1, seeds="1", do_eval=None, do_predict=None))
    last = capsys.readouterr().out.splitlines()[-1]
    assert re.match(r"models +\S*/seed_1: not compared, as --do_eval=true was not given$", last)


def search(data, accuracies, **settings):
    """Searches with runs of a given dev accuracy per rate; returns the folders of the runs."""
    from albert_zh.finetuning import sweeps

    folders = []

    def run_once(options):
        folders.append(options.output_dir)
        if accuracies[options.learning_rate] is None:
            raise Diverged("the loss is no finite number")
        reached = {"dev": {"eval_accuracy": accuracies[options.learning_rate]}, "test": None}
        reached["checkpoint"] = "ckpt-%g" % options.learning_rate
        return dict(reached, metric="accuracy", is_higher_better=True)

    os.makedirs(data.output, exist_ok=True)
    with flags_of(data.arguments(search=True, learning_rate=None, **settings)):
        sweeps.run(flags.FLAGS, run_once)
        assert flags.FLAGS.output_dir == data.output  # the original flags are unchanged
    return folders


def test_search_tries_the_rates(tmp_path, capsys):
    data = OwnData(tmp_path)
    seen = search(data, {2e-5: 0.5, 6e-5: 0.75, 1e-4: 0.6})
    assert [os.path.basename(folder) for folder in seen] == [
        "rate_2e-05",
        "rate_6e-05",
        "rate_0.0001",
    ]
    assert data.results("runs.json")["best"]["rate"] == 6e-5
    lines = capsys.readouterr().out.splitlines()
    assert lines[-2].endswith("rate 6e-05: highest mean dev accuracy, 0.7500, of 3 rates")
    assert lines[-1].endswith(
        "rate_6e-05: ckpt-6e-05: highest dev accuracy, 0.7500, of 1 with that rate"
    )


@pytest.mark.parametrize(
    "accuracies, expected",
    [
        ({2e-4: 0.5, 4e-4: 0.75}, ("highest", "0.0002,0.0004,0.0008,0.0016")),
        ({2e-4: 0.75, 4e-4: 0.5}, ("lowest", "5e-05,0.0001,0.0002,0.0004")),
    ],
)
def test_search_over_given_rates_says_where_to_search_on(tmp_path, capsys, accuracies, expected):
    data = OwnData(tmp_path)
    assert len(search(data, accuracies, search_rates="2e-4,4e-4")) == 2
    line = capsys.readouterr().out.splitlines()[-2]
    expected = "it is the %s of them: try --search_rates=%s" % expected
    assert re.match("next +" + re.escape(expected), line)


def test_a_rate_that_diverges_is_one_row_of_the_table(tmp_path, capsys):
    data = OwnData(tmp_path)
    assert len(search(data, {1.0: None, 2e-4: 0.5, 4e-4: 0.75}, search_rates="1,2e-4,4e-4")) == 3
    assert data.results("runs.json")["best"]["rate"] == 4e-4
    assert "| 1 | diverged | - | - |" in data.read("runs.md")
    last = capsys.readouterr().out.splitlines()[-2]
    assert "try --search_rates=0.0002,0.0004,0.0008,0.0016" in last  # below the rate that diverged
    with pytest.raises(Diverged, match="no finite number"):
        search(data, {1.0: None, 2.0: None}, search_rates="1,2")


def test_runs_that_are_used_show_what_they_were_trained_by(tmp_path):
    """The rate is that of the trained runs; test has no loss and is shown with another metric."""
    from albert_zh.finetuning import sweeps

    data = OwnData(tmp_path)
    for seed in (1, 2):
        folder = os.path.join(data.output, "seed_%d" % seed)
        os.makedirs(folder)
        checkpoint_values.write_checkpoint(os.path.join(folder, "model.ckpt-1"), {"w": np.ones(1)})
        run_folder.remember_settings(folder, {"learning_rate": 1e-3}, {})

    def run_once(options):
        dev, test = {"eval_loss": options.seed / 4}, {"accuracy": options.seed / 8, "macro_f1": 0.5}
        reached = {"dev": dev, "test": test, "checkpoint": "ckpt-1"}
        return dict(reached, metric="loss", is_higher_better=False)

    with flags_of(data.arguments(do_train=False, seeds="1,2", learning_rate=None)):
        sweeps.run(flags.FLAGS, run_once)
    assert data.read("runs.md").splitlines() == [
        "| learning rate | seeds | dev loss | test accuracy |",
        "|---|---|---|---|",
        "| 0.001 | 1, 2 | 0.3750 ± 0.1768 | 0.1875 ± 0.0884 |",
    ]


def test_search_is_around_the_usual_rate_of_a_kind():
    options = finetuning_flags.of_settings(search=True)
    options["learning_rate"].value = 2e-4  # as set by `take_usual_rate`
    assert finetuning_flags.searched_rates(options) == [1e-4, 2e-4, 4e-4]


def _searched(rates):
    return {"search": True, "search_rates": rates, "learning_rate": None}


def _mirrored(devices):
    return {"distribution": "mirrored", "devices": devices}


@pytest.mark.parametrize(
    "changes, words",
    [
        ({"best_metric": "bleu"}, ["--best_metric: unknown metric 'bleu'", "macro_f1"]),
        ({"best_metric": "pearson"}, ["unknown metric 'pearson'"]),
        ({"best_metric": "f1"}, ["needs two labels, found 3"]),
        ({"early_stopping": 2, "do_eval": None}, ["--early_stopping needs evaluations"]),
        ({"early_stopping": 2, "use_tpu": True}, ["--early_stopping: with --use_tpu"]),
        ({"early_stopping": -1}, ["--early_stopping=-1"]),
        ({"search_rates": "1e-4"}, ["--search_rates requires --search", "add --search=true"]),
        (_searched("1e-4,x"), ["--search_rates=1e-4,x: expected numbers"]),
        (_searched("nan"), ["--search_rates=nan: expected numbers above 0"]),
        (_searched("1e-4,0.0001"), ["a rate is given twice"]),
        ({"seed": 2**31}, ["--seed: 2147483648"]),
        ({"swap_pairs": True}, ["--swap_pairs: --task_name=multiclass has single texts"]),
        ({"seeds": "1,99999999999999999999"}, ["--seed: 99999999999999999999"]),
        ({"class_weights": "balance"}, ["--class_weights=balance: expected balanced, or"]),
        ({"multi_label": True, "regression": True}, ["are mutually exclusive"]),
        ({"task_name": "tnews", "multi_label": True}, ["--multi_label", "--task_name=multiclass"]),
        ({"class_weights": "/nowhere.json"}, ["/nowhere.json"]),
        ({"label_smoothing": 2}, ["--label_smoothing: 2"]),
        ({"regression": True, "label_smoothing": 0.1}, ["--label_smoothing=0.1", "--regression"]),
        ({"regression": True, "focal_gamma": 2}, ["--focal_gamma=2", "--regression"]),
        ({"regression": True, "class_weights": "balanced"}, ["--class_weights", "--regression"]),
        ({"label_separator": ";"}, ["--label_separator=;", "--multi_label"]),
        ({"multi_label_loss": "mean"}, ["--multi_label_loss=mean without --multi_label"]),
        ({"threshold_rows": 5}, ["--threshold_rows=5.0 without --multi_label"]),
        ({"search": True}, ["--learning_rate", "--search tries the rates of --search_rates"]),
        ({"devices": "/cpu:0"}, ["--devices=/cpu:0", "--distribution=none", "=mirrored"]),
        (_mirrored("foo"), ["--devices=foo: expected names such as /gpu:0"]),
        (_mirrored("gpu"), ["--devices=gpu: expected names such as /gpu:0"]),
        (_mirrored("/cpu:0,/device:CPU:0"), ["--devices: /device:CPU:0 is named twice"]),
        (_mirrored("/gpu:97"), ["--devices=/gpu:97: TensorFlow finds", "GPUs on this machine"]),
    ],
)
def test_mistakes_are_told(tmp_path, changes, words):
    data = OwnData(tmp_path, train=titles(16), dev=titles(8, 2), test=titles(8, 3))
    with pytest.raises(UserError) as caught:
        run_here(data.arguments(**changes))
    for word in words:
        assert word in str(caught.value)


def test_a_font_has_the_glyphs_or_none_is_named(monkeypatch):
    pytest.importorskip("matplotlib")
    assert plotting.font_for("体育news").get_file() == package_files.FONT
    monkeypatch.setattr(plotting, "_system_fonts", lambda manager: [])
    assert plotting.font_for("体\U000f1234") is None


def test_labels_that_no_font_has_are_shown_as_numbers(tmp_path, monkeypatch, capsys):
    pytest.importorskip("matplotlib")
    monkeypatch.setattr(plotting, "_system_fonts", lambda manager: [])
    task = datasets.TASKS[datasets.OWN_DATA]._replace(
        labels=("体\U000f1234", "b"), columns=("text_a",)
    )
    scorer = registry.type_of(task).scorer(
        kind_interface.ModelInUse(task, {}, None, 16), task_settings.Settings()
    )
    example = input_examples.InputExample("dev-1", "甲", None, "b")
    scorer.add(example, [{"logits": np.log([0.25, 0.75])}])
    drawn = []
    monkeypatch.setattr(plotting, "save", lambda figure, path: drawn.append(figure))
    about = {"task": "multiclass", "checkpoint": "", "model": "x", "data": {"dev": 1}}
    about.update(remarks={}, seconds=1, examples_per_second={})
    task_report.Report(task, {"dev": scorer}, None, "accuracy").write(str(tmp_path), about)
    assert [text.get_text() for text in drawn[0].axes[0].get_xticklabels()] == ["0", "1"]
    assert "no font here has all characters of the labels" in capsys.readouterr().out


def test_the_most_confident_errors_are_kept_in_order():
    task = datasets.TASKS[datasets.OWN_DATA]._replace(
        labels=("a", "b"), columns=("text_a", "label")
    )
    confidences = np.linspace(0.51, 0.99, 90).astype(np.float32)
    scorer = registry.type_of(task).scorer(
        kind_interface.ModelInUse(task, {}, None, 16), task_settings.Settings(), num_errors=50
    )
    for number in np.random.RandomState(1).permutation(90):
        label = "a" if number % 3 else "b"  # every third prediction is right
        logits = np.log([1 - confidences[number], confidences[number]])
        example = input_examples.InputExample("dev-%d" % number, "甲", None, label)
        scorer.add(example, [{"logits": logits}])
    wrong = [number for number in range(89, -1, -1) if number % 3]
    assert [e.guid for _, e, _ in scorer.worst_errors()] == ["dev-%d" % n for n in wrong[:50]]
    sizes = [size for size, _, _ in scorer.worst_errors()]
    np.testing.assert_allclose(sizes, confidences[wrong[:50]], rtol=1e-6)


def test_ways_of_training_are_settings():
    given = {
        "pooling": "max",
        "label_smoothing": 0.1,
        "focal_gamma": 2.0,
        "rdrop_alpha": 4.0,
        "fgm_epsilon": 0.5,
        "layer_decay": 0.8,
        "freeze_encoder": True,
        "optimizer": "lamb",
        "multi_label_loss": "mean",
        "classifier_rate_factor": 3.0,
        "weight_decay": 0.05,
    }
    with flags_of(["--%s=%s" % item for item in given.items()]):
        settings = registry.get("single_label").settings(flags.FLAGS, {})
        assert {name: getattr(settings, name) for name in given} == given
    assert set(given) == set(task_settings.Settings._fields) - {
        "objective",
        "class_weights",
        "initial_bias",
        "loss_scale",
        "head",
        "scope_rate_factors",  # only with a table of n-grams or templates
        "distill_weight",  # these four only with --teachers
        "distill_loss",
        "teacher_average",
        "temperature",
    }


@pytest.mark.slow
def test_run_classifier_multiclass_needs_no_name_of_a_task(tmp_path):
    data = OwnData(tmp_path, train=titles(16))
    arguments = data.arguments(task_name=None, num_train_epochs=1, do_eval=None, do_predict=None)
    result = run_process(arguments, "run_classifier_multiclass.py")
    assert result.returncode == 0, result.stderr
    assert json.loads(data.read("fine_tuning.json"))["task"] == datasets.OWN_DATA
    assert json.loads(data.read("label_map.json")) == {"a b": 0, "体育": 1, "财经": 2}


@pytest.mark.slow
def test_run_classifier_clue_writes_the_submission(tmp_path):
    data = OwnData(tmp_path)
    texts = [text for text, _ in titles(5)]
    train = [{"sentence": text, "label": "10%d" % n} for n, text in enumerate(texts)] * 4
    test = [{"sentence": text, "id": n} for n, text in enumerate(texts, start=7)]
    for name, rows in (("train", train), ("test", test)):
        data.write("own/%s.json" % name, "".join(json.dumps(row) + "\n" for row in rows))
    arguments = data.arguments(task_name="tnews", num_train_epochs=1, do_eval=None)
    run_process(arguments, "run_classifier_clue.py").check_returncode()
    lines = [json.loads(line) for line in data.read("tnews_predict.json").splitlines()]
    assert [line["id"] for line in lines] == [7, 8, 9, 10, 11]
    table = [line.split("\t") for line in data.read("predictions.tsv").splitlines()[1:]]
    assert [line["label"] for line in lines] == [row[3] for row in table]
    submission = os.path.join(data.output, "tnews_predict.json")
    os.remove(submission)
    for flags_of_way, is_written in (([], False), (["--clue_submission"], True)):
        run_here(arguments + ["--do_train=false"] + flags_of_way)
        assert os.path.exists(submission) == is_written
    assert [json.loads(line) for line in data.read("tnews_predict.json").splitlines()] == lines


def submission_of(task_name, folder):
    """Returns the result files of a prediction with --clue_submission."""
    task = datasets.get_task(task_name)
    options = types.SimpleNamespace(task_name=task_name, clue_submission=True)
    use = kind_interface.ModelInUse(task, {}, None, 16)
    return registry.type_of(task).result_files(str(folder), use, options)


def test_clue_submission_takes_the_rows_own_ids(tmp_path):
    with submission_of("copa", tmp_path) as results:
        for row_id, second in ((5, 0.9), (5, 0.3), (8, 0.1), (8, 0.2)):
            example = input_examples.InputExample("test-1", "甲", "乙", None, row_id)
            results.write(example, [{"probabilities": np.float32([1 - second, second])}])
    lines = [json.loads(line) for line in files.read_lines(results.paths[2])]
    assert lines == [{"id": 5, "label": "0"}, {"id": 8, "label": "1"}]
    with submission_of("tnews", tmp_path) as results:
        example = input_examples.InputExample("test-1", "甲", None, None)
        results.write(example, [{"probabilities": np.eye(15)[3]}])
    assert files.read_lines(results.paths[2]) == ['{"id": 0, "label": "103"}']
    with submission_of("tnews", tmp_path) as results:
        first = input_examples.InputExample("test-1", "甲", None, None, 5)
        results.write(first, [{"probabilities": np.eye(15)[3]}])
        with pytest.raises(UserError, match="has two rows of the id 5"):
            results.write(first._replace(guid="test-2"), [{"probabilities": np.eye(15)[3]}])


def test_label_maps_that_are_none(tmp_path):
    path = tmp_path / "label_map.json"
    path.write_text('{"a": 1, "b": 2}')
    for content in ('{"a": 1, "b": 2}', '{"a": 0, "b": "1"}', "[]"):
        path.write_text(content)
        with pytest.raises(UserError, match="numbers from 0"):
            label_map.labels_of_map(str(path))
    path.write_text('{"a": 0, "b": 1}')
    (tmp_path / "fine_tuning.json").write_text("[]")
    with pytest.raises(UserError, match="fine_tuning.json: expected the JSON object"):
        label_map.notes_of_model([str(tmp_path)])


def test_records_that_are_none_are_not_submitted(tmp_path):
    """A line that is no record must not change how the choices in later lines are paired."""
    rows = (("1", 5, 0.9), ("1", 5, 0.3), ("2", input_examples.NO_RECORD, 0.5), ("3", 8, 0.9))
    rows += (("4", 9, 0.1), ("4", 9, 0.2))
    with submission_of("copa", tmp_path) as results:
        for line, row_id, second in rows:
            example = input_examples.InputExample("test-" + line, "甲", "乙", None, row_id)
            results.write(example, [{"probabilities": np.float32([1 - second, second])}])
    lines = [json.loads(line) for line in files.read_lines(results.paths[2])]
    assert lines == [{"id": 5, "label": "0"}, {"id": 9, "label": "1"}]
    assert results.notes() == [
        "2 lines are not valid rows and are missing in %s" % results.paths[2]
    ]


def test_dollars_in_labels_are_no_formulas(tmp_path):
    labels = ["$", "$$", "$$$", "a$b$"]
    figure = confusion_picture._figure(np.eye(4), labels, None, "dev")
    figure.savefig(str(tmp_path / "figure.png"))
    assert [text.get_text() for text in figure.axes[0].get_xticklabels()][1] == r"\$\$"


def test_long_labels_are_cut_in_pictures():
    assert confusion_picture.tick("体育") == "体育"
    assert confusion_picture.tick("a\tb\nc") == "a b c"
    assert confusion_picture.tick("x" * 20) == "x" * 20
    assert confusion_picture.tick("x" * 21) == "x" * 19 + "…"


@pytest.mark.slow
def test_rows_set_aside_are_not_seen_by_training(tmp_path):
    data = OwnData(tmp_path, train=titles(16))
    run_here(data.arguments(dev_share=0.25, do_predict=None))
    run_here(data.arguments(dev_share=0.25, do_predict=None, do_train=None))
    assert "seen_rows" not in data.results("report.json")["dev"]
    trained, aside = (ids_of_rows(data, name) for name in ("train", "dev"))
    assert (len(trained), len(aside)) == (12, 4) and not trained & aside
    former = data.results()["best"]
    with pytest.raises(UserError, match="another dev_share"):
        run_here(data.arguments(dev_share=0.5, do_predict=None, do_train=None))
    # The same holds if only the best model is used, as its seed is applied.
    settings = {
        "output_dir": str(tmp_path / "other"),
        "init_checkpoint": os.path.join(data.output, "best"),
        "seed": 99,
        "do_train": None,
        "do_predict": None,
    }
    run_here(data.arguments(dev_share=0.25, **settings))
    with open(str(tmp_path / "other" / "eval_results.json")) as handle:
        assert json.load(handle)["best"]["eval_loss"] == pytest.approx(former["eval_loss"])
    settings["output_dir"] += "_share"
    with pytest.raises(UserError, match="trained with another dev_share .0.25.*now 0.5"):
        run_here(data.arguments(dev_share=0.5, **settings))


@pytest.mark.slow
def test_runs_of_other_seeds_have_the_dev_rows_of_one_dev_seed(tmp_path):
    found = []
    for number, given in enumerate([{"seed": 1}, {"seed": 5, "dev_seed": 1}, {"dev_seed": -1}]):
        data = OwnData(tmp_path / str(number), train=titles(40))
        arguments = data.arguments(do_predict=None, train_step=1, num_train_epochs=None, **given)
        if given.get("dev_seed") == -1:
            with pytest.raises(UserError, match="--dev_seed: -1 is out of range"):
                run_here(arguments)
            continue
        run_here(arguments)
        found.append(ids_of_rows(data, "dev"))
        assert json.loads(data.read("run_settings.json"))["fixed"]["dev_seed"] == 1
    assert found[0] == found[1]


@pytest.mark.slow
def test_a_run_begun_with_a_random_split_goes_on_with_it(tmp_path):
    rows = [(text + "！" * copy, label) for copy in range(2) for text, label in titles(16)]
    data = OwnData(tmp_path, train=rows)
    settings = {"do_predict": None, "num_train_epochs": 1}
    run_here(data.arguments(dev_split="random", dev_share=0.25, **settings))
    random_rows = ids_of_rows(data, "dev")
    run_here(data.arguments(do_train=None, **settings))
    run_here(data.arguments(**settings))
    assert ids_of_rows(data, "dev") == random_rows
    assert json.loads(data.read("run_settings.json"))["fixed"]["dev_share"] == (
        "0.25, by largest remainders"
    )
    with pytest.raises(UserError, match="another dev_share .0.25, by largest.* by groups of"):
        run_here(data.arguments(dev_split="groups", **settings))
    data = OwnData(tmp_path / "groups", train=rows)
    run_here(data.arguments(dev_share=0.25, **settings))
    assert ids_of_rows(data, "dev") != random_rows


@pytest.mark.slow
def test_a_file_alone_with_columns_of_any_name(tmp_path):
    data = OwnData(tmp_path)
    rows = [(label, n, text) for n, (text, label) in enumerate(titles(40))]
    data.write_rows("waimai.csv", rows, header=("板块", "序列", "说法"))
    path = os.path.join(data.data, "waimai.csv")
    with pytest.raises(UserError, match="waimai.csv: for that file alone --data_dir=" + path):
        run_here(data.arguments())
    with pytest.raises(
        UserError, match="--data_dir=.*found a file, but the task lcqmc needs the folder"
    ):
        run_here(data.arguments(task_name="lcqmc", data_dir=path))
    with pytest.raises(UserError, match="--label_column: the columns of the task lcqmc are fixed"):
        run_here(data.arguments(task_name="lcqmc", label_column="板块"))
    settings = {"data_dir": path, "text_column": "说法", "label_column": "板块"}
    run_here(data.arguments(num_train_epochs=1, **settings))
    assert len(ids_of_rows(data, "dev")) == 12  # the share is 0.3 for so few rows
    assert json.loads(data.read("best/fine_tuning.json"))["chosen_columns"] == {
        "text_a": "说法",
        "label": "板块",
    }
    # The columns are known from the model; the rows to predict may be in a single file, too.
    data.write_rows("new.csv", [(text, "x") for text, _ in titles(5, 4)], header=("说法", "序列"))
    new = {"data_dir": os.path.join(data.data, "new.csv"), "do_train": None, "do_eval": None}
    run_here(data.arguments(**new))
    rows = data.read("predictions.tsv").splitlines()
    assert [row.split("\t")[0] for row in rows[-5:]] == [text for text, _ in titles(5, 4)]
    with pytest.raises(UserError, match="another chosen columns"):
        run_here(data.arguments(num_train_epochs=1, **dict(settings, text_column="序列")))


def ids_of_rows(data, name):
    """Returns the set of the token ids of a split's rows."""
    records = tf.python_io.tf_record_iterator(os.path.join(data.output, name + ".tf_record"))
    features = (tf.train.Example.FromString(record).features.feature for record in records)
    return {tuple(feature["input_ids"].int64_list.value) for feature in features}


@pytest.mark.slow
@pytest.mark.parametrize(
    "first, second", [({"do_eval": None}, {"do_train": None}), ({}, {"do_eval": None})]
)
def test_rows_that_were_trained_on_are_not_set_aside(tmp_path, first, second):
    data = OwnData(tmp_path, train=titles(16))
    run_here(data.arguments(do_predict=None, num_train_epochs=1, **first))
    with pytest.raises(UserError, match="another dev_share"):
        run_here(data.arguments(do_predict=None, num_train_epochs=1, **second))


def test_one_row_cannot_be_parted(tmp_path):
    data = OwnData(tmp_path, train=[("甲", "1.5")])
    with pytest.raises(UserError, match="no row of its 1 is left to train on"):
        run_here(data.arguments(dev_share=0.5, regression=True, train_batch_size=1))


def test_swapped_files_are_suspected_where_dev_has_other_labels(tmp_path):
    data = OwnData(tmp_path, train=titles(4, labels=LABELS[:2]), dev=titles(12))
    with pytest.raises(
        UserError, match=r"which does not occur in training.*\(12 and 4\): are the files"
    ):
        run_here(data.arguments())


def single_characters(count, num_labels, seed):
    """Returns rows of one or two of many labels; for each label, the text contains a character."""
    generator = random.Random(seed)
    rows = []
    for _ in range(count):
        numbers = generator.sample(range(num_labels), generator.choice([1, 1, 2]))
        text = "".join(CHARACTERS[number] * 2 for number in numbers)
        rows.append((text, "|".join(sorted("label %d" % number for number in numbers))))
    return rows


def test_many_labels_are_learnt_at_the_default_settings(tmp_path, capsys):
    """With --multi_label_loss=mean, as in earlier versions, micro-F1 stays at 0.2."""
    train, dev = single_characters(640, 24, 1), single_characters(100, 24, 2)
    data = OwnData(tmp_path, train=train, dev=dev)
    settings = {"train_batch_size": 16, "num_train_epochs": 4, "learning_rate": 1e-3}
    run_here(data.arguments(multi_label=True, do_predict=None, **settings))
    assert data.results()["best"]["eval_micro_f1"] > 0.5
    assert "clearly better than" not in capsys.readouterr().out


@pytest.mark.parametrize(
    "width, options, rate, epochs",
    [
        (312, [], 2e-4, 10),
        (768, [], 5e-5, 10),
        (312, ["--multi_label_loss=mean"], 5e-5, 3),
        (312, ["--nomulti_label"], 1e-4, 10),
        (768, ["--nomulti_label"], 5e-5, 3),
        (312, ["--nomulti_label", "--task_name=lcqmc"], 5e-5, 3),
        (312, ["--learning_rate=5e-5", "--num_train_epochs=3"], 5e-5, 3),
    ],
)
def test_defaults_of_own_data(tmp_path, width, options, rate, epochs):
    """2,000 rows in batches of 32: ten epochs are 625 steps."""
    config = Workspace(tmp_path).write(
        "wide.json", json.dumps({"vocab_size": 99, "hidden_size": width})
    )
    given = ["--do_train", "--multi_label", "--bert_config_file=" + config]
    given.append("--task_name=" + datasets.OWN_DATA)
    with flags_of(given + options):
        finetuning_flags.take_usual_rate(flags.FLAGS, "single_label")
        kind = finetuning_flags.kind_of(flags.FLAGS, "single_label")
        finetuning_flags.take_usual_epochs(flags.FLAGS, kind, 2000)
        assert (flags.FLAGS.learning_rate, flags.FLAGS.num_train_epochs) == (rate, epochs)


def test_few_rows_are_passed_over_more_often():
    assert losses.epochs_of_few_rows(3.0, 250.0) == 4
    assert losses.epochs_of_few_rows(3.0, 5000.0) == 3
    assert losses.epochs_of_few_rows(20.0, 10.0) == 20


@pytest.mark.slow
def test_a_run_of_several_labels_records_its_defaults(tmp_path, capsys):
    data = OwnData(tmp_path, train=rows_of_several_labels(32), dev=rows_of_several_labels(24, 2))
    settings = {"num_train_epochs": None, "learning_rate": None, "do_predict": None}
    arguments = data.arguments(multi_label=True, **settings)
    run_here(arguments)
    recorded = data.results("run_settings.json")
    assert recorded["fixed"]["learning_rate"] == 2e-4
    assert recorded["variable"]["num_train_epochs"] == 10
    assert recorded["variable"]["threshold_rows"] == 30
    assert data.results()["evaluations"][-1]["global_step"] == 40
    best = data.results("best/fine_tuning.json")
    capsys.readouterr()
    run_here(arguments + ["--threshold_rows=0"])
    out = capsys.readouterr().out
    assert "training is complete (step 40)" in out
    assert "--threshold_rows has no effect, as all checkpoints have been evaluated already" in out
    assert data.results("best/fine_tuning.json") == best


@pytest.mark.slow
@pytest.mark.parametrize(
    "labels, changes, words",
    [
        (
            ["a", "b"],
            {},
            r'dev accuracy 0\.\d{4} is not clearly better than predicting the label "a" for every',
        ),
        *(
            pytest.param(*case, marks=pytest.mark.slow)
            for case in (
                (
                    ["a", "b", "c"],
                    {"best_metric": "macro_f1"},
                    r"dev macro_f1 0\.\d{4} is not clearly better",
                ),
                (
                    ["a|b", "a"],
                    {"multi_label": True},
                    r'dev micro_f1 .* not clearly better than predicting the labels "a", "b" for',
                ),
                (
                    ["1", "3.5"],
                    {"regression": True},
                    r"dev pearson .* not clearly better than predicting the value \d\.\d+",
                ),
            )
        ),
    ],
)
def test_a_run_that_learns_nothing_says_so_with_advice(tmp_path, capsys, labels, changes, words):
    """The labels are independent of the texts."""
    generator = random.Random(3)
    rows = [(text, generator.choice(labels + labels[:1])) for text, _ in titles(200)]
    data = OwnData(tmp_path, train=rows[:100], dev=rows[100:])
    settings = {"learning_rate": 1e-9, "num_train_epochs": 1, "do_predict": None}
    run_here(data.arguments(**settings, **changes))
    (line,) = [
        line for line in capsys.readouterr().out.splitlines() if "clearly better than" in line
    ]
    assert line.startswith("warning") and re.search(words, line)
    for advice in ("--init_checkpoint", "higher --learning_rate", "--num_train_epochs", "labels"):
        assert advice in line


@pytest.mark.slow
def test_screen_and_files_name_the_metric_they_show(tmp_path, capsys):
    rows = titles(96)
    data = OwnData(tmp_path, train=rows, dev=titles(24, 2) + rows[:4], test=titles(24, 3))
    run_here(data.arguments(best_metric="macro_f1"))
    lines = capsys.readouterr().out.splitlines()
    number = r"0\.\d{4}"
    both = "macro_f1 %s, accuracy %s" % (number, number)
    evaluations = [line for line in lines if line.startswith("dev ") and " at step " in line]
    assert len(evaluations) == 4  # three epochs, and the best checkpoint at the end
    for line in evaluations[:3]:
        assert re.match(r"dev %s at step \d+( \(best so far\))?$" % both, line)
    values = "%s, accuracy %s" % (number, number)
    assert re.match(r"dev macro_f1 +%s \(best, at step \d+\)$" % values, evaluations[3])
    (of_test,) = [line for line in lines if line.startswith("test macro_f1")]
    assert re.match(r"test macro_f1 +%s \(24 rows\)$" % values, of_test)
    (unseen,) = [line for line in lines if line.startswith("dev, unseen rows")]
    assert both.split(" ")[0] in unseen and "accuracy" in unseen
    test = data.results()["test"]
    assert "%.4f, accuracy %.4f" % (test["macro_f1"], test["accuracy"]) in of_test


@pytest.mark.slow
def test_a_finished_run_leaves_its_newest_checkpoint_and_goes_on_from_it(tmp_path, capsys):
    data = OwnData(tmp_path, train=titles(32), dev=titles(8, 2))

    def checkpoints_left():
        return sorted(
            name[len("model.ckpt-") : -len(".index")]
            for name in os.listdir(data.output)
            if name.startswith("model.ckpt-") and name.endswith(".index")
        )

    run_here(data.arguments(do_predict=None))
    out = capsys.readouterr().out
    assert "step 0 (before training)" not in out
    assert checkpoints_left() == ["12"]
    assert not [name for name in os.listdir(data.output) if name.startswith("model.ckpt-8")]
    assert tf.train.latest_checkpoint(data.output).endswith("model.ckpt-12")
    names = dict(tf.train.list_variables(os.path.join(data.output, "model.ckpt-12")))
    assert "output_bias/adam_m" in names
    assert [e["global_step"] for e in data.results()["evaluations"]] == [0, 4, 8, 12]
    run_here(data.arguments(do_predict=None, num_train_epochs=4))
    assert "continuing from step 12 of 16" in capsys.readouterr().out
    assert checkpoints_left() == ["16"]


@pytest.mark.parametrize(
    "changes, left",
    [
        ({"keep_checkpoint_max": 3}, [4, 8, 12]),
        ({"keep_checkpoint_max": 0}, [0, 4, 8, 12]),
        ({"do_eval": None}, [0, 4, 8, 12]),  # another command may evaluate them
    ],
)
@pytest.mark.slow
def test_as_many_checkpoints_are_kept_as_are_asked_for(tmp_path, changes, left):
    data = OwnData(tmp_path, train=titles(32), dev=titles(8, 2))
    run_here(data.arguments(do_predict=None, **changes))
    found = checkpoint_files.checkpoints_of_training(data.output)
    assert [checkpoint_files.checkpoint_step(prefix) for prefix in found] == left


@pytest.mark.slow
def test_without_a_best_folder_the_best_checkpoint_is_kept_too(tmp_path):
    data = OwnData(tmp_path, train=titles(64), dev=titles(24, 2))
    run_here(data.arguments(do_predict=None, keep_best=False, num_train_epochs=5))
    found = checkpoint_files.checkpoints_of_training(data.output)
    best = data.results()["best"]["global_step"]
    assert [checkpoint_files.checkpoint_step(prefix) for prefix in found] == sorted({best, 40})
