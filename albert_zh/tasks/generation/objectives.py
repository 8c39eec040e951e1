"""Training objectives of generators on rows `[CLS] source [SEP] target [SEP]`; one function each.

    prefix_lm          predicts the next token of the target from the source and the target so far
    masked_targets     predicts masked tokens of the target at their positions, from the source and
                       the preceding tokens
    masked_lm          predicts masked tokens of both texts from all other tokens
    removed_positions  predicts after which tokens of the source a token was removed

The last one is our interpretation of "Mask Pos Predict", which was published without its formula.
Each objective needs one pass of the encoder. Letters in shape comments: B rows, F tokens, P
predictions, H hidden size, V vocabulary size.
"""

from typing import Any, Callable, Dict, NamedTuple

import tensorflow.compat.v1 as tf

from albert_zh.model import attention_masks, heads
from albert_zh.model.layers import dropout_seed, get_shape_list
from albert_zh.model.variables import new_variable

PREFIX_LM, MASKED_TARGETS = "prefix_lm", "masked_targets"
MASKED_LM, REMOVED_POSITIONS = "masked_lm", "removed_positions"
WRITING = (PREFIX_LM, MASKED_TARGETS)  # a generator is trained with exactly one of them
Features = Dict[str, tf.Tensor]
_MASKED = 0.15  # share of the tokens that `masked_lm` predicts
_REMOVED = 0.15  # share of the source's tokens that are removed
_SHOWN_AS_MASK, _REPLACED = 0.8, 0.1  # shares of the chosen tokens; the others stay


class Targets(NamedTuple):
    """Targets of a prediction: int [B, P] positions and labels, float [B, P] weights."""

    positions: tf.Tensor
    labels: tf.Tensor
    weights: tf.Tensor


def next_tokens(features: Features) -> Targets:
    """The target's tokens and its `[SEP]`, each predicted at the position before it."""
    ids, mask, segments = _rows(features)
    num_targets = tf.reduce_sum(segments * mask, axis=1)  # [B]
    first = tf.reduce_sum(mask, axis=1) - num_targets - 1
    steps = tf.range(tf.maximum(tf.reduce_max(num_targets), 1))
    is_target = steps[None, :] < num_targets[:, None]
    positions = tf.where(
        is_target, first[:, None] + steps[None, :], tf.zeros_like(is_target, tf.int32)
    )
    followers = tf.minimum(positions + 1, get_shape_list(ids)[1] - 1)
    labels = tf.gather(ids, followers, batch_dims=1)
    return Targets(positions, labels, tf.cast(is_target, tf.float32))


def prefix_lm(
    config: Any, encoder: Callable[..., Any], features: Features, head: Dict[str, Any]
) -> tf.Tensor:
    """Loss of each row [B]: mean over its target, with label smoothing and corrupted target tokens.

    Args:
        config: `AlbertConfig`.
        encoder: function (features, config, further arguments of `AlbertModel`) -> the model.
        features: `input_ids`, `input_mask`, `segment_ids` int [B, F].
        head: `Settings.head`.
    """
    targets = next_tokens(features)
    shown = features
    if head["target_mask_prob"]:
        is_target = tf.equal(features["segment_ids"] * features["input_mask"], 1)
        chosen = is_target & (_uniform(features["input_ids"]) < head["target_mask_prob"])
        shown = dict(features, input_ids=_damaged(features["input_ids"], chosen, config, head))
    logits = _logits_at(config, encoder, shown, targets, attention_masks.PATTERNS[3])
    return _mean_of_rows(smoothed_losses(logits, targets.labels, head["label_smoothing"]), targets)


def masked_targets(
    config: Any, encoder: Callable[..., Any], features: Features, head: Dict[str, Any]
) -> tf.Tensor:
    """Loss of each row [B] over a share of its target's tokens, including the last `[SEP]`.

    This is how UniLM is fine-tuned: the chosen tokens are masked (80 %), replaced (10 %) or stay,
    and are predicted at their own positions. The arguments are those of `prefix_lm`.
    """
    ids, mask, segments = _rows(features)
    is_target = tf.equal(segments * mask, 1)
    num_targets = tf.reduce_sum(tf.cast(is_target, tf.float32), axis=1)
    num_chosen = tf.cast(tf.round(head["target_mask_prob"] * num_targets), tf.int32)
    num_chosen = tf.minimum(tf.maximum(num_chosen, 1), tf.cast(num_targets, tf.int32))
    targets, chosen = _chosen_tokens(ids, is_target, num_chosen)
    shown = dict(features, input_ids=_damaged(ids, chosen, config, head))
    logits = _logits_at(config, encoder, shown, targets, attention_masks.PATTERNS[3])
    return _mean_of_rows(smoothed_losses(logits, targets.labels, head["label_smoothing"]), targets)


