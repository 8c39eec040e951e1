"""Which pieces of a sequence are masked, and by what: pure functions of seeded generators.

    choice = MaskingChoice(0.15, 20, WHOLE_WORDS, whole_words=True, permute=False)
    masked = masked_features(features, choice, mask_id, vocab_size, generator)  # a batch of records
    chosen = choose_pieces(word_starts, maskable, limits, WHOLE_WORDS, generator)
    input_ids = mask_pieces(ids, chosen, mask_id, vocab_size, generator)

The functions above work on a whole batch of sequences at once and take a
`numpy.random.RandomState`, whose numbers are the same under every version of numpy. Every way of
masking chooses runs of whole words and differs in how long a run is (`WHOLE_WORDS`,
`ngram_weights`, `span_weights`), or in what counts as a word (each piece, for masking per piece).
"""

import collections
from typing import TYPE_CHECKING, Dict, Mapping, Optional, Sequence, Tuple

import numpy as np

if TYPE_CHECKING:
    from albert_zh.corpus.similar_words import Table

# How often a run of 1, 2, ... words is drawn. A mask of whole words is a run of one.
WHOLE_WORDS = (1.0,)

REPLACEMENT_METHODS = ("word_piece", "span")
LONGEST_SPAN = 10
_SIMILAR_SHARE = 0.8  # of words that are shown as similar ones, as in MacBERT
_SIMILAR_OR_KEPT_SHARE = 0.9
_SPAN_END = 0.2  # the chance that a span ends after a word, as in SpanBERT (arXiv 1907.10529)

# Of the chosen pieces, 80% are masked, 10% stay and 10% become a random piece.
_MASKED_SHARE = 0.8
_MASKED_OR_KEPT_SHARE = 0.9

MaskingChoice = collections.namedtuple(
    "MaskingChoice",
    "masked_lm_prob max_predictions run_weights whole_words permute by_span",
    defaults=(False,),
)
MaskingChoice.__doc__ = """How pieces are chosen.

Fields:
    masked_lm_prob: float, the share to mask.
    max_predictions: int, P, the most pieces to mask in a sequence.
    run_weights: floats, weights of masks of 1, 2, ... words.
    whole_words: bool, whether words are masked whole; otherwise every piece is a word.
    permute: bool, whether as many pieces again are shuffled among each other.
    by_span: bool, whether the pieces of a run are all masked, all kept or all replaced.
"""


def maskable_pieces(input_mask: np.ndarray, segment_ids: np.ndarray) -> np.ndarray:
    """The pieces of records that may be masked: neither [CLS], [SEP] nor padding.

    Args:
        input_mask, segment_ids: int [N, S], as records have them: 1 at all pieces, 1 at those of B
            and the [SEP] behind it.

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
        features: by name, with `input_ids`, `input_mask`, `segment_ids` and `token_boundary`, int
            [N, S] each; the last is 1 at [CLS], [SEP] and where a word begins. Further features are
            handed on.
        choice: `MaskingChoice`.
        mask_id: id of [MASK].
        vocab_size: random pieces have ids below it.
        generator: `numpy.random.RandomState`.
        sep_id: id of [SEP], never masked inside of a segment either; None: there is none.
        similar: `similar_words.Table`, whose words stand in place of [MASK]; None: [MASK] does.

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
    """Weights of runs of 1 to `longest` words: 1/n (arXiv 1909.11942), or the reverse of that."""
    weights = tuple(1.0 / length for length in range(1, longest + 1))
    return weights[::-1] if favor_longer else weights


def span_weights(longest: int = LONGEST_SPAN) -> Tuple[float, ...]:
    """Weights of runs of 1 to `longest` words, geometrically falling as in SpanBERT."""
    return tuple(_SPAN_END * (1 - _SPAN_END) ** length for length in range(longest))


def num_predictions(lengths: np.ndarray, masked_lm_prob: float, max_predictions: int) -> np.ndarray:
    """How many pieces of sequences are chosen.

    Args:
        lengths: int [N], pieces of each sequence with [CLS] and [SEP].
        masked_lm_prob: the share to choose.
        max_predictions: the most to choose.

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

    A run's length is drawn by `weights` among the lengths that the words from its start on allow;
    a run that is too long for what is left is shortened word by word, and one that then still does
    not fit or that meets a chosen word is skipped. No run goes beyond a piece that is not maskable.

    Args:
        word_starts: bool [N, S], the pieces at which a word begins. The first maskable piece after
            one that is not always does.
        maskable: bool [N, S], the pieces that may be chosen: not [CLS], [SEP] nor padding.
        limits: int [N], the most pieces to choose in each sequence.
        weights: weights[n - 1] is that of a run of n words.
        generator: `numpy.random.RandomState`.
        taken: bool [N, S], whole words that must not be chosen; none if left out.

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
    """The words of a batch of sequences, W at most in each.

    Attributes:
        counts: int [N], words of each sequence.
        begins, ends: int [N, W], positions of a word's first piece and behind its last.
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
        """Bool [N, S] of pieces for a bool [N, W] of words."""
        return np.take_along_axis(candidates, self._word_of_piece, axis=1) & self._maskable

    def of_pieces(self, pieces):
        """Bool [N, W] of words for a bool [N, S] of pieces; a word is its first piece."""
        return np.take_along_axis(pieces, self.begins, axis=1) & self.is_word


def _word_bounds(starts, maskable):
    """Begins and ends of all words, sequence after sequence (int [sum of counts] each)."""
    length = starts.shape[1]
    # A last column that ends every word, so that none runs on into the next sequence.
    is_bound = np.ones((len(starts), length + 1), bool)
    is_bound[:, :length] = starts | ~maskable
    bounds = np.flatnonzero(is_bound)
    rows, begins = np.nonzero(starts)
    row_offsets = rows * (length + 1)
    ends = bounds[np.searchsorted(bounds, row_offsets + begins) + 1] - row_offsets
    return begins, ends


def _draw_run_lengths(candidates, weights, generator):
    """Int [N, W]: how many words the run from each word on has."""
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
    """Int [N, W]: each sequence's words shuffled; what is no word comes last."""
    keys = generator.random_sample(candidates.begins.shape)
    keys[~candidates.is_word] = 2.0
    return np.argsort(keys, axis=1)


