"""How sequence labelling learns from teachers: the probabilities of each piece's tags.

A target has, for each piece of the text, its range of characters and the logarithms of its tags'
probabilities: of a conditional random field the marginals. A student whose vocabulary cuts the text
otherwise takes for each of its pieces those of the teacher's piece that has its first character.
"""

from typing import Any, Dict, Iterator, List, Sequence, Tuple

import numpy as np
import tensorflow.compat.v1 as tf

from albert_zh.model import distillation_losses
from albert_zh.model.distillation_losses import DIVERGENCE
from albert_zh.tasks import distillation, kind_interface
from albert_zh.tasks.input_examples import InputExample
from albert_zh.tasks.labelling import (
    crf,
    granularity_data,
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


class TagDistillation(distillation.Distillation):
    """Targets of heads that give each piece a tag."""

    teacher_outputs = ("logits", "transitions")
    logit_columns = (_LOGITS,)
    loss_names = (DIVERGENCE,)

    def open_unlabelled(
        self, kind: Any, task: Any, path: str, encoding: str
    ) -> Iterator[Tuple[Any, Any]]:
        """The texts of a file of any format of labelled texts, or of plain ones, one a line."""
        file_format, bad_rows = splits.format_of_texts(task, path, encoding), BadRows(True)
        unit = task.head.get("offset_unit") or json_files.CHARACTERS
        for text in reader.stream_file(path, file_format, encoding, unit, bad_rows):
            yield InputExample("test-%d" % text.line, text.text, None, None), None
        for error in bad_rows.errors:
            yield None, str(error)

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
        # A chain with a gap has no distribution: such rows have their labels' loss alone.
        is_whole = tf.cast(tf.equal(num_known, counts), tf.float32)
        return temperature**2 * is_whole * divergences / tf.maximum(counts, 1.0)


def _of_pieces(pieces, offsets, labels):
    """A teacher's pieces [P, 2 + K] for a student's: (logits [Q, K], whether known [Q])."""
    logits = np.zeros([len(offsets), len(labels)], np.float32)
    mask = np.zeros([len(offsets)], np.float32)
    starts, ends = pieces[:, 0], pieces[:, 1]
    targets = _continuations(labels)
    for number, (start, _) in enumerate(offsets):
        index = int(np.searchsorted(starts, start, side="right")) - 1
        if index < 0 or ends[index] <= start:
            continue
        row = pieces[index, _RANGE:]
        is_inside = starts[index] < start
        logits[number] = _continued(row, targets) if is_inside else row
        mask[number] = 1.0
    return logits, mask


def _continuations(labels):
    """For each tag the number of the one that a later character of the same piece has."""
    _, scheme = predictions.tag_table(labels)
    letters = {role: letter for letter, role in scheme.letters.items()}
    numbers = {label: number for number, label in enumerate(labels)}
    later = {
        tag_schemes.BEGIN: letters.get(tag_schemes.INSIDE),
        tag_schemes.SINGLE: letters.get(tag_schemes.END, letters.get(tag_schemes.INSIDE)),
    }
    targets = []
    for number, label in enumerate(labels):
        letter, entity_type = tag_schemes.split_tag(label)
        moved = later.get(scheme.letters[letter])
        targets.append(numbers.get(moved and tag_schemes.join_tag(moved, entity_type), number))
    return targets


def _continued(logs, targets):
    """Logarithms of tags' probabilities [K], each moved to the tag that continues it."""
    moved = np.zeros(len(targets))
    np.add.at(moved, targets, np.exp(np.asarray(logs, np.float64)))
    return distillation.logits_of_classes(moved)
