"""PyTorch encoders for packed sequences, in bfloat16 on a GPU: the model, and a teacher.

    encoder = AlbertZh(config)  # one shared layer, tensor names of modeling_albert_zh.py
    encoder = Electra(config)  # separate layers, tensor names of ELECTRA in transformers
    weights = parameters.cast(torch.bfloat16)
    rows = encoder.encode(weights, batch, batch.ids)  # [T, H]
    logits = encoder.word_logits(weights, rows[places])  # [M, V]

Sequences are concatenated (`packed_text.PackedBatch`), so that nothing is computed for padding.
Everything but attention is compiled (`compile_functions`). Dimensions: T pieces, H hidden size, N
heads, D head size, E embedding size, V vocabulary size, n sequences.
"""

import math
from typing import TYPE_CHECKING, Any, Dict, Iterable, List, Optional, Sequence, Tuple

import torch
from torch.nn import functional

if TYPE_CHECKING:
    import numpy as np

    import packed_text

Weights = Dict[str, torch.Tensor]
Dense = Tuple[torch.Tensor, torch.Tensor]  # weight, bias
LAYER_NORM_EPSILON = 1e-12
HEAD_SIZES = (32, 64, 96, 128, 192, 256)  # for flash attention; heads are padded with zeros
_DEVIATION = 0.02


class Parameters(torch.nn.Module):
    """Named float32 tensors to train."""

    def __init__(self, values: Weights) -> None:
        """Initializes the parameters with {name: initial value}."""
        super().__init__()
        self._names = list(values)
        self._list = torch.nn.ParameterList(
            torch.nn.Parameter(value.float()) for value in values.values()
        )

    def cast(self, dtype: torch.dtype) -> Weights:
        """Returns {name: tensor} in a data type; called once per step."""
        return {name: value.to(dtype) for name, value in zip(self._names, self._list)}

    def values(self, prefixes: Sequence[str] = ("",)) -> Dict[str, "np.ndarray"]:
        """Returns {name: float32 array} of the tensors whose names have one of the prefixes."""
        return {
            name: value.detach().cpu().numpy()
            for name, value in zip(self._names, self._list)
            if name.startswith(tuple(prefixes))
        }

    def groups(self, weight_decay: float) -> List[Dict[str, Any]]:
        """Returns parameter groups for an optimizer; biases and LayerNorm have no weight decay."""
        groups = {True: [], False: []}
        for name, value in zip(self._names, self._list):
            groups[name.endswith("bias") or "LayerNorm" in name].append(value)
        return [
            {"params": groups[False], "weight_decay": weight_decay},
            {"params": groups[True], "weight_decay": 0.0},
        ]


def random_normal(*shape: int) -> torch.Tensor:
    """Random values with BERT's standard deviation."""
    return torch.empty(*shape).normal_(0, _DEVIATION)


def packed_attention(
    qkv: torch.Tensor, num_heads: int, batch: "packed_text.PackedBatch", scale: float
) -> torch.Tensor:
    """Computes attention within each of the packed sequences.

    Args:
        qkv: [T, 3 * N * D].
        num_heads: N.
        batch: the batch, which says to which sequence each piece belongs.
        scale: factor for the products of queries and keys.

    Returns:
        [T, N * D].
    """
    query, key, value = qkv.unflatten(1, (3, num_heads, -1)).unbind(1)  # [T, N, D]
    if qkv.is_cuda:
        bounds, longest = batch.bounds, batch.longest
        context = torch.ops.aten._flash_attention_forward(
            query, key, value, bounds, bounds, longest, longest, 0.0, False, False, scale=scale
        )[0]
        return context.flatten(1)
    is_same = batch.sequence[:, None] == batch.sequence  # [T, T]
    context = functional.scaled_dot_product_attention(
        *(x.transpose(0, 1) for x in (query, key, value)), is_same, scale=scale
    )
    return context.transpose(0, 1).flatten(1)


def layer_norm(rows: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor) -> torch.Tensor:
    """Applies LayerNorm over the last axis."""
    return functional.layer_norm(rows, rows.shape[-1:], weight, bias, LAYER_NORM_EPSILON)


