"""Distillation for sequence labelling: the student learns the tag probabilities of each piece.

A target has, for each piece of the text, its range of characters and the log-probabilities of its
tags; for a conditional random field these are the marginals. If the student's vocabulary splits the
text differently, a piece of the student opens a span if the teacher's piece at its beginning does,
and closes a span if the teacher's piece at its end does.
"""

import functools
from typing import Any, Dict, Iterator, List, Optional, Sequence, Tuple

import numpy as np
import tensorflow.compat.v1 as tf

from albert_zh.model import distillation_losses
from albert_zh.model.distillation_losses import DIVERGENCE
from albert_zh.tasks import distillation, kind_interface
from albert_zh.tasks.labelling import (
    crf,
    granularity_data,
    granularity_names,
    head_names,
    heads,
    json_files,
    predictions,
    reader,
    splits,
    tag_schemes,
)
from albert_zh.tasks.labelling.bad_rows import BadRows

_LOGITS, _MASK = "teacher_logits", "teacher_mask"
_RANGE = 2  # the first two columns of a target: first character, one past the last
_OPENING = (tag_schemes.BEGIN, tag_schemes.SINGLE)
_CLOSING = (tag_schemes.END, tag_schemes.SINGLE)
# (whether a piece opens a span, whether it closes it) -> possible roles, in order of preference.
_ROLES_OF_EDGES = {
    (True, True): (tag_schemes.SINGLE, tag_schemes.BEGIN),
    (True, False): (tag_schemes.BEGIN,),
    (False, True): (tag_schemes.END, tag_schemes.INSIDE),
    (False, False): (tag_schemes.INSIDE,),
}


class TagDistillation(distillation.Distillation):
    """Distillation for heads that assign a tag to each piece."""

    teacher_outputs = ("logits", "transitions")
    logit_columns = (_LOGITS,)
    loss_names = (DIVERGENCE,)

    def open_unlabelled(
        self, kind: Any, task: Any, path: str, encoding: str
    ) -> Iterator[Tuple[Any, Any]]:
        """Reads the texts of a labelled file in any format, or plain texts, one per line.

        With granularities, each text is yielded once per granularity.
        """
        file_format, bad_rows = splits.format_of_texts(task, path, encoding), BadRows(True)
        unit = task.head.get("offset_unit") or json_files.CHARACTERS
        for text in reader.stream_file(path, file_format, encoding, unit, bad_rows):
            for name in granularity_names.predicted(task.head):
                yield splits.Example("test-%d" % text.line, text.text, None, None, text, name), None
        for error in bad_rows.errors:
            yield None, str(error)

    def misfit(self, of_teacher: Any, task: Any) -> Optional[str]:
        theirs, ours = (granularity_names.names(t.head) for t in (of_teacher, task))
        if sorted(theirs) == sorted(ours):
            return None
        shown = [", ".join(names) or "none" for names in (theirs, ours)]
        return "its granularities are %s, the student's %s" % tuple(shown)

    def target(self, use: Any, example: Any, rows: Any, order: Sequence[int]) -> np.ndarray:
        encoded = predictions.encoded_text(use.task, example, use.tokenizer, use.max_seq_length)
        logits = predictions.joined_logits(encoded, rows)  # [P, K]
        has_transitions = use.task.head.get("form", head_names.CRF) == head_names.CRF
        if has_transitions and len(logits):
            logits = crf.log_marginals(logits, rows[0]["transitions"])
        logs = distillation.log_softmax(logits)[:, list(order)] if len(logits) else logits
        ranges = np.array(encoded.offsets, np.float64).reshape([-1, _RANGE])
        return np.concatenate([ranges, logs], axis=1).astype(np.float32).ravel()

    def columns(self, task: Any) -> Dict[str, Any]:
        return {
            _LOGITS: kind_interface.Column("float", (len(task.labels),), is_per_token=True),
            _MASK: kind_interface.Column("float", is_per_token=True),
        }

    def of_records(self, use: Any, example: Any, target: np.ndarray) -> List[distillation.Columns]:
        encoded = predictions.encoded_text(use.task, example, use.tokenizer, use.max_seq_length)
        pieces = target.reshape([-1, _RANGE + len(use.task.labels)])
        logits, mask = _of_pieces(pieces, encoded.offsets, tuple(use.task.labels))
        rows = []
        for ids, window in zip(encoded.input_ids, encoded.windows):
            columns = {
                _LOGITS: np.zeros([len(ids), logits.shape[1]], np.float32),
                _MASK: np.zeros([len(ids)], np.float32),
            }
            end = encoded.first_piece + window.end - window.start
            columns[_LOGITS][encoded.first_piece : end] = logits[window.start : window.end]
            columns[_MASK][encoded.first_piece : end] = mask[window.start : window.end]
            rows.append(columns)
        return rows

    def average(
        self,
        teachers: Sequence[distillation.Columns],
        weights: Sequence[float],
        settings: Any,
    ) -> distillation.Columns:
        logits = [columns[_LOGITS] for columns in teachers]
        masks = [columns[_MASK] for columns in teachers]
        return {
            _LOGITS: distillation.average_logits(logits, weights, settings),
            _MASK: np.min(masks, axis=0),
        }

    def outputs_of(
        self, columns: distillation.Columns, record: Dict[str, Any], task: Any
    ) -> distillation.Columns:
        num_tags = len(task.labels)
        return {
            "logits": columns[_LOGITS],
            "transitions": np.zeros([num_tags, num_tags]),
            "loss": np.zeros([]),
        }

    def likelihoods(self, columns: distillation.Columns, record: Dict[str, Any]) -> np.ndarray:
        is_known = columns[_MASK] > 0
        probabilities = np.exp(distillation.log_softmax(columns[_LOGITS]))
        return probabilities[np.arange(len(is_known)), record["tag_ids"]][is_known]

    def losses(
        self, outputs: Dict[str, tf.Tensor], features: Dict[str, tf.Tensor], settings: Any
    ) -> tf.Tensor:
        first = granularity_data.first_piece(settings.head)
        logits, targets = outputs["logits"][:, first:], features[_LOGITS][:, first:]  # [B, P, K]
        mask = features[_MASK][:, first:]  # [B, P]
        if settings.head.get("form", head_names.CRF) != head_names.CRF:
            of_pieces = distillation.losses_of_classes(logits, targets, settings)
            return distillation_losses.mean_over_mask(of_pieces, mask)
        lengths, temperature = heads.num_pieces(features, first), settings.temperature
        divergences = crf.soft_divergence(
            logits / temperature,
            tf.nn.log_softmax(targets / temperature),
            lengths,
            outputs["transitions"][0] / temperature,
        )  # [B]
        num_known = tf.reduce_sum(mask, axis=1)
        counts = tf.cast(lengths, tf.float32)
        # A chain with a gap has no distribution, so such rows only have the loss of their labels.
        is_whole = tf.cast(tf.equal(num_known, counts), tf.float32)
        return temperature**2 * is_whole * divergences / tf.maximum(counts, 1.0)


