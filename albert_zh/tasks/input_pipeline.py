"""Batches features by length and pads each batch to its longest row.

    input_fn = train_input_fn(feature_file, 128, batch_size=64, num_steps=1000, seed=12345)

Every example occurs once per epoch, in an order that is determined by seed and epoch: a run that is
stopped and resumed sees the same batches as an uninterrupted run. On TPU, and with `plain`, rows
are not sorted by length and are padded to the longest length.
"""

from typing import Any, Callable, Dict, Iterable, Iterator, Optional

import numpy as np
import tensorflow.compat.v1 as tf

from albert_zh.tasks import feature_records, registry
from albert_zh.training import length_bucketing

SHUFFLE_BUFFER = 500000  # serialized examples, about 150 bytes each; larger than most data sets
LENGTH_MULTIPLE = 4  # lengths in training are multiples of it: each length is compiled separately


def train_input_fn(
    feature_file: Any,
    max_seq_length: int,
    batch_size: int,
    num_steps: int,
    seed: int,
    first_step: int = 0,
    use_tpu: bool = False,
    plain: bool = False,
) -> Callable[..., Any]:
    """The input function of training.

    Args:
        feature_file: `feature_records.FeatureFile`.
        max_seq_length: longest sequence; see `TaskType.lengths_column`.
        batch_size: number of examples per step, over all replicas.
        num_steps: number of steps of the whole training.
        seed: random seed of the shuffling.
        first_step: number of steps that are already done.
        use_tpu: bool.
        plain: bool; pad all rows to `max_seq_length` and do not sort them by length.

    Returns:
        input function for an Estimator.
    """
    keeps_order = use_tpu or plain
    columns = feature_records.columns_of(feature_file)
    longest = _longest_row(feature_file.task, max_seq_length)

    def input_fn(params, input_context=None):
        records = tf.data.TFRecordDataset(feature_file.path)
        buffer_size = min(feature_file.num_examples, SHUFFLE_BUFFER)
        records = records.shuffle(buffer_size, seed=seed, reshuffle_each_iteration=True).repeat()
        if keeps_order:
            starts = np.arange(num_steps)
        else:
            starts = length_bucketing.window_starts(
                feature_file.num_examples, batch_size, num_steps
            )
        window = np.searchsorted(starts, first_step, side="right") - 1
        batches = records.skip(starts[window] * batch_size).batch(batch_size, drop_remainder=True)
        if not keeps_order:
            sizes = np.diff(np.append(starts, num_steps))[window:]
            batches = _in_windows(batches, sizes, columns, longest, batch_size, seed)
        else:
            batches = batches.map(_parser(columns, longest), num_parallel_calls=2)
        batches = batches.skip(first_step - starts[window])
        batches = _shared(batches, length_bucketing.share_of(params, input_context))
        return _finished(batches, columns, longest, keeps_order, LENGTH_MULTIPLE)

    return input_fn


def eval_input_fn(
    feature_file: Any,
    max_seq_length: int,
    batch_size: int,
    use_tpu: bool = False,
    plain: bool = False,
    path: Optional[Callable[[], str]] = None,
) -> Callable[..., Any]:
    """The input function of evaluation and prediction, which returns every example once.

    Rows are sorted by length in windows, and `length_bucketing.ROW` contains their positions (see
    `in_order`); on TPU and with `plain` they keep the file's order. On TPU the last batch is filled
    up with records whose `is_real_example` is 0.

    Args:
        feature_file: `feature_records.FeatureFile`.
        max_seq_length: longest sequence.
        batch_size: number of examples per batch; on TPU the Estimator's batch size is used.
        use_tpu, plain: as in `train_input_fn`.
        path: function without arguments that returns the file to read. It is called at the start
            of each evaluation, so that files with the same columns can share a graph. None: the
            file of `feature_file`, which is always used on TPU.

    Returns:
        input function for an Estimator.
    """
    columns = feature_records.columns_of(feature_file)
    longest = _longest_row(feature_file.task, max_seq_length)

    def input_fn(params):
        if not use_tpu:
            records = tf.data.TFRecordDataset(_string_of(path) if path else feature_file.path)
            return _rows_once(records, columns, longest, batch_size, plain)
        records = tf.data.TFRecordDataset(feature_file.path)
        share = length_bucketing.share_of(params)
        size = params["batch_size"]  # per core
        filler = feature_records.filler(columns, longest)
        num_missing = -feature_file.num_examples % (size * share.num_replicas)
        fillers = tf.data.Dataset.from_tensors(filler).repeat(num_missing)
        batches = records.concatenate(fillers).batch(size, drop_remainder=True)
        batches = batches.map(_parser(columns, longest))
        batches = length_bucketing.of_pipeline(batches, share)
        return _finished(batches, columns, longest, is_static=True)

    return input_fn


