"""Examples -> features -> input pipeline, and the `model_fn` of a classifier.

What a task is and how its files are read: `tasks.py`, `reading.py`.
"""

import collections
import hashlib
import os
from typing import List

import tensorflow.compat.v1 as tf

from errors import UserError
import checkpoints
import files
import objectives
from progress import progress_bar
import reading
import tables
import tasks
import tokenization
import training

SHUFFLE_BUFFER = 500000  # serialized examples, some 150 bytes each; more than most data sets have
LENGTH_MULTIPLE = 8

InputFeatures = collections.namedtuple(
    "InputFeatures", ["input_ids", "input_mask", "segment_ids", "label_id", "is_real_example"]
)
FeatureFile = collections.namedtuple("FeatureFile", ["path", "num_examples", "num_cut", "task"])


# Examples to features


def encode(tokenizer, text_a, text_b, max_seq_length):
    """Texts to ids: [CLS] A [SEP], or [CLS] A [SEP] B [SEP].

    Args:
        tokenizer: `FullTokenizer`.
        text_a: str.
        text_b: str or None.
        max_seq_length: longest result; a pair loses tokens from the end of its longer text.

    Returns:
        (input_ids, segment_ids, was_cut): two lists of at most max_seq_length ints, and a bool.
    """
    tokens_a = tokenizer.tokenize(text_a)
    tokens_b = None if text_b is None else tokenizer.tokenize(text_b)
    room = max_seq_length - (2 if tokens_b is None else 3)
    was_cut = truncate_pair(tokens_a, [] if tokens_b is None else tokens_b, room)
    tokens = ["[CLS]"] + tokens_a + ["[SEP]"]
    segment_ids = [0] * len(tokens)
    if tokens_b is not None:
        tokens += tokens_b + ["[SEP]"]
        segment_ids += [1] * (len(tokens_b) + 1)
    return tokenizer.convert_tokens_to_ids(tokens), segment_ids, was_cut


def truncate_pair(tokens_a: List[str], tokens_b: List[str], max_length: int) -> bool:
    """Cuts two lists in place to a total length, each time the end of the longer (B on a tie).

    Returns:
        whether anything was cut.
    """
    was_cut = len(tokens_a) + len(tokens_b) > max_length
    while len(tokens_a) + len(tokens_b) > max_length:
        (tokens_a if len(tokens_a) > len(tokens_b) else tokens_b).pop()
    return was_cut


def convert_single_example(ex_index, example, label_list, max_seq_length, tokenizer):
    """An example to padded features (BERT's interface).

    Args:
        ex_index: number of the example; not used.
        example: `InputExample`.
        label_list: the labels, class 0 first.
        max_seq_length: length of the lists.
        tokenizer: `FullTokenizer`.

    Returns:
        `InputFeatures` of lists [max_seq_length] and the label's number (0 without a label).
    """
    del ex_index
    input_ids, segment_ids, _ = encode(tokenizer, example.text_a, example.text_b, max_seq_length)
    padding = [0] * (max_seq_length - len(input_ids))
    return InputFeatures(
        input_ids=input_ids + padding,
        input_mask=[1] * len(input_ids) + padding,
        segment_ids=segment_ids + padding,
        label_id=0 if example.label is None else list(label_list).index(example.label),
        is_real_example=True,
    )


def feature_file(split, task, tokenizer, max_seq_length, folder, settings):
    """Writes a split's features as TFRecord, or takes the file that is there if it is of the same.

    Records are unpadded. Beside the file lies a fingerprint of everything it was made from.

    Args:
        split: `Split`.
        task: `Task`.
        tokenizer: `FullTokenizer`.
        max_seq_length: longest sequence.
        folder: where the file goes, as `SPLIT.tf_record`.
        settings: {name: value} that the features depend on beside the data (vocabulary ...).

    Returns:
        `FeatureFile`.
    """
    path = os.path.join(folder, split.name + ".tf_record")
    fingerprint = dict(
        settings,
        max_seq_length=max_seq_length,
        data=files.sha256_of_file(split.path),
        num_examples=len(split.examples),
        labels=list(task.labels),
        objective=[task.objective, task.separator],
        code=_code_version(),
    )
    cached = _cached_features(path, fingerprint, task)
    if cached:
        return cached
    num_cut = _write_features(path, split, task, tokenizer, max_seq_length)
    about = {"fingerprint": fingerprint, "bytes": os.path.getsize(path), "num_cut": num_cut}
    files.write_json(path + ".json", about)
    return FeatureFile(path, len(split.examples), num_cut, task)


