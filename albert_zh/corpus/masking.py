"""Chooses the pieces to mask and their replacements; results depend only on seeded generators.

    choice = MaskingChoice(0.15, 20, WHOLE_WORDS, whole_words=True, permute=False)
    masked = masked_features(features, choice, mask_id, vocab_size, generator)  # a batch of records
    chosen = choose_pieces(word_starts, maskable, limits, WHOLE_WORDS, generator)
    input_ids = mask_pieces(ids, chosen, mask_id, vocab_size, generator)

The functions above work on a whole batch of sequences at once and take a
`numpy.random.RandomState`, which generates the same numbers in every version of NumPy. All masking
strategies choose runs of whole words; they differ in the length of the runs (`WHOLE_WORDS`,
`ngram_weights`, `span_weights`), or in what counts as a word (each piece, for masking per piece).
"""

import collections
from typing import TYPE_CHECKING, Dict, Mapping, Optional, Sequence, Tuple

import numpy as np

if TYPE_CHECKING:
    from albert_zh.corpus.similar_words import Table

# Weights for drawing a run of 1, 2, ... words. In whole-word masking every run is one word.
WHOLE_WORDS = (1.0,)

REPLACEMENT_METHODS = ("word_piece", "span")
LONGEST_SPAN = 10
_SIMILAR_SHARE = 0.8  # share of words replaced with similar words, as in MacBERT
_SIMILAR_OR_KEPT_SHARE = 0.9
_SPAN_END = 0.2  # probability that a span ends after a word, as in SpanBERT (arXiv 1907.10529)

# Of the chosen pieces, 80% are masked, 10% are kept and 10% are replaced with a random piece.
_MASKED_SHARE = 0.8
_MASKED_OR_KEPT_SHARE = 0.9

MaskingChoice = collections.namedtuple(
    "MaskingChoice",
    "masked_lm_prob max_predictions run_weights whole_words permute by_span",
    defaults=(False,),
)
MaskingChoice.__doc__ = """The masking strategy.

Fields:
    masked_lm_prob: float, the share of pieces to mask.
    max_predictions: int, P, maximum number of pieces to mask in a sequence.
    run_weights: floats, weights of runs of 1, 2, ... words to mask.
    whole_words: bool, whether whole words are masked; otherwise every piece is a word.
    permute: bool, whether the same number of further pieces is shuffled.
    by_span: bool, whether the pieces of a run are all masked, all kept or all replaced.
"""


def maskable_pieces(input_mask: np.ndarray, segment_ids: np.ndarray) -> np.ndarray:
    """Finds the pieces of records that may be masked: all but [CLS], [SEP] and padding.

    Args:
        input_mask: int [N, S], 1 at all pieces, as in records.
        segment_ids: int [N, S], 1 at the pieces of B and the [SEP] after it, as in records.

    Returns:
        bool [N, S].
    """
    position = np.arange(input_mask.shape[1])
    last_sep = input_mask.sum(axis=1)[:, None] - 1
    first_sep = last_sep - segment_ids.sum(axis=1)[:, None]
    return (position > 0) & (position < last_sep) & (position != first_sep)


def masked_features(
    features: Mapping[str, np.ndarray],
    choice: MaskingChoice,
    mask_id: int,
    vocab_size: int,
    generator: np.random.RandomState,
    sep_id: Optional[int] = None,
    similar: Optional["Table"] = None,
) -> Dict[str, np.ndarray]:
    """Masks a batch of records of `--masking=dynamic`.

    Args:
        features: {name: array} with `input_ids`, `input_mask`, `segment_ids` and `token_boundary`,
            int [N, S] each; `token_boundary` is 1 at [CLS], [SEP] and the first piece of each word.
            Further features are passed through.
        choice: `MaskingChoice`.
        mask_id: id of [MASK].
        vocab_size: random pieces have ids below it.
        generator: `numpy.random.RandomState`.
        sep_id: id of [SEP], if segments may contain it; it is never masked. None: they do not.
        similar: `similar_words.Table`, whose words are shown instead of [MASK]; None: use [MASK].

    Returns:
        the features with `input_ids` masked, and `masked_lm_positions`, `masked_lm_ids`
        (int64 [N, P]) and `masked_lm_weights` (float32 [N, P]); [N, 2 P] each with `permute`.
    """
    ids = features["input_ids"]
    maskable = maskable_pieces(features["input_mask"], features["segment_ids"])
    if sep_id is not None:
        maskable &= ids != sep_id
    starts = maskable & (features["token_boundary"] == 1) if choice.whole_words else maskable
    lengths = features["input_mask"].sum(axis=1)
    limits = num_predictions(lengths, choice.masked_lm_prob, choice.max_predictions)
    chosen = choose_pieces(starts, maskable, limits, choice.run_weights, generator)
    if similar is None:
        shown = mask_pieces(ids, chosen, mask_id, vocab_size, generator, choice.by_span)
    else:
        shown = similar_pieces(ids, chosen, starts, similar, vocab_size, generator)
    most = choice.max_predictions
    if choice.permute:
        permuted = choose_pieces(
            starts, maskable, limits, choice.run_weights, generator, taken=chosen
        )
        shown = permute_pieces(shown, permuted, generator)
        chosen |= permuted
        most *= 2
    positions, labels, weights = predictions(ids, chosen, most)
    return dict(
        features,
        input_ids=shown,
        masked_lm_positions=positions,
        masked_lm_ids=labels,
        masked_lm_weights=weights,
    )


