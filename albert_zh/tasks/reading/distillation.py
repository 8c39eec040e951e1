"""Distillation for reading comprehension: the scores of each piece as start and end of an answer.

A target lists the pieces of all windows of the teacher, with the number of the window, the range of
characters in the context (-1 for [CLS]), and the scores as start and as end. A window of the
student takes the scores of the teacher's window that shares the most pieces with it; the scores of
pieces that this window lacks come from the teacher's other windows. Since vocabularies may differ,
a piece's start score is that of the teacher's piece that begins at the same character, and its end
score is that of the teacher's piece that ends at the same character.
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
_SIDES = (0, 1)  # begin and end in a piece's range of characters
_WIDTH = 5
_NO_PIECE = -1
_IMPOSSIBLE = -1e4
_NO_WINDOW = ({_NO_PIECE: _IMPOSSIBLE}, {_NO_PIECE: _IMPOSSIBLE})


class SpanDistillation(distillation.Distillation):
    """Distills the scores of starts and ends of answers."""

    teacher_outputs = _OUTPUTS
    logit_columns = _COLUMNS
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
        windows = _windows_of_target(target)
        rows = [_columns_of_window(window, windows) for window in _windows(use, example)]
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
    """Returns the windows of a question, without answers."""
    head = use.task.head or use.notes.get("head", {})
    if head.get("original_features"):
        raise UserError(
            "--original_features: its windows lack the ranges of characters by which teachers and "
            "students are matched: leave it out with --teachers"
        )
    return records.windows_of(question_of(example), use.tokenizer, use.max_seq_length, head)


def _windows_of_target(target):
    """Teacher's windows in a target: ({first character: start score}, {end: end score}) of each."""
    windows: Dict[int, Any] = {}
    for number, begin, end, start_score, end_score in target.reshape([-1, _WIDTH]):
        starts, ends = windows.setdefault(int(number), ({}, {}))
        starts.setdefault(int(begin), start_score)  # the first of several pieces of a character
        ends[int(end)] = end_score
    return list(windows.values())


def _columns_of_window(window, windows_of_teacher):
    """{column: float [F]} of a student's window, from the windows of `_windows_of_target`."""
    edges = tuple([span[side] for span in window.spans] for side in _SIDES)

    def num_lacked(scores_of_sides):
        return sum(len(set(edges[side]) - scores_of_sides[side].keys()) for side in _SIDES)

    ordered = sorted(windows_of_teacher, key=num_lacked) or [_NO_WINDOW]
    columns = {}
    for name, side in zip(_COLUMNS, _SIDES):
        known = _scores_of_edges(edges[side], [scores[side] for scores in ordered])
        scores = np.full([len(window.input_ids)], _IMPOSSIBLE, np.float32)
        pieces = [known.get(edge, _IMPOSSIBLE) for edge in edges[side]]
        scores[0], scores[window.offset : window.offset + len(pieces)] = known[_NO_PIECE], pieces
        columns[name] = scores
    return columns


def _scores_of_edges(edges, windows):
    """{character: score} of the first window; edges that it lacks come from the other windows.

    If several of the other windows have an edge, their highest score counts. A window whose highest
    score is at such an edge has an answer there; its score for "no answer" then counts if it is
    lower.
    """
    known = dict(windows[0])
    lacked = set(edges) - known.keys()
    for scores in windows[1:]:
        for edge in scores.keys() & lacked:
            known[edge] = max(scores[edge], known.get(edge, scores[edge]))
        if max(scores, key=scores.get) in lacked:
            known[_NO_PIECE] = min(known[_NO_PIECE], scores[_NO_PIECE])
    return known
