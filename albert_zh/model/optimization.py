"""Builds train ops: learning-rate schedule, LAMB (pre-training) and AdamW (fine-tuning).

    train_op = create_optimizer(loss, init_lr=1e-4, num_train_steps=1000, num_warmup_steps=100,
                                use_tpu=False)

`create_optimizer` uses LAMB, as in albert_zh; `create_adamw_optimizer` uses AdamW.

One run of the train op updates the weights with the learning rate of the current `global_step` and
then advances `global_step` by one. Both optimizers omit Adam's bias correction, as BERT does.
"""

import re
from typing import Any, Callable, List, Mapping, NamedTuple, Optional, Sequence, Tuple

import tensorflow.compat.v1 as tf

from albert_zh.common.errors import UserError
from albert_zh.model import xla
from albert_zh.model.gradients import (
    accumulated_gradients,
    clipped_over_replicas,
    mean_over_replicas,
    num_replicas,
    sum_over_replicas,
)
from albert_zh.model.schedule import Schedule, learning_rate
from albert_zh.model.variables import variable_name

__all__ = [
    "ADAM_SLOTS",
    "AdamWeightDecayOptimizer",
    "BETA_1",
    "BETA_2",
    "CLIP_NORM",
    "COMPILED_FROM",
    "EPSILON",
    "EXCLUDE_FROM_WEIGHT_DECAY",
    "LAMBOptimizer",
    "LAMB_SLOTS",
    "OPTIMIZERS",
    "Schedule",
    "TrainStep",
    "WEIGHT_DECAY_RATE",
    "accumulated_gradients",
    "assemble_train_step",
    "create_adamw_optimizer",
    "create_optimizer",
    "learning_rate",
    "make_optimizer",
    "mean_over_replicas",
    "num_replicas",
    "sum_over_replicas",
]

CLIP_NORM = 1.0
WEIGHT_DECAY_RATE = 0.01
BETA_1 = 0.9
BETA_2 = 0.999
EPSILON = 1e-6
EXCLUDE_FROM_WEIGHT_DECAY = ("LayerNorm", "layer_norm", "bias")

COMPILED_FROM = 1000000  # values in a variable; smaller variables are not worth compiling for

ADAM_SLOTS = ("adam_m", "adam_v")
LAMB_SLOTS = ("lamb_m", "lamb_v")

# LAMB of the two families of programs: brightmart's adapts the rate of every variable, Google's
# only of variables with weight decay; the moments have different names in their checkpoints.
_BRIGHTMART_LAMB = {"exclude_from_layer_adaptation": (), "slot_names": LAMB_SLOTS}
_GOOGLE_LAMB = {
    "exclude_from_layer_adaptation": EXCLUDE_FROM_WEIGHT_DECAY,
    "slot_names": ADAM_SLOTS,
}
_HIGHEST_TRUST_RATIO = 10.0  # as in NEZHA
_LAMB_OF_LAYOUT = {
    "brightmart": _BRIGHTMART_LAMB,
    "bert": _BRIGHTMART_LAMB,
    "nezha": _BRIGHTMART_LAMB,
    "google": _GOOGLE_LAMB,
    "google_fast": _GOOGLE_LAMB,
    "electra": _GOOGLE_LAMB,
}


