"""What a classifier is trained for, and the ways to train it better; all off by default.

Losses (cross-entropy, sigmoid, squared error; class weights, label smoothing, focal loss, R-Drop,
FGM), pooling of the encoder's output, layer-wise rates. `modeling.py` has none of it: its
classification head gives logits, this room says what is done with them.
"""

import collections
import contextlib
import math
import re

import tensorflow.compat.v1 as tf

from albert_zh.common import validation
from albert_zh.common.errors import UserError
from albert_zh.model import classifier_output, modeling, optimization

MULTI_LABEL_LOSSES = ("sum", "mean")
# Of the multi-label classifier with the summed loss: each of its labels has few rows to learn from.
MULTI_LABEL_RATE_FACTOR = 10.0
# Defaults of training with the summed loss. Measured with the starter model, which is 312 wide, by
# benchmarks/multi_label.py; wider models keep the usual rate.
NARROW = 384  # hidden_size
RATE_OF_NARROW_MULTI_LABEL = 2e-4
MULTI_LABEL_STEPS = 1000
MOST_MULTI_LABEL_EPOCHS = 10.0
CLASSIFIER_VARIABLES = ("output_weights", "output_bias")
WORD_TABLE = "bert/embeddings/word_embeddings"
CLASS_WEIGHTS = validation.record(
    others=validation.number(above=0), expected="a JSON object {label: weight}"
)
_FROZEN = re.compile(r"bert/(embeddings|encoder)/")
_TINY = 1e-12

Settings = collections.namedtuple(
    "Settings",
    "objective pooling class_weights label_smoothing focal_gamma rdrop_alpha fgm_epsilon "
    "layer_decay freeze_encoder loss_scale optimizer multi_label_loss classifier_rate_factor "
    "initial_bias",
)
Settings.__new__.__defaults__ = (
    "single_label",
    "cls",
    None,
    0.0,
    0.0,
    0.0,
    0.0,
    1.0,
    False,
    1.0,
    "adamw",
    "sum",
    1.0,
    None,
)
Settings.__doc__ = """How a classifier is built and trained.

Fields:
    objective: one of `OBJECTIVES`.
    pooling: one of `POOLINGS`.
    class_weights: list of float, one per class, by which its examples' losses are multiplied (of a
        multi-label task: the losses of its positive examples); None for 1.
    label_smoothing: share of a label's probability that is spread over all classes.
    focal_gamma: exponent of focal loss (Lin et al. 2017).
    rdrop_alpha: weight of R-Drop's divergence (Liang et al. 2021); 0 for one pass without it.
    fgm_epsilon: length of FGM's change of the word table (Miyato et al. 2017); 0 for none.
    layer_decay: factor of the learning rate from each depth of the encoder to the one below.
    freeze_encoder: whether only pooler and classifier are trained.
    loss_scale: gradients are those of so many times the loss until they are float32, so that small
        ones are more than 0 in float16 (Micikevicius et al. 2017).
    optimizer: a key of `optimization.OPTIMIZERS`.
    multi_label_loss: "sum" or "mean", how the loss of a multi-label example is made of its labels'.
    classifier_rate_factor: factor of the classifier's learning rate.
    initial_bias: list of float, start values of the classifier's bias, see `prior_logits`; None for
        zeros.
"""


# Losses


def per_example_loss(logits, labels, settings):
    """The loss of each example.

    Args:
        logits: float tensor [B, C].
        labels: int [B]; of a multi-label task int [B, C] of 0 and 1; of a regression float [B].
        settings: `Settings`.

    Returns:
        float tensor [B].
    """
    return _LOSSES[settings.objective](logits, labels, settings)


def _squared_error(logits, labels, settings):
    del settings
    return tf.square(logits[:, 0] - labels)


def _softmax_loss(logits, labels, settings):
    num_classes = int(logits.shape[-1])
    log_probs = tf.nn.log_softmax(logits)  # [B, C]
    one_hot = tf.one_hot(labels, num_classes)
    smoothing = settings.label_smoothing
    targets = (1.0 - smoothing) * one_hot + smoothing / num_classes
    terms = targets * log_probs
    if settings.focal_gamma:
        terms *= _focus(log_probs, settings.focal_gamma)
    loss = -tf.reduce_sum(terms, axis=-1)
    if settings.class_weights is not None:
        loss *= tf.gather(tf.constant(settings.class_weights, tf.float32), labels)
    return loss


