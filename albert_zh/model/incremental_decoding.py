"""Incremental decoding: generates token by token, with keys and values of earlier tokens cached.

    cache = encoded_source(config, input_ids, input_mask, length)  # once: keys and values
    logits, cache = next_logits(config, tokens, positions, segment_ids, cache)  # for each token

The cache of a block is [B, N, L, D], and a token's column is its position: the target of a row
begins right after the source of that row, whatever the longest source of the batch. A new token
sees the columns up to its own, so entries of padding after a source are overwritten before they
are seen.

Letters in shape comments: as in `encoder`; L positions of the cache, K new tokens.
"""

from typing import Any, List, NamedTuple, Optional, Sequence, Tuple

import tensorflow.compat.v1 as tf

from albert_zh.model.config import AlbertConfig
from albert_zh.model.encoder import AlbertModel
from albert_zh.model.heads import word_logits
from albert_zh.model.layers import get_shape_list

Cache = List[tf.Tensor]
_FORBIDDEN = -1e9  # added to the logits of tokens that must not be generated


class DecodingStep:
    """New tokens of rows and the cache of the tokens before them, for `AlbertModel`.

    Attributes:
        positions: int tensor [B, K], positions of the new tokens.
        columns: int tensor [B, K], columns of the new tokens in the cache.
        extended_cache: once the model is built, the cache including the new tokens.
    """

    def __init__(
        self, positions: tf.Tensor, cache: Cache, columns: Optional[tf.Tensor] = None
    ) -> None:
        """Starts from the cache of the earlier tokens.

        Args:
            positions: int tensor [B, K], below L.
            cache: key and value of each block in turn, float [B, N, L, D].
            columns: int tensor [B, K]; None: the positions. Columns that differ from the positions
                require absolute positions.
        """
        self.positions = positions
        self.columns = positions if columns is None else columns
        self._former = list(cache)
        self.extended_cache: Cache = []

    def visible_columns(self) -> tf.Tensor:
        """int [B, K, L], 1 for the columns up to each new token's column, which is included."""
        columns = tf.range(get_shape_list(self._former[0])[2])
        return tf.cast(columns[None, None, :] <= self.columns[:, :, None], tf.int32)

    def extended(self, key: tf.Tensor, value: tf.Tensor) -> List[tf.Tensor]:
        """The keys and values of the next block, including the new tokens.

        Args:
            key: float tensor [B, N, K, D].
            value: float tensor [B, N, K, D].

        Returns:
            two float tensors [B, N, L, D].
        """
        batch, heads, count, _ = get_shape_list(key)
        rows = tf.tile(tf.range(batch)[:, None, None], [1, heads, count])
        head = tf.tile(tf.range(heads)[None, :, None], [batch, 1, count])
        columns = tf.tile(self.columns[:, None, :], [1, heads, 1])
        indices = tf.stack([rows, head, columns], axis=-1)  # [B, N, K, 3]
        first = len(self.extended_cache)
        for new, former in zip((key, value), self._former[first : first + 2]):
            self.extended_cache.append(tf.tensor_scatter_nd_update(former, indices, new))
        return self.extended_cache[first:]


def encoded_source(
    config: AlbertConfig,
    input_ids: tf.Tensor,
    input_mask: tf.Tensor,
    length: Any,
    **model_settings: Any,
) -> Cache:
    """Encodes sources, whose tokens see only the source, and returns their keys and values.

    Args:
        config: `AlbertConfig`.
        input_ids: int tensor [B, S], `[CLS] source [SEP]`.
        input_mask: int tensor [B, S].
        length: int or int scalar tensor, L, the size of the cache, at least S.
        **model_settings: further arguments of `AlbertModel`.

    Returns:
        cache: key and value of each block in turn, float [B, N, L, D].
    """
    model = AlbertModel(
        config,
        False,
        input_ids,
        input_mask,
        scope=config.scope,
        keeps_attention=True,
        **model_settings,
    )
    free = length - get_shape_list(input_ids)[1]
    return [
        tf.pad(tensor, [[0, 0], [0, 0], [0, free], [0, 0]])
        for block in model.get_keys_and_values()
        for tensor in block
    ]


def next_logits(
    config: AlbertConfig,
    tokens: tf.Tensor,
    positions: tf.Tensor,
    segment_ids: tf.Tensor,
    cache: Sequence[tf.Tensor],
    precision: str = "float32",
    columns: Optional[tf.Tensor] = None,
) -> Tuple[tf.Tensor, Cache]:
    """Logits of the word that follows the new tokens (or of the word in place of `[MASK]`).

    Args:
        config: `AlbertConfig`.
        tokens: int tensor [B, K].
        positions: int tensor [B, K].
        segment_ids: int tensor [B, K].
        cache: returned by `encoded_source` or by the step before.
        precision: see `AlbertModel`.
        columns: see `DecodingStep`.

    Returns:
        (logits, cache): float32 [B, V] for the last token, and the cache with all tokens.
    """
    step = DecodingStep(positions, list(cache), columns)
    model = AlbertModel(
        config,
        False,
        tokens,
        token_type_ids=segment_ids,
        scope=config.scope,
        plain=True,  # with few rows, joining the kernels in every step does not pay off
        precision=precision,
        attention_mask=step.visible_columns(),
        decoding_step=step,
    )
    rows = model.get_sequence_output()[:, -1, :]  # [B, H]
    return word_logits(config, model, rows), step.extended_cache


