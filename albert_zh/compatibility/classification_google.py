"""albert_zh's `run_classifier_sp_google` for importing programs.

Like `compatibility.classification`, except for argument names and the results of `create_model`.
"""

from typing import TYPE_CHECKING, Callable, Optional, Tuple

import tensorflow.compat.v1 as tf

from albert_zh.compatibility import classification_parts, classifier_utils
from albert_zh.compatibility.classification_parts import *  # noqa: F403
from albert_zh.compatibility.classifier_utils import *  # noqa: F403

if TYPE_CHECKING:
    from albert_zh.model.config import AlbertConfig

__all__ = [*classifier_utils.__all__, *classification_parts.__all__]


def create_model(
    albert_config: "AlbertConfig",
    is_training: bool,
    input_ids: tf.Tensor,
    input_mask: tf.Tensor,
    segment_ids: tf.Tensor,
    labels: tf.Tensor,
    num_labels: int,
    use_one_hot_embeddings: bool,
) -> Tuple[tf.Tensor, tf.Tensor, tf.Tensor, tf.Tensor]:
    """A classifier on the pooled output.

    Args: as in `compatibility.classification.create_model`.

    Returns:
        (loss [], per_example_loss [B], probabilities [B, C], predictions [B]).
    """
    loss, per_example_loss, logits, probabilities = classification_parts.create_model(
        albert_config,
        is_training,
        input_ids,
        input_mask,
        segment_ids,
        labels,
        num_labels,
        use_one_hot_embeddings,
    )
    predictions = tf.argmax(logits, axis=-1, output_type=tf.int32)
    return loss, per_example_loss, probabilities, predictions


def model_fn_builder(
    albert_config: "AlbertConfig",
    num_labels: int,
    init_checkpoint: Optional[str],
    learning_rate: float,
    num_train_steps: Optional[int],
    num_warmup_steps: Optional[int],
    use_tpu: bool,
    use_one_hot_embeddings: bool,
) -> Callable:
    """Like `compatibility.classification.model_fn_builder`."""
    return classification_parts.model_fn_builder(
        albert_config,
        num_labels,
        init_checkpoint,
        learning_rate,
        num_train_steps,
        num_warmup_steps,
        use_tpu,
        use_one_hot_embeddings,
    )
