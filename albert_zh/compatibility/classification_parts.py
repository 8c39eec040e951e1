"""Common parts of albert_zh's `run_classifier` and `run_classifier_sp_google`.

The commands use a faster implementation (`tasks.classification`); arguments, variables and numbers
here are the original's. Letters in shape comments: B batch, F tokens, C classes, H hidden.
"""

from typing import TYPE_CHECKING, Callable, Iterable, List, Optional, Sequence, Tuple, Union

import tensorflow.compat.v1 as tf

from albert_zh.compatibility.classifier_examples import InputExample, PaddingInputExample
from albert_zh.model import modeling, optimization
from albert_zh.model.checkpoints import checkpoint_matching
from albert_zh.tasks.classification import features as task_features
from albert_zh.tasks.classification.features import InputFeatures
from albert_zh.training import length_bucketing
from albert_zh.training.model_spec import ModeKeys, Spec, for_tpu_estimator

if TYPE_CHECKING:
    from albert_zh.text import tokenization

__all__ = [
    "InputFeatures",
    "convert_examples_to_features",
    "convert_single_example",
    "create_model",
    "file_based_convert_examples_to_features",
    "file_based_input_fn_builder",
    "input_fn_builder",
    "model_fn_builder",
]

Example = Union[InputExample, PaddingInputExample]
_SHUFFLE_BUFFER = 100  # records, as in the original
_SEQUENCES = ("input_ids", "input_mask", "segment_ids")


def convert_single_example(
    ex_index: int,
    example: Example,
    label_list: Sequence[str],
    max_seq_length: int,
    tokenizer: "tokenization.FullTokenizer",
) -> InputFeatures:
    """Converts an example to padded features.

    Args:
        ex_index: number of the example; ignored.
        example: `InputExample`, or `PaddingInputExample` for features of zeros.
        label_list: the labels, starting with class 0.
        max_seq_length: length of the lists.
        tokenizer: tokenizer of the vocabulary.

    Returns:
        lists of int [max_seq_length], the label's number, whether the example is real.
    """
    if isinstance(example, PaddingInputExample):
        zeros = [0] * max_seq_length
        return InputFeatures(zeros, list(zeros), list(zeros), 0, is_real_example=False)
    if not (example.text_b and tokenizer.tokenize(example.text_b)):  # empty or only whitespace
        single = (example.guid, example.text_a, None, example.label)
        example = InputExample(*single)
    return task_features.convert_single_example(
        ex_index, example, label_list, max_seq_length, tokenizer
    )


def convert_examples_to_features(
    examples: Iterable[Example],
    label_list: Sequence[str],
    max_seq_length: int,
    tokenizer: "tokenization.FullTokenizer",
) -> List[InputFeatures]:
    """Calls `convert_single_example` for each example."""
    return [
        convert_single_example(index, example, label_list, max_seq_length, tokenizer)
        for index, example in enumerate(examples)
    ]


def file_based_convert_examples_to_features(
    examples: Iterable[Example],
    label_list: Sequence[str],
    max_seq_length: int,
    tokenizer: "tokenization.FullTokenizer",
    output_file: str,
) -> None:
    """Writes examples as a TFRecord file, padded to `max_seq_length`.

    Args:
        examples: examples as for `convert_single_example`.
        label_list: the labels, starting with class 0.
        max_seq_length: length of the sequences.
        tokenizer: tokenizer of the vocabulary.
        output_file: the file, of features `input_ids`, `input_mask`, `segment_ids` (int64
            [max_seq_length]), `label_ids` and `is_real_example` (int64).
    """
    with tf.python_io.TFRecordWriter(output_file) as writer:
        for index, example in enumerate(examples):
            features = convert_single_example(index, example, label_list, max_seq_length, tokenizer)
            writer.write(_record(features))


def _record(features):
    columns = {name: getattr(features, name) for name in _SEQUENCES}
    columns["label_ids"] = [features.label_id]
    columns["is_real_example"] = [int(features.is_real_example)]
    feature = {
        name: tf.train.Feature(int64_list=tf.train.Int64List(value=column))
        for name, column in columns.items()
    }
    return tf.train.Example(features=tf.train.Features(feature=feature)).SerializeToString()


def file_based_input_fn_builder(
    input_file: Union[str, Sequence[str]], seq_length: int, is_training: bool, drop_remainder: bool
) -> Callable:
    """Creates the input function for a file of `file_based_convert_examples_to_features`.

    Args:
        input_file: path of the file, or a list of paths.
        seq_length: the `max_seq_length` of the file.
        is_training: whether to repeat and shuffle the records.
        drop_remainder: whether to drop a smaller last batch.

    Returns:
        function (params) -> `tf.data.Dataset` of dicts of int32 tensors [B, F] and [B]; `params`
        has `batch_size`.
    """
    columns = {name: tf.FixedLenFeature([seq_length], tf.int64) for name in _SEQUENCES}
    for name in ("label_ids", "is_real_example"):
        columns[name] = tf.FixedLenFeature([], tf.int64)

    @length_bucketing.without_translation
    def parse(records):
        parsed = tf.io.parse_example(records, columns)
        return {name: tf.cast(column, tf.int32) for name, column in parsed.items()}

    def input_fn(params):
        records = tf.data.TFRecordDataset(input_file)
        if is_training:
            records = records.repeat().shuffle(_SHUFFLE_BUFFER)
        return records.batch(params["batch_size"], drop_remainder=drop_remainder).map(parse)

    return input_fn


