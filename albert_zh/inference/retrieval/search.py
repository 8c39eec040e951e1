"""Finds the lines of a text file that are most similar to a query.

with TextEncoder(folder) as encoder, Predictor(folder) as predictor:
    corpus = Corpus("faq.txt", encoder)
    for hit in corpus.search(["怎么开户"], predictor, top_k=5)[0]:
        print(hit.score, hit.text)

Candidates are the lines that share most of the query's characters (BM25) and those whose vectors
are nearest to the query's; they are ranked by both similarities and the probability of a pair
classifier, see `ranking`. Full-width letters and digits are read like half-width ones.

Index and vectors are computed once and cached in CORPUS.vectors/; if the file changes, only new
lines are encoded (`corpus_cache`). Among more than 100,000 lines, the nearest are found with faiss
if it is installed; otherwise numpy compares the query with every line.
"""

import collections
import functools
import hashlib
import itertools
import os
import sys
import threading
from typing import Any, List, NamedTuple, Optional, Sequence

import numpy as np

from albert_zh.common import checks, files, line_reader, path_rules, transfer, validation
from albert_zh.common import storage as file_storage
from albert_zh.common.errors import UserError, printable
from albert_zh.inference import arguments, file_cache, input_rows
from albert_zh.inference.retrieval import corpus_cache, search_choice, vector_index
from albert_zh.inference.retrieval.ranking import (
    CANDIDATES,
    RANKINGS,
    TRAINED_WEIGHTS,
    WEIGHTS,
    Candidates,
    Ranking,
    Weights,
    checked_weights,
)
from albert_zh.text import tokenization

__all__ = [
    "APPROXIMATE_FROM",
    "CANDIDATES",
    "Corpus",
    "Hit",
    "QUERIES_AT_ONCE",
    "RANKINGS",
    "TRAINED_WEIGHTS",
    "WEIGHTS",
    "Weights",
    "checked_weights",
]

APPROXIMATE_FROM = vector_index.CLUSTERED_FROM
QUERIES_AT_ONCE = 64
_SAMPLED_SCORES = 16  # a sample of one in so many scores gives a lower bound of the highest scores
_SAMPLED_VECTORS = 10000  # to estimate the mean cosine of two arbitrary lines

Hit = collections.namedtuple("Hit", ["line", "text", "cosine", "probability", "lexical", "score"])
Hit.__doc__ = """A line that was found.

Fields:
    line: line number in the file, from 1.
    text: str.
    cosine: cosine of the line's vector and the query's.
    probability: probability of the pair classifier that it means the same as the query; None if
        there is no classifier or the ranking does not use it.
    lexical: 0 to 1, how much of the query's wording it has (BM25 divided by the query's own BM25).
    score: the value by which lines are ranked. Mixed ranking: 0 to 1, the weighted mean of
        `lexical`, of the square of how far the cosine is above that of two arbitrary lines (0: not
        at all, 1: equal vectors), and of `probability`; reciprocal rank fusion: 0 to 1 (1: first
        by all similarities); other rankings: that similarity itself.
"""


_ENCODER = validation.scalar("a TextEncoder", lambda value: hasattr(value, "encode"))
_PREDICTOR = validation.or_none(
    validation.scalar("a Predictor", lambda value: hasattr(value, "similarities")), "None"
)


class _Lines(NamedTuple):
    """The lines of the file as they were read; several lines may have the same text.

    `texts` [n] and `numbers` int [n] of the lines, from 1; `entries`: the distinct texts; the lines
    `order[starts[i] : starts[i + 1]]` have entry `i` as their text.
    """

    digest: str
    texts: List[str]
    numbers: np.ndarray
    entries: List[str]
    order: np.ndarray
    starts: np.ndarray


class _Contents(NamedTuple):
    """The data that is searched: replaced as a whole if the file changes."""

    lines: _Lines
    cache: corpus_cache.CorpusCache
    cosine_of_any: float
    faiss_index: Optional[vector_index.VectorIndex]  # None: all vectors are compared


