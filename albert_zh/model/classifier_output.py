"""What a classifier computes of the encoder's output: pooling, probabilities."""

from typing import TYPE_CHECKING, Callable, Optional

import tensorflow.compat.v1 as tf

from albert_zh.model.layers import FIRST_TOKEN, max_over_tokens, mean_over_tokens

if TYPE_CHECKING:
    from albert_zh.model.encoder import AlbertModel

# What is predicted, of logits [B, C]: a softmax, a sigmoid for each label, the value itself.
OBJECTIVES = {"single_label": tf.nn.softmax, "multi_label": tf.sigmoid, "regression": tf.identity}


def probabilities(logits: tf.Tensor, objective: str) -> tf.Tensor:
    """What is predicted, see `OBJECTIVES`; float tensor [B, C]."""
    return OBJECTIVES[objective](logits)


def output_positions(pooling: str) -> Optional[str]:
    """The positions of the last layer that a way of pooling needs, as `AlbertModel` takes them."""
    return FIRST_TOKEN if pooling == "cls" else None


def pooled_output(
    model: "AlbertModel",
    input_mask: tf.Tensor,
    pooling: str,
    changed: Optional[Callable[[tf.Tensor], tf.Tensor]] = None,
) -> tf.Tensor:
    """One vector for a sequence.

    `cls`: the pooler's, as ALBERT is trained; `mean`, `max`: over the last layer's tokens;
    `second_to_last`: mean over the tokens of the last layer but one; `last4`: that over the mean of
    the last four layers. Padding is left out.

    Args:
        model: `modeling.AlbertModel`.
        input_mask: int tensor [B, F].
        pooling: one of `POOLINGS`.
        changed: function of the sequence [B, F, H] -> what is pooled in its place; None: itself.

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
