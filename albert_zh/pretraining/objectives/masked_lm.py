"""The objectives of BERT and ALBERT: masked LM and the order of two segments.

    terms = masked_lm.terms(config, features, is_training, settings, denominators)

Losses are means over the whole batch of a step, regardless of how it is divided. With a
`span_boundary_weight` the masked words are also predicted from the pieces around their span; with a
`replaced_token_weight` the model also reads the text whose masks it has filled.
"""

import collections
from typing import TYPE_CHECKING, Dict, List, Optional, Sequence

import tensorflow.compat.v1 as tf

from albert_zh.model.encoder import AlbertModel
from albert_zh.model.heads import masked_lm_output
from albert_zh.model.layers import gather_positions
from albert_zh.pretraining.objectives import (
    reading_patterns,
    replaced_tokens,
    span_boundary,
    unilm,
    word_and_order,
)
from albert_zh.pretraining.objectives.terms import Term

if TYPE_CHECKING:
    from albert_zh.model.config import AlbertConfig
    from albert_zh.pretraining.model_settings import ModelSettings

_LOGIT_SHARES = 4  # parts in which the logits of all words are computed in training

Denominators = collections.namedtuple("Denominators", "words sentences pieces span_words")
Denominators.__doc__ = """The divisors of the summed losses of a step's batch.

Fields:
    words: float scalar tensor, the sum of the weights of masked words.
    sentences: float scalar tensor, the number of sequences with a second task.
    pieces: float scalar tensor, the number of pieces without padding.
    span_words: float scalar tensor, the number of masked words with a boundary on both sides.
"""


def denominators_of(features: Dict[str, tf.Tensor], has_spans: bool = False) -> Denominators:
    """Computes the `Denominators` of a batch.

    Args:
        features: features of the batch, [B, F], [B, P] and [B, 1].
        has_spans: whether to count the words of spans.
    """
    span_words = tf.constant(0.0)
    if has_spans:
        span_words = tf.reduce_sum(span_boundary.targets_of(features).weights)
    return Denominators(
        tf.reduce_sum(features["masked_lm_weights"]),
        tf.reduce_sum(reading_patterns.is_bidirectional(features)),
        tf.cast(tf.reduce_sum(features["input_mask"]), tf.float32),
        span_words,
    )


def terms(
    config: "AlbertConfig",
    features: Dict[str, tf.Tensor],
    is_training: bool,
    settings: "ModelSettings",
    denominators: Denominators,
) -> List[Term]:
    """Builds the model and its losses; replaced pieces are detected only in training.

    Args:
        config: the model's config.
        features: features of a batch, [B, F], [B, P] and [B, 1].
        is_training: whether the batch is used for training.
        settings: how the model is trained.
        denominators: the divisors of the summed losses.

    Returns:
        terms, the masked LM's first.
    """
    wanted = wanted_positions(features, settings)
    if settings.plain:
        model = encoder(config, is_training, features, settings)
        rows = [gather_positions(model.get_sequence_output(), columns) for columns in wanted]
    else:
        needed = tf.pad(tf.concat(wanted, axis=1), [[0, 0], [1, 0]])  # preceded by the first token
        model = encoder(config, is_training, features, settings, needed)
        shares = tf.split(model.get_sequence_output()[:, 1:, :], len(wanted), axis=1)
        rows = [tf.reshape(share, [-1, config.hidden_size]) for share in shares]
    return terms_of_rows(config, model, rows, features, is_training, settings, denominators)


def wanted_positions(features: Dict[str, tf.Tensor], settings: "ModelSettings") -> List[tf.Tensor]:
    """Returns the positions whose outputs the losses need, int [B, P] each."""
    wanted = [features["masked_lm_positions"]]
    if settings.span_boundary_weight:
        targets = span_boundary.targets_of(features)
        wanted += [targets.left, targets.right]
    return wanted


def encoder(
    config: "AlbertConfig",
    is_training: bool,
    features: Dict[str, tf.Tensor],
    settings: "ModelSettings",
    output_positions: Optional[tf.Tensor] = None,
    keeps_attention: bool = False,
) -> AlbertModel:
    """Builds the `AlbertModel` of a batch according to `ModelSettings`."""
    return AlbertModel(
        config,
        is_training,
        features["input_ids"],
        features["input_mask"],
        features["segment_ids"],
        use_one_hot_embeddings=settings.use_tpu,
        scope=config.scope,
        recompute=settings.recompute,
        precision=settings.precision,
        plain=settings.plain,
        output_positions=output_positions,
        keeps_attention=keeps_attention,
        attention_mask=unilm.attention_mask(features),
    )


def terms_of_rows(
    config: "AlbertConfig",
    model: AlbertModel,
    rows: Sequence[tf.Tensor],
    features: Dict[str, tf.Tensor],
    is_training: bool,
    settings: "ModelSettings",
    denominators: Denominators,
) -> List[Term]:
    """Builds the losses of an existing model; other arguments and the result are as for `terms`.

    Args:
        model: the model applied to the batch.
        rows: float [B * P, H] each, its outputs at each of `wanted_positions`.
    """
    tables = (model.get_embedding_table(), model.get_embedding_projection())
    labels = (features["masked_lm_ids"], features["masked_lm_weights"])
    parts = _LOGIT_SHARES if is_training and not settings.plain else 1
    words = masked_lm_output(config, rows[0], *tables, *labels, parts=parts)
    terms_of_batch = [
        word_and_order.word_term(
            "masked_lm", words, features["masked_lm_ids"], labels[1], denominators.words
        )
    ]
    if reading_patterns.PATTERNS in features:
        terms_of_batch += unilm.measured_terms(words, features)
    if settings.sentence_task:
        terms_of_batch.append(
            word_and_order.sentence_term(config, model, features, settings, denominators)
        )
    if settings.span_boundary_weight:
        targets = span_boundary.targets_of(features)
        of_spans = span_boundary.boundary_output(
            config, rows[1], rows[2], targets, tables[0], labels[0], parts
        )
        total = denominators.span_words
        term = word_and_order.word_term(
            "span_boundary", of_spans, labels[0], targets.weights, total
        )
        terms_of_batch.append(term._replace(weight=settings.span_boundary_weight))
    if is_training and settings.replaced_token_weight:
        terms_of_batch += _terms_of_filled_text(
            config, features, settings, words.log_probs, denominators
        )
    return terms_of_batch


def _terms_of_filled_text(config, features, settings, log_probs, denominators):
    """Losses of a batch whose masks the model filled: replaced pieces and sentence order."""
    filled = replaced_tokens.fill(features, log_probs)
    features = dict(features, input_ids=filled.input_ids)
    model = encoder(config, True, features, settings)
    losses = replaced_tokens.detection_losses(config, model, filled.is_replaced)  # [B, F]
    is_piece = tf.cast(features["input_mask"], tf.float32)
    detection = tf.reduce_sum(losses * is_piece) / denominators.pieces
    found = [Term("replaced_token", detection, settings.replaced_token_weight)]
    if settings.sentence_task:
        order = word_and_order.sentence_term(config, model, features, settings, denominators)
        found.append(order._replace(name=None))
    return found
