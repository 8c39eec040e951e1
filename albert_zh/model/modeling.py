"""Config JSON -> `AlbertConfig` -> encoder graph of every layout, and the heads on top of it.

The config alone chooses the layout (see `LAYOUTS`); variable names and shapes are those of the
original albert_zh, google's ALBERT and BERT, so their checkpoints load as they are.

    config = AlbertConfig.from_json_file("albert_config/albert_config_tiny.json")
    model = AlbertModel(config, is_training=False, input_ids=input_ids, input_mask=input_mask)
    model.get_sequence_output()  # [B, F, H]

Letters in shape comments: B batch, F tokens, E embedding, H hidden, N heads, D head size,
I intermediate, V vocabulary, P masked positions, R = B * F rows, G feed-forward groups.
"""

import collections
import contextlib
import copy
import functools
import inspect
import json
import math
import re
import warnings
import zlib

import numpy as np
import tensorflow.compat.v1 as tf

from albert_zh.common import validation
from albert_zh.common.errors import UserError
from albert_zh.model import xla
from albert_zh.model.gradient_checkpointing import recomputed, recomputed_chain, summed_by_parts

__all__ = [
    "ACTIVATIONS",
    "AlbertConfig",
    "AlbertModel",
    "BLOCK_DROPOUTS",
    "BertConfig",
    "BertModel",
    "CLASSIFIER_DROPOUT",
    "CONFIG",
    "ClassificationOutput",
    "FIRST_TOKEN",
    "LAYER_NORM_EPSILON",
    "LAYOUTS",
    "Layout",
    "MASKED_LOGIT",
    "MaskedLmOutput",
    "PRECISIONS",
    "SentenceOrderOutput",
    "attention_context",
    "check_length",
    "classification_head",
    "compiled",
    "count_parameters",
    "cross_entropy",
    "dense",
    "dropout",
    "dropout_seed",
    "encoder_layers",
    "gather_positions",
    "gelu",
    "get_activation",
    "get_assignment_map_from_checkpoint",
    "get_shape_list",
    "joint_dense",
    "layer_norm",
    "lookup",
    "masked_lm_head",
    "masked_lm_output",
    "max_over_tokens",
    "mean_over_tokens",
    "new_variable",
    "part_of_batch",
    "product",
    "self_attention",
    "sentence_order_head",
    "transformer_block",
    "variable_name",
]

LAYER_NORM_EPSILON = 1e-12
MASKED_LOGIT = -10000.0  # added to the attention scores of padding
CLASSIFIER_DROPOUT = 0.1

# What the encoder's products are computed in. Variables, LayerNorm, softmax and losses are always
# float32.
PRECISIONS = {"float32": tf.float32, "bfloat16": tf.bfloat16, "mixed_float16": tf.float16}
BLOCK_DROPOUTS = 3  # of attention weights, attention output, feed-forward output


class Layout(
    collections.namedtuple(
        "Layout", "projection layer_scope attention attention_norm ffn_in ffn_out ffn_norm"
    )
):
    """How the layouts differ.

    Fields:
        projection: where word vectors widen from E to H ("word_embeddings_2", before the sum of the
            tables; "embedding_hidden_mapping_in", after their LayerNorm; None: E is H).
        layer_scope: scope of a block; like the rest formatted with layer, group and inner_group.
        attention, attention_norm, ffn_in, ffn_out, ffn_norm: scopes in a block.
    """

    def of_block(self, **numbers):
        """The layout with the scopes of the block of a layer, group and inner_group."""
        return self._replace(
            **{name: scope.format(**numbers) for name, scope in self._asdict().items() if scope}
        )


_BERT_BLOCK = {
    "attention": "attention",
    "attention_norm": "attention/output/LayerNorm",
    "ffn_in": "intermediate/dense",
    "ffn_out": "output/dense",
    "ffn_norm": "output/LayerNorm",
}
_GOOGLE_LAYOUT = Layout(
    projection="embedding_hidden_mapping_in",
    layer_scope="transformer/group_{group}/inner_group_{inner_group}",
    attention="attention_1",
    attention_norm="LayerNorm",
    ffn_in="ffn_1/intermediate/dense",
    ffn_out="ffn_1/intermediate/output/dense",
    ffn_norm="LayerNorm_1",
)
LAYOUTS = {
    "brightmart": Layout(projection="word_embeddings_2", layer_scope="layer_shared", **_BERT_BLOCK),
    "google": _GOOGLE_LAYOUT,
    "google_fast": _GOOGLE_LAYOUT,
    "bert": Layout(projection=None, layer_scope="layer_{layer}", **_BERT_BLOCK),
}

# What a config may hold. Bounds are far beyond all published models: they keep a damaged file from
# asking for years of work or all memory.
_WIDTH = validation.integer(1, 1 << 16)
_DEPTH = validation.integer(1, 1024)
_PROBABILITY = validation.number(least=0, below=1)
CONFIG = validation.record(
    {
        "vocab_size": validation.integer(1, 10**7),
        "hidden_size": _WIDTH,
        "num_hidden_layers": _DEPTH,
        "num_attention_heads": _WIDTH,
        "intermediate_size": validation.integer(1, 1 << 20),
        "hidden_act": validation.TEXT,
        "hidden_dropout_prob": _PROBABILITY,
        "attention_probs_dropout_prob": _PROBABILITY,
        "max_position_embeddings": validation.integer(1, 1 << 20),
        "type_vocab_size": _WIDTH,
        "initializer_range": validation.number(above=0, most=1000),
        "embedding_size": validation.or_none(_WIDTH),
        "ln_type": validation.or_none(validation.one_of("postln", "preln")),
        "num_hidden_groups": validation.or_none(_DEPTH),
        "inner_group_num": _DEPTH,
        "ffn_groups": _WIDTH,
    },
    expected="a JSON object of settings",
)
_SHOWN_KEYS = 20
_MOST_BLOCKS = 1024  # layers times `inner_group_num`

