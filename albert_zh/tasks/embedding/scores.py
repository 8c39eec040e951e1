"""Metrics of sentence vectors: correlations for scored pairs, and retrieval metrics."""

from typing import Any, Dict, Iterator, Sequence, Set

import numpy as np

from albert_zh.common.errors import UserError

RANKS = (1, 5, 10, 50)  # the ranks of recall
DEPTH = 10  # the depth of the other retrieval metrics
_CELLS_AT_ONCE = 1 << 23  # similarities of queries and entries that are in memory at a time


def check_labels(path: str, examples: Sequence[Any]) -> None:
    """Raises `UserError` for scored pairs on which no correlation can be computed.

    Args:
        path: the file of the pairs, for the message.
        examples: `text_files.EmbeddingExample`s.
    """
    num_scores = len({example.label for example in examples})
    if num_scores < 2:
        raise UserError(
            "%s: %d rows to evaluate on, with %d different scores: expected at least two "
            "different scores, or positive pairs without scores and --dev_format=positives"
            % (path, len(examples), num_scores)
        )


def pair_scores(similarities: np.ndarray, labels: np.ndarray) -> Dict[str, float]:
    """Correlations of similarities [n] and labels [n]; for two labels also the ROC AUC.

    With only two labels, Spearman's correlation cannot reach 1: at most 0.866 for equal halves.
    """
    from scipy import stats
    from sklearn.metrics import roc_auc_score

    scores = {"spearman": 0.0, "pearson": 0.0}
    if np.ptp(similarities) > 0 and np.ptp(labels) > 0:  # else there is no correlation
        scores["spearman"] = float(stats.spearmanr(similarities, labels)[0])
        scores["pearson"] = float(np.corrcoef(similarities, labels)[0, 1])
    kinds = np.unique(labels)
    if len(kinds) == 2:
        scores["auc"] = float(roc_auc_score(labels == kinds[1], similarities))
    return scores


def best_threshold(similarities: np.ndarray, labels: np.ndarray) -> float:
    """The threshold of similarity that best separates pairs with two different labels."""
    order = np.argsort(-similarities, kind="stable")
    is_alike = labels[order] == labels.max()
    right = np.cumsum(is_alike) + (~is_alike).sum() - np.cumsum(~is_alike)
    found = similarities[order]
    is_last_of_equals = np.append(found[1:] != found[:-1], True)
    return float(found[int(np.where(is_last_of_equals, right, -1).argmax())])


def retrieval_scores(
    similarities: np.ndarray, relevant: Sequence[Set[int]]
) -> Dict[str, np.ndarray]:
    """Retrieval metrics of each query, {name: float [q]}; ties are ranked by position.

    Args:
        similarities: float [q, c].
        relevant: the relevant entries of each query, at least one.

    Returns:
        recall_at_K: share of the relevant entries that are among the first K; mrr_at_10: 1 / rank
        of the first relevant entry; ndcg_at_10: sum of gains 1 / log2(rank + 1) over the best
        possible sum; map_at_10: sum of the precisions at the relevant entries, over min(number of
        relevant entries, 10).
    """
    depth = min(max(RANKS), similarities.shape[1])
    order = np.array([_best_columns(row, depth) for row in -similarities])
    hits = np.array([[c in right for c in row] for row, right in zip(order.tolist(), relevant)])
    counts = np.array([len(right) for right in relevant])
    scores = {"recall_at_%d" % k: hits[:, :k].sum(axis=1) / counts for k in RANKS}
    top = hits[:, :DEPTH]
    ranks = np.arange(1, top.shape[1] + 1)
    scores["mrr_at_10"] = (top / ranks).max(axis=1)
    gains = 1.0 / np.log2(ranks + 1)
    best = np.array([gains[: min(count, DEPTH)].sum() for count in counts])
    scores["ndcg_at_10"] = (top * gains).sum(axis=1) / best
    precisions = np.cumsum(top, axis=1) / ranks
    scores["map_at_10"] = (top * precisions).sum(axis=1) / np.minimum(counts, DEPTH)
    return scores


def _best_columns(distances, depth):
    """The positions of the lowest distances [c], nearest first; the first one of equals."""
    farthest = np.partition(distances, depth - 1)[depth - 1]
    places = np.flatnonzero(~(distances > farthest))  # includes NaN, which comes last
    return places[np.argsort(distances[places], kind="stable")[:depth]]


def _blocks(queries, entries):
    """Yields the products [q, c] of queries [Q, W] with entries [W, c], some queries at a time."""
    at_once = max(1, _CELLS_AT_ONCE // max(1, entries.shape[1]))
    for start in range(0, queries.shape[0], at_once):
        yield queries[start : start + at_once] @ entries


def mean_cosine(vectors: np.ndarray) -> float:
    """Mean cosine of different rows [n, W]: close to 1 if vectors have collapsed."""
    lengths = np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-12)
    total = (vectors / lengths).sum(axis=0)
    count = len(vectors)
    return float((total @ total - count) / (count * (count - 1))) if count > 1 else 0.0


