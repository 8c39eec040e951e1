"""Damaged texts follow the descriptions of MASS and BART."""

import math

import numpy as np
import pytest

from albert_zh.tasks.generation import damage

MASK, VOCAB_SIZE = 4, 1000
SENTENCES = [list(range(100, 112)), list(range(200, 205)), list(range(300, 319))]
TEXT = [token for sentence in SENTENCES for token in sentence]


def damaged(way, seed, sentences=SENTENCES):
    generator = np.random.RandomState(seed)
    return damage.DAMAGES[way](sentences, MASK, VOCAB_SIZE, generator)


def lengths_of(num_tokens, count):
    generator = np.random.RandomState(7)
    return [damage.span_lengths(num_tokens, generator) for _ in range(count)]


def test_spans_mask_three_tenths_by_lengths_of_poisson():
    for num_tokens in (1, 9, 10, 11, 200):
        assert {sum(spans) for spans in lengths_of(num_tokens, 50)} == {math.ceil(0.3 * num_tokens)}
    # The last span of a text is truncated.
    drawn = [length for spans in lengths_of(3000, 40) for length in spans[:-1]]
    shares = np.bincount(drawn, minlength=9)[:9] / len(drawn)
    expected = [math.exp(-3) * 3.0**k / math.factorial(k) for k in range(9)]
    np.testing.assert_allclose(shares, expected, atol=0.015)


def test_infilling_replaces_runs_by_one_mask_each():
    """The remaining tokens keep their order; each mask replaces a run of tokens (or nothing)."""
    for seed in range(30):
        shown = damage.infilled(TEXT, MASK, np.random.RandomState(seed))
        lengths = damage.span_lengths(len(TEXT), np.random.RandomState(seed))
        kept = [token for token in shown if token != MASK]
        assert shown.count(MASK) == len(lengths)
        assert len(kept) == len(TEXT) - math.ceil(0.3 * len(TEXT))
        assert kept == [token for token in TEXT if token in set(kept)]
        for token, follower in zip(shown, shown[1:]):  # a mask replaces the missing tokens
            if MASK not in (token, follower):
                assert TEXT.index(follower) == TEXT.index(token) + 1


def test_spans_are_anywhere_with_equal_probability():
    counts = np.zeros(len(TEXT))
    for seed in range(2000):
        shown = set(damage.infilled(TEXT, MASK, np.random.RandomState(seed)))
        counts += [token not in shown for token in TEXT]
    shares = counts / 2000
    assert shares.mean() == pytest.approx(math.ceil(0.3 * len(TEXT)) / len(TEXT))
    assert shares[3:-3].std() < 0.02 and shares.min() > 0.1


def test_bart_permutes_all_sentences_and_wants_the_text():
    orders = set()
    for seed in range(60):
        text = damaged("bart", seed)
        assert text.target == TEXT and text.positions is None
        hundreds = [token // 100 for token in text.source if token != MASK]
        orders.add(tuple(dict.fromkeys(hundreds)))
        runs = [first for first, second in zip(hundreds, hundreds[1:] + [0]) if first != second]
        assert len(runs) == len(set(runs))  # sentences stay whole
    assert {order for order in orders if len(order) == 3} == {
        (1, 2, 3), (1, 3, 2), (2, 1, 3), (2, 3, 1), (3, 1, 2), (3, 2, 1),
    }  # fmt: skip


def test_mass_wants_half_of_the_text_at_its_positions():
    for seed in range(50):
        text = damaged("mass", seed)
        begin, end = text.positions[0], text.positions[-1] + 1
        assert end - begin == len(TEXT) // 2 and text.positions == list(range(begin, end))
        assert text.target == TEXT[begin:end]
        assert text.source[:begin] == TEXT[:begin] and text.source[end:] == TEXT[end:]
        assert len(text.source) == len(TEXT)


def test_fragments_begin_where_mass_has_them():
    """20 % of fragments begin at the start, 20 % extend to the end, 60 % are anywhere."""
    generator, count = np.random.RandomState(3), 6000
    begins = [damage.fragment(100, generator) for _ in range(count)]
    assert {end - begin for begin, end in begins} == {50}
    shares = np.bincount([begin for begin, _ in begins], minlength=51) / count
    assert shares[0] == pytest.approx(0.2 + 0.6 / 51, abs=0.02)
    assert shares[50] == pytest.approx(0.2 + 0.6 / 51, abs=0.02)
    np.testing.assert_allclose(shares[1:50], 0.6 / 51, atol=0.008)
    assert damage.fragment(1, generator) == (0, 1)


def test_mass_shows_masks_random_tokens_or_the_token():
    fates = np.zeros(3)
    for seed in range(300):
        text = damaged("mass", seed)
        for position, token in zip(text.positions, text.target):
            shown = text.source[position]
            fates[0 if shown == MASK else 1 if shown == token else 2] += 1
    np.testing.assert_allclose(fates / fates.sum(), [0.8, 0.1, 0.1], atol=0.02)


@pytest.mark.parametrize("way", sorted(damage.DAMAGES))
def test_a_seed_gives_one_damage(way):
    assert damaged(way, 5) == damaged(way, 5)
    assert damaged(way, 5) != damaged(way, 6)
    assert damaged(way, 5, [[7]]).target == [7]