FIRST_TOKEN = "first token"  # see `AlbertModel`

_PARTS_OF_BATCH = [0]  # see `part_of_batch`
_PARTS_OF_REPLICA = 1 << 20  # more than the parts of any batch

MaskedLmOutput = collections.namedtuple(
    "MaskedLmOutput", ["loss", "weighted_loss", "per_example_loss", "log_probs", "predicted"]
)
SentenceOrderOutput = collections.namedtuple(
    "SentenceOrderOutput", ["loss", "per_example_loss", "log_probs", "predicted"]
)
ClassificationOutput = collections.namedtuple(
    "ClassificationOutput", ["loss", "per_example_loss", "logits", "probabilities"]
)


def gelu(x):
    """Gaussian error linear unit in its tanh form (Hendrycks and Gimpel 2016), any shape."""
    inner = math.sqrt(2.0 / math.pi) * (x + 0.044715 * x * x * x)
    return 0.5 * x * (1.0 + tf.tanh(inner))


ACTIVATIONS = {
    "gelu": gelu,
    "relu": tf.nn.relu,
    "tanh": tf.tanh,
    "swish": tf.nn.swish,
    "linear": tf.identity,
}


def get_activation(name):
    """The function of an activation's name, or the function itself; None: the identity.

    Raises:
        UserError: for an unknown name.
    """
    if callable(name):
        return name
    if name is None:
        return tf.identity
    try:
        return ACTIVATIONS[name.lower()]
    except (KeyError, AttributeError):
        raise UserError(
            "hidden_act: unknown activation %r, expected one of %s"
            % (name, ", ".join(sorted(ACTIVATIONS)))
        ) from None


class AlbertConfig:
    """Sizes and settings of a model, as in its config JSON.

    A config with `num_hidden_groups` is of google's layout (google_fast with `ffn_groups` over 1),
    one with only `embedding_size` of brightmart's, one with neither is plain BERT.
    """

    # Keys that published configs carry and that change nothing here.
    INERT_KEYS = frozenset(
        "directionality pooler_fc_size pooler_num_attention_heads pooler_num_fc_layers "
        "pooler_size_per_head pooler_type net_structure_type gap_size num_memory_blocks "
        "down_scale_factor layers_to_keep".split()
    )
    # Set by AlbertModel on its own copy: whether activations are computed again for the gradient,
    # see `recomputed` (in training that is not to be plain), and whether it is to be plain.
    saves_memory = False
    is_plain = False
    # Set for export, with weights to suit: float [H], by which the feed-forward layers' outputs are
    # divided until they are added; see `export_tflite.feed_forward_scale`.
    ffn_out_scale = None

    def __init__(
        self,
        vocab_size,
        hidden_size=768,
        num_hidden_layers=12,
        num_attention_heads=12,
        intermediate_size=3072,
        hidden_act="gelu",
        hidden_dropout_prob=0.1,
        attention_probs_dropout_prob=0.1,
        max_position_embeddings=512,
        type_vocab_size=16,
        initializer_range=0.02,
        embedding_size=None,
        ln_type=None,
        num_hidden_groups=None,
        inner_group_num=1,
        ffn_groups=1,
        **other_keys,
    ):
        """Sets and checks every value.

        Args:
            vocab_size: entries of the vocabulary, V.
            hidden_size: width of the encoder, H.
            num_hidden_layers: transformer blocks applied.
            num_attention_heads: heads, N; divides H.
            intermediate_size: width of the feed-forward layer, I.
            hidden_act: a name in `ACTIVATIONS`.
            hidden_dropout_prob: dropout of embeddings and block outputs in training.
            attention_probs_dropout_prob: dropout of attention weights in training.
            max_position_embeddings: longest sequence.
            type_vocab_size: segments.
            initializer_range: standard deviation of the start values.
            embedding_size: width of the word table, E; None for plain BERT.
            ln_type: "postln" (also None) or "preln"; brightmart and plain BERT only.
            num_hidden_groups: groups of layers that share weights; google's layouts only. It
                divides num_hidden_layers, or is a multiple of it: then some groups have no layer.
            inner_group_num: blocks in a group's layer; google's layouts only.
            ffn_groups: groups of the feed-forward kernels; more than 1 is google_fast.
            **other_keys: kept; those not known to be harmless are warned of.

        Raises:
            UserError: for a value that makes no sense.
        """
        values = dict(locals())
        del values["self"], values["other_keys"]
        self.__dict__.update(values)
        self._given_keys = set(values)
        self._other_keys = {}
        self._check()
        self._keep(other_keys)

    def _keep(self, other_keys):
        """Keeps keys that mean nothing here; warns of those not known to be harmless."""
        self._other_keys.update(other_keys)
        unknown = sorted(set(other_keys) - self.INERT_KEYS)
        if unknown:
            names = ", ".join(map(validation.shown_key, unknown[:_SHOWN_KEYS]))
            warnings.warn("unknown keys are kept but not used: %s" % names)

    @classmethod
    def from_dict(cls, json_object):
        """The config of a dictionary; raises `UserError` if `vocab_size` is missing."""
        validation.checked("config", json_object, CONFIG)
        if "vocab_size" not in json_object:
            raise UserError("config: vocab_size is missing: is this a model's config JSON?")
        names = set(inspect.signature(cls.__init__).parameters) - {"self", "other_keys"}
        known = {key: value for key, value in json_object.items() if key in names}
        config = cls(**known)
        config._given_keys = set(known)
        config._keep({key: json_object[key] for key in json_object if key not in names})
        return config

    @classmethod
    def from_json_file(cls, json_file):
        """The config of a JSON file; errors name the file."""
        validation.checked("json_file", json_file, validation.PATH)
        settings = validation.read_json(json_file, CONFIG)
        try:
            return cls.from_dict(settings)
        except UserError as error:
            raise UserError("%s: %s" % (json_file, error)) from error

    @property
    def layout(self):
        """The name of the layout, a key of `LAYOUTS`."""
        if self.num_hidden_groups:
            return "google_fast" if self.ffn_groups > 1 else "google"
        return "brightmart" if self.embedding_size else "bert"

    @property
    def word_width(self):
        """Width of the word table: E, or H in plain BERT."""
        return self.embedding_size or self.hidden_size

    @property
    def is_pre_norm(self):
        """Whether LayerNorm stands before attention and feed-forward rather than after."""
        return self.ln_type == "preln"

    def to_dict(self):
        """The settings as given (defaults that were not given are left out)."""
        given = {key: self.__dict__[key] for key in sorted(self._given_keys)}
        return copy.deepcopy(dict(given, **self._other_keys))

    def to_json_string(self):
        """The settings as indented JSON with a final line end."""
        return json.dumps(self.to_dict(), ensure_ascii=False, indent=2, sort_keys=True) + "\n"

    def _check(self):
        validation.checked("config", {key: self.__dict__[key] for key in self._given_keys}, CONFIG)
        get_activation(self.hidden_act)
        self._require_divides("num_attention_heads", "hidden_size")
        self._require_divides("ffn_groups", "hidden_size")
        self._require_divides("ffn_groups", "intermediate_size")
        if self.num_hidden_groups and self.is_pre_norm:
            raise UserError("ln_type: google's layouts (num_hidden_groups) know only postln")
        if self.num_hidden_groups:
            self._require_divides(*self._groups_and_layers())
        elif self.ffn_groups > 1:
            raise UserError("ffn_groups: only google's layouts (num_hidden_groups) have them")
        if self.num_hidden_layers * self.inner_group_num > _MOST_BLOCKS:
            raise UserError(
                "config: num_hidden_layers (%d) times inner_group_num (%d): expected at most %d"
                % (self.num_hidden_layers, self.inner_group_num, _MOST_BLOCKS)
            )

    def _groups_and_layers(self):
        """More groups than layers leave groups out (albert_config_tiny_google_fast.json: 12, 4)."""
        keys = ("num_hidden_groups", "num_hidden_layers")
        return sorted(keys, key=lambda key: getattr(self, key))

    def _require_divides(self, key, whole_key):
        part, whole = getattr(self, key), getattr(self, whole_key)
        if whole % part:
            raise UserError(
                "config: %s (%d) is not a multiple of %s (%d)" % (whole_key, whole, key, part)
            )


