"""Finds the lines of a text file that are most like a query.

with TextEncoder(folder) as encoder, Predictor(folder) as predictor:
    corpus = Corpus("faq.txt", encoder)
    for hit in corpus.search(["怎么开户"], predictor, top_k=5)[0]:
        print(hit.score, hit.text)

Candidates are the lines that share most of the query's characters (BM25) and those whose vectors
are nearest to its own; both similarities and a pair classifier's probability, weighted, rank them.

Index and vectors are computed once and kept in CORPUS.vectors/ with a fingerprint of all they were
made from. Of more than 100,000 lines the nearest are found by hnswlib or faiss where one of them is
installed, else by numpy, which compares with every line.
"""

import collections
import contextlib
import functools
import glob
import hashlib
import itertools
import os
import threading
from typing import Any, List, Optional, Sequence, Tuple

import numpy as np

from albert_zh.common import files, path_rules, validation
from albert_zh.common.errors import UserError
from albert_zh.common.progress import progress_bar
from albert_zh.inference import file_cache, lexical_index, loaded_model

__all__ = [
    "APPROXIMATE_FROM",
    "CANDIDATES",
    "Corpus",
    "Hit",
    "INDEX",
    "LINES_AT_ONCE",
    "QUERIES_AT_ONCE",
    "RANKINGS",
    "VECTORS_AT_ONCE",
    "WEIGHTS",
    "Weights",
    "checked_weights",
    "nearest_by_numpy",
]

LINES_AT_ONCE = 2048
VECTORS_AT_ONCE = 65536
APPROXIMATE_FROM = 100000
CANDIDATES = 50  # per query, that the pair classifier scores
QUERIES_AT_ONCE = 64
VECTORS, LEXICAL = "vectors.npy", "lexical.npz"
INDEX = "texts_%s."  # of other vectors: another name, as who still uses those may write one
RANKINGS = ("mixed", "lexical", "cosine", "classifier")
_SAMPLED_VECTORS = 10000  # by which it is known how similar any two lines are

Weights = collections.namedtuple("Weights", ["lexical", "cosine", "classifier"])
Weights.__doc__ = """What each similarity counts in the mixed ranking; see `Hit`."""
# By benchmarks/search.py on the bundled questions and five public sets of pairs: docs/search.md.
WEIGHTS = Weights(0.8, 0.1, 0.1)

_NEIGHBOURS_PER_LINE = 16
_BUILD_EFFORT = 200
_SEARCH_EFFORT = 200

Hit = collections.namedtuple("Hit", ["line", "text", "cosine", "probability", "lexical", "score"])
Hit.__doc__ = """A line that was found.

Fields:
    line: its number in the file, from 1.
    text: str.
    cosine: of its vector and the query's.
    probability: that it means the same as the query, by the pair classifier; None without one, or
        where the ranking does not use it.
    lexical: 0 to 1, how much of the query's wording it has (BM25 over that of the query itself).
    score: what the lines are ranked by. Of the mixed ranking, 0 to 1: the weighted mean of
        `lexical`, of the square of how far the cosine is above that of any two lines (0: not at
        all, 1: equal vectors), and of `probability`; of the other rankings that similarity itself.
"""


_ENCODER = validation.scalar("a TextEncoder", lambda value: hasattr(value, "fingerprint_of"))
_PREDICTOR = validation.or_none(
    validation.scalar("a Predictor", lambda value: hasattr(value, "similarities")), "None"
)


