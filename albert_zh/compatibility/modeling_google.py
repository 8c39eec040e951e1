"""albert_zh's `modeling_google`: Google's ALBERT, where it differs from `compatibility.modeling`.

Letters in shape comments: B batch, F tokens, E embedding, H hidden, N heads, D head size.
"""

import collections
import re
from typing import Any, Dict, List, Optional, Sequence, Tuple, Union

import tensorflow.compat.v1 as tf

from albert_zh.compatibility import modeling as brightmart
from albert_zh.compatibility.modeling import *  # noqa: F403
from albert_zh.model import modeling

__all__ = [*brightmart.__all__]

_GROUP = re.compile(r"/(group|ffn|attention)_(\d+)/")


class AlbertConfig(modeling.AlbertConfig):
    """`modeling.AlbertConfig` with Google's order of arguments and defaults (those of xxlarge)."""

    def __init__(
        self,
        vocab_size: int,
        embedding_size: int = 128,
        hidden_size: int = 4096,
        num_hidden_layers: int = 12,
        num_hidden_groups: int = 1,
        num_attention_heads: int = 64,
        intermediate_size: int = 16384,
        inner_group_num: int = 1,
        down_scale_factor: int = 1,
        hidden_act: Any = "gelu",
        hidden_dropout_prob: float = 0,
        attention_probs_dropout_prob: float = 0,
        max_position_embeddings: int = 512,
        type_vocab_size: int = 2,
        initializer_range: float = 0.02,
        ffn_groups: int = 1,
    ) -> None:
        """Sets and checks all values; `down_scale_factor` is stored and has no effect."""
        super().__init__(
            vocab_size,
            hidden_size,
            num_hidden_layers,
            num_attention_heads,
            intermediate_size,
            hidden_act,
            hidden_dropout_prob,
            attention_probs_dropout_prob,
            max_position_embeddings,
            type_vocab_size,
            initializer_range,
            embedding_size,
            num_hidden_groups=num_hidden_groups,
            inner_group_num=inner_group_num,
            ffn_groups=ffn_groups,
        )
        self.down_scale_factor = down_scale_factor


BertConfig = AlbertConfig


def get_assignment_map_from_checkpoint(
    tvars: Sequence[tf.Variable], init_checkpoint: str, num_of_group: int = 0
) -> Tuple[Union[Dict[str, str], List[Dict[str, str]]], Dict[str, int]]:
    """Maps variables of a checkpoint to variables of the graph.

    Args:
        tvars: variables of the graph.
        init_checkpoint: checkpoint prefix.
        num_of_group: if more than 1, groups that the checkpoint lacks start from its group 0.

    Returns:
        (assignment_map, initialized_variable_names): `{checkpoint name: variable name}`, or with
        `num_of_group` a list of that many such maps, the g-th for the variables of group g; and
        the variables' names (with and without `:0`), each with value 1.
    """
    if not num_of_group:
        return modeling.get_assignment_map_from_checkpoint(tvars, init_checkpoint)
    there = {name for name, _ in tf.train.list_variables(init_checkpoint)}
    maps: List[Dict[str, str]] = [collections.OrderedDict() for _ in range(num_of_group)]
    initialized = {}
    for name in [re.sub(r":\d+$", "", variable.name) for variable in tvars]:
        candidates = [name, re.sub(r"/group_\d+/", "/group_0/", name)]
        source = next((n for n in candidates[: min(num_of_group, 2)] if n in there), None)
        if source is not None:
            numbers = [int(number) for _, number in _GROUP.findall(name)]
            group = next((n for n in range(1, num_of_group) if n in numbers), 0)
            maps[group][source] = name
            initialized.update({name: 1, name + ":0": 1})
    return maps, initialized


def attention_layer(
    from_tensor: tf.Tensor,
    to_tensor: tf.Tensor,
    attention_mask: Optional[tf.Tensor] = None,
    num_attention_heads: int = 1,
    query_act: brightmart.Activation = None,
    key_act: brightmart.Activation = None,
    value_act: brightmart.Activation = None,
    attention_probs_dropout_prob: float = 0.0,
    initializer_range: float = 0.02,
    batch_size: Optional[int] = None,
    from_seq_length: Optional[int] = None,
    to_seq_length: Optional[int] = None,
) -> tf.Tensor:
    """Multi-head attention without an output layer; the heads divide the width evenly.

    Args: as in `compatibility.modeling.attention_layer`; `attention_mask` [B, T] or [B, F, T].

    Returns:
        float tensor [B, F, N, D].
    """
    size_per_head = int(from_tensor.shape[-1]) // num_attention_heads
    context = brightmart.attention_layer(
        from_tensor,
        to_tensor,
        attention_mask,
        num_attention_heads,
        size_per_head,
        query_act,
        key_act,
        value_act,
        attention_probs_dropout_prob,
        initializer_range,
        False,
        batch_size,
        from_seq_length,
        to_seq_length,
    )
    batch, length, _ = modeling.get_shape_list(context)
    return tf.reshape(context, [batch, length, num_attention_heads, size_per_head])


# long: 14 arguments, as in albert_zh's interface
def transformer_model(
    input_tensor: tf.Tensor,
    attention_mask: Optional[tf.Tensor] = None,
    hidden_size: int = 768,
    num_hidden_layers: int = 12,
    num_hidden_groups: int = 12,
    num_attention_heads: int = 12,
    intermediate_size: int = 3072,
    inner_group_num: int = 1,
    intermediate_act_fn: brightmart.Activation = "gelu",
    hidden_dropout_prob: float = 0.1,
    attention_probs_dropout_prob: float = 0.1,
    initializer_range: float = 0.02,
    do_return_all_layers: bool = False,
    ffn_groups: int = 1,
) -> Union[tf.Tensor, List[tf.Tensor]]:
    """The encoder's layers; embeddings of another width are projected to the hidden size.

    Args:
        input_tensor: float tensor [B, F, E].
        num_hidden_groups: number of groups of layers that share their variables.
        inner_group_num: number of blocks per layer.
        ffn_groups: groups of the feed-forward kernels.
        Others: as in `compatibility.modeling.transformer_model`; `attention_mask` [B, F] or
            [B, F, F].

    Returns:
        float tensor [B, F, H], or a list of them.

    Raises:
        ValueError: if sizes do not match.
    """
    config = AlbertConfig(
        vocab_size=1,
        embedding_size=int(input_tensor.shape[-1]),
        hidden_size=hidden_size,
        num_hidden_layers=num_hidden_layers,
        num_hidden_groups=num_hidden_groups,
        num_attention_heads=num_attention_heads,
        intermediate_size=intermediate_size,
        inner_group_num=inner_group_num,
        hidden_act="linear",
        hidden_dropout_prob=hidden_dropout_prob,
        attention_probs_dropout_prob=attention_probs_dropout_prob,
        initializer_range=initializer_range,
        ffn_groups=ffn_groups,
    )
    config.hidden_act = modeling.get_activation(intermediate_act_fn)
    vectors = input_tensor
    if config.embedding_size != hidden_size:
        rows = modeling.dense(
            brightmart.reshape_to_matrix(input_tensor),
            hidden_size,
            config,
            modeling.LAYOUTS["google"].projection,
        )
        vectors = brightmart.reshape_from_matrix(rows, modeling.get_shape_list(input_tensor))
    return brightmart.encoder_outputs(config, vectors, attention_mask, do_return_all_layers)
