"""Pooling of the encoder's output and the predictions of a classifier."""

from typing import TYPE_CHECKING, Callable, Optional

import tensorflow.compat.v1 as tf

from albert_zh.model.layers import FIRST_TOKEN, max_over_tokens, mean_over_tokens

if TYPE_CHECKING:
    from albert_zh.model.encoder import AlbertModel

# How logits [B, C] become predictions: a softmax, a sigmoid per label, or the value itself.
OBJECTIVES = {"single_label": tf.nn.softmax, "multi_label": tf.sigmoid, "regression": tf.identity}


def probabilities(logits: tf.Tensor, objective: str) -> tf.Tensor:
    """Converts logits to predictions, see `OBJECTIVES`; float tensor [B, C]."""
    return OBJECTIVES[objective](logits)


def output_positions(pooling: str) -> Optional[str]:
    """The `output_positions` argument of `AlbertModel` that a pooling mode needs."""
    return FIRST_TOKEN if pooling == "cls" else None


def pooled_output(
    model: "AlbertModel",
    input_mask: tf.Tensor,
    pooling: str,
    changed: Optional[Callable[[tf.Tensor], tf.Tensor]] = None,
) -> tf.Tensor:
    """Pools a sequence into one vector.

    `cls`: the pooler's output, with which ALBERT is trained; `mean`, `max`: over the tokens of the
    last layer; `second_to_last`: mean over the tokens of the second-to-last layer; `last4`: mean
    over the tokens of the average of the last four layers. Padding is ignored.

    Args:
        model: `modeling.AlbertModel`.
        input_mask: int tensor [B, F].
        pooling: one of `POOLINGS`.
        changed: function [B, F, H] -> [B, F, H] applied to the sequence before pooling, or None.

    Returns:
        float tensor [B, H].
    """
    if pooling == "cls" and changed is None:
        return model.get_pooled_output()
    layers = model.get_hidden_states()[1:]
    sequence = {
        "cls": lambda: layers[-1],
        "mean": lambda: layers[-1],
        "max": lambda: layers[-1],
        "second_to_last": lambda: layers[-2] if len(layers) > 1 else layers[-1],
        "last4": lambda: tf.add_n(layers[-4:]) / len(layers[-4:]),
    }[pooling]()  # [B, F, H]
    if changed is not None:
        sequence = changed(sequence)
    if pooling == "cls":
        return model.pooled(sequence)
    sequence = tf.cast(sequence, tf.float32)
    mask = tf.cast(input_mask[:, :, None], tf.float32)  # [B, F, 1]
    pooled = max_over_tokens if pooling == "max" else mean_over_tokens
    return pooled(sequence, mask)
