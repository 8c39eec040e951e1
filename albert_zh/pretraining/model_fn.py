"""Builds the pre-training model: losses, accumulated gradients, train op, evaluation metrics.

    model_fn = model_fn_builder(config, settings, init_checkpoint)

Losses are means over the whole batch of a step, regardless of how it is divided: among the replicas
of a strategy, the cores of a TPU, or the parts of `gradient_accumulation_steps`. All of these
therefore train the same weights.
"""

import functools
from typing import TYPE_CHECKING, Callable, Dict, List, Optional, Union

import numpy as np
import tensorflow.compat.v1 as tf

from albert_zh.model import optimization
from albert_zh.model.checkpoints import checkpoint_matching, checkpoint_values
from albert_zh.model.layers import gather_positions, part_of_batch
from albert_zh.pretraining.objectives import electra, electra_masks, masked_lm, unilm
from albert_zh.pretraining.objectives.terms import Term, eval_metrics, shown_scalars, total_loss
from albert_zh.training import tpu_summaries
from albert_zh.training.hooks import show_in_progress
from albert_zh.training.model_spec import ModeKeys, Spec

if TYPE_CHECKING:
    from albert_zh.layer_distillation.distiller import Distiller
    from albert_zh.model.config import AlbertConfig
    from albert_zh.pretraining.model_settings import ModelSettings

_FIRST_LOSS_SCALE = 2.0**15
_LOSS_SCALE_GROWTH_STEPS = 2000


def prepared(
    features: Dict[str, tf.Tensor], is_training: bool, settings: "ModelSettings"
) -> Dict[str, tf.Tensor]:
    """Adds what an objective decides for a whole batch: attention patterns or new masks.

    Args:
        features: features of a batch, [B, F], [B, P] and [B, 1].
        is_training: whether the batch is used for training.
        settings: how the model is trained.
    """
    if settings.unilm:
        features = unilm.with_patterns(features, is_training)
    if settings.electra and settings.electra.original_masks:
        features = electra_masks.masked_again(features, settings.electra.original_masks)
    return features


def losses_of(
    config: "AlbertConfig",
    features: Dict[str, tf.Tensor],
    is_training: bool,
    settings: "ModelSettings",
    denominators: Optional[masked_lm.Denominators] = None,
) -> List[Term]:
    """Builds the model and its losses.

    Args:
        config: the model's config.
        features: features of a batch from `prepared`, [B, F], [B, P] and [B, 1].
        is_training: whether the batch is used for training.
        settings: how the model is trained.
        denominators: the divisors of the summed losses; None: those of this batch.
    """
    if denominators is None:
        denominators = masked_lm.denominators_of(features, bool(settings.span_boundary_weight))
    inputs = (config, features, is_training, settings, denominators)
    with tf.variable_scope(tf.get_variable_scope(), reuse=tf.AUTO_REUSE):
        if settings.electra:
            return electra.terms(*inputs, masked_lm.encoder)
        return masked_lm.terms(*inputs)


def shapes_of_objective(config: "AlbertConfig", settings: "ModelSettings") -> Dict[str, List[int]]:
    """Returns the shapes of the variables that only the training objective has.

    Args:
        config: the model's config.
        settings: how the model is trained.

    Returns:
        {name: shape}; no memory is allocated for the variables.
    """
    if not (settings.electra or settings.replaced_token_weight or settings.span_boundary_weight):
        return {}
    with tf.Graph().as_default():
        tf.train.get_or_create_global_step()  # random draws depend on it
        losses_of(config, _smallest_batch(), True, settings._replace(plain=True))
        return {
            variable.op.name: variable.shape.as_list()
            for variable in tf.trainable_variables()
            if checkpoint_values.is_of_objective(variable.op.name)
        }


def _smallest_batch():
    """Returns the features of a single row of three pieces, one of them masked."""
    row, label = tf.ones([1, 3], tf.int32), tf.ones([1, 1], tf.int32)
    return {
        "input_ids": row,
        "input_mask": row,
        "segment_ids": tf.zeros_like(row),
        "masked_lm_positions": label,
        "masked_lm_ids": label,
        "masked_lm_weights": tf.ones([1, 1]),
        "next_sentence_labels": label,
    }


def _distilled(config, features, settings, denominators, distiller, counts):
    """Returns the loss and {name: scalar to log} of a student, for a part of a step's batch.

    Args:
        config: `AlbertConfig`.
        features: dict of tensors, including the features of the teacher's rows.
        settings: `ModelSettings`.
        denominators: as in `losses_of`.
        distiller: `Distiller`.
        counts: the divisors of the distiller's losses.
    """
    with tf.variable_scope(tf.get_variable_scope(), reuse=tf.AUTO_REUSE):
        model = masked_lm.encoder(config, True, features, settings, keeps_attention=True)
        by_kind = distiller.losses(model, features, counts, settings.precision)
        loss = tf.add_n(list(by_kind.values()))
        scalars = {"distilled_%s_loss" % kind: value for kind, value in by_kind.items()}
        scalars["tokens"] = tf.cast(tf.reduce_sum(features["input_mask"]), tf.float32)
        if distiller.label_weight:
            sequence = model.get_sequence_output()
            wanted = masked_lm.wanted_positions(features, settings)
            rows = [gather_positions(sequence, positions) for positions in wanted]
            terms = masked_lm.terms_of_rows(
                config, model, rows, features, True, settings, denominators
            )
            loss += distiller.label_weight * total_loss(terms)
            scalars.update(shown_scalars(terms))
    return loss, dict(scalars, loss=loss)