def finish_layer(
    rows: torch.Tensor,
    context: torch.Tensor,
    gelu: str,
    out: Dense,
    norm_1: Dense,
    inner: Dense,
    outer: Dense,
    norm_2: Dense,
) -> torch.Tensor:
    """Computes a Transformer layer from the attention's output projection on."""
    rows = layer_norm(rows + functional.linear(context, *out), *norm_1)
    hidden = functional.gelu(functional.linear(rows, *inner), approximate=gelu)
    return layer_norm(rows + functional.linear(hidden, *outer), *norm_2)


def score_words(
    rows: torch.Tensor,
    gelu: str,
    dense: Dense,
    norm: Dense,
    widening: Optional[torch.Tensor],
    table: Dense,
) -> torch.Tensor:
    """Scores of all words [M, V]; `widening` is None if rows have the width of embeddings."""
    rows = layer_norm(functional.gelu(functional.linear(rows, *dense), approximate=gelu), *norm)
    if widening is not None:
        rows = functional.linear(rows, widening.t())
    return functional.linear(rows, *table)


class Encoder:
    """Base class of both encoders.

    Attributes:
        hidden_size: H.
    """

    base: str  # prefix of tensor names
    gelu: str  # approximation of GELU: "tanh" or "none"

    def __init__(self, config: Dict[str, Any]) -> None:
        """Initializes the encoder with a config that has the keys of transformers."""
        self.config = config
        self.hidden_size = config["hidden_size"]
        self._num_heads = config["num_attention_heads"]
        self._head_size = self.hidden_size // self._num_heads
        self._wide_head = min(size for size in HEAD_SIZES if size >= self._head_size)

    def encode(
        self, weights: Weights, batch: "packed_text.PackedBatch", ids: torch.Tensor
    ) -> torch.Tensor:
        """Computes the output of the last layer.

        Args:
            weights: {name: tensor}.
            batch: the sequences.
            ids: int64 [T], used instead of the batch's ids.

        Returns:
            [T, H].
        """
        rows = self._embedded(weights, batch, ids)
        scopes = self.scopes()
        layers = {scope: self._layer(weights, scope) for scope in set(scopes)}
        for scope in scopes:
            qkv, rest = layers[scope]
            context = packed_attention(
                functional.linear(rows, *qkv), self._num_heads, batch, self._head_size**-0.5
            )
            rows = finish_layer(rows, context, self.gelu, *rest)
        return rows

    def word_logits(self, weights: Weights, rows: torch.Tensor) -> torch.Tensor:
        """Scores of all words [M, V] for chosen rows [M, H]."""
        head = "cls.predictions."
        table = weights[self.base + "embeddings.word_embeddings.weight"]
        return score_words(
            rows,
            self.gelu,
            _dense(weights, head + "transform.dense"),
            _dense(weights, head + "transform.LayerNorm"),
            weights.get(self.base + "embeddings.word_embeddings_2.weight"),
            (table, weights[head + "bias"]),
        )

    def pair_logits(
        self, weights: Weights, rows: torch.Tensor, batch: "packed_text.PackedBatch"
    ) -> torch.Tensor:
        """Scores of "same document" and "another document", [n, 2]."""
        pooled = functional.linear(rows[batch.starts], *_dense(weights, "bert.pooler.dense"))
        return functional.linear(torch.tanh(pooled), *_dense(weights, "cls.seq_relationship"))

    def _summed(self, weights, words, batch):
        """LayerNorm of the sum of word, position and segment embeddings."""
        scope = self.base + "embeddings."
        positions = functional.embedding(
            batch.positions, weights[scope + "position_embeddings.weight"]
        )
        # Interpolating between two rows is faster than a lookup.
        first, second = weights[scope + "token_type_embeddings.weight"]
        segments = batch.segments[:, None].to(words.dtype)
        rows = words + positions + first + segments * (second - first)
        return layer_norm(rows, *_dense(weights, scope + "LayerNorm"))

    def _layer(self, weights, scope):
        """Returns ((weight, bias) of the joint query, key and value, rest for `finish_layer`)."""
        extra = self._wide_head - self._head_size
        names = [scope + "attention.self." + name for name in ("query", "key", "value")]
        weight = torch.cat([weights[name + ".weight"] for name in names])
        bias = torch.cat([weights[name + ".bias"] for name in names])
        weight = weight.unflatten(0, (-1, self._head_size))  # [3 N, D, H]
        weight = functional.pad(weight, (0, 0, 0, extra)).flatten(0, 1)
        bias = functional.pad(bias.unflatten(0, (-1, self._head_size)), (0, extra)).flatten()
        out, out_bias = _dense(weights, scope + "attention.output.dense")
        out = functional.pad(out.unflatten(1, (-1, self._head_size)), (0, extra)).flatten(1)
        others = (
            "attention.output.LayerNorm",
            "intermediate.dense",
            "output.dense",
            "output.LayerNorm",
        )
        rest = [(out, out_bias)] + [_dense(weights, scope + name) for name in others]
        return (weight, bias), rest