def _folder_of_vectors(path):
    """PATH.vectors, or a scratch folder if the file is remote or its folder is read-only."""
    kept, parent = path + ".vectors", os.path.dirname(os.path.abspath(path))
    if file_storage.is_remote(path):
        return transfer.local_stand_in(kept)  # vectors are memory-mapped: local files
    place = kept if os.path.isdir(kept) else parent
    if os.access(place, os.W_OK):
        return kept
    folder = os.path.join(transfer.scratch_folder(parent), os.path.basename(kept))
    note = "note: %s is read-only: vectors are saved in %s" % (place, folder)
    print(printable(note), file=sys.stderr)
    if place == kept:
        file_cache.link_files(os.path.abspath(kept), folder)
    return folder


class Corpus:
    """The lines of a file and their vectors."""

    def __init__(
        self,
        path: str,
        encoder: Any,
        encoding: str = "utf-8",
        cache_dir: Optional[str] = None,
        storage: str = "float32",
    ) -> None:
        """Reads the lines; loads their vectors from the cache, or computes and caches them.

        Args:
            path: text file, one text per line; blank lines are skipped.
            encoder: `TextEncoder` with a pooling.
            encoding: encoding of the file.
            cache_dir: folder for the vectors; default: PATH.vectors, or if that cannot be created,
                a scratch folder (in $ALBERT_ZH_SCRATCH or the folder of temporary files).
            storage: how vectors are stored in memory, one of `vector_index.STORAGES`; results of
                quantized vectors are rescored with the exact vectors of the cache.

        Raises:
            UserError: if the file cannot be read or contains no text.
        """
        arguments.check_arguments(encoding=encoding, cache_dir=cache_dir)
        self._path, self._encoding = arguments.checked_path(path), encoding
        self._encoder = checks.checked("encoder", encoder, _ENCODER)
        if storage not in vector_index.STORAGES:
            raise UserError(
                "storage: unknown %r, expected one of %s" % (storage, vector_index.STORAGES)
            )
        self._storage = storage
        self._oversampling = vector_index.OVERSAMPLING[storage]
        path_rules.check_local(cache_dir or "", "cache_dir=%s" % cache_dir)
        self.folder = path_rules.output_folder(cache_dir or _folder_of_vectors(self._path))
        self._refreshing = threading.Lock()
        self._stamp = _stamp(self._path)
        self._contents = self._read(_lines_of(self._path, encoding))

    def refresh(self) -> bool:
        """Reads the file again if it has changed; only new texts are encoded.

        Searches continue meanwhile, with the previous lines.

        Returns:
            whether its lines have changed.

        Raises:
            UserError: as for opening the file; the previous lines stay in use.
        """
        with self._refreshing:
            stamp = _stamp(self._path)
            if stamp == self._stamp:
                return False
            lines = _lines_of(self._path, self._encoding)
            is_changed = lines.digest != self._contents.lines.digest
            if is_changed:
                self._contents = self._read(lines)
            self._stamp = stamp
            return is_changed

    def _read(self, lines):
        cache = corpus_cache.CorpusCache(self.folder, lines.entries, self._encoder)
        is_large = len(lines.entries) > APPROXIMATE_FROM and vector_index.is_faiss_installed()
        needs_index = self._storage != "float32" or is_large
        index = cache.index(self._storage) if needs_index else None
        return _Contents(lines, cache, _cosine_of_any(cache.vectors), index)

    @property
    def texts(self) -> List[str]:
        """The lines that are not blank."""
        return self._contents.lines.texts

    @property
    def entries(self) -> List[str]:
        """The distinct texts of the lines; "row" of candidates refers to these."""
        return self._contents.lines.entries

    @property
    def usual_weights(self) -> Weights:
        """Default weights: the cosine counts more if the vectors were trained for it."""
        return TRAINED_WEIGHTS if getattr(self._encoder, "notes", None) else WEIGHTS

    def choice(self, predictor: Any = None) -> Optional[search_choice.Choice]:
        """The ranking that was fitted to questions on this corpus, see `search_choice`.

        Args:
            predictor: `Predictor` of sentence pairs that searches with it, or None; a ranking that
                was fitted with another predictor is ignored.
        """
        return search_choice.read(self.folder, *self._fingerprints(predictor))

    def keep_choice(self, choice: search_choice.Choice, predictor: Any = None) -> None:
        """Saves a ranking for later searches in this corpus with this encoder and predictor."""
        search_choice.write(self.folder, choice, *self._fingerprints(predictor))

    def _fingerprints(self, predictor):
        return self._encoder.fingerprint_of(), predictor.fingerprint_of() if predictor else ""

    def search(
        self,
        queries: Sequence[str],
        predictor: Any = None,
        top_k: int = 5,
        candidates: int = CANDIDATES,
        ranking: str = "mixed",
        weights: Optional[Sequence[float]] = None,
    ) -> List[List[Hit]]:
        """Finds the best lines for each query.

        Args:
            queries: list of str.
            predictor: `Predictor` of sentence pairs; None: rankings of several similarities work
                without it.
            top_k: maximum number of lines per query.
            candidates: number of lines per query that the predictor scores.
            ranking: name of the ranking, one of `RANKINGS`.
            weights: weights of the mixed ranking, as `Weights`; only their proportions matter;
                default: `usual_weights`.

        Returns:
            list (one per query) of lists of `Hit`, best first.

        Raises:
            UserError: for an unknown ranking, invalid weights, or values that are no texts.
        """
        arguments.check_arguments(top_k=top_k, candidates=candidates)
        checks.checked("predictor", predictor, _PREDICTOR)
        weights = self.usual_weights if weights is None else checked_weights(weights)
        chosen = Ranking(ranking, weights, top_k, candidates)
        if ranking == "classifier" and predictor is None:
            raise UserError("ranking: 'classifier' needs a predictor of sentence pairs")
        contents = self._contents
        queries = _checked_queries(queries)
        found = self._candidates(contents, queries, chosen.num_candidates, chosen.name)
        return [
            _hits(contents.lines, chosen.ranked(of_query, classify), top_k)
            for query, of_query in zip(queries, found)
            for classify in [_classification(query, contents.lines.entries, predictor)]
        ]

    def candidates(self, queries: Sequence[str], count: int = CANDIDATES) -> List[Candidates]:
        """Returns the candidates of each query, in no order, see `ranking`.

        Args:
            queries: list of str.
            count: number of candidates by each similarity.
        """
        return list(self._candidates(self._contents, _checked_queries(queries), count, "mixed"))

    def _candidates(self, contents, queries, count, ranking):
        for start in range(0, len(queries), QUERIES_AT_ONCE):
            group = queries[start : start + QUERIES_AT_ONCE]
            vectors = self._vectors_of_queries(group)
            nearest = itertools.repeat(np.zeros(0, np.int64))
            if ranking != "lexical":
                nearest = self._nearest(contents, vectors, count)
            for query, vector, rows in zip(group, vectors, nearest):
                yield _candidates_of(contents, query, vector, rows, count, ranking)

    def _vectors_of_queries(self, queries):
        """Vectors [q, W]; 0 for queries of unknown pieces only, whose vectors would be equal."""
        vectors = corpus_cache.encoded(self._encoder, queries)
        for row, query in enumerate(queries):
            pieces = self._encoder.tokenizer.tokenize(corpus_cache.as_read(query))
            if set(pieces) <= {tokenization.UNKNOWN}:
                note = "note: the vocabulary has no piece of %s: only its wording is compared"
                print(printable(note % validation.shown(query)), file=sys.stderr)
                vectors[row] = 0
        return vectors

    def _nearest(self, contents, vectors, count):
        """Yields int [k] for each query: rows of the entries with the nearest vectors."""
        count = min(count, len(contents.lines.entries))
        exact = functools.partial(vector_index.nearest_by_numpy, contents.cache.vectors)
        if contents.faiss_index is None:
            yield from exact(vectors, count)[0]
            return
        wanted = min(count * self._oversampling, len(contents.lines.entries))
        for vector, ids in zip(vectors, contents.faiss_index.nearest(vectors, wanted)):
            rows = contents.cache.rows(ids[ids >= 0])
            if len(rows) < count:  # too few in the probed clusters
                rows = exact(vector[None], count)[0][0]
            cosines = contents.cache.vectors[np.sort(rows)] @ vector
            yield np.sort(rows)[np.argsort(-cosines, kind="stable")[:count]]


