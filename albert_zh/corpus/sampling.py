"""Converts documents to masked segment pairs, the content of pre-training records.

    sampler = Sampler(settings, vocabulary)
    encoded = encode_shard(shard, encoder)
    for features in sampler.features(encoded, pass_number):
        features["input_ids"]  # int64 [N, S]

A shard is encoded once; every pass over it (`dupe_factor`) draws different pairs and masks from
separate generators, seeded by (seed, shard, pass). The records therefore depend neither on the
order in which shards are processed nor on the worker.

How pairs are drawn: consecutive sentences are collected until they reach the target length, split
at random into A and B, swapped (label 1) in half of all cases, and truncated. This differs from the
original in three ways, so that truncation does not reveal the order. First, the sentence collected
last is the one that makes a pair too long; the original always collects from a document's first
sentence on, whereas here each document is read from a random end. Second, the original truncates
only the longer segment; here both segments lose pieces at both ends, in proportion to their
lengths. Third, every segment loses a few pieces at both ends at random, since otherwise a document
that fits into one record would always show its beginning and its end, which a pair of its sentences
rarely does.
"""

import collections
import functools
import random
from typing import TYPE_CHECKING, Dict, Iterable, Iterator, Optional, Sequence, Tuple

import numpy as np

from albert_zh.common.errors import UserError
from albert_zh.corpus import counts as corpus_counts
from albert_zh.corpus import masking, similar_documents

if TYPE_CHECKING:
    from albert_zh.corpus.reader import Shard
    from albert_zh.corpus.similar_words import Table
    from albert_zh.text.tokenization import FullTokenizer
    from albert_zh.text.word_segmentation import LineEncoder

_MASK = "[MASK]"
SPECIAL_PIECES = 3  # [CLS], [SEP], [SEP]
SHORTEST = SPECIAL_PIECES + 2  # pieces of a sequence
_LABEL_OF_ONE = 1  # label of records of one segment, as in the original; it has no meaning
_MAX_TRIES = 10  # attempts to draw a document that differs from a given one
_BATCH_PIECES = 1 << 18
_MOST_TRIMMED = 8  # pieces per end of a segment

Settings = collections.namedtuple(
    "Settings",
    "max_seq_length max_predictions masked_lm_prob short_seq_prob seed whole_words run_weights "
    "google random_next similar_next permute dynamic one_segment crosses_documents by_span",
    defaults=(False, False, False),
)
Settings.__doc__ = """How records are created.

Fields:
    max_seq_length: int, S.
    max_predictions: int, maximum number of pieces to mask in a sequence.
    masked_lm_prob: float, the share of pieces to mask.
    short_seq_prob: float, the share of documents for which a shorter target length is drawn.
    seed: int.
    whole_words: bool, whether whole words are masked.
    run_weights: floats, weights of runs of 1, 2, ... words to mask.
    google: bool, whether a single sentence is paired with one of another document, and records
        mark the first piece of each word.
    random_next: bool, whether B is from another document in half of all pairs (only with google).
    similar_next: bool, whether that document shares rare words with A, if such a document exists;
        documents of a single sentence are then skipped, as all their pairs would have label 1 (with
        random_next).
    permute: bool, whether the same number of further pieces is shuffled.
    dynamic: bool, whether masking is left to the training.
    one_segment: bool, whether a record is [CLS] A [SEP], as in RoBERTa, filled with sentences of
        one document.
    by_span: bool, whether the pieces of a run are all masked, all kept or all replaced.
    crosses_documents: bool, whether such a record continues with the next document, after a [SEP].
"""

Vocabulary = collections.namedtuple("Vocabulary", "cls_id sep_id mask_id size ids")
Vocabulary.__doc__ = """The properties of a vocabulary that sampling needs.

Fields:
    cls_id, sep_id, mask_id: int.
    size: int, number of its entries.
    ids: list of int, the id of each distinct entry, in the order of first occurrence in the file.
"""

