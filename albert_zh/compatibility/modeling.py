"""albert_zh's `modeling`: `model.modeling` plus functions with which programs build models.

    words, table, projection = embedding_lookup_factorized(ids, vocab_size, hidden_size)
    vectors = embedding_postprocessor(words, use_token_type=True, token_type_ids=segments)
    vectors = transformer_model(vectors, create_attention_mask_from_input_mask(ids, mask))

Arguments, defaults, variables and numbers are those of the original functions. As in the original,
the caller opens the scopes: `bert/embeddings` for the embeddings, `bert/encoder` for the encoder.

Letters in shape comments: B batch, F tokens, T attended tokens, E embedding, H hidden, N heads,
D head size, V vocabulary.
"""

from typing import Any, Callable, List, Optional, Sequence, Tuple, Union

import tensorflow.compat.v1 as tf

from albert_zh.common.errors import UserError
from albert_zh.model import modeling
from albert_zh.model.modeling import *  # noqa: F403

__all__ = [
    *modeling.__all__,
    "assert_rank",
    "attention_layer",
    "create_attention_mask_from_input_mask",
    "create_initializer",
    "embedding_lookup",
    "embedding_lookup_factorized",
    "embedding_postprocessor",
    "layer_norm_and_dropout",
    "prelln_transformer_model",
    "reshape_from_matrix",
    "reshape_to_matrix",
    "transformer_model",
]

Activation = Union[Callable[[tf.Tensor], tf.Tensor], str, None]  # a function or a name
# What the layers of `prelln_transformer_model` share: the scopes that differ between layers.
_SHARED_TYPES = {
    "all": {"layer_scope": "layer_shared"},
    "attention": {
        "layer_scope": "layer_shared",
        "ffn_in": "intermediate_{layer}/dense",
        "ffn_out": "output_{layer}/dense",
        "ffn_norm": "output_{layer}/LayerNorm",
    },
    "ffn": {
        "layer_scope": "layer_shared",
        "attention": "attention_{layer}",
        "attention_norm": "attention_{layer}/output/LayerNorm",
    },
    None: {"layer_scope": "layer_{layer}"},
}


def create_initializer(initializer_range: float = 0.02) -> Callable[..., tf.Tensor]:
    """The initializer of all weights: a truncated normal with this standard deviation."""
    return tf.truncated_normal_initializer(stddev=initializer_range)


def get_activation(activation_string: Activation) -> Callable[[tf.Tensor], tf.Tensor]:
    """The activation function of a name; a function is returned as is; None, "": identity.

    Raises:
        ValueError: for an unknown name.
    """
    return modeling.get_activation(activation_string or None)


def layer_norm_and_dropout(
    input_tensor: tf.Tensor, dropout_prob: float, name: Optional[str] = None
) -> tf.Tensor:
    """`layer_norm`, then `dropout`; float tensor of any shape."""
    return modeling.dropout(modeling.layer_norm(input_tensor, name), dropout_prob)


def assert_rank(
    tensor: tf.Tensor, expected_rank: Union[int, Sequence[int]], name: Optional[str] = None
) -> None:
    """Raises `ValueError` if a tensor's rank is not (one of) the expected."""
    modeling.get_shape_list(tensor, expected_rank, name)


def reshape_to_matrix(input_tensor: tf.Tensor) -> tf.Tensor:
    """Reshapes a tensor of rank 2 or more to rank 2, with the same last axis.

    Raises:
        ValueError: for a tensor of a lower rank.
    """
    if input_tensor.shape.ndims < 2:
        raise ValueError("expected a tensor of rank 2 or more, found %s" % input_tensor.shape)
    if input_tensor.shape.ndims == 2:
        return input_tensor
    return tf.reshape(input_tensor, [-1, input_tensor.shape[-1]])


def reshape_from_matrix(output_tensor: tf.Tensor, orig_shape_list: Sequence[Any]) -> tf.Tensor:
    """Undoes `reshape_to_matrix`; the last axis is the last axis of the matrix.

    Args:
        output_tensor: tensor of rank 2.
        orig_shape_list: shape of the original tensor, as returned by `get_shape_list`.
    """
    if len(orig_shape_list) == 2:
        return output_tensor
    width = modeling.get_shape_list(output_tensor, expected_rank=2)[-1]
    return tf.reshape(output_tensor, list(orig_shape_list[:-1]) + [width])


