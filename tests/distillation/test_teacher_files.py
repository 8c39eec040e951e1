"""Files as teachers: every format, and everything that can be wrong in a file."""

import json

import numpy as np
import pytest

from albert_zh.common.errors import UserError
from albert_zh.distillation import label_names, teachers
from albert_zh.distillation.teacher_files import TeacherFile
from albert_zh.distillation.teachers import Student
from albert_zh.tasks import kind_interface, registry, task_forms
from albert_zh.tasks.distillation import log_softmax
from albert_zh.tasks.input_examples import InputExample

PAIR = InputExample("train-1", "今天", "明天", None)
OTHER = InputExample("train-2", "吃饭", "开门", None)


def student_of(labels=("0", "1"), kind="single_label", is_symmetric=False):
    task = task_forms.Task({}, ("text_a", "text_b", "label"), tuple(labels), objective=kind)
    use = kind_interface.ModelInUse(task, {}, None, 16)
    return Student(registry.get(kind), use, None, is_symmetric)


def opened(tmp_path, content, name="teacher.tsv", **student):
    path = tmp_path / name
    path.write_text(content, encoding="utf-8")
    return TeacherFile(str(path), student_of(**student))


def probabilities(teacher, example=PAIR):
    teacher.prepare([example])
    return np.exp(log_softmax(teacher.target(example)))


def json_line(**values):
    return json.dumps(dict({"text_a": "今天", "text_b": "明天"}, **values)) + "\n"


@pytest.mark.parametrize(
    "name, content",
    [
        (
            "predictions.tsv",
            "text_a\ttext_b\tlabel\tprediction\tprobability\tP(1)\tP(0)\n"
            "今天\t明天\t0\t0\t0.8\t0.2000\t0.8000\n",
        ),
        ("uer.tsv", "text_a\ttext_b\tlabel\tlogits\n今天\t明天\t0\t1.386294 0\n"),
        ("names.tsv", "sentence1\tsentence2\tP(0)\tP(1)\n今天\t明天\t0.8\t0.2\n"),
        ("a.jsonl", json_line(probabilities={"1": 0.2, "0": 0.8})),
        ("b.jsonl", json_line(logits=[1.386294, 0.0])),
        ("c.json", json_line(logits={"1": 5, "0": 6.386294})),
        ("test_results.tsv", "0.8\t0.2\n"),
    ],
)
def test_forms(tmp_path, name, content):
    teacher = opened(tmp_path, content, name)
    np.testing.assert_allclose(probabilities(teacher), [0.8, 0.2], atol=1e-5)


def test_labels_alone_are_sure(tmp_path):
    of_row = probabilities(opened(tmp_path, json_line(label="1"), "llm.jsonl"))
    np.testing.assert_allclose(of_row, [0, 1], atol=1e-6)


def test_multi_label_and_values(tmp_path):
    content = json_line(labels=["b"])
    teacher = opened(tmp_path, content, "x.jsonl", labels=("a", "b"), kind="multi_label")
    teacher.prepare([PAIR])
    assert teacher.target(PAIR)[0] < -10 and teacher.target(PAIR)[1] > 10
    teacher = opened(
        tmp_path, json_line(value=2.5), "v.jsonl", labels=("score",), kind="regression"
    )
    teacher.prepare([PAIR])
    assert teacher.target(PAIR).tolist() == [2.5]
    content = json_line(label=3, value=2.5)  # includes the gold value, like dumps of data sets
    teacher = opened(tmp_path, content, "v.jsonl", labels=("score",), kind="regression")
    teacher.prepare([PAIR])
    assert teacher.target(PAIR).tolist() == [2.5]
    with pytest.raises(UserError, match="found the key label, expected the key value"):
        opened(tmp_path, json_line(label=3), "w.jsonl", labels=("score",), kind="regression")


def test_rows_of_one_text_may_differ_by_rounding(tmp_path):
    """Regression: numbers near zero that differ by rounding, as on a GPU, were refused."""
    header, row = "text_a\ttext_b\tP(0)\tP(1)\n", "今天\t明天\t%s\n"
    content = header + row % "0.999999\t0.000001" + row % "1.000000\t0.000000"
    assert probabilities(opened(tmp_path, content))[0] == pytest.approx(1, abs=1e-5)
    content = header + row % "0.80\t0.20" + row % "0.79\t0.21"
    with pytest.raises(UserError, match="lines 2 and 3: the same text with other numbers"):
        opened(tmp_path, content)