class Corpus:
    """The lines of a file and their vectors."""

    def __init__(
        self, path: str, encoder: Any, encoding: str = "utf-8", cache_dir: Optional[str] = None
    ) -> None:
        """Reads the lines; takes their vectors from the cache, or computes and keeps them.

        Args:
            path: text file, a line per text; blank lines are left out.
            encoder: `TextEncoder` with a pooling.
            encoding: of the file.
            cache_dir: folder for the vectors; PATH.vectors by default.

        Raises:
            UserError: if the file cannot be read or has no text.
        """
        loaded_model.check_arguments(encoding=encoding, cache_dir=cache_dir)
        path = loaded_model.checked_path(path)
        self._encoder = validation.checked("encoder", encoder, _ENCODER)
        content = hashlib.sha256()
        lines = enumerate(files.stream_lines(path, encoding, digest=content), start=1)
        numbered = [(index, line.strip()) for index, line in lines if line.strip()]
        if not numbered:
            raise UserError("%s has no text: expected a line for each text" % path)
        self.numbers = np.array([index for index, _ in numbered])
        self.texts = [text for _, text in numbered]
        for name in (path, cache_dir or ""):
            path_rules.check_local(name)
        self._folder = path_rules.output_folder(cache_dir or path + ".vectors")
        made_from = encoder.fingerprint_of(
            corpus=content.hexdigest(), encoding=encoding, lexical=lexical_index.SETTINGS
        )
        self._index_name = INDEX % hashlib.sha256(made_from.encode()).hexdigest()[:12]
        with files.one_at_a_time(self._folder):
            self._load(made_from)
        self._cosine_of_any = _cosine_of_any(self._vectors)
        self._nearest_function = None  # made by the first search
        self._making = threading.Lock()

    def _load(self, fingerprint):
        """Reads vectors and lexical index, or makes what is missing or not as it was written."""
        self._cache = cache = file_cache.FileCache(self._folder, fingerprint)
        if not cache.is_valid(VECTORS):
            self._compute_vectors()
        if not cache.is_valid(LEXICAL):
            cache.forget(LEXICAL)
            with files.whole_file(cache.path(LEXICAL)) as partial:
                lexical_index.LexicalIndex.build(self.texts).save(partial)
            cache.add(LEXICAL)
        self._vectors = np.load(cache.path(VECTORS), mmap_mode="r")  # [n, W], read as needed
        self._lexical = lexical_index.LexicalIndex.load(cache.path(LEXICAL))

    def _compute_vectors(self):
        indices = glob.glob(os.path.join(glob.escape(self._folder), INDEX % "*" + "*"))
        for name in [VECTORS] + [os.path.basename(path) for path in indices]:
            self._cache.forget(name)
        bar = progress_bar("vectors", len(self.texts), "line", leave=False)
        with files.whole_file(self._cache.path(VECTORS)) as partial, bar:
            vectors = np.lib.format.open_memmap(
                partial, "w+", np.float32, (len(self.texts), self._encoder.width)
            )
            for start in range(0, len(self.texts), LINES_AT_ONCE):
                texts = self.texts[start : start + LINES_AT_ONCE]
                vectors[start : start + len(texts)] = self._encode(texts)
                bar.update(len(texts))
            vectors.flush()
            del vectors
        self._cache.add(VECTORS)

    def _encode(self, texts):
        vectors = self._encoder.encode(texts, normalize=True)
        if not np.isfinite(vectors).all():
            raise UserError("the model's vectors are no numbers: its weights are damaged")
        return vectors

    def search(
        self,
        queries: Sequence[str],
        predictor: Any = None,
        top_k: int = 5,
        candidates: int = CANDIDATES,
        ranking: str = "mixed",
        weights: Sequence[float] = WEIGHTS,
    ) -> List[List[Hit]]:
        """The best lines for each query.

        Args:
            queries: list of str.
            predictor: `Predictor` of sentence pairs; None: the mixed ranking does without it.
            top_k: lines per query, at most.
            candidates: lines per query that the predictor scores.
            ranking: what decides, one of `RANKINGS`.
            weights: of the mixed ranking, as `Weights`; only their proportions matter.

        Returns:
            list (one per query) of lists of `Hit`, the best first.

        Raises:
            UserError: for an unknown ranking, weights that are none, no texts.
        """
        loaded_model.check_arguments(top_k=top_k, candidates=candidates)
        validation.checked("predictor", predictor, _PREDICTOR)
        if ranking not in RANKINGS:
            raise UserError("ranking: unknown %r, expected one of %s" % (ranking, RANKINGS))
        if ranking == "classifier" and predictor is None:
            raise UserError("ranking: 'classifier' needs a predictor of sentence pairs")
        rank = _Ranking(ranking, checked_weights(weights), predictor, top_k, candidates)
        pairs = loaded_model.checked_texts(queries)
        for index, (_, text_b) in enumerate(pairs):
            if text_b is not None:
                raise UserError("text %d is a pair, expected a query, a single text" % index)
        queries = [query for query, _ in pairs]
        groups = (
            queries[start : start + QUERIES_AT_ONCE]
            for start in range(0, len(queries), QUERIES_AT_ONCE)
        )
        hits = (self._search(group, rank) for group in groups)
        return list(itertools.chain.from_iterable(hits))

    def _search(self, queries, ranking):
        vectors = self._encode(queries)
        num_wanted = min(ranking.num_candidates, len(self.texts))
        rows = [None] * len(queries)
        if ranking.name != "lexical":
            rows = self._nearest(vectors, num_wanted)[0]
        return [
            self._hits(query, vector, nearest, ranking)
            for query, vector, nearest in zip(queries, vectors, rows)
        ]

    def _hits(self, query, vector, nearest, ranking) -> List[Hit]:
        """The best lines for a query.

        Args:
            query: str.
            vector: float [W].
            nearest: int [k], the lines whose vectors are nearest to it; None if not asked for.
            ranking: `_Ranking`.
        """
        lexical = self._lexical.scores(query)
        rows = nearest
        if ranking.name in ("mixed", "lexical"):
            rows = _highest(lexical, min(ranking.num_candidates, len(lexical)))
            rows = rows if nearest is None else np.union1d(rows, nearest)
        candidates = {"row": rows, "lexical": lexical[rows], "cosine": self._vectors[rows] @ vector}
        gains = (candidates["cosine"] - self._cosine_of_any) / (1 - self._cosine_of_any)
        candidates["gain"] = np.clip(gains, 0, 1) ** 2  # only vectors close to the query's say much
        candidates = ranking.best(candidates, ranking.num_candidates)
        if ranking.predictor is not None:
            pairs = [(query, self.texts[row]) for row in candidates["row"]]
            candidates["probability"] = ranking.predictor.similarities(pairs)
        candidates = ranking.best(candidates, ranking.top_k)
        columns = [candidates[name].tolist() for name in ("row", "cosine", "lexical", "score")]
        probabilities = candidates.get(
            "probability", np.full(len(candidates["row"]), None)
        ).tolist()
        return [
            Hit(int(self.numbers[row]), self.texts[row], cosine, probability, overlap, score)
            for row, cosine, overlap, score, probability in zip(*columns, probabilities)
        ]

    def _nearest(self, queries, k):
        """(indices, cosines), [q, k] each, the highest cosine first."""
        with self._making:
            if self._nearest_function is None:
                self._nearest_function = self._make_nearest_function()
        return self._nearest_function(queries, k)

    def _make_nearest_function(self):
        """The function of `_nearest`, with the index in memory if there is to be one.

        Many equal vectors would be neighbours of one another alone, and hide others: a text that
        occurs in several lines is in the index once.
        """
        exact = functools.partial(nearest_by_numpy, self._vectors)
        lines = collections.defaultdict(list)
        for index, text in enumerate(self.texts):
            lines[text].append(index)
        lines = list(lines.values())
        if len(lines) > APPROXIMATE_FROM:
            rows = np.array([numbers[0] for numbers in lines])
            kinds = {"hnswlib": _nearest_by_hnswlib, "faiss": _nearest_by_faiss}
            for name, nearest in kinds.items():
                with contextlib.suppress(ImportError):
                    of_texts = self._kept_index(self._index_name + name, nearest, rows)
                    return functools.partial(_nearest_lines, of_texts, lines, exact)
        return exact

    def _kept_index(self, name, nearest, rows):
        """The function that a library's index gives, which is made unless it is kept already."""
        with files.one_at_a_time(self._folder):
            is_kept = self._cache.is_valid(name)
            if not is_kept:
                self._cache.forget(name)
            function = nearest(self._vectors, rows, self._cache.path(name))
            if not is_kept and os.path.exists(self._cache.path(name)):
                self._cache.add(name)
        return function


