"""Hard negatives: texts that a search finds for a text although they are not right for it.

    finder = LexicalFinder(entries)
    mined, counts = Miner(entries, finder, None, Limits(), folder).mine(split.examples)

Of the entries that are nearest to a row's text, those that are right for a row of its group are
left out, then those that are too similar and those that a pair classifier takes for right ones;
some of the rest are drawn, and where they are too few, some of what is further away. What is drawn
for a row depends on the seed and the row alone; finished blocks are kept in the folder, so that a
killed run goes on.
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
_VERSION = 2  # of how negatives are chosen; blocks of another one are not taken up
_DRAWN_AT_RANDOM = 10  # texts that are looked at for each one that a row lacks
_BLOCK = "rows_%s_%d.json"  # of the folder: key of the settings, first row
# What happened to the texts that were looked at, as the report calls it.
MINED, RANDOM = "mined", "drawn at random, as too few were left"
TOO_SIMILAR, JUDGED_RIGHT = "left out as too similar", "left out by the classifier"
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
    """What a mined negative has to be.

    Fields:
        wanted: negatives of a row.
        first, last: ranks that are drawn from, 1 for the nearest text that is not right.
        margin: its similarity is at least so much below that of the row's right text; None: any.
        relative_margin: the same as a share of that of the right text.
        most_similar: its similarity is at most this; None: any.
        most_probable: the pair classifier's probability is at most this.
        seed: of the draws.
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
        """`entries`: what is searched."""
        self._index = lexical_index.LexicalIndex.build(entries)
        self.fingerprint = repr(lexical_index.SETTINGS)

    def __call__(self, texts: Sequence[str]) -> np.ndarray:
        """float [n, entries]."""
        return np.stack([self._index.scores(text) for text in texts])


class VectorFinder:
    """Similarities by the vectors of a model: cosines."""

    def __init__(self, entries: List[str], encoder: Any, folder: str) -> None:
        """Encodes the entries.

        Args:
            entries: what is searched, all different.
            encoder: `TextEncoder`.
            folder: where their vectors are kept.
        """
        self._encoder = encoder
        self._vectors = corpus_cache.CorpusCache(folder, entries, encoder).vectors
        self.fingerprint = encoder.fingerprint_of()

    def __call__(self, texts: Sequence[str]) -> np.ndarray:
        """float [n, entries]."""
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
            entries: texts that negatives are taken from, all different.
            finder: function of n texts -> float [n, entries], how similar the entries are.
            classify: function of pairs -> probability that both mean the same; None: without.
            limits: `Limits`.
            folder: where finished blocks are kept.
            key: what entries, finder and classifier are; other ones are not taken up again.
        """
        self._entries, self._finder, self._classify = list(entries), finder, classify
        self._positions = {text: index for index, text in enumerate(entries)}
        self._limits, self._folder = limits, folder
        content = json.dumps([_VERSION, key, list(limits)]).encode("utf-8")
        self._key = hashlib.sha256(content).hexdigest()[:12]

    def mine(self, examples: Sequence[Any]) -> Tuple[List[List[str]], Dict[str, int]]:
        """The negatives of each row.

        Args:
            examples: `text_files.EmbeddingExample` with right texts.

        Returns:
            (list of texts for each row, {what happened: number of texts}).
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
                rows, of_block = files.read_json(path, kind, "remove it: it is made again")
                mined += [[self._entries[entry] for entry in row] for row in rows]
                counts = {name: counts[name] + of_block[name] for name in COUNTS}
                bar.update(len(block))
        return mined, counts

    def _mine_block(self, start, block, groups):
        """(entries of each row, counts): JSON values."""
        similarities = self._finder([example.text_a for example in block])
        counts = dict.fromkeys(COUNTS, 0)
        nearest, further = [], []  # of each row the entries that may be drawn, in that order
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
        """List of some of the entries in an order that depends on the seed and the key alone."""
        generator = np.random.RandomState([self._limits.seed % 2**32, *key])
        most = max(self._limits.last, _DRAWN_AT_RANDOM * self._limits.wanted)
        return generator.permutation(entries)[:most].tolist()

    def _is_had(self, example, groups):
        """bool [entries]: whether an entry is right for a row, or among its wrong texts already."""
        is_had = groups == example.group
        own = [self._positions[text] for text in example.negatives if text in self._positions]
        is_had[own] = True
        return is_had

    def _most_similar(self, of_right):
        """How similar to a text its negatives may be, where its right text is so similar."""
        limits = self._limits
        bounds = [
            limits.most_similar,
            None if limits.margin is None else of_right - limits.margin,
            None if limits.relative_margin is None else of_right * (1 - limits.relative_margin),
        ]
        return min([bound for bound in bounds if bound is not None], default=np.inf)

    def _judged(self, block, waiting, rows):
        """Fills rows up with the first entries that the classifier lets pass.

        Returns:
            (the rows, how many entries it did not let pass).
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
    """int [entries]: the group of each entry; -1 of one that no row has."""
    groups = {
        text_groups.normalized(text): example.group
        for example in examples
        for text in (example.text_a, example.text_b)
    }
    return np.array([groups.get(text_groups.normalized(text), -1) for text in entries])
