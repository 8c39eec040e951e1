"""Reads golden values of the original program and builds graphs to compare with them."""

import json
import os
import zlib

import numpy as np
import tensorflow.compat.v1 as tf

from albert_zh.model import modeling
from project_root import ROOT
import variable_values

BUNDLED = os.path.join(ROOT, "tests", "golden", "model")


OF_ALL_TOKENS = ("sequence_output", "layer_")
NOT_COMPARED = ("out/attention_probs", "out/relative_")  # internals of a layer


def folder(kind):
    """The folder of the developers' full set of cases if it exists, else of the bundled cases."""
    developers = os.path.join(ROOT, "..", "shared", "golden", kind)
    return developers if os.path.isdir(developers) else os.path.join(ROOT, "tests", "golden", kind)


def case_names(kind="model"):
    """Names of all cases of a kind."""
    return sorted(name[:-5] for name in os.listdir(folder(kind)) if name.endswith(".json"))


def load_case(name, kind="model"):
    """A model case.

    Returns:
        (config, description dict, arrays dict, values {variable name: array}).
    """
    with open(os.path.join(folder(kind), name + ".json")) as handle:
        description = json.load(handle)
    arrays = dict(np.load(os.path.join(folder(kind), name + ".npz")))
    arrays = {key.replace("/nsp_", "/sop_"): array for key, array in arrays.items()}
    if name.endswith("_nomask"):
        del arrays["in/input_mask"], arrays["in/segment_ids"]
    settings = {key: value for key, value in description["config"].items() if key[0] != "_"}
    if name.startswith("google_fast"):
        settings["ffn_groups"] = 16
    is_small = settings["vocab_size"] == 100
    values = {
        variable: arrays.get("var/" + variable, rule_value(variable, shape, is_small))
        for variable, shape in description["variables"].items()
    }
    return modeling.AlbertConfig.from_dict(settings), description, arrays, values


def rule_value(name, shape, is_small):
    """The value that the README of the golden values prescribes for a variable."""
    noise = np.random.RandomState(zlib.crc32(name.encode())).standard_normal(shape)
    noise = noise.astype(np.float32)
    if name.endswith("gamma"):
        return 1 + np.float32(0.1) * noise
    scale = {True: (0.1, 0.15), False: (0.02, 0.05)}[is_small][len(shape) >= 2]
    return np.float32(scale) * noise


def build(config, arrays, is_training=False, leaves_out=False, **ways):
    """Builds the model for a case's inputs, with every head for which the case has values.

    Args:
        config: `AlbertConfig`.
        arrays: the case's arrays.
        is_training: bool.
        leaves_out: bool; whether the last layer computes only what the heads need, and the logits
            of all words are computed in parts.
        **ways: arguments of `AlbertModel` that must not change any value.

    Returns:
        {name as in the case's `out/`: tensor}.
    """
    inputs = {key[3:]: tf.constant(value) for key, value in arrays.items() if key[:3] == "in/"}
    masked_positions = inputs.get("masked_lm_positions")
    if leaves_out:
        is_pretraining = masked_positions is not None
        ways["output_positions"] = (
            tf.pad(masked_positions, [[0, 0], [1, 0]]) if is_pretraining else modeling.FIRST_TOKEN
        )
        masked_positions = None
    model = modeling.AlbertModel(
        config,
        is_training,
        inputs["input_ids"],
        inputs.get("input_mask"),
        inputs.get("segment_ids"),
        **ways,
    )
    tensors = {
        "word_embedding_output": model.get_word_embedding_output(),
        "embedding_output": model.get_embedding_output(),
        "sequence_output": model.get_sequence_output(),
        "pooled_output": model.get_pooled_output(),
    }
    for index, layer in enumerate(model.get_all_encoder_layers()):
        tensors["layer_%d" % index] = layer
    if "out/mlm_loss" in arrays:
        parts = 3 if leaves_out else 1
        tensors.update(_pretraining_heads(config, model, masked_positions, inputs, parts))
    elif "out/probabilities" in arrays:
        head = modeling.classification_head(
            config, model.get_pooled_output(), inputs["label_ids"], 2, is_training
        )
        tensors.update(head._asdict(), total_loss=head.loss)
        tensors["predictions"] = tf.argmax(head.logits, axis=-1)
    else:
        tensors["total_loss"] = tf.reduce_sum(model.get_pooled_output())
    return tensors


def _pretraining_heads(config, model, masked_positions, inputs, parts):
    masked = modeling.masked_lm_head(
        config,
        model,
        masked_positions,
        inputs["masked_lm_ids"],
        inputs["masked_lm_weights"],
        parts,
    )
    order = modeling.sentence_order_head(
        config, model.get_pooled_output(), inputs["next_sentence_labels"]
    )
    return {
        "mlm_loss": masked.loss,
        "mlm_example_loss": masked.per_example_loss,
        "mlm_log_probs": masked.log_probs,
        "sop_loss": order.loss,
        "sop_example_loss": order.per_example_loss,
        "sop_log_probs": order.log_probs,
        "total_loss": masked.loss + order.loss,
    }


def check_case(name, kind="model", **ways):
    """Asserts that a case's outputs, losses and gradients equal those of the original.

    Args:
        name, kind: the case.
        **ways: arguments of `build`.
    """
    config, description, arrays, values = load_case(name, kind)
    with tf.Graph().as_default(), tf.Session() as session:
        tensors = build(config, arrays, **ways)
        assert [v.op.name for v in tf.trainable_variables()] == description["trainable_order"]
        set_variables(session, values)
        expected = {
            key[4:]: array
            for key, array in arrays.items()
            if key.startswith("out/") and not key.startswith(NOT_COMPARED)
        }
        if "leaves_out" in ways:
            assert tensors["sequence_output"].shape[1] < arrays["in/input_ids"].shape[1]
            expected = {k: v for k, v in expected.items() if not k.startswith(OF_ALL_TOKENS)}
        actual = session.run({key: tensors[key] for key in expected})
        for key, array in expected.items():
            assert_close(actual[key], array, key)
        _check_gradients(session, tensors["total_loss"], arrays)


def _check_gradients(session, loss, arrays):
    expected = {key[5:]: array for key, array in arrays.items() if key.startswith("grad/")}
    variables = {v.op.name: v for v in tf.trainable_variables()}
    names = sorted(expected)
    gradients = tf.gradients(loss, [variables[name] for name in names])
    actual = session.run([tf.convert_to_tensor(gradient) for gradient in gradients])
    for name, value in zip(names, actual):
        assert_close(value, expected[name], "gradient of " + name)


def set_variables(session, values):
    """Assigns {name: array} to all trainable variables of the graph; their names must match."""
    variables = {variable.op.name: variable for variable in tf.trainable_variables()}
    assert set(variables) == set(values)
    session.run(tf.global_variables_initializer())
    variable_values.assign(session, {variables[name]: values[name] for name in variables})


def assert_close(actual, expected, name=""):
    """Asserts for each value an absolute error of at most 1e-5, or a relative one above 1."""
    excess = np.abs(np.asarray(actual) - expected) / np.maximum(1.0, np.abs(expected))
    assert np.max(excess) <= 1e-5, "%s: off by %g" % (name, np.max(excess))