def create_optimizer(
    loss: tf.Tensor,
    init_lr: float,
    num_train_steps: int,
    num_warmup_steps: Optional[int],
    use_tpu: bool,
    optimizer: str = "lamb",
    poly_power: float = 1.0,
    start_warmup_step: int = 0,
    layout: str = "brightmart",
    is_compiled: bool = False,
) -> tf.Operation:
    """Builds the op of one training step; the default is albert_zh's pre-training with LAMB.

    Args:
        loss: float scalar tensor.
        init_lr: float, the peak learning rate.
        num_train_steps: int, the step at which the rate has decayed to 0.
        num_warmup_steps: int, number of warm-up steps; 0 or None for no warm-up.
        use_tpu: bool, whether gradients are summed over a TPU's cores.
        optimizer: "lamb" or "adamw".
        poly_power: float, power of the decay; 1 is linear.
        start_warmup_step: int, the step at which warm-up begins.
        layout: the model's layout, `AlbertConfig.layout`; it determines the variant of LAMB.
        is_compiled: bool, see `AdamWeightDecayOptimizer`.

    Returns:
        the train op, which also advances `global_step` by exactly one.

    Raises:
        UserError: for an invalid setting.
    """
    schedule = Schedule(init_lr, num_train_steps, num_warmup_steps, poly_power, start_warmup_step)
    return assemble_train_step(
        lambda chosen: chosen.compute_gradients(loss),
        schedule,
        optimizer,
        layout,
        use_tpu,
        is_compiled=is_compiled,
    ).op


def create_adamw_optimizer(
    loss: tf.Tensor,
    init_lr: float,
    num_train_steps: int,
    num_warmup_steps: Optional[int],
    use_tpu: bool,
    **schedule: Any,
) -> tf.Operation:
    """Builds the op of one fine-tuning step with AdamW; otherwise as `create_optimizer`."""
    return create_optimizer(
        loss, init_lr, num_train_steps, num_warmup_steps, use_tpu, optimizer="adamw", **schedule
    )


class TrainStep(NamedTuple):
    """The parts of one training step."""

    op: tf.Operation  # changes the weights and advances `global_step` by exactly one
    rate: tf.Tensor  # float32 scalar, the learning rate of the step
    optimizer: tf.train.Optimizer  # `AdamWeightDecayOptimizer`, even if a TPU's wraps it


def assemble_train_step(
    gradients: Callable[[tf.train.Optimizer], List[tuple]],
    schedule: Schedule,
    optimizer: str = "lamb",
    layout: str = "brightmart",
    use_tpu: bool = False,
    **options: Any,
) -> TrainStep:
    """Builds a training step: gradients, learning rate, update of the weights, step count.

    Args:
        gradients: function (optimizer that applies the gradients) -> [(gradient, variable)]; it
            receives the optimizer because a TPU's `CrossShardOptimizer` has another
            `compute_gradients`.
        schedule: the learning rate by step.
        optimizer: a key of `OPTIMIZERS`.
        layout: the model's layout, which determines the variant of LAMB.
        use_tpu: whether gradients are summed over a TPU's cores.
        **options: further arguments of the optimizer: `is_compiled`, `rate_scales`,
            `skips_nonfinite`, `weight_decay_rate`.

    Raises:
        UserError: for an invalid setting.
    """
    global_step = tf.train.get_or_create_global_step()
    rate = _rate(optimizer, schedule, global_step)
    inner = make_optimizer(optimizer, layout, rate, **options)
    outer = tf.tpu.CrossShardOptimizer(inner) if use_tpu else inner
    # `global_step` advances after all updates, each of which waits for the learning rate: the rate
    # is always computed from the value before the increment.
    train_op = outer.apply_gradients(gradients(outer), global_step=global_step)
    return TrainStep(train_op, rate, inner)


def _rate(optimizer, schedule, global_step):
    """The learning rate of a step; NEZHA uses the rate of the next step, see its LAMB."""
    if optimizer in _NEZHA_OPTIMIZERS:
        return learning_rate(*schedule[:3], global_step + 1, *schedule[3:], meets_warmup=True)
    return learning_rate(*schedule[:3], global_step, *schedule[3:])


