"""The `model_fn` of fine-tuning, for every kind of task: training and prediction.

Training techniques that work with every kind: R-Drop, FGM, layer-wise learning rates, a frozen
encoder. Evaluation runs in prediction mode, too: a kind's scorer computes the metrics. Letters in
shape comments: B rows, F tokens, H hidden size, C outputs, V vocabulary size, E embedding size.
"""

import functools
import re
from typing import Any, Callable, Dict, Iterable, List, Mapping, Optional, Sequence, Tuple

import tensorflow.compat.v1 as tf

from albert_zh.model import optimization
from albert_zh.model.checkpoints import checkpoint_matching, checkpoint_names
from albert_zh.model.encoder import AlbertModel
from albert_zh.model.layers import part_of_batch
from albert_zh.model.variables import variable_name
from albert_zh.tasks import distillation, registry
from albert_zh.tasks.kind_interface import NUM_TOKENS
from albert_zh.tasks.outputs_graph import WORD_TABLES, outputs_builder
from albert_zh.tasks.settings import Settings
from albert_zh.training import length_bucketing
from albert_zh.training.hooks import show_in_progress
from albert_zh.training.model_spec import ModeKeys, Spec

_FROZEN = re.compile(r"(bert|electra)/(embeddings|embeddings_project|encoder)/")
_TABLES = re.compile(r"(bert|electra)/(embeddings|embeddings_project)/")
_TINY = 1e-12
# For classes: their gradients are far below float16's maximum; a value's gradients grow with it.
_LOSS_SCALE_OF_FLOAT16 = 2.0**10


# long: its closure uses nearly all settings
def model_fn_builder(
    bert_config: Any,
    num_labels: int,
    init_checkpoint: Optional[str],
    learning_rate: Any,
    num_train_steps: int,
    num_warmup_steps: Optional[int],
    use_tpu: bool,
    use_one_hot_embeddings: bool,
    settings: Any = None,
    distiller: Any = None,
    num_parts: int = 1,
    **model_settings: Any,
) -> Callable[..., Any]:
    """The `model_fn` of a kind of task.

    Args:
        bert_config: `AlbertConfig`.
        num_labels: number of outputs of the head.
        init_checkpoint: prefix of the checkpoint that training starts from, or None.
        learning_rate: highest learning rate.
        num_train_steps: number of steps of the schedule.
        num_warmup_steps: number of these steps that are warm-up.
        use_tpu: bool.
        use_one_hot_embeddings: bool, see `AlbertModel`.
        settings: `Settings`; by default the settings of a plain classifier.
        distiller: `Distiller` whose losses train the encoder without a head; None for training on
            the task.
        num_parts: number of parts into which a step's batch is split.
        **model_settings: `recompute`, `precision`, `plain`, `in_halves` of `AlbertModel`.

    Returns:
        function (features, labels, mode, params) -> `Spec`.
    """
    settings = settings or Settings()
    kind = registry.get(settings.objective)
    if model_settings.get("precision") == "mixed_float16" and kind.scales_loss:
        settings = settings._replace(loss_scale=_LOSS_SCALE_OF_FLOAT16)
    schedule = (learning_rate, num_train_steps, num_warmup_steps)
    is_plain = model_settings.get("plain", False)
    compute_loss = training_loss
    if distiller:
        compute_loss = functools.partial(_distilled_loss, bert_config, distiller, model_settings)

    def model_fn(features, labels, mode, params):
        del labels, params
        is_training = mode == ModeKeys.TRAIN

        def builder_of(rows):
            return outputs_builder(
                bert_config,
                rows,
                num_labels,
                settings,
                is_training,
                use_one_hot_embeddings=use_one_hot_embeddings,
                **model_settings,
            )

        def losses_of(rows):
            return compute_loss(builder_of(rows), rows, settings, use_tpu)

        if not is_training:
            predictions = _predictions(builder_of(features)(), features, kind)
            return Spec(mode, predictions=predictions)
        if num_parts == 1:
            (loss, shown_loss), gradients = losses_of(features), None
        else:
            gradients, shown_loss = gradients_in_parts(losses_of, features, num_parts, settings)
            loss = shown_loss
        train_op = create_train_op(loss, *schedule, use_tpu, settings, is_plain, gradients)
        return _train_spec(shown_loss, train_op, init_checkpoint, use_tpu)

    return model_fn


def _predictions(outputs, features, kind):
    """The predictions for a batch's rows, and the row numbers if they are not in order."""
    predictions = dict(outputs)
    if kind.token_outputs:
        predictions[NUM_TOKENS] = tf.reduce_sum(features["input_mask"], axis=1)  # [B]
    if length_bucketing.ROW in features:
        predictions[length_bucketing.ROW] = features[length_bucketing.ROW]
    return predictions


