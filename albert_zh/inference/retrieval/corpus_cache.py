"""Vectors, lexical index and vector index of a corpus, cached in a folder.

Vectors belong to texts, not to lines: if the file changes, only new texts are encoded, and a faiss
index is updated. Existing files stay valid until their replacements are complete. While many new
texts are encoded, each finished block is saved, so that a killed process loses the vectors of at
most `LINES_AT_ONCE` texts.
"""

import glob
import hashlib
import os
from typing import Any, List, Optional, Sequence, Tuple

import numpy as np

from albert_zh.common import folder_locks, partial_files
from albert_zh.common.errors import UserError
from albert_zh.common.progress import progress_bar
from albert_zh.inference import file_cache
from albert_zh.inference.retrieval import lexical_index, vector_index
from albert_zh.text import unicode_text

LINES_AT_ONCE = 2048
# File names, with the hash of the texts that the files are computed from.
VECTORS, IDS = "vectors_%s.npy", "ids_%s.npy"
BLOCK = "block_%s.npy"  # finished vectors of a block; also named by the encoder
LEXICAL, LEXICAL_IDS = "lexical_%s.npz", "words_ids_%s.npy"
INDEX, INDEX_IDS = "index_%s_%s.faiss", "index_%s_%s.npy"
BUILT_OF = "built_of_%s_%s.npy"  # ids of the texts that its clusters and ranges were fitted to


def as_read(text: str) -> str:
    """The text as models read it: few vocabularies have full-width letters."""
    return unicode_text.with_half_width(text)


def ids_of(texts: Sequence[str]) -> np.ndarray:
    """int64 [n]: a hash of each text."""
    hashed = (_hashed(text).encode("utf-8") for text in texts)
    hashes = (hashlib.blake2b(content, digest_size=8) for content in hashed)
    digests = b"".join(digest.digest() for digest in hashes)
    return np.frombuffer(digests, "<i8") & np.int64(2**63 - 1)  # faiss returns -1 for none


def _hashed(text):
    """The text to hash; marked if former versions cached the vector of another reading of it."""
    read = as_read(text)
    return text if read == text else text + "\0" + read