class AlbertModel:
    """The encoder: embeddings, transformer blocks, pooler."""

    def __init__(
        self,
        config,
        is_training,
        input_ids,
        input_mask=None,
        token_type_ids=None,
        use_one_hot_embeddings=False,
        scope=None,
        recompute=False,
        precision="float32",
        plain=False,
        output_positions=None,
    ):
        """Builds the graph.

        Args:
            config: `AlbertConfig`.
            is_training: bool; dropout is applied only in training.
            input_ids: int tensor [B, F].
            input_mask: int tensor [B, F], 1 for tokens and 0 for padding; None: no padding.
            token_type_ids: int tensor [B, F], the segment of each token; None: all 0.
            use_one_hot_embeddings: bool; look words up by a product with one-hot rows (TPU).
            scope: variable scope; "bert" by default.
            recompute: bool; in training keep only what goes from layer to layer and compute the
                rest again for the gradient: more time, much less memory.
            precision: a key of `PRECISIONS`.
            plain: bool; do without what saves memory and time: recomputing and compiling
                activations, joint products, leaving out what nobody asks for. Slower, but nothing
                that a doubt could be about.
            output_positions: the only positions whose output is asked for, so that the last layer
                computes no others: `FIRST_TOKEN`, or int tensor [B, K], the first of each row 0
                (the pooler's); None for all.
        """
        config = _config_of_graph(config, is_training, plain)
        if input_mask is None:
            input_mask = tf.ones_like(input_ids)
        if token_type_ids is None:
            token_type_ids = tf.zeros_like(input_ids)
        self._dtype = PRECISIONS[precision]
        self._batch_shape = get_shape_list(input_ids, expected_rank=2)  # [B, F]

        with tf.variable_scope(scope, default_name="bert"):
            with tf.variable_scope("embeddings"):
                self._build_embeddings(config, input_ids, token_type_ids, use_one_hot_embeddings)
            with tf.variable_scope("encoder"):
                rows = self._project_to_hidden(config)  # [R, H]
                mask = tf.expand_dims(tf.expand_dims(input_mask, 1), 1)  # [B, 1, 1, F]
                mask = (1.0 - tf.cast(mask, tf.float32)) * MASKED_LOGIT
                self._layer_rows = encoder_layers(
                    config,
                    rows,
                    mask,
                    self._batch_shape,
                    recompute and is_training,
                    output_positions,
                )
            with tf.variable_scope("pooler"):
                self._pooled_output = dense(
                    self.get_sequence_output()[:, 0, :], config.hidden_size, config, "dense", "tanh"
                )  # [B, H]

    def _build_embeddings(self, config, input_ids, token_type_ids, use_one_hot):
        batch, length = self._batch_shape
        check_length(length, config.max_position_embeddings)
        self._embedding_table = new_variable(
            "word_embeddings", [config.vocab_size, config.word_width], config
        )
        words = lookup(self._embedding_table, input_ids, use_one_hot)  # [R, E]
        self._word_embedding_output = tf.reshape(words, [batch, length, config.word_width])
        width = config.word_width
        self._embedding_projection = None
        if LAYOUTS[config.layout].projection == "word_embeddings_2":
            self._embedding_projection = new_variable(
                "word_embeddings_2", [width, config.hidden_size], config
            )
            words = product(tf.cast(words, self._dtype), self._embedding_projection)  # [R, H]
            width = config.hidden_size
        segments = lookup(
            new_variable("token_type_embeddings", [config.type_vocab_size, width], config),
            token_type_ids,
            use_one_hot=True,  # two rows: a product is faster than a gather's gradient
        )
        words = tf.cast(words, tf.float32)
        positions = new_variable(
            "position_embeddings", [config.max_position_embeddings, width], config
        )
        rows = tf.reshape(words + segments, [batch, length, width]) + positions[:length]
        rows = layer_norm(tf.reshape(rows, [-1, width]), "LayerNorm", config.saves_memory)
        self._embedding_rows = dropout(tf.cast(rows, self._dtype), config.hidden_dropout_prob)

    def _project_to_hidden(self, config):
        """Google's layouts widen the finished embeddings to the hidden size; [R, E] -> [R, H]."""
        name = LAYOUTS[config.layout].projection
        if name != "embedding_hidden_mapping_in" or config.word_width == config.hidden_size:
            return self._embedding_rows
        return dense(self._embedding_rows, config.hidden_size, config, name)

    def _unflatten(self, rows):
        return tf.reshape(rows, [self._batch_shape[0], -1, rows.shape[-1]])

    def get_pooled_output(self):
        """[B, H], tanh of a dense layer on the first token; float32."""
        return tf.cast(self._pooled_output, tf.float32)

    def get_sequence_output(self):
        """[B, F, H], the output of the last layer; with `output_positions` [B, K, H]."""
        return self._unflatten(self._layer_rows[-1])

    def get_all_encoder_layers(self):
        """List of [B, F, H], the output of each layer; the last one as `get_sequence_output`."""
        return [self._unflatten(rows) for rows in self._layer_rows]

    def get_word_embedding_output(self):
        """[B, F, E], the word vectors as looked up."""
        return self._word_embedding_output

    def get_embedding_output(self):
        """[B, F, H] (google's layouts [B, F, E]), sum of the tables after LayerNorm."""
        return self._unflatten(self._embedding_rows)

    def get_embedding_table(self):
        """[V, E], the word table."""
        return self._embedding_table

    def get_embedding_projection(self):
        """[E, H], brightmart's second word table; None in the other layouts."""
        return self._embedding_projection

    get_embedding_table_2 = get_embedding_projection  # albert_zh's name