def _sigmoid_loss(logits, labels, settings):
    """Sum (or mean) over the labels of the binary cross-entropy."""
    smoothing = settings.label_smoothing
    targets = (1.0 - smoothing) * tf.cast(labels, tf.float32) + smoothing / 2
    log_yes, log_no = tf.log_sigmoid(logits), tf.log_sigmoid(-logits)
    weights = 1.0 if settings.class_weights is None else tf.constant(settings.class_weights)
    yes, no = weights * targets * log_yes, (1.0 - targets) * log_no
    if settings.focal_gamma:
        yes *= _focus(log_yes, settings.focal_gamma)
        no *= _focus(log_no, settings.focal_gamma)
    return -_over_labels(yes + no, settings.multi_label_loss)


_LOSSES = {
    "single_label": _softmax_loss,
    "multi_label": _sigmoid_loss,
    "regression": _squared_error,
}


def _over_labels(values, multi_label_loss):
    """One value for each example of those of its labels; float [B, C] -> [B].

    The gradient of a mean is C times smaller: with many labels next to nothing is learnt by it.
    """
    reduce = {"sum": tf.reduce_sum, "mean": tf.reduce_mean}[multi_label_loss]
    return reduce(values, axis=-1)


def _focus(log_probs, gamma):
    """(1 - p) ** gamma; for gamma below 1 its slope at p = 1 would be infinite."""
    return tf.pow(tf.maximum(-tf.math.expm1(log_probs), _TINY), gamma)


def divergence(logits, other_logits, objective, multi_label_loss="sum"):
    """Symmetric Kullback-Leibler divergence of two predictions, (KL(p|q) + KL(q|p)) / 2.

    Of a multi-label task it is the sum over the labels, of a regression the squared difference.

    Args:
        logits: float tensor [B, C].
        other_logits: float tensor [B, C].
        objective: one of `OBJECTIVES`.
        multi_label_loss: "mean" for the mean over the labels.

    Returns:
        float tensor [B].
    """
    return _DIVERGENCES[objective](logits, other_logits, multi_label_loss)


def _divergence_of_classes(logits, other_logits, multi_label_loss):
    del multi_label_loss
    p, q = tf.nn.log_softmax(logits), tf.nn.log_softmax(other_logits)
    return 0.5 * tf.reduce_sum((tf.exp(p) - tf.exp(q)) * (p - q), axis=-1)


def _divergence_of_labels(logits, other_logits, multi_label_loss):
    """For Bernoulli variables it is (p - q) times the difference of the logits."""
    terms = (tf.sigmoid(logits) - tf.sigmoid(other_logits)) * (logits - other_logits)
    return 0.5 * _over_labels(terms, multi_label_loss)


def _divergence_of_values(logits, other_logits, multi_label_loss):
    del multi_label_loss
    return tf.square(logits - other_logits)[:, 0]


_DIVERGENCES = {
    "single_label": _divergence_of_classes,
    "multi_label": _divergence_of_labels,
    "regression": _divergence_of_values,
}


def training_loss(build_logits, labels, settings, use_tpu=False):
    """The loss that is minimised, and the plain part of it that is shown.

    R-Drop: half of the paper's loss, so that it compares with that of one pass. FGM: the loss plus
    that on a word table moved by epsilon along the gradient.

    Args:
        build_logits: function of a change of the word table (None, or a tensor [V, E]) -> [B, C]
            of the model in training; a further call uses the same variables and other dropout.
        labels: as in `per_example_loss`.
        settings: `Settings`.
        use_tpu: bool.

    Returns:
        (minimised, shown): two float scalar tensors.
    """
    logits = build_logits(None)
    loss = shown = tf.reduce_mean(per_example_loss(logits, labels, settings))
    if settings.rdrop_alpha:
        other = build_logits(None)
        loss = 0.5 * (loss + tf.reduce_mean(per_example_loss(other, labels, settings)))
        drift = tf.reduce_mean(
            divergence(logits, other, settings.objective, settings.multi_label_loss)
        )
        loss += 0.5 * settings.rdrop_alpha * drift
    if settings.fgm_epsilon:
        scaled = settings.loss_scale * loss
        change = adversarial_change(scaled, _word_table(), settings.fgm_epsilon, use_tpu)
        loss += tf.reduce_mean(per_example_loss(build_logits(change), labels, settings))
    return loss, shown


