"""Span boundaries, compared with NumPy's numbers, and the choice of words that have them."""

import json
import os

import numpy as np
import pytest
import tensorflow.compat.v1 as tf

from albert_zh.model.config import AlbertConfig
from albert_zh.model.layers import gather_positions
from albert_zh.pretraining.objectives import span_boundary
from crossed_cases import with_slow
import golden_cases
from pretraining_steps import trained

CASES = golden_cases.case_names("sbo")


def features_with(positions, lengths, segments=None, width=16):
    """Returns features; `positions` are lists per row, `segments` lengths of B with its [SEP]."""
    most = max(map(len, positions))
    rows = np.zeros([len(positions), most], np.int32)
    weights = np.zeros([len(positions), most], np.float32)
    for row, chosen in enumerate(positions):
        rows[row, : len(chosen)], weights[row, : len(chosen)] = chosen, 1
    place = np.arange(width)
    mask = (place < np.array(lengths)[:, None]).astype(np.int32)
    behind = np.array(lengths)[:, None] - np.array(segments or [0] * len(lengths))[:, None]
    arrays = {
        "masked_lm_positions": rows,
        "masked_lm_weights": weights,
        "input_mask": mask,
        "segment_ids": mask * (place >= behind).astype(np.int32),
    }
    return {name: tf.constant(array) for name, array in arrays.items()}


def targets(*arguments, **settings):
    with tf.Graph().as_default(), tf.Session() as session:
        return session.run(span_boundary.targets_of(features_with(*arguments, **settings)))


def test_runs_of_positions_are_spans():
    found = targets([[3, 4, 5, 8, 10, 11], [2, 6]], [16, 9])
    assert found.left.tolist() == [[2, 2, 2, 7, 9, 9], [1, 5, 0, 0, 0, 0]]
    assert found.right.tolist() == [[6, 6, 6, 9, 12, 12], [3, 7, 0, 0, 0, 0]]
    assert found.index.tolist() == [[0, 1, 2, 0, 0, 1], [0, 0, 0, 0, 0, 0]]
    assert found.weights.tolist() == [[1] * 6, [1, 1, 0, 0, 0, 0]]


@pytest.mark.parametrize(
    "positions, length, of_b, is_used",
    [
        ([1], 10, 0, False),  # after [CLS]
        ([2], 10, 0, True),
        ([8], 10, 0, False),  # before [SEP]
        ([7], 10, 0, True),
        ([3], 10, 5, False),  # before the first [SEP], at 4
        ([5], 10, 5, False),  # after it
        ([6], 10, 5, True),
    ],
)
def test_spans_beside_special_pieces_are_left_out(positions, length, of_b, is_used):
    found = targets([positions], [length], [of_b])
    assert found.weights.tolist() == [[float(is_used)]]


def test_spans_beside_a_sep_within_a_segment_are_left_out():
    """Rows of full sentences contain several texts in one segment."""
    sep, width = 3, 16
    ids = np.full([1, width], 9, np.int32)
    ids[0, [0, 6, 12]] = [2, sep, sep]
    with tf.Graph().as_default(), tf.Session() as session:
        features = features_with([[3, 5, 7, 9]], [13], width=width)
        features["input_ids"] = tf.constant(ids)
        found = session.run(span_boundary.targets_of(features))
    assert found.weights.tolist() == [[1.0, 0.0, 0.0, 1.0]]


def test_words_far_inside_of_a_span_are_left_out():
    found = targets([list(range(2, 27))], [40], width=40)
    assert found.weights[0].tolist() == [1.0] * 20 + [0.0] * 5


@pytest.mark.parametrize("name", CASES)
def test_losses_and_gradients_equal_those_by_numpy(name):
    folder = golden_cases.folder("sbo")
    with open(os.path.join(folder, name + ".json")) as handle:
        description = json.load(handle)
    arrays = dict(np.load(os.path.join(folder, name + ".npz")))
    shapes = dict(description["variables"])
    table_shape = [100, description["output_width"]]
    config = AlbertConfig(
        100,
        hidden_size=description["hidden"],
        num_attention_heads=4,
        embedding_size=description["output_width"],
        hidden_act={"tanh": "gelu", "erf": "gelu_erf"}[description["gelu"]],
    )
    inputs = {key[3:]: value for key, value in arrays.items() if key.startswith("in/")}
    with tf.Graph().as_default(), tf.Session() as session:
        tensors = {key: tf.constant(value) for key, value in inputs.items()}
        sequence = tf.cast(tensors["sequence_output"], tf.float32)
        with tf.variable_scope("bert/embeddings"):
            table = tf.get_variable("word_embeddings", table_shape)
        of_case = span_boundary.Targets(
            tensors["left_boundary"],
            tensors["right_boundary"],
            tensors["relative_index"],
            tf.cast(tensors["masked_lm_weights"], tf.float32),
        )
        words = span_boundary.boundary_output(
            config,
            gather_positions(sequence, of_case.left),
            gather_positions(sequence, of_case.right),
            of_case,
            table,
            tensors["masked_lm_ids"],
        )
        shapes["bert/embeddings/word_embeddings"] = table_shape
        golden_cases.set_variables(
            session,
            {key: golden_cases.rule_value(key, shape, True) for key, shape in shapes.items()},
        )
        summed, mean, losses, log_probs = session.run(
            [words.weighted_loss, words.loss, words.per_example_loss, words.log_probs]
        )
        expected = arrays["out/example_loss"]
        golden_cases.assert_close(losses.reshape(expected.shape), expected)
        golden_cases.assert_close(summed, arrays["out/summed_loss"])
        golden_cases.assert_close(mean, arrays["out/mean_loss"])
        golden_cases.assert_close(
            log_probs.reshape(arrays["out/log_probs"].shape), arrays["out/log_probs"]
        )
        variables = {v.op.name: v for v in tf.trainable_variables()}
        for known in description["gradients_of_summed_loss"]:
            variable = variables[span_boundary.SCOPE + "/" + known["variable"]]
            gradient = session.run(
                tf.convert_to_tensor(tf.gradients(words.weighted_loss, variable)[0])
            )
            assert gradient[tuple(known["index"])] == pytest.approx(known["gradient"], abs=2e-3)


def test_the_case_of_a_record_has_the_boundaries_of_its_positions():
    """The positions alone give the boundaries with which the numbers were computed."""
    name = CASES[0]
    arrays = dict(np.load(os.path.join(golden_cases.folder("sbo"), name + ".npz")))
    features = {
        key: arrays["in/" + key]
        for key in ("input_mask", "masked_lm_positions", "masked_lm_weights")
    }
    features["segment_ids"] = np.zeros_like(features["input_mask"])
    with tf.Graph().as_default(), tf.Session() as session:
        tensors = {key: tf.constant(value) for key, value in features.items()}
        found = session.run(span_boundary.targets_of(tensors))
    used = found.weights > 0
    assert used.any()
    for field, key in (
        ("left", "left_boundary"),
        ("right", "right_boundary"),
        ("index", "relative_index"),
    ):
        np.testing.assert_array_equal(getattr(found, field)[used], arrays["in/" + key][used])


@pytest.mark.reference
@pytest.mark.newest
@pytest.mark.parametrize("is_plain", with_slow([True, False], [False]))
def test_a_model_learns_it_beside_masked_words(is_plain):
    losses, values = trained(8, span_boundary_weight=1.0, sentence_task=False, plain=is_plain)
    assert losses[0] == pytest.approx(2 * np.log(40), rel=0.2)
    assert losses[-1] < losses[0]
    assert "cls/span_boundary/position_embeddings" in values
    assert not [name for name in values if "seq_relationship" in name]
