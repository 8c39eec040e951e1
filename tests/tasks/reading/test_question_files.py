"""Readers of question files: layouts, positions of answers, malformed files."""

import json
import os

import pytest

from albert_zh.common.errors import UserError
from albert_zh.tasks import datasets
from albert_zh.tasks.reading import examples, question_files
from albert_zh.tasks.reading.question_files import read_questions
from albert_zh.tasks.reading.questions import Answer, nearest_occurrence

CONTEXT = "小米由雷军创立。雷军曾任金山总裁。"


def squad_question(number=0, answers=(("雷军", 3),), **more):
    entry = {"id": "Q%d" % number, "question": "谁？"}
    if answers is not None:
        entry["answers"] = [{"text": text, "answer_start": at} for text, at in answers]
    return dict(entry, **more)


def squad_file(tmp_path, *questions, context=CONTEXT, name="squad.json"):
    document = {"version": "v", "data": [{"paragraphs": [{"context": context, "qas": questions}]}]}
    return written(tmp_path, document, name)


def written(tmp_path, document, name="file.json"):
    path = tmp_path / name
    text = document if isinstance(document, str) else json.dumps(document, ensure_ascii=False)
    path.write_text(text, encoding="utf-8")
    return str(path)


def answers_of(path):
    return [question.answers for question in read_questions(path).questions]


# Layouts


@pytest.mark.parametrize(
    "record, keys",
    [
        (  # as in DuReader 2.0
            {
                "documents": [{"title": "a", "paragraphs": ["b"]}],
                "question": "谁？",
                "answers": ["b"],
            },
            "documents.title, documents.paragraphs, question, answers: if a question has "
            "several texts",
        ),
        (  # as in WebQA
            {
                "Q_1": {
                    "question": "谁？",
                    "evidences": {"Q_1#0": {"answer": ["b"], "evidence": "b"}},
                }
            },
            "Q_1.question, Q_1.evidences.Q_1#0: if a question has several texts, write a line "
            "for each",
        ),
        ({"content": ["b"], "candidates": ["c"]}, "content, candidates$"),
    ],
)
def test_the_way_out_of_layouts_that_are_not_read(tmp_path, record, keys):
    """Regression: the message truncated the keys and did not show the expected format."""
    row = '{"context": "...", "question": "...", "answer": "..."}'
    with pytest.raises(UserError, match="line 1: expected the key 'context' with .* " + keys) as e:
        read_questions(written(tmp_path, record))
    assert row in str(e.value) and "\n" not in str(e.value)


def test_rows_in_place_of_paragraphs_are_refused(tmp_path):
    row = {"id": "1", "context": CONTEXT, "question": "谁？", "answers": {"text": ["雷军"]}}
    with pytest.raises(UserError, match='"data" has one question per row, .* only its list'):
        read_questions(written(tmp_path, {"data": [row]}))
    assert answers_of(written(tmp_path, [row])) == [(Answer("雷军", 3),)]


@pytest.mark.parametrize(
    "header", ["question_id,ans_id,cnt,label", "question_id,pos_ans_id,neg_ans_id"]
)
def test_ids_in_place_of_texts_are_refused(tmp_path, header):
    """Regression: the header of cMedQA's files was read as a row, and ids as texts."""
    path = written(tmp_path, header + "\n1,2,0,1\n", "train.csv")
    with pytest.raises(
        UserError, match="line 1: the header names %s, .* have for ids" % header[:11]
    ):
        read_questions(path)


def test_checklist_of_dureader_is_read(tmp_path):
    """The checklist's unanswerable questions have an empty answer at position -1."""
    question = squad_question(0, [("", -1)], is_impossible=True, type="in-domain")
    read = read_questions(squad_file(tmp_path, question, squad_question(1)))
    assert [question.answers for question in read.questions] == [(), (Answer("雷军", 3),)]


