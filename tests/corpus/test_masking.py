"""The choice of masked pieces: shares, whole words, run lengths, and restoring the text."""

import itertools
import random

import numpy as np
import pytest

from albert_zh.corpus import masking, original_masking

MASK, VOCAB_SIZE = 4, 1000


def sequences(rng, num_rows, length):
    """Returns random padded [CLS] A [SEP] B [SEP]: (ids, word_starts, maskable, lengths)."""
    maskable = np.zeros((num_rows, length), bool)
    lengths = rng.randint(5, length + 1, num_rows)
    for row, size in zip(maskable, lengths):
        row[1 : size - 1] = True
        row[rng.randint(2, size - 2)] = False
    word_starts = maskable & (rng.random_sample(maskable.shape) < 0.6)
    ids = np.where(maskable, rng.randint(5, VOCAB_SIZE, maskable.shape), 2)
    return ids, word_starts, maskable, lengths


def words_of(word_starts, maskable):
    """Returns the words of one sequence, found piece by piece: list of lists of positions."""
    words = []
    for position in np.flatnonzero(maskable):
        if word_starts[position] or not maskable[position - 1]:
            words.append([])
        words[-1].append(position)
    return words


def chosen_words(words, chosen):
    """Returns the indices of the chosen words; checks that none is chosen only in part."""
    numbers = []
    for number, word in enumerate(words):
        assert len({bool(chosen[position]) for position in word}) == 1
        if chosen[word[0]]:
            numbers.append(number)
    return numbers


def check_choice(seed, num_rows, length, weights, share, most):
    rng = np.random.RandomState(seed)
    ids, word_starts, maskable, lengths = sequences(rng, num_rows, length)
    limits = masking.num_predictions(lengths, share, most)
    chosen = masking.choose_pieces(word_starts, maskable, limits, weights, rng)
    assert not chosen[~maskable].any()
    assert (chosen.sum(axis=1) <= limits).all()
    for row in range(num_rows):
        words = words_of(word_starts[row], maskable[row])
        numbers = chosen_words(words, chosen[row])
        if weights == masking.WHOLE_WORDS:
            # Every word that is not chosen did not fit, and the rest of the limit only shrinks.
            left = limits[row] - chosen[row].sum()
            assert all(len(word) > left for n, word in enumerate(words) if n not in numbers)
    shown = masking.mask_pieces(ids, chosen, MASK, VOCAB_SIZE, rng)
    assert (shown[~chosen] == ids[~chosen]).all()
    positions, labels, lm_weights = masking.predictions(ids, chosen, most)
    restored = shown.copy()
    for row in range(num_rows):
        count = int(lm_weights[row].sum())
        assert (lm_weights[row, :count] == 1).all() and not lm_weights[row, count:].any()
        assert not positions[row, count:].any() and not labels[row, count:].any()
        assert (np.diff(positions[row, :count]) > 0).all()
        restored[row, positions[row, :count]] = labels[row, :count]
    assert (restored == ids).all()


@pytest.mark.parametrize(
    "weights", [masking.WHOLE_WORDS, masking.ngram_weights(3), masking.span_weights()]
)
@pytest.mark.parametrize("seed", range(3))
def test_choices_keep_their_rules(seed, weights):
    check_choice(seed, 50, 40, weights, 0.2, 8)


def test_choices_keep_their_rules_whatever_the_sequences():
    hypothesis = pytest.importorskip("hypothesis")
    strategies = hypothesis.strategies

    @hypothesis.settings(max_examples=150, deadline=None)
    @hypothesis.given(
        seed=strategies.integers(0, 2**32 - 1),
        num_rows=strategies.integers(1, 6),
        length=strategies.integers(5, 40),
        longest=strategies.integers(1, 10),
        is_span=strategies.booleans(),
        share=strategies.floats(0.0, 1.0),
        most=strategies.integers(1, 40),
    )
    def check(seed, num_rows, length, longest, is_span, share, most):
        make_weights = masking.span_weights if is_span else masking.ngram_weights
        check_choice(seed, num_rows, length, make_weights(longest), share, most)

    check()


