"""Learning-rate schedule: linear warm-up, then polynomial decay."""

from typing import Any, NamedTuple, Optional

import tensorflow.compat.v1 as tf

from albert_zh.common.errors import UserError


class Schedule(NamedTuple):
    """The learning rate by step, see `learning_rate`."""

    learning_rate: float  # the peak rate
    num_train_steps: int
    num_warmup_steps: Optional[int] = 0
    poly_power: float = 1.0
    start_warmup_step: int = 0


def learning_rate(
    init_lr: float,
    num_train_steps: int,
    num_warmup_steps: Optional[int],
    global_step: Any,
    power: float = 1.0,
    start_warmup_step: int = 0,
    meets_warmup: bool = False,
) -> tf.Tensor:
    """The learning rate at a step: linear warm-up to `init_lr`, then polynomial decay to 0.

    Both are counted from step 0, so the rate drops from `init_lr` to the decay curve when the
    warm-up ends. Before `start_warmup_step` the rate is negative: that setting is for runs that
    begin there.

    Args:
        init_lr: float, the peak learning rate.
        num_train_steps: int, the step from which the rate is 0.
        num_warmup_steps: int, number of warm-up steps; 0 or None for no warm-up.
        global_step: int scalar: tensor, variable or number.
        power: float, power of the decay.
        start_warmup_step: int, the step at which warm-up begins.
        meets_warmup: bool, whether the decay is scaled to begin at `init_lr` when the warm-up ends,
            as in NEZHA.

    Returns:
        float32 scalar tensor.

    Raises:
        UserError: for an invalid setting.
    """
    num_warmup_steps = num_warmup_steps or 0
    _check_at_least("learning_rate", init_lr, 0)
    _check_at_least("num_train_steps", num_train_steps, 1)
    _check_at_least("num_warmup_steps", num_warmup_steps, 0)
    _check_at_least("poly_power", power, 0)
    _check_at_least("start_warmup_step", start_warmup_step, 0)
    step = tf.cast(tf.convert_to_tensor(global_step), tf.float32)
    remaining = 1.0 - tf.minimum(step, num_train_steps) / num_train_steps
    decayed = init_lr * tf.pow(remaining, power)
    if not num_warmup_steps:
        return decayed
    if meets_warmup and num_warmup_steps < num_train_steps:
        decayed /= (1.0 - num_warmup_steps / num_train_steps) ** power
    warmup_step = step - start_warmup_step
    rising = init_lr * warmup_step / num_warmup_steps
    return tf.where(warmup_step < num_warmup_steps, rising, decayed)


def _check_at_least(flag, setting, minimum):
    if not setting >= minimum:  # so that NaN is refused too
        raise UserError("--%s=%s: expected at least %s" % (flag, setting, minimum))
