"""Which pieces of a sequence are masked, and by what: pure functions of seeded generators.

    choice = MaskingChoice(0.15, 20, WHOLE_WORDS, whole_words=True, permute=False)
    masked = masked_features(features, choice, mask_id, vocab_size, generator)  # a batch of records
    chosen = choose_pieces(word_starts, maskable, limits, WHOLE_WORDS, generator)
    input_ids = mask_pieces(ids, chosen, mask_id, vocab_size, generator)

The functions above work on a whole batch of sequences at once and take a
`numpy.random.RandomState`, whose numbers are the same under every version of numpy. Every way of
masking chooses runs of whole words and differs in how long a run is (`WHOLE_WORDS`,
`ngram_weights`, `span_weights`), or in what counts as a word (each piece, for masking per piece).

The `original_*` functions take one sequence at a time and draw from their generators exactly what
albert_zh draws, in its order.
"""

import bisect
import collections
import itertools
import re

import numpy as np

# How often a run of 1, 2, ... words is drawn. A mask of whole words is a run of one.
WHOLE_WORDS = (1.0,)

LONGEST_SPAN = 10
_SPAN_END = 0.2  # the chance that a span ends after a word, as in SpanBERT (arXiv 1907.10529)

# Of the chosen pieces, 80% are masked, 10% stay and 10% become a random piece.
_MASKED_SHARE = 0.8
_MASKED_OR_KEPT_SHARE = 0.9

# In the original mode: what a chosen position shows, unless it is an index of the vocabulary.
MASKED = -1
KEPT = -2

_MARK = "##"
_HANZI = re.compile("[\u4e00-\u9fa5]")
_MARKED_HANZI = re.compile("##[\u4e00-\u9fa5]")
_LONGEST_SET_WORD = 3


MaskingChoice = collections.namedtuple(
    "MaskingChoice", "masked_lm_prob max_predictions run_weights whole_words permute"
)
MaskingChoice.__doc__ = """How pieces are chosen.

Fields:
    masked_lm_prob: float, the share to mask.
    max_predictions: int, P, the most pieces to mask in a sequence.
    run_weights: floats, weights of masks of 1, 2, ... words.
    whole_words: bool, whether words are masked whole; otherwise every piece is a word.
    permute: bool, whether as many pieces again are shuffled among each other.
"""


def maskable_pieces(input_mask, segment_ids):
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


def masked_features(features, choice, mask_id, vocab_size, generator):
    """Masks a batch of records of `--masking=dynamic`.

    Args:
        features: dict with `input_ids`, `input_mask`, `segment_ids` and `token_boundary`, int
            [N, S] each; the last is 1 at [CLS], [SEP] and where a word begins. Further features are
            handed on.
        choice: `MaskingChoice`.
        mask_id: id of [MASK].
        vocab_size: random pieces have ids below it.
        generator: `numpy.random.RandomState`.

    Returns:
        dict: the features with `input_ids` masked, and `masked_lm_positions`, `masked_lm_ids`
        (int64 [N, P]) and `masked_lm_weights` (float32 [N, P]); [N, 2 P] each with `permute`.
    """
    ids = features["input_ids"]
    maskable = maskable_pieces(features["input_mask"], features["segment_ids"])
    starts = maskable & (features["token_boundary"] == 1) if choice.whole_words else maskable
    limits = num_predictions(
        features["input_mask"].sum(axis=1), choice.masked_lm_prob, choice.max_predictions
    )
    chosen = choose_pieces(starts, maskable, limits, choice.run_weights, generator)
    shown = mask_pieces(ids, chosen, mask_id, vocab_size, generator)
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


def ngram_weights(longest, favor_longer=False):
    """Weights of runs of 1 to `longest` words: 1/n (arXiv 1909.11942), or the reverse of that.

    Returns:
        tuple of float.
    """
    weights = tuple(1.0 / length for length in range(1, longest + 1))
    return weights[::-1] if favor_longer else weights


def span_weights(longest=LONGEST_SPAN):
    """Weights of runs of 1 to `longest` words, geometrically falling as in SpanBERT.

    Returns:
        tuple of float.
    """
    return tuple(_SPAN_END * (1 - _SPAN_END) ** length for length in range(longest))


def num_predictions(lengths, masked_lm_prob, max_predictions):
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


