"""Tests of cmrc2018_evaluate.py, drcd_evaluate.py and squad_evaluate.py."""

import json
import os
import subprocess
import sys

import pytest

from albert_zh.commands import cmrc2018_evaluate, squad_evaluate
from albert_zh.common.errors import UserError
from workspace import ROOT

pytestmark = pytest.mark.newest


def run(command, *arguments, folder):
    """Runs a command in a folder; returns (status, stdout, stderr)."""
    words = [sys.executable, os.path.join(ROOT, command + ".py")] + list(arguments)
    ended = subprocess.run(words, cwd=str(folder), capture_output=True, timeout=60)
    return ended.returncode, ended.stdout.decode(), ended.stderr.decode()


def write(folder, name, content):
    path = folder / name
    path.write_text(json.dumps(content, ensure_ascii=False), encoding="utf-8")
    return str(path)


@pytest.fixture
def files(tmp_path):
    questions = [
        {"id": "a", "question": "？", "answers": [{"text": "上海", "answer_start": 0}]},
        {"id": "b", "question": "？", "answers": [{"text": "北京市", "answer_start": 2}]},
        {"id": "c", "question": "？", "answers": [], "is_impossible": True},
    ]
    document = {"data": [{"paragraphs": [{"context": "上海北京市", "qas": questions}]}]}
    write(tmp_path, "all.json", document)
    document["data"][0]["paragraphs"][0]["qas"].pop()
    write(tmp_path, "data.json", document)
    write(tmp_path, "predictions.json", {"a": "上海", "b": "北京", "c": "x", "d": "more"})
    return tmp_path


@pytest.mark.parametrize(
    "case, names",
    [
        ("all", ("dataset.json", "predictions.json")),
        ("original_layout", ("dataset_original_layout.json", "predictions.json")),
        ("two", ("dataset_two.json", "predictions_two.json")),
        ("two_missing", ("dataset_two.json", "predictions_two_missing.json")),
    ],
)
def test_output_is_the_original_program_s(shared, case, names, tmp_path):
    folder = os.path.join(shared, "golden", "labelling", "cmrc")
    with open(os.path.join(folder, "expected.json"), encoding="utf-8") as handle:
        expected = json.load(handle)["runs"][case]
    metric_file = str(tmp_path / "new" / "metric.txt")
    for command, more in (("cmrc2018_evaluate", []), ("drcd_evaluate", [metric_file])):
        status, output, errors = run(command, *names, *more, folder=folder)
        assert (status, output.strip()) == (0, expected["stdout"])
        assert errors.strip() == expected["stderr"]
    with open(metric_file, encoding="utf-8") as handle:
        assert handle.read() == expected["stdout"] + "\n"


def test_the_line_is_printed_and_written(files):
    status, output, _ = run(
        "cmrc2018_evaluate", "data.json", "predictions.json", "metric.txt", folder=files
    )
    assert status == 0 and output == (files / "metric.txt").read_text()
    assert json.loads(output) == {
        "AVERAGE": "70.000",
        "F1": "90.000",
        "EM": "50.000",
        "TOTAL": 2,
        "SKIP": 0,
        "FILE": "predictions.json",
    }


@pytest.mark.parametrize(
    "arguments, message",
    [
        (["data.json"], "PREDICTIONS [METRIC_FILE], such as dev.json dev_predictions.json, fo"),
        (["a", "b", "c", "d"], "found 4 arguments"),
        (["none.json", "predictions.json"], "none.json: cannot be read"),
        (["data.json", "data.json"], "version: expected the text of an answer, found"),
        (
            ["data.json", "empty.json"],
            "none of its 0 predictions belongs to one of the 2 questions",
        ),
        (["all.json", "predictions.json"], "qas[2]: the question 'c' has no answer"),
        (["data.json", "predictions.json", "data.json"], "data.json: it is an input too"),
        (
            ["data.json", "predictions.json", "model/vocab.txt"],
            "vocab.txt: this is a file of the model in the same folder (weights: albert_model.",
        ),
    ],
)
def test_mistakes_are_one_line(files, arguments, message, monkeypatch):
    write(files, "empty.json", {})
    (files / "model").mkdir(exist_ok=True)
    for name in ("vocab.txt", "albert_model.ckpt.index"):
        (files / "model" / name).write_text("")
    document = json.loads((files / "data.json").read_text(encoding="utf-8"))
    write(files, "data.json", dict(document, version=[]))
    monkeypatch.chdir(files)
    message = message.replace("version: ", "data: ") if "version" in message else message
    with pytest.raises(UserError) as error:
        cmrc2018_evaluate.run(arguments)
    assert message in str(error.value) and "\n" not in str(error.value)


def test_missing_predictions_are_reported_and_count_as_wrong(files):
    write(files, "one.json", {"a": "上海"})
    status, output, errors = run("cmrc2018_evaluate", "data.json", "one.json", folder=files)
    assert status == 0 and errors == "Unanswered question: b\n"
    line = json.loads(output)
    assert (line["SKIP"], line["TOTAL"], line["EM"], line["F1"]) == (1, 2, "50.000", "50.000")


def test_squad_measures_are_printed_and_written(files):
    write(files, "odds.json", {"a": -1.0, "b": 0.5, "c": 3.0})
    status, output, _ = run(
        "squad_evaluate", "all.json", "predictions.json", "--na_prob_file=odds.json",
        "--out_file=out.json", folder=files,
    )  # fmt: skip
    assert status == 0
    measures = json.loads(output)
    assert measures == json.loads((files / "out.json").read_text())
    assert measures["exact"] == pytest.approx(200 / 3) and measures["NoAns_exact"] == 100.0
    assert measures["best_f1"] == pytest.approx(100 * 2.8 / 3)
    assert measures["best_f1_thresh"] == 0.5


def test_squad_measures_need_answers(files):
    document = {"data": [{"paragraphs": [{"context": "x", "qas": [{"id": "a", "question": "?"}]}]}]}
    path = write(files, "unlabelled.json", document)
    with pytest.raises(UserError, match="no answers are given: expected a labelled file"):
        squad_evaluate.measures_of_files(path, str(files / "predictions.json"))
    odds = write(files, "odds.json", {"a": "x"})
    with pytest.raises(UserError, match="odds.json: a: expected a number"):
        squad_evaluate.measures_of_files(
            str(files / "all.json"), str(files / "predictions.json"), null_odds_path=odds
        )