def _config_of_graph(config, is_training, plain):
    """A copy of a config that also knows what its graph is for."""
    config = copy.deepcopy(config)
    config.saves_memory = is_training and not plain
    config.is_plain = plain
    if not is_training:
        config.hidden_dropout_prob = 0.0
        config.attention_probs_dropout_prob = 0.0
    return config


BertConfig = AlbertConfig
BertModel = AlbertModel


def encoder_layers(
    config, rows, mask, batch_shape, recompute=False, output_positions=None, layout=None
):
    """All layers of the encoder.

    Args:
        config: `AlbertConfig`.
        rows: float tensor [R, H], the embeddings.
        mask: float tensor that fits [B, N, F, F], added to the attention scores.
        batch_shape: B and F.
        recompute: bool, see `AlbertModel`.
        output_positions: see `AlbertModel`.
        layout: `Layout` in place of the config's.

    Returns:
        list of [R, H], one per layer; with `output_positions` the last one is [B * K, H].
    """
    layout = layout or LAYOUTS[config.layout]
    groups = config.num_hidden_groups or 1
    last_block = (config.num_hidden_layers - 1, config.inner_group_num - 1)

    def apply_layer(layer, seeds, rows):
        group = layer * groups // config.num_hidden_layers
        for inner_group in range(config.inner_group_num):
            scopes = layout.of_block(layer=layer, group=group, inner_group=inner_group)
            positions = output_positions if (layer, inner_group) == last_block else None
            with tf.variable_scope(scopes.layer_scope, reuse=tf.AUTO_REUSE):
                rows = transformer_block(
                    config, scopes, rows, mask, batch_shape, seeds[inner_group], positions
                )
        return rows

    layers = []
    for layer in range(config.num_hidden_layers):
        seeds = [_block_seeds(config) for _ in range(config.inner_group_num)]
        layers.append(functools.partial(apply_layer, layer, seeds))
    if recompute:
        return recomputed_chain(layers, rows)
    outputs = []
    for layer in layers:
        rows = layer(rows)
        outputs.append(rows)
    return outputs


def _block_seeds(config):
    """Seeds of a block's dropouts, drawn outside of it because it may be computed twice."""
    drops = config.hidden_dropout_prob or config.attention_probs_dropout_prob
    return [dropout_seed() if drops else None for _ in range(BLOCK_DROPOUTS)]


