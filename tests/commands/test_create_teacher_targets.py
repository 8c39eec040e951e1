"""Tests of create_teacher_targets.py: averaged targets of teacher files, and refused settings."""

import json
import pathlib

import numpy as np
import pytest

from albert_zh.commands import create_teacher_targets
from albert_zh.common.errors import UserError
from albert_zh.inference import predictor
from albert_zh.tasks import input_examples
import isolated_flags
import small_models

OF_SVM = {"今天": (0.7, 0.2, 0.1), "明天": (0.1, 0.1, 0.8)}
OF_LLM = {"今天": "c", "明天": "a"}


@pytest.fixture(name="files")
def files_fixture(tmp_path):
    """Writes texts, a table with their probabilities, and a file with labels only."""
    rows = ["text_a\ttext_b\tP(a)\tP(b)\tP(c)"]
    rows += ["%s\t\t%g\t%g\t%g" % ((text,) + row) for text, row in OF_SVM.items()]
    labels = [json.dumps({"text": text, "label": label}) for text, label in OF_LLM.items()]
    contents = {"texts.txt": list(OF_SVM), "svm.tsv": rows, "llm.jsonl": labels}
    for name, lines in contents.items():
        (tmp_path / name).write_text("\n".join(lines) + "\n", encoding="utf-8")
    return tmp_path


def targets_of(folder, teachers, input_file="texts.txt", **changes):
    """Runs the command; returns the cells of the table that it writes."""
    settings = {
        "teachers": ",".join(str(folder / name) for name in teachers.split(",")),
        "input_file": str(folder / input_file),
        "output_file": str(folder / "out.tsv"),
        "labels": "a,b,c",
    }
    settings.update(changes)
    arguments = ["--%s=%s" % item for item in settings.items() if item[1] is not None]
    with isolated_flags.flags_of(arguments, create_teacher_targets.define_flags):
        create_teacher_targets.run()
    return [line.split("\t") for line in (folder / "out.tsv").read_text("utf-8").splitlines()]


def test_files_alone_are_averaged(files):
    header, *rows = targets_of(files, "svm.tsv,llm.jsonl", teacher_weights="3,1")
    assert header == ["text_a", "text_b", "P(a)", "P(b)", "P(c)"]
    assert [row[:2] for row in rows] == [["今天", ""], ["明天", ""]]
    numbers = np.array([row[2:] for row in rows], float)
    expected = 0.75 * np.array(list(OF_SVM.values())) + 0.25 * np.array([[0, 0, 1], [1, 0, 0]])
    np.testing.assert_allclose(numbers, expected, atol=1e-6)


def test_nothing_is_asked_of_a_teacher_of_weight_0(files):
    """A teacher of weight 0 is not used: its file may lack rows, and no large model is loaded."""
    (files / "llm.jsonl").write_text('{"text": "今天", "label": "c"}\n', encoding="utf-8")
    _, *rows = targets_of(files, "svm.tsv,llm.jsonl", teacher_weights="2,0")
    numbers = np.array([row[2:] for row in rows], float)
    np.testing.assert_allclose(numbers, list(OF_SVM.values()), atol=1e-6)


@pytest.mark.parametrize("pattern", ["*.tsv", "**/o?t.tsv", "../*/out*"])
def test_a_pattern_that_fits_the_file_to_write_is_refused(files, pattern):
    """Otherwise, the second run would read the targets of the first as texts."""
    with pytest.raises(UserError) as caught:
        targets_of(files, "svm.tsv", input_file=pattern)
    message = "--input_file=%s also matches --output_file=%s" % (files / pattern, files / "out.tsv")
    assert str(caught.value).startswith(message)
    assert not (files / "out.tsv").exists()


def test_a_pattern_of_other_files_beside_the_one_to_write_is_read(files):
    assert len(targets_of(files, "svm.tsv", input_file="text*.t[xs]?")) == 1 + len(OF_SVM)


def test_a_path_with_a_comma_is_given_in_quotes(files, monkeypatch):
    (files / "a,b").mkdir()
    (files / "svm.tsv").rename(files / "a,b" / "svm.tsv")
    monkeypatch.chdir(files)
    with pytest.raises(
        UserError, match="=a: no such file .*teachers are separated by commas: .*'\"a,b\",c'"
    ):
        targets_of(pathlib.Path(), "a,b/svm.tsv,llm.jsonl")
    header, *_ = targets_of(pathlib.Path(), '"a,b/svm.tsv",llm.jsonl')
    assert header == ["text_a", "text_b", "P(a)", "P(b)", "P(c)"]


