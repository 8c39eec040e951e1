"""Conversion of spans between characters and pieces; each piece is owned by one window."""

import gc
import random
import time

import numpy as np
import pytest

from albert_zh.tasks.labelling import alignment
from albert_zh.tasks.labelling.alignment import Window
from albert_zh.tasks.labelling.spans import Span, words_as_spans
from albert_zh.text import tokenization
from albert_zh.text.offsets import offsets

ENTRIES = "[PAD] [UNK] [CLS] [SEP] [MASK] 我 在 北 京 用 的 iphone ##x cafe 20 ##08 年 ，".split()


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory):
    path = tmp_path_factory.mktemp("alignment") / "vocab.txt"
    path.write_text("\n".join(ENTRIES) + "\n", encoding="utf-8")
    return tokenization.FullTokenizer(str(path))


@pytest.mark.parametrize(
    "text, mention, pieces, is_exact",
    [
        ("我在北京", "北京", "北 京", True),
        ("我用iPhoneX，", "iPhoneX", "iphone ##x", True),
        ("我用iPhoneX", "iPhone", "iphone", True),
        ("我用iPhoneX", "Phone", "iphone", False),
        ("在2008年", "08年", "##08 年", True),
        ("在2008年", "008年", "20 ##08 年", False),
        ("CAFÉ的", "CAFÉ", "cafe", True),
        ("cafe\u0301的", "cafe\u0301", "cafe", True),
        ("我😀京", "😀", "[UNK]", True),
        ("我ＡＢ京", "Ｂ", "[UNK]", False),
        ("我 北京", " 北京", "北 京", False),
        ("北京\u200b，", "北京\u200b", "北 京", False),
        ("北 京 ，", "北 京", "北 京", True),
        ("北\u200b京", "北\u200b京", "北 京", True),
    ],
)
def test_characters_to_pieces_and_back(tokenizer, text, mention, pieces, is_exact):
    all_pieces, positions = offsets(tokenizer, text)
    start = text.index(mention)
    spans, num_inexact, num_lost = alignment.to_pieces(
        [Span(start, start + len(mention), "x")], positions
    )
    assert all_pieces[spans[0].start : spans[0].end] == pieces.split()
    assert (num_inexact, num_lost) == (not is_exact, 0)
    (back,) = alignment.to_characters(spans, positions)
    if is_exact:
        assert text[back.start : back.end] == mention
    else:
        assert mention.strip(" \u200b") in text[back.start : back.end]


def test_entities_without_pieces_are_counted(tokenizer):
    _, positions = offsets(tokenizer, "我 \u200b 在")
    assert alignment.to_pieces([Span(2, 3, "x"), Span(4, 5, "x")], positions) == (
        [Span(1, 2, "x")], 0, 1
    )  # fmt: skip
    assert alignment.to_pieces([Span(0, 1, "x")], []) == ([], 0, 1)


def test_words_that_meet_inside_a_piece(tokenizer):
    text = "我20082008年"
    words = ["我", "20082", "008", "年"]
    assert "".join(words) == text
    pieces, positions = offsets(tokenizer, text)
    assert pieces == ["我", "[UNK]", "年"]
    spans, num_inexact, _ = alignment.to_pieces(words_as_spans(words), positions)
    flat, num_left_out = alignment.without_overlaps(spans)
    assert flat == [Span(0, 1, ""), Span(1, 2, ""), Span(2, 3, "")]
    assert (num_inexact, num_left_out) == (2, 1)


def test_random_spans_of_whole_pieces_survive(tokenizer):
    generator = random.Random(1)
    for _ in range(200):
        text = "".join(generator.choice("我在北京 \u200b2008X，e\u0301한") for _ in range(25))
        pieces, positions = offsets(tokenizer, text)
        if len(pieces) < 3:
            continue
        start = generator.randrange(len(pieces) - 1)
        span = Span(start, generator.randrange(start + 1, len(pieces)), "x")
        in_text = alignment.to_characters([span], positions)
        again, _, _ = alignment.to_pieces(in_text, positions)
        covered = positions[again[0].start][0], positions[again[0].end - 1][1]
        assert covered == (in_text[0].start, in_text[0].end)


