"""Creates the same records as albert_zh, with identical draws (`--original_masking=true`).

    text = OriginalText(tokenizer, has_marks=True)
    text.add_shard([[original_pieces(line, tokenizer, segmenter) for line in lines]])
    sampler = OriginalSampler(text, settings, vocabulary)
    for features in sampler.batches(dupe_factor):
        features["input_ids"]  # int64 [N, S]
    order = sampler.shuffled_order()

The original makes all random draws with one generator in one sequence, which cannot be split among
workers; only tokenization can. The text is tokenized once for all passes and is held in memory as
one number per piece.
"""

import array
import random
from typing import TYPE_CHECKING, Callable, Dict, Iterable, Iterator, List, Optional, Sequence

import numpy as np

from albert_zh.common.errors import UserError
from albert_zh.corpus import counts as corpus_counts
from albert_zh.corpus import original_masking
from albert_zh.corpus.sampling import (
    SPECIAL_PIECES,
    EncodedShard,
    Settings,
    Vocabulary,
    chunks_of_document,
    segment_of_other_document,
)
from albert_zh.text import word_starts

if TYPE_CHECKING:
    from albert_zh.text.tokenization import FullTokenizer

_BATCH_ROWS = 512


def original_pieces(
    line: str, tokenizer: "FullTokenizer", segmenter: Optional[Callable[[str], List[str]]]
) -> List[str]:
    """Splits a line into pieces with the original's whole-word marks.

    Args:
        line: a line of the text.
        tokenizer: `tokenization.FullTokenizer`.
        segmenter: function that splits a text into words, or None for no marks.
    """
    tokens = tokenizer.tokenize(line)
    if segmenter is None:
        return tokens
    return original_masking.original_marked_tokens(tokens, set(segmenter("".join(tokens))))


class OriginalText:
    """A corpus as a sequence of numbers, one for each distinct piece, and the table of pieces.

    Attributes:
        shown_ids: list of int, for each number the id of its piece in the model's input.
        starts_word: list of bool, for each number whether its piece begins a word.
        cls, sep: int, numbers of [CLS] and [SEP].
    """

    def __init__(
        self,
        tokenizer: "FullTokenizer",
        has_marks: bool,
        starts_word: Callable[[str], bool] = word_starts.starts_word,
    ) -> None:
        """Initializes the original text.

        Args:
            tokenizer: `tokenization.FullTokenizer`.
            has_marks: whether pieces have the marks of `original_pieces`.
            starts_word: function of a piece that returns whether it begins a word.
        """
        self.shown_ids, self.starts_word = [], []
        self._tokenizer = tokenizer
        self._has_marks = has_marks
        self._starts_word = starts_word
        self._pieces = []
        self._index_of_piece = {}
        self._numbers, self._sentences, self._documents = array.array("i"), [0], []
        for token in ("[CLS]", "[SEP]"):
            self._number(token)
        self.cls, self.sep = 0, 1

    def add_shard(
        self, documents: Iterable[Iterable[Sequence[str]]], continues: bool = False
    ) -> None:
        """Adds documents; lines and documents without any piece are skipped.

        Args:
            documents: for each document its lines, each as a list of pieces.
            continues: whether the first document continues the last one that was added.
        """
        for lines in documents:
            first = len(self._sentences) - 1
            for pieces in filter(None, lines):
                self._numbers.extend(map(self._number, pieces))
                self._sentences.append(len(self._numbers))
            if continues and self._documents:
                first = self._documents.pop()[0]
            continues = False
            if len(self._sentences) - 1 > first:
                self._documents.append((first, len(self._sentences) - 1))

    def encoded(self) -> EncodedShard:
        """Returns the text so far as an `EncodedShard` whose ids are the numbers (an `array`)."""
        counts = corpus_counts.counts_of_text(len(self._numbers), self._sentences, self._documents)
        return EncodedShard(0, self._numbers, None, self._sentences, list(self._documents), counts)

    def label_id(self, number: int) -> int:
        """Returns the id of a piece, with its mark, as a label; `UserError` if it has none."""
        return self._id(self._pieces[number])

    def _number(self, piece):
        index = self._index_of_piece.get(piece)
        if index is None:
            index = self._index_of_piece[piece] = len(self._pieces)
            shown = original_masking.original_visible_token(piece) if self._has_marks else piece
            self._pieces.append(piece)
            self.shown_ids.append(self._id(shown))
            self.starts_word.append(self._starts_word(piece))
        return index

    def _id(self, piece):
        try:
            return self._tokenizer.convert_tokens_to_ids([piece])[0]
        except UserError as error:
            raise UserError(
                "--original_masking: the vocabulary has no %r, which the original's labels need: "
                "use the released vocabulary, or leave the flag out" % piece
            ) from error


