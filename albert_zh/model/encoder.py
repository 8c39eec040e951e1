"""The encoder of every layout: embeddings, transformer blocks, pooler.

The config alone determines the layout (see `layouts.LAYOUTS`). Variables have the same names and
shapes as in the original albert_zh, Google's ALBERT and BERT, so their checkpoints load unchanged.

    config = AlbertConfig.from_json_file("albert_config/albert_config_tiny.json")
    model = AlbertModel(config, is_training=False, input_ids=input_ids, input_mask=input_mask)
    model.get_sequence_output()  # [B, F, H]

Letters in shape comments: B batch, F tokens, E embedding, H hidden, N heads, D head size,
I intermediate, V vocabulary, P masked positions, R = B * F rows, G feed-forward groups.
"""

import copy
import functools
import itertools
from typing import TYPE_CHECKING, Any, List, Optional, Sequence

import tensorflow.compat.v1 as tf

from albert_zh.model import attention_masks
from albert_zh.model.attention import self_attention
from albert_zh.model.channel_scales import NO_SCALES, sum_with_divided
from albert_zh.model.embeddings import embeddings
from albert_zh.model.feed_forward import feed_forward
from albert_zh.model.gradient_checkpointing import recomputed_chain
from albert_zh.model.layers import (
    FIRST_TOKEN,
    PRECISIONS,
    dense,
    dropout,
    dropout_seed,
    gather_positions,
    get_shape_list,
    layer_norm,
)
from albert_zh.model.layouts import LAYOUTS, Layout
from albert_zh.model.relative_positions import relative_positions_of
from albert_zh.model.written_gradients import normalized

if TYPE_CHECKING:
    from albert_zh.model.config import AlbertConfig

BLOCK_DROPOUTS = 3  # of attention weights, attention output, feed-forward output


