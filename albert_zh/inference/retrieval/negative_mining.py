"""Mines hard negatives: texts that a search finds for a query although they are no positives.

    finder = LexicalFinder(entries)
    mined, counts = Miner(entries, finder, None, Limits(), folder).mine(split.examples)

From the entries that are nearest to a row's text, the positives of rows of its group are removed,
then the entries that are too similar and those that a pair classifier considers positives;
negatives are sampled from the rest, and if too few are left, from more distant entries. The samples
of a row depend only on the seed and the row. Finished blocks are saved in the folder, so that an
interrupted run resumes.
"""

import hashlib
import json
import os
from typing import Any, Callable, Dict, List, NamedTuple, Optional, Sequence, Tuple

import numpy as np

from albert_zh.common import files, output_files, storage, validation
from albert_zh.common.progress import progress_bar
from albert_zh.inference.retrieval import corpus_cache, lexical_index
from albert_zh.tasks.tables import text_groups

ROWS_AT_ONCE = 256
_VERSION = 2  # of the method; blocks of other versions are not reused
_DRAWN_AT_RANDOM = 10  # texts to examine per missing negative
_BLOCK = "rows_%s_%d.json"  # file in the folder: key of the settings, first row
# What happened to the examined texts, in the words of the report.
MINED, RANDOM = "mined", "drawn at random, as too few were left"
TOO_SIMILAR, JUDGED_RIGHT = "excluded as too similar", "excluded by the classifier"
COUNTS = (MINED, TOO_SIMILAR, JUDGED_RIGHT, RANDOM)


def _block_kind(num_rows, num_entries):
    """`validation.Kind` of a finished block: the entries of each row, and counts."""
    entries = validation.list_of(validation.integer(0, num_entries - 1))
    counts = validation.record(others=validation.integer(0), required=COUNTS)
    parts = (("[0]", validation.list_of(entries, num_rows)), ("[1]", counts))
    return validation.list_of(validation.ANYTHING, len(parts))._replace(
        members=lambda found: ((name, part, kind) for (name, kind), part in zip(parts, found))
    )


class Limits(NamedTuple):
    """The conditions for a mined negative.

    Fields:
        wanted: number of negatives per row.
        first, last: range of ranks to sample from; 1 is the nearest text that is no positive.
        margin: its similarity must be below the positive's by at least this; None: no condition.
        relative_margin: the same margin as a fraction of the positive's similarity.
        most_similar: maximum similarity; None: no condition.
        most_probable: maximum probability of the pair classifier.
        seed: random seed of the samples.
    """

    wanted: int = 1
    first: int = 1
    last: int = 50
    margin: Optional[float] = None
    relative_margin: Optional[float] = None
    most_similar: Optional[float] = None
    most_probable: float = 0.5
    seed: int = 12345


class LexicalFinder:
    """Similarities by wording: BM25 of characters, 0 to 1."""

    def __init__(self, entries: Sequence[str]) -> None:
        """`entries`: the texts to search."""
        self._index = lexical_index.LexicalIndex.build(entries)
        self.fingerprint = repr(lexical_index.SETTINGS)

    def __call__(self, texts: Sequence[str]) -> np.ndarray:
        """Returns similarities, float [n, entries]."""
        return np.stack([self._index.scores(text) for text in texts])


class VectorFinder:
    """Similarities of a model's vectors: cosines."""

    def __init__(self, entries: List[str], encoder: Any, folder: str) -> None:
        """Encodes the entries.

        Args:
            entries: the texts to search, all different.
            encoder: `TextEncoder`.
            folder: folder to cache their vectors in.
        """
        self._encoder = encoder
        self._vectors = corpus_cache.CorpusCache(folder, entries, encoder).vectors
        self.fingerprint = encoder.fingerprint_of()

    def __call__(self, texts: Sequence[str]) -> np.ndarray:
        """Returns similarities, float [n, entries]."""
        return corpus_cache.encoded(self._encoder, texts) @ self._vectors.T


