"""benchmarks/export_accuracy.py: accuracy of a model's exports on the task's dev file."""

import os
import sys

import pytest

from albert_zh.inference.predictor import Predictor
import small_models
from workspace import ROOT

sys.path.append(os.path.join(ROOT, "benchmarks"))

import export_accuracy

TEXTS = ["上海%s北京%s" % (one, other) for one in "的你我他" for other in "是有不人"]


@pytest.fixture(name="task", scope="module")
def task_fixture(tmp_path_factory):
    """(model, data folder): the model predicts the labels of three quarters of the dev rows."""
    root = tmp_path_factory.mktemp("export_accuracy")
    folder = small_models.write_model(root / "model", settings={"task": "lcqmc"})
    pairs = [(text, TEXTS[0]) for text in TEXTS]
    with Predictor(folder) as model:
        predicted = model.predict(pairs)[0]
    labels = [
        label if number % 4 else {"0": "1", "1": "0"}[label]
        for number, label in enumerate(predicted)
    ]
    data = root / "data"
    data.mkdir()
    rows = ["%s\t%s\t%s\n" % (one, other, label) for (one, other), label in zip(pairs, labels)]
    for name in ("train.txt", "dev.txt"):
        (data / name).write_text("".join(rows), encoding="utf-8")
    return folder, str(data)


def test_accuracy_counts_the_rows_whose_label_is_predicted(task):
    folder, data_dir = task
    accuracies = export_accuracy.measured_accuracies(folder, {"again": folder}, data_dir)
    assert accuracies == {"checkpoint": 0.75, "again": 0.75}


@pytest.mark.parametrize("most, expected", [(None, len(TEXTS)), (5, 5), (99, len(TEXTS))])
def test_a_sample_has_each_row_at_most_once(task, most, expected):
    examples = export_accuracy.sampled(*task, "dev", most)
    assert len(examples) == expected
    assert len({example.text_a for example in examples}) == expected


def test_texts_for_calibration_are_those_of_training(task, tmp_path):
    path = tmp_path / "texts.txt"
    export_accuracy.write_texts(str(path), *task)
    lines = path.read_text(encoding="utf-8").splitlines()
    assert sorted(lines) == sorted("%s\t%s" % (text, TEXTS[0]) for text in TEXTS)


@pytest.mark.slow
@pytest.mark.reference
def test_exports_are_compared_with_the_checkpoint(task, capsys, monkeypatch):
    folder, data_dir = task
    names = ("SavedModel", "TFLite float16")  # random weights are not within int8's tolerance
    chosen = {name: export_accuracy.EXPORTS[name] for name in names}
    monkeypatch.setattr(export_accuracy, "EXPORTS", chosen)
    words = ["export_accuracy.py", "--models=small=" + folder, "--data_dirs=" + data_dir]
    monkeypatch.setattr("sys.argv", words)
    export_accuracy.main()
    rows = [line.strip("| ").split(" | ") for line in capsys.readouterr().out.splitlines()[2:]]
    assert [row[:2] for row in rows] == [["small", name] for name in ("checkpoint", *names)]
    assert [row[3:] for row in rows] == 3 * [["75.00", "+0.00"]]
