"""albert_zh's `optimization_finetuning`, in which `create_optimizer` builds AdamW."""

from albert_zh.model.optimization import AdamWeightDecayOptimizer
from albert_zh.model.optimization import create_adamw_optimizer as create_optimizer

__all__ = ["AdamWeightDecayOptimizer", "create_optimizer"]