def embedding_lookup(
    input_ids: tf.Tensor,
    vocab_size: int,
    embedding_size: int = 128,
    initializer_range: float = 0.02,
    word_embedding_name: str = "word_embeddings",
    use_one_hot_embeddings: bool = False,
) -> Tuple[tf.Tensor, tf.Variable]:
    """Looks up word vectors.

    Args:
        input_ids: int tensor [B, F], or [B, F, K] for K ids whose vectors are concatenated.
        vocab_size: V.
        embedding_size: E.
        initializer_range: standard deviation of the initial values.
        word_embedding_name: name of the table's variable.
        use_one_hot_embeddings: whether to look up words by a product with one-hot rows.

    Returns:
        (float tensor [B, F, E] or [B, F, K * E], variable [V, E]).
    """
    config = _config(initializer_range)
    table = modeling.new_variable(word_embedding_name, [vocab_size, embedding_size], config)
    rows = modeling.lookup(table, input_ids, use_one_hot_embeddings)
    batch, length = modeling.get_shape_list(input_ids, expected_rank=[2, 3])[:2]
    num_ids = 1 if input_ids.shape.ndims == 2 else int(input_ids.shape[2])
    return tf.reshape(rows, [batch, length, num_ids * embedding_size]), table


def embedding_lookup_factorized(
    input_ids: tf.Tensor,
    vocab_size: int,
    hidden_size: int,
    embedding_size: int = 128,
    initializer_range: float = 0.02,
    word_embedding_name: str = "word_embeddings",
    use_one_hot_embeddings: bool = False,
) -> Tuple[tf.Tensor, tf.Variable, tf.Variable]:
    """Looks up word vectors in a narrow table and projects them to the encoder's width.

    Args:
        hidden_size: H.
        Others: as in `embedding_lookup`; `input_ids` [B, F].

    Returns:
        (float tensor [B, F, H], variable [V, E], variable [E, H] with `_2` appended to the name).
    """
    embedded, table = embedding_lookup(
        input_ids,
        vocab_size,
        embedding_size,
        initializer_range,
        word_embedding_name,
        use_one_hot_embeddings,
    )
    projection = modeling.new_variable(
        word_embedding_name + "_2", [embedding_size, hidden_size], _config(initializer_range)
    )
    rows = modeling.product(reshape_to_matrix(embedded), projection)
    return reshape_from_matrix(rows, modeling.get_shape_list(embedded)), table, projection


def embedding_postprocessor(
    input_tensor: tf.Tensor,
    use_token_type: bool = False,
    token_type_ids: Optional[tf.Tensor] = None,
    token_type_vocab_size: int = 16,
    token_type_embedding_name: str = "token_type_embeddings",
    use_position_embeddings: bool = True,
    position_embedding_name: str = "position_embeddings",
    initializer_range: float = 0.02,
    max_position_embeddings: int = 512,
    dropout_prob: float = 0.1,
) -> tf.Tensor:
    """Adds segment and position vectors to word vectors; applies LayerNorm and dropout.

    Args:
        input_tensor: float tensor [B, F, W].
        use_token_type: whether to add segment vectors.
        token_type_ids: int tensor [B, F], required with `use_token_type`.
        token_type_vocab_size: number of segments.
        token_type_embedding_name: name of the segment table's variable.
        use_position_embeddings: whether to add position vectors.
        position_embedding_name: name of the position table's variable.
        initializer_range: standard deviation of the initial values.
        max_position_embeddings: maximum sequence length.
        dropout_prob: dropout probability of the result; 0 outside of training.

    Returns:
        float tensor [B, F, W].

    Raises:
        ValueError: if segments are missing or sequences are too long.
    """
    config = _config(initializer_range)
    batch, length, width = modeling.get_shape_list(input_tensor, expected_rank=3)
    output = input_tensor
    if use_token_type:
        if token_type_ids is None:
            raise ValueError("use_token_type needs token_type_ids, an int tensor [B, F]")
        table = modeling.new_variable(
            token_type_embedding_name, [token_type_vocab_size, width], config
        )
        segments = modeling.lookup(table, token_type_ids, use_one_hot=True)
        output += tf.reshape(segments, [batch, length, width])
    if use_position_embeddings:
        modeling.check_length(length, max_position_embeddings)
        table = modeling.new_variable(
            position_embedding_name, [max_position_embeddings, width], config
        )
        output += table[:length]
    return layer_norm_and_dropout(output, dropout_prob)


def create_attention_mask_from_input_mask(from_tensor: tf.Tensor, to_mask: tf.Tensor) -> tf.Tensor:
    """Creates an attention mask in which all tokens attend to all tokens that are not padding.

    Args:
        from_tensor: tensor [B, F] or [B, F, W], used for its shape only.
        to_mask: int tensor [B, T], 1 for tokens and 0 for padding.

    Returns:
        float tensor [B, F, T].
    """
    batch, length = modeling.get_shape_list(from_tensor, expected_rank=[2, 3])[:2]
    assert_rank(to_mask, 2, "to_mask")
    return tf.ones([batch, length, 1]) * tf.cast(tf.expand_dims(to_mask, 1), tf.float32)


