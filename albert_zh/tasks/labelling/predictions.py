"""Converts a model's outputs to spans of texts, for reports, files, `Predictor` and serve.py."""

import collections
import functools
from typing import Any, Dict, List, Sequence, Tuple

import numpy as np

from albert_zh.tasks.labelling import (
    alignment,
    decoding,
    features,
    granularity_names,
    head_names,
    tag_schemes,
)
from albert_zh.tasks.labelling.spans import filled, without_whitespace

Prediction = collections.namedtuple("Prediction", ["spans", "confidences", "tag_ids", "encoded"])
Prediction.__doc__ = """The prediction for a text.

Fields:
    spans: sorted list of `Span`, in characters.
    confidences: list of float, one per span.
    tag_ids: int [P], tags of the text's pieces; None for heads that score spans.
    encoded: `features.EncodedText`.
"""


@functools.lru_cache(maxsize=8)
def tag_table(labels: Sequence[str]) -> Tuple[Dict[str, int], Any]:
    """Returns ({tag: id}, scheme) of a tuple of tags."""
    scheme = tag_schemes.detect_scheme(labels, "label_map.json")
    return {tag: number for number, tag in enumerate(labels)}, scheme


def encoded_text(task: Any, example: Any, tokenizer: Any, max_seq_length: int) -> Any:
    """Returns the `features.EncodedText` of an example, in windows as the settings require."""
    token = granularity_names.token(task.head, example)
    stride = task.head.get("stride")
    stride = min(stride, max_seq_length - (3 if token else 2)) if stride else None
    text = features.text_as_read(task.head, example.text_a)
    return features.encode_text(tokenizer, text, max_seq_length, stride, token)


def of_tags(
    examples: Sequence[Any], predictions: Sequence[List[Dict[str, np.ndarray]]], use: Any
) -> List[Prediction]:
    """Decodes the outputs of a head that assigns a tag to each piece.

    Args:
        examples: the examples.
        predictions: for each example, the outputs of its rows: `logits` float [F, K] and
            `transitions` float [K, K].
        use: `task_type.ModelInUse`.

    Returns:
        list of `Prediction`.
    """
    if not examples:
        return []
    _, scheme = tag_table(tuple(use.task.labels))
    has_transitions = use.task.head.get("form") == head_names.CRF
    transitions = predictions[0][0]["transitions"] if has_transitions else None
    decoder = decoding.TagDecoder(use.task.labels, scheme, transitions)
    encoded = [
        encoded_text(use.task, example, use.tokenizer, use.max_seq_length) for example in examples
    ]
    logits = [joined_logits(text, rows) for text, rows in zip(encoded, predictions)]
    tag_ids = decoder.tag_ids(logits)
    is_words = tag_schemes.OUTSIDE_TAG not in use.task.labels
    return [
        _prediction(example.text_a, text, decoder.spans(rows, ids), ids, is_words)
        for example, text, rows, ids in zip(examples, encoded, logits, tag_ids)
    ]


def tags_of_row(outputs: Dict[str, np.ndarray], labels: Sequence[str], head: Any) -> np.ndarray:
    """Returns the tag ids of a row's pieces, int [F - 2], without [CLS] and [SEP].

    Args:
        outputs: `logits` float [F, K] and, for a CRF, `transitions` float [K, K].
        labels: the K tags.
        head: `Settings.head`.
    """
    is_crf = head.get("form") == head_names.CRF
    transitions = outputs["transitions"] if is_crf else None
    decoder = decoding.TagDecoder(labels, tag_table(tuple(labels))[1], transitions)
    return decoder.tag_ids([outputs["logits"][1:-1]])[0]


def spans_of_row(outputs: Dict[str, np.ndarray], labels: Sequence[str], head: Any) -> List[Any]:
    """Returns a row's spans for a head that scores spans; arguments as in `tags_of_row`."""
    del head
    return decoding.spans_of_pairs(outputs, labels)[0]


def joined_logits(encoded: Any, rows: Any) -> np.ndarray:
    """Joins the logits of a text's windows, each [F, K], to those of its pieces, float [P, K]."""
    parts = [
        row["logits"][encoded.first_piece : encoded.first_piece + window.end - window.start]
        for row, window in zip(rows, encoded.windows)
    ]
    return alignment.join_windows(parts, encoded.windows)


def of_pairs(
    examples: Sequence[Any], predictions: Sequence[List[Dict[str, np.ndarray]]], use: Any
) -> List[Prediction]:
    """Decodes the outputs of a head that scores spans; arguments as in `of_tags`."""
    predicted = []
    for example, rows in zip(examples, predictions):
        encoded = encoded_text(use.task, example, use.tokenizer, use.max_seq_length)
        best = {}
        for row, window in zip(rows, encoded.windows):
            spans, confidences = decoding.spans_of_pairs(row, use.task.labels)
            owned = set(alignment.join_spans([spans], [window]))
            for span, confidence in zip(spans, confidences):
                moved = span._replace(start=span.start + window.start, end=span.end + window.start)
                if moved in owned:
                    best[moved] = confidence
        spans = sorted(best)
        in_characters = alignment.to_characters(spans, encoded.offsets)
        pairs = sorted(dict(zip(in_characters, (best[span] for span in spans))).items())
        predicted.append(
            Prediction([span for span, _ in pairs], [c for _, c in pairs], None, encoded)
        )
    return predicted


def _prediction(text, encoded, decoded, tag_ids, is_words):
    """Returns the `Prediction` of spans of pieces, shortened so that no two share a character."""
    spans, confidences, end = [], [], 0
    for span, confidence in zip(alignment.to_characters(decoded[0], encoded.offsets), decoded[1]):
        if max(span.start, end) < span.end:
            spans.append(span._replace(start=max(span.start, end)))
            confidences.append(confidence)
            end = span.end
    if is_words:
        spans = filled(text, spans)
        confidences = confidences or [1.0] * len(spans)
    return Prediction(spans, confidences, tag_ids, encoded)


def as_json(text: str, prediction: Prediction) -> List[Dict[str, Any]]:
    """Converts spans to JSON values: type (except for words), start, end, text and confidence.

    Words do not include the whitespace of the text; a word with whitespace inside is split there.
    """
    listed = []
    for span, confidence in zip(prediction.spans, prediction.confidences):
        entry = {"type": span.type} if span.type else {}
        for part in [span] if span.type else without_whitespace(text, span):
            entry.update(start=part.start, end=part.end, text=text[part.start : part.end])
            listed.append(dict(entry, confidence=round(confidence, 4)))
    return listed
