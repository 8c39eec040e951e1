"""Files of sentence embeddings: every format, and what is wrong with others."""

import json

import pytest

from albert_zh.common.errors import UserError
from albert_zh.tasks.embedding import mixing, text_files


def read(tmp_path, text, data_format, name="train.tsv", **options):
    path = tmp_path / name
    path.write_text(text, encoding="utf-8")
    return text_files.read_split(str(path), "train", data_format, **options)


def rows(split):
    return [(e.text_a, e.text_b, e.label, e.negatives) for e in split.examples]


@pytest.mark.parametrize(
    "name, text",
    [
        ("a.tsv", "甲\t乙\t5\n丙\t丁\t0.5\n"),
        ("a.csv", "sentence1,sentence2,label\n甲,乙,5\n丙,丁,0.5\n"),
        ("a.tsv", "label\ttext_a\ttext_b\n5\t甲\t乙\n0.5\t丙\t丁\n"),
        (
            "a.jsonl",
            '{"sentence1": "甲", "sentence2": "乙", "score": 5}\n'
            '{"sentence1": "丙", "sentence2": "丁", "score": "0.5"}\n',
        ),
    ],
)
def test_scored_pairs(tmp_path, name, text):
    split = read(tmp_path, text, "scored", name)
    assert rows(split) == [("甲", "乙", 5.0, ()), ("丙", "丁", 0.5, ())]


def test_labels_of_inference_are_ordered(tmp_path):
    split = read(tmp_path, "甲\t乙\tentailment\n甲\t丙\tneutral\n甲\t丁\tcontradiction\n", "scored")
    assert [example.label for example in split.examples] == [2.0, 1.0, 0.0]


def test_positives_with_wrong_texts_of_every_collection(tmp_path):
    records = [
        {"query": "甲", "pos": ["乙", "丙"], "neg": ["丁"]},
        {"origin": "戊", "entailment": "己", "contradiction": "庚"},
        {"anchor": "辛", "positive": "壬", "negative": "癸"},
    ]
    text = "".join(json.dumps(record) + "\n" for record in records)
    split = read(tmp_path, text, "positives", "a.jsonl")
    assert rows(split) == [
        ("甲", "乙", 1.0, ("丁",)),
        ("甲", "丙", 1.0, ("丁",)),
        ("戊", "己", 1.0, ("庚",)),
        ("辛", "壬", 1.0, ("癸",)),
    ]
    assert [example.group for example in split.examples] == [0, 0, 1, 2]


def test_a_faq_groups_questions_by_their_entry(tmp_path):
    split = read(tmp_path, "question\tentry\n甲\t开户\n乙\t开户\n丙\t销户\n", "positives")
    assert [example.group for example in split.examples] == [0, 0, 1]


def test_empty_lines_and_double_rows_are_left_out_and_counted(tmp_path):
    split = read(tmp_path, "甲\n\n乙\n甲\n", "texts", "a.txt")
    assert [example.text_a for example in split.examples] == ["甲", "乙"]
    assert split.notes == [
        "1 empty lines are left out",
        "1 rows occur twice: they are taken once",
    ]


@pytest.mark.parametrize(
    "text, data_format, message",
    [
        ("甲\t乙\tsehr\n", "scored", "line 1: the score 'sehr' is no number"),
        ("甲\t乙\tnan\n", "scored", "line 1: the score 'nan' is no number"),
        ("甲\t乙\n", "scored", "line 1: it has no score"),
        ("甲\t\t1\n", "scored", "line 1: the second text is empty"),
        ("甲\n", "positives", "line 1: the second text is empty"),
        ("\n \n", "texts", "is empty: expected a text a line"),
    ],
)
def test_what_does_not_fit_is_named(tmp_path, text, data_format, message):
    with pytest.raises(UserError, match=message) as error:
        read(tmp_path, text, data_format)
    assert "\n" not in str(error.value)


def test_bad_rows_may_be_skipped(tmp_path):
    split = read(tmp_path, "甲\t乙\tx\n甲\t丙\t1\n", "scored", skip_bad_rows=True)
    assert rows(split) == [("甲", "丙", 1.0, ())]
    assert split.notes == ["1 rows that do not fit are left out"]


def test_weights_say_how_often_rows_occur():
    assert sorted(mixing.repeated(list("abcd"), 2.5, seed=1)) == sorted(
        list("aabbccdd") + mixing.repeated(list("abcd"), 0.5, seed=1)
    )
    assert mixing.weighted_files(["a:b.tsv:0.5"]) == [("a:b.tsv", 0.5)]
    for wrong in ("a.tsv", "a.tsv:0", "a.tsv:x", ":1"):
        with pytest.raises(UserError, match="expected FILE:WEIGHT"):
            mixing.weighted_files([wrong])