class AdamWeightDecayOptimizer(tf.train.Optimizer):
    """Adam with decoupled weight decay and without bias correction."""

    def __init__(
        self,
        learning_rate: Any,
        weight_decay_rate: Any = 0.0,
        beta_1: float = BETA_1,
        beta_2: float = BETA_2,
        epsilon: float = EPSILON,
        exclude_from_weight_decay: Optional[Sequence[str]] = None,
        slot_names: Sequence[str] = ADAM_SLOTS,
        clip_norm: Optional[float] = None,
        use_locking: bool = False,
        name: str = "AdamWeightDecayOptimizer",
        skips_nonfinite: bool = False,
        is_compiled: bool = False,
        rate_scales: Optional[Mapping[str, float]] = None,
    ) -> None:
        """Sets up the optimizer.

        Args:
            learning_rate: float or float scalar tensor.
            weight_decay_rate: float or float scalar tensor; each step subtracts this fraction of
                a weight, times the learning rate.
            beta_1: float, decay of the mean of gradients.
            beta_2: float, decay of the mean of squared gradients.
            epsilon: float, added to the denominator.
            exclude_from_weight_decay: regular expressions, searched in variable names; None for no
                exclusion.
            slot_names: names of the two means in checkpoints, below the variable's name.
            clip_norm: float, global norm that gradients are clipped to; None for no clipping.
            use_locking: bool, whether updates lock their variable.
            name: name of the ops.
            skips_nonfinite: bool, whether to skip the update of weights and slots if the gradient
                norm is not finite.
            is_compiled: bool, whether XLA fuses the update of a large variable into one pass over
                memory if that pays off.
            rate_scales: {variable name: factor of its learning rate}; 1 for other variables.
        """
        super().__init__(use_locking, name)
        self.learning_rate = learning_rate
        self.weight_decay_rate = weight_decay_rate
        self.beta_1 = beta_1
        self.beta_2 = beta_2
        self.epsilon = epsilon
        self.exclude_from_weight_decay = exclude_from_weight_decay or ()
        self._slot_names = tuple(slot_names)
        self._clip_norm = clip_norm
        self.skips_nonfinite = skips_nonfinite
        self.is_compiled = is_compiled
        self._rate_scales = rate_scales or {}
        self.gradient_norm = None
        self.trust_ratios = {}

    def apply_gradients(
        self,
        grads_and_vars: Sequence[Tuple[Any, Any]],
        global_step: Any = None,
        name: Optional[str] = None,
    ) -> tf.Operation:
        """Clips the gradients, then applies them as `tf.train.Optimizer` does.

        Gradients must be clipped here and not earlier: on TPU, the wrapper of this optimizer calls
        it with the sum over the devices. As in the original, a row that a batch looks up twice
        counts twice in the norm (`IndexedSlices` are clipped before they are summed).

        The norm before clipping is saved in `gradient_norm`.
        """
        if self._clip_norm is not None:
            grads, variables = zip(*grads_and_vars)
            clipped, self.gradient_norm = clipped_over_replicas(grads, self._clip_norm)
            grads_and_vars = list(zip(clipped, variables))
        return super().apply_gradients(grads_and_vars, global_step, name)

    def _create_slots(self, var_list):
        for var in var_list:
            for slot_name in self._slot_names:
                self._zeros_slot(var, slot_name, slot_name)

    def _apply_dense(self, grad, var):
        return self._updated(var, grad)

    def _resource_apply_dense(self, grad, handle):
        return self._updated(handle, grad)

    def _apply_sparse(self, grad, var):
        return self._updated(var, _dense_gradient(grad.values, grad.indices, var))

    def _resource_apply_sparse(self, grad, handle, indices):
        return self._updated(handle, _dense_gradient(grad, indices, handle))

    def _updated(self, var, grad):
        """The op that updates a variable and its slots with a dense gradient."""
        # Ops that do not need the gradient wait for it, too: otherwise their results would stay in
        # memory for the whole step.
        with tf.control_dependencies([grad]):
            return self._updated_now(var, grad)

    def _updated_now(self, var, grad):
        mean, mean_of_squares = (self.get_slot(var, name) for name in self._slot_names)
        is_decayed = not _is_matched(var, self.exclude_from_weight_decay)

        def moved(var, grad, mean, mean_of_squares):
            mean = self.beta_1 * mean + (1.0 - self.beta_1) * grad
            mean_of_squares = self.beta_2 * mean_of_squares + (1.0 - self.beta_2) * grad * grad
            update = self._direction(mean, mean_of_squares)
            if is_decayed:
                update += self.weight_decay_rate * var
            return mean, mean_of_squares, update

        if self.is_compiled and var.shape.num_elements() >= COMPILED_FROM:
            moved = xla.one_pass(moved)
        before = [tf.convert_to_tensor(x) for x in (var, grad, mean, mean_of_squares)]
        next_mean, next_mean_of_squares, update = moved(*before)
        scale = self._scale(var, update, before[1], next_mean, next_mean_of_squares)
        if variable_name(var) in self._rate_scales:
            scale = self._rate_scales[variable_name(var)] * scale
        scale = tf.cast(self.learning_rate, update.dtype) * scale
        step = scale * update
        if self.skips_nonfinite:
            is_finite = tf.is_finite(self.gradient_norm)
            step = tf.where_v2(is_finite, step, tf.zeros_like(step))
            next_mean = tf.where_v2(is_finite, next_mean, mean)
            next_mean_of_squares = tf.where_v2(is_finite, next_mean_of_squares, mean_of_squares)
        return tf.group(
            tf.assign_sub(var, step, use_locking=self._use_locking),
            tf.assign(mean, next_mean, use_locking=self._use_locking),
            tf.assign(mean_of_squares, next_mean_of_squares, use_locking=self._use_locking),
        )

    def _direction(self, mean, mean_of_squares):
        """The update computed from the means, before weight decay and learning rate."""
        return mean / (tf.sqrt(mean_of_squares) + self.epsilon)

    def _scale(self, var, update, grad, mean, mean_of_squares):
        """The factor of a variable's learning rate (LAMB's trust ratio)."""
        del var, update, grad, mean, mean_of_squares
        return 1.0


