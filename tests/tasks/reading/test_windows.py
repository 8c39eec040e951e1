"""Windows of a question and its context."""

import os

import numpy as np
import pytest

from albert_zh.common.errors import UserError
from albert_zh.tasks.reading import window_places
from albert_zh.tasks.reading import windows as reading_windows
from albert_zh.tasks.reading.question_files import read_questions
from albert_zh.tasks.reading.questions import Answer, Question
from albert_zh.tasks.reading.window_places import max_context_windows, window_bounds
from albert_zh.tasks.reading.windows import WindowMaker
from albert_zh.text import tokenization

STARTER = os.path.join(
    os.path.dirname(os.path.abspath(reading_windows.__file__)), "..", "..", "albert_starter_zh"
)
CONTEXT = "小米由雷军于2010年4月创立，总部在北京。雷军曾任金山软件（Kingsoft）总裁。"


@pytest.fixture(scope="module")
def tokenizer():
    return tokenization.FullTokenizer(os.path.join(STARTER, "vocab.txt"))


def maker(tokenizer, max_seq_length=16, doc_stride=4, max_query_length=6):
    return WindowMaker(tokenizer, max_seq_length, doc_stride, max_query_length)


def question(text="谁创立？", answer="雷军", begin=3, context=CONTEXT):
    return Question("Q", text, context, (Answer(answer, begin),))


def is_aligned(made, entry):
    """Whether the first located answer begins and ends at the borders of pieces."""
    answer = entry.located
    _, spans = made._pieces(entry.context)
    pieces = reading_windows.pieces_of_span(spans, answer.begin, answer.begin + len(answer.text))
    if pieces is None:
        return False
    begin, end = spans[pieces[0]][0], spans[pieces[1]][1]
    return entry.context[begin:end].strip() == answer.text.strip()


def test_contexts_are_remembered_up_to_so_many_characters(tokenizer, monkeypatch):
    monkeypatch.setattr(reading_windows, "_REMEMBERED_CHARACTERS", 10)
    made, sizes = maker(tokenizer), []
    for context in ("今天", "明天", "今天", "一二三四五六", "七", "上" * 11, "下" * 12, "八九"):
        assert made._pieces(context) == maker(tokenizer)._pieces(context)
        sizes.append(sum(map(len, made._contexts)))
    assert sizes == [2, 4, 4, 10, 1, 11, 12, 2]


def brute_force_max_context(bounds, piece):
    """Returns the index of a piece's window by the rule that BERT's authors state."""
    scores = [
        (min(piece - begin, end - 1 - piece) + 0.01 * (end - begin), -index)
        for index, (begin, end) in enumerate(bounds)
        if begin <= piece < end
    ]
    return -max(scores)[1]


def test_bounds_are_a_stride_apart_and_cover_all():
    assert window_bounds(10, 4, 2) == [(0, 4), (2, 6), (4, 8), (6, 10)]
    assert window_bounds(9, 4, 2) == [(0, 4), (2, 6), (4, 8), (6, 9)]
    assert window_bounds(4, 4, 2) == [(0, 4)]
    assert window_bounds(10, 4, 9) == [(0, 4), (4, 8), (8, 10)]
    assert window_bounds(0, 4, 2) == []


@pytest.mark.parametrize("size, stride", [(7, 3), (8, 2), (5, 9), (50, 4)])
def test_each_piece_is_scored_where_it_has_the_most_context(size, stride):
    bounds = window_bounds(40, size, stride)
    expected = [brute_force_max_context(bounds, piece) for piece in range(40)]
    assert max_context_windows(bounds, 40).tolist() == expected


def test_windows_are_question_and_part_of_the_context(tokenizer):
    windows = maker(tokenizer).windows("谁创立？", CONTEXT)
    tokens = [tokenizer.convert_ids_to_tokens(window.input_ids) for window in windows]
    assert len(windows) > 3
    for window, pieces in zip(windows, tokens):
        assert pieces[:6] == ["[CLS]", "谁", "创", "立", "？", "[SEP]"] and pieces[-1] == "[SEP]"
        assert window.offset == 6 and len(pieces) <= 16
        assert window.segment_ids == [0] * 6 + [1] * (len(pieces) - 6)
        assert window.span_mask == [1] + [0] * 5 + [1] * (len(pieces) - 7) + [0]
        for piece, (begin, end) in zip(pieces[6:-1], window.spans):
            text = CONTEXT[begin:end].lower()
            assert piece in ("[UNK]", text, "##" + text)
    owners = sum(np.sum(window.is_max_context) for window in windows)
    assert owners == len(tokenizer.tokenize(CONTEXT))