def test_a_file_of_single_texts_for_pairs_names_what_is_missing(tmp_path):
    teacher = opened(tmp_path, "text_a\tP(0)\tP(1)\n今天\t0.8\t0.2\n")
    with pytest.raises(UserError, match="it has single texts, but the data are pairs"):
        teacher.prepare([PAIR])


def test_the_prefix_of_a_checkpoint_is_named_as_such(tmp_path):
    """Regression: a prefix, as BERT's programs take it, was reported as a missing file."""
    (tmp_path / "model.ckpt-7.index").write_text("")
    with pytest.raises(UserError) as caught:
        teachers.is_model(str(tmp_path / "model.ckpt-7"))
    assert "model.ckpt-7: found the prefix of a checkpoint, expected its" in str(caught.value)
    assert str(caught.value).endswith("--teachers=%s" % tmp_path)


def test_a_packed_file_is_named_as_such(tmp_path):
    (tmp_path / "a.jsonl.gz").write_bytes(b"\x1f\x8b\x08\x00")
    with pytest.raises(UserError, match="a compressed file, expected text: unpack it"):
        TeacherFile(str(tmp_path / "a.jsonl.gz"), student_of())


def test_pairs_the_other_way_round_are_found_where_order_says_nothing(tmp_path):
    content = json_line(logits=[1, 0])
    turned = PAIR._replace(text_a="明天", text_b="今天")
    opened(tmp_path, content, "a.jsonl", is_symmetric=True).prepare([turned])
    with pytest.raises(UserError, match="has no row for 1 of 1 texts"):
        opened(tmp_path, content, "a.jsonl").prepare([turned])


@pytest.mark.parametrize(
    "name, content, message",
    [
        ("a.tsv", "text\tscore\nx\t1\n", "line 1: found the columns text, score: expected text_a"),
        ("a.tsv", "text_a\ttext_b\tP(0)\tP(2)\nx\ty\t1\t0\n", "has the labels 0, 2, the data 0, 1"),
        (
            "a.txt",
            json_line(logits=[0.5, 0.5]),
            "line 1: found JSON, but a file of this name is read as a table: name it .jsonl",
        ),
        ("a.jsonl", json_line(probabilities={"是": 1.0}), "has the labels 是, the data 0, 1"),
        ("a.jsonl", json_line(probabilities=[0.5, 0.4]), "line 1: .* up to 0.9, expected 1 over"),
        ("a.jsonl", json_line(probabilities=[0.5, 0.48123]), "line 1: .* add up to 0.9812, expe"),
        ("a.jsonl", json_line(probabilities=[0.0, 0.0]), "line 1: .* add up to 0, expected 1"),
        (
            "a.jsonl",
            json_line(probabilities=[-0.5, 1.5]),
            "expected probabilities from 0 to 1; logits need a column",
        ),
        (
            "a.tsv",  # has single texts, but the data are pairs
            "text_a\tP(0)\tP(1)\nx\t1\t0\nx\t0\t1\n",
            "lines 2 and 3: the same text .* of pairs give both texts .text_b",
        ),
        ("a.jsonl", json_line(logits=[1.0]), "line 1: found 1 number, expected 2: correct"),
        ("a.jsonl", json_line(logits=[1, 2, 3]), "found 3 numbers, expected 2: correct"),
        ("a.jsonl", json_line(logits=[0, float("nan")]), "NaN is not a JSON value"),
        ("a.jsonl", json_line(logits=[-float("inf"), 0]), "-Infinity is not a JSON value"),
        ("a.jsonl", json_line(logits=[1e40, 0]), r"found 1e\+40, expected finite numbers"),
        pytest.param(
            "a.jsonl",
            json_line(logits=[10**400, 0]),
            "found inf, expected finite numbers",
            id="an integer beyond floats",
        ),
        ("test_results.tsv", "0.5\t0.5\n0.5\tnan\n", "line 2: found nan, expected finite"),
        ("a.jsonl", "{\n", "--teachers=.*line 1"),
        ("a.jsonl", json_line(logits=["a", "b"]), "logits that are not numbers"),
        ("a.jsonl", json_line(label="2"), "the label '2', expected 0, 1"),
        ("a.jsonl", json_line(), "no target"),
        (
            "a.jsonl",
            json_line(label="0", prediction="1"),
            "found the keys label and prediction, expected one of them, the answer as label",
        ),
        ("a.jsonl", '{"logits": [1, 2]}\n', "no text"),
        (
            "a.tsv",
            "text_a\ttext_b\tlogits\n今天\t明天\tx 1\n",
            "line 2: found 'x', expected a number",
        ),
        ("a.tsv", "text_a\ttext_b\tlogits\n今天\n", "line 2: found 1 cells"),
        (
            "a.tsv",
            "text_a\ttext_b\tlogits\n今天\t明天\t1 2\t3\n",
            "line 2: found 4 cells, expected 3",
        ),
        ("a.tsv", "text_a\tP(0)\tP(1)\tP(1)\nx\t1\t0\t1\n", "line 1: found the column P.1. twice"),
        ("a.tsv", "\n", "no rows"),
        (
            "a.jsonl",
            json_line(logits=[1, 2]) + json_line(logits=[2, 1]),
            "lines 1 and 2: the same text with other numbers",
        ),
    ],
)
def test_bad_files_are_one_line(tmp_path, name, content, message):
    with pytest.raises(UserError, match=message) as caught:
        opened(tmp_path, content, name)
    assert "\n" not in str(caught.value) and "--teachers=" in str(caught.value)