class LAMBOptimizer(AdamWeightDecayOptimizer):
    """LAMB (You et al., 2019): AdamW whose update is scaled to the norm of the variable."""

    def __init__(
        self,
        learning_rate: Any,
        weight_decay_rate: Any = WEIGHT_DECAY_RATE,
        beta_1: float = BETA_1,
        beta_2: float = BETA_2,
        epsilon: float = EPSILON,
        exclude_from_weight_decay: Optional[Sequence[str]] = None,
        exclude_from_layer_adaptation: Optional[Sequence[str]] = None,
        slot_names: Sequence[str] = LAMB_SLOTS,
        clip_norm: Optional[float] = None,
        use_locking: bool = False,
        name: str = "LAMBOptimizer",
        **options: Any,
    ) -> None:
        """Sets up the optimizer; arguments as in `AdamWeightDecayOptimizer`, plus one.

        Args:
            exclude_from_layer_adaptation: regular expressions, searched in variable names; matching
                variables are updated as by AdamW. None for no exclusion.
        """
        super().__init__(
            learning_rate,
            weight_decay_rate,
            beta_1,
            beta_2,
            epsilon,
            exclude_from_weight_decay,
            slot_names,
            clip_norm,
            use_locking,
            name,
            **options,
        )
        self.exclude_from_layer_adaptation = exclude_from_layer_adaptation or ()

    def _scale(self, var, update, grad, mean, mean_of_squares):
        del grad, mean, mean_of_squares
        if _is_matched(var, self.exclude_from_layer_adaptation):
            return 1.0
        weight_norm, update_norm = _norm(var), _norm(update)
        is_defined = tf.logical_and(weight_norm > 0.0, update_norm > 0.0)
        trust_ratio = tf.where(is_defined, weight_norm / update_norm, tf.ones_like(weight_norm))
        self.trust_ratios[var.op.name] = trust_ratio
        return trust_ratio


