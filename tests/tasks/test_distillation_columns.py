"""Distillation targets of word pieces, from the teacher's outputs to records, batches and loss."""

import types

import numpy as np
import pytest
import tensorflow.compat.v1 as tf

from albert_zh.distillation import mixtures
from albert_zh.distillation.soft_targets import SoftTargets
from albert_zh.distillation.teachers import Student
from albert_zh.tasks import distillation, feature_records, input_pipeline, kind_interface, registry
from albert_zh.tasks.input_examples import InputExample
from albert_zh.tasks.settings import Settings
from albert_zh.text import tokenization
from workspace import VOCABULARY

TEXTS = ["今天天气很好我们去吃饭", "明天再说", "怎么办理银行卡", "什么时候开门"]
TAGS = ("B-X", "I-X", "O")


class Teacher:
    """A teacher with random outputs."""

    about = {"model": "random"}

    def __init__(self, student):
        self._student, self._draws = student, np.random.RandomState(4)

    def target(self, example):
        kind, use = self._student.kind, self._student.use
        records, _ = kind.features(use.task, example, use.tokenizer, use.max_seq_length)
        labels = use.task.labels
        rows = []
        for record in records:
            size = len(record["input_ids"])
            row = {n: self._draws.randn(size) for n in kind.distillation.teacher_outputs}
            if "transitions" in row:
                row["logits"] = self._draws.randn(size, len(labels))
                row["transitions"] = self._draws.randn(len(labels), len(labels))
            rows.append(row)
        return kind.distillation.target(use, example, rows, range(len(labels)))


def student_of(folder, kind_name, labels, head, columns):
    path = folder / "vocab.txt"
    path.write_text("\n".join(VOCABULARY) + "\n", encoding="utf-8")
    task = types.SimpleNamespace(
        labels=labels, head=head, columns=columns, objective=kind_name, separator="|"
    )
    use = kind_interface.ModelInUse(task, {}, tokenization.FullTokenizer(str(path)), 16)
    settings = Settings(objective=kind_name, head=head, distill_weight=0.9, temperature=2.0)
    return Student(registry.get(kind_name), use, settings, False)


def batch_of(student, examples, folder):
    """Returns (records of the examples, a batch of all of them as tensors)."""
    soft = SoftTargets(student, mixtures.single(Teacher(student)))
    use, records = student.use, []
    for example in examples:
        rows, _ = student.kind.features(use.task, example, use.tokenizer, use.max_seq_length)
        soft.add_to(example, rows)
        records += rows
    made = feature_records.FeatureFile(
        str(folder / "rows.tf_record"), len(records), 0, use.task, None, soft.columns
    )
    with tf.python_io.TFRecordWriter(made.path) as writer:
        for record in records:
            writer.write(feature_records.serialized(record, feature_records.columns_of(made)))
    input_fn = input_pipeline.train_input_fn(made, 16, len(records), 5, seed=1)
    return records, tf.data.make_one_shot_iterator(input_fn({})).get_next()


@pytest.mark.parametrize("loss, expected", [("kl", [16.0, 1.0]), ("tinybert", [9.0, 0.0])])
def test_values_of_a_regression(loss, expected):
    """TinyBERT's loss of a regression ignores the teacher, so that unlabelled rows have no loss."""
    settings = Settings(objective="regression", distill_weight=1.0, distill_loss=loss)
    with tf.Graph().as_default(), tf.Session() as session:
        outputs = {"logits": tf.constant([[5.0], [2.0]])}
        features = {
            "teacher_logits": tf.constant([[1.0], [3.0]]),
            "label_ids": tf.constant([2.0, 0.0]),
            distillation.LABELLED: tf.constant([1.0, 0.0]),
        }
        losses = distillation.row_losses(registry.get("regression"), outputs, features, settings)
        np.testing.assert_allclose(session.run(losses), expected)


@pytest.mark.parametrize("form", ["softmax", "crf"])
def test_labelling(tmp_path, form):
    student = student_of(tmp_path, "sequence_labelling", TAGS, {"form": form}, ("text_a",))
    examples = [InputExample("train-%d" % n, text, None, None) for n, text in enumerate(TEXTS)]
    with tf.Graph().as_default(), tf.Session() as session:
        records, batch = batch_of(student, examples, tmp_path)
        # A student with the teacher's probabilities and with transitions of 0 has no loss.
        outputs = {
            "logits": batch["teacher_logits"] + 3.0,
            "transitions": tf.zeros([len(records), len(TAGS), len(TAGS)]),
            "loss": tf.ones([len(records)]),
        }
        losses = distillation.row_losses(student.kind, outputs, batch, student.settings)
        other = dict(outputs, logits=tf.zeros_like(outputs["logits"]))
        others = distillation.row_losses(student.kind, other, batch, student.settings)
        values, mask, got, worse = session.run(
            [batch["teacher_logits"], batch["teacher_mask"], losses, others]
        )
    sizes = sorted(len(record["input_ids"]) - 2 for record in records)
    assert sorted(mask.sum(axis=1).astype(int).tolist()) == sizes
    np.testing.assert_allclose(got, 0, atol=1e-5)  # unlabelled rows have no other loss
    logs = distillation.log_softmax(values / 2)
    expected = (np.exp(logs) * (logs + np.log(3))).sum(axis=2) * mask
    expected = 0.9 * 4 * expected.sum(axis=1) / mask.sum(axis=1)
    np.testing.assert_allclose(worse, expected, rtol=1e-4)


def test_reading(tmp_path):
    head = {"doc_stride": 4, "max_query_length": 4}
    student = student_of(
        tmp_path, "reading_comprehension", ("start", "end"), head, ("text_a", "text_b")
    )
    examples = [InputExample("train-%d" % n, "怎么", text, None) for n, text in enumerate(TEXTS)]
    with tf.Graph().as_default(), tf.Session() as session:
        records, batch = batch_of(student, examples, tmp_path)
        outputs = {
            "start_logits": batch["teacher_start"] - 2.0,
            "end_logits": batch["teacher_end"] + 1.0,
        }
        losses = distillation.row_losses(student.kind, outputs, batch, student.settings)
        other = dict(outputs, end_logits=tf.zeros_like(outputs["end_logits"]))
        others = distillation.row_losses(student.kind, other, batch, student.settings)
        got, worse, ends, mask = session.run(
            [losses, others, batch["teacher_end"], batch["span_mask"]]
        )
    np.testing.assert_allclose(got, 0, atol=1e-5)
    logs = distillation.log_softmax((ends - 1e4 * (1 - mask)) / 2)
    sizes = mask.sum(axis=1, keepdims=True)
    expected = (np.exp(logs) * (logs + np.log(sizes)) * mask).sum(axis=1)
    np.testing.assert_allclose(worse, 0.9 * 4 * expected / 2, rtol=1e-3)
