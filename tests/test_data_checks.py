"""Imbalance, duplicates, contradictions; the split that stands in for a dev file."""

import collections

import data_checks
from reading import InputExample, Split
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
