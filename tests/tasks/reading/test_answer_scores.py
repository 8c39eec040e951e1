"""Exact match and F1 of answers."""

import json
import os
import random
import re
import string

import numpy as np
import pytest

from albert_zh.common.errors import UserError
from albert_zh.tasks.reading import answer_scores
from albert_zh.tasks.reading.answer_scores import CHINESE, ENGLISH, Scores, score_predictions
from albert_zh.tasks.reading.latin_words import latin_words
from albert_zh.tasks.reading.questions import Answer, Question

# Texts and their words according to the Treebank tokenizer of NLTK 3.10.4.
WORDS = {
    "": [],
    "new york": ["new", "york"],
    "3.5%": ["3.5", "%"],
    "1,000": ["1,000"],
    "1:2, a:b": ["1:2", ",", "a", ":", "b"],
    "u.s.": ["u.s", "."],
    "the b.b.c. says": ["the", "b.b.c.", "says"],
    "it ends.)": ["it", "ends", ".", ")"],
    "can't cannot it's": ["ca", "n't", "can", "not", "it", "'s"],
    "we've gonna o'neill 80's": ["we", "'ve", "gon", "na", "o'neill", "80", "'s"],
    '"a" b': ["``", "a", "''", "b"],
    "say (\"a\") ''b''": ["say", "(", "``", "a", "''", ")", "``", "b", "''"],
    "a--b ... c..d": ["a", "--", "b", "...", "c", "..", "d"],
    "#1 @x $5 r&d": ["#", "1", "@", "x", "$", "5", "r", "&", "d"],
    "what?! [x] {y} <z>": ["what", "?", "!", "[", "x", "]", "{", "y", "}", "<", "z", ">"],
    "‘x’ «y»": ["‘", "x", "’", "«", "y", "»"],
    "cannot'tis": ["can", "not", "'t", "is"],
    "they're\u3000in it's\ta": ["they", "'re", "in", "it", "'s", "a"],
    "dogs' o'clock x 'tis": ["dogs", "'", "o'clock", "x", "'", "tis"],
}


def question(number, *answers):
    texts = None if answers == (None,) else tuple(Answer(text, None) for text in answers)
    return Question("Q%d" % number, "？", "", texts)


@pytest.mark.parametrize("text", sorted(WORDS))
def test_latin_text_is_split_as_nltk_does(text):
    assert latin_words(text) == WORDS[text]


def test_every_case_of_the_original_program(shared):
    path = os.path.join(shared, "golden", "labelling", "cmrc", "expected.json")
    with open(path, encoding="utf-8") as handle:
        cases = json.load(handle)["per_question"]
    assert len(cases) == 29
    for name, case in cases.items():
        answers, prediction = case["answers"], case["prediction"]
        assert answer_scores.exact_match(answers, prediction) == case["em"], name
        assert answer_scores.f1(answers, prediction) == case["f1"], name
        tokens = [answer_scores.cmrc_tokens(text) for text in answers]
        assert tokens == case["answer_tokens"], name
        assert answer_scores.cmrc_tokens(prediction) == case["prediction_tokens"], name


@pytest.mark.parametrize(
    "answer, prediction, exact, f1",
    [
        ("上海。", "“上海”", 1, 1),
        ("甲乙丙丁", "甲丙乙丁", 0, 0.25),
        ("甲乙丙", "乙丙", 0, 0.8),
        ("1963年", "1963年4月", 0, 2 * 0.5 / 1.5),
        ("。", "，", 1, 0),
        ("……", "", 0, 0),
        ("NBA 总冠军", "nba总冠军", 0, 1),
    ],
)
def test_chinese_rules(answer, prediction, exact, f1):
    assert answer_scores.exact_match([answer], prediction) == exact
    assert answer_scores.f1([answer], prediction) == pytest.approx(f1)


@pytest.mark.parametrize(
    "answer, prediction, exact, f1",
    [
        ("The Big, Cat!", "big cat", 1, 1),
        ("a b c", "c x b", 0, 2 * (2 / 3) * 1 / (2 / 3 + 1)),  # "a" is an article
        ("the", "an", 1, 1),
        ("x x y", "x y y", 0, 2 / 3),
    ],
)
def test_english_rules(answer, prediction, exact, f1):
    assert answer_scores.exact_match([answer], prediction, ENGLISH) == exact
    assert answer_scores.f1([answer], prediction, ENGLISH) == pytest.approx(f1)


