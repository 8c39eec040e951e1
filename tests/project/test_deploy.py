"""The files of deploy/, checked against the servers' schemas, exported models and serve.py."""

import json
import os
import re
import subprocess
import sys
import threading

import numpy as np
import pytest
import tensorflow.compat.v1 as tf

from albert_zh.commands import export_model
from albert_zh.common import files
from albert_zh.export import exported_model
from albert_zh.inference import predictor
from albert_zh.inference.runtimes import checkpoint_session
from albert_zh.tasks import registry
from albert_zh.tasks.slots import cells
from documentation import blocks_of
import saved_models
import small_models
from workspace import ROOT

DEPLOY = os.path.join(ROOT, "deploy")
TEXTS = [("怎么办理", "银行卡？"), "今天天气很好", ""]


def parsed(message, *path):
    from google.protobuf import text_format

    with open(os.path.join(DEPLOY, *path), encoding="utf-8") as handle:
        return text_format.Parse(handle.read(), message)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return small_models.write_model(tmp_path_factory.mktemp("models") / "pairs")


def export(folder, *arguments):
    small_models.run_command(export_model, ["--model_dir=" + folder] + list(arguments))


def request_of_docs(folder, texts):
    """The block of docs/serving.md that builds a request of token ids, without sending it."""
    (block,) = [block for block in blocks_of("serving.md") if "resident" in block]
    block = block.replace('"lcqmc_output/best"', repr(folder))
    block = re.sub(r'\[\("怎么开户", "如何开通账户"\)\]', repr(texts), block)
    return block.split("print(")[0]


def test_models_of_tf_serving():
    schema = pytest.importorskip(
        "tensorflow_serving.config.model_server_config_pb2", reason="needs tensorflow-serving-api"
    )
    config = parsed(schema.ModelServerConfig(), "tf_serving", "models.config")
    (model,) = config.model_config_list.config
    assert (model.name, model.base_path) == ("albert", "/models/albert")
    assert model.model_platform == "tensorflow"


def test_tf_serving_does_not_pad():
    """It would pad with an input's first value, 1 in input_mask (PadTensor, batching_util.cc)."""
    path = os.path.join(DEPLOY, "tf_serving", "batching.config")
    lines = [line for line in files.read_text(path).splitlines() if not line.startswith("#")]
    (padding,) = [line for line in lines if line.startswith("pad_variable_length_inputs")]
    assert padding == "pad_variable_length_inputs: false"


def test_ids_that_docs_send_to_tf_serving_have_one_length(folder):
    """Requests of different lengths are not batched, so the block of docs/serving.md pads them."""
    block, values = request_of_docs(folder, [("甲", "乙")]), {}
    exec(compile(block, "serving.md", "exec"), values)
    inputs = json.loads(values["body"].decode())["inputs"]
    assert {np.shape(rows) for rows in inputs.values()} == {(1, 128)}
    assert np.sum(inputs["input_mask"]) == 5 and not np.any(inputs["input_ids"][0][5:])


@pytest.mark.slow
def test_what_docs_send_to_tf_serving_is_what_the_signature_takes(folder, tmp_path):
    """Runs the request of docs/serving.md on the SavedModel that TF Serving loads."""
    export(folder, "--format=saved_model", "--output=%s" % (tmp_path / "albert"))
    block, values = request_of_docs(folder, TEXTS), {}
    exec(compile(block, "serving.md", "exec"), values)
    body = json.loads(values["body"].decode())
    with tf.Session(graph=tf.Graph()) as session:
        versioned = str(tmp_path / "albert" / "1")
        model = tf.saved_model.loader.load(session, ["serve"], versioned)
        signature = model.signature_def[body["signature_name"]]
        assert set(signature.inputs) == set(body["inputs"])
        feeds = {signature.inputs[name].name: value for name, value in body["inputs"].items()}
        outputs = {name: info.name for name, info in signature.outputs.items()}
        answer = session.run(outputs, feeds)
    with predictor.Predictor(folder) as model:
        labels, probabilities = model.predict(TEXTS)
    np.testing.assert_allclose(answer["probabilities"], probabilities, atol=1e-5)
    assert [label.decode() for label in answer["labels"]] == labels


