"""Reads pre-training records as batches: interleaving, shuffling, masking, packing by length.

    source = RecordSource(files, max_seq_length=128, max_predictions=20, ...)
    dataset = training_batches(source, batch_size=64, seed=12345, first_step=0, ...)

The order of the records and their masks depend only on the seed, the epoch and the record: a run
that is interrupted and resumed uses the same data as an uninterrupted run.
"""

import collections

import numpy as np
import tensorflow.compat.v1 as tf

from albert_zh.pretraining import dynamic_masking, input_lanes
from albert_zh.training import length_bucketing

SHUFFLE_BUFFER = 50000  # records
LENGTH_MULTIPLE = 4  # batches are padded to multiples of it, as each length is compiled separately
_INTERLEAVED_FILES = 16
WINDOW = 2048  # number of records that are masked (and, with packing, sorted) together
_FOREVER = 1 << 40  # epochs

RecordSource = collections.namedtuple(
    "RecordSource",
    "files num_records record_bytes max_seq_length max_predictions masking mask_id vocab_size "
    "is_static counts sep_id",
    defaults=(None, None),
)
RecordSource.__doc__ = """Pre-training records and how to process them.

Fields:
    files: list of TFRecord files.
    num_records: number of records in all files, or None if they are not counted.
    record_bytes: average size of a record in bytes.
    max_seq_length: S.
    max_predictions: P.
    masking: `masking.MaskingChoice` for records of `--masking=dynamic`, None for masked records.
    mask_id: id of [MASK].
    vocab_size: V; random pieces have ids below it.
    is_static: bool, whether batches always have the sizes S and P (TPU) or are trimmed to their
        content.
    counts: number of records in each file, or None if they are not counted.
    sep_id: id of [SEP], which segments may contain; None for masked records.
"""


@length_bucketing.without_translation
def training_batches(
    source: RecordSource,
    batch_size: int,
    seed: int,
    first_step: int,
    pack_by_length: bool,
    share: length_bucketing.Share = length_bucketing.ALONE,
    num_lanes: int = 1,
) -> tf.data.Dataset:
    """Returns an endless dataset of batches for training.

    Args:
        source: the records.
        batch_size: B, number of records per step for all replicas together; a multiple of the
            number of replicas.
        seed: random seed of the order and the masks.
        first_step: number of steps that are already done; their batches are skipped.
        pack_by_length: whether to batch sequences of similar length together.
        share: the replicas of a step, and the position of this host among the hosts that feed them.
        num_lanes: number of lanes into which the records are split, see `input_lanes`.

    Returns:
        dicts of [B / replicas, ...]; each element is the part of one replica.
    """
    lanes = [
        _batches_of_lane(source, lane, num_lanes, batch_size, seed, first_step, pack_by_length)
        for lane in input_lanes.shares_of_host(num_lanes, share.num_pipelines, share.pipeline)
    ]
    batches = lanes[0]
    if len(lanes) > 1:
        batches = tf.data.Dataset.zip(tuple(lanes)).map(
            lambda *rows: {name: tf.concat([r[name] for r in rows], 0) for name in rows[0]}
        )
    num_parts = share.num_replicas // share.num_pipelines
    if num_parts > 1:
        batches = batches.flat_map(lambda rows: _in_parts(rows, num_parts))
    return length_bucketing.prefetched(batches.map(_shrinker(source), num_parallel_calls=2))


