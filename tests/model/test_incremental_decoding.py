"""Decoding with a cache gives the logits of the whole sequence computed at once."""

import numpy as np
import pytest
import tensorflow.compat.v1 as tf

from albert_zh.model import attention_masks, heads, incremental_decoding, modeling

SIZES = {
    "vocab_size": 30,
    "hidden_size": 16,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "intermediate_size": 32,
    "max_position_embeddings": 24,
    "hidden_dropout_prob": 0.1,
    "attention_probs_dropout_prob": 0.1,
}
LAYOUTS = {
    "brightmart": {"embedding_size": 8},
    "pre_norm": {"embedding_size": 8, "ln_type": "preln"},
    "google": {"embedding_size": 8, "num_hidden_groups": 2, "inner_group_num": 2},
    "google_fast": {"embedding_size": 8, "num_hidden_groups": 1, "ffn_groups": 4},
    "bert": {},
    "nezha": {"use_relative_position": True},
}
SOURCES, TARGETS = np.array([5, 2, 7]), 6  # lengths
RANDOM = np.random.RandomState(3)
SOURCE = RANDOM.randint(5, 30, [3, 7]) * (np.arange(7) < SOURCES[:, None])
TARGET = RANDOM.randint(5, 30, [3, TARGETS])


def at_once(config, row):
    """Logits [T, V] at a row's target positions, all computed together."""
    ids = np.concatenate([SOURCE[row, : SOURCES[row]], TARGET[row]])[None]
    segments = (np.arange(ids.shape[1]) >= SOURCES[row]).astype(np.int32)[None]
    ids, segments = tf.constant(ids, tf.int32), tf.constant(segments)
    mask = tf.ones_like(ids)
    seen = attention_masks.visible_positions("sequence_to_sequence", mask, segments)
    model = modeling.AlbertModel(
        config, False, ids, mask, segments, scope="bert", attention_mask=seen
    )
    return heads.word_logits(config, model, model.get_sequence_output()[0, SOURCES[row] :])


def step_by_step(config, width):
    """Logits [B, V] after each step of so many target tokens."""
    mask = tf.constant((SOURCE > 0).astype(np.int32))
    longest = SOURCE.shape[1] + TARGETS
    ids = tf.constant(SOURCE, tf.int32)
    cache = incremental_decoding.encoded_source(config, ids, mask, longest)
    for start in range(0, TARGETS, width):
        positions = SOURCES[:, None] + start + np.arange(width)
        logits, cache = incremental_decoding.next_logits(
            config,
            tf.constant(TARGET[:, start : start + width], tf.int32),
            tf.constant(positions, tf.int32),
            tf.ones([3, width], tf.int32),
            cache,
        )
        yield logits


@pytest.mark.parametrize(
    "layout, width", [(name, 1) for name in LAYOUTS] + [("brightmart", 2), ("nezha", 3)]
)
@pytest.mark.newest
def test_logits_with_a_cache_equal_those_without(layout, width):
    """Sources of different lengths in a batch; tokens one by one, or several at a time."""
    config = modeling.AlbertConfig(**dict(SIZES, **LAYOUTS[layout]))
    with tf.Graph().as_default(), tf.Session() as session:
        with tf.variable_scope("", reuse=tf.AUTO_REUSE):
            expected = [at_once(config, row) for row in range(3)]
            cached = list(step_by_step(config, width))
        generator = np.random.RandomState(1)
        for variable in tf.global_variables():
            noise = 0.4 * generator.standard_normal(variable.shape.as_list())
            variable.load(noise + variable.op.name.endswith("gamma"), session)
        cached, expected = session.run([cached, expected])
    expected = np.array(expected)[:, width - 1 :: width]  # [B, steps, V]
    assert np.std(expected) > 0.1
    np.testing.assert_allclose(np.stack(cached, axis=1), expected, atol=1e-5)