# long: 14 arguments, as in albert_zh's interface
def attention_layer(
    from_tensor: tf.Tensor,
    to_tensor: tf.Tensor,
    attention_mask: Optional[tf.Tensor] = None,
    num_attention_heads: int = 1,
    size_per_head: int = 512,
    query_act: Activation = None,
    key_act: Activation = None,
    value_act: Activation = None,
    attention_probs_dropout_prob: float = 0.0,
    initializer_range: float = 0.02,
    do_return_2d_tensor: bool = False,
    batch_size: Optional[int] = None,
    from_seq_length: Optional[int] = None,
    to_seq_length: Optional[int] = None,
) -> tf.Tensor:
    """Multi-head attention without an output layer; variables `query`, `key`, `value`.

    Args:
        from_tensor: float tensor [B, F, W] or [B * F, W], the queries' input.
        to_tensor: float tensor [B, T, W'] or [B * T, W'], the keys' and values' input.
        attention_mask: number tensor [B, F, T], 1 where a token may attend; None: everywhere.
        num_attention_heads: N.
        size_per_head: D.
        query_act, key_act, value_act: functions or names of activations; None: no activation.
        attention_probs_dropout_prob: dropout of the attention weights.
        initializer_range: standard deviation of the initial values.
        do_return_2d_tensor: whether to return [B * F, N * D].
        batch_size, from_seq_length, to_seq_length: B, F and T, required for tensors of rank 2.

    Returns:
        float tensor [B, F, N * D], or [B * F, N * D].

    Raises:
        ValueError: if ranks differ or sizes are missing.
    """
    ranks = [len(modeling.get_shape_list(x, [2, 3])) for x in (from_tensor, to_tensor)]
    if ranks[0] != ranks[1]:
        raise ValueError("from_tensor has rank %d, to_tensor %d: expected the same" % tuple(ranks))
    if ranks[0] == 3:
        batch_size, from_seq_length = modeling.get_shape_list(from_tensor)[:2]
        to_seq_length = modeling.get_shape_list(to_tensor)[1]
    elif None in (batch_size, from_seq_length, to_seq_length):
        raise ValueError(
            "tensors of rank 2 also need batch_size, from_seq_length and to_seq_length"
        )

    def of_heads(tensor, length, name, activation):
        x = modeling.dense(
            reshape_to_matrix(tensor),
            num_attention_heads * size_per_head,
            _config(initializer_range),
            name,
            activation,
        )
        x = tf.reshape(x, [batch_size, length, num_attention_heads, size_per_head])
        return tf.transpose(x, [0, 2, 1, 3])  # [B, N, F, D]

    context = modeling.attention_context(
        of_heads(from_tensor, from_seq_length, "query", query_act),
        of_heads(to_tensor, to_seq_length, "key", key_act),
        of_heads(to_tensor, to_seq_length, "value", value_act),
        additive_mask(attention_mask),
        attention_probs_dropout_prob,
    )
    width = num_attention_heads * size_per_head
    shape = [-1, width] if do_return_2d_tensor else [batch_size, from_seq_length, width]
    return tf.reshape(tf.transpose(context, [0, 2, 1, 3]), shape)


def transformer_model(
    input_tensor: tf.Tensor,
    attention_mask: Optional[tf.Tensor] = None,
    hidden_size: int = 768,
    num_hidden_layers: int = 12,
    num_attention_heads: int = 12,
    intermediate_size: int = 3072,
    intermediate_act_fn: Activation = modeling.gelu,
    hidden_dropout_prob: float = 0.1,
    attention_probs_dropout_prob: float = 0.1,
    initializer_range: float = 0.02,
    do_return_all_layers: bool = False,
    share_parameter_across_layers: bool = True,
) -> Union[tf.Tensor, List[tf.Tensor]]:
    """The encoder's layers, post-LN.

    Args:
        input_tensor: float tensor [B, F, H].
        attention_mask: number tensor [B, F, F] (or [B, F]), 1 where a token may attend; None:
            everywhere.
        hidden_size: H.
        num_hidden_layers: number of layers.
        num_attention_heads: N.
        intermediate_size: width of the feed-forward layer.
        intermediate_act_fn: its activation, a function or a name; None: no activation.
        hidden_dropout_prob: dropout of the layers' outputs; 0 outside of training.
        attention_probs_dropout_prob: dropout of the attention weights; 0 outside of training.
        initializer_range: standard deviation of the initial values.
        do_return_all_layers: whether to return all layers' outputs.
        share_parameter_across_layers: whether all layers share the variables of `layer_shared`, or
            each layer has the variables of its `layer_N`.

    Returns:
        float tensor [B, F, H], or a list of them.

    Raises:
        ValueError: if sizes do not match.
    """
    config = _encoder_config(
        hidden_size=hidden_size,
        num_hidden_layers=num_hidden_layers,
        num_attention_heads=num_attention_heads,
        intermediate_size=intermediate_size,
        hidden_act=intermediate_act_fn,
        hidden_dropout_prob=hidden_dropout_prob,
        attention_probs_dropout_prob=attention_probs_dropout_prob,
        initializer_range=initializer_range,
        embedding_size=hidden_size if share_parameter_across_layers else None,
    )
    return encoder_outputs(config, input_tensor, attention_mask, do_return_all_layers)