def _classification(query, entries, predictor):
    """A function from rows of entries to probabilities; None if there is no predictor."""
    if predictor is None:
        return None
    query, read = corpus_cache.as_read(query), corpus_cache.as_read
    return lambda rows: predictor.similarities([(query, read(entries[row])) for row in rows])


def _hits(lines, candidates, top_k) -> List[Hit]:
    """Converts ranked candidates to hits of lines."""
    names = ("row", "cosine", "probability", "lexical", "score")
    nothing = np.full(len(candidates["row"]), None)
    hits = []
    for row, *similarities in zip(*[candidates.get(name, nothing).tolist() for name in names]):
        for line in lines.order[lines.starts[row] : lines.starts[row + 1]]:
            hits.append(Hit(int(lines.numbers[line]), lines.entries[row], *similarities))
    return hits[:top_k]


def _candidates_of(contents, query, vector, nearest, count, ranking) -> Candidates:
    """The candidates of a query: rows and similarities."""
    lexical = contents.cache.lexical.scores(query)
    rows = nearest
    if ranking != "cosine":
        rows = np.union1d(_highest(lexical, min(count, len(lexical))), nearest)
    cosines = contents.cache.vectors[rows] @ vector
    gains = (cosines - contents.cosine_of_any) / (1 - contents.cosine_of_any)
    gains = np.clip(gains, 0, 1) ** 2  # only high cosines are informative
    return {"row": rows, "lexical": lexical[rows], "cosine": cosines, "gain": gains}


