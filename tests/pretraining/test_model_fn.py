"""The pre-training step: parts of a batch, precisions, skipped steps, XLA, warm start."""

import numpy as np
import pytest
import tensorflow.compat.v1 as tf

from albert_zh.model import modeling, structured_initialization
from albert_zh.model.checkpoints import expected_variables
from albert_zh.pretraining import model_fn as pretraining_model_fn
from albert_zh.training.model_spec import ModeKeys
from crossed_cases import with_slow
from pretraining_steps import SETTINGS, features_of, trained
import pretraining_workspace as small
from workspace import assert_same_weights

GOOGLE = {"num_hidden_groups": 1, "inner_group_num": 1}


@pytest.mark.parametrize(
    "config, optimizer", [({}, "lamb"), pytest.param(GOOGLE, "adamw", marks=pytest.mark.slow)]
)
def test_a_batch_in_parts_gives_the_weights_of_the_whole(config, optimizer):
    whole = trained(config=config, optimizer=optimizer)
    parts = trained(config=config, optimizer=optimizer, gradient_accumulation_steps=4)
    np.testing.assert_allclose(whole[0], parts[0], atol=1e-5)
    assert_same_weights(whole[1], parts[1], atol=1e-5)
    assert whole[1]["global_step"] == 5


@pytest.mark.slow
@pytest.mark.newest
@pytest.mark.parametrize("config", with_slow([{}, GOOGLE], [GOOGLE]))
def test_the_plain_way_trains_the_same_weights(config):
    plain, fast = (trained(config=config, plain=plain) for plain in (True, False))
    np.testing.assert_allclose(plain[0], fast[0], atol=1e-5)
    assert_same_weights(plain[1], fast[1], atol=1e-5)


@pytest.mark.slow
def test_recomputing_trains_the_same_weights(recomputed_chains):
    config = {"hidden_dropout_prob": 0.1}
    kept = trained(config=config)
    assert recomputed_chains == []
    recomputed = trained(config=config, recompute=True)
    assert recomputed_chains == [2]
    np.testing.assert_allclose(recomputed[0], kept[0], atol=1e-5)
    assert_same_weights(kept[1], recomputed[1], atol=1e-5)


@pytest.mark.slow
@pytest.mark.newest
def test_parts_of_a_batch_weigh_by_their_predictions():
    """A part with fewer predictions must not count as much as one with more."""

    def uneven():
        features = features_of()
        weights = np.ones((8, small.PREDICTIONS), np.float32)
        weights[:4, 1:] = 0
        return dict(features, masked_lm_weights=tf.constant(weights))

    whole = trained(features=uneven)
    parts = trained(features=uneven, gradient_accumulation_steps=2)
    assert_same_weights(whole[1], parts[1], atol=1e-5)


@pytest.mark.slow
@pytest.mark.newest
def test_dropout_differs_between_the_parts_of_a_batch():
    config = {"hidden_dropout_prob": 0.5}

    def twice():
        half = features_of(4)
        return {name: tf.concat([values, values], axis=0) for name, values in half.items()}

    def first_half():
        return features_of(4)

    (_, both) = trained(1, config, twice, gradient_accumulation_steps=2)
    (_, one) = trained(1, config, first_half)
    assert any(np.abs(both[name] - one[name]).max() > 1e-6 for name in one)


@pytest.mark.slow
@pytest.mark.reference
@pytest.mark.parametrize("precision", ["bfloat16", "mixed_float16"])
def test_lower_precision_trains_alike_and_keeps_float32_weights(precision):
    exact = trained(10)
    coarse = trained(10, precision=precision)
    assert coarse[0][-1] < coarse[0][0] - 0.03
    assert 0 < np.abs(np.subtract(exact[0], coarse[0])).max() < 0.005
    assert all(value.dtype != np.float16 for value in coarse[1].values())
    assert {value.dtype for name, value in coarse[1].items() if "kernel" in name} == {
        np.dtype(np.float32)
    }


@pytest.mark.slow
@pytest.mark.reference
def test_loss_scale_is_halved_and_the_step_skipped_when_gradients_overflow(monkeypatch):
    monkeypatch.setattr(pretraining_model_fn, "_FIRST_LOSS_SCALE", 2.0**40)
    _, before = trained(0, precision="mixed_float16")
    _, after = trained(3, precision="mixed_float16")
    assert after["skipped_steps"] == 3 and after["loss_scale"] == before["loss_scale"] / 8
    assert after["global_step"] == 3
    np.testing.assert_array_equal(
        before["bert/embeddings/word_embeddings"], after["bert/embeddings/word_embeddings"]
    )