def transformer_block(config, layout, rows, mask, batch_shape, seeds, output_positions=None):
    """One transformer block (Vaswani et al. 2017), post-LN or pre-LN.

    Args:
        config: `AlbertConfig`.
        layout: of `LAYOUTS`, for the scopes of the block's variables.
        rows: float tensor [R, H].
        mask: float tensor [B, 1, 1, F], added to the attention scores.
        batch_shape: B and F.
        seeds: int tensors [2] of the three dropouts (attention weights, attention, feed-forward),
            or None for each.
        output_positions: the only positions that are computed, see `AlbertModel`; None for all.

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
        x = self_attention(config, layout.attention, x, mask, batch_shape, weights_seed, from_rows)
        return dropout(x, config.hidden_dropout_prob, attention_seed)

    def feed_forward(x):
        groups = config.ffn_groups
        x = dense(x, config.intermediate_size, config, layout.ffn_in, groups=groups)  # [R, I]
        x = dense(
            x,
            config.hidden_size,
            config,
            layout.ffn_out,
            input_activation=config.hidden_act,
            groups=groups,
        )
        return dropout(x, config.hidden_dropout_prob, feed_forward_seed)

    def norm(x, scope):
        return layer_norm(x, scope, config.saves_memory)

    def add_feed_forward(rows, x):
        scale = config.ffn_out_scale
        if scale is None:
            return rows + feed_forward(x)
        # Scaled behind the sum, since a factor of the product alone would go back into the kernel.
        return (rows * (1.0 / scale) + feed_forward(x)) * scale

    if config.is_pre_norm:
        rows = kept(rows) + attend(norm(rows, layout.attention_norm))
        return add_feed_forward(rows, norm(rows, layout.ffn_norm))
    rows = norm(kept(rows) + attend(rows), layout.attention_norm)
    return norm(add_feed_forward(rows, rows), layout.ffn_norm)


def self_attention(config, scope, rows, mask, batch_shape, seed=None, from_rows=None):
    """Multi-head self-attention and its output layer.

    Args:
        config: `AlbertConfig`.
        scope: name of the attention's variable scope.
        rows: float tensor [R, H].
        mask: float tensor [B, 1, 1, F].
        batch_shape: B and F.
        seed: int tensor [2], of the dropout of attention weights; not used without dropout.
        from_rows: float tensor [B * K, H], the only rows that look at the others; None for all.

    Returns:
        float tensor [R, H], or [B * K, H] of `from_rows`.
    """

    def attended(query, key, value):
        return attention_context(
            query, key, value, mask, config.attention_probs_dropout_prob, seed
        )  # [B, N, F, D]

    names = ["%s/self/%s" % (scope, name) for name in ("query", "key", "value")]
    if from_rows is None and config.saves_memory:
        inputs = _projected(config, names, rows, batch_shape)
    else:  # outside of training in every layer, so that an exported file has each kernel once
        querying = rows if from_rows is None else from_rows
        inputs = _projected(config, names[:1], querying, (batch_shape[0], -1))
        inputs += _projected(config, names[1:], rows, batch_shape)
    context = recomputed(attended, inputs, config.saves_memory)
    context = tf.transpose(context, [0, 2, 1, 3])  # [B, F, N, D]
    context = tf.reshape(context, [-1, config.hidden_size])  # [R, H]
    return dense(context, config.hidden_size, config, scope + "/output/dense")


def attention_context(query, key, value, mask, dropout_prob, seed=None):
    """What the heads of attention make of values; T are the positions that are looked at.

    Args:
        query: float tensor [B, N, F, D].
        key: float tensor [B, N, T, D].
        value: float tensor [B, N, T, D].
        mask: float tensor that fits [B, N, F, T], added to the scores.
        dropout_prob: float, of the attention weights.
        seed: int tensor [2], of the dropout; not used without dropout.

    Returns:
        float tensor [B, N, F, D].
    """
    scores = tf.cast(tf.matmul(query, key, transpose_b=True), tf.float32)  # [B, N, F, T]
    weights = tf.nn.softmax(scores / math.sqrt(int(query.shape[-1])) + mask)
    weights = dropout(tf.cast(weights, value.dtype), dropout_prob, seed)
    return tf.matmul(weights, value)


def _projected(config, scopes, rows, batch_shape):
    """Rows [R, H] as each of some dense layers projects them for the heads: [B, N, F, D] each."""
    batch, length = batch_shape
    heads = config.num_attention_heads
    head_size = config.hidden_size // heads
    if config.is_plain:
        columns = [dense(rows, config.hidden_size, config, scope) for scope in scopes]
        columns = [tf.reshape(x, [batch, length, heads, head_size]) for x in columns]
        return [tf.transpose(x, [0, 2, 1, 3]) for x in columns]
    x = joint_dense(rows, config.hidden_size, config, scopes)
    x = tf.reshape(x, [batch, length, len(scopes), heads, head_size])
    return tf.unstack(tf.transpose(x, [2, 0, 3, 1, 4]))


def masked_lm_head(config, model, positions, label_ids, label_weights, parts=1):
    """Predicts the masked words with the (tied) word table; variables under `cls/predictions`.

    The loss is sum(weight * nll) / (sum(weight) + 1e-5), node `cls/predictions/truediv`.

    Args:
        config: `AlbertConfig`.
        model: `AlbertModel`.
        positions: int tensor [B, P], the masked positions; None for all of the model's
            `output_positions` but the first token.
        label_ids: int tensor [B, P], the words that stood there.
        label_weights: float tensor [B, P], 0 for unused predictions.
        parts: int; in training, in how many parts the logits are computed, so that they are not all
            in memory at once. With more than one only the losses' sums have gradients.

    Returns:
        `MaskedLmOutput`: loss [], weighted_loss [] (the sum), per_example_loss [B * P], log_probs
        [B * P, V], predicted [B * P], the most probable words.
    """
    rows = model.get_sequence_output()
    if positions is None:
        rows = tf.reshape(rows[:, 1:, :], [-1, config.hidden_size])  # [B * P, H]
    else:
        rows = gather_positions(rows, positions)  # [B * P, H]
    table, projection = model.get_embedding_table(), model.get_embedding_projection()
    return masked_lm_output(config, rows, table, projection, label_ids, label_weights, parts)


def masked_lm_output(config, rows, table, projection, label_ids, label_weights, parts=1):
    """`masked_lm_head` of rows that have been gathered already.

    Args:
        config: `AlbertConfig`.
        rows: float tensor [B * P, H].
        table: float tensor [V, E], the word table.
        projection: float tensor [E, H], brightmart's second word table; None for other layouts.
        label_ids, label_weights, parts: as in `masked_lm_head`.

    Returns:
        `MaskedLmOutput`.
    """
    width = config.word_width if projection is None else config.hidden_size
    with tf.variable_scope("cls/predictions"):
        with tf.variable_scope("transform"):
            rows = dense(rows, width, config, "dense", config.hidden_act)
            rows = layer_norm(rows, "LayerNorm")
        bias = tf.get_variable(
            "output_bias", [config.vocab_size], initializer=tf.zeros_initializer()
        )
        if projection is not None:
            rows = product(rows, projection, transpose_b=True)  # [B * P, E]
        labels = [tf.reshape(label_ids, [-1]), tf.cast(tf.reshape(label_weights, [-1]), tf.float32)]
        if parts == 1:
            results = _word_losses(rows, *labels, table, bias)
        else:
            if rows.dtype == tf.float16:  # gradients of an unscaled sum are too small for it
                rows = tf.cast(rows, tf.float32)
            results = summed_by_parts(_word_losses, rows, labels, [table, bias], parts)
        weighted_loss, per_example_loss, predicted = results
        loss = tf.divide(weighted_loss, tf.reduce_sum(labels[1]) + 1e-5)
        log_probs = tf.nn.log_softmax(_word_logits(rows, table, bias))
        return MaskedLmOutput(loss, weighted_loss, per_example_loss, log_probs, predicted)


def _word_logits(rows, table, bias):
    logits = product(rows, table, transpose_b=True)  # [B * P, V]
    return tf.cast(logits, tf.float32) + bias


def _word_losses(rows, label_ids, weights, table, bias):
    """(weighted sum of the losses, losses, predicted words) of rows [B * P, E]."""
    losses, predicted = cross_entropy(label_ids, _word_logits(rows, table, bias))
    return tf.reduce_sum(weights * losses), losses, predicted


def sentence_order_head(config, pooled_output, labels):
    """Predicts whether two segments were swapped; variables under `cls/seq_relationship`.

    Args:
        config: `AlbertConfig`.
        pooled_output: float tensor [B, H].
        labels: int tensor [B] or [B, 1], 1 for swapped.

    Returns:
        `SentenceOrderOutput`: loss [], per_example_loss [B], log_probs [B, 2], predicted [B].
    """
    with tf.variable_scope("cls/seq_relationship"):
        logits = _output_logits(config, pooled_output, num_labels=2)
        per_example_loss, predicted = cross_entropy(tf.reshape(labels, [-1]), logits)
        loss = tf.reduce_mean(per_example_loss)
        return SentenceOrderOutput(loss, per_example_loss, tf.nn.log_softmax(logits), predicted)


def cross_entropy(labels, logits):
    """Cross-entropy of a softmax, and what it predicts.

    The numbers of `tf.nn.sparse_softmax_cross_entropy_with_logits` (it predicts, too), from the
    softmax that oneDNN computes: with a vocabulary of classes in less than half of the time.

    Args:
        labels: int tensor [N].
        logits: float tensor [N, C].

    Returns:
        (losses, predicted): float [N] and int [N].
    """
    numbers = tf.range(tf.shape(logits)[0])
    predicted = tf.argmax(logits, axis=-1, output_type=tf.int32)
    at_predicted, at_labels = (
        tf.stack([numbers, tf.cast(classes, tf.int32)], axis=1) for classes in (predicted, labels)
    )

    @tf.custom_gradient
    def losses(logits):
        probabilities = tf.nn.softmax(logits)
        # The highest probability is at least 1 / C, so that its logarithm is always there.
        top_loss = -tf.log(tf.gather_nd(probabilities, at_predicted))
        loss = tf.gather_nd(logits, at_predicted) - tf.gather_nd(logits, at_labels) + top_loss

        def gradient(dy):
            weighted = probabilities * dy[:, None]
            return tf.tensor_scatter_nd_sub(weighted, at_labels, dy)

        return loss, gradient

    return losses(logits), predicted


def classification_head(config, output_layer, labels, num_labels, is_training, initial_bias=None):
    """Classifies a pooled vector; variables `output_weights`, `output_bias`.

    Pre-LN encoders end without LayerNorm, so the head adds one, `loss/LayerNorm`.

    Args:
        config: `AlbertConfig`.
        output_layer: float tensor [B, H].
        labels: int tensor [B], or None when they are not known.
        num_labels: number of classes.
        is_training: bool; dropout of 0.1 in training.
        initial_bias: list of `num_labels` floats, start values of the bias; zeros by default.

    Returns:
        `ClassificationOutput`: loss [], per_example_loss [B] (both None without labels),
        logits [B, num_labels], probabilities [B, num_labels].
    """

    def prepare(x):
        if config.is_pre_norm:
            with tf.variable_scope("loss"):
                x = layer_norm(x, "LayerNorm")
        return dropout(x, CLASSIFIER_DROPOUT if is_training else 0.0)

    logits = _output_logits(config, output_layer, num_labels, prepare, initial_bias)
    probabilities = tf.nn.softmax(logits)
    if labels is None:
        return ClassificationOutput(None, None, logits, probabilities)
    per_example_loss = tf.nn.sparse_softmax_cross_entropy_with_logits(labels=labels, logits=logits)
    return ClassificationOutput(
        tf.reduce_mean(per_example_loss), per_example_loss, logits, probabilities
    )


def _output_logits(config, x, num_labels, prepare=tf.identity, initial_bias=None):
    """Logits [B, num_labels] of [B, H]; `prepare` follows the variables' creation (their order)."""
    weights = new_variable("output_weights", [num_labels, config.hidden_size], config)
    bias = tf.get_variable(
        "output_bias", [num_labels], initializer=tf.constant_initializer(initial_bias or 0.0)
    )
    return tf.nn.bias_add(tf.matmul(prepare(x), weights, transpose_b=True), bias)


