"""Relative positions, compared with NEZHA's golden values and with the formulas."""

import numpy as np
import pytest
import tensorflow.compat.v1 as tf

from albert_zh.common.errors import UserError
from albert_zh.model import modeling, structured_initialization
from albert_zh.model.attention import attention_scores
from albert_zh.model.checkpoints import (
    checkpoint_matching,
    checkpoint_names,
    checkpoint_values,
    expected_variables,
)
from albert_zh.model.relative_positions import (
    RelativePositions,
    relative_positions_of,
    relative_table,
)
import golden_cases
import variable_values

CASES = [name for name in golden_cases.case_names("nezha") if name.startswith("nezha_")]


@pytest.mark.parametrize("width", [6, 64, 312])
def test_table_has_the_sines_and_cosines_of_its_rows(width):
    rows = np.arange(2 * 64 + 1, dtype=np.float64)[:, None]  # distance -64 is row 0
    angles = rows / 10000 ** (np.arange(0, width, 2) / width)
    table = relative_table(width, 64)
    np.testing.assert_allclose(table[:, 0::2], np.sin(angles), atol=1e-6)
    np.testing.assert_allclose(table[:, 1::2], np.cos(angles), atol=1e-6)


def test_odd_width_ends_in_a_column_of_zeros():
    table = relative_table(5, 64)
    assert table.shape == (129, 5)
    assert not table[:, 4].any() and table[:, 3].all()
    np.testing.assert_allclose(table[10, 2], np.sin(10 / 10000 ** (2 / 5)), atol=1e-6)


@pytest.mark.reference
@pytest.mark.parametrize(
    "name, ways",
    [
        pytest.param(name, ways, marks=[pytest.mark.slow] * ("plain" in ways or ways == {}))
        for name in CASES
        for ways in ({}, {"plain": True}, {"is_training": True}, {"leaves_out": True})
    ],
)
def test_outputs_losses_and_gradients_equal_the_originals(name, ways):
    golden_cases.check_case(name, "nezha", **ways)


@pytest.mark.parametrize("name", CASES)
def test_weights_of_attention_equal_the_originals(name):
    config, _, arrays, values = golden_cases.load_case(name, "nezha")
    given = [arrays.get("in/" + key) for key in ("input_ids", "input_mask", "segment_ids")]
    with tf.Graph().as_default(), tf.Session() as session:
        inputs = [None if array is None else tf.constant(array) for array in given]
        model = modeling.AlbertModel(config, False, *inputs, keeps_attention=True)
        session.run(tf.global_variables_initializer())
        known = {variable: values[variable.op.name] for variable in tf.trainable_variables()}
        variable_values.assign(session, known)
        relative = relative_positions_of(config)
        mask = 1 if given[1] is None else given[1][:, None, None, :]
        weights = [
            tf.nn.softmax(attention_scores(query, key, relative) - 10000.0 * (1 - mask))
            for query, key, _ in model.get_attention_inputs()
        ]
        for number, found in enumerate(session.run(weights)):
            expected = arrays.get("out/attention_probs_%d" % number)
            if expected is not None:
                golden_cases.assert_close(found, expected, name)


@pytest.mark.parametrize(
    "length, max_distance", [(1, 4), (4, 4), (5, 4), (6, 4), (17, 4), (12, 64)]
)
@pytest.mark.parametrize("is_static", [True, False])
def test_scores_and_context_are_those_of_the_formulas(length, max_distance, is_static):
    rng = np.random.RandomState(1)
    query = rng.standard_normal([2, 3, length, 6]).astype(np.float32)
    weights = rng.standard_normal([2, 3, length, length]).astype(np.float32)
    steps = np.arange(length)[None, :] - np.arange(length)[:, None]
    rows = np.clip(steps, -max_distance, max_distance) + max_distance
    vectors = relative_table(6, max_distance)[rows]  # [F, F, D]
    positions = RelativePositions(6, max_distance)
    with tf.Graph().as_default(), tf.Session() as session:
        inputs = [tf.constant(array) for array in (query, weights)]
        feed = {}
        if not is_static:
            inputs = [tf.placeholder(tf.float32, [None, 3, None, size]) for size in (6, None)]
            feed = dict(zip(inputs, (query, weights)))
        scores = positions.scores(inputs[0], tf.shape(inputs[0])[2] if feed else length)
        scores, context = session.run([scores, positions.context(inputs[1])], feed)
    np.testing.assert_allclose(scores, np.einsum("bnid,ijd->bnij", query, vectors), atol=1e-5)
    np.testing.assert_allclose(context, np.einsum("bnij,ijd->bnid", weights, vectors), atol=1e-5)