def test_the_answer_is_located_in_the_windows_that_have_all_of_it(tokenizer):
    for answer in ("雷军", "2010年4月", "Kingsoft", "总部在北京"):
        begin = CONTEXT.rfind(answer)
        windows = maker(tokenizer).training_windows(question("谁？", answer, begin))
        texts = set()
        for window in windows:
            if window.end == window_places.NO_ANSWER:
                assert window.start == window.end
                covered = range(window.spans[0][0], window.spans[-1][1])
                assert begin not in covered or begin + len(answer) - 1 not in covered
                continue
            first, last = (at - window.offset for at in (window.start, window.end))
            texts.add(CONTEXT[window.spans[first][0] : window.spans[last][1]])
        assert texts == {answer}


def test_the_annotated_occurrence_is_the_target(tokenizer):
    second = CONTEXT.rfind("雷军")
    (window,) = maker(tokenizer, 64).training_windows(question(begin=second))
    assert window.spans[window.start - window.offset][0] == second


def test_a_question_without_an_answer_points_to_the_first_piece(tokenizer):
    windows = maker(tokenizer).training_windows(Question("Q", "谁？", CONTEXT, ()))
    assert {(window.start, window.end) for window in windows} == {(0, 0)}


def test_a_long_question_is_cut(tokenizer):
    made = maker(tokenizer)
    assert made.is_cut("一二三四五六七") and not made.is_cut("一二三四五六")
    (first, *_) = made.windows("一二三四五六七", CONTEXT)
    tokens = tokenizer.convert_ids_to_tokens(first.input_ids)
    assert tokens[:8] == ["[CLS]", "一", "二", "三", "四", "五", "六", "[SEP]"]


def test_an_empty_question_or_context(tokenizer):
    (first, *_) = maker(tokenizer).windows("", CONTEXT)
    assert first.offset == 2
    assert maker(tokenizer).windows("谁？", " \n") == []


def test_an_answer_within_a_word_piece_is_reported(tokenizer):
    made = maker(tokenizer, 64)
    context = "2010年4月"
    assert is_aligned(made, question(answer="4月", begin=5, context=context))
    assert not is_aligned(made, question(answer="10年", begin=2, context=context))
    (window,) = made.training_windows(question(answer="10年", begin=2, context=context))
    assert window.spans[window.start - window.offset][0] <= 2


@pytest.mark.parametrize(
    "lengths, message",
    [((67, 128, 64), "--max_seq_length=67: expected more than --max_query_length=64"),
     ((128, 0, 64), "--doc_stride=0: expected 1 or more")],
)  # fmt: skip
def test_lengths_that_cannot_work_are_refused(tokenizer, lengths, message):
    with pytest.raises(UserError, match=message):
        WindowMaker(tokenizer, *lengths)


def test_a_context_of_a_megabyte_is_read_in_windows(tokenizer):
    context = ("小米由雷军于二〇一〇年创立。" * 30000)[: 1 << 18] + "总部在北京。"
    assert len(context.encode()) > 700000
    windows = maker(tokenizer, 384, 128, 64).windows("总部在哪？", context)
    assert len(windows) == 1 + -(-(len(context) - 374) // 128)
    assert windows[-1].spans[-1] == (len(context) - 1, len(context))
    assert sum(int(window.is_max_context.sum()) for window in windows) == len(context)


def test_the_longest_answer_is_that_of_99_in_100():
    questions = [question(answer="字" * length) for length in range(1, 201)]
    assert reading_windows.usual_max_answer_length(questions) == 199
    assert reading_windows.usual_max_answer_length(questions[:5]) == 5
    assert reading_windows.usual_max_answer_length([Question("Q", "", "", ())]) == 1


def test_answers_of_cmrc_are_cut_back_exactly(shared, tokenizer):
    path = os.path.join(shared, "data", "cmrc2018", "data_cmrc2018_trial.json")
    made = maker(tokenizer, 512, 128, 64)
    num_aligned = 0
    for entry in read_questions(path).questions[:300]:
        if not is_aligned(made, entry):
            continue
        num_aligned += 1
        answer = entry.located
        located = [window for window in made.training_windows(entry) if window.end]
        assert located or len(tokenizer.tokenize(answer.text)) > 128
        for window in located:
            begin = window.spans[window.start - window.offset][0]
            end = window.spans[window.end - window.offset][1]
            assert entry.context[begin:end].strip() == answer.text.strip()
    assert num_aligned > 290
