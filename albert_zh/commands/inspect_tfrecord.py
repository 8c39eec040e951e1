"""Shows the records of a pre-training file as readable text, and checks them.

    python inspect_tfrecord.py my/records.tfrecord --vocab_file=albert_starter_zh/vocab.txt -n 3
    python inspect_tfrecord.py my/records.tfrecord --vocab_file=albert_starter_zh/vocab.txt --check

Masked tokens are coloured: red if [MASK] replaces them, yellow if another token does, green if they
are kept. If the output is not a terminal, they are shown as [天], [天 as 气], [天 kept].
"""

import collections
import os
import sys
from typing import List

from absl import flags
import numpy as np

from albert_zh.common import path_rules, storage
from albert_zh.common.errors import UserError, printable, run_command
from albert_zh.common.progress import progress_bar
from albert_zh.corpus import counts as corpus_counts
from albert_zh.corpus import masking, tfrecords
from albert_zh.pretraining import record_files
from albert_zh.text import tokenization

import tensorflow.compat.v1 as tf  # isort: skip  (errors.py first)

__all__ = [
    "define_flags",
    "main",
    "run",
]

FLAGS = flags.FLAGS

_BATCH = 1000
_MOST_SHOWN_FAULTS = 5
_RED, _YELLOW, _GREEN, _PLAIN = "\033[1;31m", "\033[1;33m", "\033[1;32m", "\033[0m"
_MASKED_FEATURES = ("masked_lm_positions", "masked_lm_ids", "masked_lm_weights")
_SEQUENCE_FEATURES = ("input_ids", "input_mask", "segment_ids")
_KINDS = dict.fromkeys(_SEQUENCE_FEATURES + _MASKED_FEATURES, "int64_list")
_KINDS.update(masked_lm_weights="float_list", next_sentence_labels="int64_list")


def define_flags() -> None:
    """Defines the command's flags."""
    flags.DEFINE_string("vocab_file", None, "Vocabulary; without one, token ids are shown.")
    flags.DEFINE_integer("num", 3, "Number of records to show.", short_name="n", lower_bound=0)
    flags.DEFINE_bool("check", False, "Whether to check every record of the file.")
    flags.DEFINE_enum(
        "color", "auto", ["auto", "always", "never"], "Whether to colour masked tokens."
    )
    path_rules.serve_remote(FLAGS, ("vocab_file",))


def run(words: List[str]) -> None:
    """Shows records of a file; with --check, also checks every record."""
    if len(words) != 1:
        raise UserError("expected one file, found %d: inspect_tfrecord.py FILE" % len(words))
    (path,) = words
    if not storage.is_file(path):
        raise UserError("%s: no such file" % path)
    num_records = _num_records(path)  # TensorFlow's reader does not check lengths
    tf.logging.set_verbosity(tf.logging.ERROR)  # its record reader is deprecated
    vocabulary = tokenization.load_vocab(FLAGS.vocab_file) if FLAGS.vocab_file else None
    missing = {"[CLS]", "[SEP]", "[MASK]"} - set(vocabulary or {})
    if vocabulary is not None and missing:
        raise UserError("--vocab_file=%s has no %s" % (FLAGS.vocab_file, sorted(missing)[0]))
    writer = _Writer(vocabulary, _has_colors())
    for record_index, features in enumerate(_records(path, FLAGS.num), 1):
        print("\n".join(writer.lines(record_index, features)))
    print(printable("%s: %d records" % (path, num_records)))
    if FLAGS.check:
        _check_file(path, vocabulary)


def _has_colors():
    on_terminal = sys.stdout.isatty() and not os.environ.get("NO_COLOR")
    return {"auto": on_terminal, "always": True, "never": False}[FLAGS.color]


def _records(path, most=None):
    """Yields the features of the first records, each a dict of arrays."""
    record_index = 0
    try:
        iterator = tf.python_io.tf_record_iterator(path)
        while record_index != most:
            record_index += 1
            yield _features(next(iterator), path, record_index)
    except StopIteration:
        return
    except tf.errors.PermissionDeniedError as error:
        raise UserError("%s: cannot be read: no permission" % path) from error
    except (tf.errors.DataLossError, tf.errors.OutOfRangeError) as error:
        raise UserError(
            "%s, record %d: damaged or not a TFRecord file (%s): create it again"
            % (path, record_index, error.message)
        ) from error