class AlbertZh(Encoder):
    """albert_zh's encoder: one shared layer; words are widened before embeddings are summed."""

    base, gelu = "bert.", "tanh"

    def scopes(self) -> List[str]:
        """Prefixes of the tensor names of each layer, in order."""
        return ["bert.encoder.layer_shared."] * self.config["num_hidden_layers"]

    def _embedded(self, weights, batch, ids):
        scope = "bert.embeddings."
        words = functional.embedding(ids, weights[scope + "word_embeddings.weight"])
        words = functional.linear(words, weights[scope + "word_embeddings_2.weight"])
        return self._summed(weights, words, batch)


class Electra(Encoder):
    """ELECTRA's encoder: separate layers; rows are widened after embeddings are summed."""

    base, gelu = "electra.", "none"

    def scopes(self) -> List[str]:
        """Prefixes of the tensor names of each layer, in order."""
        return ["electra.encoder.layer.%d." % n for n in range(self.config["num_hidden_layers"])]

    def _embedded(self, weights, batch, ids):
        words = functional.embedding(ids, weights["electra.embeddings.word_embeddings.weight"])
        rows = self._summed(weights, words, batch)
        return functional.linear(rows, *_dense(weights, "electra.embeddings_project"))

    def start_values(self) -> Weights:
        """Random initial values of all tensors, including heads; positions are sinusoids."""
        width, hidden = self.config["embedding_size"], self.hidden_size
        embeddings, head = "electra.embeddings.", "cls.predictions.transform."
        values = {
            embeddings + "word_embeddings.weight": random_normal(self.config["vocab_size"], width),
            embeddings + "position_embeddings.weight": _sinusoids(
                self.config["max_position_embeddings"], width
            ),
            embeddings + "token_type_embeddings.weight": random_normal(2, width),
            "cls.predictions.bias": torch.zeros(self.config["vocab_size"]),
        }
        _add_norm(values, embeddings + "LayerNorm", width)
        _add_norm(values, head + "LayerNorm", width)
        dense = [
            ("electra.embeddings_project", hidden, width),
            (head + "dense", width, hidden),
            ("bert.pooler.dense", hidden, hidden),
            ("cls.seq_relationship", 2, hidden),
        ]
        for scope in self.scopes():
            dense += [
                (scope + "attention.self." + name, hidden, hidden)
                for name in ("query", "key", "value")
            ]
            dense.append((scope + "attention.output.dense", hidden, hidden))
            dense.append((scope + "intermediate.dense", self.config["intermediate_size"], hidden))
            dense.append((scope + "output.dense", hidden, self.config["intermediate_size"]))
            _add_norm(values, scope + "attention.output.LayerNorm", hidden)
            _add_norm(values, scope + "output.LayerNorm", hidden)
        for name, rows, columns in dense:
            add_dense(values, name, rows, columns)
        return values


def _dense(weights, name):
    return weights[name + ".weight"], weights[name + ".bias"]


def add_dense(values: Weights, name: str, rows: int, columns: int) -> None:
    """Adds the initial values of a dense layer: random weights, zero biases."""
    values[name + ".weight"] = random_normal(rows, columns)
    values[name + ".bias"] = torch.zeros(rows)


def _add_norm(values, name, width):
    values[name + ".weight"] = torch.ones(width)
    values[name + ".bias"] = torch.zeros(width)


def _sinusoids(count, width):
    rates = torch.exp(torch.arange(0, width, 2) * (-math.log(10000.0) / width))
    angles = torch.arange(count)[:, None] * rates
    return torch.cat([angles.sin(), angles.cos()], 1) * 0.05  # about as large as other rows


def compile_functions(module: Any, names: Iterable[str]) -> None:
    """Makes functions of a module compile at their first call, for shapes that never change."""
    for name in names:
        setattr(module, name, torch.compile(getattr(module, name), dynamic=False))
