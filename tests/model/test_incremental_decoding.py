"""Decoding with a cache gives the logits of the whole sequence computed at once."""

import numpy as np
import pytest
import tensorflow.compat.v1 as tf

from albert_zh.model import attention_masks, heads, incremental_decoding, modeling
from crossed_cases import with_slow
import variable_values

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
    "electra": {"embedding_size": 8, "model_type": "electra"},
}
MASK = 4
SOURCES, TARGETS = np.array([5, 2, 7]), 6  # lengths
RANDOM = np.random.RandomState(3)
SOURCE = RANDOM.randint(5, 30, [3, 7]) * (np.arange(7) < SOURCES[:, None])
TARGET = RANDOM.randint(5, 30, [3, TARGETS])


def at_once(config, row):
    """Computes the logits [T, V] at a row's target positions, all at once."""
    ids = np.concatenate([SOURCE[row, : SOURCES[row]], TARGET[row]])[None]
    segments = (np.arange(ids.shape[1]) >= SOURCES[row]).astype(np.int32)[None]
    ids, segments = tf.constant(ids, tf.int32), tf.constant(segments)
    mask = tf.ones_like(ids)
    seen = attention_masks.visible_positions("sequence_to_sequence", mask, segments)
    model = modeling.AlbertModel(
        config, False, ids, mask, segments, scope=config.scope, attention_mask=seen
    )
    return heads.word_logits(config, model, model.get_sequence_output()[0, SOURCES[row] :])


def at_once_at_masks(config, row):
    """Computes the logits [T, V] of a `[MASK]` after the source and each prefix of the target."""
    logits = []
    for count in range(TARGETS):
        ids = np.concatenate([SOURCE[row, : SOURCES[row]], TARGET[row, :count], [MASK]])[None]
        segments = (np.arange(ids.shape[1]) >= SOURCES[row]).astype(np.int32)[None]
        ids, segments = tf.constant(ids, tf.int32), tf.constant(segments)
        mask = tf.ones_like(ids)
        seen = attention_masks.visible_positions("sequence_to_sequence", mask, segments)
        model = modeling.AlbertModel(
            config, False, ids, mask, segments, scope=config.scope, attention_mask=seen
        )
        logits.append(heads.word_logits(config, model, model.get_sequence_output()[0, -1:]))
    return tf.concat(logits, axis=0)


def step_by_step_at_masks(config):
    """Yields logits [B, V] of a `[MASK]` after each token, from the source's last one on."""
    mask = tf.constant((SOURCE > 0).astype(np.int32))
    longest = SOURCE.shape[1] + TARGETS
    ids = tf.constant(SOURCE, tf.int32)
    cache = incremental_decoding.encoded_source(config, ids, mask, longest)
    lengths = tf.constant(SOURCES, tf.int32)
    last = SOURCE[np.arange(3), SOURCES - 1]
    for step in range(TARGETS):
        new = incremental_decoding.new_tokens(
            tf.constant(last, tf.int32), lengths, tf.constant(step), MASK
        )
        logits, cache = incremental_decoding.next_logits(
            config, *new[:3], cache, columns=new.columns
        )
        yield logits
        last = TARGET[:, step]


def step_by_step(config, width):
    """Yields logits [B, V] after each step of `width` target tokens."""
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


def values_of(build):
    """Evaluates the tensors that a function builds, with random weights."""
    with tf.Graph().as_default(), tf.Session() as session:
        with tf.variable_scope("", reuse=tf.AUTO_REUSE):
            tensors = build()
        generator = np.random.RandomState(1)
        values = {
            variable: 0.4 * generator.standard_normal(variable.shape.as_list())
            + variable.op.name.endswith("gamma")
            for variable in tf.global_variables()
        }
        variable_values.assign(session, values)
        return session.run(tensors)


def config_of(layout):
    return modeling.AlbertConfig(**dict(SIZES, **LAYOUTS[layout]))


@pytest.mark.parametrize(
    "layout, width",
    with_slow(
        [(name, 1) for name in LAYOUTS] + [("brightmart", 2), ("nezha", 3)],
        [("nezha", 3)],
    ),
)
@pytest.mark.newest
def test_logits_with_a_cache_equal_those_without(layout, width):
    """The sources of the batch differ in length; tokens are read one by one, or several at once."""
    config = config_of(layout)
    expected, cached = values_of(
        lambda: ([at_once(config, row) for row in range(3)], list(step_by_step(config, width)))
    )
    expected = np.array(expected)[:, width - 1 :: width]  # [B, steps, V]
    assert np.std(expected) > 0.1
    np.testing.assert_allclose(np.stack(cached, axis=1), expected, atol=1e-5)


@pytest.mark.slow
@pytest.mark.parametrize("layout", with_slow(["brightmart", "nezha"], ["nezha"]))
@pytest.mark.newest
def test_a_mask_behind_the_tokens_leaves_nothing_in_the_cache(layout):
    config = config_of(layout)
    expected, cached = values_of(
        lambda: (
            [at_once_at_masks(config, row) for row in range(3)],
            list(step_by_step_at_masks(config)),
        )
    )
    assert np.std(expected) > 0.1
    np.testing.assert_allclose(np.stack(cached, axis=1), np.array(expected), atol=1e-5)


@pytest.mark.parametrize("positions", [None, "first", "chosen"])
@pytest.mark.parametrize("layout", ["brightmart", "nezha"])
def test_tokens_in_another_order_keep_their_positions(layout, positions):
    """The outputs of a reversed row are the reversed outputs of the row."""
    config = config_of(layout)
    ids, order = np.arange(5, 14)[None], np.arange(9)[::-1].copy()
    wanted = {None: None, "first": modeling.FIRST_TOKEN, "chosen": [[0, 3, 8]]}
    kept = {None: list(range(9)), "first": [0], "chosen": [0, 3, 8]}[positions]

    def build():
        rows = {"whole": ids, "turned": ids[:, order]}
        places = {"whole": None, "turned": tf.constant(order[None], tf.int32)}
        given = wanted[positions]
        needed = {"whole": None, "turned": tf.constant(given) if positions == "chosen" else given}
        return {
            name: modeling.AlbertModel(
                config, False, tf.constant(row, tf.int32), scope=config.scope,
                position_ids=places[name], output_positions=needed[name],
            ).get_sequence_output()
            for name, row in rows.items()
        }  # fmt: skip

    found = values_of(build)
    expected = found["whole"][:, order][:, kept]
    np.testing.assert_allclose(found["turned"], expected, atol=1e-5)
    assert np.abs(found["whole"] - found["whole"][:, order]).max() > 0.1
