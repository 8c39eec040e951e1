"""Finds the lines of a text file that are most like a query: by cosine, then by a pair classifier.

with TextEncoder(folder) as encoder, Predictor(folder) as predictor:
    corpus = Corpus("faq.txt", encoder)
    for hit in corpus.search(["怎么开户"], predictor, top_k=5)[0]:
        print(hit.probability, hit.text)

The corpus' vectors are computed once, and kept in CORPUS.vectors/ with a fingerprint of all they
were made from. Of more than 100,000 lines the nearest are found by hnswlib or faiss where one of
them is installed, else by numpy, which compares with every line.
"""

import collections
import contextlib
import functools
import glob
import hashlib
import itertools
import os
import sys
import threading
from typing import List, Sequence

import numpy as np

from errors import UserError
import files
from progress import progress_bar
import resident

LINES_AT_ONCE = 2048
VECTORS_AT_ONCE = 65536
APPROXIMATE_FROM = 100000
CANDIDATES = 50  # per query, that the pair classifier puts in order
QUERIES_AT_ONCE = 64
VECTORS, FINGERPRINT = "vectors.npy", "fingerprint.json"
INDEX = "texts_%s."  # of other vectors: another name, as who still uses those may write one
_NEIGHBOURS_PER_LINE = 16
_BUILD_EFFORT = 200
_SEARCH_EFFORT = 200

Hit = collections.namedtuple("Hit", ["line", "text", "cosine", "probability"])
Hit.__doc__ = """A line that was found.

Fields:
    line: its number in the file, from 1.
    text: str.
    cosine: of its vector and the query's.
    probability: that it means the same as the query, by the pair classifier.
"""


