"""Checks TFRecord files of pre-training before training and, if it fails, finds faulty records.

about = inspected(paths, max_seq_length=128, max_predictions=20, flag="input_file")
sum(about.counts)
first_fault(about.files, ...)  # "FILE, record 17: ..." or None
"""

import collections
import concurrent.futures
import contextlib
import os
from typing import Dict, Iterator, List, Optional, Sequence

import numpy as np
import tensorflow.compat.v1 as tf

from albert_zh.common import files, output_files
from albert_zh.common.errors import UserError
from albert_zh.common.messages import say
from albert_zh.common.progress import progress_bar
from albert_zh.corpus import record_counts, tfrecords

_CHECKED_TOGETHER = 1024  # records
_COUNTED_RECORDS = 20000
_WAYS_OUT = ": create the file again, or skip damaged records with --skip_corrupt_records=true"
_FILES_AT_ONCE = 8  # files counted in parallel, since remote storage responds slowly
_MOST_EXAMPLES = 3  # paths named in a message

Inspection = collections.namedtuple("Inspection", "files counts is_masked has_pairs")
Inspection.__doc__ = """The result of `inspected`.

Fields:
    files: list of str, the files that contain records.
    counts: list of int, number of records in each file; None if they are not counted.
    is_masked: bool; False for records of `--masking=dynamic`.
    has_pairs: bool; False if the first record of each file has only one segment.
"""
_Kind = collections.namedtuple("_Kind", "is_masked is_pair")  # kind of a file's first record


def inspected(
    paths: Sequence[str],
    max_seq_length: int,
    max_predictions: int,
    flag: str,
    is_counted: bool = True,
) -> Inspection:
    """Counts records, and checks that the first record of each file fits the flags.

    If the index of a file contains its number of records (`record_counts`), the file is not read.

    Args:
        paths: paths of TFRecord files.
        max_seq_length: S that is expected.
        max_predictions: P that is expected of masked records.
        flag: the flag to name in error messages.
        is_counted: whether to count the records.

    Raises:
        UserError: if a file is damaged or contains other records, or if all files are empty.
    """

    def look(path):
        with _opened(path) as content:
            return _kind_and_count(path, content, max_seq_length, max_predictions, is_counted)

    with concurrent.futures.ThreadPoolExecutor(_FILES_AT_ONCE) as pool:
        looks = pool.map(look, paths)
        found = list(
            progress_bar("counting records", len(paths), "file", iterable=looks, leave=False)
        )
    filled = [(path, kind, count) for path, (kind, count) in zip(paths, found) if count]
    kinds = [kind for _, kind, _ in filled]
    if len({kind.is_masked for kind in kinds}) > 1:
        raise UserError(
            "--%s: some files contain masked records and some unmasked ones (--masking=dynamic): "
            "expected only one kind" % flag
        )
    if not filled:
        raise UserError("--%s: no records in %s" % (flag, ", ".join(paths[:_MOST_EXAMPLES])))
    counts = [count for _, _, count in filled] if is_counted else None
    has_pairs = any(kind.is_pair for kind in kinds)
    return Inspection([path for path, _, _ in filled], counts, kinds[0].is_masked, has_pairs)


def _kind_and_count(path, content, max_seq_length, max_predictions, is_counted):
    """Returns (the `_Kind` of a file, its number of records, or 1 if they are not counted)."""
    kind, count = None, 0
    indexed = record_counts.read(path) if is_counted else 1
    try:
        for count, place in enumerate(tfrecords.record_places(content), 1):
            if count == 1:
                kind = _checked_kind(path, content, place, max_seq_length, max_predictions)
            if indexed:
                return kind, indexed
    except tfrecords.Damage as damage:
        raise UserError("%s, %s%s" % (path, damage, _WAYS_OUT)) from damage
    return kind, count


def _opened(path):
    """Opens a file's content, see `tfrecords.opened`; raises `UserError` if it is unreadable."""
    try:
        return tfrecords.opened(path)
    except OSError as error:
        raise files.cannot_read(path, error) from error


