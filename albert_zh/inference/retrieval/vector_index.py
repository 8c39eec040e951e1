"""Finds the nearest vectors, by comparing with all vectors or with an index of faiss.

    index = VectorIndex.build(vectors, ids, "int8")
    index.update(vectors_of_new, new_ids, deleted_ids)  # without a rebuild
    rows = index.nearest(queries, 50)  # ids [q, 50]

An index stores float32, int8 (312 bytes per vector of width 312) or binary vectors (39 bytes); for
exact cosines, its results must be rescored with the float vectors. Up to `CLUSTERED_FROM` vectors,
it compares with all of them; beyond that, only with the nearest clusters (inverted lists).
"""

from typing import Any, Optional, Tuple

import numpy as np

from albert_zh.common import library_logs, package_files
from albert_zh.common.errors import UserError
from albert_zh.common.progress import progress_bar

STORAGES = ("float32", "int8", "binary")
OVERSAMPLING = {"float32": 1, "int8": 2, "binary": 8}  # vectors to rescore per requested one
VECTORS_AT_ONCE = 65536
CLUSTERED_FROM = 100000
REBUILT_FROM = 0.5  # added texts, as a share of the texts that were clustered
_PROBED = 16  # one in so many clusters is searched
_TRAINING_VECTORS = 64  # per cluster
_LEAST_TRAINING = 10000  # to fit the ranges of int8
_FACTORIES = {"float32": "Flat", "int8": "SQ8"}


