"""Compatibility module with the names of the original's `modeling`, defined in other modules.

`config` has `AlbertConfig`, `layouts` its layouts, `encoder` the model, `heads` the heads on top of
it; `layers`, `activations` and `variables` have the parts that both are built from.
"""

from albert_zh.model.activations import ACTIVATIONS, gelu, get_activation
from albert_zh.model.attention import attention_context, self_attention
from albert_zh.model.attention_masks import MASKED_LOGIT
from albert_zh.model.config import CONFIG, AlbertConfig, BertConfig
from albert_zh.model.embeddings import check_length
from albert_zh.model.encoder import (
    BLOCK_DROPOUTS,
    FIRST_TOKEN,
    AlbertModel,
    BertModel,
    encoder_layers,
    transformer_block,
)
from albert_zh.model.heads import (
    CLASSIFIER_DROPOUT,
    ClassificationOutput,
    MaskedLmOutput,
    SentenceOrderOutput,
    classification_head,
    cross_entropy,
    masked_lm_head,
    masked_lm_output,
    sentence_order_head,
)
from albert_zh.model.layers import (
    LAYER_NORM_EPSILON,
    PRECISIONS,
    dense,
    dropout,
    dropout_seed,
    gather_positions,
    get_shape_list,
    joint_dense,
    layer_norm,
    lookup,
    max_over_tokens,
    mean_over_tokens,
    part_of_batch,
    product,
)
from albert_zh.model.layouts import LAYOUTS, Layout
from albert_zh.model.variables import (
    count_parameters,
    get_assignment_map_from_checkpoint,
    new_variable,
    variable_name,
)

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