class _Ranking:
    """What makes candidates the best lines; a candidate's values are those of a row of arrays."""

    def __init__(self, name, weights, predictor, top_k, candidates):
        self.name, self.top_k = name, top_k
        self._weights = dict(zip(("lexical", "gain", "probability"), weights))
        is_asked = name == "classifier" or (name == "mixed" and weights.classifier)
        self.predictor = predictor if is_asked else None
        self.num_candidates = max(top_k, candidates) if name in ("mixed", "classifier") else top_k

    def best(self, candidates, k):
        """The best candidates by what is known of them.

        Args:
            candidates: {name: array [n]}.
            k: how many.

        Returns:
            the same of the k best, the best first, with their "score".
        """
        candidates = dict(candidates, score=self._scores(candidates))
        order = np.lexsort([candidates["row"], -candidates["cosine"], -candidates["score"]])[:k]
        return {name: column[order] for name, column in candidates.items()}

    def _scores(self, candidates):
        if self.name == "classifier":  # the nearest are its candidates
            return candidates.get("probability", candidates["cosine"])
        if self.name != "mixed":
            return candidates[self.name]
        weights = {name: weight for name, weight in self._weights.items() if name in candidates}
        total = sum(weights.values())
        return sum(weight / total * candidates[name] for name, weight in weights.items())