def _of_pieces(pieces, offsets, labels):
    """Maps a teacher's pieces [P, 2 + K] to a student's: (logits [Q, K], whether known [Q])."""
    logits = np.zeros([len(offsets), len(labels)], np.float32)
    mask = np.zeros([len(offsets)], np.float32)
    starts, ends, rows = pieces[:, 0], pieces[:, 1], pieces[:, _RANGE:]
    for number, (start, end) in enumerate(offsets):
        first, last = (
            int(np.searchsorted(starts, edge, side="right")) - 1 for edge in (start, end - 1)
        )
        if first < 0 or ends[first] <= start:
            continue
        is_cut = starts[first] < start, ends[last] > end
        if first == last and not any(is_cut):
            logits[number] = rows[first]
        else:
            logits[number] = _joined(
                rows[first], None if first == last else rows[last], is_cut, labels
            )
        mask[number] = 1.0
    return logits, mask


def _joined(first, last, is_cut, labels):
    """Log-probabilities of tags [K] for a student's piece that is split unlike the teacher's.

    Args:
        first: log-probabilities of the teacher's piece in which the student's piece begins, [K].
        last: log-probabilities of the teacher's piece in which it ends, [K]; None: the same piece.
        is_cut: (whether the first piece begins before the student's, whether the last piece ends
            after it).
        labels: the tags.
    """
    of_first = np.exp(np.asarray(first, np.float64))
    pairs = np.diag(of_first)
    if last is not None:
        pairs = np.outer(of_first, np.exp(np.asarray(last, np.float64)))
    moved = np.zeros(len(labels))
    np.add.at(moved, _tags_of_joined(labels, *is_cut), pairs)
    return distillation.logits_of_classes(moved)


@functools.lru_cache(maxsize=32)
def _tags_of_joined(labels, begins_before, ends_behind):
    """Ids of the joined tag, int [K, K], by the tags of the first and of the last teacher's piece.

    A span that begins before the student's piece or ends after it is only continued there. If the
    two tags have different types, the joined tag is the first piece's tag.
    """
    _, scheme = predictions.tag_table(labels)
    letters = {role: letter for letter, role in scheme.letters.items()}
    numbers = {label: number for number, label in enumerate(labels)}
    parts = [tag_schemes.split_tag(label) for label in labels]
    roles = [scheme.letters[letter] for letter, _ in parts]

    def joined(first, last):
        is_outside = tag_schemes.OUTSIDE in (roles[first], roles[last])
        if is_outside or parts[first][1] != parts[last][1]:
            return first
        opens = not begins_before and roles[first] in _OPENING
        closes = not ends_behind and roles[last] in _CLOSING
        for role in _ROLES_OF_EDGES[opens, closes]:
            tag = role in letters and tag_schemes.join_tag(letters[role], parts[first][1])
            if tag in numbers:
                return numbers[tag]
        return first

    count = range(len(labels))
    return np.array([[joined(first, last) for last in count] for first in count])