def choose_pieces(word_starts, maskable, limits, weights, generator, taken=None):
    """Chooses runs of whole words in random order until a limit of pieces is reached.

    A run's length is drawn by `weights` among the lengths that the words from its start on allow;
    a run that is too long for what is left is shortened word by word, and one that then still does
    not fit or that meets a chosen word is skipped. No run goes beyond a piece that is not maskable.

    Args:
        word_starts: bool [N, S], the pieces at which a word begins. The first maskable piece after
            one that is not always does.
        maskable: bool [N, S], the pieces that may be chosen: not [CLS], [SEP] nor padding.
        limits: int [N], the most pieces to choose in each sequence.
        weights: floats; weights[n - 1] is that of a run of n words.
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


def mask_pieces(ids, chosen, mask_id, vocab_size, generator):
    """The pieces that the model sees: of the chosen, 80% [MASK], 10% kept, 10% random.

    Args:
        ids: int [N, S].
        chosen: bool [N, S].
        mask_id: id of [MASK].
        vocab_size: random pieces have ids below it.
        generator: `numpy.random.RandomState`.

    Returns:
        int [N, S]; `ids` is left as it is.
    """
    shown = ids.copy()
    kept = ids[chosen]
    # Drawn for all pieces, so that with a generator by rows they depend on the row alone.
    fate = generator.random_sample(ids.shape)[chosen]
    random_ids = generator.randint(0, vocab_size, ids.shape)[chosen]
    replaced = np.where(fate < _MASKED_OR_KEPT_SHARE, kept, random_ids)
    shown[chosen] = np.where(fate < _MASKED_SHARE, mask_id, replaced)
    return shown


def permute_pieces(ids, chosen, generator):
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


def predictions(ids, chosen, max_predictions):
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


def original_marked_tokens(tokens, words):
    """The original's whole-word marks: from each hanzi the longest run of up to 3 tokens in a set.

    Args:
        tokens: list of str, word pieces of a line.
        words: set of str, what a segmenter cut the joined pieces into.

    Returns:
        list of str; "##" before what continues a word.
    """
    marked = []
    while len(marked) < len(tokens):
        start = len(marked)
        marked.append(tokens[start])
        if _HANZI.search(tokens[start]):
            for length in range(min(_LONGEST_SET_WORD, len(tokens) - start), 1, -1):
                run = tokens[start : start + length]
                if "".join(run) in words:
                    marked += [_MARK + token for token in run[1:]]
                    break
    return marked


def original_visible_token(token):
    """A token of `original_marked_tokens` as the input shows it: without the mark on a hanzi."""
    return token[len(_MARK) :] if _MARKED_HANZI.search(token) else token


def original_candidates(continues, segment_ends):
    """The words of a sequence as the original counts them.

    A leading piece begins one, and a piece that continues a word may belong to one before [SEP].

    Args:
        continues: list of bool, whether a piece continues a word.
        segment_ends: container of the positions of [CLS] and [SEP].

    Returns:
        list of lists of positions.
    """
    candidates = []
    for position, is_continuation in enumerate(continues):
        if position in segment_ends:
            continue
        if is_continuation and candidates:
            candidates[-1].append(position)
        else:
            candidates.append([position])
    return candidates


def original_choice_of_words(words, limit, vocab_size, generator):
    """Masks whole words as the original does it.

    Args:
        words: list of lists of positions; shuffled in place.
        limit: int, the most positions to choose.
        vocab_size: int.
        generator: `random.Random`.

    Returns:
        dict, position -> MASKED, KEPT or an index of the vocabulary.
    """
    generator.shuffle(words)
    shown = {}
    for word in words:
        if len(shown) >= limit:
            break
        if len(shown) + len(word) <= limit:
            for position in word:
                shown[position] = _original_replacement(vocab_size, generator)
    return shown


def original_runs(words, longest):
    """For each word the runs of 1 to `longest` words that begin with it, as lists of positions.

    At the end of the sequence the same, shorter run stands several times.
    """
    return [
        [list(itertools.chain(*words[first : first + n])) for n in range(1, longest + 1)]
        for first in range(len(words))
    ]


def original_choice_of_runs(runs, limit, weights, vocab_size, generator, length_generator):
    """Masks runs of words as google's original does it.

    Args:
        runs: lists of `original_runs`; shuffled in place, twice.
        limit: int, the most positions to choose.
        weights: floats of runs of 1, 2 ... words.
        vocab_size: int.
        generator: `random.Random`.
        length_generator: `numpy.random.RandomState`, which draws the lengths.

    Returns:
        dict, position -> MASKED, KEPT or an index of the vocabulary.
    """
    generator.shuffle(runs)
    shown = {}
    for run in _original_fitting_runs(runs, limit, weights, length_generator, shown, ()):
        for position in run:
            shown[position] = _original_replacement(vocab_size, generator)
    generator.shuffle(runs)
    return shown


def original_permutation(runs, limit, weights, generator, length_generator, masked):
    """Chooses further runs and pairs their positions at random, as google's original does it.

    Args:
        runs, limit, weights, generator, length_generator: as for `original_choice_of_runs`.
        masked: container of positions that must not be chosen.

    Returns:
        list of (position, position of the piece that it gets), by position.
    """
    chosen = {}
    for run in _original_fitting_runs(runs, limit, weights, length_generator, chosen, masked):
        chosen.update(dict.fromkeys(run))
    positions = sorted(chosen)
    partners = list(positions)
    generator.shuffle(partners)
    return list(zip(positions, partners))


def _original_fitting_runs(runs, limit, weights, length_generator, chosen, forbidden):
    """Yields a run for each list of runs that has one; the caller puts it into `chosen`."""
    # What numpy's `choice` makes of the original's probabilities, rounding included.
    probabilities = np.asarray(weights) / np.sum(weights)
    sums = np.cumsum(probabilities / np.sum(probabilities))
    sums = (sums / sums[-1]).tolist()
    for alternatives in runs:
        if len(chosen) >= limit:
            break
        length = bisect.bisect_right(sums, length_generator.random_sample()) + 1
        while length > 1 and len(chosen) + len(alternatives[length - 1]) > limit:
            length -= 1
        run = alternatives[length - 1]
        if len(chosen) + len(run) > limit:
            continue
        if not any(position in chosen or position in forbidden for position in run):
            yield run


def _original_replacement(vocab_size, generator):
    if generator.random() < _MASKED_SHARE:
        return MASKED
    if generator.random() < 0.5:
        return KEPT
    return generator.randint(0, vocab_size - 1)
