"""albert_zh's `optimization_finetuning`: `create_optimizer` is AdamW here."""

from albert_zh.model.optimization import AdamWeightDecayOptimizer
from albert_zh.model.optimization import create_adamw_optimizer as create_optimizer

__all__ = ["AdamWeightDecayOptimizer", "create_optimizer"]