EncodedShard = collections.namedtuple(
    "EncodedShard", "index ids word_starts sentences documents counts"
)
EncodedShard.__doc__ = """The pieces of a shard, sentence by sentence.

Fields:
    index: int, index of the shard.
    ids: int32 [pieces].
    word_starts: bool [pieces], whether each piece begins a word.
    sentences: list of int, the start of each sentence, and the end of the last one.
    documents: list of (first, last): sentences first to last - 1 are a document.
    counts: `collections.Counter` of its content, see `corpus.counts`.
"""

Pairs = collections.namedtuple("Pairs", "begins_a lengths_a begins_b lengths_b labels")
Pairs.__doc__ = """Pairs of segments as positions in a shard's pieces; int64 [N] each."""


def make_vocabulary(tokenizer: "FullTokenizer") -> Vocabulary:
    """Returns the `Vocabulary` of a `tokenization.FullTokenizer`.

    Raises:
        UserError: if it has no [MASK].
    """
    if _MASK not in tokenizer.vocab:
        raise UserError(
            "the vocabulary of %d entries has no %s, which pre-training needs: expected the "
            "vocabulary of a BERT or ALBERT model, or one that build_vocab.py created"
            % (len(tokenizer.vocab), _MASK)
        )
    cls_id, sep_id, mask_id = tokenizer.convert_tokens_to_ids(["[CLS]", "[SEP]", _MASK])
    return Vocabulary(
        cls_id, sep_id, mask_id, len(tokenizer.inv_vocab), list(tokenizer.vocab.values())
    )


def encode_shard(shard: "Shard", encoder: "LineEncoder") -> EncodedShard:
    """Tokenizes the lines of a shard.

    Args:
        shard: `reader.Shard`.
        encoder: `word_segmentation.LineEncoder`.

    Returns:
        the `EncodedShard`; lines and documents without any piece are skipped.
    """
    ids, word_starts, sentences, documents = [], [], [0], []
    counts = collections.Counter()
    for lines in shard.documents:
        first = len(sentences) - 1
        for line in lines:
            line_ids, line_starts = encoder.encode(line)
            if line_ids:
                ids += line_ids
                word_starts += line_starts
                sentences.append(len(ids))
            counts["sentences without pieces"] += not line_ids
            if encoder.unknown_id in line_ids:
                unknown = encoder.unknown_id
                counts.update(corpus_counts.counts_of_unknown(line, line_ids, unknown, encoder))
        if len(sentences) - 1 > first:
            documents.append((first, len(sentences) - 1))
    new_documents = documents[int(shard.continues) :]
    counts.update(corpus_counts.counts_of_text(len(ids), sentences, new_documents))
    return EncodedShard(
        shard.index,
        np.array(ids, np.int32),
        np.array(word_starts, bool),
        sentences,
        documents,
        counts,
    )


def chunks_of_document(
    lengths: Sequence[int], settings: Settings, generator: random.Random
) -> Iterator[Tuple[int, int, Optional[int], int]]:
    """Splits a document into chunks and each chunk into A and B.

    A chunk is complete at the target length or at the end of the document. The draws from the
    generator are the same as in the original, in the same order.

    Args:
        lengths: number of pieces in each sentence.
        settings: `Settings`.
        generator: `random.Random`.

    Yields:
        (begin, middle, end, target): A is the sentences begin to middle - 1, B is middle to
        end - 1; end is None if B must be drawn from another document; target is the target length.
    """
    target = settings.max_seq_length - SPECIAL_PIECES
    if generator.random() < settings.short_seq_prob:
        target = generator.randint(2, target)
    begin, end, size = 0, 0, 0
    while end < len(lengths):
        size += lengths[end]
        end += 1
        if end < len(lengths) and size < target:
            continue
        is_single = end - begin == 1
        if is_single and (settings.similar_next or not settings.google):
            continue  # adds the next sentence, if there is one
        middle = begin + (1 if is_single else generator.randint(1, end - begin - 1))
        if settings.google and (is_single or (settings.random_next and generator.random() < 0.5)):
            yield begin, middle, None, target
            end = middle  # the sentences that B would have had are used again
        else:
            yield begin, middle, end, target
        begin, size = end, 0