def cmrc_reference(answers, prediction):
    """Returns (exact match, F1) by definition, for texts whose Latin words need no splitting."""
    marks = "-:_*^/\\~`+=，。：？！“”；’《》·、「」（）－～『』"

    def tokens(text):
        kept = "".join(char for char in text.lower().strip() if char not in marks)
        return re.sub("([\u4e00-\u9fa5])", r" \1 ", kept).split(), kept

    def longest_run(one, other):
        runs = [one[a:b] for b in range(len(one) + 1) for a in range(b)]
        there = [other[a:b] for b in range(len(other) + 1) for a in range(b)]
        return max((len(run) for run in runs if run in there), default=0)

    f1s = [0.0]
    predicted, text = tokens(prediction)
    for answer in answers:
        expected = tokens(answer)[0]
        f1s.append(2 * longest_run(expected, predicted) / max(1, len(expected) + len(predicted)))
    return float(any(tokens(answer)[1] == text for answer in answers)), max(f1s)


def test_chinese_rules_from_their_definition():
    """Includes blanks, full-width, rare and astral characters, ideographs beyond U+9FA5, case."""
    generator = random.Random(8)
    alphabet = "中文文，。……ab 12\u3000Ａé龥龦㐀😀《》-+\tX臺"
    for _ in range(300):
        texts = ["".join(generator.choices(alphabet, k=generator.randint(1, 8))) for _ in range(3)]
        prediction = generator.choice([texts[0], texts[1][1:] + "中", texts[2], ""])
        scores = score_predictions([question(0, *texts[:2])], {"Q0": prediction})
        expected = cmrc_reference(texts[:2], prediction)
        assert (scores.exact_matches[0], pytest.approx(scores.f1s[0])) == expected, texts


def test_the_longest_common_run_is_contiguous():
    assert answer_scores.longest_common_run("abcdef", "xbcdyef") == 3
    assert answer_scores.longest_common_run("aaaa", "aa") == 2
    assert answer_scores.longest_common_run("", "a") == 0
    assert answer_scores.common_tokens("aab", "abb") == 2


def test_missing_predictions_count_as_wrong():
    questions = [question(0, "上海", "北京"), question(1, "广州"), question(2)]
    scores = score_predictions(questions, {"Q0": "北京", "other": "x"})
    assert scores.missing == ["Q1", "Q2"]
    assert scores.exact_match == pytest.approx(100 / 3) and scores.f1 == pytest.approx(100 / 3)


def test_a_question_without_answer_wants_none():
    scores = score_predictions([question(0), question(1)], {"Q0": "", "Q1": "x"}, CHINESE)
    assert scores.exact_matches.tolist() == [1, 0] and scores.f1s.tolist() == [1, 0]


# SQuAD 2.0


def test_measures_of_questions_with_and_without_answer():
    questions = [question(0, "上海"), question(1, "北京市"), question(2), question(3)]
    predictions = {"Q0": "上海", "Q1": "北京", "Q2": "", "Q3": "深圳"}
    scores = score_predictions(questions, predictions)
    measures = answer_scores.no_answer_measures(questions, scores)
    assert measures == {
        "exact": 50.0,
        "f1": pytest.approx(100 * (1 + 0.8 + 1 + 0) / 4),
        "total": 4,
        "HasAns_exact": 50.0,
        "HasAns_f1": pytest.approx(90.0),
        "HasAns_total": 2,
        "NoAns_exact": 50.0,
        "NoAns_f1": 50.0,
        "NoAns_total": 2,
    }


def test_a_threshold_on_the_odds_decides_and_the_best_one_is_found():
    questions = [question(0, "上海"), question(1), question(2, "广州"), question(3)]
    scores = score_predictions(questions, {"Q0": "上海", "Q1": "x", "Q2": "广州", "Q3": "x"})
    odds = {"Q0": -3.0, "Q1": 2.0, "Q2": 1.0, "Q3": 4.0}
    measures = answer_scores.no_answer_measures(questions, scores, odds, 0.0)
    assert measures["exact"] == 75.0  # Q2 gets no answer
    assert measures["HasAns_exact"] == 50.0 and measures["NoAns_exact"] == 100.0
    assert measures["best_exact"] == 100.0 and measures["best_exact_thresh"] == 1.0
    assert measures["best_f1"] == 100.0 and measures["best_f1_thresh"] == 1.0