def test_squad_layout_is_read(tmp_path):
    path = squad_file(
        tmp_path,
        squad_question(0, [("雷军", 8), ("小米", 0)]),
        squad_question(1, [], is_impossible=True, plausible_answers=[{"text": "金山"}]),
        squad_question(2, None),
        squad_question(3, []),
    )
    read = read_questions(path)
    assert read.layout == "squad" and not read.counts and read.is_labelled
    assert [question.id for question in read.questions] == ["Q0", "Q1", "Q2", "Q3"]
    assert read.questions[0].context == CONTEXT and read.questions[0].text == "谁？"
    assert read.questions[0].answers == (Answer("雷军", 8), Answer("小米", 0))
    assert read.questions[0].context is read.questions[3].context
    assert [q.answers for q in read.questions[1:]] == [(), None, ()]
    assert [q.is_impossible for q in read.questions] == [False, True, False, True]
    assert read.questions[1].source.endswith("data[0].paragraphs[0].qas[1]")


def test_drcd_layout_is_squad_s(tmp_path):
    path = squad_file(tmp_path, squad_question(0, [("雷军", 8), ("雷军", 3)]))
    with open(path, encoding="utf-8") as handle:
        document = json.load(handle)
    for number, answer in enumerate(document["data"][0]["paragraphs"][0]["qas"][0]["answers"]):
        answer["id"] = str(number + 1)
    assert answers_of(written(tmp_path, document)) == [(Answer("雷军", 8), Answer("雷军", 3))]


def test_original_cmrc_layout_is_read(tmp_path):
    entry = {
        "context_id": "D0",
        "context_text": CONTEXT,
        "title": "t",
        "qas": [
            {"query_id": "D0_Q0", "query_text": "谁？", "answers": ["雷军", "金山总裁"]},
            {"query_id": "D0_Q1", "query_text": "几？", "answers": [39764.0]},
        ],
    }
    read = read_questions(written(tmp_path, [entry]))
    assert read.layout == "cmrc"
    assert read.questions[0].answers == (Answer("雷军", 3), Answer("金山总裁", 12))
    assert read.questions[1].answers == (Answer("39764.0", None),)
    assert read.counts == {"answers_not_in_context": 1}


@pytest.mark.parametrize(
    "name, text",
    [
        ("t.csv", "question,context,answer\n谁？,%s,雷军\n几？,%s,\n" % (CONTEXT, CONTEXT)),
        ("t.tsv", "context\tquestion\tanswer\n%s\t谁？\t雷军\n%s\t几？\t\n" % (CONTEXT, CONTEXT)),
        ("t.csv", "%s,谁？,雷军\n\n%s,几？,\n" % (CONTEXT, CONTEXT)),
    ],
)
def test_tables_are_read_with_and_without_header(tmp_path, name, text):
    read = read_questions(written(tmp_path, text, name))
    assert read.layout == "table"
    assert [q.text for q in read.questions] == ["谁？", "几？"]
    assert [q.answers for q in read.questions] == [(Answer("雷军", 3),), ()]
    assert [q.id for q in read.questions] == ["0", "1"]
    assert read.questions[0].context is read.questions[1].context
    assert read.counts == ({"blank_lines": 1} if "\n\n" in text else {})


def test_a_table_s_start_and_id_are_used(tmp_path):
    text = 'id,context,question,answer,start\nx7,"%s",谁？,雷军,8\n' % CONTEXT
    (question,) = read_questions(written(tmp_path, text, "t.csv")).questions
    assert question.id == "x7" and question.answers == (Answer("雷军", 8),)


BAD_ROWS = {
    "t.csv": 'context,question,answer,start\nA,谁？,A,0\nB\nC,谁？,C,x\n"D,谁？,D\nE,谁？,E,0\n',
    "t.jsonl": '{"context": "A", "question": "谁？", "answer": "A"}\n{"context": \n{"context": 1}\n'
    '{"context": "C", "question": "谁？", "answer": 1}\n{"question": "谁？", "context": "E"}\n',
}