class Miner:
    """Finds negatives for the rows of a training file."""

    def __init__(
        self,
        entries: Sequence[str],
        finder: Callable[[Sequence[str]], np.ndarray],
        classify: Optional[Callable[[List[Tuple[str, str]]], np.ndarray]],
        limits: Limits,
        folder: str,
        key: str = "",
    ) -> None:
        """Initializes the miner.

        Args:
            entries: texts to take negatives from, all different.
            finder: function of n texts -> float [n, entries], the similarities of the entries.
            classify: function of pairs -> probability that both mean the same, or None.
            limits: `Limits`.
            folder: folder to save finished blocks in.
            key: identifies entries, finder and classifier; blocks with another key are not reused.
        """
        self._entries, self._finder, self._classify = list(entries), finder, classify
        self._positions = {text: index for index, text in enumerate(entries)}
        self._limits, self._folder = limits, folder
        content = json.dumps([_VERSION, key, list(limits)]).encode("utf-8")
        self._key = hashlib.sha256(content).hexdigest()[:12]

    def mine(self, examples: Sequence[Any]) -> Tuple[List[List[str]], Dict[str, int]]:
        """Mines the negatives of each row.

        Args:
            examples: `text_files.EmbeddingExample` with positives.

        Returns:
            (list of negatives per row, {what happened: number of texts}).
        """
        groups = _groups_of(self._entries, examples)
        mined: List[List[str]] = []
        counts = dict.fromkeys(COUNTS, 0)
        storage.make_folders(self._folder)
        with progress_bar("negatives", len(examples), "row", leave=False) as bar:
            for start in range(0, len(examples), ROWS_AT_ONCE):
                path = os.path.join(self._folder, _BLOCK % (self._key, start))
                block = examples[start : start + ROWS_AT_ONCE]
                if not storage.exists(path):
                    output_files.write_json(path, self._mine_block(start, block, groups))
                kind = _block_kind(len(block), len(self._entries))
                rows, of_block = files.read_json(path, kind, "remove it: it is created again")
                mined += [[self._entries[entry] for entry in row] for row in rows]
                counts = {name: counts[name] + of_block[name] for name in COUNTS}
                bar.update(len(block))
        return mined, counts

    def _mine_block(self, start, block, groups):
        """(entries of each row, counts), as JSON values."""
        similarities = self._finder([example.text_a for example in block])
        counts = dict.fromkeys(COUNTS, 0)
        nearest, further = [], []  # per row, the entries to try in order
        for number, (example, row) in enumerate(zip(block, similarities), start=start):
            order = np.argsort(-row, kind="stable")
            order = order[~self._is_had(example, groups)[order]]
            is_kept = row[order] <= self._most_similar(row[self._positions[example.text_b]])
            ranks, beyond = slice(self._limits.first - 1, self._limits.last), self._limits.last
            counts[TOO_SIMILAR] += int((~is_kept[ranks]).sum())
            nearest.append(self._drawn(order[ranks][is_kept[ranks]], number))
            further.append(self._drawn(order[beyond:][is_kept[beyond:]], number, 1))
        rows, num_right = self._judged(block, nearest, [[] for _ in block])
        counts[MINED] = sum(map(len, rows))
        rows, num_more_right = self._judged(block, further, rows)
        counts[RANDOM] = sum(map(len, rows)) - counts[MINED]
        counts[JUDGED_RIGHT] = num_right + num_more_right
        return rows, counts

    def _drawn(self, entries, *key):
        """Some of the entries, in an order that depends on seed and key only."""
        generator = np.random.RandomState([self._limits.seed % 2**32, *key])
        most = max(self._limits.last, _DRAWN_AT_RANDOM * self._limits.wanted)
        return generator.permutation(entries)[:most].tolist()

    def _is_had(self, example, groups):
        """bool [entries]: whether an entry is a positive or already a negative of a row."""
        is_had = groups == example.group
        own = [self._positions[text] for text in example.negatives if text in self._positions]
        is_had[own] = True
        return is_had

    def _most_similar(self, of_right):
        """The maximum similarity of a negative, from the similarity of the positive."""
        limits = self._limits
        bounds = [
            limits.most_similar,
            None if limits.margin is None else of_right - limits.margin,
            None if limits.relative_margin is None else of_right * (1 - limits.relative_margin),
        ]
        return min([bound for bound in bounds if bound is not None], default=np.inf)

    def _judged(self, block, waiting, rows):
        """Fills up rows with the first entries that the classifier accepts.

        Returns:
            (the rows, number of entries that it rejected).
        """
        num_right = 0
        while True:
            asked = [
                (number, entry)
                for number, entries in enumerate(waiting)
                for entry in entries[: self._limits.wanted - len(rows[number])]
            ]
            if not asked:
                return rows, num_right
            pairs = [(block[number].text_a, self._entries[entry]) for number, entry in asked]
            probable = self._classify(pairs) if self._classify else np.zeros(len(pairs))
            for (number, entry), probability in zip(asked, probable):
                waiting[number].remove(entry)
                if probability > self._limits.most_probable:
                    num_right += 1
                else:
                    rows[number].append(entry)


def _groups_of(entries, examples):
    """int [entries]: the group of each entry; -1 if no row contains it."""
    groups = {
        text_groups.normalized(text): example.group
        for example in examples
        for text in (example.text_a, example.text_b)
    }
    return np.array([groups.get(text_groups.normalized(text), -1) for text in entries])