def _train_spec(loss, train_op, init_checkpoint, use_tpu):
    scaffold_fn = None
    if init_checkpoint:
        _, scaffold_fn = checkpoint_matching.initialize_from(
            init_checkpoint, tf.trainable_variables(), use_tpu
        )
    return Spec(ModeKeys.TRAIN, loss=loss, train_op=train_op, scaffold_fn=scaffold_fn)


# Loss


def training_loss(
    build_outputs: Callable[..., Any],
    features: Dict[str, tf.Tensor],
    settings: Any,
    use_tpu: bool = False,
) -> Tuple[tf.Tensor, tf.Tensor]:
    """The loss that is minimized, and its plain part, which is shown.

    R-Drop: half of the paper's loss, so that it is comparable to the loss of a single pass. FGM:
    the loss plus the loss with the word table moved by epsilon along the gradient. With teachers,
    both are applied to the loss of `distillation.row_losses`.

    Args:
        build_outputs: function of a change of the word table (None, or a tensor [V, E]) -> outputs
            of the model in training; each call uses the same variables and a new dropout mask.
        features: {name: tensor [B, ...]}, including the targets.
        settings: `Settings`.
        use_tpu: bool.

    Returns:
        (minimized, shown): two float scalar tensors.
    """
    kind = registry.get(settings.objective)

    def mean_loss(outputs):
        return tf.reduce_mean(distillation.row_losses(kind, outputs, features, settings))

    outputs = build_outputs(None)
    loss = shown = mean_loss(outputs)
    if settings.rdrop_alpha:
        others = build_outputs(None)
        loss = 0.5 * (loss + mean_loss(others))
        drift = tf.reduce_mean(kind.divergence(outputs, others, features, settings))
        loss += 0.5 * settings.rdrop_alpha * drift
    if settings.fgm_epsilon:
        scaled = settings.loss_scale * loss
        change = adversarial_change(scaled, _word_table(), settings.fgm_epsilon, use_tpu)
        loss += mean_loss(build_outputs(change))
    return loss, shown


def _distilled_loss(config, distiller, model_settings, build_outputs, features, settings, use_tpu):
    """The sum of a `Distiller`'s losses, used instead of `training_loss`; each loss is shown."""
    del build_outputs, settings, use_tpu  # without a head
    names = ("input_ids", "input_mask", "segment_ids")
    inputs = [features[name] for name in names]
    model = AlbertModel(
        config, True, *inputs, scope=config.scope, keeps_attention=True, **model_settings
    )
    counts = distiller.counts(features)
    counts = type(counts)(*optimization.mean_over_replicas(counts))
    by_kind = distiller.losses(model, features, counts, model_settings["precision"])
    for kind, value in by_kind.items():
        show_in_progress("distilled_%s_loss" % kind, value)
    loss = tf.add_n(list(by_kind.values()))
    return loss, loss


def adversarial_change(
    loss: tf.Tensor, table: Any, epsilon: float, use_tpu: bool = False
) -> tf.Tensor:
    """FGM's change of a table: the gradient of the whole batch's loss, scaled to norm epsilon.

    Args:
        loss: float scalar tensor, the loss of this replica's share of the batch.
        table: variable [V, E].
        epsilon: float.
        use_tpu: bool.

    Returns:
        float tensor [V, E], a constant for gradients.
    """
    gradient = tf.convert_to_tensor(tf.gradients(loss, table)[0])
    (gradient,) = optimization.sum_over_replicas([gradient], use_tpu)
    return tf.stop_gradient(epsilon * gradient / (tf.norm(gradient) + _TINY))


def _word_table():
    return next(v for v in tf.trainable_variables() if variable_name(v) in WORD_TABLES)


# The train op


def create_train_op(
    loss: tf.Tensor,
    learning_rate: Any,
    num_train_steps: int,
    num_warmup_steps: Optional[int],
    use_tpu: bool,
    settings: Any,
    plain: bool = False,
    grads_and_vars: Optional[Sequence[Tuple[Any, Any]]] = None,
) -> tf.Operation:
    """The op of one training step with the optimizer in `settings`, by default AdamW.

    Args:
        loss: float scalar tensor.
        learning_rate: float, the highest rate.
        num_train_steps: int.
        num_warmup_steps: int.
        use_tpu: bool.
        settings: `Settings`.
        plain: bool; compile nothing.
        grads_and_vars: [(gradient, variable)] if already computed; None: gradients of the loss.
    """
    scale = settings.loss_scale
    variables = _trained_variables(settings)

    def gradients(optimizer):
        scaled = grads_and_vars or optimizer.compute_gradients(scale * loss, var_list=variables)
        if scale == 1.0:
            return scaled
        return [(_divided(gradient, scale), variable) for gradient, variable in scaled]

    return optimization.assemble_train_step(
        gradients,
        optimization.Schedule(learning_rate, num_train_steps, num_warmup_steps),
        settings.optimizer,
        "google",  # of the original programs, only Google's fine-tune with LAMB
        use_tpu,
        is_compiled=not (plain or use_tpu),
        rate_scales=rate_scales(
            [variable_name(variable) for variable in variables],
            settings.layer_decay,
            settings.classifier_rate_factor,
            settings.scope_rate_factors,
        ),
        weight_decay_rate=settings.weight_decay,
    ).op