@pytest.mark.parametrize("name", sorted(BAD_ROWS))
def test_bad_rows_are_left_out_on_demand(tmp_path, name):
    path = written(tmp_path, BAD_ROWS[name], name)
    with pytest.raises(UserError, match="%s, (line 3: 1 column,|line 2: not valid JSON)" % name):
        read_questions(path)
    read = read_questions(path, skip_bad_rows=True)
    assert [q.context for q in read.questions] == ["A", "E"]
    assert [q.id for q in read.questions] == ["0", "4"]  # bad rows are counted, too
    assert read.counts == {"bad_rows": 3}
    task = datasets.get_task("questions")._replace(files={"train": (name,)})
    notes = examples.read_split(task, str(tmp_path), "train", "utf-8", True).notes
    assert notes == ["3 invalid rows were skipped"]


def test_a_table_of_two_columns_has_no_answers(tmp_path):
    read = read_questions(written(tmp_path, CONTEXT + "\t谁？\n", "t.txt"))
    assert read.questions[0].answers is None and not read.is_labelled


@pytest.mark.parametrize(
    "record, answers",
    [
        ({"answer": "雷军", "start": 8}, (Answer("雷军", 8),)),
        ({"answer": "雷军", "answer_start": "8"}, (Answer("雷军", 8),)),
        ({"answer": ["雷军", "金山"]}, (Answer("雷军", 3), Answer("金山", 12))),
        ({"answers": [{"text": "雷军", "answer_start": 8}]}, (Answer("雷军", 8),)),
        (
            {"answers": {"text": ["雷军", "金山"], "answer_start": [8, 12]}},
            (Answer("雷军", 8), Answer("金山", 12)),
        ),
        ({"answers": {"text": [], "answer_start": []}}, None),
        # Regression: parallel lists were refused.
        (
            {"answers": ["雷军", "金山"], "answer_start": [8, 12]},
            (Answer("雷军", 8), Answer("金山", 12)),
        ),
        ({"answers": []}, None),
        ({"answer": None}, ()),
        ({"answer": ""}, None),
        ({"answer": "", "is_impossible": True}, ()),
        ({"answer": "雷军", "is_impossible": True}, ()),
        ({"answers": [], "is_impossible": False}, ()),
        ({"answer": "雷军", "is_impossible": False}, (Answer("雷军", 3),)),
        ({}, None),
    ],
)
def test_json_lines_are_read(tmp_path, record, answers):
    line = json.dumps(dict(record, context=CONTEXT, question="谁？"))
    for name, content in (("t.jsonl", line), ("t.json", line), ("t.json", "[%s]" % line)):
        read = read_questions(written(tmp_path, content + "\n", name))
        assert read.layout == "lines" and read.questions[0].answers == answers


def test_a_file_in_another_encoding_is_read(tmp_path):
    path = tmp_path / "t.csv"
    path.write_bytes(("%s,谁？,雷军\n" % CONTEXT).encode("gb18030"))
    assert read_questions(str(path), "gb18030").questions[0].answers == (Answer("雷军", 3),)
    with pytest.raises(UserError, match="GBK.*--encoding=gb18030"):
        read_questions(str(path))


def test_half_a_character_that_json_escapes_becomes_a_replacement_mark(tmp_path):
    document = {
        "data": [{"paragraphs": [{"context": "a?b", "qas": [squad_question(0, [("b", 2)])]}]}]
    }
    path = written(tmp_path, json.dumps(document).replace("?b", "\\ud83d" + "b"))
    (question,) = read_questions(path).questions
    assert question.context == "a\ufffdb" and question.answers == (Answer("b", 2),)


# Positions


@pytest.mark.parametrize(
    "start, begin", [(None, 2), (2, 2), (3, 2), (5, 6), (6, 6), (99, 6), (-1, 2), (4, 2)]
)
def test_the_nearest_occurrence_is_taken(start, begin):
    assert nearest_occurrence("..ab..ab..", "ab", start) == begin


def test_overlapping_occurrences_are_told_apart():
    assert nearest_occurrence("aaaa", "aa", 1) == 1
    assert nearest_occurrence("abc", "d", 1) is None