def gather_positions(sequence, positions):
    """Rows of a sequence; float [B, F, H] at int [B, P] -> [B * P, H]."""
    batch, length, width = get_shape_list(sequence, expected_rank=3)
    offsets = tf.reshape(tf.range(batch) * length, [-1, 1])
    flat_positions = tf.reshape(tf.cast(positions, tf.int32) + offsets, [-1])
    return tf.gather(tf.reshape(sequence, [-1, width]), flat_positions)


def mean_over_tokens(sequence, mask):
    """The mean of a sequence's tokens, [B, F, W] and float [B, F, 1] -> [B, W]; 0 of no tokens."""
    return tf.reduce_sum(sequence * mask, axis=1) / tf.maximum(tf.reduce_sum(mask, axis=1), 1.0)


def max_over_tokens(sequence, mask):
    """The highest values of a sequence's tokens, [B, F, W] and float [B, F, 1] -> [B, W]."""
    return tf.reduce_max(sequence + (1.0 - mask) * sequence.dtype.min / 2, axis=1)


def new_variable(name, shape, config):
    """A weight that starts from a truncated normal of the config's `initializer_range`.

    With a graph seed set, its start values depend on the seed and its own name only, not on what
    else stands in the graph.
    """
    seed = None
    if tf.get_default_graph().seed is not None:
        scope = tf.get_variable_scope().name
        seed = zlib.crc32(("%s/%s" % (scope, name)).encode("utf-8")) & 0x7FFFFFFF
    return tf.get_variable(
        name,
        shape,
        initializer=tf.truncated_normal_initializer(stddev=config.initializer_range, seed=seed),
    )


