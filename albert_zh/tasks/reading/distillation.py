"""How reading comprehension learns from teachers: scores of each piece as start and end.

A target has the pieces of each of the teacher's windows: number of the window, range of characters
in the context (-1 for [CLS]), scores as start and end. A student's window takes the scores of the
teacher's window that shares most pieces with it.
"""

from typing import Any, Dict, List, Sequence

import numpy as np
import tensorflow.compat.v1 as tf

from albert_zh.common.errors import UserError
from albert_zh.model import span_head
from albert_zh.model.distillation_losses import DIVERGENCE
from albert_zh.tasks import distillation, kind_interface
from albert_zh.tasks.reading import records
from albert_zh.tasks.reading.examples import question_of

_OUTPUTS = ("start_logits", "end_logits")
_COLUMNS = ("teacher_start", "teacher_end")
_POSITIONS = ("start_positions", "end_positions")
_WIDTH = 5
_NO_PIECE = -1
_IMPOSSIBLE = -1e4


class SpanDistillation(distillation.Distillation):
    """Targets of starts and ends of answers."""

    teacher_outputs = _OUTPUTS
    loss_names = (DIVERGENCE,)

    def target(self, use: Any, example: Any, rows: Any, order: Sequence[int]) -> np.ndarray:
        entries = []
        for number, (window, row) in enumerate(zip(_windows(use, example), rows)):
            scores = np.stack([row[_OUTPUTS[index]] for index in order], axis=1)  # [F, 2]
            ranges = [(_NO_PIECE, _NO_PIECE)] + list(window.spans)
            positions = [0] + list(range(window.offset, window.offset + len(window.spans)))
            numbers = np.full([len(ranges), 1], number)
            entries.append(np.concatenate([numbers, ranges, scores[positions]], axis=1))
        return np.concatenate(entries or [np.zeros([0, _WIDTH])]).astype(np.float32).ravel()

    def columns(self, task: Any) -> Dict[str, Any]:
        return {name: kind_interface.Column("float", is_per_token=True) for name in _COLUMNS}

    def of_records(self, use: Any, example: Any, target: np.ndarray) -> List[distillation.Columns]:
        windows_of_teacher: Dict[int, Dict[Any, Any]] = {}
        for number, begin, end, *scores in target.reshape([-1, _WIDTH]):
            windows_of_teacher.setdefault(int(number), {})[int(begin), int(end)] = scores
        rows = []
        for window in _windows(use, example):
            shared = [len(t.keys() & set(window.spans)) for t in windows_of_teacher.values()]
            best = list(windows_of_teacher.values())[int(np.argmax(shared))] if shared else {}
            rows.append(_columns_of_window(window, best))
        return rows or [{name: np.zeros([1], np.float32) for name in _COLUMNS}]

    def outputs_of(
        self, columns: distillation.Columns, record: Dict[str, Any], task: Any
    ) -> distillation.Columns:
        size = len(record["input_ids"])
        return {
            output: np.pad(columns[name], [0, size - len(columns[name])])
            for output, name in zip(_OUTPUTS, _COLUMNS)
        }

    def likelihoods(self, columns: distillation.Columns, record: Dict[str, Any]) -> np.ndarray:
        logs = [
            distillation.log_softmax(columns[name])[record[position]]
            for name, position in zip(_COLUMNS, _POSITIONS)
        ]
        return np.maximum(np.exp(logs), distillation.LEAST_PROBABILITY)

    def losses(
        self, outputs: Dict[str, tf.Tensor], features: Dict[str, tf.Tensor], settings: Any
    ) -> tf.Tensor:
        divergences = [
            distillation.losses_of_classes(
                span_head.masked_logits(outputs[output], features["span_mask"]),
                span_head.masked_logits(features[name], features["span_mask"]),
                settings,
            )
            for output, name in zip(_OUTPUTS, _COLUMNS)
        ]
        return (divergences[0] + divergences[1]) / 2.0  # [B]


def _windows(use, example):
    """The windows of a question, without answers."""
    head = use.task.head or use.notes.get("head", {})
    if head.get("original_features"):
        raise UserError(
            "--original_features: its windows have no ranges of characters, by which teachers and "
            "students are matched: leave it out with --teachers"
        )
    return records.windows_of(question_of(example), use.tokenizer, use.max_seq_length, head)


def _columns_of_window(window, scores):
    """{column: float [F]} of a student's window; scores: {range: (start, end)} of a teacher's."""
    columns = {name: np.full([len(window.input_ids)], _IMPOSSIBLE, np.float32) for name in _COLUMNS}
    ranges = [(0, (_NO_PIECE, _NO_PIECE))] + list(enumerate(window.spans, start=window.offset))
    for position, span in ranges:
        if tuple(span) in scores:
            for name, score in zip(_COLUMNS, scores[tuple(span)]):
                columns[name][position] = score
    return columns