def _features(record, path, record_index):
    try:
        example = tf.train.Example.FromString(record)
    except Exception as error:  # protobuf's error class depends on its version
        raise UserError("%s, record %d: not a tf.train.Example" % (path, record_index)) from error
    features, kinds = {}, {}
    for name, feature in example.features.feature.items():
        kinds[name] = kind = feature.WhichOneof("kind")
        features[name] = np.array(getattr(feature, kind).value if kind else [])
    missing = [name for name in _SEQUENCE_FEATURES if name not in features]
    if missing:
        raise UserError(
            "%s, record %d: no %s: expected a file of create_pretraining_data.py, found features %s"
            % (path, record_index, " and ".join(missing), ", ".join(sorted(features)) or "none")
        )
    for fault in _faults_of_form(features, kinds):
        raise UserError("%s, record %d: %s: create it again" % (path, record_index, fault))
    return features


def _faults_of_form(features, kinds):
    """Yields errors in the form of a record, whatever its values are."""
    sizes = {name: len(feature) for name, feature in features.items()}
    for name in sorted(set(features) & set(_KINDS)):
        if kinds[name] != _KINDS[name]:
            yield "%s is of kind %s, expected %s" % (name, kinds[name], _KINDS[name])
    if len({sizes[name] for name in _SEQUENCE_FEATURES}) > 1 or not sizes["input_ids"]:
        yield "%s are of different lengths, or empty" % ", ".join(_SEQUENCE_FEATURES)
    if len({sizes.get(name) for name in _MASKED_FEATURES}) > 1:
        yield "%s: expected all of them with the same length" % ", ".join(_MASKED_FEATURES)
    if sizes.get("next_sentence_labels", 1) != 1:
        yield "next_sentence_labels has %d values, expected 1" % sizes["next_sentence_labels"]


def _num_records(path):
    """The number of records, counted by their lengths without reading their contents."""
    try:
        return record_files.num_records(path)
    except tfrecords.Damage as damage:
        raise UserError("%s, %s: create it again" % (path, damage)) from damage


class _Writer:
    """Formats records as text."""

    def __init__(self, vocabulary, has_colors):
        self._tokens = {index: token for token, index in (vocabulary or {}).items()}
        self._mask_id = (vocabulary or {}).get("[MASK]")
        self._has_colors = has_colors

    def lines(self, record_index, features):
        """Yields the lines of a record: a summary, and one line per segment."""
        length = int(features["input_mask"].sum())
        labels = dict(_predictions(features))
        (label,) = features.get("next_sentence_labels", [None])
        in_b = features["segment_ids"][:length] == 1
        order = {0: "A before B", 1: "B before A, or from elsewhere"}.get(label, "unknown")
        yield "record %d: %d of %d pieces, %s, label %s (%s)" % (
            record_index,
            length,
            len(features["input_ids"]),
            "%d predicted" % len(labels) if _is_masked(features) else "masked in training",
            label,
            order if in_b.any() else "one segment",
        )
        for name, positions in (("A", np.flatnonzero(~in_b)), ("B", np.flatnonzero(in_b))):
            if positions.size:
                yield "  %s: %s" % (name, self._segment(features["input_ids"], positions, labels))

    def _segment(self, ids, positions, labels):
        text, before = "", ""
        for position in positions:
            shown = self._token(ids[position])
            token = self._token(labels[position]) if position in labels else shown
            joins = token.startswith("##") or not (_is_latin(before) and _is_latin(token))
            token_text = token[2:] if token.startswith("##") else token
            if position in labels:
                token_text = self._predicted(token_text, ids[position], labels[position])
            text += ("" if joins else " ") + token_text
            before = token
        return text

    def _predicted(self, token, shown_id, label_id):
        kinds = {label_id: (_GREEN, "%s kept" % token), self._mask_id: (_RED, token)}
        other = (_YELLOW, "%s as %s" % (token, self._token(shown_id)))
        color, text = kinds.get(shown_id, other)
        return color + text + _PLAIN if self._has_colors else "[%s]" % text

    def _token(self, piece_id):
        return self._tokens.get(piece_id, " %d " % piece_id)


def _is_latin(token):
    return token[-1:].isascii() and token[-1:].isalnum()


def _is_masked(features):
    return _MASKED_FEATURES[0] in features


def _predictions(features):
    """(position, label) of each masked token."""
    if not _is_masked(features):
        return []
    columns = [features[name].tolist() for name in _MASKED_FEATURES]
    return [(position, label) for position, label, weight in zip(*columns) if weight]