class VectorSimilarity:
    """Cosine similarities of texts by their vectors."""

    def __init__(self, vectors: Dict[str, np.ndarray]) -> None:
        """`vectors`: {text: float [W]}."""
        self._rows = {text: row for row, text in enumerate(vectors)}
        stacked = np.stack(list(vectors.values())).astype(np.float32)
        lengths = np.linalg.norm(stacked, axis=1, keepdims=True)
        self.vectors = stacked / np.maximum(lengths, 1e-12)

    def _of(self, texts):
        return self.vectors[[self._rows[text] for text in texts]]

    def pairs(self, a: Sequence[str], b: Sequence[str]) -> np.ndarray:
        """Cosines of a[i] and b[i], [n]."""
        return np.sum(self._of(a) * self._of(b), axis=1)

    def matrices(self, queries: Sequence[str], entries: Sequence[str]) -> Iterator[np.ndarray]:
        """Yields cosines [q, c] of some queries with all entries, block by block."""
        return _blocks(self._of(queries), self._of(entries).T)


class CharacterTfIdf:
    """Cosines of texts by TF-IDF of character unigrams and bigrams: a baseline without a model."""

    def __init__(self, texts: Sequence[str]) -> None:
        """`texts`: texts from which document frequencies are counted."""
        from sklearn.feature_extraction.text import TfidfVectorizer

        self._vectorizer = TfidfVectorizer(analyzer="char", ngram_range=(1, 2))
        self._vectorizer.fit(texts)

    def _of(self, texts):
        return self._vectorizer.transform(texts)

    def pairs(self, a: Sequence[str], b: Sequence[str]) -> np.ndarray:
        """Like `VectorSimilarity.pairs`."""
        return np.asarray(self._of(a).multiply(self._of(b)).sum(axis=1)).ravel()

    def matrices(self, queries: Sequence[str], entries: Sequence[str]) -> Iterator[np.ndarray]:
        """Like `VectorSimilarity.matrices`."""
        columns = self._of(entries).T.tocsr()  # converted once, not in each product
        return (block.toarray() for block in _blocks(self._of(queries), columns))


class Measured:
    """Rows of a dev or test file on which similarities are evaluated.

    Attributes:
        is_retrieval: whether positives are searched for; otherwise pairs are scored.
        queries, entries: the texts to search for, and the texts that are searched.
    """

    def __init__(self, examples: Sequence[Any], is_retrieval: bool) -> None:
        """`examples`: `text_files.EmbeddingExample`s, including entries of the corpus."""
        self.is_retrieval = is_retrieval
        rows = [example for example in examples if not example.is_entry]
        self._a, self._b = [e.text_a for e in rows], [e.text_b for e in rows]
        self._labels = np.array([e.label for e in rows], np.float64)
        self.queries = list(dict.fromkeys(self._a))
        of_corpus = [example.text_a for example in examples if example.is_entry]
        self.entries = list(dict.fromkeys(self._b + of_corpus))

    def texts(self) -> Sequence[str]:
        """All texts without duplicates."""
        return list(dict.fromkeys(self._a + (self.entries if self.is_retrieval else self._b)))

    def scores(self, similarity: Any, chosen: Any = None) -> Dict[str, float]:
        """{name: value} of the metrics.

        Args:
            similarity: `VectorSimilarity` or `CharacterTfIdf`.
            chosen: bool [rows], the rows to evaluate; None for all.
        """
        chosen = np.ones(len(self._a), bool) if chosen is None else chosen
        if not self.is_retrieval:
            return pair_scores(self.cosines(similarity)[chosen], self._labels[chosen])
        asked = {text for text, is_chosen in zip(self._a, chosen) if is_chosen}
        queries = [text for text in self.queries if text in asked]
        blocks = list(self._scores_of_blocks(similarity, queries))
        return {name: float(np.concatenate([b[name] for b in blocks]).mean()) for name in blocks[0]}

    def _scores_of_blocks(self, similarity, queries):
        """Yields `retrieval_scores` of some queries at a time, to limit the memory."""
        right = self._right_entries()
        positions = {text: column for column, text in enumerate(self.entries)}
        begin = 0
        for similarities in similarity.matrices(queries, self.entries):
            of_block = queries[begin : begin + len(similarities)]
            begin += len(similarities)
            for row, text in enumerate(of_block):  # a query does not find itself
                if text in positions and positions[text] not in right[text]:
                    similarities[row, positions[text]] = -np.inf
            yield retrieval_scores(similarities, [right[text] for text in of_block])

    def threshold(self, similarity: Any) -> Any:
        """`best_threshold` if the pairs have two different labels, otherwise None."""
        if self.is_retrieval or len(np.unique(self._labels)) != 2:
            return None
        return best_threshold(self.cosines(similarity), self._labels)

    def losses(self, similarity: Any) -> np.ndarray:
        """Squared error of each row's cosine with respect to its label scaled to 0..1, [n]."""
        lowest, highest = (
            (0.0, 1.0) if self.is_retrieval else (self._labels.min(), self._labels.max())
        )
        wanted = (self._labels - lowest) / max(highest - lowest, 1e-12)
        return np.square(self.cosines(similarity) - wanted)

    def worst(self, similarity: Any, count: int) -> Sequence[Any]:
        """(loss, text, other text, label, cosine) of the rows with the largest losses."""
        losses, cosines = self.losses(similarity), self.cosines(similarity)
        order = np.argsort(-losses, kind="stable")[:count]
        return [
            (float(losses[i]), self._a[i], self._b[i], float(self._labels[i]), float(cosines[i]))
            for i in order
        ]

    def cosines(self, similarity: Any) -> np.ndarray:
        """Similarities of each row's two texts, [n]."""
        return similarity.pairs(self._a, self._b)

    def _right_entries(self):
        positions = {text: column for column, text in enumerate(self.entries)}
        right = {text: set() for text in self.queries}
        for text, entry in zip(self._a, self._b):
            right[text].add(positions[entry])
        return right