class VectorIndex:
    """A faiss index whose entries have 64-bit ids."""

    def __init__(self, index: Any, storage: str) -> None:
        """`index`: faiss index, as created by `build`; `storage`: one of `STORAGES`."""
        self._index, self._storage = index, storage

    @classmethod
    def build(cls, vectors: np.ndarray, ids: np.ndarray, storage: str) -> "VectorIndex":
        """Builds an index of vectors.

        Args:
            vectors: float32 [n, W], each of length 1; may be memory-mapped.
            ids: int64 [n], all different.
            storage: how the index stores them, one of `STORAGES`.

        Raises:
            UserError: if faiss is not installed.
        """
        faiss = imported_faiss()
        width = vectors.shape[1]
        num_clusters = int(len(vectors) ** 0.5) if len(vectors) > CLUSTERED_FROM else 0
        if storage == "binary":
            bits = -(-width // 8) * 8
            if num_clusters:
                index = faiss.index_binary_factory(bits, "BIVF%d" % num_clusters)
            else:
                index = faiss.IndexBinaryIDMap2(faiss.IndexBinaryFlat(bits))
        else:
            form = "IVF%d,%s" % (num_clusters, _FACTORIES[storage])
            form = form if num_clusters else "IDMap2,%s" % _FACTORIES[storage]
            index = faiss.index_factory(width, form, faiss.METRIC_INNER_PRODUCT)
        made = cls(index, storage)
        wanted = min(len(vectors), max(num_clusters * _TRAINING_VECTORS, _LEAST_TRAINING))
        sample = np.sort(np.random.RandomState(0).permutation(len(vectors))[:wanted])
        index.train(made._codes(vectors[sample]))
        made.update(vectors, ids)
        return made

    @classmethod
    def load(cls, path: str, storage: str) -> "VectorIndex":
        """Reads an index that `save` has written."""
        faiss = imported_faiss()
        read = faiss.read_index_binary if storage == "binary" else faiss.read_index
        try:
            return cls(read(path), storage)
        except RuntimeError as error:
            raise UserError("%s: cannot be read: %s" % (path, _reason(error))) from error

    def save(self, path: str) -> None:
        """Writes the index to a file.

        Raises:
            OSError: if that fails, instead of faiss's RuntimeError.
        """
        faiss = imported_faiss()
        write = faiss.write_index_binary if self._storage == "binary" else faiss.write_index
        try:
            write(self._index, path)
        except RuntimeError as error:
            raise OSError(_reason(error)) from error

    def __len__(self) -> int:
        return self._index.ntotal

    def update(
        self, vectors: np.ndarray, ids: np.ndarray, deleted: Optional[np.ndarray] = None
    ) -> None:
        """Deletes entries and adds new ones.

        Args:
            vectors: float32 [n, W] to add.
            ids: int64 [n], ids of the added vectors.
            deleted: int64 [m], ids to delete first; None: none.
        """
        if deleted is not None and len(deleted):
            self._index.remove_ids(np.asarray(deleted, np.int64))
        with progress_bar("index", len(ids), "line", leave=False) as bar:
            for start in range(0, len(ids), VECTORS_AT_ONCE):
                block = slice(start, start + VECTORS_AT_ONCE)
                self._index.add_with_ids(self._codes(vectors[block]), ids[block])
                bar.update(len(ids[block]))

    def nearest(self, queries: np.ndarray, k: int) -> np.ndarray:
        """Returns the ids of the nearest vectors, nearest first, as exactly as the storage allows.

        Args:
            queries: float32 [q, W], each of length 1.
            k: number of ids per query.

        Returns:
            int64 [q, k]; -1 if fewer are found.
        """
        if hasattr(self._index, "nlist"):
            self._index.nprobe = max(1, self._index.nlist // _PROBED)
        return self._index.search(self._codes(queries), k)[1]

    def _codes(self, vectors):
        vectors = np.ascontiguousarray(vectors, np.float32)
        return np.packbits(vectors > 0, axis=1) if self._storage == "binary" else vectors


def _reason(error):
    """faiss's error message without the source location: "Read-only file system"."""
    return str(error).strip().rsplit(": ", 1)[-1]


def imported_faiss() -> Any:
    """The faiss module; raises `UserError` if it is not installed."""
    try:
        with library_logs.errors_only():
            import faiss
    except ImportError as error:
        raise UserError(
            "quantized vectors and large corpora need faiss (%s): install it with %s"
            % (error, package_files.installation_of("extra"))
        ) from error
    return faiss


def is_faiss_installed() -> bool:
    """Whether faiss indexes can be built."""
    try:
        imported_faiss()
    except UserError:
        return False
    return True


def nearest_by_numpy(
    vectors: np.ndarray, queries: np.ndarray, k: int
) -> Tuple[np.ndarray, np.ndarray]:
    """Finds the k vectors with the highest cosines by comparing with all vectors.

    Args:
        vectors: float [n, W], each of length 1.
        queries: float [q, W], each of length 1.
        k: int, at most n.

    Returns:
        (int [q, k], float [q, k]): indices and cosines, highest first; ties: the lowest index.
    """
    best = np.full([len(queries), 0], -np.inf, np.float32)
    indices = np.zeros([len(queries), 0], np.int64)
    for start in range(0, len(vectors), VECTORS_AT_ONCE):
        cosines = queries @ vectors[start : start + VECTORS_AT_ONCE].T  # [q, block]
        best = np.concatenate([best, cosines], axis=1)
        numbers = np.arange(start, start + cosines.shape[1])
        indices = np.concatenate([indices, np.broadcast_to(numbers, cosines.shape)], axis=1)
        if best.shape[1] > k:
            kept = _columns_of_highest(best, k)
            best, indices = (np.take_along_axis(a, kept, 1) for a in (best, indices))
    order = np.lexsort([indices, -best])
    return np.take_along_axis(indices, order, 1), np.take_along_axis(best, order, 1)


def _columns_of_highest(rows, k):
    """The columns [n, k] of each row's k highest values, ascending; ties: the first columns."""
    lowest = np.partition(rows, -k, axis=1)[:, -k, None]
    is_equal = rows == lowest
    num_equal = k - (rows > lowest).sum(axis=1, keepdims=True)
    is_kept = (rows > lowest) | (is_equal & (is_equal.cumsum(axis=1) <= num_equal))
    return np.nonzero(is_kept)[1].reshape(-1, k)