class AlbertModel:
    """The encoder: embeddings, transformer blocks, pooler."""

    def __init__(
        self,
        config: "AlbertConfig",
        is_training: bool,
        input_ids: tf.Tensor,
        input_mask: Optional[tf.Tensor] = None,
        token_type_ids: Optional[tf.Tensor] = None,
        use_one_hot_embeddings: bool = False,
        scope: Optional[str] = None,
        recompute: bool = False,
        precision: str = "float32",
        plain: bool = False,
        output_positions: Any = None,
        keeps_attention: bool = False,
        attention_mask: Optional[tf.Tensor] = None,
        decoding_step: Any = None,
        position_ids: Optional[tf.Tensor] = None,
        in_halves: bool = False,
    ) -> None:
        """Builds the graph.

        Args:
            config: `AlbertConfig`.
            is_training: bool; whether dropout is applied.
            input_ids: int tensor [B, F].
            input_mask: int tensor [B, F], 1 for tokens and 0 for padding; None: no padding.
            token_type_ids: int tensor [B, F], the segment of each token; None: all 0.
            use_one_hot_embeddings: bool; look words up by a product with one-hot rows (TPU).
            scope: variable scope; by default the layout's scope (`AlbertConfig.scope`).
            recompute: bool; gradient checkpointing: in training only the outputs of layers are kept
                and the rest is recomputed for the gradient. Slower, but takes much less memory.
            precision: a key of `PRECISIONS`.
            plain: bool; run the reference implementation without optimizations (recomputed and
                compiled activations, joint products, pruned outputs), for debugging. Slower.
            output_positions: the only positions whose output is needed; the last layer skips all
                other positions. `FIRST_TOKEN`, or int tensor [B, K] whose first column is 0 (for
                the pooler); None for all positions.
            keeps_attention: bool; keep the tensors that `get_attention_inputs` returns. It cannot
                be combined with `recompute`, which discards them.
            attention_mask: int tensor [B, F, F] ([B, F, L] in a decoding step), 1 if a position
                sees another, see `attention_masks.visible_positions`; None: all of `input_mask`.
            decoding_step: `incremental_decoding.DecodingStep` whose cached rows the tokens
                continue; None: the tokens are whole rows.
            position_ids: int tensor [B, F], the position of each token, independent of its place in
                the row; None: the order of the row. Cannot be combined with `decoding_step`.
            in_halves: bool; compute the layers separately for each half of the batch, so that two
                threads can share the work. Not with `keeps_attention` or `decoding_step`.

        Raises:
            ValueError: for arguments that cannot be combined.
        """
        self._config = config = config_of_graph(
            config, is_training, plain, decoding_step, position_ids
        )
        self._attention_inputs = config.attention_inputs = [] if keeps_attention else None
        self._blocks_of_layer = config.inner_group_num
        seen = attention_masks.of_inputs(input_ids, input_mask, attention_mask)
        segments = tf.zeros_like(input_ids) if token_type_ids is None else token_type_ids
        self._dtype = PRECISIONS[precision]
        self._batch_shape = get_shape_list(input_ids, expected_rank=2)  # [B, F]

        with tf.variable_scope(scope, default_name=config.scope):
            with tf.variable_scope("embeddings"):
                self._embedded = embeddings(
                    config, input_ids, segments, use_one_hot_embeddings, self._dtype
                )
            rows = self._widened(self._embedded.rows, "embeddings_project")
            with tf.variable_scope("encoder"):
                build = self._layers_builder(in_halves)
                self._build_layers(build, rows, seen, recompute and is_training, output_positions)
            with tf.variable_scope("pooler") as self._pooler_scope:
                self._pooled_output = self._pool(self.get_sequence_output())  # [B, H]

    def _layers_builder(self, in_halves):
        config = self._config
        if not in_halves or self._batch_shape[0] == 1:
            return encoder_layers
        if config.attention_inputs is not None or config.decoding_step is not None:
            raise ValueError("in_halves goes with neither keeps_attention nor decoding_step")
        return encoder_layers_in_halves

    def _build_layers(self, build, rows, seen, recompute, output_positions):
        self._first_rows = self._widened(rows, "embedding_hidden_mapping_in")  # [R, H]
        self._block_rows = build(
            self._config,
            self._first_rows,
            attention_masks.added_to_scores(seen),
            self._batch_shape,
            recompute,
            output_positions,
        )

    def _widened(self, rows, name):
        """Projects embeddings to the hidden size, [R, E] -> [R, H], if the layout does so here."""
        config = self._config
        if config.layout_row.projection != name or config.word_width == config.hidden_size:
            return rows
        return dense(rows, config.hidden_size, config, name)

    def _pool(self, sequence):
        first = sequence[:, 0, :]
        if not self._config.layout_row.has_pooler:
            return first
        return dense(first, self._config.hidden_size, self._config, "dense", "tanh")

    def pooled(self, sequence: tf.Tensor) -> tf.Tensor:
        """Applies the pooler to another sequence: [B, F, H] -> [B, H]; float32."""
        with tf.variable_scope(self._pooler_scope, reuse=True):
            return tf.cast(self._pool(sequence), tf.float32)

    def _unflatten(self, rows):
        return tf.reshape(rows, [self._batch_shape[0], -1, rows.shape[-1]])

    def get_pooled_output(self) -> tf.Tensor:
        """[B, H], tanh of a dense layer on the first token (electra: the token itself); float32."""
        return tf.cast(self._pooled_output, tf.float32)

    def get_sequence_output(self) -> tf.Tensor:
        """[B, F, H], the output of the last layer; with `output_positions` [B, K, H]."""
        return self._unflatten(self._block_rows[-1])

    def get_all_encoder_layers(self) -> List[tf.Tensor]:
        """List of [B, F, H], the output of each block; the last is `get_sequence_output`.

        A layer is one block; in Google's layouts it has `inner_group_num` blocks.
        """
        return [self._unflatten(rows) for rows in self._block_rows]

    def get_hidden_states(self) -> List[tf.Tensor]:
        """List of [B, F, H]: the input of the first layer, then the output of each layer.

        Layers that share weights have one state each. States cover all positions, so this cannot be
        combined with `output_positions`.
        """
        last_of_layers = self._block_rows[self._blocks_of_layer - 1 :: self._blocks_of_layer]
        return [self._unflatten(rows) for rows in [self._first_rows] + last_of_layers]

    def get_attention_inputs(self) -> List[List[tf.Tensor]]:
        """For each layer [query, key, value], float [B, N, F, D]; needs `keeps_attention`.

        Layers that share weights have one entry each. For a layer of several blocks the entry
        belongs to the last block.
        """
        if self._attention_inputs is None:
            raise ValueError("the model was built without keeps_attention")
        return self._attention_inputs[self._blocks_of_layer - 1 :: self._blocks_of_layer]

    def get_keys_and_values(self) -> List[List[tf.Tensor]]:
        """For each block [key, value], float [B, N, F, D]; needs `keeps_attention`."""
        return [inputs[1:] for inputs in self._attention_inputs or ()]

    def get_word_embedding_output(self) -> tf.Tensor:
        """[B, F, E], the rows of the word table for the input."""
        return self._embedded.word_vectors

    def get_embedding_output(self) -> tf.Tensor:
        """[B, F, H] (google, electra: [B, F, E]), the sum of the embeddings after LayerNorm."""
        return self._unflatten(self._embedded.rows)

    def get_embedding_table(self) -> tf.Variable:
        """[V, E], the word table."""
        return self._embedded.table

    def get_embedding_projection(self) -> Optional[tf.Variable]:
        """[E, H], brightmart's second word table; None in the other layouts."""
        return self._embedded.projection

    get_embedding_table_2 = get_embedding_projection  # albert_zh's name

    # The attributes that programs written for BERT read.
    embedding_output = property(get_embedding_output)
    embedding_table = property(get_embedding_table)
    all_encoder_layers = property(get_all_encoder_layers)
    sequence_output = property(get_sequence_output)
    pooled_output = property(get_pooled_output)


