"""Ranks the candidates of a search by their similarities to the query.

    ranking = Ranking("mixed", WEIGHTS, top_k=5, candidates=50)
    best = ranking.ranked(candidates, classify)

Candidates are arrays of equal length by name: "row" (row numbers), "lexical", "cosine", "gain" (the
cosine's contribution to a sum: the square of how far it is above the cosine of two arbitrary lines)
and, as far as known, the "probability" of a pair classifier.
"""

import collections
from typing import Callable, Dict, Optional, Sequence

import numpy as np

from albert_zh.common.errors import UserError

# The rankings: a weighted mean, reciprocal rank fusion, or a single similarity.
RANKINGS = ("mixed", "reciprocal_rank", "lexical", "cosine", "classifier")
CANDIDATES = 50  # per query, scored by the pair classifier
RANK_CONSTANT = 60  # of reciprocal rank fusion (Cormack, Clarke, Buettcher 2009)

Weights = collections.namedtuple("Weights", ["lexical", "cosine", "classifier"])
Weights.__doc__ = """Weights of the similarities in the mixed ranking; see `search.Hit`."""
# Chosen with benchmarks/search.py on the bundled questions and five public sets of pairs, see
# docs/search.md.
WEIGHTS = Weights(0.8, 0.1, 0.1)
TRAINED_WEIGHTS = Weights(0.6, 0.3, 0.1)  # for an embedding model

Candidates = Dict[str, np.ndarray]


class Ranking:
    """A ranking of candidates."""

    def __init__(
        self,
        name: str = "mixed",
        weights: Weights = WEIGHTS,
        top_k: int = 5,
        candidates: int = CANDIDATES,
    ) -> None:
        """Initializes the ranking and checks the arguments.

        Args:
            name: one of `RANKINGS`.
            weights: weights of the mixed ranking; only their proportions matter.
            top_k: number of candidates to return.
            candidates: number of candidates that the classifier scores.

        Raises:
            UserError: for an unknown ranking or invalid weights.
        """
        if name not in RANKINGS:
            raise UserError("ranking: unknown %r, expected one of %s" % (name, RANKINGS))
        weights = checked_weights(weights)
        self.name, self.top_k = name, top_k
        self.asks_classifier = name in ("classifier", "reciprocal_rank") or (
            name == "mixed" and weights.classifier > 0
        )
        # Lines with equal wording are ranked by their cosines, so more than top_k are compared.
        self.num_candidates = top_k if name == "cosine" else max(top_k, candidates)
        self._weights = dict(zip(("lexical", "gain", "probability"), weights))

    def ranked(
        self,
        candidates: Candidates,
        classify: Optional[Callable[[np.ndarray], np.ndarray]] = None,
    ) -> Candidates:
        """Returns the best candidates in descending order, with "score" (and "probability").

        Args:
            candidates: candidates without "probability".
            classify: function of "row" -> probability that each line means the same; None if there
                is no classifier.
        """
        if classify is not None and self.asks_classifier:
            candidates = self._best(candidates, self.num_candidates)
            candidates["probability"] = classify(candidates["row"])
        return self._best(candidates, self.top_k)

    def _best(self, candidates, k):
        candidates = dict(candidates, score=self._scores(candidates))
        order = np.lexsort([candidates["row"], -candidates["cosine"], -candidates["score"]])[:k]
        return {name: column[order] for name, column in candidates.items()}

    def _scores(self, candidates):
        if self.name == "classifier":
            if "probability" in candidates:
                return candidates["probability"]
            names = ("lexical", "gain")
            return _weighted_mean(candidates, {name: self._weights[name] for name in names})
        if self.name == "mixed":
            return _weighted_mean(candidates, self._weights)
        if self.name == "reciprocal_rank":
            return _fused_ranks(candidates)
        return candidates[self.name]


def _weighted_mean(candidates, weights):
    weights = {name: weight for name, weight in weights.items() if name in candidates}
    total = sum(weights.values())
    return sum(weight / total * candidates[name] for name, weight in weights.items())


def _fused_ranks(candidates):
    """Mean of 1 / (60 + rank) by each similarity, divided by its value for rank 1."""
    columns = [
        candidates[name] for name in ("lexical", "cosine", "probability") if name in candidates
    ]
    ranks = [np.sort(-column).searchsorted(-column) + 1 for column in columns]  # ties: best rank
    return np.mean([(RANK_CONSTANT + 1) / (RANK_CONSTANT + rank) for rank in ranks], axis=0)


def checked_weights(weights: Sequence[float]) -> Weights:
    """The `Weights` of three numbers; raises `UserError` for invalid values."""
    proportions = tuple(weights)
    are_numeric = [isinstance(weight, (int, float)) for weight in proportions]
    if (
        len(proportions) != 3
        or not all(are_numeric)
        or not all(0 <= v < np.inf for v in proportions)
        or sum(proportions) == np.inf
    ):
        raise UserError(
            "search weights: found %r, expected 3 numbers from 0 on: lexical, cosine, classifier"
            % (proportions,)
        )
    if not sum(proportions[:2]):
        raise UserError(
            "search weights: lexical and cosine are both 0: choose the ranking 'classifier'"
        )
    return Weights(*proportions)
