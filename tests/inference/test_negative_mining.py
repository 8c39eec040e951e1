"""Compares mined negatives with plain computations: ranks, margins, classifier, saved blocks."""

import os

import numpy as np
import pytest

from albert_zh.common.errors import UserError
from albert_zh.inference.retrieval import negative_mining
from albert_zh.inference.retrieval.negative_mining import (
    JUDGED_RIGHT,
    MINED,
    RANDOM,
    TOO_SIMILAR,
    Limits,
)
from albert_zh.tasks.embedding.text_files import read_split

ENTRIES = ["甲乙丙", "甲乙丁", "甲戊己", "庚辛壬", "子丑寅", "卯辰巳"]
ROWS = [("甲乙", "甲乙丙"), ("甲甲", "甲乙丙"), ("庚辛", "庚辛壬"), ("甲戊", "甲戊己")]


@pytest.fixture(name="examples")
def examples_fixture(tmp_path):
    path = tmp_path / "train.tsv"
    path.write_text("".join("%s\t%s\n" % row for row in ROWS), encoding="utf-8")
    return read_split(str(path), "train", "positives").examples


def similarities(texts):
    """Returns the share of each entry's characters in a text; earlier entries get slightly more."""
    return np.array(
        [
            [sum(char in text for char in entry) / 3 - 0.01 * n for n, entry in enumerate(ENTRIES)]
            for text in texts
        ]
    )


def mine(examples, folder, classify=None, finder=similarities, key="", **limits):
    limits = Limits(**dict({"last": 3}, **limits))
    miner = negative_mining.Miner(ENTRIES, finder, classify, limits, str(folder), key)
    return miner.mine(examples)


def test_the_nearest_that_is_not_right_is_taken(examples, tmp_path):
    mined, counts = mine(examples, tmp_path, last=1)
    assert mined == [["甲乙丁"], ["甲乙丁"], ["甲乙丙"], ["甲乙丙"]]
    assert counts == {MINED: 4, TOO_SIMILAR: 0, JUDGED_RIGHT: 0, RANDOM: 0}


def test_wrong_texts_of_the_row_are_not_given_again(tmp_path):
    path = tmp_path / "train.tsv"
    path.write_text("甲乙\t甲乙丙\t甲乙丁\n庚辛\t庚辛壬\t甲乙丁\n", encoding="utf-8")
    examples = read_split(str(path), "train", "positives").examples
    mined, counts = mine(examples, tmp_path, last=1)
    assert mined[0] == ["甲戊己"]
    mined, counts = mine(examples, tmp_path / "all", wanted=9)
    assert counts[RANDOM] == 2 and [len(row) for row in mined] == [4, 4]
    assert not [row for row in mined if "甲乙丁" in row]


def test_ranks_skip_the_nearest(examples, tmp_path):
    mined, _ = mine(examples, tmp_path, first=2, last=2)
    assert mined[0] == ["甲戊己"] and mined[3] == ["甲乙丁"]


def test_what_another_row_of_the_group_says_is_right_is_none(tmp_path):
    path = tmp_path / "train.tsv"
    path.write_text("甲乙\t甲乙丙\n甲乙！\t甲乙丁\n庚辛\t庚辛壬\n", encoding="utf-8")
    examples = read_split(str(path), "train", "positives").examples
    mined, _ = mine(examples, tmp_path, last=1)
    assert mined[0] == mined[1] == ["甲戊己"]


@pytest.mark.parametrize(
    "limits, is_allowed",
    [
        ({"margin": 0.2}, lambda found, right: found <= right - 0.2),
        ({"relative_margin": 0.3}, lambda found, right: found <= 0.7 * right),
        ({"most_similar": 0.2}, lambda found, right: found <= 0.2),
    ],
)
def test_margins_leave_out_what_is_too_similar(examples, tmp_path, limits, is_allowed):
    mined, counts = mine(examples, tmp_path, last=5, wanted=1, **limits)
    num_similar = 0
    for (text, right), (found,) in zip(ROWS, mined):
        row = dict(zip(ENTRIES, similarities([text])[0]))
        wrong = [row[entry] for entry in ENTRIES if entry != right]
        num_similar += sum(not is_allowed(value, row[right]) for value in wrong)
        assert is_allowed(row[found], row[right])
    assert counts[TOO_SIMILAR] == num_similar > 0


def test_the_classifier_throws_out_false_negatives(examples, tmp_path):
    asked = []

    def classify(pairs):
        asked.extend(pairs)
        return np.array([0.9 if entry == "甲乙丁" else 0.5 for _, entry in pairs])

    mined, counts = mine(examples, tmp_path, classify, last=5, wanted=4)
    for (_, right), row in zip(ROWS, mined):
        assert sorted(row) == sorted(set(ENTRIES) - {"甲乙丁", right})
    num_right = sum(entry == "甲乙丁" for _, entry in asked)
    assert counts == {MINED: 16, TOO_SIMILAR: 0, JUDGED_RIGHT: num_right, RANDOM: 0}
    assert num_right and len(asked) == len(set(asked)) == 16 + num_right