def segments_of_document(places: Sequence[int], most: int) -> Iterator[Tuple[int, int]]:
    """Splits a document into segments of whole sentences that fit into a sequence.

    A sentence that is too long is split; no text is lost.

    Args:
        places: start of each sentence, and the end of the last one.
        most: maximum number of pieces in a segment.

    Yields:
        (begin, length).
    """
    begin = end = places[0]
    for stop in places[1:]:
        if stop - begin > most and end > begin:
            yield begin, end - begin
            begin = end
        while stop - begin > most:
            yield begin, most
            begin += most
        end = stop
    if end > begin:
        yield begin, end - begin


def with_separators(shard: EncodedShard, sep_id: int) -> EncodedShard:
    """Joins a shard's documents into one, with a [SEP] between them as a one-piece sentence."""
    ends = np.array([shard.sentences[last] for _, last in shard.documents[:-1]], np.int64)
    sentences = np.array(shard.sentences)
    moved = sentences + np.searchsorted(ends, sentences, side="right")
    return shard._replace(
        ids=np.insert(shard.ids, ends, sep_id),
        word_starts=np.insert(shard.word_starts, ends, True),
        sentences=sorted(moved.tolist() + (ends + np.arange(len(ends))).tolist()),
        documents=[(0, len(sentences) + len(ends) - 1)] if shard.documents else [],
    )


def without_outer_separators(
    segments: Iterable[Tuple[int, int]], ids: np.ndarray, sep_id: int
) -> Iterator[Tuple[int, int]]:
    """Yields the segments (begin, length) without a [SEP] at their beginning or end."""
    for begin, length in segments:
        while length and ids[begin] == sep_id:
            begin, length = begin + 1, length - 1
        while length and ids[begin + length - 1] == sep_id:
            length -= 1
        if length:
            yield begin, length


def segment_of_other_document(
    text: EncodedShard, index: int, wanted: int, generator: random.Random
) -> Tuple[int, int]:
    """Draws consecutive sentences of another document, in the original's order of draws.

    Args:
        text: all documents.
        index: the document to avoid; it is used if ten draws yield no other document.
        wanted: number of pieces to reach, unless the document ends before.
        generator: `random.Random`.

    Returns:
        (begin, end), positions in the text's pieces.
    """
    for _ in range(_MAX_TRIES):
        other = generator.randint(0, len(text.documents) - 1)
        if other != index:
            break
    first, last = text.documents[other]
    return _sentences_from(text, first + generator.randint(0, last - first - 1), last, wanted)


def segment_of_similar_document(
    text: EncodedShard,
    neighbours: similar_documents.Neighbours,
    former: Sequence[int],
    index: int,
    wanted: int,
    generator: random.Random,
) -> Tuple[int, int]:
    """Draws the text after a sentence of another document that shares rare words with A.

    Args:
        text: `EncodedShard`.
        neighbours: `similar_documents.Neighbours` of the text.
        former: (begin, end) of A, positions in the text's pieces.
        index: the document of A.
        wanted: number of pieces to reach, unless the document ends before.
        generator: `random.Random`.

    Returns:
        (begin, end), positions in the text's pieces; from any other document if none is similar.
    """
    following = neighbours.following(former[0], former[1], text.documents[index])
    if not following:
        return segment_of_other_document(text, index, wanted, generator)
    first, last = generator.choice(following)
    return _sentences_from(text, first, last, wanted)


def _sentences_from(text, first, last, wanted):
    """Returns (begin, end) of the sentences from `first` on, until `wanted` pieces or `last`."""
    begin = text.sentences[first]
    for end in text.sentences[first + 1 : last + 1]:
        if end - begin >= wanted:
            break
    return begin, end


