"""The pre-training task on a batch: losses, gradients in parts, train op, evaluation metrics.

    model_fn = model_fn_builder(config, settings, init_checkpoint)

Losses are means over the whole batch of a step, however it is divided: over the replicas of a
strategy, the cores of a TPU, or the parts of `gradient_accumulation_steps`. So all of them train
the same weights.
"""

import collections

import numpy as np
import tensorflow.compat.v1 as tf

from albert_zh.model import checkpoint_matching, optimization
from albert_zh.model.encoder import AlbertModel
from albert_zh.model.heads import masked_lm_head, sentence_order_head
from albert_zh.model.layers import part_of_batch
from albert_zh.pretraining.objectives import replaced_tokens
from albert_zh.training import tpu_summaries
from albert_zh.training.hooks import show_in_progress
from albert_zh.training.model_spec import ModeKeys, Spec

_EPSILON = 1e-5  # in the denominator of the masked-LM loss
_LOGIT_SHARES = 4  # in which the logits of all words are computed in training
_FIRST_LOSS_SCALE = 2.0**15
_LOSS_SCALE_GROWTH_STEPS = 2000

ModelSettings = collections.namedtuple(
    "ModelSettings",
    "learning_rate num_train_steps num_warmup_steps optimizer poly_power start_warmup_step "
    "gradient_accumulation_steps precision recompute plain skip_nan_steps use_tpu "
    "replaced_token_weight sentence_name",
)
ModelSettings.__doc__ = """How a model is trained; numbers as in the flags of the same names.

Fields:
    sentence_name: "next_sentence" or "sentence_order", how metrics call the second task.
"""

Losses = collections.namedtuple(
    "Losses", "total masked_lm sentence_order replaced_token masked_lm_head order_head"
)


def pretraining_losses(config, features, is_training, settings, denominators=None):
    """Builds the model and its losses; replaced pieces are detected in training alone.

    Args:
        config: `AlbertConfig`.
        features: dict of a batch's tensors, [B, F], [B, P] and [B, 1].
        is_training: bool.
        settings: `ModelSettings`.
        denominators: (weights, sentences, pieces), float scalars by which the summed losses are
            divided; those of the batch if left out.

    Returns:
        `Losses`: four scalars, `MaskedLmOutput` and `SentenceOrderOutput`.
    """
    positions = features["masked_lm_positions"]
    output_positions = None
    if not settings.plain:
        output_positions = tf.pad(positions, [[0, 0], [1, 0]])  # [B, 1 + P], the first token first
        positions = None
    denominators = denominators or batch_denominators(features)
    with tf.variable_scope(tf.get_variable_scope(), reuse=tf.AUTO_REUSE):
        model = _encoder(config, is_training, features, settings, output_positions)
        return _losses_of_heads(
            config, model, features, is_training, settings, positions, denominators
        )


def _losses_of_heads(config, model, features, is_training, settings, positions, denominators):
    """The `Losses` of a model; `positions` are None where it computes those of the heads alone."""
    weights, sentences, pieces = denominators
    masked_lm = masked_lm_head(
        config,
        model,
        positions,
        features["masked_lm_ids"],
        features["masked_lm_weights"],
        parts=_LOGIT_SHARES if is_training and not settings.plain else 1,
    )
    order = sentence_order_head(config, model.get_pooled_output(), features["next_sentence_labels"])
    masked_lm_loss = masked_lm.weighted_loss / (weights + _EPSILON)
    order_loss = tf.reduce_sum(order.per_example_loss) / sentences
    total, detection_loss = masked_lm_loss + order_loss, tf.constant(0.0)
    if is_training and settings.replaced_token_weight:
        detection, order_again = _losses_of_filled_text(
            config, features, settings, masked_lm.log_probs
        )
        detection_loss = detection / pieces
        total += settings.replaced_token_weight * detection_loss + order_again / sentences
    return Losses(total, masked_lm_loss, order_loss, detection_loss, masked_lm, order)


def _encoder(config, is_training, features, settings, output_positions=None, keeps_attention=False):
    return AlbertModel(
        config,
        is_training,
        features["input_ids"],
        features["input_mask"],
        features["segment_ids"],
        use_one_hot_embeddings=settings.use_tpu,
        scope="bert",
        recompute=settings.recompute,
        precision=settings.precision,
        plain=settings.plain,
        output_positions=output_positions,
        keeps_attention=keeps_attention,
    )


def _losses_of_filled_text(config, features, settings, log_probs):
    """Sums of the losses on a batch whose masks are filled: (of replaced pieces, of the order)."""
    filled = replaced_tokens.fill(features, log_probs)
    features = dict(features, input_ids=filled.input_ids)
    model = _encoder(config, True, features, settings)
    losses = replaced_tokens.detection_losses(config, model, filled.is_replaced)  # [B, F]
    order = sentence_order_head(config, model.get_pooled_output(), features["next_sentence_labels"])
    is_piece = tf.cast(features["input_mask"], tf.float32)
    return tf.reduce_sum(losses * is_piece), tf.reduce_sum(order.per_example_loss)