def predicts_masks(head: Dict[str, Any]) -> bool:
    """Whether a generator with this `Settings.head` predicts tokens at a `[MASK]`."""
    return MASKED_TARGETS in head.get("tasks", ())


def target_losses(
    config: Any, encoder: Callable[..., Any], features: Features, head: Dict[str, Any]
) -> Features:
    """{"target_loss", "target_tokens": float [B]}: summed loss and number of target tokens.

    Each token is predicted from the source and the true preceding tokens, as in generation.
    """
    targets = next_tokens(features)
    logits_of = _logits_of_masks if predicts_masks(head) else _logits_of_followers
    logits = logits_of(config, encoder, features, targets, head)
    losses = smoothed_losses(logits, targets.labels, 0.0)
    return {
        "target_loss": tf.reduce_sum(losses * targets.weights, axis=1),
        "target_tokens": tf.reduce_sum(targets.weights, axis=1),
    }


def masked_lm(
    config: Any, encoder: Callable[..., Any], features: Features, head: Dict[str, Any]
) -> tf.Tensor:
    """Loss of each row [B] over 15 % of the tokens of both texts; arguments as in `prefix_lm`."""
    ids, mask, _ = _rows(features)
    is_word = tf.equal(mask, 1)
    for name in ("cls", "sep"):
        is_word &= tf.not_equal(ids, head["token_ids"][name])
    num_words = tf.reduce_sum(tf.cast(is_word, tf.int32), axis=1)  # [B]
    num_chosen = tf.cast(tf.math.ceil(_MASKED * tf.cast(num_words, tf.float32)), tf.int32)
    targets, chosen = _chosen_tokens(ids, is_word, num_chosen)
    shown = dict(features, input_ids=_damaged(ids, chosen, config, head))
    logits = _logits_at(config, encoder, shown, targets, None)
    return _mean_of_rows(smoothed_losses(logits, targets.labels, 0.0), targets)


def removed_positions(
    config: Any, encoder: Callable[..., Any], features: Features, head: Dict[str, Any]
) -> tf.Tensor:
    """Loss of each row [B]: was a token removed after each token? Arguments as in `prefix_lm`.

    15 % of the source's tokens are removed; the target is not part of the input.
    """
    ids, mask, segments = _rows(features)
    in_source = mask * (1 - segments)
    may_go = tf.equal(in_source, 1)
    for name in ("cls", "sep"):
        may_go &= tf.not_equal(ids, head["token_ids"][name])
    is_removed = may_go & (_uniform(ids) < _REMOVED)
    is_kept = tf.equal(in_source, 1) & ~is_removed
    removed_behind = tf.pad(tf.cast(is_removed, tf.int32)[:, 1:], [[0, 0], [0, 1]])
    order = tf.argsort(tf.cast(~is_kept, tf.int32), axis=1, stable=True)
    kept, labels, mask = (
        tf.gather(row, order, batch_dims=1)
        for row in (ids, removed_behind, tf.cast(is_kept, tf.int32))
    )
    row = {"input_ids": kept * mask, "input_mask": mask, "segment_ids": tf.zeros_like(kept)}
    rows = tf.cast(encoder(row, config).get_sequence_output(), tf.float32)  # [B, F, H]
    with tf.variable_scope("removed_positions"):
        kernel = new_variable("kernel", [config.hidden_size, 1], config)
        bias = tf.get_variable("bias", [1], initializer=tf.zeros_initializer())
    logits = tf.squeeze(tf.tensordot(rows, kernel, [[2], [0]]) + bias, axis=2)  # [B, F]
    losses = tf.nn.sigmoid_cross_entropy_with_logits(
        labels=tf.cast(labels, tf.float32), logits=logits
    )
    return _mean_of_rows(losses, Targets(kept, labels, tf.cast(mask, tf.float32)))


OBJECTIVES = {
    PREFIX_LM: prefix_lm,
    MASKED_TARGETS: masked_targets,
    MASKED_LM: masked_lm,
    REMOVED_POSITIONS: removed_positions,
}


def smoothed_losses(logits: tf.Tensor, labels: tf.Tensor, smoothing: float) -> tf.Tensor:
    """Cross-entropy with label smoothing over the whole vocabulary.

    Args:
        logits: float32 [B, P, V].
        labels: int [B, P].
        smoothing: float, the share of probability that is spread.

    Returns:
        float [B, P].
    """
    losses = tf.nn.sparse_softmax_cross_entropy_with_logits(labels=labels, logits=logits)
    if not smoothing:
        return losses
    spread = tf.reduce_logsumexp(logits, axis=-1) - tf.reduce_mean(logits, axis=-1)
    return (1.0 - smoothing) * losses + smoothing * spread


def _rows(features):
    return [features[name] for name in ("input_ids", "input_mask", "segment_ids")]


