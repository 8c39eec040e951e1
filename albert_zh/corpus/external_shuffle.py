"""Shuffles more records than fit into memory, by merging files sorted by random keys.

    write_run("work/0", records, keys)       # any number of runs, by any number of processes
    runs = combine_many(["work/0", "work/1", ...])
    merge_runs(runs, handles)

The records end up in the order of their random keys, regardless of the run and process that wrote
them. A run consists of two files: its records, sorted by key, and an index of keys and end
positions. Runs are merged one range of keys at a time, which fits into memory. If there are so many
runs that each range would be read in tiny pieces, they are first combined into fewer runs.
"""

import os
from typing import IO, TYPE_CHECKING, Iterable, List, Optional, Sequence

import numpy as np

from albert_zh.common import output_files

if TYPE_CHECKING:
    from tqdm import tqdm

_BUCKET_BYTES = 32 << 20
_MOST_RUNS = 512  # to merge at once
_KEY_BITS = 64
_INDEX = np.dtype([("key", "<u8"), ("end", "<u8")])


def write_run(path: str, records: Sequence[bytes], keys: np.ndarray) -> None:
    """Writes records as a run.

    Args:
        path: the run's name, to which the extensions of its files are added.
        records: list of N records.
        keys: uint64 [N].
    """
    order = np.argsort(keys, kind="mergesort")
    index = np.empty(len(records), _INDEX)
    index["key"] = keys[order]
    index["end"] = np.cumsum([len(records[i]) for i in order], dtype=np.uint64)
    with open(_records_file(path), "wb") as stream:
        stream.write(b"".join([records[i] for i in order]))
    _save_index(path, index)


def _save_index(path, index):
    """Saves a run's index, which marks the run as complete, even after a power failure."""
    partial = path + ".partial.npy"
    np.save(partial, index)
    for name in (_records_file(path), partial):
        output_files.sync(name)
    os.replace(partial, _index_file(path))


def total_bytes(paths: Iterable[str]) -> int:
    """Total size of the records in runs, which are specified by name."""
    return sum(os.path.getsize(_records_file(path)) for path in paths)


def combine_many(
    paths: List[str], most: int = _MOST_RUNS, bucket_bytes: int = _BUCKET_BYTES
) -> List[str]:
    """Combines runs into fewer runs and removes the original ones.

    It may be interrupted at any moment and called again with the same runs.

    Args:
        paths: names of runs.
        most: maximum number of runs to return.
        bucket_bytes: approximate bytes of records to hold in memory at a time.

    Returns:
        names of runs; records with equal keys keep their order.
    """
    if len(paths) <= most:
        return paths
    at_once = -(-len(paths) // most)
    groups = [paths[first : first + at_once] for first in range(0, len(paths), at_once)]
    return [_combined(group, bucket_bytes) for group in groups]


def _combined(paths, bucket_bytes):
    """Combines runs into one run and returns its name."""
    combined = paths[0] + "-combined"
    if not os.path.exists(_index_file(combined)):
        index = []
        with open(_records_file(combined), "wb") as stream:
            for records, keys in _buckets(paths, bucket_bytes):
                sizes = np.fromiter(map(len, records), np.uint64, len(records))
                part = np.empty(len(records), _INDEX)
                part["key"] = keys
                part["end"] = stream.tell() + np.cumsum(sizes, dtype=np.uint64)
                stream.write(b"".join(records))
                index.append(part)
        _save_index(combined, np.concatenate(index))
    for path in paths:
        for name in (_index_file(path), _records_file(path)):
            if os.path.exists(name):
                os.remove(name)
    return combined


def merge_runs(
    paths: Sequence[str],
    handles: Sequence[IO[bytes]],
    bucket_bytes: int = _BUCKET_BYTES,
    progress: Optional["tqdm"] = None,
) -> None:
    """Writes the records of runs to files in turn, in the order of their keys.

    Args:
        paths: names of runs; records with equal keys are written in the order of the runs.
        handles: files open for writing bytes; record i goes to the file with the number i modulo
            the number of files.
        bucket_bytes: approximate bytes of records to hold in memory at a time.
        progress: a progress bar to advance by the bytes written, or None.
    """
    written = 0
    for records, _ in _buckets(paths, bucket_bytes):
        for shift, stream in enumerate(handles):
            stream.write(b"".join(records[(shift - written) % len(handles) :: len(handles)]))
        written += len(records)
        if progress is not None:
            progress.update(sum(map(len, records)))


def _buckets(paths, bucket_bytes):
    """Yields the (records, keys) of runs for successive ranges of keys, sorted by key."""
    num_buckets = total_bytes(paths) // bucket_bytes + 1
    bounds = [(index << _KEY_BITS) // num_buckets for index in range(num_buckets + 1)]
    for low, high in zip(bounds, bounds[1:]):
        yield _records_between(paths, low, high - 1)


def _records_between(paths, low, high):
    """Reads the (records, keys) of all runs with keys from low to high, sorted by key."""
    records, keys = [], []
    for path in paths:
        index = np.load(_index_file(path), mmap_mode="r")
        first = np.searchsorted(index["key"], np.uint64(low))
        last = np.searchsorted(index["key"], np.uint64(high), side="right")
        ends = index["end"][first:last].astype(np.int64).tolist()
        begin = int(index["end"][first - 1]) if first else 0
        with open(_records_file(path), "rb") as stream:
            stream.seek(begin)
            content = stream.read(ends[-1] - begin if ends else 0)
        begins = [begin] + ends
        records += [content[b - begin : e - begin] for b, e in zip(begins, ends)]
        keys.append(np.array(index["key"][first:last]))
    keys = np.concatenate(keys)
    order = np.argsort(keys, kind="mergesort")
    return [records[i] for i in order], keys[order]


def _records_file(path):
    return path + ".records"


def _index_file(path):
    return path + ".index.npy"