def greedy_ids(
    config: AlbertConfig,
    input_ids: tf.Tensor,
    input_mask: tf.Tensor,
    num_tokens: int,
    end_id: int,
    forbidden_ids: Sequence[int],
    precision: str = "float32",
    mask_id: Optional[int] = None,
    first_positions: Optional[tf.Tensor] = None,
) -> tf.Tensor:
    """Greedy decoding: the most probable next token of each source, step by step.

    Args:
        config: `AlbertConfig`.
        input_ids: int tensor [B, S], `[CLS] source [SEP]`.
        input_mask: int tensor [B, S].
        num_tokens: int, T, the maximum number of tokens to generate.
        end_id: id of `[SEP]`, which ends a source and a target.
        forbidden_ids: ids that are never generated.
        precision: see `AlbertModel`.
        mask_id: id of `[MASK]`, at which the next token is predicted; None: it is predicted at the
            token before it.
        first_positions: int tensor [B], position of the first generated token; None: the position
            after the source.

    Returns:
        int32 [B, T], 0 from the end on; `end_id` is not included.
    """
    batch, length = get_shape_list(input_ids)
    lengths = tf.reduce_sum(input_mask, axis=1)  # [B]
    cache = encoded_source(config, input_ids, input_mask, length + num_tokens, precision=precision)
    forbidden = tf.reduce_sum(tf.one_hot(list(forbidden_ids), config.vocab_size), axis=0)
    written = tf.zeros([batch, 0], tf.int32)
    last, is_open = tf.fill([batch], end_id), tf.ones([batch], tf.bool)

    def goes_on(step, written, last, is_open, *cache):
        return (step < num_tokens) & tf.reduce_any(is_open)

    def next_token(step, written, last, is_open, *cache):
        new = new_tokens(last, lengths, step, mask_id, first_positions)
        logits, cache = next_logits(config, *new[:3], cache, precision, new.columns)
        best = tf.argmax(logits + forbidden * _FORBIDDEN, axis=1, output_type=tf.int32)
        is_open &= tf.not_equal(best, end_id)
        written = tf.concat(
            [written, tf.where(is_open, best, tf.zeros_like(best))[:, None]], axis=1
        )
        return [step + 1, written, best, is_open] + cache

    state = [tf.constant(0), written, last, is_open] + cache
    shapes = [tensor.shape for tensor in state]
    shapes[1] = tf.TensorShape([written.shape[0], None])
    state = tf.while_loop(goes_on, next_token, state, shapes, back_prop=False)
    written = state[1]
    written = tf.pad(written, [[0, 0], [0, num_tokens - tf.shape(written)[1]]])
    return tf.reshape(written, [batch, num_tokens])


class NewTokens(NamedTuple):
    """Inputs of a decoding step, int [B, K] each; see `next_logits`."""

    tokens: tf.Tensor
    positions: tf.Tensor
    segment_ids: tf.Tensor
    columns: tf.Tensor


def new_tokens(
    last: tf.Tensor,
    lengths: tf.Tensor,
    step: tf.Tensor,
    mask_id: Optional[int] = None,
    first_positions: Optional[tf.Tensor] = None,
) -> NewTokens:
    """The tokens of a step: the last one, followed by `[MASK]` if words are predicted there.

    The first step reads the end of the source again, which does not change it.

    Args:
        last: int tensor [B], the last generated token; in the first step the end of the source.
        lengths: int tensor [B], lengths of the sources.
        step: int scalar tensor, number of tokens generated so far.
        mask_id, first_positions: see `greedy_ids`.
    """
    columns = tf.maximum(lengths - 1 + step, 0)[:, None]
    positions = columns
    if first_positions is not None:
        positions = tf.where(
            tf.fill(tf.shape(columns), tf.equal(step, 0)),
            columns,
            first_positions[:, None] - 1 + step,
        )
    segments = tf.ones_like(columns) * tf.cast(step > 0, tf.int32)
    last = last[:, None]
    if mask_id is None:
        return NewTokens(last, positions, segments, columns)
    behind = columns + 1 if first_positions is None else first_positions[:, None] + step
    return NewTokens(
        tf.concat([last, tf.fill(tf.shape(last), mask_id)], axis=1),
        tf.concat([positions, behind], axis=1),
        tf.concat([segments, tf.ones_like(segments)], axis=1),
        tf.concat([columns, columns + 1], axis=1),
    )