def variable_name(variable):
    """The name of a variable as checkpoints have it, on whichever replica it is asked for."""
    return re.sub(r"/replica_\d+$", "", variable.op.name)


def dense(x, width, config, scope, activation="linear", input_activation="linear", groups=1):
    """Dense layer, variables `kernel` and `bias`.

    With groups (google_fast) columns h * G + g of the input feed only columns g * out / G + o of
    the output (so groups mix from layer to layer); the kernel is [in / G, out / G, G].

    Args:
        x: float tensor [R, in].
        width: int, size of the output.
        config: `AlbertConfig`, for the start values.
        scope: variable scope.
        activation: a name in `ACTIVATIONS`, applied to the output.
        input_activation: one that is applied to the input (and in training not kept in memory).
        groups: int, G.

    Returns:
        float tensor [R, width].
    """
    size = int(x.shape[-1])
    shape = [size, width] if groups == 1 else [size // groups, width // groups, groups]

    is_recomputed = config.saves_memory and input_activation != "linear"

    def multiplied(x, kernel):
        activate = get_activation(input_activation)
        x = (compiled(activate) if is_recomputed else activate)(x)
        if groups == 1:
            return product(x, kernel)
        x = tf.reshape(x, [-1, size // groups, groups])
        x = tf.einsum("rhg,hog->rgo", x, tf.cast(kernel, x.dtype))
        return tf.reshape(x, [-1, width])

    with tf.variable_scope(scope):
        kernel = new_variable("kernel", shape, config)
        x = recomputed(multiplied, [x, kernel], is_recomputed)
        bias = tf.get_variable("bias", [width], initializer=tf.zeros_initializer())
        return get_activation(activation)(tf.nn.bias_add(x, tf.cast(bias, x.dtype)))


def joint_dense(x, width, config, scopes):
    """Several dense layers of the same input as one product, each with variables of its own.

    Args:
        x: float tensor [R, in].
        width: int, size of each output.
        config: `AlbertConfig`, for the start values.
        scopes: variable scopes.

    Returns:
        float tensor [R, len(scopes) * width].
    """
    kernels, biases = [], []
    for scope in scopes:
        with tf.variable_scope(scope):
            kernels.append(new_variable("kernel", [int(x.shape[-1]), width], config))
            biases.append(tf.get_variable("bias", [width], initializer=tf.zeros_initializer()))
    bias = tf.cast(tf.concat(biases, axis=0), x.dtype)
    return tf.nn.bias_add(product(x, tf.concat(kernels, axis=1)), bias)


def product(x, kernel, transpose_b=False):
    """Matrix product in the precision of x, whatever that of the kernel."""
    return tf.matmul(x, tf.cast(kernel, x.dtype), transpose_b=transpose_b)


def layer_norm(input_tensor, name=None, saves_memory=False):
    """Layer normalization (Ba et al. 2016) of the last axis, variables `beta` and `gamma`.

    Args:
        input_tensor: float tensor [..., width].
        name: variable scope; by default `LayerNorm`, `LayerNorm_1` ... of the scope around it.
        saves_memory: bool, see `recomputed`.

    Returns:
        float tensor of the same shape.
    """
    width = [int(input_tensor.shape[-1])]
    with tf.variable_scope(name, default_name="LayerNorm"):
        beta = tf.get_variable("beta", width, initializer=tf.zeros_initializer())
        gamma = tf.get_variable("gamma", width, initializer=tf.ones_initializer())
        return recomputed(_normalized, [input_tensor, beta, gamma], saves_memory)


def _normalized(x, beta, gamma):
    wide = tf.cast(x, tf.float32)
    centered = wide - tf.reduce_mean(wide, axis=-1, keepdims=True)
    variance = tf.reduce_mean(centered * centered, axis=-1, keepdims=True)
    # In these brackets TensorFlow Lite's converter cannot move gamma into the kernels that follow,
    # which would then be different ones after each LayerNorm.
    wide = centered * (tf.rsqrt(variance + LAYER_NORM_EPSILON) * gamma) + beta
    return tf.cast(wide, x.dtype)


@functools.lru_cache(maxsize=None)
def compiled(function):
    """An elementwise function of one tensor as one pass over memory, and its gradient as another.

    Where compiling does not pay it is the function.
    """
    if not xla.pays():
        return function

    def in_float32(x):
        return tf.cast(function(tf.cast(x, tf.float32)), x.dtype)

    def gradient(x, dy):
        return tf.gradients(in_float32(x), x, dy)[0]

    forward, backward = xla.one_pass(in_float32), xla.one_pass(gradient)

    @tf.custom_gradient
    def apply(x):
        return forward(x), lambda dy: backward(x, dy)

    return apply


def dropout(input_tensor, dropout_prob, seed=None):
    """Dropout (Srivastava et al. 2014) by a seed that is a tensor.

    Args:
        input_tensor: float tensor of any shape.
        dropout_prob: share of values set to 0; the others are scaled by 1 / (1 - dropout_prob). 0
            or None for no dropout.
        seed: int tensor [2]; `dropout_seed()` by default.

    Returns:
        float tensor of the same shape.
    """
    if not dropout_prob:
        return input_tensor
    with tf.name_scope("dropout"):
        seed = dropout_seed() if seed is None else seed
        kept = tf.random.stateless_uniform(tf.shape(input_tensor), seed) >= dropout_prob
        return input_tensor * tf.cast(kept, input_tensor.dtype) * (1.0 / (1.0 - dropout_prob))


def dropout_seed():
    """An int tensor [2], a function of the graph's seed, place, replica and global step.

    So a run that is stopped and resumed drops what the uninterrupted one would have dropped.
    Without a global step there is no run that could be repeated, and the seed is random.
    """
    step = tf.train.get_global_step()
    if step is None:
        return tf.random.uniform([2], maxval=2**31 - 1, dtype=tf.int32)
    with tf.name_scope("dropout_seed") as scope:
        place = zlib.crc32(("%s %s" % (tf.get_default_graph().seed, scope)).encode("utf-8"))
        place = tf.constant(place & 0x3FFFFFFF) + _PARTS_OF_BATCH[-1]
        if tf.distribute.has_strategy():
            replica = tf.distribute.get_replica_context().replica_id_in_sync_group
            place += _PARTS_OF_REPLICA * tf.cast(replica, tf.int32)
        return tf.stack([place, tf.cast(step, tf.int32)])


@contextlib.contextmanager
def part_of_batch(number):
    """What is built inside drops by seeds of its own for each part of a step's batch.

    Args:
        number: int or int scalar tensor.
    """
    _PARTS_OF_BATCH.append(number)
    try:
        yield
    finally:
        _PARTS_OF_BATCH.pop()


def lookup(table, ids, use_one_hot):
    """Rows of a table; float [V, E] at int [B, F] -> [R, E]."""
    flat_ids = tf.reshape(ids, [-1])
    if use_one_hot:
        return tf.matmul(
            tf.one_hot(flat_ids, int(table.shape[0]), dtype=table.dtype.base_dtype), table
        )
    return tf.gather(table, flat_ids)


def get_shape_list(tensor, expected_rank=None, name=None):
    """The sizes of a tensor's axes: ints where they are known, scalar tensors elsewhere.

    Args:
        tensor: the tensor.
        expected_rank: int, or list of ints, any of which will do; None for any rank.
        name: what errors call the tensor; its own name by default.

    Raises:
        ValueError: if the rank is not an expected one.
    """
    static = tensor.shape.as_list()
    if expected_rank is not None:
        expected = [expected_rank] if isinstance(expected_rank, int) else list(expected_rank)
        if len(static) not in expected:
            raise ValueError(
                "%s has rank %d, expected rank %s"
                % (name or tensor.name, len(static), " or ".join(map(str, expected)))
            )
    dynamic = tf.shape(tensor)
    return [dynamic[axis] if size is None else size for axis, size in enumerate(static)]


def get_assignment_map_from_checkpoint(tvars, init_checkpoint):
    """Which variables of a checkpoint go to which of the graph, by equal names (BERT's interface).

    Args:
        tvars: list of variables.
        init_checkpoint: checkpoint prefix.

    Returns:
        (assignment_map, initialized_variable_names): `{checkpoint name: variable name}` in the
        checkpoint's order, and the variables' names (with and without `:0`), each with value 1.
    """
    names = {re.sub(r":\d+$", "", variable.name) for variable in tvars}
    assignment_map = collections.OrderedDict(
        (name, name) for name, _ in tf.train.list_variables(init_checkpoint) if name in names
    )
    initialized = {}
    for name in assignment_map:
        initialized[name] = 1
        initialized[name + ":0"] = 1
    return assignment_map, initialized


def count_parameters(variables):
    """Number of values in a list of variables."""
    return int(sum(np.prod(variable.shape.as_list()) for variable in variables))


def check_length(length, max_position_embeddings):
    """Raises `UserError` for a sequence (int or tensor, of which nothing is known) too long."""
    if isinstance(length, int) and length > max_position_embeddings:
        raise UserError(
            "--max_seq_length: %d is more than the config's max_position_embeddings, %d"
            % (length, max_position_embeddings)
        )
