"""Decoding of logits and pair scores to spans."""

import numpy as np
import pytest

from albert_zh.tasks.labelling import decoding
from albert_zh.tasks.labelling.spans import Span
from albert_zh.tasks.labelling.tag_schemes import SCHEMES, all_tags, tags_to_spans

TAGS = all_tags(SCHEMES["BIOES"], ["LOC", "PER"])


def logits_of(tags, height=5.0):
    return np.array([[height * (tag == other) for other in TAGS] for tag in tags])


@pytest.mark.parametrize("transitions", [None, np.zeros([len(TAGS)] * 2)])
def test_spans_of_clear_logits(transitions):
    decoder = decoding.TagDecoder(TAGS, SCHEMES["BIOES"], transitions)
    texts = [["B-LOC", "E-LOC", "O", "S-PER"], [], ["O"], ["B-PER", "I-PER", "E-PER"]]
    decoded = list(decoder.decode([logits_of(tags).reshape(-1, len(TAGS)) for tags in texts]))
    assert [spans for spans, _ in decoded] == [
        [Span(0, 2, "LOC"), Span(3, 4, "PER")],
        [],
        [],
        [Span(0, 3, "PER")],
    ]
    expected = np.exp(5) / (np.exp(5) + len(TAGS) - 1)
    np.testing.assert_allclose(decoded[0][1], [expected] * 2)


def test_a_crf_has_well_formed_paths_only():
    generator = np.random.RandomState(0)
    decoder = decoding.TagDecoder(TAGS, SCHEMES["BIOES"], generator.randn(len(TAGS), len(TAGS)))
    texts = [generator.randn(length, len(TAGS)) for length in range(40)]
    for rows, ids in zip(texts, decoder.tag_ids(texts)):
        tags = [TAGS[i] for i in ids]
        strict = tags_to_spans(tags, SCHEMES["BIOES"], is_strict=True)
        assert len(ids) == len(rows)
        assert tags_to_spans(tags, SCHEMES["BIOES"]) == strict


def test_many_texts_are_decoded_as_each_alone(monkeypatch):
    generator = np.random.RandomState(1)
    decoder = decoding.TagDecoder(TAGS, SCHEMES["BIOES"], generator.randn(len(TAGS), len(TAGS)))
    texts = [generator.randn(generator.randint(12), len(TAGS)) for _ in range(30)]
    alone = [decoder.tag_ids([rows])[0] for rows in texts]
    monkeypatch.setattr(decoding, "_SCORES_AT_ONCE", 3000)
    for ids, expected in zip(decoder.tag_ids(texts), alone):
        assert np.array_equal(ids, expected)


def test_spans_of_pairs():
    predictions = {
        "span_scores": np.array([4.0, 2.0, 1.0, -1.0]),
        "span_types": np.array([1, 0, 0, -1]),
        "span_starts": np.array([2, 3, 7, 0]),
        "span_ends": np.array([5, 4, 7, 0]),
    }
    spans, confidences = decoding.spans_of_pairs(predictions, ["LOC", "ORG"])
    assert spans == [Span(2, 6, "ORG"), Span(3, 5, "LOC"), Span(7, 8, "LOC")]
    np.testing.assert_allclose(confidences, 1 / (1 + np.exp([-4.0, -2.0, -1.0])))
    flat, _ = decoding.spans_of_pairs(predictions, ["LOC", "ORG"], is_flat=True)
    assert flat == [Span(2, 6, "ORG"), Span(7, 8, "LOC")]
