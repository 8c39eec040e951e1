"""Chinese ALBERT of the brightmart layout (albert_zh) for PyTorch, in a self-contained file.

It differs from Hugging Face's ALBERT: word vectors are widened by `word_embeddings_2` before the
tables are summed, all layers share their weights, and LayerNorm may come before attention and
feed-forward (`ln_type` "preln"). Needs torch and transformers. In a converted folder, use either of

    AutoModelForSequenceClassification.from_pretrained(folder, trust_remote_code=True)
    AlbertZhForSequenceClassification.from_pretrained(folder)  # from modeling_albert_zh import it

Letters in shape comments: B batch, F tokens, E embedding, H hidden, N heads, D head size,
V vocabulary. The weights have the names of the albert_pytorch project.
"""

from dataclasses import dataclass
from typing import Optional

import torch
from torch import nn
from torch.nn import functional
from transformers import PretrainedConfig, PreTrainedModel
from transformers.activations import ACT2FN
from transformers.modeling_outputs import (
    BaseModelOutputWithPooling,
    MaskedLMOutput,
    SequenceClassifierOutput,
)
from transformers.utils import ModelOutput

MASKED_LOGIT = -10000.0  # added to the attention scores of padding


class AlbertZhConfig(PretrainedConfig):
    """Sizes and settings, as in config.json."""

    model_type = "albert_zh"

    def __init__(
        self,
        vocab_size=21128,
        embedding_size=128,
        hidden_size=312,
        num_hidden_layers=4,
        num_attention_heads=12,
        intermediate_size=1248,
        hidden_act="gelu_new",
        hidden_dropout_prob=0.0,
        attention_probs_dropout_prob=0.0,
        classifier_dropout_prob=0.1,
        max_position_embeddings=512,
        type_vocab_size=2,
        initializer_range=0.02,
        layer_norm_eps=1e-12,
        ln_type="postln",
        pad_token_id=0,
        **other_keys,
    ):
        settings = dict(locals())
        for name in ("self", "other_keys", "pad_token_id", "__class__"):
            del settings[name]
        self.__dict__.update(settings)
        super().__init__(pad_token_id=pad_token_id, **other_keys)


def new_layer_norm(config):
    """A new LayerNorm over the hidden size."""
    return nn.LayerNorm(config.hidden_size, eps=config.layer_norm_eps)


class WithNorm(nn.Module):
    """A dense layer and the LayerNorm that belongs to it; the block decides on their order."""

    def __init__(self, config, width):
        super().__init__()
        self.dense = nn.Linear(width, config.hidden_size)
        self.LayerNorm = new_layer_norm(config)


class Embeddings(nn.Module):
    """Sum of the word, position and segment tables, after LayerNorm and dropout."""

    def __init__(self, config):
        super().__init__()
        width = config.hidden_size
        self.word_embeddings = nn.Embedding(config.vocab_size, config.embedding_size)
        self.word_embeddings_2 = nn.Linear(config.embedding_size, width, bias=False)
        self.token_type_embeddings = nn.Embedding(config.type_vocab_size, width)
        self.position_embeddings = nn.Embedding(config.max_position_embeddings, width)
        self.LayerNorm = new_layer_norm(config)
        self.dropout = nn.Dropout(config.hidden_dropout_prob)

    def forward(self, input_ids, token_type_ids):
        embedded = self.word_embeddings_2(self.word_embeddings(input_ids))  # [B, F, H]
        positions = self.position_embeddings.weight[: input_ids.shape[1]]  # [F, H]
        rows = embedded + self.token_type_embeddings(token_type_ids) + positions
        return self.dropout(self.LayerNorm(rows))


class SelfAttention(nn.Module):
    """Multi-head self-attention without its output layer."""

    def __init__(self, config):
        super().__init__()
        self.num_heads = config.num_attention_heads
        self.dropout_prob = config.attention_probs_dropout_prob
        for name in ("query", "key", "value"):
            setattr(self, name, nn.Linear(config.hidden_size, config.hidden_size))

    def forward(self, rows, mask):
        query, key, value = (
            layer(rows).unflatten(-1, (self.num_heads, -1)).transpose(1, 2)  # [B, N, F, D]
            for layer in (self.query, self.key, self.value)
        )
        rate = self.dropout_prob if self.training else 0.0
        context = functional.scaled_dot_product_attention(query, key, value, mask, rate)
        return context.transpose(1, 2).flatten(2)  # [B, F, H]


