"""ELECTRA (Clark et al. 2020): a small generator fills the masks, the model detects its pieces.

    terms = electra.terms(config, features, is_training, settings, denominators, build_encoder)

The generator is a masked LM with a fraction of the model's width and depth. It shares the model's
embeddings, and its samples replace the masks; the model (the discriminator) then predicts for each
piece whether it is from the original text. Only the model is used after pre-training. Formulas and
variable names are the same as in google-research/electra; the model may have any layout.
"""

from typing import TYPE_CHECKING, Callable, Dict, List

import tensorflow.compat.v1 as tf

from albert_zh.model import attention_masks
from albert_zh.model.embeddings import embeddings
from albert_zh.model.encoder import config_of_graph, encoder_layers
from albert_zh.model.heads import word_predictions, word_scores
from albert_zh.model.layers import PRECISIONS, dense, dropout_seed, get_shape_list, layer_norm
from albert_zh.pretraining.objectives import (
    electra_masks,
    generator_settings,
    replaced_tokens,
    word_and_order,
)
from albert_zh.pretraining.objectives.terms import Term

if TYPE_CHECKING:
    from albert_zh.model.config import AlbertConfig
    from albert_zh.model.encoder import AlbertModel
    from albert_zh.pretraining.model_settings import ModelSettings
    from albert_zh.pretraining.objectives.masked_lm import Denominators

GENERATOR_SCOPE = "generator"
_EPSILON = 1e-6  # added to the denominators of both losses
_NOT_DRAWN = 1000.0  # subtracted from the logit of a word that must not be drawn


def terms(
    config: "AlbertConfig",
    features: Dict[str, tf.Tensor],
    is_training: bool,
    settings: "ModelSettings",
    denominators: "Denominators",
    build_encoder: Callable[..., "AlbertModel"],
) -> List[Term]:
    """Builds the generator, the discriminator and their losses.

    Args:
        config: the discriminator's config.
        features: features of a batch, [B, F], [B, P] and [B, 1].
        is_training: whether the batch is used for training.
        settings: how the model is trained; its field `electra` is `Settings`.
        denominators: the divisors of the summed losses.
        build_encoder: function like `masked_lm.encoder`.

    Returns:
        terms, the generator's first; with a `disc_weight` of 0 only the generator's.
    """
    rows, table = _generated_rows(config, features, is_training, settings, build_encoder)
    words, logits = _generator_output(config, rows, table, features)
    masked = word_and_order.word_term(
        "masked_lm",
        words,
        features["masked_lm_ids"],
        features["masked_lm_weights"],
        denominators.words,
        _EPSILON,
    )._replace(weight=settings.electra.gen_weight)
    if not settings.electra.disc_weight:
        return [masked]
    drawn = drawn_words(logits, features["masked_lm_ids"], settings.electra)
    fill = electra_masks if settings.electra.original_masks else replaced_tokens
    filled = fill.filled_with(features, drawn)
    features = dict(features, input_ids=filled.input_ids)
    model = build_encoder(config, is_training, features, settings)
    detected = discriminator_term(config, model, features, filled.is_replaced, denominators.pieces)
    terms_of_batch = [
        masked,
        detected._replace(weight=settings.electra.disc_weight),
    ]
    if settings.sentence_task:
        terms_of_batch.append(
            word_and_order.sentence_term(config, model, features, settings, denominators)
        )
    return terms_of_batch


def _generated_rows(config, features, is_training, settings, build_encoder):
    """Returns the generator's outputs at the masks, [B * P, H'], and the word table [V, E]."""
    if settings.electra.untied_generator:
        return _outputs_of_generator(config, features, is_training, settings)
    wanted = tf.pad(features["masked_lm_positions"], [[0, 0], [1, 0]])
    model = build_encoder(config, is_training, features, settings, wanted)
    rows = tf.reshape(model.get_sequence_output()[:, 1:, :], [-1, config.hidden_size])
    return rows, model.get_embedding_table()


