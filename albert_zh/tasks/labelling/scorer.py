"""Scores labelled texts: entities or words, read leniently and strictly, tags, and errors."""

import os
from typing import Any, Dict, Iterator, List, Optional, Sequence, Tuple

import numpy as np

from albert_zh.common.errors import UserError
from albert_zh.tasks import confusion_picture, scorer
from albert_zh.tasks.labelling import (
    entity_scores,
    error_analysis,
    features,
    predictions,
    segmentation_scores,
    segmented_files,
    tag_schemes,
)
from albert_zh.tasks.labelling.spans import Span, filled
from albert_zh.tasks.markdown import table

METRICS = {
    "f1": True,
    "precision": True,
    "recall": True,
    "macro_f1": True,
    "strict_f1": True,
    "token_f1": True,
    "token_precision": True,
    "token_recall": True,
    "loss": False,
}
# Token-level metrics, with their names in NEZHA's run_classifier_ner.py.
_TOKEN_METRICS = {
    "token_f1": "eval_f",
    "token_precision": "eval_precision",
    "token_recall": "eval_recall",
}
USUAL_METRICS = ("f1", "precision", "recall", "macro_f1", "strict_f1") + tuple(_TOKEN_METRICS)
# Heads that score spans assign no tags to tokens.
SPAN_METRICS = {name: METRICS[name] for name in METRICS if name not in _TOKEN_METRICS}
_CONSTANT_METRICS = ("f1", "precision", "recall", "macro_f1", "strict_f1")
CONFUSION_PICTURE = "confusion_matrix.png"
_PENDING = 64  # number of texts that are decoded together
WORD = "word"  # name in tables of the type "", which words have


