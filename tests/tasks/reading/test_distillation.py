"""Reading from teachers: scores of a teacher's windows as a student's windows have them."""

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
    """(records, scores of each) as a teacher gives them."""
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
