"""Hand-written gradients, compared with those that TensorFlow derives from the formulas."""

import numpy as np
import pytest
import tensorflow.compat.v1 as tf

from albert_zh.model import activations, feed_forward, layers, written_gradients
from albert_zh.training.tensorflow_internals import gradients_forgotten
from living_graphs import num_living_graphs
from waiting_operations import depends_on

RANDOM = np.random.RandomState(4)
X = 3 * RANDOM.randn(7, 12).astype(np.float32)
DY = RANDOM.randn(7, 12).astype(np.float32)
BETA, GAMMA = RANDOM.randn(2, 12).astype(np.float32)
# Relative tolerance by precision: bfloat16 has 8 bits, and values are rounded twice.
TOLERANCES = {"float32": 2e-6, "bfloat16": 2.0**-7}
LATE = pytest.mark.skipif(
    tf.__version__.startswith("1."), reason="TensorFlow 1 multiplies no bfloat16 on CPUs"
)
PRECISIONS = ["float32", pytest.param("bfloat16", marks=LATE)]


def result_and_gradients(function, arrays, dy, precision):
    """Returns a function's result and its gradients, float32; x is cast to the precision."""
    with tf.Graph().as_default(), tf.Session() as session:
        x, *others = [tf.constant(array) for array in arrays]
        x = tf.cast(x, precision)
        y = function(x, *others)
        assert y.dtype == x.dtype
        gradients = tf.gradients(y, [x] + others, tf.cast(dy, y.dtype))
        return session.run([tf.cast(tensor, tf.float32) for tensor in [y] + gradients])


def assert_alike(actual, expected, precision):
    for ours, theirs in zip(actual, expected):
        limit = TOLERANCES[precision] * np.abs(theirs).max()
        np.testing.assert_allclose(ours, theirs, rtol=0, atol=limit)


@pytest.mark.parametrize("precision", PRECISIONS)
@pytest.mark.newest
def test_layer_norm_has_the_gradient_of_its_formula(precision):
    def results(normalize):
        def function(x, beta, gamma):
            return normalize(x, beta, gamma, layers.LAYER_NORM_EPSILON)

        return result_and_gradients(function, [X, BETA, GAMMA], DY, precision)

    expected, actual = map(results, (layers.plainly_normalized, written_gradients.normalized))
    assert_alike(actual, expected, precision)


@pytest.mark.parametrize("precision", PRECISIONS)
@pytest.mark.parametrize("name", ["gelu", "gelu_erf", "relu"])
@pytest.mark.parametrize("groups", [1, 4])
@pytest.mark.newest
def test_an_activated_product_has_the_gradient_of_its_formula(name, groups, precision):
    activation = activations.get_activation(name)
    kernel = RANDOM.randn(*([12, 8] if groups == 1 else [3, 2, groups])).astype(np.float32)

    def ours(x, bias, kernel):
        return written_gradients.activated_product(
            x, bias, kernel, activation, feed_forward.grouped_product
        )

    def plain(x, bias, kernel):
        activated = tf.cast(activation(tf.cast(x, tf.float32) + bias), x.dtype)
        return feed_forward.grouped_product(activated, kernel)

    arrays, dy = [X, BETA, kernel], DY[:, :8]
    expected = result_and_gradients(plain, arrays, dy, precision)
    assert_alike(result_and_gradients(ours, arrays, dy, precision), expected, precision)


def test_only_the_input_is_kept_for_the_gradient():
    """The activated values, the largest of a layer, are computed again."""
    with tf.Graph().as_default():
        x, bias, kernel = (tf.constant(array) for array in (X, BETA, np.eye(12, dtype=np.float32)))
        y = written_gradients.activated_product(x, bias, kernel, tf.tanh, tf.matmul)
        before = set(tf.get_default_graph().get_operations())
        tf.gradients(y, [x, kernel])
        added = set(tf.get_default_graph().get_operations()) - before
        read = {tensor.op for op in added for tensor in op.inputs} & before
        large = [op for op in read if op.outputs[0].shape.as_list() == [7, 12]]
    # Only x itself and the given gradient of y are read.
    assert {op.type for op in large} <= {"Const", "Identity", "IdentityN", "Fill"}


def ops_before_gradient(function, arrays, precision):
    """Returns the operations on x's rows that a gradient adds and that do not depend on dy."""
    with tf.Graph().as_default() as graph:
        x, *others = [tf.constant(array) for array in arrays]
        y = function(tf.cast(x, precision), *others)
        dy = tf.placeholder(y.dtype, y.shape)
        before = set(graph.get_operations())
        tf.gradients(y, [x], dy)
        added = set(graph.get_operations()) - before
        computing = [op for op in added if op.type not in ("Identity", "IdentityN", "ZerosLike")]
        of_rows = [op for op in computing if [t.shape.as_list() for t in op.outputs] == [[7, 12]]]
        return [op.name for op in of_rows if not depends_on(op, dy.op)]


@pytest.mark.parametrize("precision", PRECISIONS)
def test_nothing_is_made_wide_for_the_gradient_before_its_turn(precision):
    """TensorFlow would compute such values early and keep them until the backward pass."""

    def normalize(x, beta, gamma):
        return written_gradients.normalized(x, beta, gamma, layers.LAYER_NORM_EPSILON)

    def activate(x, bias, kernel):
        return written_gradients.activated_product(x, bias, kernel, tf.tanh, layers.product)

    assert not ops_before_gradient(normalize, [X, BETA, GAMMA], precision)
    assert not ops_before_gradient(activate, [X, BETA, np.eye(12, dtype=np.float32)], precision)


@pytest.mark.parametrize("precision", PRECISIONS)
def test_column_sums_are_float32(precision):
    with tf.Graph().as_default(), tf.Session() as session:
        sums = session.run(written_gradients.column_sums(tf.cast(X, precision)))
    assert sums.dtype == np.float32
    assert_alike([sums], [X.sum(axis=0)], precision)


@pytest.mark.parametrize("precision", PRECISIONS)
def test_graphs_are_freed_with_what_was_compiled_for_them(precision):
    before = num_living_graphs()
    for _ in range(2):
        with gradients_forgotten():
            result_and_gradients(
                lambda *tensors: written_gradients.normalized(*tensors, epsilon=1e-12),
                [X, BETA, GAMMA],
                DY,
                precision,
            )
    assert num_living_graphs() == before