def model_fn_builder(
    config: "AlbertConfig",
    settings: "ModelSettings",
    init_checkpoint: Optional[str],
    distiller: Optional["Distiller"] = None,
    summary_folder: Optional[str] = None,
) -> Callable[..., Spec]:
    """Returns the `model_fn` of pre-training.

    Args:
        config: the model's config.
        settings: how the model is trained.
        init_checkpoint: prefix of the checkpoint that training starts from, or None.
        distiller: computes the losses with which a student is trained, or None.
        summary_folder: folder to which the host of a TPU writes summaries; None for no summaries.

    Returns:
        function (features, labels, mode, params) -> `Spec`.
    """

    def model_fn(features, labels, mode, params):
        del labels, params
        if mode == ModeKeys.TRAIN:
            return _train_spec(
                config, settings, features, init_checkpoint, distiller, summary_folder
            )
        terms = losses_of(config, prepared(features, False, settings), False, settings)
        return Spec(mode, loss=total_loss(terms), eval_metrics=eval_metrics(terms))

    return model_fn


def _train_spec(config, settings, features, init_checkpoint, distiller, summary_folder):
    tf.train.get_or_create_global_step()
    scaler = LossScaler() if settings.precision == "mixed_float16" else None
    features = prepared(features, True, settings)
    gradients, scalars = _gradients(config, settings, features, scaler, distiller)
    scaffold_fn = None
    if init_checkpoint:
        _, scaffold_fn = checkpoint_matching.initialize_from(
            init_checkpoint, tf.trainable_variables(), settings.use_tpu
        )
    options = {"weight_decay_rate": distiller.weight_decay} if distiller else {}
    train_op = _train_op(config, settings, gradients, scalars, scaler, options)
    if not settings.use_tpu:
        train_op = tf.group(train_op, *scalars.values())  # sums must be computed on all replicas
        for name, scalar in scalars.items():
            tf.summary.scalar(name, scalar)
            show_in_progress(name, scalar)
    loss, host_call = scalars["loss"], None
    if settings.use_tpu and summary_folder:
        shown = {name: scalar for name, scalar in scalars.items() if name != "tokens"}
        host_call = tpu_summaries.host_call(summary_folder, shown)
    if not settings.use_tpu:
        loss /= optimization.num_replicas()  # the engine adds up the replicas' losses
    if settings.skip_nan_steps or scaler:
        loss = tf.where_v2(tf.is_finite(loss), loss, 0.0)  # the engine stops if it is not finite
    return Spec(
        ModeKeys.TRAIN,
        loss=loss,
        train_op=train_op,
        scaffold_fn=scaffold_fn,
        host_call=host_call,
    )


def _gradients(config, settings, features, scaler, distiller):
    """Computes the gradients of a step's batch (or a replica's share of it).

    Returns:
        ([(gradient, variable)], {name: scalar to log}); the scalars are for the whole batch, except
        on a TPU.
    """
    num_replicas = optimization.num_replicas(settings.use_tpu)
    of_whole_batch = functools.partial(optimization.mean_over_replicas, use_tpu=settings.use_tpu)
    denominators = masked_lm.denominators_of(features, bool(settings.span_boundary_weight))
    denominators = type(denominators)(*of_whole_batch(denominators))
    counts = None
    if distiller:
        counts = distiller.counts(features)
        counts = type(counts)(*of_whole_batch(counts))
    variables = []

    def compute(share, index):
        with part_of_batch(index):
            if distiller:
                loss, scalars = _distilled(config, share, settings, denominators, distiller, counts)
            else:
                terms = losses_of(config, share, True, settings, denominators)
                loss = total_loss(terms)
                num_tokens = tf.cast(tf.reduce_sum(share["input_mask"]), tf.float32)
                scalars = dict(shown_scalars(terms), loss=loss, tokens=num_tokens)
        loss /= num_replicas  # replicas' gradients are summed
        trained = tf.trainable_variables()
        gradients = tf.gradients(scaler.scaled(loss) if scaler else loss, trained)
        # The pooler of a student that only learns hidden states has no gradient.
        present = [(g, v) for g, v in zip(gradients, trained) if g is not None]
        variables[:] = [variable for _, variable in present]
        return [gradient for gradient, _ in present], scalars

    gradients, scalars = optimization.accumulated_gradients(
        compute, features, settings.gradient_accumulation_steps
    )
    if scaler:
        gradients = [scaler.unscaled(gradient) for gradient in gradients]
    if not settings.use_tpu:
        scalars = _of_all_replicas(scalars)
    return list(zip(gradients, variables)), scalars