def _check_file(path, vocabulary):
    """Checks every record and prints statistics; raises `UserError` if a record is wrong."""
    counts, faults, done = collections.Counter(), [], 0
    num_entries = tokenization.num_entries(FLAGS.vocab_file) if vocabulary else None
    with progress_bar("records", _num_records(path), "") as bar:
        for features in _batches(path):
            for is_wrong, fault in _faults(features, vocabulary, num_entries):
                faults += [(done + row + 1, fault) for row in np.flatnonzero(is_wrong)]
            done += len(features["input_ids"])
            if not faults:
                counts.update(corpus_counts.counts_of_records(_complete(features)))
            bar.update(len(features["input_ids"]))
    if faults:
        first = "; ".join("record %d: %s" % fault for fault in sorted(faults)[:_MOST_SHOWN_FAULTS])
        num_wrong = len({record for record, _ in faults})
        raise UserError("%s: %d of %d records are invalid: %s" % (path, num_wrong, done, first))
    if not done:
        raise UserError("%s: contains no records" % path)
    for row in corpus_counts.summary_of_records(counts):
        print("%-26s %s" % row)
    print("checked: all %d records are valid" % done)


def _batches(path):
    """Yields the features of many records at a time, as a dict of arrays [N, k]."""
    rows, sizes = [], None
    for record_index, features in enumerate(_records(path), 1):
        found = {name: len(feature) for name, feature in features.items()}
        sizes = sizes or found
        if found != sizes:
            raise UserError(
                "%s, record %d: features %s, but the records before it have %s: were they "
                "created with different flags?" % (path, record_index, found, sizes)
            )
        rows.append(features)
        if len(rows) == _BATCH:
            yield _stacked(rows)
            rows = []
    if rows:
        yield _stacked(rows)


def _stacked(rows):
    return {name: np.stack([row[name] for row in rows]) for name in rows[0]}


def _complete(features):
    """The features, completed by defaults for features that not every file has."""
    absent = {
        "token_boundary": features["input_mask"],
        "next_sentence_labels": np.zeros((len(features["input_mask"]), 1), np.int64),
    }
    return dict(absent, **features)


def _faults(features, vocabulary, num_entries):
    """Yields (bool [N]: which records have the error, description of the error)."""
    ids, mask, segments = (features[name] for name in _SEQUENCE_FEATURES)
    position = np.arange(ids.shape[1])
    lengths = mask.sum(axis=1)[:, None]
    first_b = lengths - segments.sum(axis=1)[:, None]
    is_shown = position < lengths
    yield (mask != is_shown).any(axis=1), "input_mask is not ones and then zeros"
    yield (ids * ~is_shown).any(axis=1), "input_ids are not 0 after the sequence"
    in_b = (position >= first_b) & is_shown
    yield (segments != in_b).any(axis=1), "segment_ids are not zeros, then ones up to the end"
    if "next_sentence_labels" in features:
        labels = features["next_sentence_labels"]
        yield ((labels != 0) & (labels != 1)).any(axis=1), "next_sentence_labels is not 0 or 1"
    maskable = masking.maskable_pieces(mask, segments)
    if "token_boundary" in features:
        boundary = features["token_boundary"]
        yield (boundary != (boundary * is_shown > 0)).any(axis=1), "token_boundary is not 0 or 1"
    if vocabulary is not None:
        separators = np.where(is_shown & ~maskable, ids, -1)[:, 1:]
        is_wrong = (separators != -1) & (separators != vocabulary["[SEP]"])
        yield ids[:, 0] != vocabulary["[CLS]"], "no [CLS] at the start"
        yield is_wrong.any(axis=1), "no [SEP] at the end of a segment"
        yield ((ids < 0) | (ids >= num_entries)).any(axis=1), "an id outside the vocabulary"
    if _is_masked(features):
        yield from _faults_of_predictions(features, maskable, num_entries)


def _faults_of_predictions(features, maskable, num_entries):
    positions, labels, weights = (features[name] for name in _MASKED_FEATURES)
    slot = np.arange(positions.shape[1])
    counts = (weights > 0).sum(axis=1)[:, None]
    is_used = slot < counts
    is_inside = (positions >= 0) & (positions < maskable.shape[1])
    yield (weights != is_used).any(axis=1), "masked_lm_weights are not ones and then zeros"
    yield (~is_inside).any(axis=1), "a masked position outside the sequence"
    is_piece = np.take_along_axis(maskable, np.where(is_inside, positions, 0), axis=1)
    yield (is_used & ~is_piece).any(axis=1), "[CLS], [SEP] or padding is to be predicted"
    is_behind = positions[:, 1:] > positions[:, :-1]
    yield (is_used[:, 1:] & ~is_behind).any(axis=1), "masked_lm_positions do not ascend"
    is_set = (positions != 0) | (labels != 0)
    yield (is_set & ~is_used).any(axis=1), "positions or labels are not 0 after the predictions"
    if num_entries is not None:
        is_unknown = (labels < 0) | (labels >= num_entries)
        yield is_unknown.any(axis=1), "a label outside the vocabulary"


def main() -> None:
    """Runs the command line."""
    define_flags()
    run_command(run, takes_words=True, description=__doc__)
