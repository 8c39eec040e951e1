"""Checks of data: imbalance, duplicates, contradictions, rows shared by splits, labels."""

import os

import pytest

from albert_zh.tasks import data_checks, datasets, task_forms
from albert_zh.tasks.input_examples import InputExample, Split
from albert_zh.tasks.reader import read_split

TASK = datasets.TASKS[datasets.OWN_DATA]._replace(labels=("a", "b"), columns=("text_a", "label"))


MULTI = TASK._replace(objective="multi_label")


def split(name, rows):
    examples = [
        InputExample("%s-%d" % (name, n), text, None, label) for n, (text, label) in enumerate(rows)
    ]
    return Split(name, name + ".csv", examples, True, [])


def test_what_is_remarkable_is_counted():
    train = split("train", [("x%d" % n, "a") for n in range(30)] + [("甲", "b"), ("甲", "a")])
    dev = split("dev", [("x%d" % n, "a") for n in range(33)] + [("甲", "b")])
    lines, counts = data_checks.check(TASK, {"train": train, "dev": dev})
    assert counts == {
        "dev_larger_than_train": 34,
        "few_dev_rows": 34,
        "imbalance": 31.0,
        "rare_classes": 1,
        "repeated_in_train": 1,
        "contradictory_in_train": 1,
        "seen_in_dev": 31,
    }
    text = "\n".join(lines)
    for words in (
        "dev has more rows than train (34 and 32): are the files swapped?",
        "a has 31 rows, b 1",
        "1 class has fewer than 10 rows in train: b",
        "1 text of train occurs with different labels, such as '甲' (a, b)",
        "31 of 34 rows of dev are also in train, 1 of them with another label",
    ):
        assert words in text


@pytest.mark.parametrize(
    "name, other, count", [("tnews", "dev", 1099), ("chnsenticorp", "test", 331)]
)
def test_rows_that_whole_data_sets_share_are_counted(shared, name, other, count):
    task, folder = datasets.get_task(name), os.path.join(shared, "data", name)
    splits = {split: read_split(task, folder, split) for split in ("train", other)}
    assert data_checks.check(task, splits)[1]["seen_in_" + other] == count


def test_labels_that_dev_lacks_are_told():
    train = split("train", [("x%d" % n, "ab"[n % 2]) for n in range(40)])
    lines, counts = data_checks.check(TASK, {"train": train, "dev": split("dev", [("y", "a")])})
    assert counts == {"few_dev_rows": 1, "labels_absent_in_dev": 1}
    assert "no row of 1 label: b" in lines[1]


def test_writings_and_separators_of_labels_are_told():
    rows = [("x%d" % n, label) for n, label in enumerate(["A", "Ａ", "1", "1.0", "b"])]
    lines, counts = data_checks.check(TASK, {"train": split("train", rows)})
    assert counts["labels_in_several_writings"] == 2
    assert any("1 and 1.0, A and Ａ" in line for line in lines)
    for label, is_told in (("a;b", True), ("a；b", True), ("a|b", False), ("ab", False)):
        train = split("train", [("甲", label), ("乙", "c")])
        lines, counts = data_checks.check(MULTI, {"train": train})
        assert ("labels_with_a_separator" in counts) == is_told
        assert any("--label_separator=%r" % label[1] in line for line in lines) == is_told
    assert "labels_with_a_separator" not in data_checks.check(TASK, {"train": train})[1]


def test_what_is_said_of_seen_rows_fits_the_scores():
    train = split("train", [("甲", "a"), ("乙", "b")])
    for dev, words in (
        (train, "2 of 2 rows of dev are also in train: all of them, so that its scores"),
        (
            split("dev", [("甲", "a"), ("丙", "b")]),
            "also in train; micro_f1 is reported with and without them",
        ),
        (split("dev", [("甲", "a"), ("丙", "b")])._replace(has_labels=False), "are also in train"),
    ):
        lines, _ = data_checks.check(MULTI, {"train": train, "dev": dev})
        assert any(line.endswith(words) or words + " say nothing" in line for line in lines)


@pytest.mark.parametrize(
    "objective, num_rows, words",
    [
        ("single_label", 10, "standard error of accuracy (at 0.80) is ± 0.13"),  # sqrt(.16 / 10)
        ("regression", 37, "standard error of pearson (at 0.80) is ± 0.06"),  # .36 / 6
        ("single_label", 100, None),
    ],
)
def test_a_dev_file_of_few_rows_is_told_with_its_standard_error(objective, num_rows, words):
    dev = split("dev", [("x%d" % n, "ab"[n % 2]) for n in range(num_rows)])
    lines, counts = data_checks.check(TASK._replace(objective=objective), {"dev": dev})
    assert counts == ({"few_dev_rows": num_rows} if words else {})
    assert words is None or words in lines[0]


def test_rows_that_share_a_text_with_train_are_told():
    pairs = TASK._replace(columns=task_forms.PAIR, objective="single_label")

    def of(name, rows):
        examples = [InputExample("x-%d" % n, a, b, "a") for n, (a, b) in enumerate(rows)]
        return Split(name, name + ".csv", examples, True, [])

    train = of("train", [("怎么开户", "如何开户"), ("天气", "下雨")])
    test = of("test", [("怎么开户？", "开户"), ("下雨", "天气"), ("甲", "乙"), ("丙", "丁")])
    lines, counts = data_checks.check(pairs, {"train": train, "test": test})
    assert counts["share_a_text_in_test"] == 2 and "seen_in_test" not in counts
    line = next(line for line in lines if "share a text" in line)
    assert line.startswith("warning: 2 of 4 rows of test (50.0 %) share a text with train, 1 of ")
    assert "1 of them both texts, 1 the same pair: scores there are higher than" in line
    far = of("test", [("甲%d" % n, "乙") for n in range(20)] + [("天气。", "丙")])
    lines, _ = data_checks.check(pairs, {"train": train, "test": far})
    assert any(line.startswith("note: 1 of 21 rows of test (4.8 %) share") for line in lines)
    singles = {"train": split("train", [("甲", "a"), ("乙", "b")])}
    singles["test"] = split("test", [("甲", "a"), ("丙", "b")])  # counted as `seen_in_test`
    assert "share_a_text_in_test" not in data_checks.check(TASK, singles)[1]


def test_pairs_that_contradict_one_another_in_turned_order_are_reported():
    rows = [("甲", "乙", "1"), ("乙", "甲", "0"), ("丙", "丁", "1"), ("丁", "丙", "1"), ("戊",) * 3]
    examples = [InputExample("train-%d" % n, *row) for n, row in enumerate(rows)]
    pairs = Split("train", "train.csv", examples, True, [])
    (line,) = data_checks.about_both_orders(pairs)
    assert line.startswith("warning: 2 rows of train occur in reverse order with another label")
    assert "as '甲' and '乙' (1 and 0)" in line
    assert data_checks.about_both_orders(pairs._replace(examples=examples[2:])) == []


def test_labels_joined_by_another_mark_are_told():
    rows = [
        ("一", "物流|价格"),
        ("二", "物流"),
        ("三", "价格/物流"),
        ("四", "物流、价格"),
        ("五", "软/硬"),
    ]
    lines, counts = data_checks.check(
        MULTI._replace(labels=("物流", "价格")), {"train": split("train", rows)}
    )
    assert counts["joined_labels"] == 2
    assert any("2 labels of train consist of others with a separator" in line for line in lines)
