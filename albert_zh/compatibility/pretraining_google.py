"""albert_zh's `run_pretraining_google` for importing programs.

Like `compatibility.pretraining`, except for the arguments of two functions.
"""

from typing import TYPE_CHECKING, Callable, Optional, Tuple

from albert_zh.compatibility import pretraining_parts
from albert_zh.compatibility.pretraining_parts import *  # noqa: F403
from albert_zh.pretraining import model_fn as pretraining_model_fn
from albert_zh.training.model_spec import for_tpu_estimator

if TYPE_CHECKING:
    import tensorflow.compat.v1 as tf

    from albert_zh.model.config import AlbertConfig

__all__ = [*pretraining_parts.__all__, "model_fn_builder"]


def get_masked_lm_output(
    albert_config: "AlbertConfig",
    input_tensor: "tf.Tensor",
    output_weights: "tf.Variable",
    positions: "tf.Tensor",
    label_ids: "tf.Tensor",
    label_weights: "tf.Tensor",
) -> Tuple["tf.Tensor", "tf.Tensor", "tf.Tensor"]:
    """Predicts masked words, like `compatibility.pretraining.get_masked_lm_output`."""
    return pretraining_parts.get_masked_lm_output(
        albert_config, input_tensor, output_weights, None, positions, label_ids, label_weights
    )


def get_sentence_order_output(
    albert_config: "AlbertConfig", input_tensor: "tf.Tensor", labels: "tf.Tensor"
) -> Tuple["tf.Tensor", "tf.Tensor", "tf.Tensor"]:
    """Like `compatibility.pretraining.get_next_sentence_output`."""
    return pretraining_parts.get_next_sentence_output(albert_config, input_tensor, labels)


def model_fn_builder(
    albert_config: "AlbertConfig",
    init_checkpoint: Optional[str],
    learning_rate: float,
    num_train_steps: int,
    num_warmup_steps: int,
    use_tpu: bool,
    use_one_hot_embeddings: bool,
    optimizer: str = "adamw",
    poly_power: float = 1.0,
    start_warmup_step: int = 0,
) -> Callable:
    """Like `compatibility.pretraining.model_fn_builder`, with the named optimizer.

    Args:
        optimizer: "adamw" or "lamb".
        poly_power: power of the learning rate decay.
        start_warmup_step: step at which warm-up starts.
        Others: as in `model_fn_builder` of that module.
    """
    del use_one_hot_embeddings
    settings = pretraining_parts.model_settings(
        learning_rate,
        num_train_steps,
        num_warmup_steps,
        use_tpu,
        "sentence_order",
        optimizer,
        poly_power,
        start_warmup_step,
    )
    model_fn = pretraining_model_fn.model_fn_builder(albert_config, settings, init_checkpoint)
    return for_tpu_estimator(model_fn)
