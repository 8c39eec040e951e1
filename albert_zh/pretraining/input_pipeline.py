"""TFRecords of pre-training -> batches: interleaving, shuffling, masking, packing by length.

    source = RecordSource(files, max_seq_length=128, max_predictions=20, ...)
    dataset = training_batches(source, batch_size=64, seed=12345, first_step=0, ...)

The order of the records, and what is masked in them, is a function of seed, epoch and record alone:
a run that is stopped and goes on sees what the uninterrupted one would have seen.
"""

import collections

import numpy as np
import tensorflow.compat.v1 as tf

from albert_zh.corpus import masking
from albert_zh.training import length_bucketing

SHUFFLE_BUFFER = 50000  # records
LENGTH_MULTIPLE = 4  # batches are padded to its multiples: for each its activations are compiled
_INTERLEAVED_FILES = 16
WINDOW = 2048  # records that are masked, and with packing sorted, together
_FOREVER = 1 << 40  # epochs

RecordSource = collections.namedtuple(
    "RecordSource",
    "files num_records record_bytes max_seq_length max_predictions masking mask_id vocab_size "
    "is_static",
)
RecordSource.__doc__ = """Records of pre-training and what is done with each of them.

Fields:
    files: list of TFRecord files.
    num_records: records in all of them.
    record_bytes: average size of a record.
    max_seq_length: S.
    max_predictions: P.
    masking: `masking.MaskingChoice` for records of `--masking=dynamic`, None for masked ones.
    mask_id: id of [MASK].
    vocab_size: V; random pieces have ids below it.
    is_static: bool, whether batches keep S and P (TPU) rather than shrink to what they hold.
"""


class RecordGenerator:
    """Random numbers that depend on a record's key alone, not on the batch it comes in.

    Stands in for `numpy.random.RandomState` in the functions of `masking`, whose draws are all
    [N, ...] with a row for each record. The numbers are SplitMix64's (Steele et al. 2014).
    """

    _STEP = np.uint64(0x9E3779B97F4A7C15)
    _MULTIPLIERS = (np.uint64(0xBF58476D1CE4E5B9), np.uint64(0x94D049BB133111EB))

    def __init__(self, seed, keys):
        """Initializes the record generator.

        Args:
            seed: int.
            keys: int64 [N, K], what identifies the records, such as epoch, file and place in it.
        """
        state = np.full(len(keys), np.uint64(seed % (1 << 64)))
        for column in np.asarray(keys).T:
            state = self._mixed(state ^ column.astype(np.uint64))
        self._state = state  # [N]

    def random_sample(self, shape):
        """Float64 of a shape (N, ...), uniform in [0, 1)."""
        width = int(np.prod(shape[1:]))
        self._state = self._mixed(self._state)
        counters = np.arange(1, width + 1, dtype=np.uint64) * self._STEP
        bits = self._mixed(self._state[:, None] + counters)  # [N, width]
        return (bits >> np.uint64(11)).astype(np.float64).reshape(shape) * 2.0**-53

    def randint(self, low, high, shape):
        """Int64 of a shape (N, ...), uniform in low to high - 1."""
        return low + (self.random_sample(shape) * (high - low)).astype(np.int64)

    def _mixed(self, bits):
        bits = bits + self._STEP
        for shift, multiplier in zip((30, 27), self._MULTIPLIERS):
            bits = (bits ^ (bits >> np.uint64(shift))) * multiplier
        return bits ^ (bits >> np.uint64(31))