class NezhaLAMBOptimizer(AdamWeightDecayOptimizer):
    """LAMB as implemented by NEZHA: bias-corrected means, a trust ratio of at most 10.

    The trust ratio divides by the norm of `m / sqrt(v + epsilon) + decay * w`, which includes the
    decay even for variables without weight decay; the step is along `m / (sqrt(v) + epsilon)`. The
    exponent of the bias correction is the number of completed steps plus 2, because the original
    advances `global_step` before it reads it. For the same reason it uses the learning rate of the
    next step.
    """

    def _prepare(self):
        count = tf.cast(tf.train.get_or_create_global_step(), tf.float32) + 2.0
        self._corrections = [1.0 - tf.pow(beta, count) for beta in (self.beta_1, self.beta_2)]

    def _corrected(self, mean, mean_of_squares):
        return mean / self._corrections[0], mean_of_squares / self._corrections[1]

    def _direction(self, mean, mean_of_squares):
        return super()._direction(*self._corrected(mean, mean_of_squares))

    def _scale(self, var, update, grad, mean, mean_of_squares):
        mean, mean_of_squares = self._corrected(mean, mean_of_squares)
        decayed = mean * tf.rsqrt(mean_of_squares + self.epsilon) + self.weight_decay_rate * var
        weight_norm, grad_norm, norm = (_norm(x) for x in (var, grad, decayed))
        is_defined = tf.logical_and(weight_norm > 0.0, grad_norm > 0.0)
        ratio = tf.where(is_defined, weight_norm / norm, tf.ones_like(norm))
        self.trust_ratios[var.op.name] = tf.clip_by_value(ratio, 0.0, _HIGHEST_TRUST_RATIO)
        return self.trust_ratios[var.op.name]


OPTIMIZERS = {
    "adamw": AdamWeightDecayOptimizer,
    "lamb": LAMBOptimizer,
    "nezha_adamw": AdamWeightDecayOptimizer,
    "nezha_lamb": NezhaLAMBOptimizer,
}
_NEZHA_OPTIMIZERS = ("nezha_adamw", "nezha_lamb")  # they use NEZHA's learning-rate schedule


def make_optimizer(
    name: str,
    layout: str,
    rate: tf.Tensor,
    **options: Any,
) -> "AdamWeightDecayOptimizer":
    """Creates an optimizer by name, configured as in the programs of the layout's family.

    Args:
        name: a key of `OPTIMIZERS`.
        layout: the model's layout.
        rate: float scalar tensor, the learning rate.
        **options: further arguments of the optimizer.

    Returns:
        an `AdamWeightDecayOptimizer` that clips gradients.

    Raises:
        UserError: for an unknown name.
    """
    _check_choice("optimizer", name, OPTIMIZERS)
    _check_choice("layout", layout, _LAMB_OF_LAYOUT)
    options.setdefault("weight_decay_rate", WEIGHT_DECAY_RATE)
    if name == "lamb":
        options.update(_LAMB_OF_LAYOUT[layout])
    elif name == "nezha_lamb":
        options.update(slot_names=LAMB_SLOTS)
    return OPTIMIZERS[name](
        tf.identity(rate, name="learning_rate"),
        exclude_from_weight_decay=EXCLUDE_FROM_WEIGHT_DECAY,
        clip_norm=CLIP_NORM,
        **options,
    )


def _dense_gradient(rows, indices, var):
    """The dense gradient: weight decay and norms also concern rows that a batch did not use."""
    return tf.math.unsorted_segment_sum(rows, indices, var.shape[0])


def _norm(x):
    return tf.sqrt(2.0 * tf.nn.l2_loss(x))


def _is_matched(var, patterns):
    return any(re.search(pattern, var.op.name) for pattern in patterns)


def _check_choice(flag, setting, choices):
    if setting not in choices:
        raise UserError("--%s=%s: expected one of %s" % (flag, setting, ", ".join(sorted(choices))))
