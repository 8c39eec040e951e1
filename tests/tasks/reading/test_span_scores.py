"""Ranking of answers by their scores, and thresholds for questions without an answer."""

import numpy as np
import pytest

from albert_zh.tasks.reading import span_scores
from albert_zh.tasks.reading.span_scores import ranked_answers, tuned_threshold
from albert_zh.tasks.reading.window_places import Window, max_context_windows, window_bounds

CONTEXT = "甲乙 New York丙丁戊己庚"
SPANS = [(0, 1), (1, 2), (3, 6), (7, 11), (11, 12), (12, 13), (13, 14), (14, 15), (15, 16)]


def windows_of(size, stride, spans=SPANS, offset=3):
    bounds = window_bounds(len(spans), size, stride)
    best = max_context_windows(bounds, len(spans))
    return [
        Window(
            [9] * (offset + end - begin + 1),
            [0] * offset + [1] * (end - begin + 1),
            offset,
            spans[begin:end],
            best[begin:end] == index,
        )
        for index, (begin, end) in enumerate(bounds)
    ]


def log_softmax(window, logits):
    """Returns {position: log probability} over [CLS] and the context."""
    positions = [0] + list(range(window.offset, window.offset + len(window.spans)))
    values = [np.exp(float(logits[at])) for at in positions]
    return {at: np.log(value / sum(values)) for at, value in zip(positions, values)}


def brute_force(windows, starts, ends, max_answer_length):
    """Returns all answers as [(score, begin, end)], best first."""
    answers = []
    for window, start_logits, end_logits in zip(windows, starts, ends):
        start, end = log_softmax(window, start_logits), log_softmax(window, end_logits)
        for i, (begin, _) in enumerate(window.spans):
            for j in range(i, len(window.spans)):
                length = window.spans[j][1] - begin
                if window.is_max_context[i] and length <= max_answer_length:
                    score = start[i + window.offset] + end[j + window.offset]
                    answers.append((score, begin, window.spans[j][1]))
    return sorted(answers, reverse=True)


def random_logits(windows, seed, padding=2):
    generator = np.random.RandomState(seed)
    return [generator.normal(size=len(w.input_ids) + padding) * 3 for w in windows]


@pytest.mark.parametrize("size, stride", [(9, 9), (5, 2), (4, 3)])
@pytest.mark.parametrize("max_answer_length", [1, 4, 100])
def test_all_short_spans_are_ranked(size, stride, max_answer_length):
    windows = windows_of(size, stride)
    for seed in range(20):
        starts, ends = random_logits(windows, seed), random_logits(windows, 100 + seed)
        ranked = ranked_answers(CONTEXT, windows, starts, ends, max_answer_length, n_best_size=7)
        expected = brute_force(windows, starts, ends, max_answer_length)[:7]
        found = [(answer.score, answer.begin, answer.end) for answer in ranked.answers]
        np.testing.assert_allclose(found, expected, rtol=1e-9)
        assert [a.text for a in ranked.answers] == [CONTEXT[b:e] for _, b, e in expected]


def test_texts_that_repeat_in_a_window_take_no_place_from_others():
    context = "甲乙" * 12 + "丙丁戊"
    windows = windows_of(27, 27, [(i, i + 1) for i in range(27)])
    starts, ends = random_logits(windows, 3), random_logits(windows, 4)
    best = {}
    for score, begin, end in brute_force(windows, starts, ends, 4):
        best.setdefault(context[begin:end], (score, begin, end))
    expected = list(best.items())[:12]
    found = ranked_answers(context, windows, starts, ends, 4, n_best_size=12).answers
    assert [answer.text for answer in found] == [text for text, _ in expected]
    np.testing.assert_allclose([a.score for a in found], [place[0] for _, place in expected])


def test_blanks_and_case_of_the_context_are_kept():
    windows = windows_of(9, 9)
    starts, ends = (np.zeros(len(windows[0].input_ids)) for _ in range(2))
    starts[3 + 2] = ends[3 + 3] = 9.0
    best = ranked_answers(CONTEXT, windows, [starts], [ends], 20).answers[0]
    assert (best.text, best.begin, best.end) == ("New York", 3, 11)
    assert (best.start_index, best.end_index) == (5, 6)


