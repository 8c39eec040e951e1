"""albert_zh's `optimization_google`: AdamW or LAMB with the settings of Google's programs."""

from typing import TYPE_CHECKING, Optional

from albert_zh.compatibility.lamb_optimizer_google import LAMBOptimizer
from albert_zh.model import optimization
from albert_zh.model.optimization import AdamWeightDecayOptimizer

if TYPE_CHECKING:
    import tensorflow.compat.v1 as tf

__all__ = ["AdamWeightDecayOptimizer", "LAMBOptimizer", "create_optimizer"]


def create_optimizer(
    loss: "tf.Tensor",
    init_lr: float,
    num_train_steps: int,
    num_warmup_steps: Optional[int],
    use_tpu: bool,
    optimizer: str = "adamw",
    poly_power: float = 1.0,
    start_warmup_step: int = 0,
) -> "tf.Operation":
    """Builds the op of one training step.

    Args: as in `model.optimization.create_optimizer`.

    Returns:
        the train op, which also advances `global_step` by one.

    Raises:
        UserError: for an invalid setting.
    """
    return optimization.create_optimizer(
        loss,
        init_lr,
        num_train_steps,
        num_warmup_steps,
        use_tpu,
        optimizer,
        poly_power,
        start_warmup_step,
        layout="google",
    )
