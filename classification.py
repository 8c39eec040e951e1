"""Classification tasks: their file formats, examples -> features -> input pipeline, the model_fn.

A task is a row of `TASKS`; a new one of a known file form needs nothing else.
"""

import collections
import hashlib
import os
import re
from typing import List

import numpy as np
import tensorflow.compat.v1 as tf

from errors import UserError
import checkpoints
import files
import modeling
import optimization
from progress import progress_bar
import tokenization
import training

SHUFFLE_BUFFER = 500000  # serialized examples, some 150 bytes each; more than most data sets have
SHOWN_BAD_ROWS = 3
LENGTH_MULTIPLE = 8

# What a task's files look like. `files`: {split: file name}; `columns`: tab-separated, in order,
# of text_a, text_b, label; `labels`: what may stand in the label column, class 0 first.
Task = collections.namedtuple("Task", ["files", "columns", "labels"])
_LCQMC = Task(
    files={"train": "train.txt", "dev": "dev.txt", "test": "test.txt"},
    columns=("text_a", "text_b", "label"),
    labels=("0", "1"),
)
TASKS = {
    "lcqmc": _LCQMC,
    "lcqmc_pair": _LCQMC,
    "sentence_pair": Task(
        files={"train": "train_0827.tsv", "dev": "dev_0827.tsv", "test": "test_0827.tsv"},
        columns=("label", "text_a", "text_b"),
        labels=("0", "1"),
    ),
}
# Names of text columns, by which the header of a file without labels is known.
_TEXT_COLUMN = re.compile(
    r"(text|sentence|sent|question|query|title|q|s|句子|文本|问题|标题)[ _-]?([ab12]|一|二)?$", re.I
)
_NUMBER = re.compile(r"[-+]?\d+(\.\d+)?$")

InputExample = collections.namedtuple("InputExample", ["guid", "text_a", "text_b", "label"])
InputFeatures = collections.namedtuple(
    "InputFeatures", ["input_ids", "input_mask", "segment_ids", "label_id", "is_real_example"]
)
Split = collections.namedtuple("Split", ["name", "path", "examples", "has_labels", "notes"])
Split.__doc__ = """One file of a task.

Fields:
    name: "train", "dev" or "test".
    path: the file.
    examples: list of `InputExample`; label is None in a file without labels.
    has_labels: bool.
    notes: lines for the user about what was found in the file.
"""
FeatureFile = collections.namedtuple("FeatureFile", ["path", "num_examples", "num_cut"])


def get_task(name: str) -> Task:
    """The task of a name (case does not matter); raises `UserError` for an unknown one."""
    try:
        return TASKS[name.lower()]
    except KeyError:
        raise UserError(
            "--task_name: unknown task %r, expected one of %s" % (name, ", ".join(sorted(TASKS)))
        ) from None


# Reading


def read_split(
    task: Task,
    data_dir: str,
    name: str,
    encoding: str = "utf-8",
    skip_bad_rows: bool = False,
) -> Split:
    """Reads one file of a task.

    Quotes are literal; a header is recognised; a test file may lack the label column.

    Args:
        task: `Task`.
        data_dir: the folder of its files.
        name: "train", "dev" or "test".
        encoding: of the file.
        skip_bad_rows: leave rows out that don't fit (counted in the notes) rather than stop.

    Returns:
        `Split`.

    Raises:
        UserError: if the folder or the file is missing, empty or unreadable, or rows are bad.
    """
    if not os.path.isdir(data_dir):
        raise UserError("--data_dir=%s: no such folder" % data_dir)
    path = os.path.join(data_dir, task.files[name])
    lines = list(enumerate(files.read_lines(path, encoding), start=1))
    rows = [(number, line.split("\t")) for number, line in lines if line.strip("\r\n ")]
    if not rows:
        raise UserError("%s is empty: expected rows of %s" % (path, _form(task.columns)))
    num_blank = len(lines) - len(rows)
    notes = ["%d blank lines are left out" % num_blank] if num_blank else []
    columns = _columns_found(task, name, rows)
    if _is_header(task, columns, rows[0][1]):
        notes.append("line 1 is a header (%s)" % _shortened(" | ".join(rows[0][1])))
        rows = rows[1:]
    examples, bad = [], []
    for number, cells in rows:
        problem = _problem_of_row(task, columns, cells)
        if problem:
            bad.append("line %d: %s" % (number, problem))
        else:
            examples.append(_example("%s-%d" % (name, number), dict(zip(columns, cells))))
    _report_bad_rows(path, bad, len(rows), skip_bad_rows, notes)
    if not examples:
        raise UserError("%s has no rows of %s" % (path, _form(columns)))
    notes.extend(_remarkable_texts(examples))
    return Split(name, path, examples, "label" in columns, notes)