def ngram_weights(longest: int, favor_longer: bool = False) -> Tuple[float, ...]:
    """Weights of runs of 1 to `longest` words: 1/n (arXiv 1909.11942), or in reverse order."""
    weights = tuple(1.0 / length for length in range(1, longest + 1))
    return weights[::-1] if favor_longer else weights


def span_weights(longest: int = LONGEST_SPAN) -> Tuple[float, ...]:
    """Weights of runs of 1 to `longest` words, a geometric distribution as in SpanBERT."""
    return tuple(_SPAN_END * (1 - _SPAN_END) ** length for length in range(longest))


def num_predictions(lengths: np.ndarray, masked_lm_prob: float, max_predictions: int) -> np.ndarray:
    """Number of pieces to choose in each sequence.

    Args:
        lengths: int [N], number of pieces in each sequence, including [CLS] and [SEP].
        masked_lm_prob: the share of pieces to choose.
        max_predictions: maximum number of pieces to choose.

    Returns:
        int64 [N].
    """
    wanted = np.rint(np.asarray(lengths) * masked_lm_prob).astype(np.int64)
    return np.minimum(max_predictions, np.maximum(1, wanted))


def choose_pieces(
    word_starts: np.ndarray,
    maskable: np.ndarray,
    limits: np.ndarray,
    weights: Sequence[float],
    generator: np.random.RandomState,
    taken: Optional[np.ndarray] = None,
) -> np.ndarray:
    """Chooses runs of whole words in random order until a limit of pieces is reached.

    The length of a run is drawn by `weights` among the lengths that are possible from its first
    word on. A run that exceeds the remaining limit is shortened word by word; it is skipped if it
    still does not fit or if it overlaps a chosen word. A run never extends past a piece that is not
    maskable.

    Args:
        word_starts: bool [N, S], the pieces at which a word begins. A maskable piece after one that
            is not maskable always begins a word.
        maskable: bool [N, S], the pieces that may be chosen: all but [CLS], [SEP] and padding.
        limits: int [N], maximum number of pieces to choose in each sequence.
        weights: weights[n - 1] is the weight of a run of n words.
        generator: `numpy.random.RandomState`.
        taken: bool [N, S], whole words that must not be chosen; None for none.

    Returns:
        bool [N, S], the chosen pieces.
    """
    candidates = _Words(word_starts, maskable)
    run_lengths = _draw_run_lengths(candidates, weights, generator)
    order = _random_order(candidates, generator)
    covered = (
        np.zeros(candidates.begins.shape, bool) if taken is None else candidates.of_pieces(taken)
    )
    chosen = np.zeros_like(covered)
    left = np.array(limits, np.int64)
    rows = np.arange(len(left))
    for rank in range(order.shape[1]):
        rows = rows[(left[rows] > 0) & (rank < candidates.counts[rows])]
        if not rows.size:
            break
        firsts = order[rows, rank]
        lengths, sizes = _fitted_runs(
            candidates, rows, firsts, run_lengths[rows, firsts], left[rows]
        )
        usable = sizes <= left[rows]
        for offset in range(len(weights)):
            within = lengths > offset
            usable[within] &= ~covered[rows[within], firsts[within] + offset]
        left[rows[usable]] -= sizes[usable]
        for offset in range(len(weights)):
            within = usable & (lengths > offset)
            covered[rows[within], firsts[within] + offset] = True
            chosen[rows[within], firsts[within] + offset] = True
    return candidates.pieces_of(chosen)


