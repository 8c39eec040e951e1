"""Error analysis of answers: scores by groups, worst errors, chart; the lexical baseline."""

import numpy as np
import pytest

from albert_zh.tasks.reading import error_analysis, lexical_baseline
from albert_zh.tasks.reading.answer_scores import score_predictions
from albert_zh.tasks.reading.error_analysis import Analysis, answer_length_group, question_word
from albert_zh.tasks.reading.questions import Answer, Question

CONTEXT = "一" * 100 + "雷军创立小米" + "二" * 100


def question(number, text, answer, begin=None):
    answers = () if answer is None else (Answer(answer, begin),)
    return Question("Q%d" % number, text, CONTEXT, answers, "line %d" % number)


@pytest.mark.parametrize(
    "text, expected",
    [
        ("小米是谁创立的？", "谁"),
        ("誰寫的？", "谁"),
        ("这是什么？", "什么"),
        ("這是甚麼？", "什么"),
        ("为什么下雨？", "为什么"),
        ("為何下雨？", "为什么"),
        ("失败的原因是什么？", "为什么"),
        ("哪一年？", "哪"),
        ("何时成立？", "哪"),
        ("有几个？", "多少"),
        ("多长时间？", "多少"),
        ("票价多少？", "多少"),
        ("怎么去？", "怎么"),
        ("如何去？", "怎么"),
        ("《论语》的作者？", "其他"),
    ],
)
def test_questions_are_grouped_by_their_word(text, expected):
    assert question_word(text) == expected


@pytest.mark.parametrize(
    "length, expected",
    [(1, "1-2"), (2, "1-2"), (3, "3-5"), (10, "6-10"), (20, "11-20"), (50, "21-50"), (51, "51+")],
)
def test_answers_are_grouped_by_their_length(length, expected):
    assert answer_length_group(question(0, "", "字" * length)) == expected


@pytest.fixture
def analysis():
    questions = [
        question(0, "谁创立？", "雷军", 100),
        question(1, "谁？", "雷军", 100),
        question(2, "什么？", "创立小米", 102),
        question(3, "几个？", None),
        question(4, "哪里？", "小米", 104),
    ]
    predictions = {"Q0": "雷军", "Q1": "小米", "Q2": "小米", "Q3": "小米"}
    scores = score_predictions(questions, predictions)
    return Analysis(questions, predictions, scores, {"Q1": 0.9, "Q3": 0.95})


def test_scores_of_groups_are_means(analysis):
    rows = {row["group"]: row for row in analysis.by_question_word()}
    assert list(rows) == ["多少", "谁", "哪", "什么"]
    assert rows["谁"] == {"group": "谁", "questions": 2, "exact_match": 50.0, "f1": 50.0}
    assert rows["什么"]["exact_match"] == 0 and rows["什么"]["f1"] == pytest.approx(200 / 3)
    rows = {row["group"]: row["questions"] for row in analysis.by_answer_length()}
    assert rows == {"无答案": 1, "1-2": 3, "3-5": 1}


def test_the_worst_errors_come_first(analysis):
    errors = analysis.worst_errors()
    assert [error["id"] for error in errors] == ["Q3", "Q1", "Q4", "Q2"]
    assert len(analysis.worst_errors(2)) == 2
    assert errors[2]["predicted"] is None and errors[0]["answers"] == []
    assert errors[1] == {
        "id": "Q1",
        "question": "谁？",
        "context": "…" + CONTEXT[40:162] + "…",
        "answers": ["雷军"],
        "predicted": "小米",
        "f1": 0.0,
        "probability": 0.9,
        "source": "line 1",
    }


def test_an_excerpt_at_the_ends_of_the_context():
    short = Question("Q", "", "甲乙丙", (Answer("乙", 1),))
    assert error_analysis.excerpt(short) == "甲乙丙"
    assert error_analysis.excerpt(short, 0) == "…乙…"
    assert error_analysis.excerpt(question(0, "", None)) == CONTEXT[:120] + "…"


def test_a_chart_is_drawn(analysis, tmp_path):
    pytest.importorskip("matplotlib")
    path = error_analysis.draw_chart(str(tmp_path / "chart.png"), analysis, "dev")
    with open(path, "rb") as handle:
        content = handle.read()
    assert content.startswith(b"\x89PNG") and len(content) > 5000


# The baseline without a model


def test_the_sentence_with_the_most_common_bigrams_is_taken():
    context = "小米由雷军创立。总部在北京市海淀区！\n发布MIUI；售价1999元"
    best = lexical_baseline.best_sentence
    assert best("总部在哪个市？", context) == "总部在北京市海淀区！"
    assert best("miui是什么时候发布的", context) == "发布MIUI；"
    assert best("无关", context) == "小米由雷军创立。"
    assert best("售价多少元", context) == "售价1999元"
    assert best("？", " \n") == ""


def test_clauses_are_shorter():
    context = "小米由雷军创立，总部在北京市（海淀区）。"
    assert lexical_baseline.best_sentence("总部在哪？", context, "clause") == "总部在北京市"


def test_bigrams_leave_out_white_space_and_case():
    assert lexical_baseline.bigrams("A b\nC") == {"ab", "bc"}


def test_predictions_are_by_id():
    questions = [Question("x", "总部在哪？", "甲乙。总部在北京。", None)]
    assert lexical_baseline.baseline_predictions(questions) == {"x": "总部在北京。"}


def test_missing_groups_have_no_row():
    questions = [question(0, "谁？", "雷军", 100)]
    scores = score_predictions(questions, {"Q0": "雷军"})
    assert len(Analysis(questions, {"Q0": "雷军"}, scores).by_question_word()) == 1
    assert np.isclose(scores.f1, 100)