def _of_all_replicas(tensors):
    """Combines each replica's {name: scalar} into the values for the whole batch of a step."""
    shares = dict.fromkeys(tensors, optimization.num_replicas())
    shares["tokens"] = 1
    sums = optimization.sum_over_replicas(list(tensors.values()))
    return {name: total / shares[name] for name, total in zip(tensors, sums)}


def _train_op(config, settings, grads_and_vars, scalars, scaler, options):
    """Builds the op of a step; logs the learning rate, gradient norm and trust ratios, too."""
    skips_nonfinite = bool(settings.skip_nan_steps or scaler)
    step = optimization.assemble_train_step(
        lambda _: grads_and_vars,
        optimization.Schedule(*(getattr(settings, name) for name in optimization.Schedule._fields)),
        settings.optimizer,
        config.layout,
        settings.use_tpu,
        skips_nonfinite=skips_nonfinite,
        is_compiled=not (settings.plain or settings.use_tpu),
        **options,
    )
    train_op, gradient_norm = step.op, step.optimizer.gradient_norm
    scalars["learning_rate"] = step.rate
    scalars["gradient_norm"] = gradient_norm
    if skips_nonfinite:
        train_op = tf.group(train_op, _count_skipped(gradient_norm, scalars))
    if scaler:
        train_op = tf.group(train_op, scaler.updated(tf.is_finite(gradient_norm)))
        scalars["loss_scale"] = scaler.scale
    if not settings.use_tpu:
        for name, trust_ratio in step.optimizer.trust_ratios.items():
            tf.summary.scalar("trust_ratio/" + name, trust_ratio)
    return train_op


def _count_skipped(gradient_norm, scalars):
    """Builds the op that counts skipped steps; adds the count to the scalars to log."""
    count = _state_variable("skipped_steps", 0.0)
    scalars["skipped_steps"] = count.read_value()
    return count.assign_add(tf.cast(tf.logical_not(tf.is_finite(gradient_norm)), tf.float32))


def _state_variable(name, initial):
    """Creates a float variable that is saved but not trained, and is equal on all replicas."""
    return tf.get_variable(
        name,
        initializer=tf.constant(initial),
        trainable=False,
        use_resource=True,
        aggregation=tf.VariableAggregation.ONLY_FIRST_REPLICA,
    )


def state_of_training(settings: "ModelSettings") -> Dict[str, np.float32]:
    """Returns {name: initial value} of training variables that are neither weights nor slots.

    Args:
        settings: how the model is trained.
    """
    state = {}
    if settings.precision == "mixed_float16":
        state.update(loss_scale=_FIRST_LOSS_SCALE, good_steps=0.0)
    if settings.skip_nan_steps or state:
        state["skipped_steps"] = 0.0
    return {name: np.float32(scalar) for name, scalar in state.items()}


class LossScaler:
    """Keeps float16 gradients in range (Micikevicius et al. 2017).

    The loss is multiplied by a power of two, which is halved when gradients overflow (that step is
    skipped) and doubled after 2,000 steps without overflow, as long as it is a finite float32.
    """

    def __init__(self) -> None:
        self._scale = _state_variable("loss_scale", _FIRST_LOSS_SCALE)
        self._good_steps = _state_variable("good_steps", 0.0)
        self.scale = self._scale.read_value()

    def scaled(self, loss: tf.Tensor) -> tf.Tensor:
        """Returns the loss multiplied by the scale."""
        return loss * self.scale

    def unscaled(self, gradient: Union[tf.Tensor, tf.IndexedSlices]) -> tf.Tensor:
        """Converts a gradient of the scaled loss to a dense gradient of the loss."""
        return tf.convert_to_tensor(gradient) / self.scale

    def updated(self, is_finite: tf.Tensor) -> tf.Operation:
        """Builds the op that adapts the scale after a step with or without finite gradients."""
        good_steps = self._good_steps + 1.0
        grows = good_steps >= _LOSS_SCALE_GROWTH_STEPS
        grown = 2.0 * self.scale
        has_grown = tf.logical_and(grows, tf.is_finite(grown))  # an infinite scale would stay so
        scale_if_good = tf.where_v2(has_grown, grown, self.scale)
        scale_if_bad = tf.maximum(1.0, self.scale / 2.0)
        keeps_counting = tf.logical_and(is_finite, tf.logical_not(grows))
        return tf.group(
            self._scale.assign(tf.where_v2(is_finite, scale_if_good, scale_if_bad)),
            self._good_steps.assign(tf.where_v2(keeps_counting, good_steps, 0.0)),
        )