def test_a_file_that_is_no_text_names_the_flag(tmp_path):
    (tmp_path / "garbage.bin").write_bytes(b"\xff\xfe\x80\x81\n" * 9)
    with pytest.raises(UserError, match="^--teachers=.*garbage.bin: .*garbage.bin") as caught:
        TeacherFile(str(tmp_path / "garbage.bin"), student_of())
    assert "\n" not in str(caught.value)


def test_a_file_of_another_encoding_is_to_be_converted(tmp_path):
    """--encoding applies to the data only; files of teachers are always UTF-8."""
    path = tmp_path / "teacher.jsonl"
    path.write_bytes(
        json_line(logits=[1, 2]).replace("\\u4eca\\u5929", "今天开门吃饭").encode("gbk")
    )
    with pytest.raises(UserError, match="GBK, expected UTF-8: convert it .iconv"):
        TeacherFile(str(path), student_of())


def test_blanks_around_texts_do_not_matter(tmp_path):
    content = "text_a\ttext_b\tlogits\n 今天 \t明天\u3000\t1.386294 0\n"
    np.testing.assert_allclose(probabilities(opened(tmp_path, content)), [0.8, 0.2], atol=1e-5)


def test_numbers_by_position_that_disagree_about_a_text(tmp_path):
    content = "0.9123\t0.0877\n0.5\t0.5\n%s\n"
    rows = [PAIR, OTHER, PAIR]
    opened(tmp_path, content % "0.9123\t0.0877", "equal.tsv").prepare(rows)
    teacher = opened(tmp_path, content % "0.1111\t0.8889", "other.tsv")
    with pytest.raises(UserError, match="lines 1 and 3: the same text with other numbers .'今天'"):
        teacher.prepare(rows)


def test_numbers_that_differ_the_other_way_round_are_reported(tmp_path, capsys):
    turned = {"text_a": "明天", "text_b": "今天"}
    content = json_line(logits=[1, 0]) + "\n" + json_line(logits=[1, 0.5], **turned)
    opened(tmp_path, content, "a.jsonl")
    opened(tmp_path, content.replace("0.5", "0"), "a.jsonl", is_symmetric=True)
    assert capsys.readouterr().out == ""
    teacher = opened(tmp_path, content, "a.jsonl", is_symmetric=True)
    shown = capsys.readouterr().out
    assert "pairs with other numbers in reverse order: 1, the first in lines 1 and 3" in shown
    np.testing.assert_allclose(probabilities(teacher), np.exp(log_softmax(np.array([1.0, 0.0]))))
    both = [PAIR, PAIR._replace(text_a="明天", text_b="今天")]
    teacher = opened(tmp_path, "0.9123\t0.0877\n0.1111\t0.8889\n", "a.tsv", is_symmetric=True)
    teacher.prepare(both)
    assert (
        "pairs with other numbers in reverse order: 1, the first in lines 1 and 2"
        in capsys.readouterr().out
    )