def _outputs_of_generator(config, features, is_training, settings):
    """Does the work of `_generated_rows` with a separate generator."""
    ids, positions = features["input_ids"], features["masked_lm_positions"]
    own = config_of_graph(
        generator_settings.generator_config(config, settings.electra), is_training, settings.plain
    )
    of_tables, scope = config_of_graph(config, is_training, settings.plain), config.scope
    if settings.electra.untied_generator_embeddings:
        of_tables, scope = own, GENERATOR_SCOPE
    with tf.variable_scope(scope), tf.variable_scope("embeddings"):
        embedded = embeddings(
            of_tables,
            ids,
            features["segment_ids"],
            settings.use_tpu,
            PRECISIONS[settings.precision],
        )
    with tf.variable_scope(GENERATOR_SCOPE):
        rows = embedded.rows  # [R, E]
        if int(rows.shape[-1]) != own.hidden_size:
            rows = dense(rows, own.hidden_size, own, "embeddings_project")
        with tf.variable_scope("encoder"):
            seen = attention_masks.of_inputs(ids, features["input_mask"], None)
            layers = encoder_layers(
                own,
                rows,
                attention_masks.added_to_scores(seen),
                get_shape_list(ids, expected_rank=2),
                settings.recompute and is_training,
                positions,
            )
    return layers[-1], embedded.table


def _generator_output(config, rows, table, features):
    """Returns (`MaskedLmOutput`, logits [B * P, V]) for the generator's outputs at the masks."""
    with tf.variable_scope("generator_predictions"):
        rows = dense(rows, int(table.shape[-1]), config, "dense", config.hidden_act)
        rows = layer_norm(rows, "LayerNorm")
        bias = tf.get_variable(
            "output_bias", [int(table.shape[0])], initializer=tf.zeros_initializer()
        )
        labels = (features["masked_lm_ids"], features["masked_lm_weights"])
        return word_predictions(rows, table, bias, *labels), word_scores(rows, table, bias)


def sampling_logits(
    logits: tf.Tensor, label_ids: tf.Tensor, settings: generator_settings.Settings
) -> tf.Tensor:
    """Returns the logits from which words are sampled.

    Args:
        logits: float tensor [B * P, V].
        label_ids: int tensor [B, P], the original words.
        settings: the settings of the generator.

    Returns:
        float tensor [B * P, V], without a gradient.
    """
    logits = tf.stop_gradient(logits) / settings.generator_temperature
    if settings.disallow_correct:
        labels = tf.reshape(label_ids, [-1])
        logits -= _NOT_DRAWN * tf.one_hot(labels, int(logits.shape[-1]))
    return logits


def drawn_words(
    logits: tf.Tensor, label_ids: tf.Tensor, settings: generator_settings.Settings
) -> tf.Tensor:
    """Samples a word per mask, int [B * P, 1]; arguments are as for `sampling_logits`."""
    return tf.random.stateless_categorical(
        sampling_logits(logits, label_ids, settings), 1, dropout_seed(), dtype=tf.int32
    )


def discriminator_term(
    config: "AlbertConfig",
    model: "AlbertModel",
    features: Dict[str, tf.Tensor],
    is_replaced: tf.Tensor,
    num_pieces: tf.Tensor,
) -> Term:
    """Returns the `Term` of detecting which pieces were replaced.

    Args:
        config: the model's config.
        model: the model applied to the text with the generator's words.
        features: features of a batch, [B, F].
        is_replaced: float tensor [B, F].
        num_pieces: float scalar tensor, number of pieces in the whole batch of the step.
    """
    rows = tf.reshape(model.get_sequence_output(), [-1, config.hidden_size])  # [R, H]
    with tf.variable_scope("discriminator_predictions"):
        rows = dense(rows, config.hidden_size, config, "dense", config.hidden_act)
        logits = tf.cast(dense(rows, 1, config, "dense_1"), tf.float32)[:, 0]  # [R]
    labels = tf.reshape(is_replaced, [-1])
    losses = tf.nn.sigmoid_cross_entropy_with_logits(labels=labels, logits=logits)
    weights = tf.cast(tf.reshape(features["input_mask"], [-1]), tf.float32)
    total = num_pieces + _EPSILON
    return Term(
        "replaced_token",
        tf.reduce_sum(losses * weights) / total,
        losses=losses,
        weights=weights,
        denominator=total,
        labels=tf.cast(labels, tf.int32),
        predicted=tf.cast(logits > 0, tf.int32),
        scores=tf.sigmoid(logits),
    )