@pytest.mark.parametrize(
    "scale, is_finite, expected",
    [(2.0**126, True, 2.0**127), (2.0**127, True, 2.0**127), (2.0**127, False, 2.0**126)],
)
def test_a_loss_scale_grows_to_no_infinite_one(monkeypatch, scale, is_finite, expected):
    """An infinite scale would stay infinite, since half of it is infinite, too."""
    monkeypatch.setattr(pretraining_model_fn, "_FIRST_LOSS_SCALE", scale)
    monkeypatch.setattr(pretraining_model_fn, "_LOSS_SCALE_GROWTH_STEPS", 1)
    with tf.Graph().as_default(), tf.Session() as session:
        scaler = pretraining_model_fn.LossScaler()
        session.run(tf.global_variables_initializer())
        session.run(scaler.updated(tf.constant(is_finite)))
        assert session.run(scaler.scale) == expected


@pytest.mark.slow
@pytest.mark.reference
def test_steps_that_are_not_finite_are_skipped_and_counted_on_request():
    def broken():
        features = features_of()
        step = tf.cast(tf.train.get_or_create_global_step(), tf.int32)
        factor = tf.where_v2(tf.equal(step, 1), np.float32("nan"), 1.0)
        return dict(features, masked_lm_weights=features["masked_lm_weights"] * factor)

    losses, values = trained(4, features=broken, skip_nan_steps=True)
    assert values["skipped_steps"] == 1 and values["global_step"] == 4
    assert all(np.isfinite(value).all() for value in values.values())
    assert losses[3] < losses[0]
    _, spoilt = trained(4, features=broken)
    assert not np.isfinite(spoilt["bert/pooler/dense/kernel"]).all()


@pytest.mark.slow
@pytest.mark.newest
@pytest.mark.parametrize("config", with_slow([{}, GOOGLE], [{}]))
def test_the_step_compiles_under_xla_with_static_shapes(config):
    config = modeling.AlbertConfig.from_dict(dict(small.CONFIG, **config))

    def losses_of(wrap):
        with tf.Graph().as_default(), tf.Session() as session:
            tf.set_random_seed(3)
            tf.get_variable_scope().set_use_resource(True)
            tf.train.get_or_create_global_step()
            features = features_of()

            def step():
                spec = pretraining_model_fn.model_fn_builder(config, SETTINGS, None)(
                    features, None, ModeKeys.TRAIN, {}
                )
                with tf.control_dependencies([spec.train_op]):
                    return tf.identity(spec.loss)

            loss = wrap(step)
            session.run(tf.global_variables_initializer())
            return [session.run(loss) for _ in range(3)]

    compiled = losses_of(lambda step: tf.xla.experimental.compile(step)[0])
    np.testing.assert_allclose(compiled, losses_of(lambda step: step()), atol=1e-5)


@pytest.mark.parametrize(
    "config", [{}, GOOGLE, {"num_hidden_groups": 1, "ffn_groups": 4}, {"embedding_size": None}]
)
def test_warm_start_has_the_layouts_names_and_looks_at_neighbours(config):
    values_of_config = dict(
        small.CONFIG,
        hidden_size=96,
        embedding_size=48,
        num_attention_heads=4,
        max_position_embeddings=64,
    )
    values_of_config.update(config)
    config = modeling.AlbertConfig.from_dict(
        {name: value for name, value in values_of_config.items() if value is not None}
    )
    parts = expected_variables.expected_shapes_by_part(config)
    shapes = {n: s for p in ("encoder", "masked_lm", "sentence_order") for n, s in parts[p].items()}
    counts = np.arange(config.vocab_size)
    values = structured_initialization.start_values(config, shapes, counts, seed=1)
    assert {name: list(value.shape) for name, value in values.items()} == shapes
    bias = values["cls/predictions/output_bias"]
    assert bias[11] - bias[5] == pytest.approx(np.log(12 / 6.0))
    positions = values["bert/embeddings/position_embeddings"]
    assert np.sqrt((positions**2).mean()) == pytest.approx(0.05, rel=1e-3)
    for head, offset in enumerate(structured_initialization.OFFSETS[:2]):
        scores = _scores(config, values, head)
        middle = np.arange(8, 56)
        assert (scores[middle].argmax(axis=1) == middle + offset).mean() > 0.9


def _scores(config, values, head):
    """Returns the first layer's attention scores [F, F] of a head for a text of equal pieces."""
    names = sorted(name for name in values if name.endswith("self/query/kernel"))
    query, key = values[names[0]], values[names[0].replace("query", "key")]
    rows = np.array(values["bert/embeddings/position_embeddings"])
    rows = rows / rows.std(axis=1, keepdims=True)
    mapping = values.get("bert/encoder/embedding_hidden_mapping_in/kernel")
    if mapping is not None:
        rows = rows.dot(mapping)
    size = config.hidden_size // config.num_attention_heads
    columns = slice(head * size, (head + 1) * size)
    return rows.dot(query[:, columns]).dot(rows.dot(key[:, columns]).T)
