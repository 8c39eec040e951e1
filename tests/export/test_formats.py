"""Exported files: every layout in every format gives the checkpoint's outputs, or is discarded."""

import copy
import functools
import glob
import itertools
import json
import os
import random
import re
import shutil
import signal
import subprocess
import sys
import time
import types
import zipfile

import numpy as np
import pytest
import tensorflow.compat.v1 as tf

from albert_zh.commands import export_model, freeze_graph
from albert_zh.common import errors, files, package_files
from albert_zh.common.errors import UserError
from albert_zh.export import channel_ranges, comparison_texts, exported_model, to_onnx, to_tflite
from albert_zh.export import common as export_common
from albert_zh.export import comparison as export_comparison
from albert_zh.inference import predictor
from albert_zh.model import activations, channel_scales, graph_inputs, inference_graph
from albert_zh.model.checkpoints import (
    checkpoint_files,
    checkpoint_values,
    model_folder,
    model_writer,
)
from albert_zh.tasks import registry
from albert_zh.text import encoding, tokenization
from crossed_cases import with_slow
import interpreters
import sentencepiece_models
import small_models
from workspace import CHARACTERS, ROOT, VOCABULARY, Workspace, run_here

IS_TF1 = tf.__version__.startswith("1.")
LABELS = ("体育", "财经", "娱乐")
LAYOUTS = {
    "brightmart": {},
    "brightmart, pre-LN": {"ln_type": "preln"},
    "google": {"num_hidden_groups": 1, "inner_group_num": 1},
    "google_fast": {"num_hidden_groups": 2, "inner_group_num": 1, "ffn_groups": 4},
    "bert": {"embedding_size": None},
}
OF_ONNX = with_slow(  # (layout, value of --quantize)
    list(itertools.product(sorted(LAYOUTS), ["none", "int8"])),
    [("brightmart", "int8"), ("google_fast", "none")],
)
# Largest mean difference of probabilities; quantization errors are larger for random weights.
QUANTIZED = {"none": 1e-5, "float16": 1e-3, "dynamic": 0.05, "int8": 0.05}
# The labels of a model with random weights change more easily than those of a trained model.
ANY_QUALITY = ["--min_equal_labels=0", "--tolerance=9"]
needs_tf2 = pytest.mark.skipif(IS_TF1, reason="TFLite files are made by TensorFlow 2")


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    """{layout: model folder with every head}."""
    root = tmp_path_factory.mktemp("layouts")
    return {
        name: small_models.write_model(root / str(number), labels=LABELS, **config)
        for number, (name, config) in enumerate(sorted(LAYOUTS.items()))
    }


@pytest.fixture(scope="module")
def texts_file(tmp_path_factory):
    path = tmp_path_factory.mktemp("texts") / "texts.txt"
    generator = random.Random(3)
    characters = CHARACTERS + "？，。ab1蛇"

    def text():
        return "".join(generator.choice(characters) for _ in range(generator.randint(5, 25)))

    rows = ["%s\t%s" % (text(), text()) for _ in range(60)]
    path.write_text("\n".join(rows) + "\n", encoding="utf-8")
    return str(path)


def export(folder, *arguments):
    """Runs the command in this process."""
    small_models.run_command(export_model, ["--model_dir=" + folder] + list(arguments))


def export_integers(folder, path, texts_file, *arguments):
    """Exports an int8 .tflite file of any quality."""
    arguments = ["--format=tflite", "--quantize=int8", "--output=" + path, *arguments]
    export(folder, *arguments, "--representative_texts=" + texts_file, *ANY_QUALITY)


def skip_unless_possible(form):
    """Skips the test if this TensorFlow or the installed packages cannot write a format."""
    if form == "tflite" and IS_TF1:
        pytest.skip("TFLite files are made by TensorFlow 2")
    for name in to_onnx.MODULES if form == "onnx" else ():
        pytest.importorskip(name, reason="needs requirements-export.txt")
    for name in ("torch", "transformers") if form == "sentence_transformers" else ():
        pytest.importorskip(name, reason="needs requirements-convert.txt")


def some_texts():
    generator = random.Random(4)

    def text():
        return "".join(generator.choice(CHARACTERS) for _ in range(generator.randint(0, 60)))

    return [(text(), text()) if generator.random() < 0.5 else text() for _ in range(30)]


@functools.lru_cache(maxsize=None)
def predicted_of(folder):
    """Returns the checkpoint's predictions for `some_texts()`; cached, as folders do not change."""
    with predictor.Predictor(folder) as model:
        return model.predict(some_texts())[1]


def assert_predicts_alike(path, folder, tolerance):
    expected = predicted_of(folder)
    with predictor.Predictor(path) as model:
        assert model.labels == list(LABELS)
        actual = model.predict(some_texts())[1]
    assert expected.std() > 0.1  # otherwise the comparison means nothing
    assert actual.shape == expected.shape
    assert np.abs(actual - expected).mean() <= tolerance
    assert np.abs(actual - expected).max() <= 10 * tolerance


# Formats


@pytest.mark.parametrize("layout", with_slow(sorted(LAYOUTS), ["bert"]))
def test_frozen_graph(layout, folders, tmp_path):
    path = str(tmp_path / "model.pb")
    export(folders[layout], "--format=frozen", "--output=" + path)
    graph_def = tf.GraphDef()
    with open(path, "rb") as handle:
        graph_def.ParseFromString(handle.read())
    operations = {node.op for node in graph_def.node}
    assert not operations & {"VariableV2", "VarHandleOp", "IteratorGetNext", "RestoreV2"}
    with predictor.Predictor(folders[layout]) as model:
        expected = model.predict(["今天天气"])[1]
    ids = [[VOCABULARY.index(token) for token in ["[CLS]"] + list("今天天气") + ["[SEP]"]]]
    with tf.Graph().as_default(), tf.Session() as session:
        tf.import_graph_def(graph_def, name="")
        feeds = {"input_ids:0": ids, "input_mask:0": [[1] * 6], "segment_ids:0": [[0] * 6]}
        actual, logits = session.run(["probabilities:0", "logits:0"], feeds)
        np.testing.assert_allclose(actual, expected, atol=1e-6)
        assert logits.argmax() == expected.argmax()
    assert json.loads((tmp_path / "label_map.json").read_text(encoding="utf-8"))["财经"] == 1


@pytest.mark.slow
@pytest.mark.parametrize("layout", sorted(LAYOUTS))
def test_saved_model(layout, folders, tmp_path):
    path = str(tmp_path / "serving")
    export(folders[layout], "--format=saved_model", "--output=" + path)
    assert os.listdir(path) == ["1"]
    assert_predicts_alike(path, folders[layout], 1e-6)


@pytest.mark.slow
@needs_tf2
def test_saved_model_in_tensorflow_2(folders, tmp_path):
    import tensorflow as tf2

    path = str(tmp_path / "serving")
    for _ in range(2):  # the second export replaces the first
        export(folders["google"], "--format=saved_model", "--output=" + path)
    assert os.listdir(path) == ["1"]
    with tf2.init_scope():
        model = tf2.saved_model.load(os.path.join(path, "1"))
        row = tf2.constant([[2, 5, 6, 3]])
        inputs = {"input_ids": row, "input_mask": row * 0 + 1, "segment_ids": row * 0}
        result = model.signatures["classify"](**inputs)
        hidden = model.signatures["encode"](**inputs)
        words = model.signatures["predict_masked"](masked_lm_positions=row[:, :1], **inputs)
    best = LABELS[int(np.argmax(result["probabilities"]))]
    assert result["labels"].numpy()[0].decode("utf-8") == best
    assert hidden["sequence_output"].shape == (1, 4, 16) and hidden["pooled_output"].shape == (
        1,
        16,
    )
    log_probs = words["masked_lm_log_probs"].numpy()
    assert log_probs.shape == (1, 1, len(VOCABULARY))
    np.testing.assert_allclose(np.exp(log_probs).sum(), 1.0, atol=1e-5)
    assert set(model.signatures) >= {"classify", "encode", "predict_masked", "serving_default"}