def _checked_queries(queries):
    pairs = input_rows.checked_texts(queries)
    for index, (_, text_b) in enumerate(pairs):
        if text_b is not None:
            raise UserError("text %d is a pair, expected a query, a single text" % index)
    queries = [query.strip() for query, _ in pairs]  # lines are stripped as well
    if not all(queries):
        raise UserError("text %d is empty, expected a query" % queries.index(""))
    return queries


def _stamp(path):
    """Modification time and size of a file; None if it does not exist."""
    try:
        if file_storage.is_remote(path):
            return file_storage.fingerprint(path)
        status = os.stat(path)
    except OSError:
        return None
    return status.st_mtime_ns, status.st_size, status.st_ino


def _lines_of(path, encoding):
    content = hashlib.sha256()
    lines = enumerate(files.stream_lines(path, encoding, digest=content), start=1)
    numbered = [(number, line.strip()) for number, line in lines if line.strip()]
    if not numbered:
        raise UserError("%s has no text: expected a line for each text" % path)
    line_reader.check_is_no_table(path, numbered[0][1], way_out="")
    texts = [text for _, text in numbered]
    num_tabs = sum("\t" in text for text in texts)
    if 2 * num_tabs >= len(texts):
        note = "note: %s: %d of %d lines have tabs, and each line is searched as one text: of a "
        note += "table keep the column to search in (cut -f1)"
        print(printable(note % (path, num_tabs, len(texts))), file=sys.stderr)
    entries = {}
    rows = np.array([entries.setdefault(text, len(entries)) for text in texts])
    order = np.argsort(rows, kind="stable")
    starts = np.searchsorted(rows[order], np.arange(len(entries) + 1))
    numbers = np.array([number for number, _ in numbered])
    return _Lines(content.hexdigest(), texts, numbers, list(entries), order, starts)


def _cosine_of_any(vectors):
    """The mean cosine of two different vectors, estimated from a sample, below 1."""
    sample = vectors[:: -(-len(vectors) // _SAMPLED_VECTORS)]
    total, count = sample.sum(axis=0), len(sample)
    of_others = float(total @ total) - float(np.square(sample).sum())
    return min(max(0.0, of_others / max(1, count * (count - 1))), 0.999)


def _highest(scores, k):
    """Indices of the k highest scores."""
    sample = scores[::_SAMPLED_SCORES]
    if len(sample) <= k:
        return np.argpartition(-scores, k - 1)[:k]
    least = np.partition(sample, -k)[-k]  # k scores are not below it
    rows = np.flatnonzero(scores >= least)
    return rows[np.argpartition(-scores[rows], k - 1)[:k]]