class LabellingScorer(scorer.Scorer):
    """Compares gold and predicted spans of examples."""

    def __init__(self, kind: Any, use: Any, options: Any = None, num_errors: int = 0) -> None:
        """Starts with no examples.

        Args:
            kind: the kind of task.
            use: `task_type.ModelInUse`.
            options: the flags, which name the file with the training words of a segmentation; or
                None.
            num_errors: number of errors to show.
        """
        super().__init__(num_errors)
        self._kind, self._use, self._options = kind, use, options
        self._pending, self._losses = [], []
        self._gold, self._predicted, self._strict, self._tokens = [], [], [], []
        self._words = []  # (gold, predicted) words of each text of a segmentation
        self._granularities = []  # of each text; None without granularities
        self._analysis = error_analysis.ErrorAnalysis(num_errors)
        self._counts = []  # `features.LabelCounts` of each text
        self._rows = set()  # (file's granularity, guid) of each text

    @property
    def is_segmentation(self) -> bool:
        """Whether the spans are words."""
        return self._kind.types_of(self._use.task) == [""]

    def add_labelled(self, example: Any, rows: List[Dict[str, np.ndarray]]) -> None:
        self._losses.append(float(np.mean([row["loss"] for row in rows])))
        self._pending.append((example, rows))
        if len(self._pending) == _PENDING:
            self._decode()

    def _decode(self):
        """Decodes the outputs of the pending texts to spans."""
        if not self._pending:
            return
        examples, rows = zip(*self._pending)
        self._pending = []
        for example, predicted in zip(examples, self._kind.predicted(examples, rows, self._use)):
            self._add_spans(example, predicted)

    def _add_spans(self, example, predicted):
        gold = example.label
        if self.is_segmentation:
            gold = features.gold_words(predicted.encoded, example.text_a, gold)
        self._gold.append(set(gold))
        self._predicted.append(set(predicted.spans))
        self._granularities.append(getattr(example, "granularity", None))
        self._rows.add(_row(example))
        self._add_tags(example, predicted)
        if self.is_segmentation:
            sides = (gold, predicted.spans)
            words = [segmented_files.words_of(example.text_a, spans) for spans in sides]
            self._words.append(words)
        if self.num_errors:
            self._analysis.add(example.text_a, gold, predicted.spans, predicted.confidences)

    def _add_tags(self, example, predicted):
        """Adds strictly read spans and counts of tags; without tags, the spans themselves."""
        counts = entity_scores.TokenScorer()
        if predicted.tag_ids is None:
            self._strict.append(set(predicted.spans))
            label_counts = self._kind.counts_of_text(
                self._use.task, predicted.encoded, example.label
            )
        else:
            gold, label_counts = self._kind.tags_of_text(
                self._use.task, predicted.encoded, example.label
            )
            tags = [self._use.task.labels[number] for number in predicted.tag_ids]
            counts.add(gold, tags)
            _, scheme = predictions.tag_table(tuple(self._use.task.labels))
            strict = tag_schemes.tags_to_spans(tags, scheme, is_strict=True)
            in_text = features.spans_of_text(predicted.encoded, strict)
            is_words = self.is_segmentation
            self._strict.append(set(filled(example.text_a, in_text) if is_words else in_text))
        self._tokens.append(counts)
        self._counts.append(label_counts)

    # Metrics

    def losses(self) -> np.ndarray:
        return np.array(self._losses)

    def values(self, names: Sequence[str], chosen: Optional[np.ndarray] = None) -> Dict[str, float]:
        self._decode()
        indices = range(len(self._gold)) if chosen is None else np.flatnonzero(chosen)
        lenient, strict = self._entities(self._predicted, indices), None
        measured = lenient.metrics()
        if "strict_f1" in names:
            strict = self._entities(self._strict, indices)
            measured["strict_f1"] = strict.metrics()["f1"]
        if not _TOKEN_METRICS.keys().isdisjoint(names):
            tokens = entity_scores.TokenScorer()
            for index in indices:
                tokens.merge(self._tokens[index])
            of_tokens = tokens.metrics()
            measured.update((name, of_tokens[key]) for name, key in _TOKEN_METRICS.items())
        return {name: float(measured[name]) for name in names}

    def metrics(self, batch_size: int, names: Sequence[str]) -> Dict[str, float]:
        measured = super().metrics(batch_size, names)
        if "eval_token_f1" in measured:
            measured["eval_f"] = measured["eval_token_f1"]  # the name in NEZHA's programs
        return measured

    def _entities(self, predicted, indices):
        entities = entity_scores.EntityScorer()
        for index in indices:
            entities.add(self._gold[index], predicted[index])
        return entities

    # Report

    def constant(self, metric: str) -> Optional[Tuple[float, str]]:
        if metric not in _CONSTANT_METRICS:
            return None
        if not self.is_segmentation:
            return 0.0, "no entity"
        self._decode()
        characters = [
            [Span(at, at + 1, "") for word in words for at in range(word.start, word.end)]
            for words in self._gold
        ]
        scores = self._entities(characters, range(len(characters))).metrics()
        return scores.get(metric, scores["f1"]), "a word for each character"

    def details(self) -> Dict[str, Any]:
        self._decode()
        report = self._entities(self._predicted, range(len(self._gold))).report()
        details = {
            "errors": [
                {
                    "kind": error.kind,
                    "confidence": round(float(error.confidence), 4),
                    "error": error_analysis.in_context(text, error),
                }
                for text, error in self._analysis.most_confident()
            ],
            "classes": [
                {
                    "label": name or WORD,
                    "precision": scores.precision,
                    "recall": scores.recall,
                    "f1": scores.f1,
                    "support": scores.support,
                }
                for name, scores in report.items()
            ],
            "kinds_of_errors": dict(self._analysis.counts()),
            "alignment": dict(features.added_counts(self._counts)._asdict()),
        }
        if self.is_segmentation:
            details["segmentation"] = self._segmentation()
        if len(set(self._granularities)) > 1:
            details["granularities"] = self._scores_of_granularities()
        return details

    def _scores_of_granularities(self):
        """Returns {granularity: {metric: value}}."""
        names = np.array(self._granularities)
        return {
            name: self.values(("precision", "recall", "f1"), names == name)
            for name in dict.fromkeys(self._granularities)
        }

    def _segmentation(self):
        """Returns the bakeoff's scores; OOV and IV scores only if the training file is readable."""
        known = self._training_words()
        counted = segmentation_scores.SegmentationScorer(known or ())
        for gold, predicted in self._words:
            counted.add(gold, predicted)
        measured = counted.metrics()
        if known is None:
            for name in segmentation_scores.VOCABULARY_SCORES:
                measured.pop(name, None)
        return measured

    def _training_words(self):
        """Returns the words of the training file, except of rows that are being scored."""
        if self._options is None or not self._options.data_dir:
            return None
        try:
            train = self._kind.read_split(
                self._use.task, self._options.data_dir, "train", self._options.encoding, False
            )
        except UserError:
            return None
        return {
            example.text_a[span.start : span.end]
            for example in train.examples
            if _row(example) not in self._rows
            for span in example.label or ()
        }

    def markdown(self, details: Dict[str, Any]) -> Iterator[str]:
        columns: Sequence[str] = ("label", "precision", "recall", "f1", "support")
        yield from table(columns, [[row[key] for key in columns] for row in details["classes"]])
        words = details.get("segmentation", {})
        rows = [
            [name, words.get(name, segmentation_scores.UNDEFINED)]
            for name in (segmentation_scores.WORD_SCORES if words else ())
        ]
        yield from table(("score of words", "value"), rows)
        scores = details.get("granularities", {})
        columns = ("precision", "recall", "f1")
        rows = [[name] + [row[key] for key in columns] for name, row in scores.items()]
        yield from table(("granularity",) + columns, rows)
        yield from table(("kind of error", "count"), list(details["kinds_of_errors"].items()))
        for note in features.notes_of_counts(features.LabelCounts(**details["alignment"])):
            yield note[0].upper() + note[1:] + "."
            yield ""
        yield "### The %d most confident errors" % len(details["errors"])
        yield ""
        columns = ("kind", "confidence", "error")
        yield from table(columns, [[error[key] for key in columns] for error in details["errors"]])

    def draw(self, folder: str, title: str) -> List[str]:
        self._decode()
        if self.is_segmentation or not self.num_errors:
            return []
        types, counts = self._analysis.confusion()
        path = os.path.join(folder, CONFUSION_PICTURE)
        picture = confusion_picture.draw(counts, types, path, "%s: rows are true types" % title)
        return [picture] if picture else []


def _row(example):
    return getattr(example, "granularity", None), example.guid