class OriginalSampler:
    """Draws the records of a text like the original.

    Attributes:
        num_records: int, number of records drawn so far.
        documents_done: int, number of documents processed so far, in all passes.
    """

    def __init__(
        self,
        text: OriginalText,
        settings: Settings,
        vocabulary: Vocabulary,
        generator: Optional[random.Random] = None,
    ) -> None:
        """Initializes the original sampler.

        Args:
            text: `OriginalText`.
            settings: `sampling.Settings`.
            vocabulary: `sampling.Vocabulary`.
            generator: generator for all draws but run lengths; None: a new one with the settings'
                seed.
        """
        self.num_records = self.documents_done = 0
        self._text = text
        self._settings = settings
        self._vocabulary = vocabulary
        self._generator = generator or random.Random(settings.seed)
        # The original draws n-gram lengths from NumPy's global generator, which it never seeds.
        self._length_generator = np.random.RandomState(settings.seed % (1 << 32))

    def batches(self, dupe_factor: int) -> Iterator[Dict[str, np.ndarray]]:
        """Draws all records, document by document and pass by pass.

        Args:
            dupe_factor: number of passes.

        Yields:
            {name: feature [N, k]} of a batch of records.
        """
        encoded = self._text.encoded()
        self._generator.shuffle(encoded.documents)
        rows = []
        for _ in range(dupe_factor):
            for index in range(len(encoded.documents)):
                rows += self._rows_of_document(encoded, index)
                self.documents_done += 1
                if len(rows) >= _BATCH_ROWS:
                    yield self._features(rows)
                    rows = []
        if rows:
            yield self._features(rows)

    def shuffled_order(self) -> List[int]:
        """Returns the order in which to write the records, as numbers of the drawn records."""
        order = list(range(self.num_records))
        self._generator.shuffle(order)
        return order

    def _rows_of_document(self, encoded, index):
        first, last = encoded.documents[index]
        positions = encoded.sentences[first : last + 1]
        lengths = [end - begin for begin, end in zip(positions, positions[1:])]
        generator = self._generator
        rows = []
        for begin, middle, end, target in chunks_of_document(lengths, self._settings, generator):
            segment_a = (positions[begin], positions[middle])
            if end is None:
                wanted = target - (positions[middle] - positions[begin])
                segment_b = segment_of_other_document(encoded, index, wanted, generator)
                label = 1
            else:
                segment_b = (positions[middle], positions[end])
                label = int(not self._settings.random_next and generator.random() < 0.5)
                if label:
                    segment_a, segment_b = segment_b, segment_a
            segment_a, segment_b = self._cut_to_size(segment_a, segment_b)
            pieces_a, pieces_b = encoded.ids[slice(*segment_a)], encoded.ids[slice(*segment_b)]
            rows.append(self._row(pieces_a.tolist(), pieces_b.tolist(), label))
        self.num_records += len(rows)
        return rows

    def _cut_to_size(self, *segments):
        """Truncates the segments (begin, end), one piece at a time, until they fit."""
        (begin_a, end_a), (begin_b, end_b) = segments
        most = self._settings.max_seq_length - SPECIAL_PIECES
        while end_a - begin_a + end_b - begin_b > most:
            at_front = self._generator.random() < 0.5
            if end_a - begin_a > end_b - begin_b:
                begin_a, end_a = (begin_a + 1, end_a) if at_front else (begin_a, end_a - 1)
            else:
                begin_b, end_b = (begin_b + 1, end_b) if at_front else (begin_b, end_b - 1)
        return (begin_a, end_a), (begin_b, end_b)

    def _row(self, pieces_a, pieces_b, label):
        """Returns (shown ids, length of [CLS] A [SEP], predictions, word starts, label)."""
        text = self._text
        pieces = [text.cls] + pieces_a + [text.sep] + pieces_b + [text.sep]
        segment_ends = (0, len(pieces_a) + 1, len(pieces) - 1)
        starts_word = [text.starts_word[piece] for piece in pieces]
        is_continuation = [self._settings.whole_words and not starts for starts in starts_word]
        candidates = original_masking.original_candidates(is_continuation, segment_ends)
        shown, partners = self._choices(candidates, len(pieces))
        ids = [text.shown_ids[piece] for piece in pieces]
        labels = {position: text.label_id(pieces[position]) for position in shown}
        for position, replacement in shown.items():
            if replacement == original_masking.MASKED:
                ids[position] = self._vocabulary.mask_id
            elif replacement != original_masking.KEPT:
                ids[position] = self._vocabulary.ids[replacement]
        labels.update((position, ids[position]) for position, _ in partners)
        moved = [(position, ids[partner]) for position, partner in partners]
        for position, piece_id in moved:
            ids[position] = piece_id
        return ids, len(pieces_a) + 2, sorted(labels.items()), starts_word, label

    def _choices(self, candidates, length):
        """Returns ({position: replacement}, [(position, position of the piece to move there)])."""
        settings = self._settings
        vocab_size = len(self._vocabulary.ids)
        limit = min(settings.max_predictions, max(1, int(round(length * settings.masked_lm_prob))))
        if not settings.google:
            return original_masking.original_choice_of_words(
                candidates, limit, vocab_size, self._generator
            ), []
        runs = original_masking.original_runs(candidates, len(settings.run_weights))
        draws = (runs, limit, settings.run_weights)
        generators = (self._generator, self._length_generator)
        shown = original_masking.original_choice_of_runs(*draws, vocab_size, *generators)
        if not settings.permute:
            return shown, []
        return shown, original_masking.original_permutation(*draws, *generators, shown)

    def _features(self, rows):
        """Returns the features of a batch of rows from `_row`."""
        settings = self._settings
        ids, lengths_a, predictions, starts_word, labels = zip(*rows)
        lengths = np.array([len(row) for row in ids])[:, None]
        lengths_a = np.array(lengths_a)[:, None]
        position = np.arange(settings.max_seq_length)
        most = settings.max_predictions * (2 if settings.permute else 1)
        return {
            "input_ids": padded(ids, len(position)),
            "input_mask": (position < lengths).astype(np.int64),
            "segment_ids": ((position >= lengths_a) & (position < lengths)).astype(np.int64),
            "masked_lm_positions": padded([[p for p, _ in row] for row in predictions], most),
            "masked_lm_ids": padded([[label for _, label in row] for row in predictions], most),
            "masked_lm_weights": padded(
                [[1.0] * len(row) for row in predictions], most, np.float32
            ),
            "next_sentence_labels": np.array(labels, np.int64)[:, None],
            "token_boundary": padded(starts_word, len(position)),
        }


def padded(rows: Sequence[Sequence[float]], width: int, dtype: type = np.int64) -> np.ndarray:
    """Stacks rows of different lengths into an array, padded with zeros."""
    table = np.zeros((len(rows), width), dtype)
    for row, ids in zip(table, rows):
        row[: len(ids)] = ids
    return table