def test_share_masked_and_what_masked_pieces_show():
    rng = np.random.RandomState(7)
    ids, word_starts, maskable, lengths = sequences(rng, 2000, 128)
    limits = masking.num_predictions(lengths, 0.15, 128)
    assert (limits == [max(1, round(0.15 * n)) for n in lengths.tolist()]).all()
    chosen = masking.choose_pieces(word_starts, maskable, limits, masking.WHOLE_WORDS, rng)
    count = chosen.sum()
    assert abs(count / lengths.sum() - 0.15) < 0.002
    shown = masking.mask_pieces(ids, chosen, MASK, VOCAB_SIZE, rng)
    # Five standard deviations of a share of n draws.
    bound = 5 * np.sqrt(0.8 * 0.2 / count)
    assert abs((shown[chosen] == MASK).mean() - 0.8) < bound
    assert abs((shown[chosen] == ids[chosen]).mean() - 0.1) < bound
    random_pieces = shown[chosen & (shown != MASK) & (shown != ids)]
    assert random_pieces.min() < 20 and random_pieces.max() > VOCAB_SIZE - 20


def test_every_word_is_equally_likely_to_be_chosen():
    rng = np.random.RandomState(3)
    maskable = np.ones((20000, 22), bool)
    maskable[:, [0, -1]] = False
    chosen = masking.choose_pieces(maskable, maskable, [4] * 20000, masking.WHOLE_WORDS, rng)
    assert (chosen.sum(axis=1) == 4).all()
    assert np.abs(chosen[:, 1:-1].mean(axis=0) - 0.2).max() < 5 * np.sqrt(0.2 * 0.8 / 20000)


@pytest.mark.parametrize(
    "weights",
    [masking.ngram_weights(3), masking.ngram_weights(4, favor_longer=True), masking.span_weights()],
)
def test_runs_are_as_long_as_their_weights_say(weights):
    rng = np.random.RandomState(11)
    longest, count = len(weights), 30000
    # Rows have as many words as the longest run, so that the first word may begin any run.
    maskable = np.zeros((count, longest + 2), bool)
    maskable[:, 1:-1] = True
    words = masking._Words(maskable, maskable)
    lengths = masking._draw_run_lengths(words, weights, rng)[:, 0]
    shares = np.bincount(lengths, minlength=longest + 1)[1:] / count
    expected = np.array(weights) / sum(weights)
    assert np.abs(shares - expected).max() < 5 * np.sqrt(0.25 / count)
    # At the last word but one, two lengths are possible, in proportion to their weights.
    lengths = masking._draw_run_lengths(words, weights, rng)[:, -2]
    first = weights[0] / (weights[0] + weights[1])
    assert set(lengths) == {1, 2}
    assert abs((lengths == 1).mean() - first) < 5 * np.sqrt(0.25 / count)


@pytest.mark.parametrize("weights", [masking.ngram_weights(3), masking.span_weights()])
def test_runs_use_up_what_may_be_masked(weights):
    rng = np.random.RandomState(2)
    _, word_starts, maskable, lengths = sequences(rng, 1000, 128)
    limits = masking.num_predictions(lengths, 0.15, 20)
    chosen = masking.choose_pieces(word_starts, maskable, limits, weights, rng)
    assert chosen.sum() > 0.97 * limits.sum()


def test_weights_fall_as_published():
    assert masking.ngram_weights(3) == (1, 1 / 2, 1 / 3)
    assert masking.ngram_weights(3, favor_longer=True) == (1 / 3, 1 / 2, 1)
    span = np.array(masking.span_weights())
    assert len(span) == 10 and np.allclose(span[1:] / span[:-1], 0.8)
    mean = (span * np.arange(1, 11)).sum() / span.sum()
    assert abs(mean - 3.8) < 0.05  # SpanBERT, section 3.1


def test_runs_end_at_a_separator_and_are_shortened_to_fit():
    maskable = np.array([[False, True, True, False, True, True, True, False]])
    only_long = (0.0, 0.0, 1.0)
    seen = set()
    for seed in range(50):
        rng = np.random.RandomState(seed)
        chosen = masking.choose_pieces(maskable, maskable, [3], only_long, rng)[0]
        seen.add(tuple(np.flatnonzero(chosen)))
    # Either the three pieces after [SEP], or the two before it and one more to reach the limit.
    assert (4, 5, 6) in seen
    assert all(len(positions) == 3 for positions in seen)


def test_taken_words_are_left_alone():
    rng = np.random.RandomState(5)
    ids, word_starts, maskable, lengths = sequences(rng, 300, 64)
    limits = masking.num_predictions(lengths, 0.15, 20)
    weights = masking.ngram_weights(3)
    chosen = masking.choose_pieces(word_starts, maskable, limits, weights, rng)
    further = masking.choose_pieces(word_starts, maskable, limits, weights, rng, taken=chosen)
    assert not (chosen & further).any()
    assert further.sum() > 0.9 * chosen.sum()
    permuted = masking.permute_pieces(ids, further, rng)
    assert (permuted[~further] == ids[~further]).all()
    assert (permuted != ids).any()
    for before, after, where in zip(ids, permuted, further):
        assert sorted(before[where]) == sorted(after[where])