def test_the_start_counts_only_in_the_window_with_the_most_context():
    windows = windows_of(6, 3)
    starts, ends = ([np.zeros(len(w.input_ids)) for w in windows] for _ in range(2))
    at = 3 + 5  # the last piece of the first window, scored in the second one
    assert not windows[0].is_max_context[5] and windows[1].is_max_context[2]
    starts[0][at] = ends[0][at] = 50.0
    ranked = ranked_answers(CONTEXT, windows, starts, ends, 20)
    assert ranked.answers[0].score < -1.0


def test_no_answer_scores_as_in_the_window_where_it_is_least_likely():
    windows = windows_of(6, 3)
    starts, ends = random_logits(windows, 1), random_logits(windows, 2)
    ranked = ranked_answers(CONTEXT, windows, starts, ends, 20)
    nulls = [log_softmax(w, s)[0] + log_softmax(w, e)[0] for w, s, e in zip(windows, starts, ends)]
    assert ranked.null_score == pytest.approx(min(nulls))
    assert ranked.null_odds == pytest.approx(min(nulls) - ranked.answers[0].score)
    total = sum(answer.probability for answer in ranked.answers) + ranked.null_probability
    assert total == pytest.approx(1.0)
    odds = ranked.answers[0].probability / ranked.null_probability
    assert np.log(odds) == pytest.approx(-ranked.null_odds)


def test_the_threshold_decides_whether_there_is_an_answer():
    windows = windows_of(9, 9)
    ranked = ranked_answers(
        CONTEXT, windows, random_logits(windows, 3), random_logits(windows, 4), 9
    )
    best = ranked.answers[0].text
    assert ranked.text() == best
    assert ranked.text(ranked.null_odds + 0.1) == best and ranked.text(ranked.null_odds - 0.1) == ""


def test_no_answer_is_ranked_among_the_answers():
    windows = windows_of(9, 9)
    ranked = ranked_answers(
        CONTEXT, windows, random_logits(windows, 3), random_logits(windows, 4), 9
    )
    assert [answer.text for answer in ranked.top(3)] == [a.text for a in ranked.answers[:3]]
    second = ranked.answers[1]
    between = ranked.null_score - (ranked.answers[0].score + second.score) / 2
    top = ranked.top(3, between)
    assert [answer.text for answer in top] == [ranked.answers[0].text, "", second.text]
    assert (top[1].begin, top[1].end) == (0, 0)
    for threshold in (ranked.null_odds - 0.1, ranked.null_odds + 0.1):
        assert ranked.top(1, threshold)[0].text == ranked.text(threshold)


def test_probabilities_leave_out_no_answer_where_it_is_not_ranked():
    windows = windows_of(9, 9)
    starts, ends = random_logits(windows, 3), random_logits(windows, 4)
    for logits in starts + ends:
        logits[0] = 20.0  # [CLS]: "no answer" is nearly certain
    ranked = ranked_answers(CONTEXT, windows, starts, ends, 9)
    scores = np.array([answer.score for answer in ranked.answers])
    expected = np.exp(scores) / np.exp(scores).sum()
    shares = [answer.probability for answer in ranked.top(len(scores))]
    assert shares == pytest.approx(expected.tolist()) and sum(shares) == pytest.approx(1.0)
    assert sum(answer.probability for answer in ranked.top(2, 0.0)[1:]) < 1e-6


@pytest.mark.parametrize("threshold", [-6.0, 0.0, 6.0])
def test_probabilities_are_in_the_order_of_the_answers(threshold):
    """The threshold moves "no answer" in the ranking and in the probabilities."""
    windows = windows_of(9, 9)
    ranked = ranked_answers(
        CONTEXT, windows, random_logits(windows, 3), random_logits(windows, 4), 9
    )
    top = ranked.top(99, threshold)
    shares = [answer.probability for answer in top]
    assert shares == sorted(shares, reverse=True) and sum(shares) == pytest.approx(1.0)
    odds = {answer.text: answer.probability / shares[0] for answer in top}
    scores = {a.text: a.score for a in ranked.answers}
    scores[""] = ranked.null_score - threshold
    for text, score in scores.items():
        assert odds[text] == pytest.approx(np.exp(score - top[0].score))