def test_numbers_of_pairs_in_one_order_serve_both(tmp_path):
    """Rows without texts are matched by position; pairs swapped by --swap_pairs share a row."""
    examples = [PAIR, _turned(PAIR), OTHER, _turned(OTHER), OTHER._replace(text_b="再说", guid="u")]
    content = "0.9123\t0.0877\n0.3111\t0.6889\n0.5432\t0.4568\n"
    teacher = opened(tmp_path, content, is_symmetric=True)
    teacher.prepare(examples)
    found = [np.exp(log_softmax(teacher.target(example)))[0] for example in examples]
    np.testing.assert_allclose(found, [0.9123, 0.9123, 0.3111, 0.3111, 0.5432], atol=1e-6)
    with pytest.raises(
        UserError, match="has 3 rows of numbers .* there are 5 .* rows: expected as many"
    ):
        opened(tmp_path, content).prepare(examples)
    with pytest.raises(
        UserError, match="has 3 rows of numbers .* there are 2 .* rows: expected as many"
    ):
        opened(tmp_path, content, is_symmetric=True).prepare(examples[:4])


def _turned(example):
    return example._replace(text_a=example.text_b, text_b=example.text_a)


def test_rows_that_are_missing(tmp_path):
    teacher = opened(tmp_path, json_line(logits=[1, 2]), "a.jsonl")
    with pytest.raises(UserError, match=r"no row for 1 of 2 texts, the first '吃饭' \(train-2"):
        teacher.prepare([PAIR, OTHER])
    teacher = opened(tmp_path, "0.5\t0.5\n", "test_results.tsv")
    with pytest.raises(UserError, match="has 1 row of numbers and no texts, .* are 2"):
        teacher.prepare([PAIR, OTHER])


def test_rounded_probabilities_are_reported(tmp_path, capsys):
    opened(tmp_path, json_line(probabilities=[0.95, 0.05]), "a.jsonl")
    assert "fewer than 4 digits" in capsys.readouterr().out
    opened(tmp_path, json_line(probabilities=[0.95123, 0.04877]), "a.jsonl")
    opened(tmp_path, json_line(probabilities=[1, 0]), "a.jsonl")
    assert capsys.readouterr().out == ""


def test_rounding_is_no_other_sum(tmp_path):
    """With 30 classes rounded to two digits, the sum of the rounded numbers may be 0.95."""
    labels = list(map(str, range(30)))
    rounded = [0.66] + [0.01] * 29  # 0.6652 and 29 times 0.0115
    teacher = opened(tmp_path, json_line(probabilities=rounded), "a.jsonl", labels=labels)
    np.testing.assert_allclose(probabilities(teacher)[:2], [0.66 / 0.95, 0.01 / 0.95])
    opened(tmp_path, json_line(probabilities=[0.98, 0.01]), "a.jsonl")
    with pytest.raises(UserError, match="add up to 0.85, expected 1"):
        rounded[0] = 0.56
        opened(tmp_path, json_line(probabilities=rounded), "a.jsonl", labels=labels)


@pytest.mark.parametrize("values", [{"label": "0.7"}, {"probabilities": {"0": 0.3, "1": 0.7}}])
def test_a_regression_has_values(tmp_path, values):
    message = "line 1: found the key %s, expected the key value, a number" % list(values)[0]
    with pytest.raises(UserError, match=message):
        opened(tmp_path, json_line(**values), "a.jsonl", labels=("score",), kind="regression")


def test_a_kind_that_needs_tokens_takes_no_file(tmp_path):
    with pytest.raises(UserError, match="needs outputs for each word piece: expected a model"):
        opened(tmp_path, json_line(logits=[1, 2]), kind="sequence_labelling")


def test_of_many_labels_the_differing_ones_are_named():
    of_data = ["c%02d" % number for number in range(15)]
    text = label_names.both_sides(of_data[:-1] + ["d"], of_data)
    assert text.endswith(", and 3 more (only the teacher has d, only the data c14)")