def batch_denominators(features):
    """(sum of the masked-LM weights, number of sequences, of pieces) of a batch, float scalars."""
    return (
        tf.reduce_sum(features["masked_lm_weights"]),
        tf.cast(tf.shape(features["input_ids"])[0], tf.float32),
        tf.cast(tf.reduce_sum(features["input_mask"]), tf.float32),
    )


def _distilled(config, features, settings, denominators, distiller, counts):
    """Loss and {name: scalar} to look at of a part of a step's batch, of a student.

    Args:
        config: `AlbertConfig`.
        features: dict of tensors, those of the teacher's rows among them.
        settings: `ModelSettings`.
        denominators: as in `pretraining_losses`.
        distiller: `Distiller`.
        counts: what its losses are divided by.
    """
    with tf.variable_scope(tf.get_variable_scope(), reuse=tf.AUTO_REUSE):
        model = _encoder(config, True, features, settings, keeps_attention=True)
        by_kind = distiller.losses(model, features, counts, settings.precision)
        loss = tf.add_n(list(by_kind.values()))
        scalars = {"distilled_%s_loss" % kind: value for kind, value in by_kind.items()}
        scalars["tokens"] = tf.cast(tf.reduce_sum(features["input_mask"]), tf.float32)
        if distiller.label_weight:
            positions = features["masked_lm_positions"]
            losses = _losses_of_heads(
                config, model, features, True, settings, positions, denominators
            )
            loss += distiller.label_weight * losses.total
            scalars.update(_shown_scalars(settings, features, losses, denominators))
    return loss, dict(scalars, loss=loss)


def model_fn_builder(config, settings, init_checkpoint, distiller=None, summary_folder=None):
    """The `model_fn` of pre-training.

    Args:
        config: `AlbertConfig`.
        settings: `ModelSettings`.
        init_checkpoint: prefix of the checkpoint that training starts from, or None.
        distiller: `Distiller` whose losses a student is trained by, or None.
        summary_folder: where the host of a TPU writes what is looked at; None: nowhere.

    Returns:
        function (features, labels, mode, params) -> `Spec`.
    """

    def model_fn(features, labels, mode, params):
        del labels, params
        if mode == ModeKeys.TRAIN:
            return _train_spec(
                config, settings, features, init_checkpoint, distiller, summary_folder
            )
        losses = pretraining_losses(config, features, False, settings)
        return Spec(mode, loss=losses.total, eval_metrics=_eval_metrics(losses, features, settings))

    return model_fn


def _train_spec(config, settings, features, init_checkpoint, distiller, summary_folder):
    tf.train.get_or_create_global_step()
    scaler = LossScaler() if settings.precision == "mixed_float16" else None
    gradients, scalars = _gradients(config, settings, features, scaler, distiller)
    scaffold_fn = None
    if init_checkpoint:
        _, scaffold_fn = checkpoint_matching.initialize_from(
            init_checkpoint, tf.trainable_variables(), settings.use_tpu
        )
    options = {"weight_decay_rate": distiller.weight_decay} if distiller else {}
    train_op = _train_op(config, settings, gradients, scalars, scaler, options)
    if not settings.use_tpu:
        train_op = tf.group(train_op, *scalars.values())  # sums are to be computed on all replicas
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
        loss = tf.where_v2(tf.is_finite(loss), loss, 0.0)  # the engine stops at what is not finite
    return Spec(
        ModeKeys.TRAIN,
        loss=loss,
        train_op=train_op,
        scaffold_fn=scaffold_fn,
        host_call=host_call,
    )


def _gradients(config, settings, features, scaler, distiller):
    """Gradients of a step's batch (or a replica's share of it).

    Returns:
        ([(gradient, variable)], {name: scalar} to look at, of the whole batch but on a TPU).
    """
    num_replicas = optimization.num_replicas(settings.use_tpu)

    def of_whole_batch(sums):
        sums = optimization.sum_over_replicas(list(sums), settings.use_tpu)
        return [total / num_replicas for total in sums]

    denominators = of_whole_batch(batch_denominators(features))
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
                losses = pretraining_losses(config, share, True, settings, denominators)
                loss, scalars = losses.total, _shown_scalars(settings, share, losses, denominators)
        loss /= num_replicas  # replicas' gradients are summed
        trained = tf.trainable_variables()
        gradients = tf.gradients(scaler.scaled(loss) if scaler else loss, trained)
        # A student that learns hidden states alone has a pooler without a gradient.
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


