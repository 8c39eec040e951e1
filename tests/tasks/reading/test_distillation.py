"""Distillation of reading comprehension: a teacher's scores are mapped to a student's windows."""

import types

import numpy as np
import pytest

from albert_zh.tasks import distillation, kind_interface, registry
from albert_zh.tasks.input_examples import InputExample
from albert_zh.tasks.settings import Settings
from albert_zh.text import tokenization
from workspace import VOCABULARY

EXAMPLE = InputExample("test-1", "什么时候", "今天天气很好我们去吃饭吧明天再说什么时候开门", None)
KIND = registry.get("reading_comprehension")


@pytest.fixture
def tokenizer(tmp_path):
    path = tmp_path / "vocab.txt"
    path.write_text("\n".join(VOCABULARY) + "\n", encoding="utf-8")
    return tokenization.FullTokenizer(str(path))


def model(tokenizer, length, stride=6):
    task = types.SimpleNamespace(head={"doc_stride": stride, "max_query_length": 8})
    return kind_interface.ModelInUse(task, {}, tokenizer, length)


def scored(use, seed=1):
    """Returns (records, random scores of each record in the form of a teacher's outputs)."""
    records, _ = KIND.features(use.task, EXAMPLE, use.tokenizer, use.max_seq_length)
    draws = np.random.RandomState(seed)
    names = KIND.distillation.teacher_outputs
    return records, [{n: draws.randn(len(r["input_ids"])) for n in names} for r in records]


def test_a_teacher_of_the_same_windows_is_taken_over(tokenizer):
    use = model(tokenizer, 20)
    records, scores = scored(use)
    assert len(records) > 2
    target = KIND.distillation.target(use, EXAMPLE, scores, [0, 1])
    rows = KIND.distillation.of_records(use, EXAMPLE, target)
    for record, row, of_row in zip(records, rows, scores):
        mask = np.array(record["span_mask"]) > 0
        for column, output in zip(("teacher_start", "teacher_end"), scores[0]):
            np.testing.assert_allclose(row[column][mask], of_row[output][mask], rtol=1e-6)
            assert (row[column][~mask] == -1e4).all()


def test_longer_windows_of_a_teacher_serve_shorter_ones(tokenizer):
    teacher, student = model(tokenizer, 48), model(tokenizer, 20)
    records, scores = scored(teacher)
    assert len(records) == 1
    target = KIND.distillation.target(teacher, EXAMPLE, scores, [0, 1])
    rows = KIND.distillation.of_records(student, EXAMPLE, target)
    first, offset = rows[0]["teacher_start"], records[0]["span_mask"].index(1, 1)
    np.testing.assert_allclose(
        first[offset : offset + 13], scores[0]["start_logits"][offset:19], rtol=1e-6
    )
    averaged = KIND.distillation.average([rows[0], rows[0]], [0.5, 0.5], Settings(temperature=2.0))
    for name in rows[0]:
        expected = distillation.log_softmax(rows[0][name] / 2)
        got = distillation.log_softmax(averaged[name] / 2)
        np.testing.assert_allclose(np.exp(got), np.exp(expected), atol=1e-9)


def test_shorter_windows_of_a_teacher_serve_a_longer_one(tokenizer):
    """Each piece gets its score from a window that contains it, not from the largest window."""
    teacher, student = model(tokenizer, 20), model(tokenizer, 48)
    records, scores = scored(teacher)
    for of_row in scores:
        of_row["start_logits"][:] = -5.0
        of_row["start_logits"][0] = 3.0  # no answer in this window
    answer = len(records[-1]["span_mask"]) - 2  # the last character of the last window
    scores[-1]["start_logits"][[0, answer]] = -4.0, 6.0
    target = KIND.distillation.target(teacher, EXAMPLE, scores, [0, 1])
    (row,) = KIND.distillation.of_records(student, EXAMPLE, target)
    (record,), _ = KIND.features(student.task, EXAMPLE, student.tokenizer, 48)
    mask = np.array(record["span_mask"]) > 0
    assert int(np.argmax(row["teacher_start"])) == int(np.nonzero(mask)[0][-1])
    assert row["teacher_start"].max() == 6.0 and row["teacher_start"][0] == -4.0
    assert (row["teacher_start"][mask] >= -5.0).all() and (row["teacher_end"][mask] > -9.0).all()


def test_windows_of_a_teacher_without_an_answer_leave_none(tokenizer):
    teacher, student = model(tokenizer, 20), model(tokenizer, 48)
    _, scores = scored(teacher)
    for number, of_row in enumerate(scores):
        of_row["start_logits"][:] = -5.0
        of_row["start_logits"][0] = 3.0 + number
    target = KIND.distillation.target(teacher, EXAMPLE, scores, [0, 1])
    (row,) = KIND.distillation.of_records(student, EXAMPLE, target)
    assert int(np.argmax(row["teacher_start"])) == 0 and row["teacher_start"][0] >= 3.0


def test_pieces_that_are_cut_otherwise_match_at_their_edges(tokenizer, tmp_path):
    """The teacher splits 123 into 12 ##3, the student into 1 ##2 ##3; the answers are the same."""
    words = [word for word in VOCABULARY if word != "1"]
    vocabularies = {"teacher": words + ["12", "##3"], "student": words + ["1", "##2", "##3"]}
    uses = {}
    for name, vocabulary in vocabularies.items():
        (tmp_path / name).write_text("\n".join(vocabulary) + "\n", encoding="utf-8")
        uses[name] = model(tokenization.FullTokenizer(str(tmp_path / name)), 48)
    example = EXAMPLE._replace(text_b="今天123吧")
    records = {n: KIND.features(u.task, example, u.tokenizer, 48)[0][0] for n, u in uses.items()}
    first = {n: int(np.nonzero(r["span_mask"])[0][1]) for n, r in records.items()}
    scores = {
        n: np.full(len(records["teacher"]["input_ids"]), -3.0)
        for n in ("start_logits", "end_logits")
    }
    scores["start_logits"][first["teacher"] + 2] = scores["end_logits"][first["teacher"] + 3] = 4.0
    target = KIND.distillation.target(uses["teacher"], example, [scores], [0, 1])
    (row,) = KIND.distillation.of_records(uses["student"], example, target)
    assert int(np.argmax(row["teacher_start"])) == first["student"] + 2
    assert int(np.argmax(row["teacher_end"])) == first["student"] + 4
