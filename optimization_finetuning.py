"""AdamW for fine-tuning. Code: albert_zh/compatibility/optimization_finetuning.py"""

from albert_zh.compatibility.optimization_finetuning import *  # noqa: F403