class Corpus:
    """The lines of a file and their vectors."""

    def __init__(self, path, encoder, encoding="utf-8", cache_dir=None):
        """Reads the lines; takes their vectors from the cache, or computes and keeps them.

        Args:
            path: text file, a line per text; blank lines are left out.
            encoder: `TextEncoder` with a pooling.
            encoding: of the file.
            cache_dir: folder for the vectors; PATH.vectors by default.

        Raises:
            UserError: if the file cannot be read or has no text.
        """
        self._encoder, path = encoder, resident.checked_path(path)
        lines = enumerate(files.stream_lines(path, encoding), start=1)
        numbered = [(number, line.strip()) for number, line in lines if line.strip()]
        if not numbered:
            raise UserError("%s has no text: expected a line for each text" % path)
        self.numbers = np.array([number for number, _ in numbered])
        self.texts = [text for _, text in numbered]
        self._folder = cache_dir or path + ".vectors"
        self._vectors_file = os.path.join(self._folder, VECTORS)
        self._fingerprint_file = os.path.join(self._folder, FINGERPRINT)
        made_from = encoder.fingerprint_of(corpus=files.sha256_of_file(path), encoding=encoding)
        digest = hashlib.sha256(made_from.encode()).hexdigest()[:12]
        self._index_file = os.path.join(self._folder, INDEX % digest)
        with files.one_at_a_time(self._folder):
            self._load(made_from)
        self._nearest_function = None  # made by the first search
        self._making = threading.Lock()

    def _load(self, fingerprint):
        there = os.path.exists(self._fingerprint_file) and os.path.exists(self._vectors_file)
        if not there or files.read_json(self._fingerprint_file) != fingerprint:
            if there:
                print(
                    "note: %s is of another corpus or model: made again" % self._folder,
                    file=sys.stderr,
                )
            self._compute(fingerprint)
        self._vectors = np.load(self._vectors_file, mmap_mode="r")  # [n, W], read as needed

    def _compute(self, fingerprint):
        """Writes the vectors; the fingerprint, which makes them valid, comes last."""
        indices = glob.glob(os.path.join(glob.escape(self._folder), INDEX % "*" + "*"))
        for path in [self._fingerprint_file, self._vectors_file] + indices:
            with contextlib.suppress(FileNotFoundError):
                os.remove(path)
        bar = progress_bar("vectors", len(self.texts), "line", leave=False)
        with files.whole_file(self._vectors_file) as partial, bar:
            vectors = np.lib.format.open_memmap(
                partial, "w+", np.float32, (len(self.texts), self._encoder.width)
            )
            for start in range(0, len(self.texts), LINES_AT_ONCE):
                part = self.texts[start : start + LINES_AT_ONCE]
                vectors[start : start + len(part)] = self._encoder.encode(part, normalize=True)
                bar.update(len(part))
            vectors.flush()
            del vectors
        files.write_json(self._fingerprint_file, fingerprint)

    def search(self, queries: Sequence[str], predictor, top_k=5, candidates=CANDIDATES):
        """The best lines for each query.

        Args:
            queries: list of str.
            predictor: `Predictor` of sentence pairs, which puts the candidates in order; None: the
                cosine does (`probability` of the hits is None then).
            top_k: lines per query, at most.
            candidates: lines per query that the predictor sees.

        Returns:
            list (one per query) of lists of `Hit`, the best first.
        """
        queries = [query for query, _ in resident.checked_texts(queries)]
        groups = (
            queries[start : start + QUERIES_AT_ONCE]
            for start in range(0, len(queries), QUERIES_AT_ONCE)
        )
        found = (self._search(group, predictor, top_k, candidates) for group in groups)
        return list(itertools.chain.from_iterable(found))

    def _search(self, queries, predictor, top_k, candidates):
        num_wanted = min(max(top_k, candidates) if predictor else top_k, len(self.texts))
        vectors = self._encoder.encode(queries, normalize=True)
        indices, cosines = self._nearest(vectors, num_wanted)  # [q, k] each
        if predictor is None:
            return [self._hits(i, c, [None] * len(i)) for i, c in zip(indices, cosines)]
        pairs = [(query, self.texts[i]) for query, row in zip(queries, indices) for i in row]
        probabilities = predictor.similarities(pairs).reshape(indices.shape)
        order = np.lexsort([-cosines, -probabilities])[:, :top_k]
        taken = [np.take_along_axis(a, order, 1) for a in (indices, cosines, probabilities)]
        return [self._hits(*row) for row in zip(*taken)]

    def _hits(self, indices, cosines, probabilities) -> List[Hit]:
        return [
            Hit(int(self.numbers[i]), self.texts[i], float(cosine), p if p is None else float(p))
            for i, cosine, p in zip(indices, cosines, probabilities)
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
        stands in several lines is in the index once.
        """
        exact = functools.partial(nearest_by_numpy, self._vectors)
        lines = collections.defaultdict(list)
        for number, text in enumerate(self.texts):
            lines[text].append(number)
        lines = list(lines.values())
        if len(lines) > APPROXIMATE_FROM:
            rows = np.array([numbers[0] for numbers in lines])
            kinds = {"hnswlib": _nearest_by_hnswlib, "faiss": _nearest_by_faiss}
            for name, nearest in kinds.items():
                with contextlib.suppress(ImportError):
                    of_texts = nearest(self._vectors, rows, self._index_file + name)
                    return functools.partial(_nearest_lines, of_texts, lines, exact)
        return exact


def _nearest_lines(nearest, lines, exact, queries, k):
    """The same as `nearest_by_numpy` by the nearest texts, each of which stands in some lines."""
    indices = np.zeros([len(queries), k], np.int64)
    cosines = np.zeros([len(queries), k], np.float32)
    for number, (texts, values) in enumerate(zip(*nearest(queries, k))):
        is_found = texts >= 0
        found = [lines[text] for text in texts[is_found]]
        of_query = np.concatenate(found)[:k] if found else ()
        if len(of_query) < k:
            indices[number], cosines[number] = (a[0] for a in exact(queries[number][None], k))
        else:
            indices[number] = of_query
            cosines[number] = np.repeat(values[is_found], list(map(len, found)))[:k]
    return indices, cosines


def nearest_by_numpy(vectors, queries, k):
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