@pytest.mark.slow
def test_texts_that_docs_send_to_tf_serving_are_what_the_signature_takes(folder, tmp_path):
    """The curl line of docs/serving.md has one row per text, as TF Serving's REST API expects."""
    path = str(tmp_path / "albert")
    export(folder, "--format=saved_model", "--output=" + path)
    page = files.read_text(os.path.join(ROOT, "docs", "serving.md"))
    (body,) = re.findall(r"albert:predict -d '(.+?)'", page, re.S)
    body = json.loads(body)
    columns = {name: [row[name] for row in body["instances"]] for name in body["instances"][0]}
    answer = saved_models.run_signature(path, body["signature_name"], **columns)
    with predictor.Predictor(folder) as model:
        labels, probabilities = model.predict([("怎么开户", "如何开通账户")])
    np.testing.assert_allclose(answer["probabilities"], probabilities, atol=1e-5)
    assert [label.decode() for label in answer["labels"]] == labels
    (answered,) = re.findall(r'# (\{"predictions".+)', page)
    assert set(json.loads(answered)["predictions"][0]) == set(answer)


def test_comments_for_triton_name_the_outputs_of_other_kinds():
    page = files.read_text(os.path.join(DEPLOY, "triton", "albert", "config.pbtxt"))
    comments = " ".join(line.strip("# ") for line in page.splitlines() if line.startswith("#"))
    names = [
        name
        for group in re.findall(r"((?:\w+, )*\w+): TYPE_", comments)
        for name in group.split(", ")
    ]
    kinds = ("sequence_labelling", "span_labelling", "reading_comprehension")
    expected = {name for kind in kinds for name in registry.get(kind).decoded_outputs}
    expected |= set(exported_model.TASKS["embedding"].outputs) | {cells.COLUMN}
    assert len(names) == len(expected) and set(names) == expected


def test_model_of_triton(folder, tmp_path):
    schema = pytest.importorskip(
        "tritonclient.grpc.model_config_pb2", reason="needs tritonclient[grpc]"
    )
    config = parsed(schema.ModelConfig(), "triton", "albert", "config.pbtxt")
    assert config.name == "albert" and config.max_batch_size > 1
    assert tuple(tensor.name for tensor in config.input) == checkpoint_session.INPUT_NAMES
    pytest.importorskip("tf2onnx", reason="needs requirements-export.txt")
    runtime = pytest.importorskip("onnxruntime", reason="needs requirements-export.txt")
    export(folder, "--format=onnx", "--output=%s" % (tmp_path / "1" / "model.onnx"))
    session = runtime.InferenceSession(str(tmp_path / "1" / "model.onnx"))
    types = {"tensor(int32)": schema.TYPE_INT32, "tensor(float)": schema.TYPE_FP32}
    for described, actual in (
        (config.input, session.get_inputs()),
        (config.output, session.get_outputs()),
    ):
        named = {tensor.name: tensor for tensor in actual}
        for tensor in described:
            assert types[named[tensor.name].type] == tensor.data_type
            assert len(named[tensor.name].shape) == 1 + len(tensor.dims)  # the batch comes first


def test_what_a_container_runs(folder):
    """Runs the entry point and the health check of deploy/Dockerfile without a container."""
    pytest.importorskip("uvicorn", reason="needs requirements-serve.txt")
    page = files.read_text(os.path.join(DEPLOY, "Dockerfile"))
    entry_point = json.loads(re.search(r"^ENTRYPOINT (.+)", page, re.M).group(1))
    check = json.loads(re.search(r"^HEALTHCHECK .*CMD (.+)", page, re.M).group(1))
    assert (entry_point[0], check[0]) == ("albert-zh", "python")
    command = [sys.executable, "-m", "albert_zh"] + entry_point[1:]
    command += ["--model_dir=" + folder, "--port=0"]
    with subprocess.Popen(command, cwd=ROOT, stderr=subprocess.PIPE, text=True) as process:
        limit = threading.Timer(120, process.kill)
        limit.start()
        try:
            assert process.stderr.readline() == "model: %s\n" % folder
            port = re.search(r"http://0\.0\.0\.0:(\d+)/", process.stderr.readline()).group(1)
            code = check[-1].replace(" 8000,", " %s," % port)
            statuses = [
                subprocess.run([sys.executable, "-c", one], timeout=60).returncode
                for one in (code, code.replace("/health", "/unknown"))
            ]
            assert statuses == [0, 1]
        finally:
            limit.cancel()
            process.kill()