def _chosen_tokens(ids, may_be_chosen, num_chosen):
    """(`Targets` of `num_chosen` random tokens of each row, bool [B, F]: whether chosen)."""
    ranks = tf.where(may_be_chosen, _uniform(ids), tf.fill(tf.shape(ids), -1.0))
    _, positions = tf.math.top_k(ranks, tf.maximum(tf.reduce_max(num_chosen), 1))  # [B, P]
    steps = tf.range(tf.shape(positions)[1])
    is_chosen = steps[None, :] < num_chosen[:, None]
    targets = Targets(
        positions, tf.gather(ids, positions, batch_dims=1), tf.cast(is_chosen, tf.float32)
    )
    hits = tf.one_hot(positions, tf.shape(ids)[1]) * targets.weights[:, :, None]
    return targets, tf.reduce_sum(hits, axis=1) > 0


def _uniform(ids):
    return tf.random.stateless_uniform(tf.shape(ids), dropout_seed())


def _damaged(ids, chosen, config, head):
    """Ids of which the chosen ones become `[MASK]` (80 %) or a random word (10 %), or stay."""
    draws = _uniform(ids)
    others = tf.random.stateless_uniform(
        tf.shape(ids), dropout_seed(), maxval=config.vocab_size, dtype=tf.int32
    )
    masks = tf.fill(tf.shape(ids), head["token_ids"]["mask"])
    changed = tf.where(draws < _SHOWN_AS_MASK, masks, others)
    return tf.where(chosen & (draws < _SHOWN_AS_MASK + _REPLACED), changed, ids)


def _logits_of_followers(config, encoder, features, targets, head):
    """Logits at the targets' positions, which predict the tokens that follow them."""
    return _logits_at(config, encoder, features, targets, attention_masks.PATTERNS[3])


def _logits_of_masks(config, encoder, features, targets, head):
    """Logits of `next_tokens` at a `[MASK]` in place of each token, all in one pass.

    One mask per target is appended to the row. Each mask has the position of its target token, and
    attends to the part of the row before that token and to itself.
    """
    ids, mask, segments = _rows(features)
    batch, length = get_shape_list(ids)
    count = get_shape_list(targets.positions)[1]
    places = features.get("positions", tf.broadcast_to(tf.range(length), [batch, length]))
    of_labels = tf.minimum(targets.positions + 1, length - 1)
    appended = tf.ones([batch, count], tf.int32)
    seen = attention_masks.visible_positions(attention_masks.PATTERNS[3], mask, segments)
    before = tf.range(length)[None, None, :] <= targets.positions[:, :, None]
    itself = tf.tile(tf.eye(count, dtype=tf.int32)[None], [batch, 1, 1])
    of_masks = tf.concat([tf.cast(before, tf.int32) * mask[:, None, :], itself], axis=2)
    row = {
        "input_ids": tf.concat([ids, appended * head["token_ids"]["mask"]], axis=1),
        "input_mask": tf.concat([mask, appended], axis=1),
        "segment_ids": tf.concat([segments, appended], axis=1),
        "positions": tf.concat([places, tf.gather(places, of_labels, batch_dims=1)], axis=1),
    }
    seen = tf.concat([tf.pad(seen, [[0, 0], [0, 0], [0, count]]), of_masks], axis=1)
    at_masks = targets._replace(positions=length + tf.range(count)[None, :] * appended)
    return _logits_seeing(config, encoder, row, at_masks, seen)


def _logits_at(config, encoder, features, targets, pattern):
    """Logits at the targets' positions with an attention pattern; None: full attention."""
    seen = None
    if pattern is not None:
        seen = attention_masks.visible_positions(
            pattern, features["input_mask"], features["segment_ids"]
        )
    return _logits_seeing(config, encoder, features, targets, seen)


def _logits_seeing(config, encoder, features, targets, seen):
    """Logits, float32 [B, P, V]; the last layer is computed at the targets' positions only."""
    positions = tf.pad(targets.positions, [[0, 0], [1, 0]])  # position 0 first, for the pooler
    model = encoder(
        features,
        config,
        attention_mask=seen,
        output_positions=positions,
        position_ids=features.get("positions"),
    )
    rows = tf.reshape(model.get_sequence_output()[:, 1:, :], [-1, config.hidden_size])
    logits = heads.word_logits(config, model, rows)
    batch, num_targets = get_shape_list(targets.positions)
    return tf.reshape(logits, [batch, num_targets, config.vocab_size])


def _mean_of_rows(losses, targets):
    """Mean loss of each row, [B, P] -> [B]; 0 for a row without targets."""
    total = tf.reduce_sum(targets.weights, axis=1)
    return tf.reduce_sum(losses * targets.weights, axis=1) / tf.maximum(total, 1.0)