def num_records(path: str) -> int:
    """Counts the records of a file by their lengths; raises `tfrecords.Damage`."""
    with _opened(path) as content:
        return sum(1 for _ in tfrecords.record_places(content))


def _checked_kind(path, content, place, max_seq_length, max_predictions):
    """Returns the `_Kind` of a record; raises `UserError` if it is not as expected."""
    try:
        features = parsed(content[place[0] : place[1]])
    except ValueError as error:
        raise UserError("%s, record 1: %s" % (path, error)) from error
    fault = fault_of(features, max_seq_length, max_predictions)
    if fault:
        raise UserError("%s, record 1: %s" % (path, fault))
    return _Kind("masked_lm_positions" in features, bool(features["segment_ids"].any()))


def parsed(serialized: bytes) -> Dict[str, np.ndarray]:
    """Parses a record as {name: array}; raises ValueError if it is not a `tf.train.Example`."""
    try:
        example = tf.train.Example.FromString(bytes(serialized))
    except Exception as error:  # protobuf's error class depends on its implementation
        raise ValueError("is not a tf.train.Example (%s)" % error) from error
    return {
        name: np.array(getattr(feature, feature.WhichOneof("kind") or "int64_list").value)
        for name, feature in example.features.feature.items()
    }


def fault_of(
    features: Dict[str, np.ndarray],
    max_seq_length: int,
    max_predictions: int,
    vocab_size: Optional[int] = None,
) -> Optional[str]:
    """Describes what is wrong with a record; returns None if it is valid.

    Args:
        features: {name: array}.
        max_seq_length: S.
        max_predictions: P, for masked records.
        vocab_size: V, the upper bound of ids; None to check only sizes.
    """
    length = (max_seq_length, "--max_seq_length=")
    sizes = dict.fromkeys(("input_ids", "input_mask", "segment_ids"), length)
    sizes["next_sentence_labels"] = (1, "")
    if "masked_lm_positions" in features or "token_boundary" not in features:
        names = ("masked_lm_positions", "masked_lm_ids", "masked_lm_weights")
        sizes.update(dict.fromkeys(names, (max_predictions, "--max_predictions_per_seq=")))
    for name, (size, flag) in sizes.items():
        if name not in features:
            return "has no %s: is this a record of create_pretraining_data.py?" % name
        if len(features[name]) != size:
            values = (name, len(features[name]), flag, size)
            return "%s has %d values, expected %s%d" % values
    for name, end in (("input_ids", vocab_size), ("masked_lm_ids", vocab_size)):
        if end is not None and name in features and not _is_within(features[name], end):
            return "%s has %d: expected ids below the config's vocab_size, %d" % (
                name,
                max(features[name], key=lambda value: abs(value - end / 2)),
                end,
            )
    if vocab_size is not None and not _is_within(
        features.get("masked_lm_positions", []), max_seq_length
    ):
        return "masked_lm_positions has a value outside 0 to %d" % (max_seq_length - 1)
    return None


def _is_within(values, end):
    return len(values) == 0 or (min(values) >= 0 and max(values) < end)


def first_fault(
    paths: Sequence[str], max_seq_length: int, max_predictions: int, vocab_size: int
) -> Optional[str]:
    """Finds the first record that cannot be trained on: "FILE, record N: why", or None.

    Args:
        paths: paths of TFRecord files.
        max_seq_length: S.
        max_predictions: P.
        vocab_size: V.
    """
    for path in paths:
        for number, serialized in enumerate(_contents(path), 1):
            fault = _fault_of_contents(serialized, max_seq_length, max_predictions, vocab_size)
            if fault:
                return "%s, record %d%s" % (path, number, fault)
    return None


def _fault_of_contents(serialized, *sizes):
    """Does `fault_of` for a record from `_contents`; the text follows the record's number."""
    if serialized is None:
        return " is damaged (its checksum differs)"
    try:
        fault = fault_of(parsed(serialized), *sizes)
    except ValueError as error:
        fault = str(error)
    return fault and ": " + fault


