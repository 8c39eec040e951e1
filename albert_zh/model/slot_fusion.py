"""Slot fusion in a classifier: label embeddings, text-to-label attention, gate, self-attention.

    fused = fused_output(sequence, slots, input_mask, config, settings, is_training)  # [B, F, H]

Slots are what a dictionary or an annotator knows about each position: any number of S slot names.
The article "BERT at Xiaomi" (2020) describes the parts without formulas; the formulas here are the
project's choice.

    e_i = mean of the embeddings of position i's labels, a learned row if it has none
    u_i = W_h h_i + b_h,  v_i = W_s e_i + b_s                        a common space of D dimensions
    c_i = sum_j softmax_j(u_i . v_j / sqrt(D)) v_j                   j: labelled positions
    s_i = W_o c_i + b_o,  g_i = sigmoid(W_g [h_i ; s_i] + b_g)
    z_i = g_i h_i + (1 - g_i) s_i
    y_i = LayerNorm(z_i + multi-head attention of z)

Letters in shape comments: B rows, F positions, H hidden, S names of slots, E width of their
embeddings, D of the common space, R = B * F.
"""

import collections
import copy
import math
from typing import Any, Callable, Dict

import numpy as np
import tensorflow.compat.v1 as tf

from albert_zh.model.attention import self_attention
from albert_zh.model.attention_masks import MASKED_LOGIT
from albert_zh.model.layers import dense, dropout, dropout_seed, get_shape_list, layer_norm
from albert_zh.model.variables import new_variable

SCOPE = "slots"
OPEN_GATE = 2.0  # initial bias of the gate: 0.88 of the text, so that training starts near the text

SlotSettings = collections.namedtuple(
    "SlotSettings",
    "names attention gate context dropout label_width width templates",
    defaults=(True, True, True, 0.1, 64, 128, False),
)
SlotSettings.__doc__ = """The parts of slot fusion that a model has.

Fields:
    names: list of str, S names of slots.
    attention: bool; each position attends to the labels of all positions; else only to its own.
    gate: bool; a gate weighs text and labels; else they are added.
    context: bool; multi-head attention over the result.
    dropout: fraction of training rows whose slots are hidden.
    label_width: int, E.
    width: int, D.
    templates: bool; additional logits of `slot_templates`. Models of earlier versions have none.
"""


def settings_of_head(head: Dict[str, Any]) -> SlotSettings:
    """The slot settings in a head, `Settings.head`.

    Args:
        head: {"slots": {field: value, and further keys that only the data code uses}}.
    """
    fields = head["slots"]
    return SlotSettings(**{name: fields[name] for name in SlotSettings._fields if name in fields})


def features_of_step(features: Dict[str, tf.Tensor], head: Dict[str, Any]) -> Dict[str, tf.Tensor]:
    """The features of a training step, with the slots of some rows hidden.

    Args:
        features: `slots` int [B, F, S] and other features.
        head: `Settings.head`.

    Returns:
        all features; `slots` is float.
    """
    slots = tf.cast(features["slots"], tf.float32)
    return dict(features, slots=dropped_slots(slots, settings_of_head(head).dropout))


def fusion(
    features: Dict[str, tf.Tensor], config: Any, head: Dict[str, Any], is_training: bool
) -> Callable[[tf.Tensor], tf.Tensor]:
    """The function that fuses slots into the encoder's output, [B, F, H] -> [B, F, H].

    Args:
        features: `slots` int or float [B, F, S], `input_mask` int [B, F].
        config: `AlbertConfig`.
        head: `Settings.head`.
        is_training: bool.
    """
    settings = settings_of_head(head)
    return lambda sequence: fused_output(
        sequence, features["slots"], features["input_mask"], config, settings, is_training
    )


def fused_output(
    sequence: tf.Tensor,
    slots: tf.Tensor,
    input_mask: tf.Tensor,
    config: Any,
    settings: SlotSettings,
    is_training: bool,
) -> tf.Tensor:
    """Fuses slots into the encoder's output; variables under `slots`.

    Args:
        sequence: float tensor [B, F, H].
        slots: int or float tensor [B, F, S], 1 if a position has a label.
        input_mask: int tensor [B, F].
        config: `AlbertConfig`.
        settings: `SlotSettings`.
        is_training: bool; whether to apply dropout as in the encoder.

    Returns:
        float tensor [B, F, H].
    """
    config = _config_of_part(config, is_training)
    batch, length, width = get_shape_list(sequence, expected_rank=3)
    slots = tf.cast(slots, tf.float32)
    text = tf.reshape(sequence, [-1, width])  # [R, H]
    mask = tf.cast(input_mask, tf.float32)
    with tf.variable_scope(SCOPE):
        labels = pooled_labels(slots, config, settings)  # [B, F, E]
        labels = tf.cast(tf.reshape(labels, [-1, settings.label_width]), text.dtype)
        labels = _dense(labels, settings.width, config, "label")  # [R, D]
        if settings.attention:
            queries = _dense(text, settings.width, config, "text")  # [R, D]
            shape = [batch, length, settings.width]
            labels = attended_labels(
                tf.reshape(queries, shape), tf.reshape(labels, shape), slots, mask
            )
            labels = tf.reshape(labels, [-1, settings.width])
        labels = _dense(labels, width, config, "output")  # [R, H]
        labels = dropout(labels, config.hidden_dropout_prob)
        fused = gated(text, labels, config) if settings.gate else text + labels
        if settings.context:
            fused = _with_context(fused, mask, [batch, length], config)
        return tf.reshape(fused, [batch, length, width])


