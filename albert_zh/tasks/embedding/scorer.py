"""Dev and test metrics of sentence vectors."""

from typing import Any, Dict, Iterator, List, Optional, Sequence, Tuple

import numpy as np

from albert_zh.tasks import scorer
from albert_zh.tasks.embedding.scores import Measured, VectorSimilarity, mean_cosine
from albert_zh.tasks.markdown import table
from albert_zh.tasks.tables import text_groups

COLLAPSED = 0.95  # mean cosine of different texts above which vectors count as collapsed
THRESHOLD = "similarity_threshold"  # tuned on dev


class EmbeddingScorer(scorer.Scorer):
    """Collects vectors and evaluates them on the file's pairs or positives."""

    def __init__(
        self, is_retrieval: bool, threshold: Optional[float] = None, num_errors: int = 0
    ) -> None:
        """Initializes the scorer.

        Args:
            is_retrieval: whether positives are searched for.
            threshold: cosine from which texts count as similar, None if unknown.
            num_errors: how many of the worst rows are stored.
        """
        super().__init__(num_errors)
        self._is_retrieval, self._threshold = is_retrieval, threshold
        self._examples: List[Any] = []
        self._vectors: Dict[str, np.ndarray] = {}
        self._measured: Any = None

    def add(self, example: Any, rows: List[Dict[str, np.ndarray]]) -> None:
        if example.label is None and not example.is_entry:
            return
        self._examples.append(example)
        if not example.is_entry:
            self._keys.append(text_groups.text_key(example))
        for text, vector in zip((example.text_a, example.text_b), rows[0]["vectors"]):
            if text:
                self._vectors[text] = vector

    def _measure(self):
        """(`Measured`, `VectorSimilarity`) for the collected examples and vectors."""
        if self._measured is None:
            measured = Measured(self._examples, self._is_retrieval)
            self._measured = measured, VectorSimilarity(self._vectors)
        return self._measured

    def losses(self) -> np.ndarray:
        measured, similarity = self._measure()
        return measured.losses(similarity)

    def values(self, names: Sequence[str], chosen: Optional[np.ndarray] = None) -> Dict[str, float]:
        measured, similarity = self._measure()
        scores = measured.scores(similarity, chosen)
        scores["mean_cosine"] = mean_cosine(similarity.vectors)
        return {name: scores.get(name, 0.0) for name in names}

    def tuned(self) -> Dict[str, Any]:
        measured, similarity = self._measure()
        self._threshold = measured.threshold(similarity)
        return {} if self._threshold is None else {THRESHOLD: self._threshold}

    # Report

    def constant(self, metric: str) -> Optional[Tuple[float, str]]:
        if metric in ("loss", "mean_cosine"):
            return None
        return 0.5 if metric == "auc" else 0.0, "one vector"

    def details(self) -> Dict[str, Any]:
        measured, similarity = self._measure()
        names = ("loss", "text_a", "text_b", "label", "cosine")
        worst = measured.worst(similarity, self.num_errors)
        quantiles = np.quantile(measured.cosines(similarity), [0.05, 0.25, 0.5, 0.75, 0.95])
        return {
            "errors": [dict(zip(names, row)) for row in worst],
            "cosine_quantiles": [float(quantile) for quantile in quantiles],
            THRESHOLD: self._threshold,
        }

    def markdown(self, details: Dict[str, Any]) -> Iterator[str]:
        if "cosine_quantiles" in details:
            shown = ", ".join("%.2f" % quantile for quantile in details["cosine_quantiles"])
            yield "Quantiles (5, 25, 50, 75, 95 %%) of the cosines of text pairs: %s." % shown
        if details.get(THRESHOLD) is not None:
            yield "Best threshold of the cosine for similar texts: %.3f." % details[THRESHOLD]
        if details.get("mean_cosine", 0.0) > COLLAPSED:
            yield (
                "Warning: the mean cosine of different texts is %.3f: vectors have collapsed, try "
                "a lower --learning_rate." % details["mean_cosine"]
            )
        yield ""
        columns = ("text_a", "text_b", "label", "cosine")
        if details["errors"]:
            yield "Rows whose cosine is furthest from their label:"
            yield ""
        yield from table(columns, [[error[c] for c in columns] for error in details["errors"]])
