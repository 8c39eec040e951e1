"""The head of reading comprehension, compared with NumPy."""

import numpy as np
import pytest
import tensorflow.compat.v1 as tf

from albert_zh.model.modeling import AlbertConfig
from albert_zh.model.span_head import span_head
import variable_values

B, F, H = 3, 7, 8


@pytest.fixture
def arrays():
    generator = np.random.RandomState(1)
    mask = np.ones((B, F), np.int32)
    mask[:, 1:3] = mask[:, -1] = 0
    return {
        "x": generator.normal(size=(B, F, H)).astype(np.float32),
        "mask": mask,
        "start": np.array([3, 0, 5], np.int32),
        "end": np.array([4, 0, 5], np.int32),
        "weights": generator.normal(size=(2, H)).astype(np.float32),
        "bias": np.array([0.5, -0.25], np.float32),
    }


def config(**more):
    return AlbertConfig(10, hidden_size=H, num_attention_heads=2, **more)


def expected(arrays):
    """Computes (start logits, end logits, losses) with NumPy in float64."""
    scores = arrays["x"].astype(np.float64) @ arrays["weights"].T + arrays["bias"]
    scores += -10000.0 * (1 - arrays["mask"])[:, :, None]
    log_sums = np.log(np.exp(scores).sum(axis=1))  # [B, 2]
    rows = np.arange(B)
    losses = [log_sums[:, k] - scores[rows, arrays[n], k] for k, n in enumerate(("start", "end"))]
    return scores[:, :, 0], scores[:, :, 1], (losses[0] + losses[1]) / 2


def run(arrays, head, *more):
    with tf.Session() as session:
        session.run(tf.global_variables_initializer())
        names = {v: v.op.name.rsplit("output_", 1)[-1] for v in tf.trainable_variables()}
        values = {v: arrays[name] for v, name in names.items() if name in arrays}
        variable_values.assign(session, values)
        return session.run([tensor for tensor in head if tensor is not None] + list(more))


def test_scores_and_losses_are_right(arrays):
    with tf.Graph().as_default():
        inputs = [tf.constant(arrays[name]) for name in ("x", "mask", "start", "end")]
        head = span_head(config(), *inputs)
        names = {variable.op.name: variable.shape for variable in tf.trainable_variables()}
        assert names == {"cls/squad/output_weights": [2, H], "cls/squad/output_bias": [2]}
        loss, losses, starts, ends = run(arrays, head)
    start_logits, end_logits, per_example = expected(arrays)
    np.testing.assert_allclose(starts, start_logits, rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(ends, end_logits, rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(losses, per_example, rtol=1e-5)
    np.testing.assert_allclose(loss, per_example.mean(), rtol=1e-5)


def test_without_mask_and_positions_there_are_only_scores(arrays):
    with tf.Graph().as_default():
        x = tf.placeholder(tf.float32, [None, None, H])
        head = span_head(config(), x)
        assert head.loss is None and head.per_example_loss is None
        assert head.start_logits.shape.as_list() == [None, None]
        with tf.Session() as session:
            session.run(tf.global_variables_initializer())
            for variable, name in zip(tf.trainable_variables(), ("weights", "bias")):
                variable.load(arrays[name], session)
            starts, ends = session.run([head.start_logits, head.end_logits], {x: arrays["x"]})
    scores = arrays["x"] @ arrays["weights"].T + arrays["bias"]
    np.testing.assert_allclose(starts, scores[:, :, 0], rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(ends, scores[:, :, 1], rtol=1e-5, atol=1e-5)


def test_gradients_do_not_reach_masked_pieces(arrays):
    with tf.Graph().as_default():
        x = tf.constant(arrays["x"])
        others = [tf.constant(arrays[name]) for name in ("mask", "start", "end")]
        head = span_head(config(), x, *others)
        (gradient,) = tf.gradients(head.loss, x)
        gradient = run(arrays, head, gradient)[-1]
    assert np.all(gradient[arrays["mask"] == 0] == 0)
    assert np.all(np.abs(gradient[arrays["mask"] == 1]).sum(axis=-1) > 0)


@pytest.mark.parametrize("dtype", [tf.float16, tf.bfloat16])
def test_scores_of_a_half_precision_encoder_are_float32(arrays, dtype):
    with tf.Graph().as_default():
        head = span_head(config(), tf.cast(arrays["x"], dtype), tf.constant(arrays["mask"]))
        starts, _ = run(arrays, head)
        assert starts.dtype == np.float32
    mask = arrays["mask"] == 1
    np.testing.assert_allclose(starts[mask], expected(arrays)[0][mask], atol=0.1)


def test_a_pre_ln_encoder_gets_a_layer_norm(arrays):
    with tf.Graph().as_default():
        span_head(config(ln_type="preln"), tf.constant(arrays["x"]))
        names = {variable.op.name for variable in tf.trainable_variables()}
    assert {"cls/squad/LayerNorm/beta", "cls/squad/LayerNorm/gamma"} < names
