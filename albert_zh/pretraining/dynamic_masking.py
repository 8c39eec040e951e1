"""Masks a batch of records as graph operations, so that no Python runs in the input pipeline.

    features = masked_features(features, choice, mask_id, vocab_size, seed, keys)

What is chosen is a function of seed and record alone. It is what `corpus.masking.masked_features`
chooses, run by run; the random numbers are SplitMix64's (Steele et al. 2014), computed in int64,
which wraps around as uint64 does.
"""

import collections
from typing import TYPE_CHECKING, Dict, Optional

import numpy as np
import tensorflow.compat.v1 as tf

if TYPE_CHECKING:
    from albert_zh.corpus.masking import MaskingChoice

_STEP = 0x9E3779B97F4A7C15
_MULTIPLIERS = (0xBF58476D1CE4E5B9, 0x94D049BB133111EB)
_SHIFTS = (30, 27)
# Of the chosen pieces, 80% are masked, 10% stay and 10% become a random piece.
_MASKED_SHARE = 0.8
_MASKED_OR_KEPT_SHARE = 0.9

# Words of a batch, W at most in each: begins, ends [N, W]; counts [N]; joined [N, W], whether the
# next word begins where this one ends; of_piece [N, S], the number of the word of each piece.
_Words = collections.namedtuple("_Words", "begins ends counts is_word joined of_piece")


def masked_features(
    features: Dict[str, tf.Tensor],
    choice: "MaskingChoice",
    mask_id: int,
    vocab_size: int,
    seed: int,
    keys: tf.Tensor,
    sep_id: Optional[int] = None,
) -> Dict[str, tf.Tensor]:
    """Masks a batch of records of `--masking=dynamic`.

    Args:
        features: `input_ids`, `input_mask`, `segment_ids` and `token_boundary`, int64 [N, S] each.
            Further features are handed on.
        choice: one that permutes nothing.
        mask_id: id of [MASK].
        vocab_size: random pieces have ids below it.
        seed: of the random numbers.
        keys: int64 [N, K], what identifies the records, such as epoch, file and place in it.
        sep_id: id of [SEP], which is not masked inside of a segment either; None: there is none.

    Returns:
        the features without `token_boundary`, with `input_ids` masked, and `masked_lm_positions`,
        `masked_lm_ids` (int64 [N, P]) and `masked_lm_weights` (float32 [N, P]).
    """
    ids, input_mask = features["input_ids"], features["input_mask"]
    maskable = _maskable_pieces(input_mask, features["segment_ids"])  # [N, S]
    if sep_id is not None:
        maskable &= tf.not_equal(ids, sep_id)
    starts = maskable
    if choice.whole_words:
        starts = maskable & tf.equal(features["token_boundary"], 1)
    generator = _Generator(seed, keys)
    limits = _num_predictions(tf.reduce_sum(input_mask, axis=1), choice)  # [N]
    chosen = _chosen_pieces(starts, maskable, limits, choice.run_weights, generator)  # [N, S]
    places = tf.where(chosen)  # [M, 2]: row and column
    labels = tf.gather_nd(ids, places)  # [M]
    decided_at = _run_starts(chosen, places) if choice.by_span else places
    replaced = _replacements(labels, places, decided_at, mask_id, vocab_size, generator)
    slots, weights = _slots(chosen, places, choice.max_predictions)
    shape = tf.shape(weights, out_type=tf.int64)
    others = {name: values for name, values in features.items() if name != "token_boundary"}
    return dict(
        others,
        input_ids=tf.tensor_scatter_nd_update(ids, places, replaced),
        masked_lm_positions=tf.scatter_nd(slots, places[:, 1], shape),
        masked_lm_ids=tf.scatter_nd(slots, labels, shape),
        masked_lm_weights=weights,
    )


class _Generator:
    """Random numbers that depend on a record's key alone, not on the batch it comes in."""

    def __init__(self, seed, keys):
        state = tf.fill([tf.shape(keys)[0]], _wrapped(seed % (1 << 64)))
        for column in tf.unstack(keys, axis=1):
            state = _mixed(tf.bitwise.bitwise_xor(state, column))
        self._state = state  # [N]

    def uniform(self, width):
        """Float64 [N, width] in [0, 1)."""
        self._state = _mixed(self._state)
        counters = tf.range(1, tf.cast(width, tf.int64) + 1, dtype=tf.int64) * _wrapped(_STEP)
        return _as_uniform(self._state[:, None] + counters)

    def uniform_at(self, places):
        """Float64 [M]: of `uniform`, what is at some places, rows and columns [M, 2]."""
        self._state = _mixed(self._state)
        rows, columns = tf.unstack(places, axis=1)
        return _as_uniform(tf.gather(self._state, rows) + (columns + 1) * _wrapped(_STEP))