def test_wrong_and_impossible_starts_are_mended_and_counted(tmp_path):
    starts = [(("雷军", at),) for at in (3, 8, 7, 99, -1)]
    path = squad_file(tmp_path, *[squad_question(k, start) for k, start in enumerate(starts)])
    read = read_questions(path)
    assert [q.answers[0].begin for q in read.questions] == [3, 8, 8, 8, 3]
    assert read.counts == {"wrong_answer_starts": 3}


@pytest.mark.parametrize("start", [8, 8.0, "8", " 8 ", "8.0"])
def test_a_start_may_be_a_float_or_digits(tmp_path, start):
    expected = [(Answer("雷军", 8),)]
    assert answers_of(squad_file(tmp_path, squad_question(0, [("雷军", start)]))) == expected
    cell = {"text": "雷军", "answer_start": start}
    for record in ({"answer": cell}, {"answer": "雷军", "start": start}):
        line = json.dumps(dict(record, context=CONTEXT, question="谁？"))
        assert answers_of(written(tmp_path, line, "t.jsonl")) == expected


@pytest.mark.parametrize(
    "start", [8.5, "8.5", "x", True, [8], "", float("inf"), pytest.param(10**350, id="too large")]
)
def test_a_start_that_is_no_position_is_refused(tmp_path, start):
    with pytest.raises(UserError, match="answer_start: expected an integer, or null, found"):
        read_questions(squad_file(tmp_path, squad_question(0, [("雷军", start)])))
    if start != "":  # an empty start is none, as in a table
        line = json.dumps({"context": CONTEXT, "question": "谁", "answer": "雷军", "start": start})
        message = "line 1: (expected the position|not valid JSON: Infinity is not a JSON value)"
        with pytest.raises(UserError, match=message):
            read_questions(written(tmp_path, line, "t.jsonl"))


def test_an_answer_that_is_not_in_the_context_is_counted_and_kept(tmp_path):
    path = squad_file(
        tmp_path, squad_question(0, [("马云", 3)]), squad_question(1, [("马云", 3), (" 雷军 ", 3)])
    )
    read = read_questions(path)
    assert read.counts == {"answers_not_in_context": 2}
    assert read.questions[0].answers == (Answer("马云", None),)
    assert not read.questions[0].is_trainable and not read.questions[0].is_impossible
    assert read.questions[1].located == Answer("雷军", 3)


def test_a_test_file_with_invented_answers_is_not_labelled(tmp_path):
    fakes = [("FAKE_ANSWER_%d" % k, -1) for k in (1, 2, 3)]
    assert not read_questions(squad_file(tmp_path, squad_question(0, fakes))).is_labelled


def test_a_test_file_whose_answers_are_all_empty_is_not_labelled(tmp_path):
    """Empty answers count as withheld, unless others exist or a question is marked impossible."""
    for entry in (squad_question(0, []), squad_question(1, [])):
        assert not read_questions(squad_file(tmp_path, entry)).is_labelled
    some = squad_file(tmp_path, squad_question(0, []), squad_question(1))
    assert answers_of(some) == [(), (Answer("雷军", 3),)]
    assert answers_of(squad_file(tmp_path, squad_question(0, [], is_impossible=True))) == [()]
    table = "context,question,answer\n%s,谁？,\n%s,何时？,\n" % (CONTEXT, CONTEXT)
    assert answers_of(written(tmp_path, table, "t.csv")) == [None, None]
    original = [
        {"context_text": CONTEXT, "qas": [{"query_id": "1", "query_text": "谁", "answers": []}]}
    ]
    assert not read_questions(written(tmp_path, original)).is_labelled