def gradients_in_parts(
    losses_of: Callable[..., Any],
    features: Dict[str, tf.Tensor],
    num_parts: int,
    settings: Any,
) -> Tuple[List[Tuple[Any, Any]], tf.Tensor]:
    """Gradients of the mean loss of a batch, computed in parts one after another.

    Gradients of tables remain `tf.IndexedSlices`: gradient clipping counts a row that is looked up
    twice as two rows.

    Args:
        losses_of: function of the features of some rows -> (loss, shown loss) as `training_loss`
            returns them; the loss is the mean over the rows.
        features: {name: tensor [B, ...]}.
        num_parts: int, divides B.
        settings: `Settings`.

    Returns:
        ([(gradient times `loss_scale`, variable)], the shown loss as a float scalar tensor).
    """
    shares = {name: tf.split(tensor, num_parts) for name, tensor in features.items()}
    gradients_of_parts: List[List[Any]] = []
    shown_losses: List[tf.Tensor] = []
    before: List[tf.Tensor] = []
    for index in range(num_parts):
        with tf.control_dependencies(before):
            rows = {name: tf.identity(share[index]) for name, share in shares.items()}
        reused = tf.variable_scope(tf.get_variable_scope(), reuse=tf.AUTO_REUSE)
        with reused, part_of_batch(index):
            loss, shown_loss = losses_of(rows)
        gradients = tf.gradients(
            settings.loss_scale * loss / num_parts, _trained_variables(settings)
        )
        before = [
            getattr(gradient, "values", gradient) for gradient in gradients if gradient is not None
        ]
        gradients_of_parts.append(gradients)
        shown_losses.append(shown_loss / num_parts)
    sums = [_sum_of_gradients(of_parts) for of_parts in zip(*gradients_of_parts)]
    return list(zip(sums, _trained_variables(settings))), tf.add_n(shown_losses)


def _sum_of_gradients(gradients):
    """The sum of gradients of one variable, dense or sparse; None if there are none."""
    present = [gradient for gradient in gradients if gradient is not None]
    if not present:
        return None
    if not all(isinstance(gradient, tf.IndexedSlices) for gradient in present):
        return tf.add_n([tf.convert_to_tensor(gradient) for gradient in present])
    return tf.IndexedSlices(
        tf.concat([gradient.values for gradient in present], axis=0),
        tf.concat([gradient.indices for gradient in present], axis=0),
        present[0].dense_shape,
    )


def _trained_variables(settings):
    """The variables that a step changes."""
    variables = tf.trainable_variables()
    if settings.freeze_encoder:
        variables = [v for v in variables if not _FROZEN.match(variable_name(v))]
    return variables


def _divided(gradient, divisor):
    """A gradient (dense, sparse or None) divided by a number."""
    if isinstance(gradient, tf.IndexedSlices):
        return tf.IndexedSlices(gradient.values / divisor, gradient.indices, gradient.dense_shape)
    return None if gradient is None else gradient / divisor


def rate_scales(
    names: Iterable[str],
    layer_decay: float,
    classifier_factor: float = 1.0,
    scope_factors: Optional[Mapping[str, float]] = None,
) -> Dict[str, float]:
    """Learning rate factors by depth (layer-wise decay): 1 for pooler and head, less below.

    The head has the highest depth; each depth below it multiplies the factor by `layer_decay`.
    Layers that share their weights have the same depth, so a brightmart ALBERT has three depths:
    head and pooler, the shared layer, the embeddings.

    Args:
        names: names of variables.
        layer_decay: float, above 0 and up to 1.
        classifier_factor: float, by which the head's factor is multiplied.
        scope_factors: {scope: factor} for parts of the head, instead of `classifier_factor`.

    Returns:
        {name: factor}.
    """
    layers = sorted({_layer_of(name) for name in names if _layer_of(name) is not None})
    top = len(layers) + 1
    scales = {}
    for name in names:
        layer = _layer_of(name)
        depth = 0 if _TABLES.match(name) else top
        if layer is not None:
            depth = 1 + layers.index(layer)
        elif name.startswith("bert/encoder/"):  # projection of the embeddings in Google's layout
            depth = 0
        scales[name] = layer_decay ** (top - depth)
        if not name.startswith(checkpoint_names.ENCODER_SCOPES):
            scope = name.split("/")[0]
            scales[name] *= (scope_factors or {}).get(scope, classifier_factor)
    return scales


def _layer_of(name):
    """The sort key of the layer in a variable's name; None if it is not in a layer."""
    match = re.match(
        r"(?:bert|electra)/encoder/(?:layer_(\d+)|(layer_shared)|\w+/group_(\d+)/\w+?_(\d+))/", name
    )
    if match is None:
        return None
    return tuple(int(digits) if digits and digits.isdigit() else 0 for digits in match.groups())
