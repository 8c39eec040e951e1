"""Examples -> features, and the `model_fn` of a classifier.

What a task is and how its files are read: `tasks.py`, `reading.py`. Features -> batches:
`classification_input.py`.
"""

import collections
import contextlib
import hashlib
import json
import os

import tensorflow.compat.v1 as tf

from albert_zh.common import files, text_encodings, validation
from albert_zh.common.errors import UserError
from albert_zh.common.progress import progress_bar
from albert_zh.corpus import tfrecords
from albert_zh.model import checkpoint_matching, classifier_output
from albert_zh.tasks import columns as column_layouts
from albert_zh.tasks import datasets, dev_split, named_columns, task_type, text_groups
from albert_zh.tasks import reader as task_reader
from albert_zh.tasks import rows as row_files
from albert_zh.tasks.classification import objectives
from albert_zh.text import (
    encoding,
    sentencepiece_models,
    tokenization,
    unicode_text,
    vocabulary_files,
)
from albert_zh.training import length_bucketing
from albert_zh.training.messages import say

InputFeatures = collections.namedtuple(
    "InputFeatures", ["input_ids", "input_mask", "segment_ids", "label_id", "is_real_example"]
)
InputFeatures.__new__.__defaults__ = (True,)
# What lies beside a file of features and makes it valid.
_FEATURE_STAMP = validation.record(
    {
        "fingerprint": validation.record(),
        "bytes": validation.integer(0),
        "num_cut": validation.integer(0),
    },
    ["fingerprint", "bytes", "num_cut"],
)

FeatureFile = collections.namedtuple("FeatureFile", ["path", "num_examples", "num_cut", "task"])


# Examples to features


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
    input_ids, segment_ids, _ = encoding.encode(
        tokenizer, example.text_a, example.text_b, max_seq_length
    )
    padding = [0] * (max_seq_length - len(input_ids))
    return InputFeatures(
        input_ids=input_ids + padding,
        input_mask=[1] * len(input_ids) + padding,
        segment_ids=segment_ids + padding,
        label_id=0 if example.label is None else list(label_list).index(example.label),
        is_real_example=True,
    )


def feature_file(split, task, tokenizer, max_seq_length, folder, settings, shared_as=None):
    """Writes a split's features as TFRecord, or takes the file that is there if it is of the same.

    Records are unpadded. Beside the file lies a fingerprint of everything it was made from, which
    makes it valid: it goes first and comes last.

    Args:
        split: `Split`.
        task: `Task`.
        tokenizer: `FullTokenizer`.
        max_seq_length: longest sequence.
        folder: where the file goes, as `SPLIT.tf_record`.
        settings: {name: value} that the features depend on beside the data (vocabulary ...).
        shared_as: in a folder of several runs, the task's name: the file is then called
            TASK_SPLIT-DIGEST.tf_record, so that no run takes the file of another one away.

    Returns:
        `FeatureFile`.
    """
    fingerprint = dict(
        settings,
        max_seq_length=max_seq_length,
        data=split.sha256,
        num_examples=len(split.examples),
        labels=list(task.labels),
        objective=[task.objective, task.separator],
        code=_CODE_VERSION,
    )
    name = split.name
    if shared_as:
        name = "%s_%s-%s" % (shared_as, name, _digest(fingerprint))
    path = os.path.join(folder, name + ".tf_record")
    cached = _cached_features(path, fingerprint, task)
    if cached:
        return cached
    # Killed in between, a file of other settings must not pass for the one of the former ones.
    with contextlib.suppress(FileNotFoundError):
        os.remove(path + ".json")
    num_cut = _write_features(path, split, task, tokenizer, max_seq_length)
    about = {"fingerprint": fingerprint, "bytes": os.path.getsize(path), "num_cut": num_cut}
    files.write_json(path + ".json", about)
    return FeatureFile(path, len(split.examples), num_cut, task)


def _digest(fingerprint):
    return hashlib.sha256(json.dumps(fingerprint, sort_keys=True).encode()).hexdigest()[:12]