@pytest.mark.parametrize("says, expected", [("false", (Answer("雷军", 8),)), ("true", ())])
def test_is_impossible_may_be_a_text(tmp_path, says, expected):
    """Regression: files of CJRC and CAIL 2019, where it is a text, were refused."""
    path = squad_file(tmp_path, squad_question(0, [("雷军", 8)], is_impossible=says))
    assert answers_of(path) == [expected]
    line = {"context": CONTEXT, "question": "谁？", "answer": "雷军", "start": 8}
    lines = json.dumps(dict(line, is_impossible=says))
    assert answers_of(written(tmp_path, lines, "t.jsonl")) == [expected]
    with pytest.raises(UserError, match="is_impossible: expected true or false, found 'no'"):
        answers_of(squad_file(tmp_path, squad_question(0, [], is_impossible="no")))


@pytest.mark.parametrize("says", [{"answer": "雷军"}, {"answer": None}, {"is_impossible": True}])
def test_empty_answers_of_json_lines_beside_others_say_that_there_is_none(tmp_path, says):
    """If all answers of a file are empty, they are considered withheld, as in a table."""
    empty = [{"answer": ""}, {"answers": []}]
    for records, expected in ((empty, [None, None]), (empty + [says], [(), ()])):
        lines = [json.dumps(dict(r, context=CONTEXT, question="谁？")) + "\n" for r in records]
        assert answers_of(written(tmp_path, "".join(lines), "t.jsonl"))[:2] == expected
    wrong = json.dumps({"context": CONTEXT, "question": "谁？", "is_impossible": "no"})
    with pytest.raises(UserError, match="t.jsonl, line 1: is_impossible: .* found .no"):
        answers_of(written(tmp_path, wrong, "t.jsonl"))


def test_lists_of_unequal_length_are_refused(tmp_path):
    record = {
        "context": CONTEXT,
        "question": "谁？",
        "answers": {"text": ["雷军"], "answer_start": [1, 2]},
    }
    with pytest.raises(UserError, match="expected a list answer_start as long as the list text"):
        read_questions(written(tmp_path, json.dumps(record) + "\n", "t.jsonl"))


def test_empty_contexts_and_questions_are_counted(tmp_path):
    path = squad_file(tmp_path, squad_question(0, [("雷军", 3)]), context=" ")
    read = read_questions(path)
    assert read.counts == {"empty_contexts": 1, "answers_not_in_context": 1}
    assert not read.questions[0].is_trainable
    read = read_questions(squad_file(tmp_path, dict(squad_question(), question="")))
    assert read.counts == {"empty_questions": 1} and read.questions[0].is_trainable


# Mistakes


@pytest.mark.parametrize(
    "document, message",
    [
        ({"data": []}, "no questions in it"),
        ([], "no questions in it"),
        ({"data": [{"paragraphs": [{"context": "a", "qas": []}]}]}, "no questions in it"),
        ("", "is empty"),
        ("{", "not valid JSON"),
        ('"text"', "expected .*SQuAD.* found 'text'"),
        ({"data": [{"paragraphs": [{"qas": []}]}]}, r"paragraphs\[0\].context is missing"),
        (
            {"data": [{"paragraphs": [{"context": "a", "qas": [{"id": "1"}]}]}]},
            r"qas\[0\].question is missing",
        ),
        (
            {"data": [{"paragraphs": [{"context": "a", "qas": [{"id": [], "question": "b"}]}]}]},
            r"qas\[0\].id: expected a text or an integer, found \[\]",
        ),
        ([{"context_text": 3, "qas": []}], r"\[0\].context_text: expected a text, found 3"),
        ({"question": "a"}, "line 1: expected the key 'context' with a text, as in"),
        ('{"context": "a", "question": "b"}\n[]\n', "line 2: not a JSON object"),
        ('{"context": "a", "question": "b", "start": "x"}\n', "line 1: expected the position"),
        ('{"context": "a", "question": "b", "answer": 3}\n', "line 1: expected the answer as"),
    ],
)  # fmt: skip
def test_a_file_of_another_form_is_refused(tmp_path, document, message):
    with pytest.raises(UserError, match=message):
        read_questions(written(tmp_path, document))