@needs_tf2
@pytest.mark.parametrize(
    "layout, quantize",
    with_slow(
        list(itertools.product(sorted(LAYOUTS), QUANTIZED)),
        [("brightmart", "int8"), ("google_fast", "none")],
    ),
)
def test_tflite(layout, quantize, folders, texts_file, tmp_path, recwarn):
    # Fixed and dynamic lengths alternate, so that each layout and each quantization has both.
    is_fixed = (sorted(LAYOUTS).index(layout) + list(QUANTIZED).index(quantize) // 2) % 2
    path = str(tmp_path / "model.tflite")
    export(
        folders[layout],
        "--format=tflite",
        "--output=" + path,
        "--quantize=" + quantize,
        "--seq_length=%s" % (48 if is_fixed else "dynamic"),
        "--representative_texts=" + texts_file,
        *ANY_QUALITY,
    )
    assert not [w for w in recwarn if "Statistics for quantized inputs" in str(w.message)]
    assert_predicts_alike(path, folders[layout], QUANTIZED[quantize])
    interpreter = interpreters.plain(path)
    names = [info["name"] for info in interpreter.get_input_details()]
    assert names == ["ids", "mask", "segment_ids"]
    length = 48 if is_fixed else -1
    for info in interpreter.get_input_details():
        assert list(info["shape_signature"]) == [1, length] and info["dtype"] == np.int32
    operators = [op["op_name"] for op in interpreter._get_ops_details()]
    assert not any(name.startswith(("Flex", "CUSTOM")) for name in operators)
    assert operators.count("GELU") == 2  # one per layer, not the eight of its formula
    if quantize == "int8":
        assert_products_are_integer(interpreter, layout)


@needs_tf2
def test_shared_kernels_are_in_the_file_once(folders, tmp_path):
    path = str(tmp_path / "model.tflite")
    export(folders["brightmart"], "--format=tflite", "--seq_length=48", "--output=" + path)
    assert num_kernel_values(path) == num_kernel_values_of_checkpoint(folders["brightmart"])


@needs_tf2
def test_shared_kernels_are_in_the_old_commands_file_once(folders, tmp_path):
    frozen, path = str(tmp_path / "model.pb"), str(tmp_path / "model.tflite")
    freeze(os.path.join(folders["brightmart"], "albert_model.ckpt"), frozen, "probabilities")
    names = list(graph_inputs.ENCODER_INPUTS)
    shapes = dict(zip(names, ([1, 48], [1, 48], [48])))
    converter = tf.lite.TFLiteConverter.from_frozen_graph(frozen, names, ["probabilities"], shapes)
    (tmp_path / "model.tflite").write_bytes(converter.convert())
    assert num_kernel_values(path) == num_kernel_values_of_checkpoint(folders["brightmart"])


def num_kernel_values(path):
    """Returns the number of values in the kernels of a .tflite file."""
    from tensorflow.lite.tools import flatbuffer_utils

    file = flatbuffer_utils.read_model(path)
    graph = file.subgraphs[0]
    products = [op for op in graph.operators if len(op.inputs) == 3]  # input, kernel, bias
    kernels = {graph.tensors[op.inputs[1]].buffer for op in products}
    return sum(len(file.buffers[kernel].data) // 4 for kernel in kernels)


def num_kernel_values_of_checkpoint(folder):
    shapes = checkpoint_values.read_shapes(os.path.join(folder, "albert_model.ckpt"))
    names = ("kernel", "word_embeddings_2", "output_weights")
    return sum(
        np.prod(shape)
        for name, shape in shapes.items()
        if name.endswith(names) and not name.startswith("cls/")
    )


def assert_products_are_integer(interpreter, layout):
    dtypes = {info["index"]: info["dtype"] for info in interpreter.get_tensor_details()}
    operators = interpreter._get_ops_details()
    products = [op for op in operators if op["op_name"] == "FULLY_CONNECTED"]
    assert len(products) >= (7 if layout == "google_fast" else 11)
    for op in products:
        assert dtypes[op["inputs"][0]] == dtypes[op["inputs"][1]] == np.int8
    gelu = next(op for op in operators if op["op_name"] == "GELU")
    softmax = next(op for op in operators if op["op_name"] == "SOFTMAX")
    if layout != "google_fast":
        assert dtypes[gelu["inputs"][0]] == np.int8
    assert dtypes[softmax["inputs"][0]] == np.float32


def with_a_large_channel(folder, target, factor):
    """Copies a model folder and multiplies one channel of the feed-forward outputs by `factor`."""
    shutil.copytree(folder, target)
    prefix = os.path.join(target, "albert_model.ckpt")
    values = checkpoint_values.read_weights(prefix)
    kernel = values["bert/encoder/layer_shared/output/dense/kernel"]
    kernel[:, 3] *= factor
    model_writer.write_model_checkpoint(target, values)
    return target


ROW = {"input_ids": [[2, 7, 9, 3]], "input_mask": [[1] * 4], "segment_ids": [[0] * 4]}


def logits_with_scales(model, scales):
    """The logits of `ROW` and the types of the graph's operations."""
    config = copy.copy(model.config)
    config.channel_scales = scales
    with export_common.session_of(model, config=config) as (session, graph):
        feeds = {graph.inputs[name]: value for name, value in ROW.items()}
        kinds = {operation.type for operation in session.graph.get_operations()}
        return session.run(graph.outputs["logits"], feeds), kinds


@pytest.mark.parametrize("layout", with_slow(sorted(LAYOUTS), ["brightmart", "google_fast"]))
def test_scaled_channels_are_the_same_model(layout, folders):
    model = export_common.read_model(folders[layout], "classifier")
    generator = np.random.RandomState(1)
    scales = channel_scales.ChannelScales(
        attention_in=generator.uniform(5, 90, 16).astype(np.float32),  # larger than any input
        attention_out=generator.uniform(0.01, 90, 16).astype(np.float32),
        ffn_in=None if "fast" in layout else generator.uniform(5, 90, 16).astype(np.float32),
        ffn_out=generator.uniform(0.01, 90, 16).astype(np.float32),
    )
    expected, _ = logits_with_scales(model, None)
    actual, _ = logits_with_scales(model, scales)
    np.testing.assert_allclose(actual, expected, atol=1e-4)


@pytest.mark.parametrize("layout", with_slow(sorted(LAYOUTS), ["brightmart"]))
def test_an_input_scale_bounds_the_inputs(layout, folders):
    model = export_common.read_model(folders[layout], "classifier")
    expected, _ = logits_with_scales(model, None)
    small = channel_scales.ChannelScales(attention_in=np.full(16, 0.1, np.float32))
    actual, _ = logits_with_scales(model, small)
    assert np.abs(actual - expected).max() > 1e-3


@pytest.mark.parametrize(
    "layout", with_slow(sorted(set(LAYOUTS) - {"google_fast"}), ["brightmart"])
)
def test_channels_that_are_computed_apart_give_the_same_outputs(layout, folders):
    model = export_common.read_model(folders[layout], "classifier")
    found = []
    for apart in (None, np.array([1, 6])):
        scales = None if apart is None else channel_scales.ChannelScales(ffn_apart=apart)
        logits, kinds = logits_with_scales(model, scales)
        found.append(logits)
        assert ("Conv2D" in kinds) == (apart is not None)
    np.testing.assert_allclose(found[1], found[0], atol=1e-5)


def test_every_form_of_gelu_has_its_values():
    x = np.linspace(-9, 9, 1001).astype(np.float32)
    inner = np.sqrt(2 / np.pi) * (x + 0.044715 * x.astype(np.float64) ** 3)
    expected = 0.5 * x * (1 + np.tanh(inner))
    forms = [activations.gelu, activations.gelu_by_logistic, inference_graph.fusible_gelu]
    with tf.Graph().as_default(), tf.Session() as session:
        for form in forms:
            np.testing.assert_allclose(session.run(form(tf.constant(x))), expected, atol=3e-6)


@pytest.fixture(scope="module")
def large_between(folders, tmp_path_factory):
    """A model in which channel 5 between the feed-forward layers is larger than the others."""
    folder = str(tmp_path_factory.mktemp("large_between") / "model")
    shutil.copytree(folders["brightmart"], folder)
    prefix = os.path.join(folder, "albert_model.ckpt")
    values = checkpoint_values.read_weights(prefix)
    values["bert/encoder/layer_shared/intermediate/dense/kernel"][:, 5] *= 60
    values["bert/encoder/layer_shared/output/dense/kernel"][5] /= 60
    model_writer.write_model_checkpoint(folder, values)
    return folder


def of_graph(function, model, config, rows):
    """Calls a function of `channel_ranges` with a session of the model's graph."""
    with export_common.session_of(model, config=config, heads=()) as (session, graph):
        return function(session, graph.inputs, config, rows)


def with_scales(model, **scales):
    """A model's config for a graph with scales."""
    config = copy.copy(model.config)
    config.channel_scales = channel_scales.ChannelScales(**scales)
    return config


def ids_of_all_tokens():
    """A row of the encoder's inputs with 24 tokens of the vocabulary."""
    return [np.arange(5, 29)[None], np.ones([1, 24], int), np.zeros([1, 24], int)]


def test_large_channels_between_the_layers_are_found(folders, large_between):
    model = export_common.read_model(large_between, "classifier")
    rows = [ids_of_all_tokens()]
    found = of_graph(channel_ranges.input_scales, model, with_scales(model), rows)
    assert found.ffn_apart.tolist() == [5]
    for layout in ("brightmart", "google_fast"):
        model = export_common.read_model(folders[layout], "classifier")
        scales = of_graph(channel_ranges.input_scales, model, with_scales(model), rows)
        assert scales.ffn_apart is None and (scales.ffn_in is None) == (layout == "google_fast")


@pytest.mark.parametrize(
    "layout, scope",
    [
        ("brightmart", "encoder/layer_shared%s/attention/self"),
        ("bert", "encoder/layer_%d/attention/self"),
    ],
)
def test_part_of_the_inputs_size_moves_to_the_kernels(layout, scope, folders):
    model = export_common.read_model(folders[layout], "classifier")
    config, row = with_scales(model), ids_of_all_tokens()
    scale = of_graph(channel_ranges.input_scales, model, config, [row]).attention_in
    suffixes = ("", "_1") if layout == "brightmart" else range(2)
    largest, weights = np.zeros(16), np.zeros(16)
    with export_common.session_of(model, config=config, heads=()) as (session, graph):
        feeds = {graph.inputs[name]: value for name, value in zip(sorted(graph.inputs), row)}
        for suffix, name in itertools.product(suffixes, ("query", "key", "value")):
            path = "bert/%s/%s/MatMul" % (scope % suffix, name)
            inputs = session.graph.get_operation_by_name(path).inputs
            x, kernel = session.run(list(inputs), feeds)
            largest = np.maximum(largest, np.abs(x).max(axis=0))
            weights = np.maximum(weights, np.abs(kernel).max(axis=1))
    expected = largest**0.75 / weights**0.25
    np.testing.assert_allclose(scale / scale[0], expected / expected[0], rtol=1e-4)
    np.testing.assert_allclose((largest / scale).max(), 1.0, rtol=1e-5)  # nothing is cut off


def test_what_is_computed_apart_does_not_count_for_the_scale(folders):
    model = export_common.read_model(folders["brightmart"], "classifier")
    rows = [ids_of_all_tokens()]
    whole = of_graph(channel_ranges.output_scales, model, with_scales(model), rows).ffn_out
    config = with_scales(model, ffn_apart=np.arange(model.config.intermediate_size - 1))
    rest = of_graph(channel_ranges.output_scales, model, config, rows).ffn_out
    assert rest.shape == whole.shape and np.median(rest) < 0.5 * np.median(whole)


@needs_tf2
def test_a_large_channel_between_the_layers_leaves_the_others_their_precision(
    large_between, texts_file, tmp_path, monkeypatch
):
    errors, expected = [], predicted_of(large_between)
    for name in ("apart", "together"):
        if name == "together":
            monkeypatch.setattr(channel_ranges, "large_channels", lambda *_: None)
        path = str(tmp_path / (name + ".tflite"))
        export_integers(large_between, path, texts_file)
        with predictor.Predictor(path) as model:
            errors.append(np.abs(model.predict(some_texts())[1] - expected).mean())
        interpreter = interpreters.plain(path)
        dtypes = {info["index"]: info["dtype"] for info in interpreter.get_tensor_details()}
        activated = [
            (op["op_name"], dtypes[op["inputs"][0]])
            for op in interpreter._get_ops_details()
            if op["op_name"] in ("GELU", "LOGISTIC")
        ]
        apart = [("LOGISTIC", np.float32)] * 2 if name == "apart" else []
        assert sorted(activated, key=str) == [("GELU", np.int8)] * 2 + apart
    assert errors[0] < 0.5 * errors[1], errors


@pytest.mark.parametrize("layout", sorted(LAYOUTS))
def test_each_channel_of_the_outputs_has_its_scale(layout, folders):
    model = export_common.read_model(folders[layout], "classifier")
    row = [np.array([[2, 7, 9, 3]]), np.ones([1, 4], int), np.zeros([1, 4], int)]
    scales = of_graph(channel_ranges.output_scales, model, with_scales(model), [row])
    for scale in (scales.attention_out, scales.ffn_out):
        assert scale.shape == (model.config.hidden_size,) and len(set(scale)) > 1


@needs_tf2
def test_a_large_channel_leaves_the_others_their_precision(folders, texts_file, tmp_path):
    folder = with_a_large_channel(folders["brightmart"], str(tmp_path / "large"), 200)
    path = str(tmp_path / "model.tflite")
    export_integers(folder, path, texts_file)
    assert_predicts_alike(path, folder, 0.008)  # without the scale: mean 0.011, largest 0.25


@needs_tf2
def test_tflite_of_integers_alone(folders, texts_file, tmp_path):
    path = str(tmp_path / "model.tflite")
    export_integers(folders["brightmart"], path, texts_file, "--integer_only", "--seq_length=48")
    interpreter = interpreters.plain(path)
    dtypes = {info["index"]: info["dtype"] for info in interpreter.get_tensor_details()}
    for op in interpreter._get_ops_details():
        if op["op_name"] not in ("QUANTIZE", "DEQUANTIZE"):
            used = {dtypes[i] for i in list(op["inputs"]) + list(op["outputs"]) if i in dtypes}
            assert np.float32 not in used or op["op_name"] == "CAST", op["op_name"]


@pytest.mark.slow
@pytest.mark.parametrize(
    "quantize, megabytes",
    [("none", 10.2), ("float16", 5.2), ("int8", 2.75)],
)
def test_onnx_files_of_the_bundled_model_hold_its_weights_once(quantize, megabytes, tmp_path):
    skip_unless_possible("onnx")
    path = str(tmp_path / "model.onnx")
    folder = os.path.join(ROOT, "albert_starter_zh")
    export(folder, "--format=onnx", "--task=encoder", "--output=" + path, "--quantize=" + quantize)
    parameters = 2601674 - 312 * 128 - 8000 - 128 * 3 - 313 * 2  # without the pre-training heads
    smallest = parameters * {"none": 4, "float16": 2, "int8": 1}[quantize]
    assert 0.95 * smallest < os.path.getsize(path) < megabytes * 1e6


@pytest.mark.parametrize("layout, quantize", OF_ONNX)
def test_onnx(layout, quantize, folders, tmp_path):
    skip_unless_possible("onnx")
    import onnxruntime

    path = str(tmp_path / "model.onnx")
    export(folders[layout], "--format=onnx", "--output=" + path, "--quantize=" + quantize)
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    assert [i.name for i in session.get_inputs()] == ["input_ids", "input_mask", "segment_ids"]
    texts = some_texts()
    with predictor.Predictor(folders[layout]) as model:
        expected = model.predict(texts)[1]
    model = export_common.read_model(folders[layout], "classifier")
    pairs = [(text, None) if isinstance(text, str) else text for text in texts]
    rows = [exported_model.encoded(model, pair, 0, 48) for pair in pairs]
    padded = [exported_model.padded(row, 48) for row in rows]
    batch = {name: np.concatenate([row[name] for row in padded]) for name in padded[0]}
    tolerance = 1e-4 if quantize == "none" else 0.3
    np.testing.assert_allclose(session.run(None, batch)[0], expected, atol=tolerance)
    np.testing.assert_allclose(session.run(None, rows[0])[0], expected[:1], atol=tolerance)
    if quantize == "int8":  # 7 bits: with 8, sums of products overflow on CPUs without VNNI
        import onnx

        kept = [
            onnx.numpy_helper.to_array(array)
            for array in onnx.load(path).graph.initializer
            if "position_embeddings" not in array.name  # added, not multiplied
        ]
        weights = [array for array in kept if array.dtype == np.int8 and array.ndim == 2]
        assert weights and max(np.abs(array.astype(int)).max() for array in weights) in (63, 64)


@pytest.mark.slow
@pytest.mark.parametrize("task", ["classifier", "pretraining"])
@pytest.mark.parametrize("layout, quantize", OF_ONNX)
def test_weights_are_in_an_onnx_file_once(layout, task, quantize, folders, tmp_path):
    skip_unless_possible("onnx")
    import onnx

    path = str(tmp_path / "model.onnx")
    arguments = ["--format=onnx", "--task=" + task, "--quantize=" + quantize, "--output=" + path]
    export(folders[layout], *arguments + ANY_QUALITY)
    arrays = [onnx.numpy_helper.to_array(array) for array in onnx.load(path).graph.initializer]
    weights = [(a.dtype.str, a.shape, a.tobytes()) for a in arrays if a.nbytes > 100]
    assert len(weights) == len(set(weights))
    num_values = sum(array.size for array in arrays)
    if quantize == "none" and task == "classifier":
        shapes = checkpoint_values.read_shapes(os.path.join(folders[layout], "albert_model.ckpt"))
        needed = sum(np.prod(s) for name, s in shapes.items() if not name.startswith("cls/"))
        assert needed <= num_values < 1.02 * needed + 200


# Rows longer than the model's positions


def long_rows(length, num_rows=1):
    """Returns inputs of 700 ids, truncated to a length; the last 10 of the 700 are padding."""
    generator = np.random.RandomState(6)
    ids = generator.randint(5, len(VOCABULARY), [num_rows, 700]).astype(np.int32)
    mask = (np.arange(700) < 690).astype(np.int32) * np.ones_like(ids)
    segments = (np.arange(700) >= 40).astype(np.int32) * np.ones_like(ids)
    return dict(zip(("ids", "mask", "segment_ids"), (x[:, :length] for x in (ids, mask, segments))))


def outputs_of_tflite(path, row):
    interpreter = interpreters.plain(path)
    for info in interpreter.get_input_details():
        interpreter.resize_tensor_input(info["index"], row[info["name"]].shape)
    interpreter.allocate_tensors()
    for info in interpreter.get_input_details():
        interpreter.set_tensor(info["index"], row[info["name"]])
    interpreter.invoke()
    return [interpreter.get_tensor(info["index"]) for info in interpreter.get_output_details()]


def outputs_of_onnx(path, row):
    import onnxruntime

    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    return session.run(None, dict(zip(graph_inputs.ENCODER_INPUTS, row.values())))


def outputs_of_saved_model(path, row):
    with tf.Graph().as_default() as graph, tf.Session() as session:
        meta = tf.saved_model.loader.load(session, ["serve"], os.path.join(path, "1"))
        signature = meta.signature_def["serving_default"]
        names = graph_inputs.ENCODER_INPUTS
        feeds = {signature.inputs[n].name: x for n, x in zip(names, row.values())}
        outputs = [signature.outputs["probabilities"].name]
        return session.run([graph.get_tensor_by_name(name) for name in outputs], feeds)


def outputs_of_frozen(path, row):
    graph_def = tf.GraphDef.FromString(files.read_bytes(path))
    with tf.Graph().as_default(), tf.Session() as session:
        tf.import_graph_def(graph_def, name="")
        names = graph_inputs.ENCODER_INPUTS
        feeds = {name + ":0": x for name, x in zip(names, row.values())}
        return session.run(["probabilities:0"], feeds)


OUTPUTS = {
    "tflite": outputs_of_tflite,
    "onnx": outputs_of_onnx,
    "saved_model": outputs_of_saved_model,
    "frozen": outputs_of_frozen,
}


@pytest.mark.parametrize(
    "form, quantize",
    with_slow(
        list(itertools.product(sorted(OUTPUTS), ["none", "int8"])),
        [("tflite", "int8")],
    ),
)
def test_longer_rows_than_the_model_has_positions_are_cut(
    form, quantize, folders, texts_file, tmp_path
):
    skip_unless_possible(form)
    if quantize not in export_model.FORMATS[form].quantizations:
        pytest.skip("--format=%s is not quantized" % form)
    path = str(tmp_path / "exported")
    arguments = ["--format=" + form, "--seq_length=dynamic", "--quantize=" + quantize]
    arguments += ["--output=" + path, "--representative_texts=" + texts_file] + ANY_QUALITY
    export(folders["google"], *arguments)
    positions = export_common.read_model(
        folders["google"], "classifier"
    ).config.max_position_embeddings
    (expected,) = OUTPUTS[form](path, long_rows(positions))
    for length in (positions + 1, 600, 700):
        (actual,) = OUTPUTS[form](path, long_rows(length))
        assert np.isfinite(actual).all()
        np.testing.assert_allclose(actual, expected, atol=1e-6)
    (shorter,) = OUTPUTS[form](path, long_rows(positions - 1))
    assert np.abs(shorter - expected).max() > 1e-4  # otherwise the comparison means nothing


def test_masked_words_behind_the_cut_are_of_their_own_row(folders, tmp_path):
    path = str(tmp_path / "model.pb")
    export(folders["google"], "--format=frozen", "--task=pretraining", "--output=" + path)
    graph_def = tf.GraphDef.FromString(files.read_bytes(path))
    with tf.Graph().as_default(), tf.Session() as session:
        tf.import_graph_def(graph_def, name="")
        row = dict(zip(graph_inputs.ENCODER_INPUTS, long_rows(600, num_rows=2).values()))
        row["masked_lm_positions"] = np.array([[1, 63], [1, 63]], np.int32)
        last = session.run("masked_lm_log_probs:0", {k + ":0": v for k, v in row.items()})
        row["masked_lm_positions"][:, 1] = 599
        behind = session.run("masked_lm_log_probs:0", {k + ":0": v for k, v in row.items()})
    np.testing.assert_array_equal(behind, last)


# Tasks and settings


@pytest.mark.parametrize(
    "form, task",
    with_slow(
        list(itertools.product(sorted(OUTPUTS), ["pretraining", "encoder"])),
        [("frozen", "pretraining"), ("onnx", "encoder")],
    ),
)
def test_other_tasks(task, form, folders, tmp_path, capsys):
    skip_unless_possible(form)
    path = str(tmp_path / "exported")
    arguments = ["--format=" + form, "--task=" + task, "--output=" + path, "--seq_length=32"]
    export(folders["google"], *arguments)  # the command compares all outputs
    assert "difference at most" in capsys.readouterr().out
    assert os.path.exists(path)
    if form in ("tflite", "onnx"):
        model = export_common.read_model(folders["google"], task)
        examples = export_comparison.Examples(model, task, export_common.session_of, seq_length=32)
        is_onnx = form == "onnx"
        run = to_onnx._runner(path, examples) if is_onnx else to_tflite._runner(path)
        found = run(examples.rows[0])
        assert len(found) == len(examples.expected[0]) == 2
        found[0] = found[0][:, : examples.expected[0][0].shape[1]]  # without padding
        for actual, expected in zip(found, examples.expected[0]):
            np.testing.assert_allclose(actual, expected, atol=1e-4)


@needs_tf2
def test_integers_sum_over_longer_texts_than_those_of_the_calibration(tmp_path):
    settings = {"head": {"ngram_rows": 1024, "ngram_length": 3}}
    folder = small_models.write_model(tmp_path / "model", settings=settings)
    weights = checkpoint_values.read_weights(checkpoint_files.find_checkpoint(folder))
    table = np.random.RandomState(1).standard_normal([1024, 2])
    weights["ngrams/table"] = table.astype(np.float32)
    weights["ngrams/bias"] = np.zeros([2], np.float32)
    weights["output_weights"] *= 0  # only the table decides
    model_writer.write_model_checkpoint(folder, weights)
    generator = random.Random(3)

    def texts_of(count, length):
        return ["".join(generator.choices(CHARACTERS, k=length)) for _ in range(count)]

    calibrated, path = tmp_path / "texts.txt", str(tmp_path / "model.tflite")
    calibrated.write_text("\n".join(texts_of(40, 5)) + "\n", encoding="utf-8")
    export_integers(folder, path, str(calibrated))
    longer = texts_of(20, 40)
    with predictor.Predictor(folder) as model, predictor.Predictor(path) as exported:
        expected, found = (used.predict(longer)[1] for used in (model, exported))
    assert expected[:, 0].std() > 0.1
    assert np.abs(found - expected).mean() < 0.02


@needs_tf2
@pytest.mark.parametrize(
    "settings",
    [
        {"objective": "multi_label", "pooling": "mean"},
        pytest.param({"objective": "regression", "pooling": "max"}, marks=pytest.mark.slow),
    ],
)
def test_pooling_and_objective_of_the_folder_are_kept(settings, tmp_path):
    labels = LABELS if settings["objective"] == "multi_label" else ("value",)
    folder = small_models.write_model(tmp_path / "model", labels=labels, settings=settings)
    path = str(tmp_path / "exported" / "model.tflite")
    export(folder, "--format=tflite", "--seq_length=48", "--output=" + path)
    with predictor.Predictor(folder) as model, predictor.Predictor(path) as exported:
        assert exported.objective == settings["objective"]
        expected, actual = (one.predict(some_texts())[1] for one in (model, exported))
    np.testing.assert_allclose(actual, expected, atol=1e-4)


@needs_tf2
def test_metadata_are_in_the_file(folders, tmp_path):
    path = str(tmp_path / "model.tflite")
    export(
        folders["brightmart"],
        "--format=tflite",
        "--metadata",
        "--seq_length=48",
        "--output=" + path,
    )
    with zipfile.ZipFile(path) as archive:
        assert archive.read("labels.txt").decode("utf-8") == "体育\n财经\n娱乐\n"
        tokens = archive.read("vocab.txt").decode("utf-8").split("\n")
        assert tokens == VOCABULARY + [""]
        assert all(info.compress_type == zipfile.ZIP_STORED for info in archive.infolist())
    from tensorflow.lite.tools import flatbuffer_utils

    model = flatbuffer_utils.read_model(path)
    entry = next(e for e in model.metadata if e.name == b"TFLITE_METADATA")
    assert bytes(bytearray(model.buffers[entry.buffer].data))[4:8] == b"M001"


@pytest.mark.parametrize("kind", ["sequence_labelling", "reading_comprehension", "regression"])
def test_metadata_describe_no_other_model_than_a_classifier(kind):
    model = types.SimpleNamespace(folder="my_model", kind=registry.get(kind))
    options = types.SimpleNamespace(metadata=True, task="classifier")
    with pytest.raises(UserError) as caught:
        export_model._check_metadata(model, options)
    message = (
        "--metadata describes a text classifier, but my_model is a model of the kind %s: leave it "
        "out"
    )
    assert str(caught.value) == message % kind


@pytest.mark.parametrize("columns", [["text_a", "text_b", "label"], ["text_a", "label"]])
def test_metadata_of_a_model_of_pairs_are_told_to_be_of_no_use_to_mediapipe(
    tmp_path, capsys, columns
):
    folder = small_models.write_model(tmp_path / "model", settings={"columns": columns})
    model = export_common.read_model(folder, "classifier")
    options = types.SimpleNamespace(metadata=True, task="classifier")
    export_model._check_metadata(model, options)
    note = "note: MediaPipe passes a single text to the model, but this model was trained on pairs"
    assert (note in capsys.readouterr().out) == ("text_b" in columns)


@needs_tf2
def test_no_line_of_the_vocabulary_in_the_file_is_empty(tmp_path):
    """The released vocabulary has U+2028 in line 343, which counts as white space."""
    vocabulary = VOCABULARY[:7] + ["\u2028"] + VOCABULARY[7:]
    folder = small_models.write_model(tmp_path / "model", vocabulary=vocabulary)
    path = str(tmp_path / "model.tflite")
    export(folder, "--format=tflite", "--metadata", "--seq_length=48", "--output=" + path)
    with zipfile.ZipFile(path) as archive:
        tokens = archive.read("vocab.txt").decode("utf-8").split("\n")[:-1]
    assert len(tokens) == len(vocabulary) and all(tokens) and tokens[8:] == vocabulary[8:]


@pytest.mark.slow
def test_settings_of_training_go_with_a_fine_tuned_model(tmp_path):
    workspace = Workspace(tmp_path)
    run_here(workspace.arguments(num_train_epochs=1))
    best = os.path.join(workspace.output, "best")
    path = str(tmp_path / "serving")
    export(best, "--format=saved_model", "--output=" + path)
    with predictor.Predictor(best) as model, predictor.Predictor(path) as exported:
        assert exported.max_seq_length == model.max_seq_length
        pairs = [("今天", "明天"), ("好", "开门？？？")]
        np.testing.assert_allclose(exported.predict(pairs)[1], model.predict(pairs)[1], atol=1e-6)
    with pytest.raises(UserError, match="did you mean .*best"):
        export(workspace.output, "--format=frozen")
    check_freezing_a_checkpoint_of_training(workspace, tmp_path)


def check_freezing_a_checkpoint_of_training(workspace, tmp_path):
    """Its .meta file contains an iterator, and the optimizer's slots are not in the graph."""
    newest = checkpoint_files.newest_of_training(workspace.output)
    path = str(tmp_path / "frozen.pb")
    assert os.path.exists(newest + ".meta")
    freeze(newest, path, "probabilities")
    graph_def = tf.GraphDef()
    with open(path, "rb") as handle:
        graph_def.ParseFromString(handle.read())
    names = {node.name for node in graph_def.node if node.op == "Placeholder"}
    assert names == {"input_ids", "input_mask", "segment_ids"}


# Commands of the original


def freeze(prefix, path, output, *arguments):
    small_models.run_command(
        freeze_graph,
        ["--input_checkpoint=" + prefix, "--output_graph=" + path, "--output_node_names=" + output]
        + list(arguments),
    )


def test_old_commands_give_the_released_graphs_loss(shared, tmp_path):
    from golden_cases import rule_value

    with open(os.path.join(shared, "golden", "release_albert_tiny_index.json")) as handle:
        variables = json.load(handle)["variables"]
    values = {
        name: rule_value(name, about["shape"], is_small=False)
        for name, about in variables.items()
        if not checkpoint_values.is_training_state(name)
    }
    config = os.path.join(ROOT, "albert_config", "albert_config_tiny.json")
    with open(config) as source:
        (tmp_path / "albert_config_tiny.json").write_text(source.read())
    model_writer.write_model_checkpoint(str(tmp_path), values)
    prefix, frozen = str(tmp_path / "albert_model.ckpt"), str(tmp_path / "out.pb")
    freeze(
        prefix,
        frozen,
        "cls/predictions/truediv",
        "--checkpoint_version=1",
        "--input_meta_graph=" + prefix + ".meta",
        "--input_binary=true",
    )
    names = "input_ids,input_mask,segment_ids,masked_lm_positions,masked_lm_ids,masked_lm_weights"
    subprocess.check_call(
        [
            os.path.join(ROOT, "scripts", "tflite_convert"),  # takes the flags of TensorFlow 1
            "--graph_def_file=" + frozen,
            "--input_arrays=" + names,
            "--input_shapes=1,128:1,128:128:1,128:1,128:1,128",
            "--output_arrays=cls/predictions/truediv",
            "--output_file=" + str(tmp_path / "out.tflite"),
        ],
        stderr=subprocess.DEVNULL,
        env=dict(os.environ, VIRTUAL_ENV=sys.prefix),
    )
    golden = np.load(os.path.join(shared, "golden", "tflite", "released_graph_random_weights.npz"))
    interpreter = interpreters.plain(str(tmp_path / "out.tflite"))
    for info in interpreter.get_input_details():
        interpreter.set_tensor(info["index"], golden["in/" + info["name"]])
    interpreter.invoke()
    loss = interpreter.get_tensor(interpreter.get_output_details()[0]["index"])
    np.testing.assert_allclose(loss, golden["out/mlm_loss_tf1"], rtol=1e-5)


@pytest.mark.parametrize("flags, device", [([], ""), (["--clear_devices=false"], "CPU:0")])
def test_devices_of_a_meta_file_are_cleared_unless_they_are_to_stay(tmp_path, flags, device):
    prefix, frozen = str(tmp_path / "albert_model.ckpt"), str(tmp_path / "frozen.pb")
    with tf.Graph().as_default(), tf.Session() as session:
        with tf.device("/CPU:0"):
            variable = tf.get_variable("bert/weight", [2], use_resource=False)
            tf.add(variable, 1.0, name="out")
        session.run(tf.global_variables_initializer())
        tf.train.Saver().save(session, prefix)
    freeze(prefix, frozen, "out", *flags)
    graph = tf.GraphDef.FromString(files.read_bytes(frozen))
    (node,) = (node for node in graph.node if node.name == "out")
    assert node.device.endswith(device) and bool(node.device) == bool(device)


@pytest.mark.slow
def test_scripts_find_their_environment(tmp_path):
    scripts = os.path.join(ROOT, "scripts")
    environment = dict(
        os.environ,
        PATH=scripts + ":" + os.environ["PATH"],
        VIRTUAL_ENV=sys.prefix,
    )
    wrong = subprocess.run(
        ["freeze_graph", "--input_checkpoint=./albert_model.ckpt", "--output_graph=out.pb",
         "--output_node_names=x"],
        cwd=str(tmp_path),
        env=environment,
        stderr=subprocess.PIPE,
    )  # fmt: skip
    assert wrong.returncode == 2
    assert b"no checkpoint ./albert_model.ckpt" in wrong.stderr


def test_freezing_tells_what_is_wrong(folders, tmp_path):
    prefix, path = os.path.join(folders["bert"], "albert_model.ckpt"), str(tmp_path / "out.pb")
    freeze(prefix, path + "_of_two", "probabilities, logits")
    with pytest.raises(UserError, match="albert_model.ckpt.meta does not belong to the checkpoint"):
        other = os.path.join(folders["google"], "albert_model.ckpt.meta")
        freeze(prefix, path, "probabilities", "--input_meta_graph=" + other)
    with tf.Graph().as_default():
        tf.constant(1.0)
        tf.train.export_meta_graph(str(tmp_path / "constant.meta"))
    with pytest.raises(
        UserError, match="constant.meta does not belong to the checkpoint.*no variables"
    ):
        freeze(prefix, path, "logits", "--input_meta_graph=%s" % (tmp_path / "constant.meta"))
    with pytest.raises(UserError, match="no pooled_outputs; it has probabilities, logits"):
        freeze(prefix, path, "pooled_outputs")
    with pytest.raises(UserError, match="not a .meta file written by TensorFlow"):
        freeze(prefix, path, "logits", "--input_meta_graph=" + prefix + ".index")
    with pytest.raises(UserError, match="nowhere"):
        freeze(str(tmp_path / "nowhere"), path, "logits")
    assert not os.path.exists(path)


def test_a_head_without_all_its_variables_is_not_frozen(folders, tmp_path):
    weights = checkpoint_values.read_weights(os.path.join(folders["bert"], "albert_model.ckpt"))
    for number, changed in enumerate((None, np.zeros([4], np.float32))):  # missing; reshaped
        folder = str(tmp_path / str(number))
        shutil.copytree(folders["bert"], folder)
        values = dict(weights, output_bias=changed)
        if changed is None:
            del values["output_bias"]
        model_writer.write_model_checkpoint(folder, values)
        prefix, path = os.path.join(folder, "albert_model.ckpt"), str(tmp_path / "out.pb")
        os.remove(prefix + ".meta")
        with pytest.raises(UserError, match="albert_model.ckpt lacks output_bias of the config's"):
            freeze(prefix, path, "probabilities")
        assert not os.path.exists(path)


def test_without_a_folder_the_pretrained_model_at_hand_is_exported(folders, tmp_path, monkeypatch):
    folder = str(tmp_path / "models" / "pretrained")
    shutil.copytree(folders["brightmart"], folder)
    monkeypatch.setattr(package_files, "ROOT", os.path.dirname(folder))
    monkeypatch.setattr(model_folder, "PRETRAINED", ("absent", "pretrained"))
    for task in ("pretraining", "encoder"):
        small_models.run_command(export_model, ["--format=frozen", "--task=" + task])
        assert os.path.exists(os.path.join(folder, "albert_%s.pb" % task))
    with pytest.raises(UserError, match="--model_dir is required: name a fine-tuned model"):
        small_models.run_command(export_model, ["--format=frozen"])


# Errors


@pytest.mark.parametrize("form", with_slow(sorted(export_model.FORMATS), ["onnx"]))
def test_a_file_that_differs_too_much_is_not_kept(form, folders, tmp_path, monkeypatch):
    skip_unless_possible(form)
    monkeypatch.setattr(errors, "_check_numbers", lambda flags: None)  # for --tolerance=-1
    path = str(tmp_path / form)
    with pytest.raises(UserError, match="is not written: the largest difference of its outputs"):
        export(folders["google"], "--format=" + form, "--output=" + path, "--tolerance=-1")
    assert not glob.glob(str(tmp_path / form / "*")) and not os.path.isfile(path)
    assert not glob.glob(str(tmp_path / "*partial*"))


@pytest.mark.parametrize("form", with_slow(["tflite", "onnx"], ["onnx"]))
def test_a_file_that_changes_labels_is_not_kept(form, folders, texts_file, tmp_path, capsys):
    skip_unless_possible(form)
    path = str(tmp_path / "model")
    arguments = ["--format=" + form, "--quantize=int8", "--representative_texts=" + texts_file]
    arguments += ["--output=" + path, "--tolerance=9"]
    with pytest.raises(
        UserError, match="its labels are equal to the checkpoint's on .* texts, expected"
    ) as raised:
        export(folders["bert"], "--min_equal_labels=1", *arguments)
    assert not os.path.exists(path)
    accepting = re.search("accept it with (--min_equal_labels=0[.0-9]+)$", str(raised.value)).group(
        1
    )
    export(folders["bert"], accepting, *arguments)
    share = 100 * float(accepting.split("=")[1])
    assert "agreement  %.1f %% of the texts have" % share in capsys.readouterr().out
    assert os.path.exists(path)


def test_bad_input_is_explained(folders, texts_file, tmp_path):
    folder = folders["brightmart"]
    cases = {
        "--model_dir=/nowhere: no such folder": (("/nowhere",), "--format=frozen"),
        "contains no TensorFlow checkpoint": ((str(tmp_path),), "--format=frozen"),
        "--seq_length=65: expected 8 to 64": ((folder,), "--format=frozen --seq_length=65"),
        "--seq_length=long: expected a number": ((folder,), "--format=frozen --seq_length=long"),
        "--format=frozen supports only none": ((folder,), "--format=frozen --quantize=int8"),
        "--metadata requires --format=tflite": ((folder,), "--format=onnx --metadata"),
        "cannot be written": ((folder,), "--format=frozen --output=/proc/nothing/model.pb"),
        "is a folder: name a file": ((folder,), "--format=frozen --output=" + str(tmp_path)),
    }
    if not IS_TF1:
        cases["needs --representative_texts"] = ((folder,), "--format=tflite --quantize=int8")
    for message, ((model_dir,), arguments) in cases.items():
        with pytest.raises(UserError, match=message):
            export(model_dir, *arguments.split())
    assert not os.path.exists(os.path.join(folder, "albert_classifier.pb"))


@needs_tf2
def test_texts_and_letters_that_the_model_reads_otherwise_are_told(tmp_path, texts_file, capsys):
    settings = {"do_lower_case": False, "max_seq_length": 48}
    folder = small_models.write_model(tmp_path / "cased", settings=settings)
    with pytest.raises(UserError, match="cased is case-sensitive, which MediaPipe"):
        export(folder, "--format=tflite", "--metadata")
    export(folder, "--format=tflite", "--seq_length=16", "--output=%s" % (tmp_path / "a.tflite"))
    note = "trained on up to 48 tokens; texts of more than 16 (--seq_length) are cut"
    assert note in capsys.readouterr().out
    os.remove(os.path.join(folder, "vocab.txt"))
    with pytest.raises(UserError, match="--representative_texts: .*cased has no vocabulary"):
        export(folder, "--format=tflite", "--representative_texts=" + texts_file)


def test_a_folder_of_something_else_is_not_replaced(folders, tmp_path):
    (tmp_path / "data" / "1").mkdir(parents=True)
    (tmp_path / "data" / "1" / "notes.txt").write_text("x")
    with pytest.raises(UserError, match="contains files, but is not a SavedModel"):
        export(folders["bert"], "--format=saved_model", "--output=" + str(tmp_path / "data"))
    assert os.listdir(str(tmp_path / "data" / "1")) == ["notes.txt"]


def test_a_saved_model_of_another_model_is_not_replaced(folders, tmp_path):
    """As in other formats, this is refused: a server would answer with the wrong labels."""
    extra = tmp_path / "serving" / "1" / "assets.extra"
    extra.mkdir(parents=True)
    (tmp_path / "serving" / "1" / "saved_model.pb").write_bytes(b"of another")
    (extra / "label_map.json").write_text('{"好": 0, "坏": 1}', encoding="utf-8")
    with pytest.raises(
        UserError, match="assets.extra/label_map.json belongs to another model: name"
    ):
        export(folders["bert"], "--format=saved_model", "--output=%s" % (tmp_path / "serving"))
    assert (tmp_path / "serving" / "1" / "saved_model.pb").read_bytes() == b"of another"


def test_head_and_labels_must_be_there(folders, tmp_path):
    folder = folders["brightmart"]
    values = checkpoint_values.read_weights(os.path.join(folder, "albert_model.ckpt"))
    pretrained = {name: v for name, v in values.items() if not name.startswith("output_")}
    only = copy_of(folder, tmp_path / "pretrained")
    model_writer.write_model_checkpoint(only, pretrained)
    with pytest.raises(UserError, match="contains no classifier .*fine-tune it first"):
        export(only, "--format=frozen")
    only = copy_of(folder, tmp_path / "classifier")
    model_writer.write_model_checkpoint(
        only, {name: v for name, v in values.items() if not name.startswith("cls/")}
    )
    with pytest.raises(UserError, match="contains no pretraining"):
        export(only, "--format=frozen", "--task=pretraining")
    other = copy_of(folder, tmp_path / "labels")
    with open(os.path.join(other, "label_map.json"), "w") as handle:
        json.dump({"a": 0, "b": 1}, handle)
    with pytest.raises(UserError, match="has 2 labels, but the model next to it has 3"):
        export(other, "--format=frozen")
    with pytest.raises(UserError, match="label_map.json belongs to another model"):
        export(folder, "--format=frozen", "--output=" + os.path.join(other, "model.pb"))
    assert not os.path.exists(os.path.join(other, "model.pb"))


def copy_of(folder, target):
    subprocess.check_call(["cp", "-r", folder, str(target)])
    return str(target)


def test_representative_texts_leave_labels_out(tmp_path):
    rows = ["标题%d很长很长的文字\t%d" % (number, number % 3) for number in range(20)]
    numbered = ["%d\t问题%d一二三四\t答案%d一二三四\t1" % (10000 + n, n, n) for n in range(20)]
    for lines, expected in (
        (rows, [("标题0很长很长的文字", None), ("标题1很长很长的文字", None)]),
        (["%s\t%s" % tuple(reversed(row.split("\t"))) for row in rows], None),
        (["问题%d一二三四\t答案%d一二三四\t1" % (n, n) for n in range(20)], "pairs"),
        (["短", "长一点的"], [("短", None), ("长一点的", None)]),
        (numbered, "pairs"),
        (["编号\t甲\t乙\t标签"] + numbered, "pairs"),
    ):
        path = tmp_path / "texts.txt"
        path.write_text("\n".join(lines) + "\n", encoding="utf-8")
        found = comparison_texts.of_file(str(path))
        if expected == "pairs":
            assert found[-1] == ("问题19一二三四", "答案19一二三四")
        else:
            assert found[:2] == (expected or [(row.split("\t")[0], None) for row in rows[:2]])


def test_representative_texts_are_what_the_model_takes(tmp_path):
    """Files of the task may be given: labels are skipped, tagged characters become sentences."""
    columns = {"columns": ["text_a", "label"]}
    single = small_models.write_model(tmp_path / "single", settings=columns)
    table = tmp_path / "train.csv"
    rows = ["这是第%d条新闻,股票基金%d|家电%d" % (n, n, n) for n in range(9)]
    table.write_text("text_a,label\n" + "\n".join(rows) + "\n", encoding="utf-8")
    model = export_common.read_model(single, "classifier")
    found = comparison_texts.for_model(model, str(table))
    assert found == [("这是第%d条新闻" % n, None) for n in range(9)]
    assert comparison_texts.of_file(str(table)) == found  # the header names the column
    table.write_text("\n".join(rows) + "\n", encoding="utf-8")
    assert comparison_texts.for_model(model, str(table)) == found
    tags = ("O", "B-loc", "I-loc")
    notes = dict(columns, objective="sequence_labelling", head={"form": "softmax"})
    labeller = small_models.write_model(tmp_path / "labeller", tags, settings=notes)
    tagged = tmp_path / "train.txt"
    tagged.write_text("去 O\n北 B-loc\n京 I-loc\n\n好 O\n吧 O\n", encoding="utf-8")
    model = export_common.read_model(labeller, "classifier")
    assert comparison_texts.for_model(model, str(tagged)) == [("去北京", None), ("好吧", None)]


def test_representative_texts_are_read_as_what_they_are(tmp_path):
    table = tmp_path / "texts.csv"
    table.write_text('"今晚,国足对阵韩国队",体育\n"股市收盘,涨了""一点""",财经\n', encoding="utf-8")
    assert comparison_texts.of_file(str(table)) == [
        ("今晚,国足对阵韩国队", None),
        ('股市收盘,涨了"一点"', None),
    ]
    table.write_text("id,text_a,label\n7,今晚国足对阵韩国队,1\n", encoding="utf-8")
    assert comparison_texts.of_file(str(table)) == [("今晚国足对阵韩国队", None)]
    short = tmp_path / "short.txt"
    short.write_text("".join("0\t问%d\n" % number for number in range(20)), encoding="utf-8")
    assert comparison_texts.of_file(str(short))[:2] == [("问0", None), ("问1", None)]
    (tmp_path / "texts.json").write_text('{"text_a": "a"}\n', encoding="utf-8")
    with pytest.raises(UserError, match="texts.json: JSON is not read: give a text a line"):
        comparison_texts.of_file(str(tmp_path / "texts.json"))


@needs_tf2
@pytest.mark.parametrize("layout", with_slow(sorted(LAYOUTS), ["brightmart"]))
def test_each_output_of_a_product_has_a_scale(layout, folders, texts_file, tmp_path):
    path = str(tmp_path / "model.tflite")
    export_integers(folders[layout], path, texts_file)
    biases = {
        name: value
        for name, value in checkpoint_values.read_weights(
            os.path.join(folders[layout], "albert_model.ckpt")
        ).items()
        if re.search("(query|key|value)/bias$", name)
    }
    interpreter = interpreters.plain(path)
    details = {info["index"]: info for info in interpreter.get_tensor_details()}
    products = [op for op in interpreter._get_ops_details() if op["op_name"] == "FULLY_CONNECTED"]
    compared = set()
    for op in products:
        kernel = interpreter.get_tensor(op["inputs"][1])
        scales = details[op["inputs"][1]]["quantization_parameters"]["scales"]
        assert len(scales) == len(kernel)
        assert (np.abs(kernel.astype(int)).max(axis=1) == 127).all()  # the whole range is used
        name = details[op["outputs"][0]]["name"].split(";")[0].replace("MatMul", "bias")
        if name.endswith("output/dense/bias"):  # divided by the largest values of each channel
            (range_step,) = details[op["outputs"][0]]["quantization_parameters"]["scales"]
            assert range_step < 2.01 / 255
        name = name.replace("layer_shared_1", "layer_shared").replace("group_0_1", "group_0")
        if name in biases:
            step = scales * details[op["inputs"][0]]["quantization_parameters"]["scales"]
            bias = interpreter.get_tensor(op["inputs"][2]) * step
            assert (np.abs(bias - biases[name]) <= 0.51 * step).all()
            compared.add(name)
    assert compared == set(biases)


@needs_tf2
def test_hidden_states_are_not_rounded_when_rows_are_selected(folders, texts_file, tmp_path):
    path = str(tmp_path / "model.tflite")
    export_integers(folders["brightmart"], path, texts_file, "--seq_length=dynamic")
    interpreter = interpreters.plain(path)
    dtypes = {info["index"]: info["dtype"] for info in interpreter.get_tensor_details()}
    operators = interpreter._get_ops_details()
    selections = [op for op in operators if op["op_name"] == "STRIDED_SLICE"]
    assert {dtypes[op["inputs"][0]] for op in selections} == {np.int32, np.float32}  # ids, states
    (positions,) = [op for op in operators if op["op_name"] == "SLICE"]
    assert dtypes[positions["inputs"][0]] == np.int8  # the table remains small


@needs_tf2
def test_ranges_are_those_of_texts_without_padding(folders):
    model = export_common.read_model(folders["google"], "classifier")
    texts = [(CHARACTERS[number] * (3 + 5 * number), None) for number in range(3)]
    options = exported_model.Options("classifier", 20, "int8", None, texts, False, False)
    padding = VOCABULARY.index("[PAD]")
    for number, (ids, mask, segments) in enumerate(to_tflite.calibration_rows(model, options)):
        num_tokens = 5 + 5 * number
        assert ids.shape == mask.shape == segments.shape == (1, 20) and padding not in ids
        assert mask[0].tolist() == [1] * num_tokens + [0] * (20 - num_tokens)
        assert (
            ids[0, num_tokens:].tolist() == np.resize(ids[0, :num_tokens], 20)[num_tokens:].tolist()
        )


@needs_tf2
def test_calibration_takes_texts_from_the_whole_file(folders):
    model = export_common.read_model(folders["google"], "classifier")
    texts = [(CHARACTERS[number % 20] * 5, None) for number in range(1000)]
    options = exported_model.Options("classifier", None, "int8", None, texts, False, False)
    rows = to_tflite.calibration_rows(model, options)
    assert len(rows) == to_tflite.MAX_CALIBRATION_TEXTS
    assert {array.shape for row in rows for array in row} == {(1, 7)}
    assert len({row[0].tobytes() for row in rows}) > 1


# Slow


@pytest.mark.slow
@needs_tf2
def test_killed_at_any_moment_leaves_no_half_file(folders, tmp_path):
    path = tmp_path / "model.tflite"
    command = [
        sys.executable,
        os.path.join(ROOT, "export_model.py"),
        "--model_dir=" + folders["brightmart"],
        "--format=tflite",
        "--output=%s" % path,
    ]
    generator = random.Random(5)
    start = time.time()
    subprocess.check_call(command)
    seconds = time.time() - start
    whole = path.read_bytes()
    for _ in range(5):
        path.unlink()
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
        time.sleep(seconds * generator.uniform(0.4, 1.0))
        process.send_signal(signal.SIGKILL)
        process.wait()
        assert not path.exists() or path.read_bytes() == whole
        subprocess.check_call(command, stdout=subprocess.DEVNULL)
        assert path.read_bytes() == whole
        assert sorted(os.listdir(str(tmp_path))) == [
            "fine_tuning.json",
            "label_map.json",
            "model.tflite",
            "vocab.txt",
        ]


@pytest.mark.slow
@needs_tf2
def test_mediapipe_gives_the_same_labels(shared, tmp_path):
    """MEDIAPIPE_PYTHON is the Python of a separate environment with `pip install mediapipe`."""
    python = os.environ.get("MEDIAPIPE_PYTHON")
    if not python:
        pytest.skip("needs MEDIAPIPE_PYTHON=PATH, a Python that has mediapipe")
    source = os.path.join(shared, "data", "thucnews10", "dev.txt")
    with open(source, encoding="utf-8") as handle:
        titles = [line.split("\t")[0] for line, _ in zip(handle, range(500))]
    vocabulary = os.path.join(shared, "data", "ckpt_index_only", "MarsRoger_albert_tiny")
    with open(os.path.join(vocabulary, "vocab.txt"), encoding="utf-8", newline="\n") as handle:
        tokens = handle.read().split("\n")[:-1]
    folder = small_models.write_model(tmp_path / "model", labels=LABELS, vocabulary=tokens)
    for length in ("48", "dynamic"):
        path = str(tmp_path / "model.tflite")
        export(
            folder, "--format=tflite", "--metadata", "--seq_length=" + length, "--output=" + path
        )
        output = subprocess.check_output(
            [python, os.path.join(ROOT, "tests", "support", "mediapipe_labels.py"), path],
            input="".join(title + "\n" for title in titles).encode("utf-8"),
        )
        found = [line.split("\t")[0] for line in output.decode("utf-8").splitlines()]
        with predictor.Predictor(folder) as model:
            expected = model.predict(titles)[0]
        assert len(set(expected)) > 1
        assert np.mean([a == b for a, b in zip(found, expected)]) >= 0.99


@pytest.mark.slow
@needs_tf2
@pytest.mark.parametrize("form", ["frozen", "saved_model", "tflite", "onnx"])
def test_base_takes_less_than_two_gigabytes(form, texts_file, tmp_path):
    skip_unless_possible(form)
    with open(os.path.join(ROOT, "albert_config", "albert_config_base.json")) as handle:
        config = json.load(handle)
    vocabulary = VOCABULARY + ["[unused%d]" % n for n in range(config["vocab_size"])]
    vocabulary = vocabulary[: config["vocab_size"]]
    sizes = {key: config[key] for key in config if key in BASE_SIZES}
    folder = small_models.write_model(tmp_path / "model", vocabulary=vocabulary, **sizes)
    command = [sys.executable, os.path.join(ROOT, "export_model.py"), "--model_dir=" + folder]
    quantize = {"tflite": "int8", "onnx": "int8"}.get(form, "none")
    command += ["--format=" + form, "--quantize=" + quantize] + ANY_QUALITY
    command.append("--representative_texts=" + texts_file)
    output = subprocess.check_output(command).decode("utf-8")
    assert int(output.split("at most")[-1].split()[0]) < 2000, output


BASE_SIZES = (
    "hidden_size embedding_size num_hidden_layers num_attention_heads intermediate_size "
    "max_position_embeddings"
).split()


def test_a_sentencepiece_model_goes_along(tmp_path):
    os.makedirs(str(tmp_path / "model"))
    (tmp_path / "model" / "spiece.model").write_bytes(b"pieces")
    model = exported_model.Model(str(tmp_path / "model"), *[None] * 8)
    os.makedirs(str(tmp_path / "out"))
    export_common.write_companions(model, str(tmp_path / "out"))
    assert os.listdir(str(tmp_path / "out")) == ["spiece.model"]
    assert (tmp_path / "out" / "spiece.model").read_bytes() == b"pieces"


@needs_tf2
def test_a_sentencepiece_model_is_what_texts_are_encoded_with(tmp_path, texts_file):
    lines = [line.replace("\t", " ") for line in files.read_lines(texts_file)]
    source = sentencepiece_models.train_sentencepiece(tmp_path, lines, 70)
    folder = small_models.write_model(tmp_path / "model", vocabulary=["a"] * 70)
    os.remove(os.path.join(folder, "vocab.txt"))
    shutil.copyfile(source, os.path.join(folder, "spiece.model"))
    model = export_common.read_model(folder, "classifier")
    texts = export_comparison.ODD_TEXTS[1:2]
    options = exported_model.Options("classifier", None, "int8", None, texts, False, False)
    ((ids, _, _),) = to_tflite.calibration_rows(model, options)
    tokenizer = tokenization.FullTokenizer(source)
    expected = encoding.encode(tokenizer, *texts[0], max_seq_length=64)[0]
    assert ids.tolist() == [expected]
    with pytest.raises(UserError, match="--metadata describes a vocab.txt, but .* SentencePiece"):
        export(folder, "--format=tflite", "--metadata")
    folder = small_models.write_model(tmp_path / "other", vocabulary=["a"] * 71)
    shutil.copyfile(source, os.path.join(folder, "spiece.model"))
    with pytest.raises(UserError, match="spiece.model: the vocabulary has 70 entries, but .* 71"):
        export_common.read_model(folder, "classifier")


def test_settings_of_another_model_stay(tmp_path):
    for name in ("model", "out"):
        os.makedirs(str(tmp_path / name))
    config = types.SimpleNamespace(longest_sequence=64)

    def write(**settings):
        (tmp_path / "model" / "fine_tuning.json").write_text(json.dumps(settings))
        model = exported_model.Model(str(tmp_path / "model"), config, *[None] * 7)
        export_common.write_companions(model._replace(settings=settings), str(tmp_path / "out"))

    dev = {"global_step": 1, "accuracy": 0.5}
    write(max_seq_length=128, dev=dev)
    write(max_seq_length=128, dev=dict(dev, accuracy=0.6))  # trained further
    for others in (
        {"max_seq_length": 16},
        {"max_seq_length": 128, "columns": ["text_a", "label"]},
        {"max_seq_length": 128, "length_penalty": 0.3},  # of a reading model, tuned on dev
        {"max_seq_length": 128, "null_score_diff_threshold": -2.5},
    ):
        with pytest.raises(UserError, match="fine_tuning.json belongs to another model"):
            write(**others)
    written = json.loads((tmp_path / "out" / "fine_tuning.json").read_text())
    assert written["dev"]["accuracy"] == 0.6 and written["max_positions"] == 64


def test_what_only_another_model_has_does_not_stay_beside_an_export(tmp_path):
    for name in ("model", "out"):
        os.makedirs(str(tmp_path / name))
    (tmp_path / "model" / "vocab.txt").write_text("a")
    (tmp_path / "out" / "spiece.model").write_bytes(b"of another")
    model = exported_model.Model(str(tmp_path / "model"), *[None] * 8)
    with pytest.raises(UserError, match="spiece.model belongs to another model"):
        export_common.write_companions(model, str(tmp_path / "out"))
