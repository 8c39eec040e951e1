"""A cache of targets on disk: a teacher's outputs are computed once and read by later runs.

    cache = TargetCache("out/teacher_targets", {"teacher": digest, ...})
    cache.add([(text_a, text_b), ...], [float32 array, ...])
    cache.get(text_a, text_b)

A third value distinguishes rows of the same text that have different slots or granularities.
A folder contains chunks of rows, each of which has a file of keys and a file of values. Both are
written atomically; the file of keys is written last and makes the chunk valid. Chunks are named by
their keys, so two runs may fill the same folder. A damaged chunk is reported and skipped: its rows
count as missing and are computed again. The file of keys ends with a checksum of both arrays;
chunks of earlier versions have none.
"""

import errno
import hashlib
import json
import os
import tokenize
from typing import Any, Dict, List, Optional, Sequence, Tuple, Union
import zlib

import numpy as np

from albert_zh.common import output_files, storage, transfer
from albert_zh.common.errors import UserError
from albert_zh.common.messages import say

_KEY_BYTES = 16
_KEYS, _VALUES = ".keys.npy", ".values.npy"
_MANIFEST = "manifest.json"
# What NumPy raises for incomplete files; the last ones come from a damaged header.
_DAMAGED = (OSError, EOFError, ValueError, OverflowError, SyntaxError, tokenize.TokenError)
_ROW = np.dtype([("key", "S%d" % (2 * _KEY_BYTES)), ("length", "<i8")])

# text_a, text_b and, for some tasks, slots or granularity
Texts = Union[Tuple[str, Optional[str]], Tuple[str, Optional[str], str]]


def texts_of(example: Any) -> Texts:
    """Returns what identifies an example in the cache: all that its targets depend on."""
    slots = getattr(example, "slots", None)
    granularity = getattr(example, "granularity", None)
    texts = (example.text_a, example.text_b)
    if granularity:
        return texts + ("granularity: " + granularity,)
    return texts + (repr(slots),) if slots else texts


def key_of(text_a: str, text_b: Optional[str], further: str = "") -> bytes:
    """Returns the cache key of a text or pair: hexadecimal digits of its digest."""
    text = text_a if text_b is None else "%s\0%s" % (text_a, text_b)
    if further:
        text += "\0\0" + further
    digest = hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()
    return digest[: 2 * _KEY_BYTES].encode()


def digest_of(about: Dict[str, Any]) -> str:
    """Returns a short digest of JSON values."""
    return hashlib.sha256(json.dumps(about, sort_keys=True).encode()).hexdigest()[:16]


class TargetCache:
    """The cached targets of one teacher.

    Attributes:
        folder: the folder that contains them.
    """

    def __init__(self, folder: str, about: Dict[str, Any]) -> None:
        """Opens the chunks that exist.

        Args:
            folder: the folder with the targets of all teachers.
            about: {name: JSON value} of everything but the texts that the targets depend on.

        Raises:
            UserError: if the folder is a file.
        """
        if storage.is_file(folder):
            raise UserError(
                "--teacher_cache=%s: found a file, expected a folder, which is created if it does "
                "not exist" % folder
            )
        self.folder = os.path.join(folder, digest_of(about))
        self._about = about
        self._targets: Dict[bytes, Tuple[np.ndarray, int, int]] = {}
        names = storage.names_in(self.folder) if storage.is_folder(self.folder) else []
        for name in names:
            if name.endswith(_KEYS):
                path = os.path.join(self.folder, name[: -len(_KEYS)])
                try:
                    self._take_chunk(path)
                except _DAMAGED as error:
                    if not _is_damage(error):
                        raise
                    reason = " ".join(str(error).split())
                    say("warning: %s is damaged and ignored: %s", path, reason)

    def _take_chunk(self, path):
        """Reads a chunk; if it is damaged, raises an error for which `_is_damage` is true."""
        rows, checksum = _arrays_of_keys(transfer.local_copy(path + _KEYS))
        # A plain view of the mapped file, since slicing an np.memmap takes several times as long.
        values = np.asarray(np.load(transfer.local_copy(path + _VALUES), mmap_mode="r"))
        if rows.dtype != _ROW or values.dtype != np.float32:
            raise ValueError("found %s and %s" % (rows.dtype, values.dtype))
        if (rows["length"] < 0).any() or values.shape != (rows["length"].sum(),):
            raise ValueError("%s values of %d rows" % (list(values.shape), len(rows)))
        if checksum is not None and checksum != _checksum(rows, values):
            raise ValueError("its checksum belongs to other values")
        ends = np.cumsum(rows["length"]).tolist()
        starts = [0] + ends[:-1]
        for key, start, end in zip(rows["key"].tolist(), starts, ends):
            self._targets[key] = (values, start, end)

    def __contains__(self, texts: Texts) -> bool:
        return key_of(*texts) in self._targets

    def get(self, text_a: str, text_b: Optional[str], further: str = "") -> np.ndarray:
        """Returns the cached target of a text or pair, float32; it must be in the cache."""
        values, start, end = self._targets[key_of(text_a, text_b, further)]
        return values[start:end]

    def add(self, texts: Sequence[Texts], targets: Sequence[np.ndarray]) -> None:
        """Writes a chunk.

        Args:
            texts: results of `texts_of` for rows that are not in the cache.
            targets: a one-dimensional float32 array per row.
        """
        output_files.write_json(os.path.join(self.folder, _MANIFEST), self._about)
        keys = [key_of(*row) for row in texts]
        rows = np.array([(key, len(t)) for key, t in zip(keys, targets)], _ROW)
        path = os.path.join(self.folder, hashlib.sha256(b"".join(keys)).hexdigest()[:16])
        values = np.concatenate(targets).astype(np.float32)
        _write_arrays(path + _VALUES, values)
        _write_arrays(path + _KEYS, rows, _checksum(rows, values))
        self._take_chunk(path)

    def missing(self, texts: Sequence[Texts]) -> List[Texts]:
        """Returns the texts that are not in the cache, without duplicates."""
        return [row for row in dict.fromkeys(texts) if row not in self]


def _is_damage(error):
    """Whether a chunk is damaged or incomplete, rather than inaccessible (permissions, timeout)."""
    return not isinstance(error, OSError) or error.errno == errno.ENOENT


def _arrays_of_keys(path):
    """(rows, checksum of the chunk; None if an earlier version wrote it)."""
    with open(path, "rb") as stream:
        rows, end = np.load(stream), stream.tell()
        if not stream.read(1):
            return rows, None
        stream.seek(end)
        return rows, np.load(stream)


def _checksum(rows, values):
    return np.uint32(zlib.crc32(values, zlib.crc32(rows.tobytes())))


def _write_arrays(path, *arrays):
    """Writes arrays one after another, so that `np.load` reads them from an open file in turn."""
    with output_files.atomic_write(path, "wb") as stream:
        for array in arrays:
            np.save(stream, array)