class CorpusCache:
    """The cached files of a corpus."""

    def __init__(self, folder: str, texts: List[str], encoder: Any) -> None:
        """Reads vectors and lexical index, or computes those that are missing or damaged.

        Args:
            folder: path of the cache.
            texts: the distinct texts of the corpus.
            encoder: `TextEncoder` with a pooling.
        """
        self._folder, self._texts, self._encoder = folder, texts, encoder
        self.ids = ids_of(texts)
        self._order = np.argsort(self.ids)
        self._key = hashlib.sha256(self.ids.tobytes()).hexdigest()[:12]
        self._settings = hashlib.sha256(repr(lexical_index.SETTINGS).encode()).hexdigest()[:8]
        self._key_of_words = self._settings + self._key
        with folder_locks.one_at_a_time(folder):
            partial_files.remove_left_behind_in(folder)  # few later files have their names
            self._cache = file_cache.FileCache(folder, encoder.fingerprint_of())
            self.vectors = self._load_vectors()  # float32 [n, W], memory-mapped
            self.lexical = self._load_lexical()

    def rows(self, ids: np.ndarray) -> np.ndarray:
        """int [n]: the rows of ids, all of which must be in the corpus."""
        return self._order[np.searchsorted(self.ids, ids, sorter=self._order)]

    def _load_vectors(self):
        names = [VECTORS % self._key, IDS % self._key]
        if not all(self._cache.is_valid(name) for name in names):
            with self._cache.writing(names[0]) as partial:
                self._write_vectors(partial, *self._former_vectors())
            self._write_ids(names[1])
            self._keep(names)
            for path in glob.glob(os.path.join(glob.escape(self._folder), BLOCK % "*")):
                os.remove(path)
        return np.load(self._cache.path(names[0]), mmap_mode="r")

    def _former_vectors(self) -> Tuple[np.ndarray, Optional[np.ndarray]]:
        """(ids, vectors) of the previous state of the corpus."""
        for name in self._cache.names(VECTORS % "*"):
            ids = name.replace("vectors_", "ids_")
            if self._cache.is_valid(name) and self._cache.is_valid(ids):
                ids, vectors = self._cache.path(ids), self._cache.path(name)
                return np.load(ids), np.load(vectors, mmap_mode="r")
        return np.zeros(0, np.int64), None

    def _write_vectors(self, path, former_ids, former):
        shape = (len(self._texts), self._encoder.width)
        vectors = np.lib.format.open_memmap(path, "w+", np.float32, shape)
        _reserve(path)
        rows = rows_of(self.ids, former_ids)
        kept, new = np.flatnonzero(rows >= 0), np.flatnonzero(rows < 0)
        for start in range(0, len(kept), vector_index.VECTORS_AT_ONCE):
            block = kept[start : start + vector_index.VECTORS_AT_ONCE]
            vectors[block] = former[rows[block]]
        with progress_bar("vectors", len(new), "line", leave=False) as bar:
            for start in range(0, len(new), LINES_AT_ONCE):
                block = new[start : start + LINES_AT_ONCE]
                vectors[block] = self._encoded(block, is_kept=len(new) > LINES_AT_ONCE)
                bar.update(len(block))
        vectors.flush()

    def _encoded(self, rows, is_kept):
        """Vectors of the texts of rows; `is_kept`: whether to save them, and use saved ones."""
        about = self._encoder.fingerprint_of().encode("utf-8") + self.ids[rows].tobytes()
        name = BLOCK % hashlib.sha256(about).hexdigest()[:16]
        finished = self._finished(name, (len(rows), self._encoder.width)) if is_kept else None
        if finished is not None:
            return finished
        vectors = encoded(self._encoder, [self._texts[row] for row in rows])
        if is_kept:
            with self._cache.writing(name) as partial, open(partial, "wb") as output:
                np.save(output, vectors)
        return vectors

    def _finished(self, name, shape):
        """The saved vectors of a block; None if missing or damaged (with a note)."""
        try:
            with open(self._cache.path(name), "rb") as block:
                vectors = np.lib.format.read_array(block, allow_pickle=False)
            if vectors.shape == shape and np.isfinite(vectors).all():
                return vectors
        except FileNotFoundError:
            return None
        except (OSError, ValueError, TypeError):  # not an array
            pass
        self._cache.note_damaged(name)
        return None

    def _load_lexical(self):
        name, ids = LEXICAL % self._key_of_words, LEXICAL_IDS % self._key_of_words
        if not all(self._cache.is_valid(each) for each in (name, ids)):
            with self._cache.writing(name) as partial:
                self._made_lexical().save(partial)
            self._write_ids(ids)
            self._keep([name, ids])
        return lexical_index.LexicalIndex.load(self._cache.path(name))

    def _made_lexical(self):
        """The lexical index: updated from the previous state of the corpus, or built."""
        for name in self._cache.names(LEXICAL % (self._settings + "*")):
            ids = name.replace("lexical_", "words_ids_").replace(".npz", ".npy")
            if self._cache.is_valid(name) and self._cache.is_valid(ids):
                former = lexical_index.LexicalIndex.load(self._cache.path(name))
                rows = rows_of(self.ids, np.load(self._cache.path(ids)))
                return former.updated(rows, [self._texts[row] for row in np.flatnonzero(rows < 0)])
        return lexical_index.LexicalIndex.build(self._texts)

    def index(self, storage: str) -> vector_index.VectorIndex:
        """The index of the vectors; it is read, updated or built.

        Args:
            storage: how the index stores vectors, one of `vector_index.STORAGES`.
        """
        name = INDEX % (self._key, storage)
        with folder_locks.one_at_a_time(self._folder):
            if self._cache.is_valid(name):
                return vector_index.VectorIndex.load(self._cache.path(name), storage)
            index, built_of = self._updated_index(storage)
            if index is None:
                index = vector_index.VectorIndex.build(self.vectors, self.ids, storage)
            with self._cache.writing(name) as partial:
                index.save(partial)
            names = [pattern % (self._key, storage) for pattern in (INDEX_IDS, BUILT_OF)]
            self._write_ids(names[0])
            self._write_ids(names[1], built_of)
            self._keep([name] + names)
        return index

    def _updated_index(self, storage):
        """(updated index of the previous state, ids of the texts that it was built from).

        (None, None) if there is no usable index: if the corpus has grown far beyond the texts that
        it was built from, in one step or in many.
        """
        for name in self._cache.names(INDEX % ("*", storage)):
            names_ids = name.replace(".faiss", ".npy")
            names_built = names_ids.replace("index_", "built_of_")
            if all(self._cache.is_valid(each) for each in (name, names_ids, names_built)):
                former, built_of = (
                    np.load(self._cache.path(each)) for each in (names_ids, names_built)
                )
                num_since = int((rows_of(self.ids, built_of) < 0).sum())
                if num_since <= vector_index.REBUILT_FROM * len(built_of):
                    new = np.flatnonzero(rows_of(self.ids, former) < 0)
                    index = vector_index.VectorIndex.load(self._cache.path(name), storage)
                    deleted = former[rows_of(former, self.ids) < 0]
                    index.update(self.vectors[new], self.ids[new], deleted)
                    return index, built_of
        return None, None

    def _write_ids(self, name, ids=None):
        """Writes ids; None: the ids of the corpus."""
        with self._cache.writing(name) as partial, open(partial, "wb") as output:
            np.save(output, self.ids if ids is None else ids)

    def _keep(self, names):
        """Records complete files, and then removes the files that they replace."""
        self._cache.add(*names)
        for name in names:
            kind = name.replace(self._key_of_words, "*").replace(self._key, "*")
            for path in glob.glob(os.path.join(glob.escape(self._folder), kind)):
                if os.path.basename(path) != name:
                    self._cache.forget(os.path.basename(path))


def _reserve(path):
    """Allocates the disk space of a memory-mapped file.

    Raises:
        OSError: if the disk is full, which would otherwise kill the process during a write.
    """
    if hasattr(os, "posix_fallocate"):
        with open(path, "r+b") as stream:
            os.posix_fallocate(stream.fileno(), 0, os.path.getsize(path))


def encoded(encoder: Any, texts: Sequence[str]) -> np.ndarray:
    """Vectors [n, W] of length 1; raises `UserError` for vectors with NaN or infinite values."""
    vectors = encoder.encode([as_read(text) for text in texts], normalize=True)
    if not np.isfinite(vectors).all():
        raise UserError("the model's vectors are NaN or infinite: its weights are damaged")
    return vectors


def rows_of(ids: np.ndarray, among: np.ndarray) -> np.ndarray:
    """int [n]: the position of each id in `among`, -1 if it is not there."""
    if not len(among):
        return np.full(len(ids), -1)
    order = np.argsort(among, kind="stable")
    rows = order[np.searchsorted(among, ids, sorter=order).clip(max=len(among) - 1)]
    return np.where(among[rows] == ids, rows, -1)