def dropped_slots(slots: tf.Tensor, share: float) -> tf.Tensor:
    """Sets the slots of a random fraction of the rows to 0: float [B, F, S] -> [B, F, S]."""
    if not share:
        return slots
    with tf.name_scope("dropout"):
        drawn = tf.random.stateless_uniform(tf.stack([tf.shape(slots)[0], 1, 1]), dropout_seed())
        return slots * tf.cast(drawn >= share, slots.dtype)


def pooled_labels(slots: tf.Tensor, config: Any, settings: SlotSettings) -> tf.Tensor:
    """The mean embedding of each position's labels, or row 0 of the table if it has no label.

    Args:
        slots: float tensor [B, F, S].
        config: `AlbertConfig`.
        settings: `SlotSettings`.

    Returns:
        float tensor [B, F, E].
    """
    shape = [len(settings.names) + 1, settings.label_width]
    table = new_variable("label_embeddings", shape, _scaled(config, 1))  # [S + 1, E]
    count = tf.reduce_sum(slots, axis=-1, keepdims=True)  # [B, F, 1]
    chosen = tf.concat([tf.cast(count < 0.5, tf.float32), slots], axis=-1)  # [B, F, S + 1]
    chosen = tf.reshape(chosen / tf.maximum(count, 1.0), [-1, shape[0]])
    batch, length, _ = get_shape_list(slots)
    return tf.reshape(tf.matmul(chosen, table), [batch, length, settings.label_width])


def attended_labels(
    queries: tf.Tensor, labels: tf.Tensor, slots: tf.Tensor, mask: tf.Tensor
) -> tf.Tensor:
    """Attention from each position to the labelled positions (to all if a row has no slots).

    Args:
        queries: float tensor [B, F, D], computed from the text.
        labels: float tensor [B, F, D].
        slots: float tensor [B, F, S].
        mask: float tensor [B, F].

    Returns:
        float tensor [B, F, D].
    """
    labelled = tf.minimum(tf.reduce_sum(slots, axis=-1), 1.0) * mask  # [B, F]
    has_none = tf.cast(tf.reduce_sum(labelled, axis=1, keepdims=True) < 0.5, tf.float32)
    hidden = (1.0 - (labelled + has_none * mask)) * MASKED_LOGIT  # [B, F]
    scores = tf.cast(tf.matmul(queries, labels, transpose_b=True), tf.float32)  # [B, F, F]
    scores = scores / math.sqrt(int(queries.shape[-1])) + hidden[:, None, :]
    return tf.matmul(tf.cast(tf.nn.softmax(scores), labels.dtype), labels)


def gated(text: tf.Tensor, labels: tf.Tensor, config: Any) -> tf.Tensor:
    """Mixes text and labels, [R, H] each, by a gate per dimension: float [R, H]."""
    width = int(text.shape[-1])
    with tf.variable_scope("gate"):
        kernel = new_variable("kernel", [2 * width, width], config)
        bias = tf.get_variable(
            "bias", [width], initializer=tf.constant_initializer(np.float32(OPEN_GATE))
        )
    both = tf.concat([text, labels], axis=1)  # [R, 2 H]
    logits = tf.matmul(both, tf.cast(kernel, both.dtype)) + tf.cast(bias, both.dtype)
    gate = tf.sigmoid(logits)
    return gate * text + (1.0 - gate) * labels


def _with_context(fused, mask, batch_shape, config):
    """Multi-head self-attention over [R, H], added and normalized."""
    hidden = ((1.0 - mask) * MASKED_LOGIT)[:, None, None, :]  # [B, 1, 1, F]
    attended = self_attention(config, "attention", fused, hidden, batch_shape)
    attended = dropout(attended, config.hidden_dropout_prob)
    return layer_norm(fused + attended, "attention/output/LayerNorm")


def _dense(x, width, config, scope):
    return dense(x, width, _scaled(config, int(x.shape[-1])), scope)


def _scaled(config, size):
    """A config whose initial weights preserve the scale of sums over `size` inputs."""
    config = copy.copy(config)
    config.initializer_range = 1.0 / math.sqrt(size)
    return config


def _config_of_part(config, is_training):
    """A copy of a config for layers on top of the encoder."""
    config = copy.copy(config)
    config.saves_memory, config.is_plain, config.attention_inputs = False, True, None
    if not is_training:
        config.hidden_dropout_prob = config.attention_probs_dropout_prob = 0.0
    return config