@pytest.mark.parametrize(
    "text, message",
    [
        ("a\n", "line 1: expected columns context, question"),
        ("question,answer\nb,c\n", "line 1: the header names question, answer, expected context"),
        ("id,context,questions\n1,b,c\n", "line 1: the header names id, context, questions, exp"),
        ("context,question,answer\na\n", "line 2: 1 column, expected at least 2"),
        ("context,question\na,b,c\n", "line 2: 3 columns, expected 2 as in the first row: has a t"),
        ("context,question,answer\na,b,c,d\n", "line 2: 4 columns, expected 3 as in the first"),
        ("a,b,c,0,d\n", "line 1: expected columns context, question.*found 5 columns"),
        ("context,question,answer,start\na,b,a,one\n", "line 2: expected the position"),
        ("context,question,answer\n", "no questions in it"),
    ],
)
def test_a_table_of_another_form_is_refused(tmp_path, text, message):
    with pytest.raises(UserError, match=message):
        read_questions(written(tmp_path, text, "t.csv"))


def test_chinese_headers_and_cells_that_are_empty_behind_them(tmp_path):
    read = read_questions(written(tmp_path, "问题,原文\n谁,甲在乙\n何处,甲在丙,\n", "t.csv"))
    found = [(question.text, question.context) for question in read.questions]
    assert found == [("谁", "甲在乙"), ("何处", "甲在丙")]


def test_other_usual_names_of_columns(tmp_path):
    """Regression: a header with these names was read as a question."""
    read = read_questions(written(tmp_path, "段落,提问,回答\n甲在乙,谁,甲\n", "t.csv"))
    (question,) = read.questions
    assert (question.text, question.context, question.located) == ("谁", "甲在乙", Answer("甲", 0))
    line = json.dumps({"content": "甲在乙", "question": "何处", "answer": "乙"})
    (question,) = read_questions(written(tmp_path, line + "\n", "t.jsonl")).questions
    assert question.located == Answer("乙", 2)


def test_an_id_that_is_there_twice_is_refused(tmp_path):
    path = squad_file(tmp_path, squad_question(1), squad_question(2), squad_question(1))
    with pytest.raises(UserError, match=r"qas\[2\]: the question id 'Q1' .*qas\[0\] already"):
        read_questions(path)


def test_a_missing_file_and_a_folder_are_refused(tmp_path):
    with pytest.raises(UserError, match="cannot be read"):
        read_questions(str(tmp_path / "none.json"))
    with pytest.raises(UserError, match="found a folder"):
        read_questions(str(tmp_path))


@pytest.mark.newest  # TensorFlow 1.15's client retries for minutes
def test_a_bucket_that_cannot_be_reached_is_named():
    with pytest.raises(UserError, match="^gs://bucket/dev.json: cannot be read"):
        read_questions("gs://bucket/dev.json")


# The public sets


@pytest.mark.newest
@pytest.mark.parametrize(
    "name, layout, questions, contexts, counts",
    [
        ("cmrc2018/cmrc2018_train.json", "squad", 10142, 2403, {"wrong_answer_starts": 21}),
        ("cmrc2018/original_format_cmrc2018_trial.json", "cmrc", 1002, 256, {"empty_questions": 2}),
        ("drcd/DRCD_test.json", "squad", 3493, 1000, {}),
    ],
)
def test_the_public_sets_are_read_whole(shared, name, layout, questions, contexts, counts):
    read = read_questions(os.path.join(shared, "data", name))
    assert read.layout == layout and len(read.questions) == questions
    assert len({q.context for q in read.questions}) == contexts
    assert read.counts == counts
    assert all(q.is_trainable for q in read.questions)


def test_annotated_positions_of_drcd_are_kept(shared):
    read = read_questions(os.path.join(shared, "data", "drcd", "DRCD_test.json"))
    later = [q for q in read.questions if q.answers[0].begin != q.context.find(q.answers[0].text)]
    assert len(later) == 469  # as the description of the data set says


def test_columns_have_distinct_names():
    names = [name for spellings in question_files.COLUMNS.values() for name in spellings]
    assert len(names) == len(set(names))