def test_a_table_is_not_called_json(files):
    """Regression: a teacher file of this name was read as JSON lines, of which it contains none."""
    with pytest.raises(UserError, match="targets.jsonl: the targets are a table, .* ends in .tsv"):
        targets_of(files, "svm.tsv", output_file=str(files / "targets.jsonl"))


def test_a_reader_scores_starts_and_ends(tmp_path):
    reader = small_models.write_reader(tmp_path / "reader")
    questions = [
        {"id": "Q", "question": "什么时候", "answers": [{"text": "天", "answer_start": 1}]}
    ]
    content = {"data": [{"paragraphs": [{"context": "今天我们去吃饭", "qas": questions}]}]}
    (tmp_path / "dev.json").write_text(json.dumps(content), encoding="utf-8")
    targets_of(tmp_path, "reader", "dev.json", output_file=str(tmp_path / "out.tsv"), labels=None)
    row = json.loads((tmp_path / "out.tsv").read_text("utf-8"))
    with predictor.Predictor(reader) as model:
        example = input_examples.InputExample("1", "什么时候", "今天我们去吃饭", None)
        ((of_reader,),) = model.outputs([example])
    places = [0, *range(6, 13)]  # [CLS] and the text, which follows the question
    for output in ("start", "end"):
        logits = of_reader[output + "_logits"][places].astype(float)
        expected = logits - np.log(np.exp(logits).sum())
        found = np.array(row["rows"][0]["teacher_" + output])[places]
        np.testing.assert_allclose(found, expected, atol=1e-4)


def test_teachers_are_averaged_at_their_temperatures(files):
    rows = targets_of(files, "svm.tsv,llm.jsonl", teacher_temperatures="2,1")[1:]
    numbers = np.array([row[2:] for row in rows], float)
    softened = np.sqrt(np.array(list(OF_SVM.values())))
    softened /= softened.sum(axis=1, keepdims=True)
    expected = 0.5 * softened + 0.5 * np.array([[0, 0, 1], [1, 0, 0]])
    np.testing.assert_allclose(numbers, expected, atol=1e-6)
    with pytest.raises(UserError, match="--teacher_temperatures=auto needs labelled rows"):
        targets_of(files, "svm.tsv,llm.jsonl", teacher_temperatures="auto")


def test_pairs_are_those_of_the_files(files):
    row = {"text_a": "今天", "text_b": "明天", "probabilities": {"c": 0.5, "a": 0.3, "b": 0.2}}
    (files / "pairs.jsonl").write_text(json.dumps(row) + "\n", encoding="utf-8")
    (files / "pairs.tsv").write_text("今天\t明天\n", encoding="utf-8")
    found = targets_of(files, "pairs.jsonl", "pairs.tsv")[1]
    assert found[:2] == ["今天", "明天"]
    np.testing.assert_allclose(np.array(found[2:], float), [0.3, 0.2, 0.5], atol=1e-6)


@pytest.mark.parametrize(
    "texts, expected",
    [
        ("今天\n明天\n", ["今天", ""]),
        ("今天\tb\n明天\ta\n", ["今天", ""]),
        ("text\tlabel\n今天\tb\n明天\ta\n", ["今天", ""]),
        ("今天\t明天\n吃饭\t开门\n", ["今天", "明天"]),
    ],
)
def test_texts_of_numbers_alone_are_pairs_by_their_columns(files, texts, expected):
    (files / "numbers.tsv").write_text("0.3\t0.2\t0.5\n0.1\t0.8\t0.1\n", encoding="utf-8")
    (files / "texts.tsv").write_text(texts, encoding="utf-8")
    found = targets_of(files, "numbers.tsv", "texts.tsv")[1]
    assert found[:2] == expected
    np.testing.assert_allclose(np.array(found[2:], float), [0.3, 0.2, 0.5], atol=1e-6)


@pytest.mark.parametrize(
    "changes, message",
    [
        ({"labels": None}, "--labels=: all --teachers are files: expected the labels in the order"),
        ({"labels": "a"}, "--labels=a: all"),
        ({"labels": "a,b,b"}, "--labels=a,b,b: all"),
        ({"labels": "a,b,d"}, "has the labels a, b, c, the data a, b, d"),
        ({"teachers": "gone.tsv"}, "--teachers=.*gone.tsv: no such file or folder"),
        ({"input_file": "gone.txt"}, "--input_file=.*gone.txt: no such file"),
    ],
)
def test_what_does_not_fit_is_one_line(files, changes, message):
    with pytest.raises(UserError, match=message) as caught:
        targets_of(files, **dict({"teachers": "svm.tsv"}, **changes))
    assert "\n" not in str(caught.value) and not (files / "out.tsv").exists()