def _string_of(function):
    """A string tensor [] that calls a function whenever it is evaluated."""
    string = tf.numpy_function(lambda: np.array(function().encode()), [], tf.string)
    string.set_shape([])
    return string


def stream_input_fn(
    records: Iterable[Any], task: Any, max_seq_length: int, batch_size: int, plain: bool = False
) -> Callable[..., Any]:
    """The input function of prediction from a stream of records, in constant memory.

    Args:
        records: iterator of records as `TaskType.features` creates them; consumed once, in order.
        task: `Task`.
        max_seq_length: longest sequence.
        batch_size, plain: as in `eval_input_fn`.

    Returns:
        input function for an Estimator.
    """
    columns = registry.type_of(task).columns(task)
    longest = _longest_row(task, max_seq_length)

    def rows():
        for record in records:
            yield feature_records.serialized(record, columns)

    def input_fn(params):
        del params
        records = tf.data.Dataset.from_generator(rows, tf.string, tf.TensorShape([]))
        return _rows_once(records, columns, longest, batch_size, plain)

    return input_fn


def in_order(batches: Iterable[Dict[str, np.ndarray]]) -> Iterator[Dict[str, Any]]:
    """Rows of the outputs for an `eval_input_fn`, in the order of its input file.

    Args:
        batches: iterable of {name: array [B, ...]}, with `length_bucketing.ROW` if the rows are
            not in the original order.

    Yields:
        {name: value} of each row.
    """
    waiting, index = {}, 0
    for batch in batches:
        for row_in_batch in range(len(next(iter(batch.values())))):
            row = {name: outputs[row_in_batch] for name, outputs in batch.items()}
            waiting[row.pop(length_bucketing.ROW, index + len(waiting))] = row
        while index in waiting:
            yield waiting.pop(index)
            index += 1


def _longest_row(task, max_seq_length):
    """The maximum number of tokens of a record."""
    kind = registry.type_of(task)
    if kind.lengths_column is None:
        return max_seq_length
    return max_seq_length * kind.columns(task)[kind.lengths_column].shape[0]


@length_bucketing.without_translation
def _rows_once(records, columns, max_seq_length, batch_size, plain):
    """Batches of all records, sorted by length in windows unless `plain` is set."""
    parse = _parser(columns, max_seq_length)
    if plain:
        batches = records.batch(batch_size).map(parse)
        return _finished(batches, columns, max_seq_length, is_static=True)
    windows = records.enumerate().batch(length_bucketing.WINDOW)

    def by_length(rows, serialized):
        features = dict(parse(serialized), **{length_bucketing.ROW: rows})
        order = tf.argsort(_lengths(features), stable=True)
        return {name: tf.gather(feature, order) for name, feature in features.items()}

    rows = windows.map(by_length, num_parallel_calls=2).flat_map(tf.data.Dataset.from_tensor_slices)
    return _finished(rows.batch(batch_size), columns, max_seq_length, is_static=False)


@length_bucketing.without_translation
def _in_windows(batches, sizes, columns, max_seq_length, batch_size, seed):
    """Parses batches of records and sorts them by length in windows of several batches.

    `sizes` lists the number of batches of each window; later windows have one batch.
    """
    ends = tf.constant(np.cumsum(sizes), tf.int64)
    largest = max(sizes)
    sizes = tf.constant(np.append(sizes, 1), tf.int64)
    parse = _parser(columns, max_seq_length)

    def window_of(step, records):
        del records
        return tf.searchsorted(ends, [step], side="right", out_type=tf.int64)[0]

    def joined(window, batch):
        del window
        return batch.map(lambda step, records: records).batch(largest)

    def by_length(serialized):  # [batches, B]
        features = parse(tf.reshape(serialized, [-1]))
        first_ids = tf.reduce_sum(features["input_ids"][:, :8])  # different in each window
        order = length_bucketing.order_by_length(_lengths(features), batch_size, [seed, first_ids])
        return {
            name: tf.reshape(
                tf.gather(feature, order), [-1, batch_size] + feature.shape.as_list()[1:]
            )
            for name, feature in features.items()
        }

    windows = batches.enumerate().apply(
        tf.data.experimental.group_by_window(
            window_of, joined, window_size_func=lambda window: sizes[window]
        )
    )
    return windows.map(by_length, num_parallel_calls=2).flat_map(tf.data.Dataset.from_tensor_slices)