class _Words:
    """The words of a batch of sequences, at most W per sequence.

    Attributes:
        counts: int [N], number of words in each sequence.
        begins, ends: int [N, W], positions of each word's first piece, and after its last piece.
        joined: bool [N, W], whether the next word begins where this one ends.
    """

    def __init__(self, word_starts, maskable):
        after_gap = np.ones_like(maskable)
        after_gap[:, 1:] = ~maskable[:, :-1]
        starts = maskable & (word_starts | after_gap)
        self.counts = starts.sum(axis=1)
        shape = (len(starts), max(int(self.counts.max()) if len(starts) else 0, 1))
        is_word = np.arange(shape[1]) < self.counts[:, None]
        self.begins = np.zeros(shape, np.int64)
        self.ends = np.zeros(shape, np.int64)
        self.begins[is_word], self.ends[is_word] = _word_bounds(starts, maskable)
        self.is_word = is_word
        self.joined = np.zeros(shape, bool)
        self.joined[:, :-1] = is_word[:, 1:] & (self.ends[:, :-1] == self.begins[:, 1:])
        self._maskable = maskable
        self._word_of_piece = np.maximum(np.cumsum(starts, axis=1) - 1, 0)

    def pieces_of(self, candidates):
        """Converts a bool [N, W] for words to a bool [N, S] for pieces."""
        return np.take_along_axis(candidates, self._word_of_piece, axis=1) & self._maskable

    def of_pieces(self, pieces):
        """Converts a bool [N, S] for pieces to a bool [N, W] for words, by their first pieces."""
        return np.take_along_axis(pieces, self.begins, axis=1) & self.is_word


def _word_bounds(starts, maskable):
    """Begins and ends of all words of all sequences in order (int [sum of counts] each)."""
    length = starts.shape[1]
    # An extra last column ends every word, so that none extends into the next sequence.
    is_bound = np.ones((len(starts), length + 1), bool)
    is_bound[:, :length] = starts | ~maskable
    bounds = np.flatnonzero(is_bound)
    rows, begins = np.nonzero(starts)
    row_offsets = rows * (length + 1)
    ends = bounds[np.searchsorted(bounds, row_offsets + begins) + 1] - row_offsets
    return begins, ends


def _draw_run_lengths(candidates, weights, generator):
    """Int [N, W]: number of words in the run that begins at each word."""
    available = np.ones(candidates.begins.shape, np.int64)
    if len(weights) == 1:
        return available
    goes_on = np.ones(candidates.begins.shape, bool)
    for offset in range(min(len(weights) - 1, available.shape[1])):
        goes_on[:, : goes_on.shape[1] - offset] &= candidates.joined[:, offset:]
        goes_on[:, goes_on.shape[1] - offset :] = False
        available += goes_on
    sums = np.cumsum(weights)
    drawn = generator.random_sample(available.shape) * sums[available - 1]
    return np.minimum(np.searchsorted(sums, drawn, side="right") + 1, available)


def _random_order(candidates, generator):
    """Int [N, W]: shuffled indices of each sequence's words; unused slots come last."""
    keys = generator.random_sample(candidates.begins.shape)
    keys[~candidates.is_word] = 2.0
    return np.argsort(keys, axis=1)


def _fitted_runs(candidates, rows, firsts, lengths, left):
    """Shortens runs that have more pieces than the remaining limit.

    Returns:
        (lengths in words, sizes in pieces), int [R] each; a run of one word may still be too long.
    """
    lengths = lengths.copy()
    begins = candidates.begins[rows, firsts]
    while True:
        sizes = candidates.ends[rows, firsts + lengths - 1] - begins
        too_long = (sizes > left) & (lengths > 1)
        if not too_long.any():
            return lengths, sizes
        lengths[too_long] -= 1