def input_fn_builder(
    features: List[InputFeatures], seq_length: int, is_training: bool, drop_remainder: bool
) -> Callable:
    """The input function for features in memory, otherwise like `file_based_input_fn_builder`."""
    del seq_length
    columns = {name: [getattr(f, name) for f in features] for name in _SEQUENCES}
    columns["label_ids"] = [f.label_id for f in features]

    def input_fn(params):
        rows = tf.data.Dataset.from_tensor_slices(
            {name: tf.constant(column, tf.int32) for name, column in columns.items()}
        )
        if is_training:
            rows = rows.repeat().shuffle(_SHUFFLE_BUFFER)
        return rows.batch(params["batch_size"], drop_remainder=drop_remainder)

    return input_fn


def create_model(
    bert_config: modeling.AlbertConfig,
    is_training: bool,
    input_ids: tf.Tensor,
    input_mask: tf.Tensor,
    segment_ids: tf.Tensor,
    labels: tf.Tensor,
    num_labels: int,
    use_one_hot_embeddings: bool,
) -> Tuple[tf.Tensor, tf.Tensor, tf.Tensor, tf.Tensor]:
    """Classifies the pooled output; variables `bert/...`, `output_weights`, `output_bias`.

    Args:
        bert_config: config of the encoder.
        is_training: whether to apply dropout.
        input_ids, input_mask, segment_ids: int tensors [B, F].
        labels: int tensor [B].
        num_labels: C.
        use_one_hot_embeddings: see `modeling.AlbertModel`.

    Returns:
        (loss [], per_example_loss [B], logits [B, C], probabilities [B, C]).
    """
    model = modeling.AlbertModel(
        bert_config, is_training, input_ids, input_mask, segment_ids, use_one_hot_embeddings
    )
    head = modeling.classification_head(
        bert_config, model.get_pooled_output(), labels, num_labels, is_training
    )
    return head.loss, head.per_example_loss, head.logits, head.probabilities


# long: the arguments and the model_fn of albert_zh's interface
def model_fn_builder(
    bert_config: modeling.AlbertConfig,
    num_labels: int,
    init_checkpoint: Optional[str],
    learning_rate: float,
    num_train_steps: Optional[int],
    num_warmup_steps: Optional[int],
    use_tpu: bool,
    use_one_hot_embeddings: bool,
) -> Callable:
    """Creates a classifier's `model_fn` for TPUEstimator: AdamW, `eval_accuracy`, `eval_loss`.

    Args:
        bert_config: config of the encoder.
        num_labels: number of classes.
        init_checkpoint: prefix of the checkpoint to initialize the encoder from, or None.
        learning_rate: maximum learning rate.
        num_train_steps: number of steps of the schedule; None without training.
        num_warmup_steps: number of these that are warm-up steps.
        use_tpu: whether to sum gradients over a TPU's cores.
        use_one_hot_embeddings: see `modeling.AlbertModel`.

    Returns:
        function (features, labels, mode, params) -> `TPUEstimatorSpec`; it predicts `probabilities`
        [B, C] and `predictions` [B], the most probable classes.
    """

    def model_fn(features, labels, mode, params):
        del labels, params
        inputs = [features[name] for name in _SEQUENCES]
        loss, example_loss, logits, probabilities = create_model(
            bert_config,
            mode == ModeKeys.TRAIN,
            *inputs,
            features["label_ids"],
            num_labels,
            use_one_hot_embeddings,
        )
        scaffold_fn = None
        if init_checkpoint:
            variables = tf.trainable_variables()
            _, scaffold_fn = checkpoint_matching.initialize_from(
                init_checkpoint, variables, use_tpu
            )
        settings = {}
        if mode == ModeKeys.TRAIN:
            train_op = optimization.create_adamw_optimizer(
                loss, learning_rate, num_train_steps, num_warmup_steps, use_tpu
            )
            settings = {"loss": loss, "train_op": train_op}
        elif mode == ModeKeys.EVAL:
            metrics = (_metrics, [example_loss, logits, features["label_ids"], _is_real(features)])
            settings = {"loss": loss, "eval_metrics": metrics}
        else:
            predicted = tf.argmax(logits, axis=-1, output_type=tf.int32)
            settings = {"predictions": {"probabilities": probabilities, "predictions": predicted}}
        return Spec(mode, scaffold_fn=scaffold_fn, **settings)

    return for_tpu_estimator(model_fn)


def _is_real(features):
    """Float tensor [B], 0 for padding examples that only fill a batch."""
    if "is_real_example" in features:
        return tf.cast(features["is_real_example"], tf.float32)
    return tf.ones_like(features["label_ids"], tf.float32)


def _metrics(example_loss, logits, label_ids, is_real):
    predictions = tf.argmax(logits, axis=-1, output_type=tf.int32)
    return {
        "eval_accuracy": tf.metrics.accuracy(label_ids, predictions, is_real),
        "eval_loss": tf.metrics.mean(example_loss, is_real),
    }
