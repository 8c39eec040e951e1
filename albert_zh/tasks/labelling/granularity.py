"""Word segmentation with several granularities in one model.

The granularity is a token of the input: [CLS] [unused1] c1 ... cn [SEP] (`granularity_tokens`).
Embeddings of bigrams (pieces i, i + 1, hashed into a table) are added to the encoder's output,
multi-head attention follows, and the granularity is predicted from [CLS] as an auxiliary task. Each
of these parts can be disabled.

Letters in shape comments: B rows, F positions, H hidden size, E width of bigram embeddings.
"""

import collections
import copy
import itertools
import re
from typing import Any, Collection, Dict, Sequence

import tensorflow.compat.v1 as tf

from albert_zh.common.errors import UserError
from albert_zh.model.attention import self_attention
from albert_zh.model.attention_masks import MASKED_LOGIT
from albert_zh.model.heads import CLASSIFIER_DROPOUT, cross_entropy
from albert_zh.model.layers import dense, dropout, get_shape_list

SCOPE = "granularity"
BIGRAM_DROPOUT = 0.5  # without it, training relies too much on the bigrams it has seen
_UNUSED = re.compile(r"\[unused\d+\]\Z")
_SPECIAL = re.compile(r"\[.*\]\Z|\Z")  # [CLS] and the like, and the blank entries of unused ids
_MULTIPLIER = 2654435761  # Knuth's constant for multiplicative hashing
_HASH_SIZE = 2**32

GranularitySettings = collections.namedtuple(
    "GranularitySettings",
    ["names", "has_bigrams", "has_attention", "loss_weight", "num_bigrams", "bigram_width"],
    defaults=(True, True, 0.1, 2**16, 32),
)
GranularitySettings.__doc__ = """Granularities and parts of a model.

Fields:
    names: tuple of str, the granularities, in the order of their tokens.
    has_bigrams: bool, whether embeddings of bigrams are added.
    has_attention: bool, whether attention is applied to the encoder's output and the bigrams.
    loss_weight: float, weight of the loss of predicting the granularity; 0 disables it.
    num_bigrams: int, number of rows of the bigram table, at most 2^32.
    bigram_width: int, E.
"""


def granularity_tokens(
    vocab: Dict[str, int], names: Sequence[str], used: Collection[str]
) -> Dict[str, str]:
    """Chooses the entry of the vocabulary that represents each granularity.

    Entries that are made for such purposes ([unused1] ...) are taken first, and then entries that
    do not occur in the training texts, from the end of the vocabulary, where the rarest ones are.

    Args:
        vocab: {token: id}.
        names: the granularities.
        used: tokens that occur in the training texts.

    Returns:
        {granularity: token}.

    Raises:
        UserError: if the vocabulary has too few unused entries.
    """
    by_id = sorted(vocab, key=vocab.__getitem__)
    free = [token for token in by_id if _UNUSED.match(token)]
    rare = (token for token in reversed(by_id) if token not in used and not _SPECIAL.match(token))
    free += itertools.islice(rare, len(names))
    if len(free) < len(names):
        raise UserError(
            "--granularities=%s: the training texts use all entries of the vocabulary but %d, and "
            "each granularity needs one: use a vocabulary with entries [unused1], [unused2] ..."
            % (",".join(names), len(free))
        )
    return dict(zip(names, free))


def bigram_ids(input_ids: tf.Tensor, num_bigrams: int) -> tf.Tensor:
    """Hashes the bigram of each position's token and the next token to a row of the table.

    Args:
        input_ids: int tensor [B, F].
        num_bigrams: int, number of rows of the table, a power of two up to 2^32; the last row is
            not used.

    Returns:
        int32 tensor [B, F]; the last position is paired with id 0.
    """
    ids = tf.cast(input_ids, tf.int64)
    following = tf.pad(ids[:, 1:], [[0, 0], [0, 1]])
    pairs = tf.floormod(ids * 65521 + following, _HASH_SIZE)
    # The product may overflow int64, but this does not change its lower 32 bits.
    hashed = tf.floormod(pairs * _MULTIPLIER, _HASH_SIZE)
    # Among the exact operations, the remainder is available for int64 in TensorFlow Lite.
    return tf.cast(tf.floormod(hashed, num_bigrams - 1), tf.int32)


def joined_output(
    encoder_output: tf.Tensor,
    features: Dict[str, tf.Tensor],
    config: Any,
    settings: Any,
    is_training: bool,
) -> tf.Tensor:
    """Adds bigrams and attention to the encoder's output; variables are under `granularity`.

    Both parts are added with weights that start from zero: training begins with the output of the
    pre-trained encoder, and bigrams that do not occur in training change nothing.

    Args:
        encoder_output: float tensor [B, F, H].
        features: `input_ids` and `input_mask`, int [B, F].
        config: `AlbertConfig`.
        settings: `GranularitySettings`.
        is_training: bool; dropout as in the encoder, and `BIGRAM_DROPOUT` for bigrams.

    Returns:
        float tensor [B, F, H].
    """
    if not (settings.has_bigrams or settings.has_attention):
        return encoder_output
    batch, length, width = get_shape_list(encoder_output, expected_rank=3)
    if not is_training:
        config = copy.copy(config)
        config.hidden_dropout_prob = config.attention_probs_dropout_prob = 0.0
    drop = config.hidden_dropout_prob
    with tf.variable_scope(SCOPE):
        rows = tf.reshape(encoder_output, [-1, width])  # [B * F, H]
        if settings.has_bigrams:
            shape = [settings.num_bigrams, settings.bigram_width]
            table = tf.get_variable("bigram_embeddings", shape, initializer=tf.zeros_initializer())
            ids = bigram_ids(features["input_ids"], settings.num_bigrams)
            bigrams = tf.cast(tf.gather(table, tf.reshape(ids, [-1])), rows.dtype)  # [B * F, E]
            bigrams = dropout(bigrams, BIGRAM_DROPOUT if is_training else 0.0)
            rows += dense(bigrams, width, config, "join")
        if settings.has_attention:
            mask = tf.cast(features["input_mask"], tf.float32)[:, None, None, :]
            mask = (1.0 - mask) * MASKED_LOGIT  # [B, 1, 1, F]
            attended = self_attention(config, "attention", rows, mask, [batch, length])
            gate = tf.get_variable("attention_gate", [width], initializer=tf.zeros_initializer())
            rows += tf.cast(gate, rows.dtype) * dropout(attended, drop)
        return tf.reshape(rows, [batch, length, width])


def granularity_loss(
    encoder_output: tf.Tensor,
    granularity_ids: tf.Tensor,
    config: Any,
    settings: Any,
    is_training: bool,
) -> tf.Tensor:
    """Computes the loss of predicting the granularity from [CLS], times `settings.loss_weight`.

    Args:
        encoder_output: float tensor [B, F, H].
        granularity_ids: int tensor [B], positions in `settings.names`.
        config: `AlbertConfig`.
        settings: `GranularitySettings`.
        is_training: bool; dropout of 0.1 in training.

    Returns:
        float tensor [B]; zeros, without variables, if the weight is 0.
    """
    first = tf.cast(encoder_output[:, 0], tf.float32)  # [B, H]
    if not settings.loss_weight:
        return tf.zeros_like(first[:, 0])
    with tf.variable_scope(SCOPE):
        first = dropout(first, CLASSIFIER_DROPOUT if is_training else 0.0)
        logits = dense(first, len(settings.names), config, "prediction")
        losses, _ = cross_entropy(granularity_ids, logits)
    return settings.loss_weight * losses
