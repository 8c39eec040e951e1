"""Distillation losses between the outputs of student and teacher: pure functions of tensors.

    loss = softened_divergence(student_logits, teacher_logits, temperature=2.0)  # [B]

A teacher's logits may be log probabilities: adding a constant to all classes of a row does not
change a loss. Letters in shape comments: B rows, C classes; `...` any further dimensions.
"""

import tensorflow.compat.v1 as tf

DIVERGENCE, SQUARED, TINYBERT = "kl", "mse", "tinybert"


def mean_soft_cross_entropy(
    logits: tf.Tensor, teacher_logits: tf.Tensor, temperature: float = 1.0
) -> tf.Tensor:
    """TinyBERT's prediction loss: cross-entropy of the softened distributions.

    Hinton et al. (2015) sum it over the classes; this is the mean over the classes.

    Args:
        logits: the student's, float tensor [..., C].
        teacher_logits: float tensor [..., C].
        temperature: both kinds of logits are divided by it.

    Returns:
        float tensor [...], not multiplied by the square of the temperature.
    """
    targets = tf.nn.softmax(teacher_logits / temperature)
    return tf.reduce_mean(-targets * tf.nn.log_softmax(logits / temperature), axis=-1)


def softened_divergence(
    logits: tf.Tensor, teacher_logits: tf.Tensor, temperature: float = 1.0
) -> tf.Tensor:
    """KL(teacher | student) of the softened distributions, times the squared temperature.

    The square keeps the size of the gradient independent of the temperature. Arguments as in
    `mean_soft_cross_entropy`.

    Returns:
        float tensor [...].
    """
    target_logs = tf.nn.log_softmax(teacher_logits / temperature)
    logs = tf.nn.log_softmax(logits / temperature)
    divergence = tf.reduce_sum(tf.exp(target_logs) * (target_logs - logs), axis=-1)
    return temperature**2 * divergence


def softened_label_cross_entropy(
    logits: tf.Tensor, teacher_logits: tf.Tensor, temperature: float = 1.0
) -> tf.Tensor:
    """Binary cross-entropy of each label's softened probability, for multi-label tasks.

    Args and returns: float tensors [..., C]; not multiplied by the square of the temperature.
    """
    return tf.nn.sigmoid_cross_entropy_with_logits(
        labels=tf.sigmoid(teacher_logits / temperature), logits=logits / temperature
    )


def squared_distance(logits: tf.Tensor, teacher_logits: tf.Tensor) -> tf.Tensor:
    """Mean over the classes of the squared differences, float tensor [..., C] -> [...]."""
    return tf.reduce_mean(tf.square(logits - teacher_logits), axis=-1)


def centred(logits: tf.Tensor) -> tf.Tensor:
    """Logits shifted to mean 0 over the classes, float tensor [..., C]."""
    return logits - tf.reduce_mean(logits, axis=-1, keepdims=True)


def centred_distance(
    logits: tf.Tensor, teacher_logits: tf.Tensor, temperature: float = 1.0
) -> tf.Tensor:
    """`squared_distance` of the centred logits, float tensor [..., C] -> [...].

    The temperature has no effect; it is there because all losses over classes accept it.
    """
    del temperature
    return squared_distance(centred(logits), centred(teacher_logits))


def mean_over_mask(losses: tf.Tensor, mask: tf.Tensor) -> tf.Tensor:
    """The mean of each row's losses over the masked-in positions; 0 for a row without any.

    Args:
        losses: float tensor [B, F].
        mask: float tensor [B, F] of 0 and 1.

    Returns:
        float tensor [B].
    """
    counts = tf.reduce_sum(mask, axis=1)
    return tf.reduce_sum(losses * mask, axis=1) / tf.maximum(counts, 1.0)


# Losses of independent softmaxes, by their names in `--distill_loss`.
LOSSES_OF_CLASSES = {
    DIVERGENCE: softened_divergence,
    SQUARED: centred_distance,
    TINYBERT: mean_soft_cross_entropy,
}
DISTILL_LOSSES = tuple(LOSSES_OF_CLASSES)
