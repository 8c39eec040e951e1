"""Imbalance, duplicates, contradictions; the split that stands in for a dev file."""

import collections
import os
import random

import pytest

import data_checks
from layouts import InputExample
from reading import Split, read_split
import tasks

TASK = tasks.TASKS[tasks.OWN_DATA]._replace(labels=("a", "b"), columns=("text_a", "label"))


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
        "1 classes have fewer than 10 rows in train: b",
        "1 texts of train stand there with different labels, as '甲' (a, b)",
        "31 of 34 rows of dev stand in train too, 1 of them with another label",
    ):
        assert words in text


@pytest.mark.parametrize(
    "name, other, count", [("tnews", "dev", 1099), ("chnsenticorp", "test", 331)]
)
def test_rows_that_whole_data_sets_share_are_counted(shared, name, other, count):
    task, folder = tasks.get_task(name), os.path.join(shared, "data", name)
    splits = {split: read_split(task, folder, split) for split in ("train", other)}
    assert data_checks.check(task, splits)[1]["seen_in_" + other] == count


def test_labels_that_dev_lacks_are_told():
    train = split("train", [("x%d" % n, "ab"[n % 2]) for n in range(40)])
    lines, counts = data_checks.check(TASK, {"train": train, "dev": split("dev", [("y", "a")])})
    assert counts == {"labels_absent_in_dev": 1} and "no row of 1 labels: b" in lines[0]


def test_a_stratified_split_is_a_function_of_the_seed():
    examples = split("train", [("x%d" % n, "a" if n % 4 else "b") for n in range(100)]).examples
    kept, aside = data_checks.stratified_split(TASK, examples, 0.2, seed=1)
    assert collections.Counter(e.label for e in aside) == {"a": 15, "b": 5}
    assert sorted(kept + aside) == sorted(examples)
    assert (kept, aside) == data_checks.stratified_split(TASK, examples, 0.2, seed=1)
    assert aside != data_checks.stratified_split(TASK, examples, 0.2, seed=2)[1]
    kept, aside = data_checks.stratified_split(TASK, examples[:2], 0.1, seed=1)
    assert len(kept) == len(aside) == 1


MULTI = TASK._replace(objective="multi_label")


def examples_of(labels):
    return split("train", [("x%d" % n, label) for n, label in enumerate(labels)]).examples


def test_many_small_classes_give_a_split_of_the_share():
    examples = examples_of(["c%d" % (n % 119) for n in range(476)])
    kept, aside = data_checks.stratified_split(TASK, examples, 0.1, seed=1)
    assert len(aside) == 48 == len({e.label for e in aside})
    assert len({e.label for e in kept}) == 119
    examples = examples_of(["a"] * 1000 + ["b", "b", "c"])
    kept, aside = data_checks.stratified_split(TASK, examples, 0.5, seed=1)
    assert collections.Counter(e.label for e in aside) == {"a": 501, "b": 1}
    assert {e.label for e in kept} == {"a", "b", "c"}


def test_each_of_several_labels_has_its_share():
    generator = random.Random(3)
    names = ["t%d" % n for n in range(16)]
    rows = [generator.sample(names, generator.randint(3, 5)) for _ in range(1000)]
    examples = examples_of(["|".join(row) for row in rows])
    _, aside = data_checks.stratified_split(MULTI, examples, 0.1, seed=1)
    assert len(aside) == 100
    for name in names:
        count, num_aside = (sum(name in e.label.split("|") for e in es) for es in (examples, aside))
        assert 0.07 < num_aside / count < 0.13, name
    assert aside == data_checks.stratified_split(MULTI, examples, 0.1, seed=1)[1]
    examples = examples_of(["a|b", "b|a"] * 50 + ["c", ""] * 50)
    _, aside = data_checks.stratified_split(MULTI, examples, 0.1, seed=1)
    found = collections.Counter("".join(sorted(e.label)) for e in aside)
    assert found == {"": 5, "c": 5, "ab|": 10}


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
        (train, "2 of 2 rows of dev stand in train too: all of them, so that its scores"),
        (split("dev", [("甲", "a"), ("丙", "b")]), "too; micro_f1 is told with and without them"),
        (split("dev", [("甲", "a"), ("丙", "b")])._replace(has_labels=False), "stand in train too"),
    ):
        lines, _ = data_checks.check(MULTI, {"train": train, "dev": dev})
        assert any(line.endswith(words) or words + " say nothing" in line for line in lines)