def _batches_of_lane(source, lane, num_lanes, batch_size, seed, first_step, pack_by_length):
    """A host's rows [B / lanes / parts, ...] from one lane for each step; arguments as above."""
    size = batch_size // num_lanes
    num_steps = max(1, WINDOW // batch_size)  # number of steps per window
    first_window = first_step // num_steps
    num_seen = first_window * num_steps * size
    records = _records_from(source, lane.lane, num_lanes, seed, num_seen)
    windows = records.batch(num_steps * size, drop_remainder=True)
    windows = windows.map(_parser(source, seed), num_parallel_calls=2)
    if pack_by_length:
        windows = windows.enumerate(first_window).map(_packer(size, seed, num_lanes))
    batches = windows.flat_map(lambda rows: _in_parts(rows, num_steps))
    batches = batches.skip(first_step % num_steps)
    if lane.num_parts == 1:
        return batches
    return batches.map(lambda rows: _part_of(rows, lane.part, size // lane.num_parts))


def _in_parts(rows, num_parts):
    """Splits rows [N, ...] into a dataset of equal parts."""
    size = rows["input_ids"].shape.as_list()[0] // num_parts
    return tf.data.Dataset.from_tensor_slices(
        {
            name: tf.reshape(values, [num_parts, size] + values.shape.as_list()[1:])
            for name, values in rows.items()
        }
    )


def _part_of(rows, number, size):
    return {name: values[number * size : (number + 1) * size] for name, values in rows.items()}


def _records_from(source, lane, num_lanes, seed, num_seen):
    """The keyed records of a lane, epoch by epoch, after those that were already used."""
    ranges, num_records = input_lanes.ranges_of_lane(
        source.counts, len(source.files), lane, num_lanes
    )
    if num_lanes == 1:
        num_records = source.num_records
    epoch, num_skipped = divmod(num_seen, num_records) if num_records else (0, 0)
    buffer_size = max(1, min(SHUFFLE_BUFFER, num_records or SHUFFLE_BUFFER) // num_lanes)
    seed += lane << 32  # each lane has its own order; the first lane has that of a single device

    def shuffled(number):
        records = _keyed_records(source, number, ranges).shuffle(
            buffer_size, seed=seed + number, reshuffle_each_iteration=False
        )
        skipped = tf.where(tf.equal(number, epoch), tf.cast(num_skipped, tf.int64), 0)
        return records.skip(skipped)

    records = tf.data.Dataset.range(epoch, _FOREVER).flat_map(shuffled)
    return records if num_records else records.skip(num_seen)


@length_bucketing.without_translation
def evaluation_batches(source: RecordSource, batch_size: int, seed: int) -> tf.data.Dataset:
    """Returns batches for evaluation: each record once, interleaved among the files.

    Args:
        source: the records.
        batch_size: B.
        seed: random seed of the masks.

    Returns:
        dicts of [B, ...]; a smaller last batch is dropped if `source.is_static`.
    """
    ranges, _ = input_lanes.ranges_of_lane(None, len(source.files), lane=0, num_lanes=1)
    records = _keyed_records(source, 0, ranges).batch(batch_size, drop_remainder=source.is_static)
    return length_bucketing.prefetched(records.map(_parser(source, seed)).map(_shrinker(source)))


def _keyed_records(source, epoch, ranges):
    """((epoch, file, place), serialized record) for ranges, interleaved in a fixed order."""
    has_parts = any(chosen[1:] != (0, -1, 1, 0) for chosen in ranges)

    def of_range(chosen, name):
        # With tf.unstack, TensorFlow 2.15 would optimize the graph without end.
        number, first, count, stride, offset = (chosen[at] for at in range(len(ranges[0])))
        records = tf.data.TFRecordDataset(name).enumerate()
        if has_parts:
            records = records.skip(first).take(count).shard(stride, offset)
        return records.map(
            lambda place, record: (tf.stack([tf.cast(epoch, tf.int64), number, place]), record)
        )

    names = [source.files[chosen.file] for chosen in ranges]
    return tf.data.Dataset.from_tensor_slices((np.array(ranges, np.int64), names)).interleave(
        of_range, cycle_length=min(_INTERLEAVED_FILES, len(ranges)), block_length=1
    )


def _parser(source, seed):
    """Returns the function that parses a window of records and masks it if necessary."""
    ints = {"input_ids": source.max_seq_length, "input_mask": source.max_seq_length}
    ints.update(segment_ids=source.max_seq_length, next_sentence_labels=1)
    columns = {}
    if source.masking is None:
        ints.update(
            masked_lm_positions=source.max_predictions, masked_lm_ids=source.max_predictions
        )
        columns["masked_lm_weights"] = tf.FixedLenFeature([source.max_predictions], tf.float32)
    else:
        ints["token_boundary"] = source.max_seq_length
    columns.update((name, tf.FixedLenFeature([size], tf.int64)) for name, size in ints.items())

    def parse(keys, serialized):
        features = tf.io.parse_example(serialized, columns)
        highest = tf.reduce_max(features["input_ids"])
        is_known = tf.debugging.assert_less(highest, tf.constant(source.vocab_size, tf.int64))
        with tf.control_dependencies([is_known]):  # a GPU would look up zeros for larger ids
            features["input_ids"] = tf.identity(features["input_ids"])
        if source.masking is not None:
            features = dynamic_masking.masked_features(
                features,
                source.masking,
                source.mask_id,
                source.vocab_size,
                seed,
                keys,
                source.sep_id,
            )
        return {
            name: values if values.dtype == tf.float32 else tf.cast(values, tf.int32)
            for name, values in features.items()
        }

    return parse


def _packer(batch_size, seed, num_lanes):
    """Returns the function that sorts a window by length and shuffles its batches."""

    def pack(number, window):
        lengths = tf.reduce_sum(window["input_mask"], axis=1)
        place = tf.reduce_sum(window["input_ids"][:, :8])  # a different order in each window
        if num_lanes > 1:  # all lanes use batches of similar length in the same step
            place = tf.cast(number, tf.int32)
        order = length_bucketing.order_by_length(lengths, batch_size, [seed, place])
        return {name: tf.gather(values, order) for name, values in window.items()}

    return pack


def _shrinker(source):
    """Returns the function that trims the empty columns at the end of a batch."""
    tokens = ("input_ids", "input_mask", "segment_ids")
    predictions = ("masked_lm_positions", "masked_lm_ids", "masked_lm_weights")

    def shrink(batch):
        if source.is_static:
            return batch
        length = tf.reduce_max(tf.reduce_sum(batch["input_mask"], axis=1))
        length = -(-length // LENGTH_MULTIPLE) * LENGTH_MULTIPLE
        count = tf.reduce_max(tf.reduce_sum(tf.cast(batch["masked_lm_weights"] > 0, tf.int32), 1))
        columns = dict.fromkeys(tokens, length)
        columns.update((name, tf.maximum(count, 1)) for name in predictions)
        return {
            name: values[:, : columns[name]] if name in columns else values
            for name, values in batch.items()
        }

    return shrink