def adversarial_change(loss, table, epsilon, use_tpu=False):
    """FGM's change of a table: the gradient of the whole batch's loss, epsilon long.

    Args:
        loss: float scalar tensor, of this replica's share of the batch.
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
    return next(v for v in tf.trainable_variables() if modeling.variable_name(v) == WORD_TABLE)


@contextlib.contextmanager
def changed_word_table(change):
    """What is built inside uses the variables that are there, the word table plus a change.

    Args:
        change: float tensor [V, E], or None.
    """

    def changed(getter, name, *args, **kwargs):
        variable = getter(name, *args, **kwargs)
        return variable + change if change is not None and name == WORD_TABLE else variable

    scope = tf.get_variable_scope()
    with tf.variable_scope(scope, reuse=True, custom_getter=changed):
        yield


# Class weights, shares of labels


def prior_logits(counts, num_rows):
    """Logits of the shares of rows that have each label, so that training starts from them.

    Args:
        counts: list of int, rows that have each label.
        num_rows: all rows.

    Returns:
        list of float; half a row is added to either side, so that none is infinite.
    """
    return [math.log((count + 0.5) / (num_rows - count + 0.5)) for count in counts]


def multi_label_epochs(usual, steps_per_epoch):
    """Passes over the rows: the usual number, of few rows more.

    Args:
        usual: float, the number for many rows.
        steps_per_epoch: float.
    """
    enough = MULTI_LABEL_STEPS / steps_per_epoch
    return max(usual, min(enough, MOST_MULTI_LABEL_EPOCHS))


def balanced_weights(counts):
    """Weights inverse to the classes' sizes, 1 on average over the examples.

    Args:
        counts: list of int, examples of each class.
    """
    total = sum(counts)
    return [total / (len(counts) * count) if count else 1.0 for count in counts]


def weights_of_labels(given, labels, source):
    """Class weights of a file.

    Args:
        given: {label: weight}, as a JSON file has it.
        labels: the task's labels.
        source: the file's name, for errors.

    Returns:
        list of float, 1 for labels that are not given.

    Raises:
        UserError: for labels that the task has not, and weights that are no positive numbers.
    """
    validation.checked("--class_weights=%s" % source, given, CLASS_WEIGHTS)
    unknown = sorted(set(given) - set(labels))
    if unknown:
        raise UserError(
            "--class_weights=%s: expected a JSON object {label: weight} of %s, found %s"
            % (source, ", ".join(labels[:20]), validation.shown(", ".join(unknown)))
        )
    return [float(given.get(label, 1.0)) for label in labels]


# The train op


class _Layerwise:
    """An optimizer whose rate differs between variables."""

    rate_scales = {}  # {name of a variable: factor of its rate}, 1 where it has none

    def _scale(self, var, update):
        scale = self.rate_scales.get(modeling.variable_name(var), 1.0)
        return scale * super()._scale(var, update)


class LayerwiseAdamW(_Layerwise, optimization.AdamWeightDecayOptimizer):
    """AdamW whose rate differs between variables."""


class LayerwiseLAMB(_Layerwise, optimization.LAMBOptimizer):
    """LAMB whose rate differs between variables."""


_LAYERWISE = {"adamw": LayerwiseAdamW, "lamb": LayerwiseLAMB}


def create_train_op(
    loss,
    learning_rate,
    num_train_steps,
    num_warmup_steps,
    use_tpu,
    settings,
    plain=False,
):
    """The op of one training step by the settings' optimizer: AdamW, unless they name another.

    Args:
        loss: float scalar tensor.
        learning_rate: float, the highest rate.
        num_train_steps: int.
        num_warmup_steps: int.
        use_tpu: bool.
        settings: `Settings`.
        plain: bool; compile nothing.
    """
    variables = tf.trainable_variables()
    if settings.freeze_encoder:
        variables = [v for v in variables if not _FROZEN.match(modeling.variable_name(v))]
    global_step = tf.train.get_or_create_global_step()
    rate = optimization.learning_rate(learning_rate, num_train_steps, num_warmup_steps, global_step)
    # Of the original's programs google's alone fine-tune with LAMB.
    optimizer = optimization.make_optimizer(settings.optimizer, "google", rate, _LAYERWISE)
    names = [modeling.variable_name(variable) for variable in variables]
    optimizer.rate_scales = rate_scales(
        names, settings.layer_decay, settings.classifier_rate_factor
    )
    optimizer.is_compiled = not (plain or use_tpu)
    if use_tpu:
        optimizer = tf.tpu.CrossShardOptimizer(optimizer)
    scale = settings.loss_scale
    gradients = optimizer.compute_gradients(scale * loss, var_list=variables)
    if scale != 1.0:
        gradients = [(_divided(gradient, scale), v) for gradient, v in gradients]
    return optimizer.apply_gradients(gradients, global_step=global_step)


def _divided(gradient, divisor):
    """A gradient, dense or of rows, or None, divided by a number."""
    if isinstance(gradient, tf.IndexedSlices):
        return tf.IndexedSlices(gradient.values / divisor, gradient.indices, gradient.dense_shape)
    return None if gradient is None else gradient / divisor


def rate_scales(names, layer_decay, classifier_factor=1.0):
    """Factors of the learning rate by depth: 1 for pooler and classifier, less below.

    The classifier's depth is the highest; from one depth to the next below the factor is
    `layer_decay`. Layers that share their weights are one depth, so a brightmart ALBERT has three:
    classifier and pooler, the shared layer, the embeddings.

    Args:
        names: names of variables.
        layer_decay: float, above 0 and up to 1.
        classifier_factor: float, by which that of the classifier is multiplied.

    Returns:
        {name: factor}.
    """
    layers = sorted({_layer_of(name) for name in names if _layer_of(name) is not None})
    top = len(layers) + 1
    scales = {}
    for name in names:
        layer = _layer_of(name)
        depth = 0 if name.startswith("bert/embeddings/") else top
        if layer is not None:
            depth = 1 + layers.index(layer)
        elif name.startswith("bert/encoder/"):  # google's mapping of the embeddings
            depth = 0
        scales[name] = layer_decay ** (top - depth)
        if name in CLASSIFIER_VARIABLES:
            scales[name] *= classifier_factor
    return scales


def _layer_of(name):
    """What orders the layers of a variable's name; None outside of layers."""
    match = re.match(
        r"bert/encoder/(?:layer_(\d+)|(layer_shared)|\w+/group_(\d+)/\w+?_(\d+))/", name
    )
    if match is None:
        return None
    return tuple(int(part) if part and part.isdigit() else 0 for part in match.groups())