class Layer(nn.Module):
    """One transformer block, post-LN or pre-LN."""

    def __init__(self, config):
        super().__init__()
        self.is_pre_norm = config.ln_type == "preln"
        self.attention = nn.ModuleDict(
            {"self": SelfAttention(config), "output": WithNorm(config, config.hidden_size)}
        )
        self.intermediate = nn.ModuleDict(
            {"dense": nn.Linear(config.hidden_size, config.intermediate_size)}
        )
        self.output = WithNorm(config, config.intermediate_size)
        self.activation = ACT2FN[config.hidden_act]
        self.dropout = nn.Dropout(config.hidden_dropout_prob)

    def forward(self, rows, mask):
        attention_norm, ffn_norm = self.attention["output"].LayerNorm, self.output.LayerNorm
        if self.is_pre_norm:
            rows = rows + self.attend(attention_norm(rows), mask)
            return rows + self.feed_forward(ffn_norm(rows))
        rows = attention_norm(rows + self.attend(rows, mask))
        return ffn_norm(rows + self.feed_forward(rows))

    def attend(self, rows, mask):
        context = self.attention["self"](rows, mask)
        return self.dropout(self.attention["output"].dense(context))

    def feed_forward(self, rows):
        return self.dropout(self.output.dense(self.activation(self.intermediate["dense"](rows))))


class AlbertZhPreTrainedModel(PreTrainedModel):
    """Common parts of all models: config class, initial values, gradient checkpointing."""

    config_class = AlbertZhConfig
    base_model_prefix = "bert"

    def _init_weights(self, module):
        if isinstance(module, (nn.Linear, nn.Embedding)):
            nn.init.trunc_normal_(module.weight, std=self.config.initializer_range)
        if isinstance(module, nn.LayerNorm):
            nn.init.ones_(module.weight)
        if getattr(module, "bias", None) is not None:
            nn.init.zeros_(module.bias)


class AlbertZhModel(AlbertZhPreTrainedModel):
    """The encoder."""

    _keys_to_ignore_on_load_unexpected = [r"^cls\.", r"^classifier"]  # heads

    def __init__(self, config):
        super().__init__(config)
        self.embeddings = Embeddings(config)
        self.encoder = nn.ModuleDict({"layer_shared": Layer(config)})
        self.pooler = nn.ModuleDict({"dense": nn.Linear(config.hidden_size, config.hidden_size)})
        self.post_init()

    def get_input_embeddings(self):
        return self.embeddings.word_embeddings

    def set_input_embeddings(self, value):
        self.embeddings.word_embeddings = value

    def forward(
        self, input_ids, attention_mask=None, token_type_ids=None, output_hidden_states=False, **_
    ):
        """int [B, F] each -> last_hidden_state [B, F, H], pooler_output [B, H]."""
        if attention_mask is None:
            attention_mask = torch.ones_like(input_ids)
        if token_type_ids is None:
            token_type_ids = torch.zeros_like(input_ids)
        rows = self.embeddings(input_ids, token_type_ids)
        mask = (1.0 - attention_mask[:, None, None, :].to(rows.dtype)) * MASKED_LOGIT
        hidden_states = [rows]
        for _ in range(self.config.num_hidden_layers):
            rows = self.encoder["layer_shared"](rows, mask)
            hidden_states.append(rows)
        return BaseModelOutputWithPooling(
            last_hidden_state=rows,
            pooler_output=torch.tanh(self.pooler["dense"](rows[:, 0])),
            hidden_states=tuple(hidden_states) if output_hidden_states else None,
        )


class MaskedLmHead(nn.Module):
    """Scores of words, computed with the (tied) word tables."""

    def __init__(self, config):
        super().__init__()
        self.transform = WithNorm(config, config.hidden_size)
        self.activation = ACT2FN[config.hidden_act]
        self.bias = nn.Parameter(torch.zeros(config.vocab_size))

    def forward(self, rows, embeddings):
        rows = self.transform.LayerNorm(self.activation(self.transform.dense(rows)))
        rows = rows @ embeddings.word_embeddings_2.weight  # [B, F, E]
        return functional.linear(rows, embeddings.word_embeddings.weight, self.bias)  # [B, F, V]


