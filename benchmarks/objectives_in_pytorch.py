"""The pre-training objectives of benchmarks/objectives.py in PyTorch: model, losses, optimizer.

    loss, parts = losses_of(settings)(weights, batch, settings)
    optimizer = Optimizer(values)

Weights have the same names as in albert_zh's checkpoints. Letters in shape comments: B sequences,
F pieces of the longest one, P predictions, H hidden, N heads, D head size, E word width,
V vocabulary.
"""

import functools

import torch
from torch.nn import functional

LONGEST_SPAN, MAX_DISTANCE = 20, 64
BETA_1, BETA_2, EPSILON, DECAY, CLIP_NORM = 0.9, 0.999, 1e-6, 0.01, 1.0
_NOT_DECAYED = ("LayerNorm", "layer_norm", "bias")


# The model


def dense(weights, scope, rows):
    """A dense layer."""
    return functional.linear(rows, weights[scope + "/kernel"].t(), weights[scope + "/bias"])


def layer_norm(weights, scope, rows):
    """LayerNorm over the last axis."""
    gamma, beta = weights[scope + "/gamma"], weights[scope + "/beta"]
    return functional.layer_norm(rows, rows.shape[-1:], gamma, beta, 1e-12)


def gelu(rows):
    """BERT's GELU, the tanh approximation."""
    return functional.gelu(rows, approximate="tanh")


def embedded(weights, ids, segments, has_relative_positions):
    """Embeddings [B, F, H] of albert_zh's layout, which projects word vectors to H first."""
    scope = "bert/embeddings/"
    words = functional.embedding(ids, weights[scope + "word_embeddings"])
    rows = words @ weights[scope + "word_embeddings_2"]
    rows = rows + functional.embedding(segments, weights[scope + "token_type_embeddings"])
    if not has_relative_positions:
        rows = rows + weights[scope + "position_embeddings"][: ids.shape[1]]
    return layer_norm(weights, scope + "LayerNorm", rows)