def _fitted_runs(candidates, rows, firsts, lengths, left):
    """Runs shortened while they have more pieces than are left.

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
    """The pieces that the model sees: of the chosen, 80% [MASK], 10% kept, 10% random.

    Args:
        ids: int [N, S].
        chosen: bool [N, S].
        mask_id: id of [MASK].
        vocab_size: random pieces have ids below it.
        generator: `numpy.random.RandomState`.
        by_span: whether that is drawn once for a run of chosen pieces.

    Returns:
        int [N, S]; `ids` is left as it is.
    """
    shown = ids.copy()
    kept = ids[chosen]
    # Drawn for all pieces, so that with a generator by rows they depend on the row alone.
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
    """The pieces that the model sees: of the chosen words, 80% similar ones, 10% kept, 10% random.

    A word without a similar one is shown as random pieces instead.

    Args:
        ids: int [N, S].
        chosen: bool [N, S], whole words.
        starts: bool [N, S], where words begin.
        table: `similar_words.Table`.
        vocab_size: random pieces have ids below it.
        generator: `numpy.random.RandomState`.

    Returns:
        int [N, S]; `ids` is left as it is.
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
    """Int [N, S]: of each chosen piece the column at which its run begins."""
    begins = chosen.copy()
    begins[:, 1:] &= ~chosen[:, :-1]
    return np.maximum.accumulate(np.where(begins, np.arange(chosen.shape[1]), 0), axis=1)


def permute_pieces(
    ids: np.ndarray, chosen: np.ndarray, generator: np.random.RandomState
) -> np.ndarray:
    """The sequences with their chosen pieces shuffled among each other.

    Args:
        ids: int [N, S].
        chosen: bool [N, S].
        generator: `numpy.random.RandomState`.

    Returns:
        int [N, S]; `ids` is left as it is.
    """
    permuted = ids.copy()
    rows, columns = np.nonzero(chosen)
    partners = np.lexsort((generator.random_sample(ids.shape)[chosen], rows))
    permuted[rows, columns] = ids[rows, columns[partners]]
    return permuted


def predictions(
    ids: np.ndarray, chosen: np.ndarray, max_predictions: int
) -> Tuple[np.ndarray, np.ndarray, np.ndarray]:
    """What is to be predicted where, as features of a record.

    Args:
        ids: int [N, S], the pieces at these positions.
        chosen: bool [N, S], at most P in each sequence.
        max_predictions: P.

    Returns:
        (masked_lm_positions int64 [N, P], masked_lm_ids int64 [N, P], masked_lm_weights float32
        [N, P]); 0 beyond a sequence's predictions.
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
