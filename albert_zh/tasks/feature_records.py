"""Records of feature files: their content and serialization."""

import collections
from typing import Any, Dict

import numpy as np
import tensorflow.compat.v1 as tf

from albert_zh.tasks import registry

FeatureFile = collections.namedtuple(
    "FeatureFile",
    ["path", "num_examples", "num_cut", "task", "rows_of_examples", "further_columns"],
    defaults=(None, {}),
)
FeatureFile.__doc__ = """A file of features.

Fields:
    path: the TFRecord file.
    num_examples: number of records: one per example, or one per window of an example.
    num_cut: number of examples whose text was truncated.
    task: `task_forms.Task`.
    rows_of_examples: list of the number of records of each example; None: one record each.
    further_columns: {name: `task_type.Column`} in addition to the columns of the kind of task.
"""


def columns_of(feature_file: FeatureFile) -> Dict[str, Any]:
    """{name: `task_type.Column`} of all targets in a file's records."""
    kind = registry.type_of(feature_file.task)
    return dict(kind.columns(feature_file.task), **feature_file.further_columns)


def serialized(record: Dict[str, Any], columns: Dict[str, Any], is_real_example: int = 1) -> bytes:
    """A serialized record of a feature file.

    Args:
        record: {"input_ids", "segment_ids": list of int [F] without padding, and a value (a number,
            a list of numbers or an array) for each of the columns}.
        columns: {name: `task_type.Column`}.
        is_real_example: int, 0 for a record that only fills a batch.

    Returns:
        bytes, a `tf.train.Example`.
    """
    features = {
        "input_ids": _ints(record["input_ids"]),
        "segment_ids": _ints(record["segment_ids"]),
        "is_real_example": _ints([is_real_example]),
    }
    for name, column in columns.items():
        entries = record[name]
        if isinstance(entries, np.ndarray):
            entries = entries.ravel().tolist()
        elif not isinstance(entries, list):
            entries = [entries]
        features[name] = _floats(entries) if column.dtype == "float" else _ints(entries)
    return tf.train.Example(features=tf.train.Features(feature=features)).SerializeToString()


def _ints(entries):
    return tf.train.Feature(int64_list=tf.train.Int64List(value=entries))


def _floats(entries):
    return tf.train.Feature(float_list=tf.train.FloatList(value=entries))


def filler(columns: Dict[str, Any], max_seq_length: int) -> bytes:
    """A record that only fills a batch.

    Args:
        columns: as in `serialized`.
        max_seq_length: length of the record.
    """
    padding = [0] * max_seq_length
    record = {"input_ids": padding, "segment_ids": padding}
    for name, column in columns.items():
        size = max_seq_length if column.is_per_token else 1
        for length in column.shape:
            size *= length
        record[name] = [0] * size
    return serialized(record, columns, is_real_example=0)