def small_config(**changes):
    settings = {
        "vocab_size": 50,
        "hidden_size": 12,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
        "intermediate_size": 24,
        "max_position_embeddings": 8,
        "type_vocab_size": 2,
        "use_relative_position": True,
        "max_relative_position": 5,
    }
    return modeling.AlbertConfig.from_dict(dict(settings, **changes))


@pytest.mark.parametrize("positions", [modeling.FIRST_TOKEN, [[0, 19, 7, 7], [0, 1, 2, 12]]])
def test_given_positions_have_the_full_output_s_rows(positions):
    array = np.random.RandomState(2).randint(1, 50, [2, 20]).astype(np.int32)
    with tf.Graph().as_default(), tf.Session() as session:
        tf.set_random_seed(3)
        ids = tf.constant(array)
        given = positions if positions is modeling.FIRST_TOKEN else tf.constant(positions)
        with tf.variable_scope(tf.get_variable_scope(), reuse=tf.AUTO_REUSE):
            outputs = [
                modeling.AlbertModel(
                    small_config(), False, ids, scope="bert", output_positions=chosen
                )
                for chosen in (None, given)
            ]
        session.run(tf.global_variables_initializer())
        full, some = session.run([output.get_sequence_output() for output in outputs])
    wanted = [[0]] * 2 if positions is modeling.FIRST_TOKEN else positions
    expected = np.stack([row[index] for row, index in zip(full, wanted)])
    np.testing.assert_allclose(some, expected, atol=1e-6)


@pytest.mark.parametrize("of_checkpoint", [True, False])
def test_absolute_and_relative_positions_are_told_apart(tmp_path, of_checkpoint):
    there, here = (
        expected_variables.expected_shapes(small_config(use_relative_position=is_relative))
        for is_relative in (of_checkpoint, not of_checkpoint)
    )
    prefix = str(tmp_path / "model.ckpt")
    arrays = {name: np.zeros(shape, np.float32) for name, shape in there.items()}
    checkpoint_values.write_checkpoint(prefix, arrays)
    layouts = {True: "nezha", False: "bert"}
    assert checkpoint_names.layout_of(there) == layouts[of_checkpoint]
    with pytest.raises(UserError) as error:
        checkpoint_matching.assign(here, prefix)
    message = str(error.value)
    assert "position_embeddings" in message and "use the config that came with" in message


def test_structured_start_values_are_refused():
    config = small_config()
    shapes = expected_variables.expected_shapes(config)
    with pytest.raises(UserError, match="--warm_start.*use_relative_position"):
        structured_initialization.start_values(config, shapes, np.ones(50), seed=1)


@pytest.mark.parametrize(
    "changes",
    [{}, {"embedding_size": 6}, {"embedding_size": 6, "num_hidden_groups": 1}],
    ids=["nezha", "brightmart", "google"],
)
def test_any_layout_takes_them_and_has_no_position_table(changes):
    with tf.Graph().as_default():
        ids = tf.zeros([1, 30], tf.int32)  # more than max_position_embeddings
        model = modeling.AlbertModel(small_config(**changes), False, ids)
        names = [variable.op.name for variable in tf.trainable_variables()]
        assert not any("position" in name for name in names)
        assert model.get_sequence_output().shape == [1, 30, 12]
    layout = small_config(**changes).layout
    assert layout == {0: "nezha", 1: "brightmart", 2: "google"}[len(changes)]