def check(settings):
    """Raises `UserError` for settings that make no sense."""
    rules = (
        (
            "pooling",
            settings.pooling in classifier_output.POOLINGS,
            "one of " + ", ".join(classifier_output.POOLINGS),
        ),
        ("label_smoothing", 0 <= settings.label_smoothing < 1, "0 or more and below 1"),
        ("focal_gamma", settings.focal_gamma >= 0, "0 or more"),
        ("rdrop_alpha", settings.rdrop_alpha >= 0, "0 or more"),
        ("fgm_epsilon", settings.fgm_epsilon >= 0, "0 or more"),
        ("layer_decay", 0 < settings.layer_decay <= 1, "more than 0 and at most 1"),
        (
            "classifier_rate_factor",
            0 < settings.classifier_rate_factor < float("inf"),
            "more than 0",
        ),
    )
    for name, is_sensible, expected in rules:
        if not is_sensible:
            raise UserError(
                "--%s: %s makes no sense, expected %s" % (name, getattr(settings, name), expected)
            )
    if settings.freeze_encoder and settings.fgm_epsilon:
        raise UserError("--fgm_epsilon changes the word table, which --freeze_encoder keeps")


def logits_builder(config, features, num_outputs, settings, is_training, **model_settings):
    """The function that `training_loss` calls for logits.

    Args:
        config: `AlbertConfig`.
        features: dict of input_ids, input_mask and segment_ids, int tensors [B, F].
        num_outputs: int, C.
        settings: `Settings`.
        is_training: bool.
        **model_settings: further arguments of `AlbertModel`; with `plain` nothing is left out.

    Returns:
        function of a change of the word table, or None -> float tensor [B, C].
    """
    num_built = [0]
    positions = (
        None
        if model_settings.get("plain")
        else classifier_output.output_positions(settings.pooling)
    )

    def build(change=None):
        is_first = not num_built[0]
        num_built[0] += 1
        with contextlib.ExitStack() as stack:
            if not is_first:
                stack.enter_context(changed_word_table(change))
            model = modeling.AlbertModel(
                config,
                is_training,
                features["input_ids"],
                features["input_mask"],
                features["segment_ids"],
                scope="bert",
                output_positions=positions,
                **model_settings,
            )
            pooled = classifier_output.pooled_output(
                model, features["input_mask"], settings.pooling
            )  # [B, H]
            head = modeling.classification_head(
                config, pooled, None, num_outputs, is_training, settings.initial_bias
            )
        return head.logits

    return build