@pytest.mark.newest
def test_measures_are_those_of_transformers():
    metrics = pytest.importorskip("transformers.data.metrics.squad_metrics")
    generator = np.random.RandomState(5)
    vocabulary = "the a cat dog, runs! fast x y".split()

    def text(longest):
        return "dog " + " ".join(generator.choice(vocabulary, generator.randint(1, longest)))

    class Example:
        def __init__(self, question):
            self.qas_id = question.id
            self.answers = [{"text": answer.text} for answer in question.answers]

    questions = [
        question(number, *[text(5) for _ in range(generator.randint(0, 4))]) for number in range(80)
    ]
    predictions = {q.id: "" if generator.rand() < 0.3 else text(5) for q in questions}
    odds = {q.id: float(generator.randint(-6, 7)) + 0.01 * at for at, q in enumerate(questions)}
    expected = metrics.squad_evaluate(
        [Example(q) for q in questions], predictions, odds, no_answer_probability_threshold=1.0
    )
    scores = score_predictions(questions, predictions, ENGLISH)
    measures = answer_scores.no_answer_measures(questions, scores, odds, 1.0)
    assert {name: pytest.approx(value) for name, value in expected.items()} == measures


def squad_normalized(text):
    """Normalizes a text as SQuAD's evaluate-v2.0.py does."""
    without_marks = "".join(char for char in text.lower() if char not in string.punctuation)
    return " ".join(re.sub(r"\b(a|an|the)\b", " ", without_marks).split())


def squad_f1(answer, prediction):
    expected, predicted = (squad_normalized(text).split() for text in (answer, prediction))
    if not expected or not predicted:
        return float(expected == predicted)
    num_common = sum(min(expected.count(word), predicted.count(word)) for word in set(expected))
    return 2 * num_common / (len(expected) + len(predicted))


def squad_measures(questions, predictions, odds, threshold):
    """Computes {name: value} of SQuAD 2.0 by definition, in the order of the original program."""
    exact, f1, has_answer = {}, {}, {q.id: bool(q.answers) for q in questions}
    for q in questions:
        answers = [a.text for a in q.answers if squad_normalized(a.text)] or [""]
        prediction = "" if odds[q.id] > threshold else predictions[q.id]
        if odds[q.id] > threshold and q.answers:
            exact[q.id] = f1[q.id] = 0.0
            continue
        exact[q.id] = max(squad_normalized(a) == squad_normalized(prediction) for a in answers)
        f1[q.id] = max(squad_f1(a, prediction) for a in answers)
    measures = {}
    for prefix, wanted in (("", (True, False)), ("HasAns_", (True,)), ("NoAns_", (False,))):
        ids = [name for name in has_answer if has_answer[name] in wanted]
        for name, scores in (("exact", exact), ("f1", f1)):
            measures[prefix + name] = 100.0 * sum(scores[i] for i in ids) / len(ids)
        measures[prefix + "total"] = len(ids)
    return measures


def test_measures_are_those_of_squads_definition():
    """Includes answers that consist of articles and punctuation, which normalization removes."""
    generator, words = random.Random(6), "the A cat dog, runs! fast . An 北京".split()
    for _ in range(30):
        questions = [
            question(n, *[" ".join(generator.choices(words, k=2)) for _ in range(n % 4)])
            for n in range(20)
        ]
        predictions = {
            q.id: generator.choice([a.text for a in q.answers or ()] + ["the", "", "cat dog"])
            for q in questions
        }
        odds = {q.id: generator.choice([-1.0, 0.5, 1.0, 2.0]) for q in questions}
        scores = score_predictions(questions, predictions, ENGLISH)
        measures = answer_scores.no_answer_measures(questions, scores, odds, 0.5)
        expected = squad_measures(questions, predictions, odds, 0.5)
        assert {name: pytest.approx(value) for name, value in expected.items()} == {
            name: measures[name] for name in expected
        }


# Files of predictions


@pytest.mark.parametrize(
    "content, message",
    [
        (
            {"other": "x"},
            "none of its 1 predictions belongs to one of the 1 questions of data.json",
        ),
        ({}, "none of its 0 predictions"),
        ([], "expected an object of {question id: text of the answer}"),
        ({"Q0": ["x"]}, "Q0: expected the text of an answer, found"),
    ],
)
def test_predictions_of_another_file_are_refused(tmp_path, content, message):
    path = tmp_path / "predictions.json"
    path.write_text(json.dumps(content))
    with pytest.raises(UserError, match=message):
        answer_scores.read_predictions(str(path), [question(0, "x")], "data.json")


def test_numbers_are_predictions_too(tmp_path):
    path = tmp_path / "predictions.json"
    path.write_text('{"Q0": 42, "Q1": 3.5}')
    read = answer_scores.read_predictions(str(path), [question(0, "42")], "data.json")
    assert read == {"Q0": "42", "Q1": "3.5"}


def test_means_of_chosen_questions():
    scores = Scores(np.array([1.0, 0.0, 0.0]), np.array([1.0, 0.5, 0.0]), [])
    assert scores.of(np.array([True, True, False])).f1 == 75.0