def config_of_graph(
    config: "AlbertConfig",
    is_training: bool,
    plain: bool = False,
    decoding_step: Any = None,
    position_ids: Optional[tf.Tensor] = None,
) -> "AlbertConfig":
    """Copies a config and sets its fields about the graph; arguments as in `AlbertModel`."""
    config = copy.deepcopy(config)
    config.saves_memory = is_training and not plain
    config.is_plain = plain
    config.decoding_step = decoding_step
    config.position_ids = position_ids if decoding_step is None else decoding_step.positions
    if not is_training:
        config.hidden_dropout_prob = 0.0
        config.attention_probs_dropout_prob = 0.0
    return config


BertModel = AlbertModel


def encoder_layers(
    config: "AlbertConfig",
    rows: tf.Tensor,
    mask: tf.Tensor,
    batch_shape: Sequence[Any],
    recompute: bool = False,
    output_positions: Any = None,
    layout: Optional[Layout] = None,
) -> List[tf.Tensor]:
    """Builds all layers of the encoder.

    Args:
        config: `AlbertConfig`.
        rows: float tensor [R, H], the embeddings.
        mask: float tensor that broadcasts to [B, N, F, F], added to the attention scores.
        batch_shape: B and F.
        recompute: bool, see `AlbertModel`.
        output_positions: see `AlbertModel`.
        layout: `Layout` to use instead of the config's.

    Returns:
        list of [R, H], one per block (a layer has `inner_group_num` blocks); with
        `output_positions` the last one is [B * K, H].
    """
    layout = layout or LAYOUTS[config.layout]
    groups = config.num_hidden_groups or 1
    last_block = (config.num_hidden_layers - 1, config.inner_group_num - 1)

    def apply_block(layer, inner_group, seeds, rows):
        group = layer * groups // config.num_hidden_layers
        scopes = layout.of_block(layer=layer, group=group, inner_group=inner_group)
        positions = output_positions if (layer, inner_group) == last_block else None
        with tf.variable_scope(scopes.layer_scope, reuse=tf.AUTO_REUSE):
            seen = attention_masks.of_queries(mask, positions)
            return transformer_block(config, scopes, rows, seen, batch_shape, seeds, positions)

    places = itertools.product(range(config.num_hidden_layers), range(config.inner_group_num))
    blocks = [functools.partial(apply_block, *place, _block_seeds(config)) for place in places]
    if recompute:
        return recomputed_chain(blocks, rows)
    outputs = []
    for block in blocks:
        rows = block(rows)
        outputs.append(rows)
    return outputs


