"""Packed text, which scripts/pack_text.py writes and scripts/pretrain_on_gpu.py trains on.

    text = PackedText("packed.npz", num_workers=8)
    text.place_on(device)
    for batch in text.batches(pass_number, num_pieces=65536, long_share=0.1):
        batch.ids  # [T], concatenated sequences [CLS] A [SEP] B [SEP], without padding

Pairs are drawn by `albert_zh.corpus.sampling` and have up to 128 pieces, half of them paired with
any document and half with similar documents, and a share has up to 512 pieces. Dimensions in
comments: T pieces in a batch, n sequences in a batch.
"""

import collections
import concurrent.futures
import concurrent.futures.process
import multiprocessing
import pickle
import random
import signal
from typing import TYPE_CHECKING, Dict, Iterator, Optional, Sequence, Tuple, Union
import zipfile
import zlib

import numpy as np

from albert_zh.common import files
from albert_zh.common.errors import UserError
from albert_zh.corpus import sampling

if TYPE_CHECKING:
    import torch

    from albert_zh.text import tokenization

SHORT, LONG = 128, 512  # maximum lengths of sequences
_SHORT_SIMILAR_SHARE = 0.8  # share of similar pairs that are about as short as the texts of tasks
_LONG_FROM = 150  # pieces; shorter pairs are already among the short ones
MOST_ENTRIES = 1 << 16  # of a vocabulary; pieces are stored in two bytes
_MOST_PIECES = (1 << 31) - 1  # positions are stored in four bytes
# Errors that reading a damaged file can raise, in addition to errors of the system.
_DAMAGED = (
    EOFError,
    KeyError,
    RuntimeError,
    ValueError,
    pickle.UnpicklingError,
    zipfile.BadZipFile,
    zlib.error,
)

_ARRAYS = (
    "pieces sentences documents similar counts held_out_pieces held_out_pairs special_ids "
    "vocabulary_sha256"
).split()

SpecialIds = collections.namedtuple("SpecialIds", "pad cls sep mask vocab_size")


def _settings(length, similar=False):
    return sampling.Settings(
        max_seq_length=length,
        max_predictions=0,  # masks are drawn in training
        masked_lm_prob=0.15,
        short_seq_prob=_SHORT_SIMILAR_SHARE if similar else 0.1,
        seed=0,
        whole_words=False,
        run_weights=None,
        google=True,
        random_next=True,
        similar_next=similar,
        permute=False,
        dynamic=True,
    )