def describe(split, task):
    """Lines for the user: rows, labels, and what was remarkable in a file.

    Args:
        split: `Split`.
        task: `Task`.
    """
    counts = collections.Counter(example.label for example in split.examples)
    labels = ", ".join("%s: %d" % (name, counts[name]) for name in task.labels if counts[name])
    about = "labels " + labels if split.has_labels else "no labels"
    return ["%s: %d rows, %s" % (split.path, len(split.examples), about)] + [
        "note: %s: %s" % (split.path, note) for note in split.notes
    ]


def _columns_found(task, name, rows):
    """The task's columns; without the label where no row of a test file has one."""
    unlabelled = tuple(column for column in task.columns if column != "label")
    if name == "test" and all(len(cells) == len(unlabelled) for _, cells in rows):
        return unlabelled
    return task.columns


def _is_header(task, columns, cells):
    if "label" not in columns:
        return all(_TEXT_COLUMN.match(cell.strip()) for cell in cells)
    if len(cells) != len(columns):
        return False
    label = cells[columns.index("label")].strip()
    return bool(label) and label not in task.labels and not _NUMBER.match(label)


def _problem_of_row(task, columns, cells):
    if len(cells) != len(columns):
        return "%d column%s, expected %s, in %r" % (
            len(cells),
            "" if len(cells) == 1 else "s",
            _form(columns),
            _shortened("\t".join(cells)),
        )
    label = dict(zip(columns, cells)).get("label")
    if label is not None and label.strip() not in task.labels:
        return "unknown label %r, expected one of %s" % (
            _shortened(label),
            _shortened(", ".join(task.labels), 200),
        )
    return None


def _report_bad_rows(path, bad, num_rows, skip, notes):
    if not bad:
        return
    shown = "; ".join(bad[:SHOWN_BAD_ROWS]) + ("; ..." if len(bad) > SHOWN_BAD_ROWS else "")
    count = "%d of %d rows" % (len(bad), num_rows)
    if not skip:
        raise UserError(
            "%s: %s don't fit: %s (mend them, or leave them out with --skip_bad_rows=true)"
            % (path, count, shown)
        )
    notes.append("left out %s: %s" % (count, shown))


def _example(guid, cells):
    label = cells.get("label")
    return InputExample(
        guid, cells["text_a"], cells.get("text_b"), None if label is None else label.strip()
    )


def _remarkable_texts(examples):
    """Notes on texts that train badly: empty ones, ones with NUL bytes."""
    checks = (
        ("an empty text", lambda text: text is not None and not text.strip()),
        ("NUL bytes, which the tokenizer drops", lambda text: text is not None and "\0" in text),
    )
    for what, is_such in checks:
        found = [e.guid for e in examples if is_such(e.text_a) or is_such(e.text_b)]
        if found:
            line = found[0].rsplit("-", 1)[1]
            yield "%d rows have %s (first: line %s)" % (len(found), what, line)


def _form(columns):
    return "%d (%s)" % (len(columns), "<tab>".join(columns))


def _shortened(text, limit=40):
    return text if len(text) <= limit else text[:limit] + "..."


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
        code=_code_version(),
    )
    cached = _cached_features(path, fingerprint)
    if cached:
        return cached
    num_cut = _write_features(path, split, task, tokenizer, max_seq_length)
    about = {"fingerprint": fingerprint, "bytes": os.path.getsize(path), "num_cut": num_cut}
    files.write_json(path + ".json", about)
    return FeatureFile(path, len(split.examples), num_cut)


def _cached_features(path, fingerprint):
    if not os.path.exists(path):
        return None
    try:
        about = files.read_json(path + ".json")
    except UserError:
        about = {}
    is_whole = about.get("bytes") == os.path.getsize(path)
    if is_whole and about["fingerprint"] == fingerprint:
        return FeatureFile(path, fingerprint["num_examples"], about["num_cut"])
    former = about.get("fingerprint", {})
    changed = [name for name in fingerprint if former.get(name) != fingerprint[name]]
    reason = "other " + ", ".join(changed) if is_whole else "unfinished"
    training.say("rebuilding the cached features %s: they are stale (%s)", path, reason)
    return None


def _write_features(path, split, task, tokenizer, max_seq_length):
    """Writes the records; returns how many texts were cut."""
    label_ids = {label: number for number, label in enumerate(task.labels)}
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
            label_id = 0 if example.label is None else label_ids[example.label]
            writer.write(_serialized(ids, segments, label_id, is_real_example=1))
    return num_cut