@pytest.mark.parametrize("penalty", [0.0, 0.6, 3.0])
def test_a_length_penalty_is_taken_off_all_scores(penalty):
    windows = windows_of(9, 9)
    starts, ends = random_logits(windows, 3), random_logits(windows, 4)
    ranked = ranked_answers(CONTEXT, windows, starts, ends, 9)
    again = ranked.with_length_penalty(1.7).with_length_penalty(penalty)
    expected = {a.text: a.score - penalty * np.log(a.end - a.begin) for a in ranked.answers}
    assert [a.text for a in again.answers] == sorted(expected, key=expected.get, reverse=True)
    assert [a.score for a in again.answers] == pytest.approx(sorted(expected.values())[::-1])
    scores = np.array(list(expected.values()) + [ranked.null_score])
    shares = np.exp(scores) / np.exp(scores).sum()
    assert again.null_probability == pytest.approx(shares[-1])
    assert again.answers[0].probability == pytest.approx(shares[:-1].max())


def test_a_context_without_pieces_has_no_answer():
    ranked = ranked_answers("", [], [], [], 20)
    assert ranked.answers == [] and ranked.text() == "" and ranked.text(5.0) == ""
    assert ranked.top(3, 0.0) == [] == ranked.with_length_penalty(1.0).answers
    assert ranked.null_probability == 1.0


def test_texts_are_distinct():
    spans = [(0, 1), (1, 2), (2, 3)]
    windows = windows_of(3, 3, spans)
    logits = np.zeros(len(windows[0].input_ids))
    ranked = ranked_answers("甲甲甲", windows, [logits], [logits], 9)
    assert sorted(answer.text for answer in ranked.answers) == ["甲", "甲甲", "甲甲甲"]


def test_pieces_that_share_a_character_or_have_none_do_not_break_it():
    spans = [(0, 0), (0, 1), (0, 1), (1, 2)]
    windows = windows_of(4, 4, spans)
    starts, ends = random_logits(windows, 5), random_logits(windows, 6)
    ranked = ranked_answers("한甲", windows, starts, ends, 1)
    assert {answer.text for answer in ranked.answers} == {"한", "甲"}


# Threshold


def best_by_search(null_odds, answered, unanswered):
    best = -1.0
    for threshold in sorted(set(null_odds)) + [min(null_odds) - 1]:
        values = [a if o <= threshold else u for o, a, u in zip(null_odds, answered, unanswered)]
        best = max(best, float(np.mean(values)))
    return best


def test_the_tuned_threshold_is_the_best_one():
    generator = np.random.RandomState(3)
    for _ in range(200):
        size = generator.randint(1, 12)
        null_odds = generator.randint(-3, 4, size).astype(float)
        answered = generator.choice([0.0, 0.5, 1.0], size)
        unanswered = generator.choice([0.0, 1.0], size)
        threshold, score = tuned_threshold(null_odds, answered, unanswered)
        decided = np.where(null_odds > threshold, unanswered, answered)
        assert np.mean(decided) == pytest.approx(score)
        assert score == pytest.approx(best_by_search(null_odds, answered, unanswered))


def test_the_threshold_is_halfway_between_questions():
    assert tuned_threshold([-4.0, 2.0], [1, 0], [0, 1]) == (-1.0, 1.0)
    assert tuned_threshold([-4.0, 2.0], [1, 1], [0, 0]) == (3.0, 1.0)
    assert tuned_threshold([-4.0, 2.0], [0, 0], [1, 1]) == (-5.0, 1.0)
    assert tuned_threshold([np.inf, -4.0], [0, 1], [1, 0])[1] == 1.0


def test_log_probabilities_leave_out_the_question():
    window = windows_of(9, 9)[0]
    logits = np.zeros(len(window.input_ids))
    logits[1] = 100.0
    scores = span_scores.log_probabilities(window, logits)
    assert scores[0] == pytest.approx(-np.log(1 + len(window.spans)))
    assert scores[1] < -1e6 and scores[-1] < -1e6
