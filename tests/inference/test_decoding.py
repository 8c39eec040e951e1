"""Compares beam search and sampling with brute force, for random probabilities of few words."""

import itertools

import numpy as np
import pytest

from albert_zh.common.errors import UserError
from albert_zh.inference import decoding
from crossed_cases import with_slow

END, FORBIDDEN, WORDS = 0, 4, 5


def log_probs_behind(tokens, seed):
    """Returns random log probabilities that depend on all previous tokens."""
    state = np.random.RandomState([seed] + [token + 1 for token in tokens])
    logits = 1.5 * state.standard_normal(WORDS)
    return logits - np.log(np.exp(logits).sum())


class Histories:
    """A model whose only state is the previous tokens of each row."""

    def __init__(self, num_rows, seed):
        self.rows, self.seed = [() for _ in range(num_rows)], seed

    def next_log_probs(self, tokens, parents):
        if tokens is not None:
            self.rows = [self.rows[parent] + (token,) for token, parent in zip(tokens, parents)]
        return np.stack([log_probs_behind(row, self.seed) for row in self.rows])


def rules_of(**settings):
    return decoding.Rules(END, [FORBIDDEN], decoding.checked_settings(settings))


def all_texts(rules, seed):
    """Returns [(score, tokens)] of every text that the rules allow, best first."""
    settings, scored = rules.settings, []
    allowed = [token for token in range(WORDS) if token not in (END, FORBIDDEN)]
    for length in range(settings.max_length + 1):
        for tokens in itertools.product(allowed, repeat=length):
            is_cut = length == settings.max_length
            if length < settings.min_length or has_repeats(tokens, settings.no_repeat_ngram_size):
                continue
            whole = tokens if is_cut else tokens + (END,)
            total = sum(log_probs_behind(whole[:i], seed)[w] for i, w in enumerate(whole))
            scored.append((total / ((5 + len(whole)) / 6) ** settings.length_penalty, tokens))
    return sorted(scored, reverse=True)


def has_repeats(tokens, size):
    ngrams = [tokens[start : start + size] for start in range(len(tokens) - size + 1)]
    return bool(size) and len(set(ngrams)) < len(ngrams)


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize(
    "settings",
    [
        {"length_penalty": 0.0},
        {"length_penalty": 0.6},
        {"length_penalty": 2.0},
        {"length_penalty": -1.0},
        {"min_length": 3},
        {"no_repeat_ngram_size": 1, "length_penalty": 1.0},
        {"no_repeat_ngram_size": 2, "length_penalty": 1.0},
    ],
)
def test_a_wide_beam_finds_the_best_of_all_texts(seed, settings):
    rules = rules_of(max_length=4, num_beams=64, **settings)
    hypotheses = decoding.beam_search(Histories(1, seed).next_log_probs, rules)
    expected = all_texts(rules, seed)[: len(hypotheses)]
    assert [one.tokens for one in hypotheses[:5]] == [tokens for _, tokens in expected[:5]]
    np.testing.assert_allclose(
        [one.score for one in hypotheses[:5]], [score for score, _ in expected[:5]], atol=1e-9
    )


@pytest.mark.parametrize("num_beams", [1, 2, 64])
def test_rules_that_leave_no_token_are_named(num_beams):
    rules = rules_of(max_length=20, min_length=20, num_beams=num_beams, no_repeat_ngram_size=1)
    with pytest.raises(
        UserError, match="no token is allowed next: lower no_repeat_ngram_size=1 or"
    ):
        if num_beams > 1:
            decoding.beam_search(Histories(1, 3).next_log_probs, rules)
        else:
            list(decoding.token_by_token(Histories(1, 3).next_log_probs, 1, rules))


@pytest.mark.parametrize("num_beams", [1, 2])
def test_outputs_that_are_no_numbers_are_named(num_beams):
    """Regression: the error named two flags that were not the cause."""
    rules = rules_of(max_length=20, num_beams=num_beams)

    def next_log_probs(tokens, parents):
        return Histories(1, 3).next_log_probs(tokens, parents) * np.nan

    with pytest.raises(UserError, match="outputs are NaN: its weights are damaged"):
        if num_beams > 1:
            decoding.beam_search(next_log_probs, rules)
        else:
            list(decoding.token_by_token(next_log_probs, 1, rules))


@pytest.mark.parametrize("seed", with_slow(range(6), [0, 1]))
@pytest.mark.parametrize("num_beams", [1, 2, 3])
def test_scores_of_narrow_beams_are_those_of_their_texts(seed, num_beams):
    rules = rules_of(max_length=5, num_beams=num_beams)
    scores = {tokens: score for score, tokens in all_texts(rules, seed)}
    found = decoding.beam_search(Histories(1, seed).next_log_probs, rules)
    assert 1 <= len(found) <= num_beams
    np.testing.assert_allclose([one.score for one in found], [scores[one.tokens] for one in found])
    assert found[0].score <= max(scores.values()) + 1e-9


def greedy_text(rules, seed):
    steps = decoding.token_by_token(Histories(1, seed).next_log_probs, 1, rules)
    return tuple(step[0][1] for step in steps)