def _cached_features(path, fingerprint, task):
    if not os.path.exists(path):
        return None
    try:
        about = validation.read_json(path + ".json", _FEATURE_STAMP)
    except UserError:
        about = {"bytes": None, "fingerprint": {}}
    is_whole = about["bytes"] == os.path.getsize(path) and tfrecords.is_whole(path)
    if is_whole and about["fingerprint"] == fingerprint:
        return FeatureFile(path, fingerprint["num_examples"], about["num_cut"], task)
    former = about["fingerprint"]
    changed = [name for name in fingerprint if former.get(name) != fingerprint[name]]
    reason = "other " + ", ".join(changed) if is_whole else "unfinished"
    say("rebuilding the cached features %s: they are stale (%s)", path, reason)
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
            ids, segments, was_cut = encoding.encode(
                tokenizer, example.text_a, example.text_b, max_seq_length
            )
            num_cut += was_cut
            label = datasets.label_value(task, example.label)
            writer.write(serialized(ids, segments, label, is_real_example=1))
    return num_cut


def serialized(input_ids, segment_ids, label, is_real_example):
    """A record of a feature file.

    Args:
        input_ids: list of ints [F], without padding.
        segment_ids: list of ints [F].
        label: int, list of ints (multi-label) or float (regression).
        is_real_example: int, 0 for a row that only fills a batch.

    Returns:
        bytes, a `tf.train.Example`.
    """

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


_MAKE_FEATURES = (
    encoding,
    tokenization,
    sentencepiece_models,
    unicode_text,
    vocabulary_files,
    files,
    text_encodings,
    row_files,
    datasets,
    task_type,
    named_columns,
    column_layouts,
    task_reader,
    text_groups,
    dev_split,
)


def _code_version():
    """Fingerprint of the code that makes features."""
    digest = hashlib.sha256()
    for module in _MAKE_FEATURES:
        digest.update(files.read_bytes(module.__file__))
    digest.update(files.read_bytes(__file__))
    return digest.hexdigest()[:16]


_CODE_VERSION = _code_version()  # of what is imported: the files may be replaced during a run

# Model

# For labels: their gradients are far below float16's largest number. A value's grow with the value.
_LOSS_SCALE_OF_FLOAT16 = 2.0**10


def model_fn_builder(
    bert_config,
    num_labels,
    init_checkpoint,
    learning_rate,
    num_train_steps,
    num_warmup_steps,
    use_tpu,
    use_one_hot_embeddings,
    settings=None,
    **model_settings,
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
        settings: `objectives.Settings`; the plain ones by default.
        **model_settings: `recompute`, `precision`, `plain` of `AlbertModel`.

    Returns:
        function (features, labels, mode, params) -> `TPUEstimatorSpec`.
    """
    settings = settings or objectives.Settings()
    has_classes = task_type.get(settings.objective).has_classes
    if model_settings.get("precision") == "mixed_float16" and has_classes:
        settings = settings._replace(loss_scale=_LOSS_SCALE_OF_FLOAT16)
    schedule = (learning_rate, num_train_steps, num_warmup_steps)
    is_plain = model_settings.get("plain", False)

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
            **model_settings,
        )
        if not is_training:
            logits = build_logits()
            predictions = _predictions(logits, features, settings.objective)
            return tf.estimator.tpu.TPUEstimatorSpec(mode, predictions=predictions)
        loss, shown_loss = objectives.training_loss(
            build_logits, features["label_ids"], settings, use_tpu
        )
        train_op = objectives.create_train_op(loss, *schedule, use_tpu, settings, is_plain)
        return _train_spec(shown_loss, train_op, init_checkpoint, use_tpu)

    return model_fn


def _predictions(logits, features, objective):
    """What is predicted for a batch's rows, and their numbers if they are not at their places."""
    predictions = {
        "logits": logits,
        "probabilities": classifier_output.probabilities(logits, objective),
    }
    if length_bucketing.ROW in features:
        predictions[length_bucketing.ROW] = features[length_bucketing.ROW]
    return predictions


def _train_spec(loss, train_op, init_checkpoint, use_tpu):
    scaffold_fn = None
    if init_checkpoint:
        _, scaffold_fn = checkpoint_matching.initialize_from(
            init_checkpoint, tf.trainable_variables(), use_tpu
        )
    return tf.estimator.tpu.TPUEstimatorSpec(
        tf.estimator.ModeKeys.TRAIN, loss=loss, train_op=train_op, scaffold_fn=scaffold_fn
    )
