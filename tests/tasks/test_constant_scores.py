"""Scores of a constant prediction, by which a run reports that the model has learnt nothing."""

import types

import pytest

from albert_zh.tasks import report as task_report
from albert_zh.tasks.embedding.scorer import EmbeddingScorer
from albert_zh.tasks.generation.scorer import GenerationScorer
from albert_zh.tasks.labelling.scorer import LabellingScorer
from albert_zh.tasks.labelling.spans import Span
from albert_zh.tasks.reading.task_scorer import TaskScorer

ENTITIES = [{Span(0, 2, "eat")}, {Span(1, 3, "eat"), Span(3, 4, "go")}]
WORDS = [{Span(0, 2, ""), Span(2, 3, "")}, {Span(0, 1, "")}]  # 2 of 4 characters are words


def of_labels(gold, kinds):
    kind = types.SimpleNamespace(types_of=lambda task: kinds)
    scorer = LabellingScorer(kind, types.SimpleNamespace(task=None))
    scorer._gold = gold
    return scorer


def of_questions(*is_impossible):
    scorer = TaskScorer.__new__(TaskScorer)
    scorer._questions = [types.SimpleNamespace(is_impossible=value) for value in is_impossible]
    return scorer


@pytest.mark.parametrize(
    "scorer, metric, expected",
    [
        (of_labels(ENTITIES, ["eat", "go"]), "f1", (0.0, "no entity")),
        (of_labels(ENTITIES, ["eat", "go"]), "token_f1", None),
        (of_labels(WORDS, [""]), "f1", (2 * 2 / (3 + 4), "a word for each character")),
        (of_labels(WORDS, [""]), "precision", (2 / 4, "a word for each character")),
        (of_labels(WORDS, [""]), "loss", None),
        (of_questions(True, False, False, False), "exact_match", (0.25, "no answer")),
        (of_questions(False, False), "f1", (0.0, "no answer")),
        (of_questions(True), "loss", None),
        (GenerationScorer(None), "rouge_l", (0.0, "an empty text")),
        (GenerationScorer(None), "perplexity", None),
        (EmbeddingScorer(False), "spearman", (0.0, "one vector")),
        (EmbeddingScorer(False), "auc", (0.5, "one vector")),
        (EmbeddingScorer(True), "mean_cosine", None),
    ],
)
def test_constant_scores(scorer, metric, expected):
    found = scorer.constant(metric)
    assert found == (None if expected is None else (pytest.approx(expected[0]), expected[1]))


@pytest.mark.parametrize("score, is_said", [(0.0, True), (0.04, True), (0.3, False)])
def test_a_generator_that_has_learnt_nothing_is_said(score, is_said):
    scorer = GenerationScorer(None)
    scorer._keys = ["x"] * 24
    report = task_report.Report.__new__(task_report.Report)
    report._shown, report._scorers = ["rouge_l"], {"dev": scorer}
    report.metrics = {"dev": {"rouge_l": score}}
    line = report.unlearnt("dev") or ""
    assert is_said == ("predicting an empty text for every row (0.0000)" in line)
