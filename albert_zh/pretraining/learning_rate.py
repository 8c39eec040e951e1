"""Which learning rate fits a batch."""

import math
from typing import Any

from albert_zh.common.messages import say

_REFERENCE_BATCH = 4096
# Rates that were found good at a batch of 4096 (LAMB: ALBERT's; AdamW: BERT's 1e-4 at 256); the
# rate for another batch is that times the square root of the batches' ratio. In both LAMBs the rate
# is a step's share of a weight's norm, so that NEZHA's takes ALBERT's rate.
_REFERENCE_RATES = {
    "adamw": 0.0004,
    "lamb": 0.00176,
    "nezha_adamw": 0.0004,
    "nezha_lamb": 0.00176,
}
# A rate so many times the scaled one is warned of. Small models bear much with AdamW: for
# albert_tiny, 0.0005 is fine at batches of 32 and 64; 0.001 at 64 after a short warm-up was not.
_COLLAPSING_FACTORS = {"adamw": 16, "lamb": 4, "nezha_adamw": 16, "nezha_lamb": 4}


def chosen_rate(options: Any) -> float:
    """The learning rate of the flag, or one that fits batch and optimizer.

    Args:
        options: the flags.

    Returns:
        a rate; one that is known to be too high is warned of.
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
            "warning: --learning_rate=%g is known to make the loss collapse at a batch of "
            "%d (it stays near that of guessing): %.3g fits, as chosen without the flag",
            options.learning_rate,
            options.train_batch_size,
            fitting,
        )
    return options.learning_rate