def test_equal_seeds_give_equal_masks():
    def draw(seed):
        rng = np.random.RandomState(1)
        ids, word_starts, maskable, lengths = sequences(rng, 20, 40)
        rng = np.random.RandomState(seed)
        chosen = masking.choose_pieces(
            word_starts, maskable, [5] * 20, masking.ngram_weights(3), rng
        )
        return masking.mask_pieces(ids, chosen, MASK, VOCAB_SIZE, rng)

    assert (draw(1) == draw(1)).all()
    assert (draw(1) != draw(2)).any()


def test_no_sequences_and_no_words():
    rng = np.random.RandomState(0)
    for shape in ((0, 8), (3, 8)):
        nothing = np.zeros(shape, bool)
        chosen = masking.choose_pieces(
            nothing, nothing, [2] * shape[0], masking.ngram_weights(3), rng
        )
        assert chosen.shape == shape and not chosen.any()


@pytest.mark.parametrize(
    "tokens, words, expected",
    [
        ("南 京 老 城", {"南京", "老城"}, "南 ##京 老 ##城"),
        ("作 者 简 介", {"作者简介"}, "作 者 简 介"),  # too many characters for the original
        ("卡 拉 ok 好", {"卡拉ok", "好"}, "卡 ##拉 ##ok 好"),
        ("ok 卡", {"ok卡"}, "ok 卡"),  # words begin with a Chinese character
        ("城 市 化", {"城市", "城市化"}, "城 ##市 ##化"),  # the longest word is preferred
    ],
)
def test_original_marks(tokens, words, expected):
    assert original_masking.original_marked_tokens(tokens.split(), words) == expected.split()


def test_original_marks_are_hidden_on_hanzi_only():
    shown = [
        original_masking.original_visible_token(token) for token in ("##京", "京", "##ok", "##ing")
    ]
    assert shown == ["京", "京", "##ok", "##ing"]


def test_original_runs_repeat_the_shorter_ones_at_the_end():
    runs = original_masking.original_runs([[1, 2], [3], [4]], 3)
    assert runs[0] == [[1, 2], [1, 2, 3], [1, 2, 3, 4]]
    assert runs[2] == [[4], [4], [4]]


def test_original_lengths_are_drawn_as_numpy_draws_them():
    weights = masking.ngram_weights(4)
    probabilities = np.array(weights) / np.sum(weights)
    expected = np.random.RandomState(9)
    expected = [expected.choice([1, 2, 3, 4], p=probabilities) for _ in range(50)]
    runs = [[list(range(100 * i, 100 * i + n)) for n in range(1, 5)] for i in range(50)]
    drawn = original_masking._original_fitting_runs(
        runs, 10**6, weights, np.random.RandomState(9), {}, ()
    )
    assert [len(run) for run in drawn] == expected


def test_original_permutation_moves_only_what_is_not_masked():
    runs = original_masking.original_runs([[i] for i in range(1, 40)], 3)
    pairs = original_masking.original_permutation(
        runs, 10, masking.ngram_weights(3), random.Random(1), np.random.RandomState(1), {5, 6, 7}
    )
    positions, partners = zip(*pairs)
    assert list(positions) == sorted(partners) == sorted(set(positions))
    assert len(positions) == 10 and not {5, 6, 7} & set(positions)
    assert set(itertools.chain(*pairs)) <= set(range(1, 40))


def test_pieces_of_a_span_share_what_becomes_of_them():
    """As with SpanBERT's --replacement-method span, 80/10/10 are shares of spans, not of pieces."""
    generator = np.random.RandomState(5)
    ids = np.tile(np.arange(100, 140), (4000, 1))
    chosen = np.zeros(ids.shape, bool)
    chosen[:, 3:9] = chosen[:, 20:23] = True
    shown = masking.mask_pieces(ids, chosen, 3, 90, generator, by_span=True)
    assert (shown[~chosen] == ids[~chosen]).all()
    for span in (slice(3, 9), slice(20, 23)):
        is_masked = shown[:, span] == 3
        is_kept = shown[:, span] == ids[:, span]
        masked, kept = is_masked.all(axis=1), is_kept.all(axis=1)
        assert abs(masked.mean() - 0.8) < 0.03 and abs(kept.mean() - 0.1) < 0.02
        replaced = ~(masked | kept)
        assert abs(replaced.mean() - 0.1) < 0.02
        assert is_masked[replaced].mean() < 0.05 and not is_kept[replaced].any()
