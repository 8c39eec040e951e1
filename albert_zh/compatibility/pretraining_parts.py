"""Common parts of albert_zh's `run_pretraining` and `run_pretraining_google`.

Letters in shape comments: B batch, F tokens, P masked positions, E embedding, H hidden,
V vocabulary.
"""

from typing import TYPE_CHECKING, Callable, List, Optional, Tuple

import tensorflow.compat.v1 as tf

from albert_zh.model import heads
from albert_zh.model.layers import gather_positions
from albert_zh.pretraining.model_settings import ModelSettings
from albert_zh.training import length_bucketing

if TYPE_CHECKING:
    from albert_zh.model.config import AlbertConfig

__all__ = [
    "gather_indexes",
    "get_masked_lm_output",
    "get_next_sentence_output",
    "get_sentence_order_output",
    "input_fn_builder",
]

_SHUFFLE_BUFFER = 100  # records, as in the original


def gather_indexes(sequence_tensor: tf.Tensor, positions: tf.Tensor) -> tf.Tensor:
    """Gathers rows of sequences: float [B, F, H] at int [B, P] -> [B * P, H]."""
    return gather_positions(sequence_tensor, positions)


def get_masked_lm_output(
    bert_config: "AlbertConfig",
    input_tensor: tf.Tensor,
    output_weights: tf.Variable,
    project_weights: Optional[tf.Variable],
    positions: tf.Tensor,
    label_ids: tf.Tensor,
    label_weights: tf.Tensor,
) -> Tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
    """Predicts masked words; variables under `cls/predictions`.

    Args:
        bert_config: config of the model.
        input_tensor: float tensor [B, F, H], the encoder's output.
        output_weights: float [V, E], the word table.
        project_weights: float [E, H], the second word table; None for Google's layouts.
        positions: int tensor [B, P], the masked positions.
        label_ids: int tensor [B, P], the original words at these positions.
        label_weights: float tensor [B, P], 0 for unused predictions.

    Returns:
        (loss [], per_example_loss [B * P], log_probs [B * P, V]).
    """
    rows = gather_indexes(input_tensor, positions)
    output = heads.masked_lm_output(
        bert_config, rows, output_weights, project_weights, label_ids, label_weights
    )
    return output.loss, output.per_example_loss, output.log_probs


def get_next_sentence_output(
    bert_config: "AlbertConfig", input_tensor: tf.Tensor, labels: tf.Tensor
) -> Tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
    """Predicts whether segments were swapped; variables under `cls/seq_relationship`.

    Args:
        bert_config: config of the model.
        input_tensor: float tensor [B, H], the pooled output.
        labels: int tensor [B] or [B, 1], 1 if swapped.

    Returns:
        (loss [], per_example_loss [B], log_probs [B, 2]).
    """
    output = heads.sentence_order_head(bert_config, input_tensor, labels)
    return output.loss, output.per_example_loss, output.log_probs


get_sentence_order_output = get_next_sentence_output


def model_settings(
    learning_rate: float,
    num_train_steps: int,
    num_warmup_steps: int,
    use_tpu: bool,
    sentence_name: str,
    optimizer: str = "lamb",
    poly_power: float = 1.0,
    start_warmup_step: int = 0,
) -> ModelSettings:
    """The settings of ordinary pre-training."""
    return ModelSettings(
        learning_rate=learning_rate,
        num_train_steps=num_train_steps,
        num_warmup_steps=num_warmup_steps,
        optimizer=optimizer,
        poly_power=poly_power,
        start_warmup_step=start_warmup_step,
        gradient_accumulation_steps=1,
        precision="float32",
        recompute=False,
        plain=False,
        skip_nan_steps=False,
        use_tpu=use_tpu,
        replaced_token_weight=0.0,
        sentence_name=sentence_name,
    )


def input_fn_builder(
    input_files: List[str],
    max_seq_length: int,
    max_predictions_per_seq: int,
    is_training: bool,
    num_cpu_threads: int = 4,
) -> Callable:
    """Creates the input function for records of `create_pretraining_data.py`, repeated endlessly.

    Args:
        input_files: TFRecord files.
        max_seq_length: F.
        max_predictions_per_seq: P.
        is_training: whether to shuffle files and records.
        num_cpu_threads: number of files to read, and of batches to parse, concurrently.

    Returns:
        function (params) -> `tf.data.Dataset` of dicts of [B, F], [B, P] and [B, 1], int32 except
        `masked_lm_weights`; `params` has `batch_size`.
    """
    sizes = dict.fromkeys(["input_ids", "input_mask", "segment_ids"], max_seq_length)
    sizes.update(dict.fromkeys(["masked_lm_positions", "masked_lm_ids"], max_predictions_per_seq))
    sizes["next_sentence_labels"] = 1
    columns = {name: tf.FixedLenFeature([size], tf.int64) for name, size in sizes.items()}
    columns["masked_lm_weights"] = tf.FixedLenFeature([max_predictions_per_seq], tf.float32)

    @length_bucketing.without_translation
    def parse(records):
        parsed = tf.io.parse_example(records, columns)
        return {
            name: feature if feature.dtype == tf.float32 else tf.cast(feature, tf.int32)
            for name, feature in parsed.items()
        }

    def input_fn(params):
        if is_training:
            names = tf.data.Dataset.from_tensor_slices(list(input_files)).repeat()
            records = names.shuffle(len(input_files)).interleave(
                tf.data.TFRecordDataset, cycle_length=min(num_cpu_threads, len(input_files))
            )
            records = records.shuffle(_SHUFFLE_BUFFER)
        else:
            records = tf.data.TFRecordDataset(list(input_files)).repeat()
        batches = records.batch(params["batch_size"], drop_remainder=True)
        return batches.map(parse, num_parallel_calls=num_cpu_threads)

    return input_fn
