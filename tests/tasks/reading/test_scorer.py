"""The scorer converts scores of windows to answers, tuned settings, metrics and files."""

import json
import os

import numpy as np
import pytest

from albert_zh.commands import cmrc2018_evaluate, squad_evaluate
from albert_zh.tasks.reading import windows as reading_windows
from albert_zh.tasks.reading.question_files import read_questions
from albert_zh.tasks.reading.scorer import Scorer
from albert_zh.tasks.reading.span_scores import RankedAnswers, ScoredAnswer
from albert_zh.text import tokenization

PACKAGE = os.path.join(os.path.dirname(os.path.abspath(reading_windows.__file__)), "..", "..")
CONTEXT = "小米由雷军于2010年4月创立，总部在北京市海淀区。雷军曾任金山软件总裁。"
ANSWERS = {"a": "雷军", "b": "2010年4月", "c": "北京市海淀区", "d": None, "e": None}


@pytest.fixture
def data_path(tmp_path):
    questions = [
        {
            "id": name,
            "question": "？",
            "answers": [] if text is None else [{"text": text, "answer_start": CONTEXT.find(text)}],
        }
        for name, text in ANSWERS.items()
    ]
    document = {"data": [{"paragraphs": [{"context": CONTEXT, "qas": questions}]}]}
    path = tmp_path / "data.json"
    path.write_text(json.dumps(document, ensure_ascii=False), encoding="utf-8")
    return str(path)


@pytest.fixture(scope="module")
def maker():
    vocab = os.path.join(PACKAGE, "albert_starter_zh", "vocab.txt")
    return reading_windows.WindowMaker(tokenization.FullTokenizer(vocab), 24, 6, 4)


def logits_for(windows, begin, end, strength, null=0.0):
    """Returns scores that are high at an answer's start and end, in windows that contain them."""
    starts, ends = [], []
    for window in windows:
        start, stop = np.zeros(len(window.input_ids)), np.zeros(len(window.input_ids))
        start[0] = stop[0] = null
        for at, (first, last) in enumerate(window.spans):
            start[window.offset + at] += strength * (first == begin)
            stop[window.offset + at] += strength * (last == end)
        starts.append(start)
        ends.append(stop)
    return starts, ends


@pytest.fixture
def scorer(data_path, maker):
    """A scorer that answers a and b right, c in part and d wrong; e most likely has no answer."""
    scorer = Scorer(read_questions(data_path).questions, max_answer_length=12)
    found = {
        "a": ("雷军", 9, 0),
        "b": ("2010年4月", 9, 0),
        "c": ("北京市", 9, 0),
        "d": ("金山", 4, 6),
    }
    for index, name in enumerate(ANSWERS):
        windows = maker.windows("？", CONTEXT)
        text, strength, null = found.get(name, ("总裁", 1, 8))
        begin = CONTEXT.find(text)
        scorer.add(index, windows, *logits_for(windows, begin, begin + len(text), strength, null))
    return scorer


def test_without_a_threshold_every_question_gets_an_answer(scorer):
    assert scorer.predictions() == {
        "a": "雷军", "b": "2010年4月", "c": "北京市", "d": "金山", "e": "总裁",
    }  # fmt: skip
    metrics = scorer.metrics()
    assert metrics["exact_match"] == 40.0
    assert metrics["f1"] == pytest.approx(100 * (1 + 1 + 2 / 3) / 5)
    assert metrics["average"] == pytest.approx((metrics["f1"] + 40.0) / 2)
    assert metrics["accuracy_of_unanswerable"] == 0


def test_the_tuned_threshold_leaves_questions_without_answer(scorer):
    threshold = scorer.tune_threshold()
    assert scorer.null_threshold == threshold is not None
    assert scorer.predictions() == {"a": "雷军", "b": "2010年4月", "c": "北京市", "d": "", "e": ""}
    metrics = scorer.metrics()
    assert metrics["exact_match"] == 80.0 and metrics["accuracy_of_unanswerable"] == 100.0
    assert metrics["f1_of_answerable"] == pytest.approx(100 * (2 + 2 / 3) / 3)
    assert metrics["exact_match_of_answerable"] == pytest.approx(200 / 3)