def test_rows_with_too_few_are_filled_at_random_within_the_limits(examples, tmp_path):
    def classify(pairs):
        return np.array([0.9 * (entry == "卯辰巳") for _, entry in pairs])

    mined, counts = mine(examples, tmp_path, last=1, wanted=2, most_similar=0.3)
    assert counts == {MINED: 1, TOO_SIMILAR: 3, JUDGED_RIGHT: 0, RANDOM: 7}
    for (text, right), row in zip(ROWS, mined):
        found = dict(zip(ENTRIES, similarities([text])[0]))
        assert len(set(row)) == 2 and right not in row
        assert max(found[entry] for entry in row) <= 0.3
    judged, counts = mine(examples, tmp_path, classify, last=1, wanted=3, most_similar=0.3)
    assert counts[JUDGED_RIGHT] > 0
    assert not [row for row in judged if "卯辰巳" in row]


def test_what_is_nearer_than_the_ranks_is_never_drawn(examples, tmp_path):
    mined, _ = mine(examples, tmp_path, first=2, last=2, wanted=9)
    nearest = ["甲乙丁", "甲乙丁", "甲乙丙", "甲乙丙"]
    assert all(entry not in row for entry, row in zip(nearest, mined))


def test_rows_without_any_are_left_empty(examples, tmp_path):
    mined, counts = mine(examples, tmp_path, most_similar=-1.0, wanted=2)
    assert mined == [[]] * 4 and counts[MINED] == counts[RANDOM] == 0


def test_a_killed_run_goes_on_and_gives_the_same(examples, tmp_path, monkeypatch):
    monkeypatch.setattr(negative_mining, "ROWS_AT_ONCE", 1)
    whole = mine(examples, tmp_path / "whole", wanted=2, last=4, seed=7)
    calls = []

    def killed(texts):
        calls.append(texts)
        if len(calls) == 3:
            raise KeyboardInterrupt
        return similarities(texts)

    with pytest.raises(KeyboardInterrupt):
        mine(examples, tmp_path / "part", finder=killed, wanted=2, last=4, seed=7)
    assert len(os.listdir(tmp_path / "part")) == 2
    calls.append(None)
    assert mine(examples, tmp_path / "part", finder=killed, wanted=2, last=4, seed=7) == whole
    assert len(calls) == 6  # two rows remained
    mine(examples, tmp_path / "part", finder=killed, wanted=2, last=4, seed=7)
    assert len(calls) == 6
    other = mine(examples, tmp_path / "part", wanted=2, last=4, seed=8)
    assert other[0] != whole[0]
    mine(examples, tmp_path / "part", finder=killed, key="another model", wanted=2, last=4, seed=7)
    assert len(calls) == 10


@pytest.mark.parametrize(
    "content, message",
    [
        ("[[[0]], {", "not valid JSON"),
        ("{}", "expected a list of 2, found {}"),
        ("[[[6], [], [], []], {}]", r"\[0\]\[0\]\[0\]: expected an integer from 0 to 5, found 6"),
        ("[[[], [], [], []], {}]", r"\[1\].mined is missing"),
    ],
)
def test_a_damaged_block_is_named(examples, tmp_path, content, message):
    mine(examples, tmp_path / "work")
    (name,) = os.listdir(tmp_path / "work")
    (tmp_path / "work" / name).write_text(content)
    with pytest.raises(UserError, match="%s: .*%s.*: remove it" % (name, message)):
        mine(examples, tmp_path / "work")


def test_blocks_do_not_change_what_is_drawn(examples, tmp_path, monkeypatch):
    whole = mine(examples, tmp_path / "a", wanted=2, last=4)
    monkeypatch.setattr(negative_mining, "ROWS_AT_ONCE", 3)
    assert mine(examples, tmp_path / "b", wanted=2, last=4) == whole


def test_wording_and_vectors_find_what_is_alike(tmp_path):
    class Encoder:
        width = len(ENTRIES)

        def encode(self, texts, normalize):
            assert normalize
            return np.eye(self.width, dtype=np.float32)[[ENTRIES.index(text) for text in texts]]

        def fingerprint_of(self):
            return "identity"

    lexical = negative_mining.LexicalFinder(ENTRIES)(["甲乙丁", "子丑"])
    assert lexical.argmax(axis=1).tolist() == [1, 4] and lexical[0, 0] > lexical[0, 3] == 0
    finder = negative_mining.VectorFinder(ENTRIES, Encoder(), str(tmp_path))
    np.testing.assert_array_equal(finder(ENTRIES[2:4]), np.eye(6)[2:4])
    assert finder.fingerprint == "identity"
