"""Settings of a trained model that affect its answers: threshold, length penalty."""

import json
import types

import numpy as np
import pytest

from albert_zh.common.errors import UserError
from albert_zh.finetuning import flags as finetuning_flags
from albert_zh.tasks import datasets, record_stream, registry
from albert_zh.tasks.kind_interface import ModelInUse
from albert_zh.tasks.reading import answer_files, examples, records
from albert_zh.tasks.reading.questions import Answer
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


@pytest.mark.parametrize(
    "head, why",
    [
        ({"version_2_with_negative": False}, "--version_2_with_negative=false"),
        (dict(VERSION_2, original_features=True), "--original_features"),
        (VERSION_2, None),
        ({"version_2_with_negative": None}, None),
    ],
)
def test_a_threshold_of_a_model_that_always_answers_is_refused(head, why):
    """Regression: the flag was accepted, but had no effect."""
    given = finetuning_flags.of_settings("reading_comprehension", null_score_diff_threshold=-1.5)
    records.check_threshold(head, finetuning_flags.of_settings("reading_comprehension"))
    if why is None:
        records.check_threshold(head, given)
        return
    with pytest.raises(UserError) as caught:
        records.check_threshold(head, given)
    assert str(caught.value).startswith(
        "--null_score_diff_threshold=-1.5: this model always answers (" + why
    )


def test_a_threshold_is_checked_with_what_the_training_file_decides():
    kind = registry.get("reading_comprehension")
    given = finetuning_flags.of_settings("reading_comprehension", null_score_diff_threshold=1.0)
    with pytest.raises(UserError, match="threshold=1: this model always answers"):
        kind.settings(given, {"head": {"version_2_with_negative": False}})
    settings = kind.settings(given, {})
    answered = examples.QuestionExample("train-1", "何时？", "甲乙丙", (Answer("乙", 1),), "1", "")
    train = types.SimpleNamespace(path="train.json", examples=[answered])
    with pytest.raises(UserError, match="threshold=1: this model always answers"):
        kind.settings_of_data(settings, None, train, given)
    train.examples.append(answered._replace(label=()))
    head = kind.settings_of_data(settings, None, train, given).head
    assert head["version_2_with_negative"] and head["null_score_diff_threshold"] == 1.0


@pytest.mark.parametrize(
    "head, notes, penalty",
    [
        ({}, {}, 0.0),
        ({"length_penalty": None}, {"length_penalty": 0.6}, 0.6),
        ({"length_penalty": 0.0}, {"length_penalty": 0.6}, 0.0),
    ],
)
def test_the_length_penalty(tokenizer, head, notes, penalty):
    assert ranker_of(tokenizer, head, **notes).length_penalty == penalty


@pytest.mark.parametrize(
    "head, names",
    [
        ({}, ["length_penalty", "null_score_diff_threshold"]),
        (dict(VERSION_2, length_penalty=0.0), ["null_score_diff_threshold"]),
        ({"version_2_with_negative": False}, ["length_penalty"]),
        ({"null_score_diff_threshold": 0.0}, ["length_penalty"]),
        ({"original_features": True}, []),
    ],
)
def test_what_dev_chooses(head, names):
    assert records.tuned_names(head) == names


def test_the_length_penalty_ranks_answers(tokenizer):
    """甲乙 scores one logit higher than 甲; a penalty of 2 subtracts 2 ln 2 = 1.39 from it."""
    example = examples.QuestionExample("dev-1", "数？", "甲乙", None, "Q", "")
    starts = np.array([0, 0, 0, 0, 9, 0, 0.0])  # [CLS] 数 ？ [SEP] 甲 乙 [SEP]
    rows = [{"start_logits": starts, "end_logits": np.array([0, 0, 0, 0, 8, 9, 0.0])}]
    question = examples.question_of(example)
    texts = [
        ranker_of(tokenizer, {"length_penalty": penalty}).ranked(question, rows).text()
        for penalty in (0.0, 2.0)
    ]
    assert texts == ["甲乙", "甲"]


@pytest.mark.parametrize("null_logit, text", [(9.0, ""), (-9.0, "甲")])
def test_without_tuning_a_question_may_have_no_answer(tokenizer, tmp_path, null_logit, text):
    """The threshold is 0, the default of BERT's run_squad.py with --version_2_with_negative."""
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
    assert files.notes()[0] == "no answer was found for %d of 1 questions" % (not text)
    assert "--null_score_diff_threshold=0 is used" in files.notes()[1]


def test_a_threshold_that_is_given_is_no_remark(tokenizer, tmp_path):
    head = dict(VERSION_2, null_score_diff_threshold=0.0)
    files = answer_files.AnswerFiles(str(tmp_path), ranker_of(tokenizer, head))
    assert len(files.notes()) == 1


def test_a_file_that_is_only_predicted_is_reported_as_one_that_is_read_whole(tokenizer, tmp_path):
    def entry(name, answer, start, question="数？"):
        answers = [{"text": answer, "answer_start": start}]
        return {"id": name, "question": question, "answers": answers}

    paragraphs = [
        {
            "context": "甲乙甲",
            "qas": [entry("a", "甲", 1), entry("b", "丙", 0), entry("c", "乙", 1)],
        },
        {"context": "", "qas": [entry("d", "甲", 0, "数数数？")]},
    ]
    path = tmp_path / "test.json"
    path.write_text(json.dumps({"data": [{"paragraphs": paragraphs}]}), encoding="utf-8")
    task = datasets.get_task("questions")._replace(head={"max_query_length": 2})
    stream = record_stream.RecordStream(task, str(path), "utf-8")
    assert len(list(stream.rows(tokenizer, 16))) == 4
    assert stream.remarks() == {
        "wrong_answer_starts_in_test": 1,
        "answers_not_in_context_in_test": 2,
        "empty_contexts_in_test": 1,
        "cut_in_test": 1,
    }
    whole = examples.read_split(task._replace(files={"test": str(path)}), ".", "test", "utf-8")
    assert stream.notes() == whole.notes + ["1 text was truncated to --max_query_length"]
    assert len(whole.notes) == 3