class Sampler:
    """Draws the records of encoded shards."""

    def __init__(
        self, settings: Settings, vocabulary: Vocabulary, similar: Optional["Table"] = None
    ) -> None:
        """Initializes the sampler.

        Args:
            settings: `Settings`.
            vocabulary: `Vocabulary`.
            similar: `similar_words.Table`, whose words are shown instead of [MASK]; None: use
                [MASK].
        """
        self._similar = similar
        self._settings = settings
        self._vocabulary = vocabulary
        fields = masking.MaskingChoice._fields
        self._choice = masking.MaskingChoice(*(getattr(settings, field) for field in fields))

    def features(self, shard: EncodedShard, pass_number: int) -> Iterator[Dict[str, np.ndarray]]:
        """Draws the records of one pass over a shard.

        Args:
            shard: `EncodedShard`.
            pass_number: from 0.

        Yields:
            {name: feature [N, k]} of a batch of records; always includes `token_boundary`.
        """
        seed = "%d %d %d" % (self._settings.seed, shard.index, pass_number)
        if self._settings.crosses_documents:
            shard = with_separators(shard, self._vocabulary.sep_id)
        generator = random.Random(seed)  # a str is hashed with SHA-512 in every Python version
        pairs = self.pairs(shard, generator)
        arrays = np.random.RandomState(generator.getrandbits(32))
        step = max(1, _BATCH_PIECES // self._settings.max_seq_length)
        for first in range(0, len(pairs.labels), step):
            batch = Pairs(*(column[first : first + step] for column in pairs))
            yield self._features_of_pairs(shard, batch, arrays)

    def pairs(self, shard: EncodedShard, generator: random.Random) -> Pairs:
        """Draws the pairs of one pass over a shard, before they are truncated."""
        rows = []
        draw_other = self._draw_of_other_documents(shard)
        for index, document in enumerate(shard.documents):
            rows += self._pairs_of_document(shard, index, document, draw_other, generator)
        return Pairs(*np.array(rows, np.int64).reshape(-1, 5).T)

    def _draw_of_other_documents(self, shard):
        """Returns a function of (A, its document, wanted pieces, generator) that draws B."""
        if self._settings.similar_next:
            neighbours = similar_documents.Neighbours(shard)
            return functools.partial(segment_of_similar_document, shard, neighbours)
        return lambda former, *drawn: segment_of_other_document(shard, *drawn)

    def _pairs_of_document(self, shard, index, document, draw_other, generator):
        """Returns rows (begin A, length A, begin B, length B, label), in the shard's pieces."""
        positions = shard.sentences[document[0] : document[1] + 1]
        if self._settings.one_segment:
            most = self._settings.max_seq_length - SPECIAL_PIECES + 1  # without the second [SEP]
            segments = segments_of_document(positions, most)
            if self._settings.crosses_documents:
                segments = without_outer_separators(segments, shard.ids, self._vocabulary.sep_id)
            return [(begin, length, begin, 0, _LABEL_OF_ONE) for begin, length in segments]
        is_backward = generator.random() < 0.5
        lengths = [end - begin for begin, end in zip(positions, positions[1:])]
        if is_backward:
            lengths.reverse()
            positions = positions[::-1]
        rows = []
        # A shard of one document, such as a part of a novel, has no other document for B.
        has_others = len(shard.documents) > 1
        settings = self._settings._replace(random_next=self._settings.random_next and has_others)
        for begin, middle, end, target in chunks_of_document(lengths, settings, generator):
            former = sorted((positions[begin], positions[middle]))
            if end is None and not has_others:
                continue
            if end is None:
                wanted = target - (former[1] - former[0])
                latter, label = draw_other(former, index, wanted, generator), 1
            else:
                latter = sorted((positions[middle], positions[end]))
                is_swapped = not self._settings.random_next and generator.random() < 0.5
                label = int(is_swapped)
                if is_swapped != is_backward:
                    former, latter = latter, former
            rows.append((former[0], former[1] - former[0], latter[0], latter[1] - latter[0], label))
        return rows

    def _features_of_pairs(self, shard, pairs, arrays):
        settings = self._settings
        if not settings.one_segment:
            pairs = cut_to_size(pairs, settings.max_seq_length - SPECIAL_PIECES, arrays)
        features = self._sequences(shard, pairs)
        if settings.dynamic:
            return features
        return masking.masked_features(
            features,
            self._choice,
            self._vocabulary.mask_id,
            self._vocabulary.size,
            arrays,
            self._vocabulary.sep_id if settings.crosses_documents else None,
            self._similar,
        )

    def _sequences(self, shard, pairs):
        """Builds the sequence [CLS] A [SEP] B [SEP], or [CLS] A [SEP], of each pair.

        Returns:
            {name: feature [N, k]}.
        """
        position = np.arange(self._settings.max_seq_length)
        first_sep = 1 + pairs.lengths_a[:, None]  # [N, 1]
        last_sep = first_sep
        if not self._settings.one_segment:
            last_sep = first_sep + 1 + pairs.lengths_b[:, None]
        in_a = (position >= 1) & (position < first_sep)
        in_b = (position > first_sep) & (position < last_sep)
        sources = np.where(
            in_b,
            (pairs.begins_b[:, None] - first_sep - 1) + position,
            pairs.begins_a[:, None] - 1 + position,
        )
        maskable = in_a | in_b
        sources[~maskable] = 0
        ids = shard.ids[sources].astype(np.int64)
        ids[~maskable] = 0
        ids[:, 0] = self._vocabulary.cls_id
        ids[(position == first_sep) | (position == last_sep)] = self._vocabulary.sep_id
        is_first = (position == 1) | (position == first_sep + 1)
        is_start = shard.word_starts[sources] | is_first | ~maskable
        is_shown = position <= last_sep
        return {
            "input_ids": ids,
            "input_mask": is_shown.astype(np.int64),
            "segment_ids": ((position > first_sep) & is_shown).astype(np.int64),
            "token_boundary": (is_shown & is_start).astype(np.int64),
            "next_sentence_labels": pairs.labels[:, None],
        }


def cut_to_size(pairs: Pairs, max_pieces: int, generator: np.random.RandomState) -> Pairs:
    """Trims both ends of all segments, and truncates pairs that are too long.

    Every end loses up to `_MOST_TRIMMED` pieces, but less than half of its segment. If a pair is
    still too long, pieces are removed at both ends of both segments, in proportion to their
    lengths.

    Args:
        pairs: pairs of any length.
        max_pieces: maximum number of pieces of A and B together; 2 or more.
        generator: `numpy.random.RandomState`.

    Returns:
        the truncated pairs; no segment is empty.
    """
    begins_a, lengths_a = _trimmed(pairs.begins_a, pairs.lengths_a, generator)
    begins_b, lengths_b = _trimmed(pairs.begins_b, pairs.lengths_b, generator)
    excess = np.maximum(0, lengths_a + lengths_b - max_pieces)
    shares = excess * lengths_a / (lengths_a + lengths_b)
    cut_a = (shares + generator.random_sample(len(shares))).astype(np.int64)
    cut_a = np.minimum(np.maximum(cut_a, excess - lengths_b + 1), lengths_a - 1)
    cut_a = np.where(excess > 0, cut_a, 0)
    cut_b = excess - cut_a
    return Pairs(
        begins_a + generator.binomial(cut_a, 0.5),
        lengths_a - cut_a,
        begins_b + generator.binomial(cut_b, 0.5),
        lengths_b - cut_b,
        pairs.labels,
    )


def _trimmed(begins, lengths, generator):
    """Returns the begins and lengths of segments after trimming a few pieces at both ends."""
    most = np.minimum(_MOST_TRIMMED, (lengths - 1) // 2)
    front, back = (generator.random_sample((2, len(most))) * (most + 1)).astype(np.int64)
    return begins + front, lengths - front - back