def prelln_transformer_model(
    input_tensor: tf.Tensor,
    attention_mask: Optional[tf.Tensor] = None,
    hidden_size: int = 768,
    num_hidden_layers: int = 12,
    num_attention_heads: int = 12,
    intermediate_size: int = 3072,
    intermediate_act_fn: Activation = modeling.gelu,
    hidden_dropout_prob: float = 0.1,
    attention_probs_dropout_prob: float = 0.1,
    initializer_range: float = 0.02,
    do_return_all_layers: bool = False,
    shared_type: Optional[str] = "all",
    adapter_fn: Any = None,
) -> Union[tf.Tensor, List[tf.Tensor]]:
    """The encoder's layers, pre-LN.

    Args:
        shared_type: what all layers share: "all", "attention", "ffn" or None.
        adapter_fn: ignored, as in the original.
        Others: as in `transformer_model`.

    Returns:
        float tensor [B, F, H], or a list of them.

    Raises:
        ValueError: if sizes do not match, or for an unknown `shared_type`.
    """
    del adapter_fn
    if shared_type not in _SHARED_TYPES:
        raise UserError('shared_type=%r: expected "all", "attention", "ffn" or None' % shared_type)
    config = _encoder_config(
        hidden_size=hidden_size,
        num_hidden_layers=num_hidden_layers,
        num_attention_heads=num_attention_heads,
        intermediate_size=intermediate_size,
        hidden_act=intermediate_act_fn,
        hidden_dropout_prob=hidden_dropout_prob,
        attention_probs_dropout_prob=attention_probs_dropout_prob,
        initializer_range=initializer_range,
        ln_type="preln",
    )
    layout = modeling.LAYOUTS[config.layout]._replace(**_SHARED_TYPES[shared_type])
    return encoder_outputs(config, input_tensor, attention_mask, do_return_all_layers, layout)


def additive_mask(attention_mask: Optional[tf.Tensor]) -> tf.Tensor:
    """Converts an attention mask to the values to add to attention scores.

    Args:
        attention_mask: number tensor [B, F, T] or [B, T], 1 where a token may attend; None:
            everywhere.

    Returns:
        float tensor that broadcasts to [B, N, F, T].
    """
    if attention_mask is None:
        return tf.constant(0.0)
    if attention_mask.shape.ndims == 2:
        attention_mask = tf.expand_dims(attention_mask, 1)
    kept = tf.cast(tf.expand_dims(attention_mask, 1), tf.float32)
    return (1.0 - kept) * modeling.MASKED_LOGIT


def encoder_outputs(
    config: modeling.AlbertConfig,
    input_tensor: tf.Tensor,
    attention_mask: Optional[tf.Tensor],
    all_layers: bool,
    layout: Optional[modeling.Layout] = None,
) -> Union[tf.Tensor, List[tf.Tensor]]:
    """Applies the layers of `modeling.encoder_layers` to tensors in the form of BERT's programs.

    Args:
        config: config of the encoder.
        input_tensor: float tensor [B, F, H].
        attention_mask: as in `additive_mask`.
        all_layers: whether to return all layers' outputs.
        layout: layout; default: the config's.

    Returns:
        float tensor [B, F, H], or a list of them.
    """
    shape = modeling.get_shape_list(input_tensor, expected_rank=3)
    if shape[-1] != config.hidden_size:
        raise ValueError(
            "input_tensor is %s wide, hidden_size is %d: expected the same"
            % (shape[-1], config.hidden_size)
        )
    outputs = modeling.encoder_layers(
        config,
        reshape_to_matrix(input_tensor),
        additive_mask(attention_mask),
        shape[:2],
        layout=layout,
    )
    if all_layers:
        return [reshape_from_matrix(rows, shape) for rows in outputs]
    return reshape_from_matrix(outputs[-1], shape)


def _config(initializer_range):
    """A config with the settings that `model.modeling` needs for initial values."""
    return modeling.AlbertConfig(vocab_size=1, initializer_range=initializer_range)


def _encoder_config(hidden_act, **settings):
    config = modeling.AlbertConfig(vocab_size=1, hidden_act="linear", **settings)
    config.hidden_act = modeling.get_activation(hidden_act)
    return config
