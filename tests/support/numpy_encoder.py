"""brightmart's ALBERT encoder in plain numpy, from the papers; shares no code with the package.

Letters in shape comments: B batch, F tokens, H hidden, N heads, D head size.
"""

import math

import numpy as np

STANDARD_DEVIATION = 0.03


def random_weights(generator, name, shape):
    """Random float32 weights of a variable; LayerNorm and biases also differ from 1 and 0.

    Args:
        generator: `np.random.RandomState`.
        name: the variable's name; `gamma`s are around 1.
        shape: its shape.
    """
    noise = STANDARD_DEVIATION * generator.standard_normal([int(size) for size in shape])
    return (noise + name.endswith("gamma")).astype(np.float32)


def outputs(weights, ids, mask, segments, layers, heads, is_pre_norm):
    """(sequence output [B, F, H], pooled output [B, H]) without dropout.

    Args:
        weights: {name of a variable: array}.
        ids: int [B, F].
        mask: int [B, F], 0 for padding; or [B, F, F], 1 if a position attends to another.
        segments: int [B, F].
        layers: number of layers.
        heads: number of attention heads.
        is_pre_norm: whether LayerNorm comes before attention and feed-forward, not after.
    """
    table = weights["bert/embeddings/word_embeddings"]
    x = table[ids] @ weights["bert/embeddings/word_embeddings_2"]  # [B, F, H]
    x = x + weights["bert/embeddings/token_type_embeddings"][segments]
    x = x + weights["bert/embeddings/position_embeddings"][: ids.shape[1]]
    x = _normalized(weights, "bert/embeddings/LayerNorm", x)
    scope = "bert/encoder/layer_shared/"
    attention_norm, output_norm = (
        scope + name for name in ("attention/output/LayerNorm", "output/LayerNorm")
    )
    for _ in range(layers):
        if is_pre_norm:
            x = x + _attention(weights, scope, _normalized(weights, attention_norm, x), mask, heads)
            x = x + _feed_forward(weights, scope, _normalized(weights, output_norm, x))
        else:
            x = x + _attention(weights, scope, x, mask, heads)
            x = _normalized(weights, attention_norm, x)
            x = _normalized(weights, output_norm, x + _feed_forward(weights, scope, x))
    return x, np.tanh(_dense(weights, "bert/pooler/dense", x[:, 0]))


def _attention(weights, scope, x, mask, heads):
    batch, length, width = x.shape

    def of_heads(name):
        y = _dense(weights, scope + "attention/self/" + name, x)
        return y.reshape(batch, length, heads, width // heads).transpose(0, 2, 1, 3)  # [B, N, F, D]

    query, key, value = (of_heads(name) for name in ("query", "key", "value"))
    scores = query @ key.transpose(0, 1, 3, 2) / math.sqrt(width // heads)  # [B, N, F, F]
    seen = mask[:, None, None, :] if mask.ndim == 2 else mask[:, None]
    scores = scores - 10000.0 * (1 - seen)
    scores = np.exp(scores - scores.max(axis=-1, keepdims=True))
    context = (scores / scores.sum(axis=-1, keepdims=True)) @ value
    context = context.transpose(0, 2, 1, 3).reshape(batch, length, width)
    return _dense(weights, scope + "attention/output/dense", context)


def _feed_forward(weights, scope, x):
    x = _dense(weights, scope + "intermediate/dense", x)
    x = 0.5 * x * (1.0 + np.tanh(math.sqrt(2.0 / math.pi) * (x + 0.044715 * x**3)))  # GELU
    return _dense(weights, scope + "output/dense", x)


def _dense(weights, scope, x):
    return x @ weights[scope + "/kernel"] + weights[scope + "/bias"]


def _normalized(weights, scope, x):
    centered = x - x.mean(axis=-1, keepdims=True)
    deviation = np.sqrt(np.square(centered).mean(axis=-1, keepdims=True) + 1e-12)
    return centered / deviation * weights[scope + "/gamma"] + weights[scope + "/beta"]