def entry(text, start_logit):
    begin = CONTEXT.find(text)
    return ScoredAnswer(text, begin, begin + len(text), start_logit, 0.0, start_logit, 0.0, 0, 0)


def test_the_length_penalty_with_the_best_f1_is_the_lowest_of_them(data_path):
    """The answers have 12 and 2 characters: 0.6 * ln(12 / 2) outweighs one logit."""
    long = "雷军于2010年4月创立"
    questions = [q for q in read_questions(data_path).questions if q.id in "ad"]
    scorer = Scorer([], 12)
    for question in questions:
        scorer.append(question, RankedAnswers([entry(long, 0.0), entry("雷军", -1.0)], -3.0, 0.0))
    assert scorer.predictions() == {"a": long, "d": long}
    assert scorer.tune_length_penalty() == scorer.length_penalty == 0.6  # 1 / ln(6) = 0.558
    assert scorer.predictions() == {"a": "雷军", "d": "雷军"}
    assert scorer.null_odds()["a"] == pytest.approx(-3.0 - (-1.0 - 0.6 * np.log(2)))


def test_no_length_penalty_is_tuned_without_an_answer(data_path):
    questions = read_questions(data_path).questions[3:]
    scorer = Scorer(questions, 12, length_penalty=0.3)
    assert scorer.tune_length_penalty() is None and scorer.length_penalty == 0.3


def test_no_threshold_is_tuned_where_all_have_an_answer(data_path, maker):
    questions = read_questions(data_path).questions[:3]
    scorer = Scorer(questions, 12, null_threshold=1.0)
    assert scorer.tune_threshold() is None and scorer.null_threshold == 1.0
    assert "f1_of_answerable" not in scorer.metrics()


def test_a_question_without_scores_is_answered_by_nothing(data_path):
    scorer = Scorer(read_questions(data_path).questions, 12)
    assert set(scorer.predictions().values()) == {""}
    assert scorer.metrics()["exact_match"] == 40.0 and scorer.null_odds() == {}


def written(scorer, folder):
    """Writes the contents of the scorer's files; returns their paths."""
    paths = []
    for name, text in scorer.contents().items():
        (folder / name).write_text(text, encoding="utf-8")
        paths.append(str(folder / name))
    return paths


def test_files_of_predictions_are_those_of_the_evaluators(scorer, data_path, tmp_path):
    scorer.tune_threshold()
    paths = written(scorer, tmp_path)
    assert [os.path.basename(path) for path in paths] == [
        "dev_predictions.json", "dev_nbest_predictions.json", "null_odds.json",
    ]  # fmt: skip
    measures = squad_evaluate.measures_of_files(data_path, paths[0])
    assert measures["exact"] == 80.0 and measures["f1"] == pytest.approx(scorer.metrics()["f1"])
    with open(paths[1], encoding="ascii") as handle:
        n_best = json.load(handle)
    for name, entries in n_best.items():
        assert entries[0]["text"] == scorer.predictions()[name]
        assert all(CONTEXT[entry["start"] : entry["end"]] == entry["text"] for entry in entries)
        assert sum(entry["probability"] for entry in entries) <= 1 + 1e-9
    with open(paths[2], encoding="ascii") as handle:
        odds = json.load(handle)
    above = {name for name, value in odds.items() if value > scorer.null_threshold}
    assert above == {"d", "e"}


def test_predictions_of_answerable_questions_can_be_evaluated(scorer, data_path, tmp_path):
    with open(data_path, encoding="utf-8") as handle:
        document = json.load(handle)
    questions = document["data"][0]["paragraphs"][0]["qas"]
    document["data"][0]["paragraphs"][0]["qas"] = questions[:3]
    answerable = tmp_path / "answerable.json"
    answerable.write_text(json.dumps(document))
    paths = written(scorer, tmp_path)
    assert len(paths) == 2
    line = json.loads(cmrc2018_evaluate.metric_line(str(answerable), paths[0]))
    assert (line["EM"], line["F1"]) == ("66.667", "88.889")


def test_the_analysis_has_the_errors(scorer):
    scorer.tune_threshold()
    (error,) = scorer.analysis().worst_errors()
    assert error["id"] == "c" and error["predicted"] == "北京市"
    assert 0 < error["probability"] <= 1
