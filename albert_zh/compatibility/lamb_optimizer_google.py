"""albert_zh's `lamb_optimizer_google`: LAMB as in Google's programs."""

from typing import Any, Optional, Sequence

from albert_zh.model import optimization

__all__ = ["LAMBOptimizer"]


class LAMBOptimizer(optimization.LAMBOptimizer):
    """LAMB without a trust ratio for variables without decay; slots `adam_m` and `adam_v`."""

    def __init__(
        self,
        learning_rate: Any,
        weight_decay_rate: Any = optimization.WEIGHT_DECAY_RATE,
        beta_1: float = optimization.BETA_1,
        beta_2: float = optimization.BETA_2,
        epsilon: float = optimization.EPSILON,
        exclude_from_weight_decay: Optional[Sequence[str]] = None,
        exclude_from_layer_adaptation: Optional[Sequence[str]] = None,
        name: str = "LAMBOptimizer",
    ) -> None:
        """Sets up the optimizer.

        Args:
            exclude_from_layer_adaptation: as in `model.optimization.LAMBOptimizer`; default: the
                variables of `exclude_from_weight_decay`.
            Others: as in `model.optimization.LAMBOptimizer`.
        """
        super().__init__(
            learning_rate,
            weight_decay_rate,
            beta_1,
            beta_2,
            epsilon,
            exclude_from_weight_decay,
            exclude_from_layer_adaptation or exclude_from_weight_decay,
            optimization.ADAM_SLOTS,
            name=name,
        )