def _shown_scalars(settings, share, losses, denominators):
    """{name: scalar} to look at, of a part of a step's batch, each a share of the whole's mean."""
    order_hits = tf.equal(
        losses.order_head.predicted, tf.reshape(share["next_sentence_labels"], [-1])
    )
    masked_lm_hits = tf.equal(
        losses.masked_lm_head.predicted, tf.reshape(share["masked_lm_ids"], [-1])
    )
    weights = tf.reshape(share["masked_lm_weights"], [-1])
    hits = tf.reduce_sum(weights * tf.cast(masked_lm_hits, tf.float32))
    scalars = {
        "loss": losses.total,
        "masked_lm_loss": losses.masked_lm,
        settings.sentence_name + "_loss": losses.sentence_order,
        "masked_lm_accuracy": hits / (denominators[0] + _EPSILON),
        settings.sentence_name + "_accuracy": tf.reduce_sum(tf.cast(order_hits, tf.float32))
        / denominators[1],
        "tokens": tf.cast(tf.reduce_sum(share["input_mask"]), tf.float32),
    }
    if settings.replaced_token_weight:
        scalars["replaced_token_loss"] = losses.replaced_token
    return scalars


def _of_all_replicas(tensors):
    """What a step's whole batch has, of what each replica has of its share; {name: scalar}."""
    shares = dict.fromkeys(tensors, optimization.num_replicas())
    shares["tokens"] = 1
    sums = optimization.sum_over_replicas(list(tensors.values()))
    return {name: total / shares[name] for name, total in zip(tensors, sums)}


def _train_op(config, settings, grads_and_vars, scalars, scaler, options):
    """The op of a step; adds rate, gradient norm and trust ratios to what is to be looked at."""
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
    """The op that counts a step without an update; adds the count to what is to be looked at."""
    count = _state_variable("skipped_steps", 0.0)
    scalars["skipped_steps"] = count.read_value()
    return count.assign_add(tf.cast(tf.logical_not(tf.is_finite(gradient_norm)), tf.float32))


def _state_variable(name, initial):
    """A float variable that is saved but not trained; equal on all replicas."""
    return tf.get_variable(
        name,
        initializer=tf.constant(initial),
        trainable=False,
        use_resource=True,
        aggregation=tf.VariableAggregation.ONLY_FIRST_REPLICA,
    )


def state_of_training(settings):
    """What the graph of training has beside weights and slots: {variable's name: first value}.

    Args:
        settings: `ModelSettings`.
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
    skipped) and doubled after 2,000 steps without.
    """

    def __init__(self):
        self._scale = _state_variable("loss_scale", _FIRST_LOSS_SCALE)
        self._good_steps = _state_variable("good_steps", 0.0)
        self.scale = self._scale.read_value()

    def scaled(self, loss):
        """The loss times the scale."""
        return loss * self.scale

    def unscaled(self, gradient):
        """A gradient of the scaled loss as one of the loss, dense."""
        return tf.convert_to_tensor(gradient) / self.scale

    def updated(self, is_finite):
        """The op that adapts the scale after a step whose gradients were finite or not."""
        good_steps = self._good_steps + 1.0
        grows = good_steps >= _LOSS_SCALE_GROWTH_STEPS
        scale_if_good = tf.where_v2(grows, 2.0 * self.scale, self.scale)
        scale_if_bad = tf.maximum(1.0, self.scale / 2.0)
        keeps_counting = tf.logical_and(is_finite, tf.logical_not(grows))
        return tf.group(
            self._scale.assign(tf.where_v2(is_finite, scale_if_good, scale_if_bad)),
            self._good_steps.assign(tf.where_v2(keeps_counting, good_steps, 0.0)),
        )


def _eval_metrics(losses, features, settings):
    """(function, tensors) of the evaluation's metrics, as `Spec` takes them."""
    name = settings.sentence_name
    weights = tf.reshape(features["masked_lm_weights"], [-1])
    tensors = [
        losses.masked_lm_head.per_example_loss,
        losses.masked_lm_head.predicted,
        tf.reshape(features["masked_lm_ids"], [-1]),
        weights,
        losses.order_head.per_example_loss,
        losses.order_head.predicted,
        tf.reshape(features["next_sentence_labels"], [-1]),
    ]

    def metric_fn(lm_loss, lm_predicted, lm_ids, lm_weights, loss, predicted, labels):
        return {
            "masked_lm_accuracy": tf.metrics.accuracy(lm_ids, lm_predicted, lm_weights),
            "masked_lm_loss": tf.metrics.mean(lm_loss, lm_weights),
            name + "_accuracy": tf.metrics.accuracy(labels, predicted),
            name + "_loss": tf.metrics.mean(loss),
        }

    return metric_fn, tensors