def _serialized(input_ids, segment_ids, label_id, is_real_example):
    def ints(values):
        return tf.train.Feature(int64_list=tf.train.Int64List(value=values))

    features = {
        "input_ids": ints(input_ids),
        "segment_ids": ints(segment_ids),
        "label_ids": ints([label_id]),
        "is_real_example": ints([is_real_example]),
    }
    return tf.train.Example(features=tf.train.Features(feature=features)).SerializeToString()


def _code_version():
    """Fingerprint of the code that makes features."""
    digest = hashlib.sha256()
    for module in (tokenization.__file__, __file__):
        digest.update(files.read_bytes(module))
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
        return _features_of(records, max_seq_length, is_static=use_tpu)

    return input_fn


def eval_input_fn(feature_file, max_seq_length, use_tpu=False):
    """Input of evaluation and prediction: every example once, in the file's order.

    On TPU the last batch is filled up with examples that `is_real_example` marks as none.

    Args and Returns as in `train_input_fn`.
    """

    def input_fn(params):
        batch_size = params["batch_size"]
        records = tf.data.TFRecordDataset(feature_file.path)
        if use_tpu:
            padding = _serialized([0] * max_seq_length, [0] * max_seq_length, 0, is_real_example=0)
            num_missing = -feature_file.num_examples % batch_size
            fillers = tf.data.Dataset.from_tensors(padding).repeat(num_missing)
            records = records.concatenate(fillers)
        records = records.batch(batch_size, drop_remainder=use_tpu)
        return _features_of(records, max_seq_length, is_static=use_tpu)

    return input_fn


def _features_of(batches, max_seq_length, is_static):
    """Parses and pads batches of records: to `max_seq_length`, or as far as the batch needs."""

    def parse(serialized):
        columns = tf.io.parse_example(
            serialized,
            {
                "input_ids": tf.io.VarLenFeature(tf.int64),
                "segment_ids": tf.io.VarLenFeature(tf.int64),
                "label_ids": tf.io.FixedLenFeature([], tf.int64),
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
            "label_ids": tf.cast(columns["label_ids"], tf.int32),  # [B]
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
):
    """The `model_fn` of a classifier for TPUEstimator.

    Args:
        bert_config: `AlbertConfig`.
        num_labels: number of classes.
        init_checkpoint: prefix of the checkpoint that training starts from, or None.
        learning_rate: highest learning rate.
        num_train_steps: steps of the schedule.
        num_warmup_steps: of these, the warm-up.
        use_tpu: bool.
        use_one_hot_embeddings: bool, see `AlbertModel`.
        recompute: bool, see `AlbertModel`.

    Returns:
        function (features, labels, mode, params) -> `TPUEstimatorSpec`.
    """

    def model_fn(features, labels, mode, params):
        del labels, params
        is_training = mode == tf.estimator.ModeKeys.TRAIN
        model = modeling.AlbertModel(
            bert_config,
            is_training,
            features["input_ids"],
            features["input_mask"],
            features["segment_ids"],
            use_one_hot_embeddings,
            recompute=recompute,
        )
        pooled_output = model.get_pooled_output()  # [B, H]
        head = modeling.classification_head(
            bert_config, pooled_output, features["label_ids"], num_labels, is_training
        )
        if is_training:
            train_op = optimization.create_optimizer(
                head.loss, learning_rate, num_train_steps, num_warmup_steps, use_tpu
            )
            return _train_spec(head.loss, train_op, init_checkpoint, use_tpu)
        if mode == tf.estimator.ModeKeys.EVAL:
            return _eval_spec(head, features)
        return tf.estimator.tpu.TPUEstimatorSpec(
            mode, predictions={"probabilities": head.probabilities}
        )

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


def _eval_spec(head, features):
    tensors = [
        head.per_example_loss,
        features["label_ids"],
        head.logits,
        features["is_real_example"],
    ]
    return tf.estimator.tpu.TPUEstimatorSpec(
        tf.estimator.ModeKeys.EVAL, loss=head.loss, eval_metrics=(_eval_metrics, tensors)
    )


def _eval_metrics(per_example_loss, label_ids, logits, is_real_example):
    predictions = tf.argmax(logits, axis=-1, output_type=tf.int32)
    return {
        "eval_accuracy": tf.metrics.accuracy(label_ids, predictions, weights=is_real_example),
        "eval_loss": tf.metrics.mean(per_example_loss, weights=is_real_example),
    }


def accuracy(examples, labels, probabilities):
    """Share of labelled examples whose most probable class is theirs.

    Args:
        examples: list of n `InputExample`.
        labels: the classes' labels.
        probabilities: float array [n, classes].
    """
    gold = [labels.index(example.label) for example in examples]
    return float(np.mean(np.argmax(probabilities, axis=1) == gold))