def cross_entropy(logits, labels):
    """Mean over the labels that are not -100; None without labels."""
    if labels is None:
        return None
    return functional.cross_entropy(logits.reshape(-1, logits.shape[-1]), labels.reshape(-1))


def classification_loss(config, logits, labels):
    """Mean loss by the config's `problem_type`, as in transformers; None without labels.

    labels: int [B]; for multi-label classification 0 and 1, [B, labels]; for regression float [B].
    If the config has no type, a single output is a regression, and float labels are multi-label.
    """
    if labels is None:
        return None
    problem_type = config.problem_type
    if problem_type is None and config.num_labels == 1:
        problem_type = "regression"
    elif problem_type is None and labels.is_floating_point():
        problem_type = "multi_label_classification"
    if problem_type == "multi_label_classification":
        return functional.binary_cross_entropy_with_logits(logits, labels.to(logits.dtype))
    if problem_type == "regression":
        return functional.mse_loss(logits.reshape(-1), labels.to(logits.dtype).reshape(-1))
    return cross_entropy(logits, labels)


@dataclass
class AlbertZhForPreTrainingOutput(ModelOutput):
    """Loss and logits of both pre-training tasks."""

    loss: Optional[torch.Tensor] = None
    prediction_logits: Optional[torch.Tensor] = None  # [B, F, V]
    sop_logits: Optional[torch.Tensor] = None  # [B, 2]


class AlbertZhForMaskedLM(AlbertZhPreTrainedModel):
    """The encoder with the masked-LM head."""

    _keys_to_ignore_on_load_unexpected = [r"^cls\.seq_relationship\."]

    def __init__(self, config):
        super().__init__(config)
        self.bert = AlbertZhModel(config)
        self.cls = nn.ModuleDict({"predictions": MaskedLmHead(config)})
        self.post_init()

    def forward(self, input_ids, attention_mask=None, token_type_ids=None, labels=None, **_):
        """labels: int [B, F], -100 at positions that are not predicted."""
        outputs = self.bert(input_ids, attention_mask, token_type_ids)
        logits = self.cls["predictions"](outputs.last_hidden_state, self.bert.embeddings)
        return MaskedLMOutput(loss=cross_entropy(logits, labels), logits=logits)


class AlbertZhForPreTraining(AlbertZhPreTrainedModel):
    """Masked LM and sentence order (label 1: swapped)."""

    def __init__(self, config):
        super().__init__(config)
        self.bert = AlbertZhModel(config)
        self.cls = nn.ModuleDict(
            {
                "predictions": MaskedLmHead(config),
                "seq_relationship": nn.Linear(config.hidden_size, 2),
            }
        )
        self.post_init()

    def forward(
        self,
        input_ids,
        attention_mask=None,
        token_type_ids=None,
        labels=None,
        sentence_order_label=None,
        **_,
    ):
        outputs = self.bert(input_ids, attention_mask, token_type_ids)
        word_logits = self.cls["predictions"](outputs.last_hidden_state, self.bert.embeddings)
        order = self.cls["seq_relationship"](outputs.pooler_output)
        losses = [cross_entropy(word_logits, labels), cross_entropy(order, sentence_order_label)]
        known = [loss for loss in losses if loss is not None]
        return AlbertZhForPreTrainingOutput(sum(known) if known else None, word_logits, order)


class AlbertZhForSequenceClassification(AlbertZhPreTrainedModel):
    """Classification of texts; pre-LN models have a LayerNorm before the classifier."""

    def __init__(self, config):
        super().__init__(config)
        self.num_labels = config.num_labels
        self.bert = AlbertZhModel(config)
        self.classifier_norm = new_layer_norm(config) if config.ln_type == "preln" else None
        self.dropout = nn.Dropout(config.classifier_dropout_prob)
        self.classifier = nn.Linear(config.hidden_size, config.num_labels)
        self.post_init()

    def forward(self, input_ids, attention_mask=None, token_type_ids=None, labels=None, **_):
        pooled = self.bert(input_ids, attention_mask, token_type_ids).pooler_output
        if self.classifier_norm is not None:
            pooled = self.classifier_norm(pooled)
        logits = self.classifier(self.dropout(pooled))  # [B, labels]
        loss = classification_loss(self.config, logits, labels)
        return SequenceClassifierOutput(loss=loss, logits=logits)