@functools.lru_cache()
def relative_vectors(length, depth, device, dtype):
    """NEZHA's vectors for all pairs of positions, [F, F, D]."""
    rows = torch.arange(2 * MAX_DISTANCE + 1)[:, None]
    angles = rows / 10000.0 ** (2 * torch.arange(depth // 2) / depth)
    table = torch.stack([angles.sin(), angles.cos()], -1).flatten(1)
    places = torch.arange(length)
    distances = (places - places[:, None]).clamp(-MAX_DISTANCE, MAX_DISTANCE)
    return table[distances + MAX_DISTANCE].to(device, dtype)


def attention(weights, scope, rows, added, num_heads, has_relative_positions):
    """Self-attention [B, F, H], without its output layer; `added` [B, 1, 1, F] hides padding."""
    query, key, value = (
        dense(weights, scope + name, rows).unflatten(2, (num_heads, -1)).transpose(1, 2)
        for name in ("query", "key", "value")
    )  # [B, N, F, D]
    depth = query.shape[-1]
    scale = depth**-0.5
    if has_relative_positions:
        context = relative_context(query * scale, key, value, added)
    else:
        widened = (functional.pad(x, (0, -depth % 8)) for x in (query, key, value))
        context = functional.scaled_dot_product_attention(*widened, added, scale=scale)
    return context[..., :depth].transpose(1, 2).flatten(2)


def relative_context(query, key, value, added):
    """The context vectors of attention with NEZHA's positions, [B, N, F, D]."""
    batch, heads, length, depth = query.shape
    vectors = relative_vectors(length, depth, query.device, query.dtype)
    by_query = query.permute(2, 0, 1, 3).flatten(1, 2)  # [F, B * N, D]
    products = (by_query @ vectors.transpose(1, 2)).unflatten(1, (batch, heads))
    scores = query @ key.transpose(2, 3) + products.permute(1, 2, 0, 3) + added
    probabilities = torch.softmax(scores, -1)
    by_query = probabilities.permute(2, 0, 1, 3).flatten(1, 2)  # [F, B * N, F]
    of_distances = (by_query @ vectors).unflatten(1, (batch, heads)).permute(1, 2, 0, 3)
    return probabilities @ value + of_distances


def encoded(weights, scope, rows, input_mask, num_heads, num_layers, has_relative_positions=False):
    """The last layer's output [B, F, H]; all layers share one layer's weights."""
    added = ((1 - input_mask)[:, None, None] * -10000.0).to(rows.dtype)
    for _ in range(num_layers):
        context = attention(
            weights, scope + "attention/self/", rows, added, num_heads, has_relative_positions
        )
        context = dense(weights, scope + "attention/output/dense", context)
        rows = layer_norm(weights, scope + "attention/output/LayerNorm", rows + context)
        hidden = dense(weights, scope + "output/dense", gelu(_inner(weights, scope, rows)))
        rows = layer_norm(weights, scope + "output/LayerNorm", rows + hidden)
    return rows


def _inner(weights, scope, rows):
    return dense(weights, scope + "intermediate/dense", rows)


def model_output(weights, ids, batch, settings):
    """The model's output [B, F, H] for `ids` instead of the ids of the batch."""
    is_relative = settings.has_relative_positions
    rows = embedded(weights, ids, batch["segment_ids"], is_relative)
    scope, mask = "bert/encoder/layer_shared/", batch["input_mask"]
    return encoded(weights, scope, rows, mask, settings.heads, settings.layers, is_relative)


def at(rows, places):
    """Gathers rows [B, P, H] at places [B, P]."""
    return rows.gather(1, places[..., None].expand(-1, -1, rows.shape[-1]))


# Losses


def word_logits(weights, rows, bias):
    """Logits of all words, float32, for rows [..., E]."""
    table = weights["bert/embeddings/word_embeddings"]
    return functional.linear(rows, table, weights[bias]).float()


def word_loss(logits, labels, label_weights, epsilon=1e-5):
    """Weighted mean cross-entropy of logits [B, P, V]."""
    losses = functional.cross_entropy(logits.flatten(0, 1), labels.flatten(), reduction="none")
    return (losses * label_weights.flatten()).sum() / (label_weights.sum() + epsilon)


def masked_lm_logits(weights, rows):
    """Logits [B, P, V] of the masked-LM head."""
    scope = "cls/predictions/"
    rows = gelu(dense(weights, scope + "transform/dense", rows))
    rows = layer_norm(weights, scope + "transform/LayerNorm", rows)
    rows = rows @ weights["bert/embeddings/word_embeddings_2"].t()
    return word_logits(weights, rows, scope + "output_bias")


def sentence_loss(weights, rows, batch):
    """Cross-entropy of the second task, on segment pairs."""
    pooled = torch.tanh(dense(weights, "bert/pooler/dense", rows[:, 0]))
    scope = "cls/seq_relationship/output_"
    logits = functional.linear(pooled, weights[scope + "weights"], weights[scope + "bias"])
    return functional.cross_entropy(logits.float(), batch["next_sentence_labels"])


def span_targets(batch):
    """(left, right, place in the span, weight), [B, P] each, as `span_boundary.targets_of`."""
    positions, is_used = batch["masked_lm_positions"], batch["masked_lm_weights"] > 0
    goes_on = (positions[:, 1:] == positions[:, :-1] + 1) & is_used[:, :-1]
    spans = functional.pad((~goes_on).long(), (1, 0), value=1).cumsum(1)
    same = (spans[:, :, None] == spans[:, None]) & is_used[:, None]  # [B, P, P]
    others = positions[:, None].expand_as(same)
    left = others.masked_fill(~same, 1 << 30).amin(2) - 1
    right = others.masked_fill(~same, -1).amax(2) + 1
    last_sep = batch["input_mask"].sum(1, keepdim=True) - 1
    first_sep = last_sep - batch["segment_ids"].sum(1, keepdim=True)
    is_bounded = is_used & (left > 0) & (right < last_sep)
    is_bounded &= (left != first_sep) & (right != first_sep)
    ids, last = batch["input_ids"], batch["input_ids"].shape[1] - 1
    separator = ids.gather(1, last_sep)
    for boundary in (left, right):
        is_bounded &= ids.gather(1, boundary.clamp(0, last)) != separator
    index = positions - left - 1
    is_bounded &= index < LONGEST_SPAN
    left, right, index = (torch.where(is_bounded, x, 0) for x in (left, right, index))
    return left, right, index, batch["masked_lm_weights"] * is_bounded


def span_loss(weights, rows, batch):
    """The loss of words that are predicted from both boundaries of their spans."""
    left, right, index, label_weights = span_targets(batch)
    scope = "cls/span_boundary/"
    places = functional.embedding(index, weights[scope + "position_embeddings"])
    rows = torch.cat([at(rows, left), at(rows, right), places], -1)  # [B, P, 2 H + E]
    for layer, norm in (("dense", "LayerNorm"), ("dense_1", "LayerNorm_1")):
        rows = layer_norm(weights, scope + norm, gelu(dense(weights, scope + layer, rows)))
    logits = word_logits(weights, rows, scope + "output_bias")
    return word_loss(logits, batch["masked_lm_ids"], label_weights)


def masked_lm_losses(weights, batch, settings):
    """(loss, {name: part}) of masked words, plus sentences and spans if the objective has them."""
    rows = model_output(weights, batch["input_ids"], batch, settings)
    logits = masked_lm_logits(weights, at(rows, batch["masked_lm_positions"]))
    loss = word_loss(logits, batch["masked_lm_ids"], batch["masked_lm_weights"])
    parts = {"masked_lm": loss}
    if settings.has_sentences:
        parts["sentences"] = sentence_loss(weights, rows, batch)
        loss = loss + parts["sentences"]
    if settings.span_boundary_weight:
        parts["spans"] = span_loss(weights, rows, batch)
        loss = loss + settings.span_boundary_weight * parts["spans"]
    return loss, parts


def filled_ids(batch, drawn):
    """The text [B, F] with pieces [B, P] instead of the masks."""
    length = batch["input_ids"].shape[1]
    places = torch.where(batch["masked_lm_weights"] > 0, batch["masked_lm_positions"], length)
    return functional.pad(batch["input_ids"], (0, 1)).scatter(1, places, drawn)[:, :length]


def drawn_words(logits):
    """A word [B, P] for each mask, sampled from the generator's distribution."""
    noise = torch.rand_like(logits).clamp_(1e-9, 1 - 1e-6)
    return (logits.detach() - torch.log(-torch.log(noise))).argmax(-1)


def electra_losses(weights, batch, settings):
    """(loss, {name: part}) of ELECTRA's generator and of replaced-token detection."""
    generator, mask = settings.generator, batch["input_mask"]
    rows = embedded(weights, batch["input_ids"], batch["segment_ids"], False)
    rows = dense(weights, "generator/embeddings_project", rows)
    rows = encoded(
        weights,
        "generator/encoder/layer_shared/",
        rows,
        mask,
        generator["heads"],
        generator["layers"],
    )
    rows = gelu(
        dense(weights, "generator_predictions/dense", at(rows, batch["masked_lm_positions"]))
    )
    rows = layer_norm(weights, "generator_predictions/LayerNorm", rows)
    logits = word_logits(weights, rows, "generator_predictions/output_bias")
    words = word_loss(logits, batch["masked_lm_ids"], batch["masked_lm_weights"], 1e-6)
    detected = detection_loss(weights, batch, drawn_words(logits), settings)
    loss = generator["gen_weight"] * words + generator["disc_weight"] * detected
    return loss, {"masked_lm": words, "detection": detected}


def detection_loss(weights, batch, drawn, settings):
    """The model's loss of replaced-token detection."""
    filled = filled_ids(batch, drawn)
    is_replaced = (filled != filled_ids(batch, batch["masked_lm_ids"])).float()
    rows = model_output(weights, filled, batch, settings)
    rows = gelu(dense(weights, "discriminator_predictions/dense", rows))
    logits = dense(weights, "discriminator_predictions/dense_1", rows)[..., 0].float()
    losses = functional.binary_cross_entropy_with_logits(logits, is_replaced, reduction="none")
    mask = batch["input_mask"].float()
    return (losses * mask).sum() / (mask.sum() + 1e-6)


def losses_of(settings):
    """The function (weights, batch, settings) -> (loss, parts) of an objective."""
    return electra_losses if settings.generator else masked_lm_losses


# Training


class Optimizer:
    """AdamW as in BERT: without bias correction."""

    def __init__(self, parameters):
        """Takes {name: float32 tensor}."""
        self._parameters = list(parameters.values())
        self._decays = [
            0.0 if any(part in name for part in _NOT_DECAYED) else DECAY for name in parameters
        ]
        self._means = [torch.zeros_like(value) for value in self._parameters]
        self._squares = [torch.zeros_like(value) for value in self._parameters]

    @torch.no_grad()
    def step(self, rate):
        """Updates the parameters by their gradients, clipped by global norm, and clears these."""
        values = self._parameters
        gradients = [
            torch.zeros_like(value) if value.grad is None else value.grad for value in values
        ]
        norm = torch.stack(torch._foreach_norm(gradients)).norm()
        gradients = torch._foreach_mul(gradients, CLIP_NORM / norm.clamp(min=CLIP_NORM))
        torch._foreach_lerp_(self._means, gradients, 1 - BETA_1)
        torch._foreach_mul_(self._squares, BETA_2)
        torch._foreach_addcmul_(self._squares, gradients, gradients, 1 - BETA_2)
        roots = torch._foreach_add(torch._foreach_sqrt(self._squares), EPSILON)
        steps = torch._foreach_div(self._means, roots)
        steps = torch._foreach_add(steps, torch._foreach_mul(values, self._decays))
        torch._foreach_add_(values, steps, alpha=-rate)
        for value in values:
            value.grad = None
