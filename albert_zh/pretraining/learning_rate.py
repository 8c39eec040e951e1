"""Chooses a learning rate that fits the batch size."""

import math
from typing import Any

from albert_zh.common.messages import say

_REFERENCE_BATCH = 4096
# Rates that work well at a batch size of 4096 (LAMB: from ALBERT; AdamW: BERT's 1e-4 at 256). They
# are scaled with the square root of the batch size. In both variants of LAMB the rate is relative
# to the norm of a weight, so that NEZHA's LAMB uses ALBERT's rate.
_REFERENCE_RATES = {
    "adamw": 0.0004,
    "lamb": 0.00176,
    "nezha_adamw": 0.0004,
    "nezha_lamb": 0.00176,
}
# A warning is printed for rates above this multiple of the scaled rate. Small models tolerate high
# rates with AdamW: for albert_tiny, 0.0005 works with batches of 32 and 64, whereas 0.001 did not
# with batches of 64 and a short warm-up.
_COLLAPSING_FACTORS = {"adamw": 16, "lamb": 4, "nezha_adamw": 16, "nezha_lamb": 4}


def chosen_rate(options: Any) -> float:
    """Returns the learning rate of the flag, or one that fits the batch size and optimizer.

    A warning is printed if the rate is known to be too high.

    Args:
        options: the flags.

    Returns:
        the learning rate.
    """
    if not options.do_train:
        return options.learning_rate or 1.0
    ratio = math.sqrt(options.train_batch_size / _REFERENCE_BATCH)
    fitting = _REFERENCE_RATES[options.optimizer] * ratio
    if options.learning_rate is None:
        say(
            "learning rate %.3g: %s at a batch of %d, times the square root of %d / %d",
            fitting,
            _REFERENCE_RATES[options.optimizer],
            _REFERENCE_BATCH,
            options.train_batch_size,
            _REFERENCE_BATCH,
        )
        return fitting
    if options.learning_rate > _COLLAPSING_FACTORS[options.optimizer] * fitting:
        say(
            "warning: --learning_rate=%g is known to fail at a batch size of %d (the loss stays "
            "near that of guessing): without the flag, %.3g is used",
            options.learning_rate,
            options.train_batch_size,
            fitting,
        )
    return options.learning_rate