def training_batches(source, batch_size, seed, first_step, pack_by_length, num_replicas=1):
    """Batches for training, without end.

    Args:
        source: `RecordSource`.
        batch_size: B, records in a step of all replicas together; a multiple of `num_replicas`.
        seed: of order and masking.
        first_step: steps that are done already: their batches are left out.
        pack_by_length: bool, whether batches are made of sequences of like length.
        num_replicas: replicas that share a step; each element is one replica's part.

    Returns:
        `tf.data.Dataset` of dicts of [B / replicas, ...].
    """
    num_steps = max(1, WINDOW // batch_size)  # of a window
    first_window = first_step // num_steps
    epoch, num_seen = divmod(first_window * num_steps * batch_size, source.num_records)

    def shuffled(number):
        records = _records_of_epoch(source, number, seed)
        skipped = tf.where(tf.equal(number, epoch), tf.cast(num_seen, tf.int64), 0)
        return records.skip(skipped)

    records = tf.data.Dataset.range(epoch, _FOREVER).flat_map(shuffled)
    windows = records.batch(num_steps * batch_size, drop_remainder=True)
    windows = windows.map(_parser(source, seed), num_parallel_calls=2)
    if pack_by_length:
        windows = windows.map(_packer(batch_size, seed))

    def parts(window):
        shape = [num_steps * num_replicas, batch_size // num_replicas]
        return tf.data.Dataset.from_tensor_slices(
            {
                name: tf.reshape(values, shape + values.shape.as_list()[1:])
                for name, values in window.items()
            }
        )

    batches = windows.flat_map(parts).skip(first_step % num_steps * num_replicas)
    return length_bucketing.prefetched(batches.map(_shrinker(source), num_parallel_calls=2))


def evaluation_batches(source, batch_size, seed):
    """Batches for evaluation: each record once, of the files in turn; the last one may be smaller.

    Args:
        source: `RecordSource`.
        batch_size: B.
        seed: of the masking.

    Returns:
        `tf.data.Dataset` of dicts of [B, ...]; with `source.is_static` all are of B.
    """
    records = _keyed_records(source, epoch=0).batch(batch_size, drop_remainder=source.is_static)
    return length_bucketing.prefetched(records.map(_parser(source, seed)).map(_shrinker(source)))


def _keyed_records(source, epoch):
    """((epoch, file, place), serialized record) of all files, interleaved in a fixed order."""

    def of_file(number, name):
        records = tf.data.TFRecordDataset(name).enumerate()
        return records.map(
            lambda place, record: (tf.stack([tf.cast(epoch, tf.int64), number, place]), record)
        )

    numbers = np.arange(len(source.files), dtype=np.int64)
    return tf.data.Dataset.from_tensor_slices((numbers, source.files)).interleave(
        of_file, cycle_length=min(_INTERLEAVED_FILES, len(source.files)), block_length=1
    )


def _records_of_epoch(source, epoch, seed):
    buffer_size = min(SHUFFLE_BUFFER, source.num_records)
    return _keyed_records(source, epoch).shuffle(
        buffer_size, seed=seed + epoch, reshuffle_each_iteration=False
    )


def _parser(source, seed):
    """The function that parses a window of records and masks those that are not masked yet."""
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
        with tf.control_dependencies([is_known]):  # a GPU would take what is beyond for zeros
            features["input_ids"] = tf.identity(features["input_ids"])
        if source.masking is not None:
            features = _masked(source, seed, keys, features)
        return {
            name: values if values.dtype == tf.float32 else tf.cast(values, tf.int32)
            for name, values in features.items()
        }

    return parse


def _masked(source, seed, keys, features):
    """Features of unmasked records [N, S] as `masking.masked_features` masks them."""
    names = ["input_ids", "input_mask", "segment_ids", "token_boundary"]
    made = ["input_ids", "masked_lm_positions", "masked_lm_ids", "masked_lm_weights"]

    def mask(keys, *values):
        masked = masking.masked_features(
            dict(zip(names, values)),
            source.masking,
            source.mask_id,
            source.vocab_size,
            RecordGenerator(seed, keys),
        )
        return [masked[name].astype(dtype) for name, dtype in zip(made, dtypes)]

    dtypes = [np.int64, np.int64, np.int64, np.float32]
    arrays = tf.numpy_function(mask, [keys] + [features[name] for name in names], dtypes)
    features = {name: features[name] for name in features if name != "token_boundary"}
    num_records = features["input_ids"].shape[0]
    widths = [source.max_seq_length] + 3 * [source.max_predictions]
    for name, width, array in zip(made, widths, arrays):
        array.set_shape([num_records, width])
        features[name] = array
    return features


def _packer(batch_size, seed):
    """The function that sorts a window by length and brings its batches into random order."""

    def pack(window):
        lengths = tf.reduce_sum(window["input_mask"], axis=1)
        place = tf.reduce_sum(window["input_ids"][:, :8])  # another order in each window
        order = length_bucketing.order_by_length(lengths, batch_size, [seed, place])
        return {name: tf.gather(values, order) for name, values in window.items()}

    return pack


def _shrinker(source):
    """The function that cuts off the columns of a batch that hold nothing."""
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
