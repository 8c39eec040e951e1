"""Examples -> features, and the `model_fn` of a classifier.

What a task is and how its files are read: `tasks.py`, `reading.py`. Features -> batches:
`classification_input.py`.
"""

import collections
import contextlib
import hashlib
import json
import os
from typing import List

import tensorflow.compat.v1 as tf

from errors import UserError
import batching
import checkpoints
import dev_split
import files
import layouts
import named_columns
import objectives
from progress import progress_bar
import reading
import tables
import tasks
import text_groups
import tfrecords
import tokenization
import training
import validation

InputFeatures = collections.namedtuple(
    "InputFeatures", ["input_ids", "input_mask", "segment_ids", "label_id", "is_real_example"]
)
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
    tokenization,
    files,
    tables,
    tasks,
    named_columns,
    layouts,
    reading,
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
    if model_settings.get("precision") == "mixed_float16" and settings.objective != "regression":
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
        "probabilities": objectives.probabilities(logits, objective),
    }
    if batching.ROW in features:
        predictions[batching.ROW] = features[batching.ROW]
    return predictions


def _train_spec(loss, train_op, init_checkpoint, use_tpu):
    scaffold_fn = None
    if init_checkpoint:
        _, scaffold_fn = checkpoints.initialize_from(
            init_checkpoint, tf.trainable_variables(), use_tpu
        )
    return tf.estimator.tpu.TPUEstimatorSpec(
        tf.estimator.ModeKeys.TRAIN, loss=loss, train_op=train_op, scaffold_fn=scaffold_fn
    )