def _cached_features(path, fingerprint, task):
    if not os.path.exists(path):
        return None
    try:
        about = files.read_json(path + ".json")
    except UserError:
        about = {}
    is_whole = about.get("bytes") == os.path.getsize(path)
    if is_whole and about["fingerprint"] == fingerprint:
        return FeatureFile(path, fingerprint["num_examples"], about["num_cut"], task)
    former = about.get("fingerprint", {})
    changed = [name for name in fingerprint if former.get(name) != fingerprint[name]]
    reason = "other " + ", ".join(changed) if is_whole else "unfinished"
    training.say("rebuilding the cached features %s: they are stale (%s)", path, reason)
    return None


def _write_features(path, split, task, tokenizer, max_seq_length):
    """Writes the records; returns how many texts were cut."""
    num_cut = 0
    bar = progress_bar(
        "features of %s" % os.path.basename(split.path),
        len(split.examples),
        "row",
        iterable=split.examples,
        leave=False,
    )
    with files.whole_file(path) as partial, tf.python_io.TFRecordWriter(partial) as writer:
        for example in bar:
            ids, segments, was_cut = encode(
                tokenizer, example.text_a, example.text_b, max_seq_length
            )
            num_cut += was_cut
            label = tasks.label_value(task, example.label)
            writer.write(_serialized(ids, segments, label, is_real_example=1))
    return num_cut


def _serialized(input_ids, segment_ids, label, is_real_example):
    """A record; `label` is an int, a list of ints (multi-label) or a float (regression)."""

    def ints(values):
        return tf.train.Feature(int64_list=tf.train.Int64List(value=values))

    labels = label if isinstance(label, list) else [label]
    is_number = isinstance(label, float)
    features = {
        "input_ids": ints(input_ids),
        "segment_ids": ints(segment_ids),
        "label_ids": tf.train.Feature(float_list=tf.train.FloatList(value=labels))
        if is_number
        else ints(labels),
        "is_real_example": ints([is_real_example]),
    }
    return tf.train.Example(features=tf.train.Features(feature=features)).SerializeToString()


def _code_version():
    """Fingerprint of the code that makes features."""
    digest = hashlib.sha256()
    for module in (tokenization, tables, tasks, reading):
        digest.update(files.read_bytes(module.__file__))
    digest.update(files.read_bytes(__file__))
    return digest.hexdigest()[:16]


# Input pipeline


def train_input_fn(feature_file, max_seq_length, seed, num_seen, use_tpu=False):
    """Input of training: every example once an epoch, in an order that seed and epoch determine.

    A resumed run goes on in that order where the former one stopped.

    Args:
        feature_file: `FeatureFile`.
        max_seq_length: longest sequence; on TPU batches are padded to it.
        seed: of the shuffling.
        num_seen: examples that the steps so far have seen.
        use_tpu: bool.

    Returns:
        input function for an Estimator.
    """

    def input_fn(params):
        batch_size = params["batch_size"]
        records = tf.data.TFRecordDataset(feature_file.path)
        buffer_size = min(feature_file.num_examples, SHUFFLE_BUFFER)
        records = records.shuffle(buffer_size, seed=seed, reshuffle_each_iteration=True).repeat()
        records = records.skip(num_seen).batch(batch_size, drop_remainder=True)
        return _features_of(records, feature_file.task, max_seq_length, is_static=use_tpu)

    return input_fn


def eval_input_fn(feature_file, max_seq_length, batch_size, use_tpu=False):
    """Input of evaluation and prediction: every example once, in the file's order.

    On TPU the last batch is filled up with examples that `is_real_example` marks as none.

    Args:
        feature_file: `FeatureFile`.
        max_seq_length: longest sequence; on TPU batches are padded to it.
        batch_size: examples in a batch; on TPU the Estimator tells it.
        use_tpu: bool.

    Returns:
        input function for an Estimator.
    """

    def input_fn(params):
        size = params["batch_size"] if use_tpu else batch_size
        records = tf.data.TFRecordDataset(feature_file.path)
        if use_tpu:
            label = tasks.label_value(feature_file.task, None)
            padding = [0] * max_seq_length
            filler = _serialized(padding, padding, label, is_real_example=0)
            num_missing = -feature_file.num_examples % size
            fillers = tf.data.Dataset.from_tensors(filler).repeat(num_missing)
            records = records.concatenate(fillers)
        records = records.batch(size, drop_remainder=use_tpu)
        return _features_of(records, feature_file.task, max_seq_length, is_static=use_tpu)

    return input_fn


def stream_input_fn(encoded, task, max_seq_length, batch_size):
    """Input of prediction without a file of features: memory does not grow with the number of rows.

    Args:
        encoded: iterator of (input_ids, segment_ids); consumed once, in order.
        task: `Task`.
        max_seq_length: longest sequence.
        batch_size: examples in a batch.

    Returns:
        input function for an Estimator.
    """

    def serialized():
        label = tasks.label_value(task, None)
        for input_ids, segment_ids in encoded:
            yield _serialized(input_ids, segment_ids, label, is_real_example=1)

    def input_fn(params):
        del params
        records = tf.data.Dataset.from_generator(serialized, tf.string, tf.TensorShape([]))
        return _features_of(records.batch(batch_size), task, max_seq_length, is_static=False)

    return input_fn


