"""Attention masks, compared with brute force, and the masked encoder, compared with NumPy."""

import numpy as np
import pytest
import tensorflow.compat.v1 as tf

from albert_zh.model import attention_masks, modeling
import numpy_encoder
import variable_values

SETTINGS = {
    "vocab_size": 30,
    "hidden_size": 16,
    "embedding_size": 8,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "intermediate_size": 32,
    "max_position_embeddings": 16,
    "hidden_dropout_prob": 0.0,
    "attention_probs_dropout_prob": 0.0,
}
MASK = np.array([[1, 1, 1, 1, 1, 1, 1], [1, 1, 1, 1, 1, 0, 0]])
SEGMENTS = np.array([[0, 0, 0, 0, 1, 1, 1], [0, 0, 1, 1, 1, 0, 0]])
IDS = np.random.RandomState(0).randint(5, 30, MASK.shape)


def sees(pattern, row, i, j):
    """Whether position i of a row sees position j, by the definitions of the patterns."""
    if not MASK[row, j]:
        return False
    if pattern == "sequence_to_sequence":
        return not SEGMENTS[row, j] or (bool(SEGMENTS[row, i]) and j <= i)
    return {"bidirectional": True, "left_to_right": j <= i, "right_to_left": j >= i}[pattern]


def brute_force(patterns):
    """Returns the mask, int [B, F, F]; rows of padding are -1."""
    matrix = -np.ones(MASK.shape + MASK.shape[1:], int)
    for row, pattern in enumerate(patterns):
        for i in np.flatnonzero(MASK[row]):
            matrix[row, i] = [sees(pattern, row, i, j) for j in range(MASK.shape[1])]
    return matrix


def computed(pattern):
    with tf.Graph().as_default(), tf.Session() as session:
        inputs = [tf.constant(array, tf.int32) for array in (MASK, SEGMENTS)]
        return session.run(attention_masks.visible_positions(pattern, *inputs))


@pytest.mark.parametrize("pattern", attention_masks.PATTERNS)
def test_patterns_are_those_of_the_definitions(pattern):
    expected = brute_force([pattern, pattern])
    np.testing.assert_array_equal(computed(pattern)[expected >= 0], expected[expected >= 0])


def test_rows_of_a_batch_may_have_different_patterns():
    names = ["right_to_left", "sequence_to_sequence"]
    expected = brute_force(names)
    found = computed([attention_masks.PATTERNS.index(name) for name in names])
    np.testing.assert_array_equal(found[expected >= 0], expected[expected >= 0])


@pytest.mark.parametrize(
    "pattern, ways",
    [
        ("left_to_right", {}),
        ("right_to_left", {"plain": True}),
        ("sequence_to_sequence", {"is_training": True, "recompute": True}),
    ],
)
def test_encoder_equals_numpys_with_the_same_mask(pattern, ways):
    """The outputs are also equal if only some positions of the last layer are computed."""
    config = modeling.AlbertConfig(**SETTINGS)
    positions = np.array([[0, 3, 6], [0, 4, 2]])
    ways = dict({"is_training": False}, **ways)
    with tf.Graph().as_default(), tf.Session() as session:
        ids, mask, segments = (tf.constant(array, tf.int32) for array in (IDS, MASK, SEGMENTS))
        seen = attention_masks.visible_positions(pattern, mask, segments)
        outputs = []
        for asked in (None, tf.constant(positions), modeling.FIRST_TOKEN):
            with tf.variable_scope(tf.get_variable_scope(), reuse=tf.AUTO_REUSE):
                model = modeling.AlbertModel(
                    config,
                    input_ids=ids,
                    input_mask=mask,
                    token_type_ids=segments,
                    scope="bert",
                    attention_mask=seen,
                    output_positions=asked,
                    **ways,
                )
            outputs.append(model.get_sequence_output())
        session.run(tf.global_variables_initializer())
        weights = with_noise(session, tf.global_variables())
        whole, some, first = session.run(outputs)
        seen = session.run(seen)
    expected, _ = numpy_encoder.outputs(weights, IDS, seen, SEGMENTS, 2, 2, is_pre_norm=False)
    np.testing.assert_allclose(whole[MASK > 0], expected[MASK > 0], atol=2e-5)
    at_positions = np.stack([expected[row, positions[row]] for row in range(2)])
    np.testing.assert_allclose(some, at_positions, atol=2e-5)
    np.testing.assert_allclose(first[:, 0], expected[:, 0], atol=2e-5)


def with_noise(session, variables):
    """Gives variables random values; returns them, {name: value}."""
    generator = np.random.RandomState(1)
    values = {}
    for variable in variables:
        noise = 0.3 * generator.standard_normal(variable.shape.as_list())
        values[variable] = (noise + variable.op.name.endswith("gamma")).astype(np.float32)
    variable_values.assign(session, values)
    return {variable.op.name: array for variable, array in values.items()}