def checked_weights(weights: Sequence[float]) -> Weights:
    """The `Weights` of three numbers; raises `UserError` for what are none."""
    proportions = tuple(weights)
    are_numeric = [isinstance(weight, (int, float)) for weight in proportions]
    if (
        len(proportions) != 3
        or not all(are_numeric)
        or not all(0 <= v < np.inf for v in proportions)
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


def _cosine_of_any(vectors):
    """The mean cosine of any two of the vectors, by some of them, short of 1."""
    sample = vectors[:: -(-len(vectors) // _SAMPLED_VECTORS)]
    mean = sample.mean(axis=0)
    return min(max(0.0, float(mean @ mean)), 0.999)


def _highest(scores, k):
    """Indices of the k highest scores."""
    return np.argpartition(-scores, k - 1)[:k]


def _nearest_lines(nearest, lines, exact, queries, k):
    """The same as `nearest_by_numpy` by the nearest texts, each of which occurs in some lines."""
    indices = np.zeros([len(queries), k], np.int64)
    cosines = np.zeros([len(queries), k], np.float32)
    for index, (texts, cosines_of_texts) in enumerate(zip(*nearest(queries, k))):
        exists = texts >= 0
        lines_of_texts = [lines[text] for text in texts[exists]]
        of_query = np.concatenate(lines_of_texts)[:k] if lines_of_texts else ()
        if len(of_query) < k:
            indices[index], cosines[index] = (a[0] for a in exact(queries[index][None], k))
        else:
            indices[index] = of_query
            cosines[index] = np.repeat(cosines_of_texts[exists], list(map(len, lines_of_texts)))[:k]
    return indices, cosines


def nearest_by_numpy(
    vectors: np.ndarray, queries: np.ndarray, k: int
) -> Tuple[np.ndarray, np.ndarray]:
    """The k vectors with the highest cosines, by comparing with each.

    Args:
        vectors: float [n, W], 1 long each.
        queries: float [q, W], 1 long each.
        k: int, at most n.

    Returns:
        (int [q, k], float [q, k]): indices and cosines, the highest first.
    """
    best = np.full([len(queries), 0], -np.inf, np.float32)
    indices = np.zeros([len(queries), 0], np.int64)
    for start in range(0, len(vectors), VECTORS_AT_ONCE):
        cosines = queries @ vectors[start : start + VECTORS_AT_ONCE].T  # [q, block]
        best = np.concatenate([best, cosines], axis=1)
        numbers = np.arange(start, start + cosines.shape[1])
        indices = np.concatenate([indices, np.broadcast_to(numbers, cosines.shape)], axis=1)
        if best.shape[1] > k:
            kept = np.argpartition(-best, k - 1, axis=1)[:, :k]
            best, indices = (np.take_along_axis(a, kept, 1) for a in (best, indices))
    order = np.lexsort([indices, -best])
    return np.take_along_axis(indices, order, 1), np.take_along_axis(best, order, 1)


def _nearest_by_hnswlib(vectors, rows, path):
    """A function as `nearest_by_numpy`, but for the vectors, of some rows; -1 where none is near.

    Its index is kept at `path`.
    """
    import hnswlib

    index = hnswlib.Index(space="ip", dim=vectors.shape[1])
    if os.path.exists(path):
        index.load_index(path, max_elements=len(rows))
    else:
        index.init_index(len(rows), ef_construction=_BUILD_EFFORT, M=_NEIGHBOURS_PER_LINE)
        for block in _blocks_with_bar(vectors, rows):
            index.add_items(block)
        with files.whole_file(path) as partial:
            index.save_index(partial)

    def nearest(queries, k):
        index.set_ef(max(_SEARCH_EFFORT, k))
        try:
            indices, distances = index.knn_query(queries, k)
        except RuntimeError:  # it finds less than k of them for one of the queries
            return np.full([len(queries), k], -1), np.zeros([len(queries), k])
        return indices.astype(np.int64), 1.0 - distances

    return nearest


def _nearest_by_faiss(vectors, rows, path):
    """The same with faiss."""
    import faiss

    if os.path.exists(path):
        index = faiss.read_index(path)
    else:
        index = faiss.IndexHNSWFlat(
            vectors.shape[1], _NEIGHBOURS_PER_LINE, faiss.METRIC_INNER_PRODUCT
        )
        index.hnsw.efConstruction = _BUILD_EFFORT
        for block in _blocks_with_bar(vectors, rows):
            index.add(block)
        with files.whole_file(path) as partial:
            faiss.write_index(index, partial)

    def nearest(queries, k):
        index.hnsw.efSearch = max(_SEARCH_EFFORT, k)
        cosines, indices = index.search(queries, k)
        return indices, cosines

    return nearest


def _blocks_with_bar(vectors, rows):
    with progress_bar("index", len(rows), "line", leave=False) as bar:
        for start in range(0, len(rows), LINES_AT_ONCE):
            block = vectors[rows[start : start + LINES_AT_ONCE]]
            yield block
            bar.update(len(block))