@pytest.mark.parametrize("num_pieces", [0, 1, 9, 10, 11, 14, 15, 16, 37, 100])
@pytest.mark.parametrize("max_pieces, stride", [(10, 5), (10, 10), (10, 1), (7, 3)])
def test_windows_own_every_piece_once(num_pieces, max_pieces, stride):
    parts = alignment.windows(num_pieces, max_pieces, stride)
    owned = [list(range(window.first_owned, window.end_owned)) for window in parts]
    assert sum(owned, []) == list(range(num_pieces))
    for window in parts:
        assert window.start <= window.first_owned <= window.end_owned <= window.end
        assert window.end - window.start <= max_pieces
    for piece in range(num_pieces):
        depths = {
            window: min(
                piece - window.start if window.start else num_pieces,
                window.end - 1 - piece if window.end < num_pieces else num_pieces,
            )
            for window in parts
            if window.start <= piece < window.end
        }
        (owner,) = [window for window in parts if window.first_owned <= piece < window.end_owned]
        assert depths[owner] >= max(depths.values()) - 1


def test_inner_pieces_are_owned_where_they_have_most_context():
    parts = alignment.windows(30, 10, 5)
    assert parts[1] == Window(5, 15, 8, 13)
    context = lambda window, piece: min(piece - window.start, window.end - 1 - piece)  # noqa: E731
    for piece in range(8, 22):
        (owner,) = [w for w in parts if w.first_owned <= piece < w.end_owned]
        others = [context(w, piece) for w in parts if w.start <= piece < w.end]
        assert context(owner, piece) == max(others)


def test_predictions_and_spans_are_joined():
    parts = alignment.windows(23, 10, 4)
    scores = np.random.RandomState(0).rand(23, 3)
    joined = alignment.join_windows([scores[w.start : w.end] for w in parts], parts)
    assert np.array_equal(joined, scores)
    spans = [Span(0, 2, "a"), Span(5, 8, "b"), Span(9, 10, "a"), Span(20, 23, "c")]
    cut = alignment.spans_of_windows(spans, parts)
    assert alignment.join_spans(cut, parts) == spans
    assert cut[1] == [Span(1, 4, "b"), Span(5, 6, "a")]


@pytest.mark.parametrize("max_pieces, stride", [(10, 5), (10, 10), (10, 1), (7, 4), (7, 3), (9, 4)])
def test_spans_are_taken_once_from_a_window_that_has_them_whole(max_pieces, stride):
    parts = alignment.windows(24, max_pieces, stride)
    for start in range(24):
        for end in range(start + 1, 25):
            span = Span(start, end, "x")
            seen = [
                [Span(start - window.start, end - window.start, "x")]
                if window.start <= start and end <= window.end
                else []
                for window in parts
            ]
            assert alignment.join_spans(seen, parts) == [span] * any(seen)


def test_spans_are_cut_at_the_ends_of_windows():
    parts = alignment.windows(20, 10, 10)
    assert alignment.spans_of_windows([Span(3, 17, "long")], parts) == [
        [Span(3, 10, "long")],
        [Span(0, 7, "long")],
    ]


def test_100000_characters_take_linear_time(tokenizer):
    def seconds(length):
        text = "我在北京，" * (length // 5)
        start = time.perf_counter()
        pieces, positions = offsets(tokenizer, text)
        parts = alignment.windows(len(pieces), 126, 63)
        spans, _, _ = alignment.to_pieces(
            [Span(at + 2, at + 4, "LOC") for at in range(0, length, 5)], positions
        )
        cut = alignment.spans_of_windows(spans, parts)
        joined = alignment.join_spans(cut, parts)
        assert alignment.to_characters(joined, positions)[-1] == Span(length - 3, length - 1, "LOC")
        return time.perf_counter() - start

    gc.disable()  # a collection also scans the objects left by other tests
    try:
        small = min(seconds(10000) for _ in range(3))
        assert min(seconds(100000) for _ in range(2)) < 40 * small
    finally:
        gc.enable()