def _wrapped(number):
    """A number of 64 bits as int64."""
    return tf.constant(np.uint64(number).astype(np.int64))


def _shifted(bits, places):
    """A logical shift to the right; that of int64 would draw the sign after it."""
    kept = tf.constant((1 << (64 - places)) - 1, tf.int64)
    return tf.bitwise.bitwise_and(tf.bitwise.right_shift(bits, tf.constant(places, tf.int64)), kept)


def _mixed(bits):
    bits = bits + _wrapped(_STEP)
    for shift, multiplier in zip(_SHIFTS, _MULTIPLIERS):
        bits = tf.bitwise.bitwise_xor(bits, _shifted(bits, shift)) * _wrapped(multiplier)
    return tf.bitwise.bitwise_xor(bits, _shifted(bits, 31))


def _as_uniform(counters):
    return tf.cast(_shifted(_mixed(counters), 11), tf.float64) * 2.0**-53


def _maskable_pieces(input_mask, segment_ids):
    """Bool [N, S]: neither [CLS], [SEP] nor padding."""
    place = tf.range(input_mask.shape.as_list()[1], dtype=tf.int64)
    last_sep = tf.reduce_sum(input_mask, axis=1, keepdims=True) - 1
    first_sep = last_sep - tf.reduce_sum(segment_ids, axis=1, keepdims=True)
    return (place > 0) & (place < last_sep) & tf.not_equal(place, first_sep)


def _num_predictions(lengths, choice):
    """Int32 [N]: how many pieces of sequences of some lengths [N] are chosen."""
    wanted = tf.round(tf.cast(lengths, tf.float64) * choice.masked_lm_prob)
    wanted = tf.maximum(tf.constant(1, tf.int32), tf.cast(wanted, tf.int32))
    return tf.minimum(tf.constant(choice.max_predictions, tf.int32), wanted)


def _chosen_pieces(word_starts, maskable, limits, run_weights, generator):
    """Bool [N, S]: runs of whole words in random order until a limit of pieces is reached."""
    words = _words(word_starts, maskable)
    num_words = tf.shape(words.begins)[1]
    run_lengths = _run_lengths(words, run_weights, generator)
    keys = tf.where_v2(words.is_word, generator.uniform(num_words), tf.constant(2.0, tf.float64))
    order = tf.transpose(tf.argsort(keys, axis=1))  # [W, N]
    chosen = _chosen_words(words, run_lengths, order, limits, len(run_weights))
    rows = tf.range(tf.shape(chosen)[0])[:, None] * num_words
    return _taken(chosen, rows + words.of_piece) & maskable


def _taken(table, places):
    """The members of a table at some places, counted row after row."""
    return tf.gather(tf.reshape(table, [-1]), places)


def _words(word_starts, maskable):
    """The `_Words` of sequences; the first maskable piece behind one that is not begins one."""
    shape = tf.shape(maskable)
    after_gap = tf.pad(~maskable[:, :-1], [[0, 0], [1, 0]], constant_values=True)
    starts = maskable & (word_starts | after_gap)
    counts = tf.reduce_sum(tf.cast(starts, tf.int32), axis=1)  # [N]
    num_words = tf.maximum(tf.reduce_max(counts), 1)
    of_piece = tf.maximum(tf.cumsum(tf.cast(starts, tf.int32), axis=1) - 1, 0)
    segments = tf.range(shape[0])[:, None] * num_words + of_piece  # [N, S]
    place = tf.broadcast_to(tf.range(shape[1]), shape)

    def summed(values, used):
        total = tf.unsorted_segment_sum(
            values, tf.where_v2(used, segments, -1), shape[0] * num_words
        )
        return tf.reshape(total, [shape[0], num_words])

    begins = summed(place, starts)
    ends = begins + summed(tf.ones(shape, tf.int32), maskable)
    is_word = tf.range(num_words) < counts[:, None]
    joined = is_word[:, 1:] & tf.equal(ends[:, :-1], begins[:, 1:])
    return _Words(begins, ends, counts, is_word, tf.pad(joined, [[0, 0], [0, 1]]), of_piece)