def mask_pieces(
    ids: np.ndarray,
    chosen: np.ndarray,
    mask_id: int,
    vocab_size: int,
    generator: np.random.RandomState,
    by_span: bool = False,
) -> np.ndarray:
    """Masks the chosen pieces: 80% become [MASK], 10% are kept, 10% become random pieces.

    Args:
        ids: int [N, S].
        chosen: bool [N, S].
        mask_id: id of [MASK].
        vocab_size: random pieces have ids below it.
        generator: `numpy.random.RandomState`.
        by_span: whether to draw once per run of chosen pieces instead of once per piece.

    Returns:
        int [N, S]; `ids` is not changed.
    """
    shown = ids.copy()
    kept = ids[chosen]
    # Drawn for all pieces, so that with one generator per row the result depends on that row only.
    fate = generator.random_sample(ids.shape)
    if by_span:
        fate = np.take_along_axis(fate, _run_starts(chosen), axis=1)
    fate = fate[chosen]
    random_ids = generator.randint(0, vocab_size, ids.shape)[chosen]
    replaced = np.where(fate < _MASKED_OR_KEPT_SHARE, kept, random_ids)
    shown[chosen] = np.where(fate < _MASKED_SHARE, mask_id, replaced)
    return shown


def similar_pieces(
    ids: np.ndarray,
    chosen: np.ndarray,
    starts: np.ndarray,
    table: "Table",
    vocab_size: int,
    generator: np.random.RandomState,
) -> np.ndarray:
    """Replaces the chosen words: 80% with similar words, 10% with random pieces; 10% are kept.

    A word without a similar word is replaced with random pieces instead.

    Args:
        ids: int [N, S].
        chosen: bool [N, S], whole words.
        starts: bool [N, S], the pieces at which a word begins.
        table: `similar_words.Table`.
        vocab_size: random pieces have ids below it.
        generator: `numpy.random.RandomState`.

    Returns:
        int [N, S]; `ids` is not changed.
    """
    shown = ids.copy()
    fate, drawn = generator.random_sample(ids.shape), generator.random_sample(ids.shape)
    random_ids = generator.randint(0, vocab_size, ids.shape)
    is_first = chosen.copy()
    is_first[:, 1:] &= starts[:, 1:] | ~chosen[:, :-1]
    is_last = np.ones_like(chosen)  # chosen pieces that end a word
    is_last[:, :-1] = is_first[:, 1:] | ~chosen[:, 1:]
    rows, begins = np.nonzero(is_first)
    ends = np.nonzero(is_last & chosen)[1] + 1
    for row, begin, end in zip(rows, begins, ends):
        if _SIMILAR_SHARE <= fate[row, begin] < _SIMILAR_OR_KEPT_SHARE:
            continue
        others = table.similar.get(tuple(ids[row, begin:end].tolist()))
        if others and fate[row, begin] < _SIMILAR_SHARE:
            shown[row, begin:end] = others[int(drawn[row, begin] * len(others))]
        else:
            shown[row, begin:end] = random_ids[row, begin:end]
    return shown


def _run_starts(chosen):
    """Int [N, S]: for each chosen piece, the column at which its run begins."""
    begins = chosen.copy()
    begins[:, 1:] &= ~chosen[:, :-1]
    return np.maximum.accumulate(np.where(begins, np.arange(chosen.shape[1]), 0), axis=1)


def permute_pieces(
    ids: np.ndarray, chosen: np.ndarray, generator: np.random.RandomState
) -> np.ndarray:
    """Shuffles the chosen pieces within each sequence.

    Args:
        ids: int [N, S].
        chosen: bool [N, S].
        generator: `numpy.random.RandomState`.

    Returns:
        int [N, S]; `ids` is not changed.
    """
    permuted = ids.copy()
    rows, columns = np.nonzero(chosen)
    partners = np.lexsort((generator.random_sample(ids.shape)[chosen], rows))
    permuted[rows, columns] = ids[rows, columns[partners]]
    return permuted


def predictions(
    ids: np.ndarray, chosen: np.ndarray, max_predictions: int
) -> Tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Builds the features of a record that say which pieces to predict at which positions.

    Args:
        ids: int [N, S], the original pieces.
        chosen: bool [N, S], at most P per sequence.
        max_predictions: P.

    Returns:
        (masked_lm_positions int64 [N, P], masked_lm_ids int64 [N, P], masked_lm_weights float32
        [N, P]), padded with 0 after a sequence's predictions.
    """
    rows, columns = np.nonzero(chosen)
    counts = chosen.sum(axis=1)
    slots = np.arange(len(rows)) - np.repeat(np.cumsum(counts) - counts, counts)
    positions = np.zeros((len(ids), max_predictions), np.int64)
    labels = np.zeros_like(positions)
    weights = np.zeros(positions.shape, np.float32)
    positions[rows, slots] = columns
    labels[rows, slots] = ids[rows, columns]
    weights[rows, slots] = 1.0
    return positions, labels, weights
