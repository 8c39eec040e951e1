"""Settings of answers that a model in use has, and what they mean for its answers."""

import json

import numpy as np
import pytest

from albert_zh.tasks.kind_interface import ModelInUse
from albert_zh.tasks.reading import answer_files, examples, records
from albert_zh.text import tokenization

PIECES = "[PAD] [UNK] [CLS] [SEP] ？ 数 甲 乙".split()


@pytest.fixture(name="tokenizer")
def tokenizer_fixture(tmp_path):
    path = tmp_path / "vocab.txt"
    path.write_text("\n".join(PIECES) + "\n", encoding="utf-8")
    return tokenization.FullTokenizer(str(path))


def ranker_of(tokenizer, head, **notes):
    return records.ranker(ModelInUse(None, dict(notes, head=head), tokenizer, 96))


VERSION_2 = {"version_2_with_negative": True}


@pytest.mark.parametrize(
    "head, notes, threshold, is_usual",
    [
        (VERSION_2, {}, 0.0, True),
        (dict(VERSION_2, null_score_diff_threshold=-1.5), {}, -1.5, False),
        (VERSION_2, {"null_score_diff_threshold": 2.5}, 2.5, False),
        ({"version_2_with_negative": False}, {"null_score_diff_threshold": 2.5}, None, False),
        ({}, {}, None, False),
        (dict(VERSION_2, original_features=True), {}, None, False),
    ],
)
def test_the_threshold_of_no_answer(tokenizer, head, notes, threshold, is_usual):
    ranks = ranker_of(tokenizer, head, **notes)
    assert (ranks.null_threshold, ranks.is_threshold_usual) == (threshold, is_usual)


@pytest.mark.parametrize("null_logit, text", [(9.0, ""), (-9.0, "甲")])
def test_without_tuning_a_question_may_have_no_answer(tokenizer, tmp_path, null_logit, text):
    """As BERT's run_squad.py with --version_2_with_negative and its default of 0."""
    logits = np.array([null_logit, 0, 0, 0, 4, 0, 0])  # [CLS] 数 ？ [SEP] 甲 乙 [SEP]
    files = answer_files.AnswerFiles(str(tmp_path / "out"), ranker_of(tokenizer, VERSION_2))
    with files:
        example = examples.QuestionExample("dev-1", "数？", "甲乙", None, "Q", "")
        files.write(example, [{"start_logits": logits, "end_logits": logits}])
    contents = []
    for path in files.paths:
        with open(path, encoding="utf-8") as handle:
            contents.append(json.load(handle))
    predictions, n_best, null_odds = contents
    assert predictions == {"Q": text} and n_best["Q"][0]["text"] == text
    assert null_odds["Q"] == pytest.approx(2 * (null_logit - 4))
    assert files.notes()[0] == "%d of 1 questions have no answer" % (not text)
    assert "--null_score_diff_threshold=0 is used" in files.notes()[1]


def test_a_threshold_that_is_given_is_no_remark(tokenizer, tmp_path):
    head = dict(VERSION_2, null_score_diff_threshold=0.0)
    files = answer_files.AnswerFiles(str(tmp_path), ranker_of(tokenizer, head))
    assert len(files.notes()) == 1
