"""Compares generated texts with their targets: ROUGE, BLEU, distinct n-grams, perplexity."""

import math
from typing import Any, Dict, Iterator, List, Optional, Sequence, Tuple

import numpy as np

from albert_zh.common.errors import UserError
from albert_zh.tasks import scorer
from albert_zh.tasks.generation import text_scores
from albert_zh.tasks.markdown import table

_OF_ROWS = ("rouge_1", "rouge_2", "rouge_l", "bleu")
_ERROR_COLUMNS = ("rouge_l", "source", "target", "written")
_SHOWN_CHARACTERS = 80
_LARGEST_EXPONENT = 700.0


class GenerationScorer(scorer.Scorer):
    """Collects generated texts and their metrics; shares are between 0 and 1."""

    def __init__(self, text_of_ids: Any, num_errors: int = 0, target_of: Any = None) -> None:
        """Initializes the scorer.

        Args:
            text_of_ids: function of ids [T] -> the text.
            num_errors: how many of the worst rows are stored.
            target_of: function of an example -> the text to generate; None: its label.
        """
        self._target_of = target_of or (lambda example: example.label)
        super().__init__(num_errors)
        self._text_of_ids = text_of_ids
        self._texts: List[str] = []
        self._rows: List[Dict[str, float]] = []
        self._losses: List[List[float]] = []

    def add_labelled(self, example: Any, rows: List[Dict[str, np.ndarray]]) -> None:
        if not np.isfinite(rows[0]["target_loss"]):
            raise UserError(
                "the loss of %s is no finite number: the model's weights are damaged, or its "
                "training diverged: use another checkpoint" % example.guid
            )
        written = self._text_of_ids(rows[0]["written"])
        example = example._replace(label=self._target_of(example))
        measured = text_scores.scores(written, example.label)
        self._texts.append(written)
        self._rows.append(measured)
        self._losses.append([float(rows[0]["target_loss"]), float(rows[0]["target_tokens"])])
        self.keep_error(1.0 - measured["rouge_l"], example, written)

    def losses(self) -> np.ndarray:
        sums = np.array(self._losses)
        return sums[:, 0] / np.maximum(sums[:, 1], 1)

    def values(self, names: Sequence[str], chosen: Optional[np.ndarray] = None) -> Dict[str, float]:
        kept = np.arange(len(self)) if chosen is None else np.flatnonzero(chosen)
        measured = {
            name: float(np.mean([self._rows[row][name] for row in kept])) if len(kept) else 0.0
            for name in _OF_ROWS
        }
        for n in (1, 2):
            measured["distinct_%d" % n] = text_scores.distinct((self._texts[r] for r in kept), n)
        loss, tokens = np.array(self._losses)[kept].sum(axis=0) if len(kept) else (0.0, 1.0)
        measured["perplexity"] = math.exp(min(loss / max(tokens, 1), _LARGEST_EXPONENT))
        return {name: measured[name] for name in names}

    # Report

    def constant(self, metric: str) -> Optional[Tuple[float, str]]:
        return (0.0, "an empty text") if metric in _OF_ROWS else None

    def details(self) -> Dict[str, Any]:
        errors = [
            dict(
                zip(
                    _ERROR_COLUMNS,
                    (1.0 - size, example.text_a[:_SHOWN_CHARACTERS], example.label, written),
                )
            )
            for size, example, written in self.worst_errors()
        ]
        lengths = [len(text_scores.characters(text)) for text in self._texts]
        return {
            "mean_characters_written": float(np.mean(lengths)),
            "empty_texts": int(np.sum(np.array(lengths) == 0)),
            "errors": errors,
        }

    def markdown(self, details: Dict[str, Any]) -> Iterator[str]:
        yield "The generated texts have %.1f characters on average; %d of them are empty." % (
            details["mean_characters_written"],
            details["empty_texts"],
        )
        yield ""
        yield "### The %d texts furthest from their targets" % len(details["errors"])
        yield ""
        rows = [[error[name] for name in _ERROR_COLUMNS] for error in details["errors"]]
        yield from table(_ERROR_COLUMNS, rows)
