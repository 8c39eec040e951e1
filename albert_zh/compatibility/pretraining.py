"""albert_zh's `run_pretraining` for importing programs: input functions, losses, `model_fn`.

loss, example_loss, log_probs = get_masked_lm_output(
config, model.get_sequence_output(), model.get_embedding_table(),
model.get_embedding_table_2(), positions, ids, weights)
"""

from typing import TYPE_CHECKING, Callable, Optional

from albert_zh.compatibility import pretraining_parts
from albert_zh.compatibility.pretraining_parts import *  # noqa: F403
from albert_zh.pretraining import model_fn as pretraining_model_fn
from albert_zh.training.model_spec import for_tpu_estimator

if TYPE_CHECKING:
    from albert_zh.model.config import AlbertConfig

__all__ = [*pretraining_parts.__all__, "model_fn_builder"]


def model_fn_builder(
    bert_config: "AlbertConfig",
    init_checkpoint: Optional[str],
    learning_rate: float,
    num_train_steps: int,
    num_warmup_steps: int,
    use_tpu: bool,
    use_one_hot_embeddings: bool,
) -> Callable:
    """Creates the `model_fn` of pre-training for TPUEstimator, with LAMB.

    Args:
        bert_config: config of the model.
        init_checkpoint: prefix of the checkpoint to initialize the model from, or None.
        learning_rate: maximum learning rate.
        num_train_steps: number of steps of the schedule.
        num_warmup_steps: number of these that are warm-up steps.
        use_tpu: whether the program runs on a TPU.
        use_one_hot_embeddings: ignored: words are looked up in the faster way, with equal results.

    Returns:
        function (features, labels, mode, params) -> `TPUEstimatorSpec`; its metrics are those of
        `eval_results.txt`.
    """
    del use_one_hot_embeddings
    settings = pretraining_parts.model_settings(
        learning_rate, num_train_steps, num_warmup_steps, use_tpu, sentence_name="next_sentence"
    )
    model_fn = pretraining_model_fn.model_fn_builder(bert_config, settings, init_checkpoint)
    return for_tpu_estimator(model_fn)