def _features_of(batches, task, max_seq_length, is_static):
    """Parses and pads batches of records: to `max_seq_length`, or as far as the batch needs."""
    is_number = task.objective == "regression"
    label_shape = [len(task.labels)] if task.objective == "multi_label" else []
    label_type = tf.float32 if is_number else tf.int64

    def parse(serialized):
        columns = tf.io.parse_example(
            serialized,
            {
                "input_ids": tf.io.VarLenFeature(tf.int64),
                "segment_ids": tf.io.VarLenFeature(tf.int64),
                "label_ids": tf.io.FixedLenFeature(label_shape, label_type),
                "is_real_example": tf.io.FixedLenFeature([], tf.int64),
            },
        )
        ids = columns["input_ids"]
        mask = tf.SparseTensor(ids.indices, tf.ones_like(ids.values), ids.dense_shape)
        length = max_seq_length if is_static else _rounded_up(ids.dense_shape[1], max_seq_length)
        shape = [serialized.shape[0], max_seq_length if is_static else None]
        return {
            "input_ids": _padded(ids, length, shape),  # [B, F]
            "input_mask": _padded(mask, length, shape),  # [B, F]
            "segment_ids": _padded(columns["segment_ids"], length, shape),  # [B, F]
            "label_ids": columns["label_ids"]  # [B], of a multi-label task [B, C]
            if is_number
            else tf.cast(columns["label_ids"], tf.int32),
            "is_real_example": tf.cast(columns["is_real_example"], tf.float32),  # [B]
        }

    return batches.map(parse, num_parallel_calls=2).prefetch(4)


def _rounded_up(length, max_seq_length):
    """The next multiple of 8: memory is used again more often where there are fewer lengths."""
    multiple = (tf.cast(length, tf.int32) + LENGTH_MULTIPLE - 1) // LENGTH_MULTIPLE
    return tf.minimum(multiple * LENGTH_MULTIPLE, max_seq_length)


def _padded(sparse, length, static_shape):
    rows = tf.cast(tf.sparse.to_dense(sparse), tf.int32)
    rows = tf.pad(rows, [[0, 0], [0, length - tf.shape(rows)[1]]])
    rows.set_shape(static_shape)
    return rows


# Model


def model_fn_builder(
    bert_config,
    num_labels,
    init_checkpoint,
    learning_rate,
    num_train_steps,
    num_warmup_steps,
    use_tpu,
    use_one_hot_embeddings,
    recompute=False,
    settings=None,
):
    """The `model_fn` of a classifier for TPUEstimator: training and prediction.

    Evaluation is prediction, too: `scores.py` has the metrics.

    Args:
        bert_config: `AlbertConfig`.
        num_labels: number of outputs.
        init_checkpoint: prefix of the checkpoint that training starts from, or None.
        learning_rate: highest learning rate.
        num_train_steps: steps of the schedule.
        num_warmup_steps: of these, the warm-up.
        use_tpu: bool.
        use_one_hot_embeddings: bool, see `AlbertModel`.
        recompute: bool, see `AlbertModel`.
        settings: `objectives.Settings`; the plain ones by default.

    Returns:
        function (features, labels, mode, params) -> `TPUEstimatorSpec`.
    """
    settings = settings or objectives.Settings()

    def model_fn(features, labels, mode, params):
        del labels, params
        is_training = mode == tf.estimator.ModeKeys.TRAIN
        build_logits = objectives.logits_builder(
            bert_config,
            features,
            num_labels,
            settings,
            is_training,
            use_one_hot_embeddings=use_one_hot_embeddings,
            recompute=recompute,
        )
        if not is_training:
            logits = build_logits()
            predictions = {
                "logits": logits,
                "probabilities": objectives.probabilities(logits, settings.objective),
            }
            return tf.estimator.tpu.TPUEstimatorSpec(mode, predictions=predictions)
        loss, shown_loss = objectives.training_loss(build_logits, features["label_ids"], settings)
        train_op = objectives.create_train_op(
            loss, learning_rate, num_train_steps, num_warmup_steps, use_tpu, settings
        )
        return _train_spec(shown_loss, train_op, init_checkpoint, use_tpu)

    return model_fn


def _train_spec(loss, train_op, init_checkpoint, use_tpu):
    scaffold_fn = None
    if init_checkpoint:
        _, scaffold_fn = checkpoints.initialize_from(
            init_checkpoint, tf.trainable_variables(), use_tpu
        )
    return tf.estimator.tpu.TPUEstimatorSpec(
        tf.estimator.ModeKeys.TRAIN, loss=loss, train_op=train_op, scaffold_fn=scaffold_fn
    )