def test_greedy_takes_the_most_probable_token_and_rows_do_not_mix():
    rules = rules_of(max_length=6)
    steps = list(decoding.token_by_token(Histories(3, 7).next_log_probs, 3, rules))
    for row in range(3):
        written = [token for step in steps for at, token, _ in step if at == row]
        for index, token in enumerate(written):
            allowed = rules.allowed(log_probs_behind(written[:index], 7), written[:index])
            assert token == int(np.argmax(allowed)) and token != FORBIDDEN
        assert END not in written[:-1]


def test_what_is_drawn_from():
    log_probs = np.log([0.4, 0.3, 0.2, 0.06, 0.04])

    def kept(**settings):
        settings = decoding.checked_settings(dict(settings, do_sample=True))
        return decoding.kept_probabilities(log_probs, settings)

    np.testing.assert_allclose(kept(), np.exp(log_probs), atol=1e-12)
    np.testing.assert_allclose(kept(top_k=2), [4 / 7, 3 / 7, 0, 0, 0], atol=1e-12)
    np.testing.assert_allclose(kept(top_p=0.75), [4 / 9, 3 / 9, 2 / 9, 0, 0], atol=1e-12)
    np.testing.assert_allclose(kept(top_p=0.1), [1, 0, 0, 0, 0], atol=1e-12)
    squares = np.exp(log_probs) ** 2
    np.testing.assert_allclose(kept(temperature=0.5), squares / squares.sum(), atol=1e-12)


def test_samples_have_the_probabilities_and_their_seed_repeats_them():
    rules = rules_of(max_length=1, do_sample=True, top_k=2, min_length=0, seed=3)
    num_rows = 2000

    def drawn():
        histories = Histories(num_rows, 1)
        first = log_probs_behind((), 1)
        histories.next_log_probs = lambda tokens, parents: np.tile(first, [num_rows, 1])
        step = next(decoding.token_by_token(histories.next_log_probs, num_rows, rules))
        return [token for _, token, _ in step]

    tokens = drawn()
    assert tokens == drawn()
    allowed = rules.allowed(log_probs_behind((), 1), ())
    expected = decoding.kept_probabilities(allowed, rules.settings)
    shares = np.bincount(tokens, minlength=WORDS) / num_rows
    np.testing.assert_allclose(shares, expected, atol=0.04)


@pytest.mark.parametrize(
    "settings, message",
    [
        ({"beams": 2}, "beams: not a generation setting"),
        ({"num_beams": 0}, "num_beams"),
        ({"top_p": 0.0, "do_sample": True}, "top_p"),
        ({"top_k": 5}, "are for sampling"),
        ({"num_beams": 2, "do_sample": True}, "are mutually exclusive"),
        ({"min_length": 5, "max_length": 4}, "is more than max_length"),
    ],
)
def test_settings_that_make_no_sense(settings, message):
    with pytest.raises(UserError, match=message):
        decoding.checked_settings(settings)


def test_the_trained_length_bounds_where_none_is_given():
    assert decoding.checked_settings({"min_length": 4}, 4).max_length == 4
    assert decoding.checked_settings({"max_length": 9, "min_length": 7}, 4).max_length == 9
    with pytest.raises(UserError, match="min_length: 5 is more than max_length, 4"):
        decoding.checked_settings({"min_length": 5}, 4)


def test_without_a_token_that_may_follow_it_says_so():
    rules = rules_of(max_length=9, no_repeat_ngram_size=1, min_length=9)
    with pytest.raises(UserError, match="no token is allowed next"):
        greedy_text(rules, 1)


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("count", [1, 4, 30, 90])
def test_of_equal_scores_the_first_are_taken(seed, count):
    random = np.random.RandomState(seed)
    totals = random.choice([-np.inf, -3.0, -2.0, -1.0], size=[3, 27])
    order = sorted((-score, index) for index, score in enumerate(totals.ravel()))
    finite = [divmod(index, 27) for score, index in order if np.isfinite(score)]
    assert decoding._best(totals, count) == finite[:count]


def test_a_tiny_temperature_takes_the_most_probable():
    settings = decoding.checked_settings({"do_sample": True, "temperature": 1e-320})
    kept = decoding.kept_probabilities(np.log([0.2, 0.5, 0.3]), settings)
    np.testing.assert_array_equal(kept, [0, 1, 0])


def test_a_temperature_without_sampling_is_refused():
    with pytest.raises(UserError, match="temperature, top_k and top_p are for sampling"):
        decoding.checked_settings({"temperature": 0.7})


def test_what_is_drawn_for_a_row_follows_from_seed_and_number():
    """Rows that are generated in parts equal those that are generated together."""
    rules = rules_of(max_length=1, do_sample=True, min_length=0, seed=5)

    def drawn(num_rows, first_number):
        histories = Histories(num_rows, 1)
        (step,) = decoding.token_by_token(histories.next_log_probs, num_rows, rules, first_number)
        return [token for _, token, _ in step]

    together = drawn(40, 0)
    assert drawn(16, 0) + drawn(16, 16) + drawn(8, 32) == together
    assert together[:16] != together[16:32]