@length_bucketing.without_translation
def _shared(batches, share):
    """The batches of this pipeline's replicas, each of which gets its part of a step."""
    if share.num_replicas == 1:
        return batches

    def parts(batch):
        return tf.data.Dataset.from_tensor_slices(
            {
                name: tf.reshape(feature, [share.num_replicas, -1] + feature.shape.as_list()[1:])
                for name, feature in batch.items()
            }
        )

    return length_bucketing.of_pipeline(batches.flat_map(parts), share)


def _parser(columns, max_seq_length):
    """Returns a function that parses records [N] and pads them to the longest length."""
    stored = {
        "input_ids": tf.io.VarLenFeature(tf.int64),
        "segment_ids": tf.io.VarLenFeature(tf.int64),
        "is_real_example": tf.io.FixedLenFeature([], tf.int64),
    }
    stored.update((name, _stored(column)) for name, column in columns.items())

    @length_bucketing.without_translation
    def parse(serialized):
        parsed = tf.io.parse_example(serialized, stored)
        ids = parsed["input_ids"]
        mask = tf.SparseTensor(ids.indices, tf.ones_like(ids.values), ids.dense_shape)
        shape = [serialized.shape[0], max_seq_length]
        features = {
            "input_ids": _padded(ids, shape),  # [N, F]
            "input_mask": _padded(mask, shape),  # [N, F]
            "segment_ids": _padded(parsed["segment_ids"], shape),  # [N, F]
            "is_real_example": tf.cast(parsed["is_real_example"], tf.float32),  # [N]
        }
        for name, column in columns.items():
            dtype = tf.float32 if column.dtype == "float" else tf.int32
            features[name] = (
                _padded_tokens(parsed[name], shape, column.shape, dtype)  # [N, F, ...]
                if column.is_per_token
                else tf.cast(parsed[name], dtype)  # [N, ...]
            )
        return features

    return parse


def _stored(column):
    """How a column is stored in a record."""
    dtype = tf.float32 if column.dtype == "float" else tf.int64
    if column.is_per_token:
        return tf.io.VarLenFeature(dtype)
    return tf.io.FixedLenFeature(column.shape, dtype)


def _padded(sparse, shape, dtype=tf.int32):
    rows = tf.cast(tf.sparse.to_dense(sparse), dtype)
    rows = tf.pad(rows, [[0, 0], [0, shape[1] - tf.shape(rows)[1]]])
    rows.set_shape(shape)
    return rows


def _padded_tokens(sparse, shape, shape_of_token, dtype):
    """The padded values of each token; a record stores them token by token in a flat list."""
    size = int(np.prod(shape_of_token, dtype=np.int64))
    rows = _padded(sparse, [shape[0], shape[1] * size], dtype)
    return tf.reshape(rows, [-1, shape[1]] + list(shape_of_token)) if shape_of_token else rows


def _lengths(features):
    return tf.reduce_sum(features["input_mask"], axis=1)


@length_bucketing.without_translation
def _finished(batches, columns, max_seq_length, is_static, multiple=1):
    """Truncates batches to their longest row, rounded up to a multiple, unless they are static."""
    sequences = {"input_ids", "input_mask", "segment_ids"}
    sequences.update(name for name, column in columns.items() if column.is_per_token)

    def cut(batch):
        longest = tf.reduce_max(_lengths(batch))
        length = tf.minimum(-(-longest // multiple) * multiple, max_seq_length)
        return {
            name: feature[:, :length] if name in sequences else feature
            for name, feature in batch.items()
        }

    if not is_static:
        batches = batches.map(cut, num_parallel_calls=2)
    return length_bucketing.prefetched(batches)