@contextlib.contextmanager
def named_faults(
    paths: Sequence[str], max_seq_length: int, max_predictions: int, vocab_size: int
) -> Iterator[None]:
    """Finds the faulty record if TensorFlow fails on one, and names it in a `UserError`.

    Args:
        paths, max_seq_length, max_predictions, vocab_size: as in `first_fault`.
    """
    try:
        yield
    except (tf.errors.DataLossError, tf.errors.InvalidArgumentError) as error:
        fault = first_fault(paths, max_seq_length, max_predictions, vocab_size)
        if fault is None:
            raise
        raise UserError("%s%s" % (fault, _WAYS_OUT)) from error


def _contents(path):
    """Yields the content of each record of a file, or None if its checksum differs."""
    with _opened(path) as content:
        for places in _batches(tfrecords.record_places(content)):
            contents = [bytes(content[begin:end]) for begin, end in places]
            # A record of less than four bytes is invalid, and its checksum is not computed.
            checksums = iter(tfrecords.masked_checksums([c for c in contents if len(c) >= 4]))
            for (_, end), serialized in zip(places, contents):
                is_whole = len(serialized) >= 4 and next(checksums) == bytes(
                    content[end : end + tfrecords.FOOTER_BYTES]
                )
                yield serialized if is_whole else None


def _batches(items):
    """Yields lists of up to `_CHECKED_TOGETHER` items; ends at the first damaged record."""
    batch = []
    try:
        for item in items:
            batch.append(item)
            if len(batch) == _CHECKED_TOGETHER:
                yield batch
                batch = []
    except tfrecords.Damage:
        pass  # `repaired` and `inspected` report it
    if batch:
        yield batch


def repaired(paths: Sequence[str], folder: str) -> List[str]:
    """Copies files that have damaged records without these, and warns of their number.

    Args:
        paths: paths of TFRecord files.
        folder: folder for the copies.

    Returns:
        the paths, with copies in place of damaged files.
    """
    result = []
    for number, path in enumerate(paths):
        is_whole = True
        with _opened(path) as content:
            try:
                for _ in tfrecords.record_places(content):
                    pass
            except tfrecords.Damage as damage:
                is_whole = False
                say("warning: %s, %s: all records after it are skipped", path, damage)
        num_damaged = sum(serialized is None for serialized in _contents(path))
        if is_whole and not num_damaged:
            result.append(path)
            continue
        copy = os.path.join(folder, "%d_%s" % (number, os.path.basename(path)))
        whole = filter(None, _contents(path))
        with output_files.atomic_write(copy, "wb") as handle:
            for batch in _batches(whole):
                handle.writelines(tfrecords.frame_records(batch))
        say("warning: %s: %d damaged records were skipped", path, num_damaged)
        result.append(copy)
    return result


def piece_counts(
    paths: Sequence[str], max_seq_length: int, max_predictions: int, vocab_size: int
) -> np.ndarray:
    """Counts the occurrences of each piece in the first records of each file.

    Args:
        paths, max_seq_length, max_predictions, vocab_size: as in `first_fault`.

    Returns:
        int64 [V]; at masked positions the original pieces are counted.

    Raises:
        UserError: if a record cannot be trained on.
    """
    counts = np.zeros(vocab_size, np.int64)
    for path in paths:
        for number, serialized in enumerate(_contents(path)):
            if number * len(paths) >= _COUNTED_RECORDS:
                break
            fault = _fault_of_contents(serialized, max_seq_length, max_predictions, vocab_size)
            if fault:
                raise UserError("%s, record %d%s%s" % (path, number + 1, fault, _WAYS_OUT))
            features = parsed(serialized)
            ids = features["input_ids"]
            if "masked_lm_positions" in features:
                used = features["masked_lm_weights"] > 0
                ids[features["masked_lm_positions"][used]] = features["masked_lm_ids"][used]
            counts += np.bincount(ids[features["input_mask"] == 1], minlength=vocab_size)
    return counts