def encoder_layers_in_halves(
    config: "AlbertConfig",
    rows: tf.Tensor,
    mask: tf.Tensor,
    batch_shape: Sequence[Any],
    recompute: bool = False,
    output_positions: Any = None,
) -> List[tf.Tensor]:
    """As `encoder_layers`, but neither half of a batch waits for the other.

    With an odd number of rows, the middle row is in both halves, so that they have the same shape.
    """
    batch, length = batch_shape
    size = (batch + 1) // 2

    def half(start, x):
        return x if x is None or x is FIRST_TOKEN else x[start : start + size]

    halves = []
    for start in (0, batch - size):
        config_of_half = copy.copy(config)
        config_of_half.position_ids = half(start, config.position_ids)
        rows_of_half = rows[start * length : (start + size) * length]
        halves.append(
            encoder_layers(
                config_of_half,
                rows_of_half,
                half(start, mask),
                (size, length),
                recompute,
                half(start, output_positions),
            )
        )

    def joined(first, second):  # of each half [size * F, H] or [size * K, H]
        num_positions = get_shape_list(first)[0] // size
        return tf.concat([first[: (batch - size) * num_positions], second], axis=0)

    return [joined(*of_layer) for of_layer in zip(*halves)]


def _block_seeds(config):
    """Seeds of a block's dropouts, drawn outside the block because it may be computed twice."""
    drops = config.hidden_dropout_prob or config.attention_probs_dropout_prob
    return [dropout_seed() if drops else None for _ in range(BLOCK_DROPOUTS)]


# long: the functions in it are the formulas of one block
def transformer_block(
    config: "AlbertConfig",
    layout: Layout,
    rows: tf.Tensor,
    mask: tf.Tensor,
    batch_shape: Sequence[Any],
    seeds: Sequence[Any],
    output_positions: Any = None,
) -> tf.Tensor:
    """One transformer block (Vaswani et al. 2017), post-LN or pre-LN.

    Args:
        config: `AlbertConfig`.
        layout: entry of `LAYOUTS`, for the scopes of the block's variables.
        rows: float tensor [R, H].
        mask: float tensor [B, 1, 1, F] or [B, 1, K, F], added to the attention scores.
        batch_shape: B and F.
        seeds: int tensors [2], seeds of the three dropouts (attention weights, attention,
            feed-forward), or None for each.
        output_positions: the only positions to compute, see `AlbertModel`; None for all.

    Returns:
        float tensor [R, H]; with `output_positions` [B * K, H].
    """
    weights_seed, attention_seed, feed_forward_seed = seeds

    def kept(x):
        if output_positions is None:
            return x
        sequence = tf.reshape(x, list(batch_shape) + [config.hidden_size])
        if output_positions is FIRST_TOKEN:
            return sequence[:, 0, :]  # [B, H]
        return gather_positions(sequence, output_positions)  # [B * K, H]

    def attend(x):
        from_rows = None if output_positions is None else kept(x)
        x = self_attention(
            config,
            layout.attention,
            x,
            mask,
            batch_shape,
            weights_seed,
            from_rows,
            relative_positions_of(config, output_positions),
        )
        return dropout(x, config.hidden_dropout_prob, attention_seed)

    def transformed(x):
        x = feed_forward(x, config, (layout.ffn_in, layout.ffn_out))
        return dropout(x, config.hidden_dropout_prob, feed_forward_seed)

    def norm(x, scope):
        return layer_norm(x, scope, normalized if config.saves_memory else None)

    scales = config.channel_scales or NO_SCALES
    if config.is_pre_norm:
        attended = attend(norm(rows, layout.attention_norm))
        rows = sum_with_divided(kept(rows), attended, scales.attention_out)
        return sum_with_divided(rows, transformed(norm(rows, layout.ffn_norm)), scales.ffn_out)
    rows = norm(
        sum_with_divided(kept(rows), attend(rows), scales.attention_out), layout.attention_norm
    )
    return norm(sum_with_divided(rows, transformed(rows), scales.ffn_out), layout.ffn_norm)