def compact(encoded: sampling.EncodedShard) -> Tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Returns (pieces uint16 [N], sentences int32 [S + 1], documents int32 [D, 2]) of a shard."""
    return (
        encoded.ids.astype(np.uint16),
        np.array(encoded.sentences, np.int32),
        np.array(encoded.documents, np.int32).reshape(-1, 2),
    )


def _rows(encoded, settings, vocabulary, seed):
    """Draws pairs of a shard, int32 [n, 5]: begin A, length A, begin B, length B, label."""
    pairs = sampling.Sampler(settings, vocabulary).pairs(encoded, random.Random(seed))
    return np.stack(pairs, 1).astype(np.int32)


def similar_pairs(encoded: sampling.EncodedShard, vocabulary: sampling.Vocabulary) -> np.ndarray:
    """Draws pairs of a shard, half of them with a similar document, int32 [n, 5]."""
    settings = _settings(SHORT, similar=True)
    return _rows(encoded, settings, vocabulary, "similar %d" % encoded.index)


def special_ids_of(tokenizer: "tokenization.FullTokenizer") -> np.ndarray:
    """Returns the `SpecialIds` of a vocabulary as an array."""
    names = ["[PAD]", "[CLS]", "[SEP]", "[MASK]"]
    return np.array(tokenizer.convert_tokens_to_ids(names) + [len(tokenizer.inv_vocab)])


def held_out_arrays(
    shards: Sequence[sampling.EncodedShard], vocabulary: sampling.Vocabulary
) -> Dict[str, np.ndarray]:
    """Returns the arrays of the held-out pairs of shards, which are used for evaluation."""
    pairs = [_rows(shard, _settings(SHORT), vocabulary, "held out") for shard in shards]
    arrays = joined([(compact(shard), rows) for shard, rows in zip(shards, pairs)])
    rows = np.random.RandomState(0).permutation(arrays["similar"])
    return {"held_out_pieces": arrays["pieces"], "held_out_pairs": rows}


def joined(shards: Sequence[Tuple[Tuple[np.ndarray, ...], np.ndarray]]) -> Dict[str, np.ndarray]:
    """Concatenates the arrays of several shards.

    Args:
        shards: for each shard (result of `compact`, rows int32 [n, 5] with positions in its
            pieces).

    Returns:
        pieces uint16 [N]; similar int32 [n, 5] with positions in all pieces; and, with positions in
        each shard, sentences int32 [S], documents int32 [D, 2]; and the counts int64 [shards, 3] of
        pieces, sentences and documents.
    """
    counts = np.array([[len(array) for array in shard] for shard, _ in shards], np.int64)
    if counts[:, 0].sum() > _MOST_PIECES:
        raise UserError("the text has more than %d pieces: pack a part of it" % _MOST_PIECES)
    starts = np.cumsum(counts[:, 0]) - counts[:, 0]
    columns = list(zip(*(shard for shard, _ in shards)))
    return {
        "pieces": np.concatenate(columns[0]),
        "sentences": np.concatenate(columns[1]),
        "documents": np.concatenate(columns[2]),
        "similar": np.concatenate(
            [_moved(rows, start) for (_, rows), start in zip(shards, starts)]
        ),
        "counts": counts,
    }


def _moved(rows, start):
    return rows + np.array([start, 0, start, 0, 0], np.int32)


def _drawn_pairs(shards, length, pass_number):
    """Draws rows of a few shards (number, pieces, sentences, documents), in a worker process."""
    found = []
    for number, pieces, sentences, documents in shards:
        encoded = sampling.EncodedShard(
            number, pieces, None, sentences.tolist(), list(map(tuple, documents.tolist())), None
        )
        seed = "%d %d %d" % (length, number, pass_number)
        found.append(_rows(encoded, _settings(length), None, seed))
    return found


class PackedText:
    """The text on a device; worker processes draw new pairs for each pass.

    Attributes:
        special_ids: `SpecialIds` of the vocabulary.
        vocabulary_sha256: digest of the vocabulary with which the text was tokenized.
    """

    def __init__(self, path: str, num_workers: int) -> None:
        """Reads a file of pack_text.py and starts the workers.

        Args:
            path: the file.
            num_workers: number of processes that draw pairs.

        Raises:
            UserError: if the file is not a file of pack_text.py.
        """
        arrays = _read(path)
        self._similar, counts = arrays["similar"], arrays["counts"]
        self.special_ids = SpecialIds(*arrays["special_ids"].tolist())
        self.vocabulary_sha256 = str(arrays["vocabulary_sha256"])
        parts = [arrays[name] for name in ("pieces", "sentences", "documents")]
        cuts = np.cumsum(counts, 0)[:-1]
        columns = [np.split(part, cut) for part, cut in zip(parts, cuts.T)]
        shards = [(n,) + shard for n, shard in enumerate(zip(*columns))]
        self._groups = [
            shards[first::num_workers] for first in range(min(num_workers, len(shards)))
        ]
        self._starts = np.cumsum(counts[:, 0]) - counts[:, 0]
        self._drawn = {}
        self._pool = concurrent.futures.ProcessPoolExecutor(
            num_workers, multiprocessing.get_context("fork"), _ignore_interrupts
        )
        self._pool.submit(int).result()  # forks the workers now, before a GPU is in use
        self._arrays = arrays

    def place_on(self, device: "torch.device") -> None:
        """Copies the pieces to a device."""
        self._device = device
        self._pieces = self._on_device(self._arrays["pieces"])
        self._held_out_pieces = self._on_device(self._arrays["held_out_pieces"])
        self._held_out_pairs = self._arrays["held_out_pairs"]

    def _on_device(self, pieces):
        import torch

        return torch.from_numpy(pieces.view(np.int16)).to(self._device)

    def close(self) -> None:
        """Terminates the worker processes, even if they are busy."""
        workers = list((self._pool._processes or {}).values())
        self._pool.shutdown(wait=False)
        for worker in workers:
            worker.terminate()

    def _start_drawing(self, length, number):
        if (length, number) not in self._drawn:
            self._drawn[length, number] = [
                self._pool.submit(_drawn_pairs, group, length, number) for group in self._groups
            ]

    def _pairs(self, length, number):
        """Rows int32 [n, 5] of one pass, with positions in all pieces, in the order of the text."""
        self._start_drawing(length, number)
        found = {}
        try:
            for group, future in zip(self._groups, self._drawn.pop((length, number))):
                found.update(zip((shard[0] for shard in group), future.result()))
        except concurrent.futures.process.BrokenProcessPool as error:
            raise UserError(
                "a process that draws pairs was killed, perhaps for memory: lower --num_workers"
            ) from error
        return np.concatenate([_moved(found[n], self._starts[n]) for n in sorted(found)])

    def batches(
        self, pass_number: int, num_pieces: int, long_share: float, first: int = 0
    ) -> Iterator["PackedBatch"]:
        """Yields the batches of one pass over the text.

        Args:
            pass_number: number of the pass, which determines all its random draws.
            num_pieces: T.
            long_share: share of the pieces that are in sequences of up to 512.
            first: number of batches to skip.

        Yields:
            the text of a step.
        """
        for number in (pass_number, pass_number + 1):  # the next pass is drawn in the meantime
            for length in (SHORT, LONG):
                self._start_drawing(length, number)
        generator = np.random.RandomState(pass_number)
        short, long = (self._pairs(length, pass_number) for length in (SHORT, LONG))
        kinds = _chosen(short, self._similar, long, long_share, generator)
        most = (
            np.repeat([SHORT, SHORT, LONG], [len(rows) for rows in kinds]) - sampling.SPECIAL_PIECES
        )
        order = generator.permutation(len(most))
        rows = cut_to_size(np.concatenate(kinds)[order].astype(np.int64), most[order], generator)
        bounds = _bounds_of_batches(rows, num_pieces)
        if len(bounds) < 2:
            raise UserError("--num_pieces=%d: the text is shorter than one step" % num_pieces)
        yield from self._batches_of(self._pieces, rows, num_pieces, bounds[first:-1])

    def held_out_batches(
        self, num_pairs: Optional[int], num_pieces: int
    ) -> Iterator["PackedBatch"]:
        """Yields batches of the first (or all) held-out pairs; the last may be nearly empty."""
        rows = self._held_out_pairs[:num_pairs].astype(np.int64)
        generator = np.random.RandomState(0)
        rows = cut_to_size(rows, SHORT - sampling.SPECIAL_PIECES, generator)
        bounds = _bounds_of_batches(rows, num_pieces)
        yield from self._batches_of(self._held_out_pieces, rows, num_pieces, bounds)

    def _batches_of(self, pieces, rows, num_pieces, bounds):
        import torch

        rows = torch.from_numpy(rows).to(self._device)
        for first, last in bounds:
            yield PackedBatch(pieces, rows[first:last], num_pieces, self.special_ids)


def _read(path):
    """Reads the arrays of a file of pack_text.py, by name."""
    try:
        with np.load(path) as arrays:
            return {name: arrays[name] for name in _ARRAYS}
    except OSError as error:
        raise files.cannot_read("--packed_file=" + path, error) from error
    except _DAMAGED as error:
        raise UserError(
            "--packed_file=%s: not a complete file of scripts/pack_text.py: pack the text "
            "again" % path
        ) from error


def _ignore_interrupts():
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the main process terminates its workers


def _bounds_of_batches(rows, num_pieces):
    """Returns [(first row, end)] of all batches, each with as many rows as fit into its pieces."""
    ends = np.cumsum(rows[:, 1] + rows[:, 3] + sampling.SPECIAL_PIECES)
    bounds, first, begin = [], 0, 0
    while first < len(ends):
        last = int(np.searchsorted(ends, begin + num_pieces, "right"))
        bounds.append((first, last))
        first, begin = last, int(ends[last - 1])
    return bounds


def _chosen(short, similar, long, long_share, generator):
    """Chooses the rows of a pass: as much text in similar as in other pairs, and long pairs."""

    def size(rows, most=SHORT):
        return np.minimum(rows[:, 1] + rows[:, 3] + sampling.SPECIAL_PIECES, most).sum()

    def sample(rows, share):
        return rows[generator.permutation(len(rows))[: int(min(1.0, share) * len(rows))]]

    long = long[long[:, 1] + long[:, 3] > _LONG_FROM]
    similar = sample(similar, size(short) / max(1, size(similar)))
    wanted = long_share / (1 - long_share) * (size(short) + size(similar))
    return short, similar, sample(long, wanted / max(1, size(long, LONG)))


def cut_to_size(
    rows: np.ndarray, most: Union[int, np.ndarray], generator: np.random.RandomState
) -> np.ndarray:
    """Trims and truncates pairs like `sampling.cut_to_size`.

    Args:
        rows: int64 [n, 5].
        most: maximum number of pieces of A and B together, for all pairs or int [n] for each pair.
        generator: random generator for the truncation.

    Returns:
        int64 [n, 5].
    """
    pairs = sampling.cut_to_size(sampling.Pairs(*rows.T), most, generator)
    return np.stack(pairs, 1)


class PackedBatch:
    """Sequences that are concatenated in T pieces; the rest at the end is padding.

    Attributes:
        ids, positions, segments: int64 [T].
        is_text: bool [T], whether a piece may be masked.
        is_shown: bool [T], whether a piece is not padding.
        sequence: int64 [T], the number of each piece's sequence.
        starts: int64 [n], the position of each [CLS].
        labels: int64 [n], 1 if B is from another document.
        bounds: int32 [n + 2], where sequences begin and end, with the padding as the last one.
        longest: upper bound of the number of pieces in a sequence (not in the padding, whose rows
            may have any values).
    """

    def __init__(
        self,
        pieces: "torch.Tensor",
        rows: "torch.Tensor",
        num_pieces: int,
        special_ids: SpecialIds,
    ) -> None:
        """Builds the batch on the device of its rows.

        Args:
            pieces: int16 [N], the whole text.
            rows: int64 [n, 5].
            num_pieces: T.
            special_ids: special ids of the vocabulary.
        """
        import torch

        begin_a, length_a, begin_b, length_b, self.labels = rows.unbind(1)
        ends = torch.cumsum(length_a + length_b + sampling.SPECIAL_PIECES, 0)
        self.starts = torch.nn.functional.pad(ends[:-1], (1, 0))
        self.bounds = torch.nn.functional.pad(ends, (1, 1)).int()
        self.bounds[-1] = num_pieces
        place = torch.arange(num_pieces, device=rows.device)
        self.sequence = torch.searchsorted(ends, place, right=True)  # [T]
        self.is_shown = self.sequence < len(rows)

        def of_piece(column, of_padding=0):
            return torch.nn.functional.pad(column, (0, 1), value=of_padding)[self.sequence]

        position = place - torch.nn.functional.pad(ends, (1, 0))[self.sequence]
        first_sep = of_piece(length_a) + 1
        last_sep = first_sep + of_piece(length_b) + 1
        in_a = (position >= 1) & (position < first_sep)
        in_b = (position > first_sep) & (position < last_sep)
        self.is_text = (in_a | in_b) & self.is_shown
        source = torch.where(
            in_b, of_piece(begin_b) + position - first_sep - 1, of_piece(begin_a) + position - 1
        )
        ids = pieces[torch.where(self.is_text, source, 0)].long() & 0xFFFF
        ids = torch.where(
            self.is_text, ids, torch.where(position == 0, special_ids.cls, special_ids.sep)
        )
        self.ids = torch.where(self.is_shown, ids, special_ids.pad)
        self.positions = torch.clamp(position, max=LONG - 1)
        self.segments = ((position > first_sep) & self.is_shown).long()
        self.longest = LONG
