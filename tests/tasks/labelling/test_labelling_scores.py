"""Scores of entities, tags and words, compared with seqeval, conlleval and SIGHAN's scorer."""

import json
import math
import os
import random
import re

import pytest

from albert_zh.tasks.labelling import entity_scores, segmentation_scores
from albert_zh.tasks.labelling.entity_scores import MICRO, EntityScorer, TokenScorer
from albert_zh.tasks.labelling.spans import Span
from albert_zh.tasks.labelling.tag_schemes import SCHEMES, all_tags, spans_to_tags, tags_to_spans


def golden_cases(shared):
    path = os.path.join(shared, "golden", "labelling", "sequence_scores", "expected.json")
    with open(path, encoding="utf-8") as handle:
        return json.load(handle)["cases"]


def report_of(gold, predicted, scheme, is_strict=False):
    scorer = EntityScorer()
    for gold_tags, predicted_tags in zip(gold, predicted):
        scorer.add(
            *(tags_to_spans(tags, scheme, is_strict) for tags in (gold_tags, predicted_tags))
        )
    return scorer.report()


def assert_as_seqeval(report, expected):
    """Compares a report with `expected`, seqeval's classification report as a dictionary."""
    for name, scores in expected.items():
        if name == "weighted avg":
            continue
        ours = report[name]
        for key, value in (
            ("precision", ours.precision),
            ("recall", ours.recall),
            ("f1-score", ours.f1),
            ("support", ours.support),
        ):
            if not math.isnan(scores[key]):  # the mean over no types is NaN
                assert value == pytest.approx(scores[key]), (name, key)


def test_golden_reports_of_seqeval(shared):
    num_compared = 0
    for name, case in golden_cases(shared).items():
        base = "BMES" if name.startswith("bmes") else "BIOES" if "strict_IOBES" in case else "BIO"
        for key, is_strict in (("default", False), ("strict_IOB2", True), ("strict_IOBES", True)):
            report = case.get(key, {}).get("report")
            if report:
                ours = report_of(case["true"], case["pred"], SCHEMES[base], is_strict)
                assert_as_seqeval(ours, report)
                num_compared += 1
    assert num_compared > 40


def test_golden_output_of_conlleval(shared):
    """Only cases of BIO are compared, since conlleval does not know all tags of BIOES and BMES."""
    line = re.compile(r"precision: +([\d.]+)%; recall: +([\d.]+)%; FB1: +([\d.]+)")
    num_compared = 0
    for name, case in golden_cases(shared).items():
        if name.startswith(("bioes", "bmes")):
            continue
        micro = report_of(case["true"], case["pred"], SCHEMES["BIO"])[MICRO]
        expected = [float(value) for value in line.search(case["conlleval_stdout"]).groups()]
        assert [round(100 * value, 2) for value in micro[:3]] == expected, name
        num_compared += 1
    assert num_compared > 15


@pytest.mark.newest
@pytest.mark.parametrize("name", ["BIO", "BIOES"])
def test_seqeval_agrees_on_random_tags(name):
    pytest.importorskip("seqeval")
    from seqeval import scheme as seqeval_schemes
    from seqeval.metrics import classification_report

    scheme, generator = SCHEMES[name], random.Random(11)
    alphabet = all_tags(scheme, ["PER", "LOC", "ORG.NAM"])
    sides = [
        [[generator.choice(alphabet) for _ in range(1 + row % 15)] for row in range(80)]
        for _ in range(2)
    ]
    lenient = classification_report(*sides, output_dict=True, zero_division=0)
    assert_as_seqeval(report_of(*sides, scheme=scheme), lenient)
    strict = classification_report(
        *sides,
        output_dict=True,
        zero_division=0,
        mode="strict",
        scheme={"BIO": seqeval_schemes.IOB2, "BIOES": seqeval_schemes.IOBES}[name],
    )
    assert_as_seqeval(report_of(*sides, scheme=scheme, is_strict=True), strict)


def test_nothing_is_zero():
    scorer = EntityScorer()
    scorer.add([], [])
    assert scorer.metrics() == {"precision": 0, "recall": 0, "f1": 0, "macro_f1": 0}
    assert scorer.types == []


def test_table_of_a_report():
    scorer = EntityScorer()
    scorer.add([Span(0, 2, "PER"), Span(3, 4, "LOC")], [Span(0, 2, "PER"), Span(3, 4, "PER")])
    table = entity_scores.report_table(scorer.report())
    assert table[0] == ["type", "precision", "recall", "F1", "gold", "predicted"]
    assert table[1:] == [
        ["LOC", "0.00", "0.00", "0.00", "1", "0"],
        ["PER", "50.00", "100.00", "66.67", "1", "2"],
        ["micro avg", "50.00", "50.00", "50.00", "2", "2"],
        ["macro avg", "25.00", "50.00", "33.33", "2", "2"],
    ]


def test_token_scores_are_those_of_scikit_learn():
    metrics = pytest.importorskip("sklearn.metrics")
    generator = random.Random(2)
    tags = all_tags(SCHEMES["BIO"], ["LOC", "ORG", "PER"])
    gold, predicted = ([generator.choice(tags) for _ in range(500)] for _ in range(2))
    scorer = TokenScorer()
    scorer.add(gold[:200], predicted[:200])
    scorer.add(gold[200:], predicted[200:])
    expected = metrics.precision_recall_fscore_support(
        gold, predicted, labels=tags[1:], average="micro"
    )
    assert list(scorer.metrics().values()) == pytest.approx(expected[:3])
    assert list(scorer.metrics()) == ["eval_precision", "eval_recall", "eval_f"]


def test_tokens_score_higher_than_entities():
    gold = [Span(0, 4, "ORG")]
    predicted = [Span(0, 3, "ORG")]
    scorer, tokens = EntityScorer(), TokenScorer()
    scorer.add(gold, predicted)
    tokens.add(*(spans_to_tags(spans, 5, SCHEMES["BIO"]) for spans in (gold, predicted)))
    assert scorer.metrics()["f1"] == 0
    assert tokens.metrics()["eval_f"] == pytest.approx(6 / 7)


# Segmentation


def read_words(path):
    with open(path, encoding="utf-8") as handle:
        return [line.split() for line in handle.read().split("\n")]


@pytest.mark.parametrize("suffix", ["", "2"])
def test_sighan_scorer(shared, suffix):
    folder = os.path.join(shared, "golden", "labelling", "sighan")
    names = ("gold%s.txt" % suffix, "test%s.txt" % suffix)
    gold, test = (read_words(os.path.join(folder, name)) for name in names)
    known = {line[0] for line in read_words(os.path.join(folder, "words.txt")) if line}
    scorer = segmentation_scores.SegmentationScorer(known)
    for gold_words, test_words in zip(gold, test):
        scorer.add(gold_words, test_words)
    with open(os.path.join(folder, "span_based_expected.json"), encoding="utf-8") as handle:
        expected = json.load(handle)[names[0]]
    for key, value in scorer.metrics().items():
        assert value == pytest.approx(expected[key]), key
    with open(os.path.join(folder, "score_output%s.txt" % suffix), encoding="utf-8") as handle:
        printed = handle.read().splitlines()
    assert all(line in printed for line in scorer.summary().splitlines())


def test_undefined_recalls_are_marked():
    scorer = segmentation_scores.SegmentationScorer({"我", "爱"})
    scorer.add(["我", "爱"], ["我爱"])
    assert "=== OOV Recall Rate:\t--\n=== IV Recall Rate:\t0.000\n" in scorer.summary()
    with pytest.raises(ValueError, match="are not one text"):
        scorer.add(["我"], ["爱"])