def _run_lengths(words, weights, generator):
    """Int32 [N, W]: how many words the run from each word on has."""
    available = tf.ones_like(words.begins)
    if len(weights) == 1:
        return available
    joined = tf.pad(words.joined, [[0, 0], [0, len(weights)]])
    num_words = tf.shape(words.begins)[1]
    goes_on = tf.ones_like(words.joined)
    for offset in range(len(weights) - 1):
        goes_on &= joined[:, offset : offset + num_words]
        available += tf.cast(goes_on, tf.int32)
    sums = np.cumsum(weights)
    drawn = generator.uniform(num_words) * tf.gather(tf.constant(sums), available - 1)
    longer = [tf.cast(drawn >= limit, tf.int32) for limit in sums]
    return tf.minimum(tf.add_n(longer) + 1, available)


def _chosen_words(words, run_lengths, order, limits, longest):
    """Bool [N, W]: the words of the runs that fit and meet no word of one before."""
    num_rows, num_words = tf.unstack(tf.shape(words.begins))
    rows = tf.range(num_rows) * num_words  # where they begin in a table [N, W], row after row
    offsets = tf.range(longest)

    def goes_on(rank, left, _):
        return tf.reduce_any((left > 0) & (rank < words.counts))

    def choose(rank, left, covered):
        firsts = order[rank]  # [N]
        places = tf.minimum(firsts[:, None] + offsets, num_words - 1)
        places += rows[:, None]  # [N, longest]
        begins = _taken(words.begins, rows + firsts)
        sizes = _taken(words.ends, places) - begins[:, None]
        lengths = _taken(run_lengths, rows + firsts)
        fitting = (offsets < lengths[:, None]) & (sizes <= left[:, None])
        lengths = tf.maximum(tf.reduce_sum(tf.cast(fitting, tf.int32), axis=1), 1)
        size = _taken(sizes, tf.range(num_rows) * longest + lengths - 1)  # [N]
        within = offsets < lengths[:, None]
        is_met = tf.reduce_any(within & tf.gather(covered, places), axis=1)
        usable = (left > 0) & (rank < words.counts) & (size <= left) & ~is_met
        slots = tf.where_v2(within & usable[:, None], places, num_rows * num_words)  # or the last
        covered = tf.tensor_scatter_nd_update(
            covered, tf.reshape(slots, [-1, 1]), tf.ones([num_rows * longest], tf.bool)
        )
        return rank + 1, left - tf.where_v2(usable, size, 0), covered

    covered = tf.zeros([num_rows * num_words + 1], tf.bool)
    _, _, covered = tf.while_loop(
        goes_on, choose, [tf.constant(0), limits, covered], back_prop=False
    )
    return tf.reshape(covered[:-1], [num_rows, num_words])


def _run_starts(chosen, places):
    """Int64 [M, 2]: of each chosen piece the place at which its run begins."""
    begins = chosen & ~tf.pad(chosen[:, :-1], [[0, 0], [1, 0]])
    is_begin = tf.gather_nd(begins, places)  # [M]
    return tf.gather(tf.where(begins), tf.cumsum(tf.cast(is_begin, tf.int64)) - 1)


def _replacements(ids, places, decided_at, mask_id, vocab_size, generator):
    """Int64 [M]: what chosen pieces are shown as: 80% [MASK], 10% kept, 10% random."""
    fate, drawn = generator.uniform_at(decided_at), generator.uniform_at(places)
    random_ids = tf.cast(drawn * vocab_size, tf.int64)
    replaced = tf.where_v2(fate < _MASKED_OR_KEPT_SHARE, ids, random_ids)
    return tf.where_v2(fate < _MASKED_SHARE, tf.constant(mask_id, tf.int64), replaced)


def _slots(chosen, places, max_predictions):
    """(rows and slots of the predictions of chosen pieces, int64 [M, 2]; their weights [N, P])."""
    counts = tf.reduce_sum(tf.cast(chosen, tf.int64), axis=1)  # [N]
    before = tf.gather(tf.cumsum(counts, exclusive=True), places[:, 0])  # [M]
    slots = tf.range(tf.shape(places, out_type=tf.int64)[0]) - before
    is_used = tf.range(max_predictions, dtype=tf.int64) < counts[:, None]
    return tf.stack([places[:, 0], slots], axis=1), tf.cast(is_used, tf.float32)
