"""Encoders exported with their pooling: the target libraries give the vectors of `TextEncoder`."""

import json
import os

import numpy as np
import pytest
import tensorflow.compat.v1 as tf

from albert_zh.commands import export_model
from albert_zh.common.errors import UserError
from albert_zh.export import common as export_common
from albert_zh.export import to_sentence_transformers
from albert_zh.inference import input_rows, loaded_model, text_encoder
from albert_zh.inference.retrieval import whitening
from albert_zh.inference.runtimes import checkpoint_session
from albert_zh.model.sentence_vectors import SentenceNotes
from crossed_cases import with_slow
import interpreters
import small_models
from workspace import ROOT

IS_TF1 = tf.__version__.startswith("1.")
LAYOUTS = {
    "brightmart": {},
    "brightmart, pre-LN": {"ln_type": "preln"},
    "google": {"num_hidden_groups": 1, "inner_group_num": 1},
    "google_fast": {"num_hidden_groups": 2, "inner_group_num": 1, "ffn_groups": 4},
    "bert": {"embedding_size": None},
}
NOTES = {
    "mean": SentenceNotes("mean", True, 16, 24),
    "cut": SentenceNotes("cls", True, 8, 24, (16, 8)),
    "projected": SentenceNotes("max", False, 8, 24, (12, 8), 12),
}
TEXTS = ["今天天气很好", "怎么办理银行卡", "", "好" * 40, "ab1，ＡＢ"]


def made_folder(root, notes="mean", **config):
    return small_models.write_embedding_model(root / "model", NOTES[notes], **config)


def vectors_of(folder):
    with text_encoder.TextEncoder(folder) as encoder:
        return encoder.encode(TEXTS)


def export(folder, *arguments):
    small_models.run_command(export_model, ["--model_dir=" + folder] + list(arguments))


@pytest.fixture(scope="module")
def sentence_transformers():
    return pytest.importorskip(
        "sentence_transformers", reason="needs requirements-convert.txt on Python 3.10 or later"
    )


@pytest.mark.parametrize(
    "layout, notes",
    with_slow(
        [("google", "cut"), ("bert", "projected")]
        + [(layout, "mean") for layout in sorted(LAYOUTS)],
        [("bert", "projected")],
    ),
)
def test_sentence_transformers_gives_our_vectors(
    layout, notes, tmp_path, sentence_transformers, capsys
):
    folder = made_folder(tmp_path, notes, **LAYOUTS[layout])
    output = str(tmp_path / "exported")
    export(folder, "--format=sentence_transformers", "--output=" + output)
    assert "difference at most" in capsys.readouterr().out  # computed by transformers' AutoModel
    model = sentence_transformers.SentenceTransformer(output, trust_remote_code=True, device="cpu")
    expected = vectors_of(folder)
    np.testing.assert_allclose(model.encode(TEXTS), expected, atol=1e-5)
    assert model.max_seq_length == 24
    # The folder is also a model folder of this toolkit, because our notes are copied.
    with open(os.path.join(output, "sentence_embedding.json")) as handle:
        assert json.load(handle)["pooling"] == NOTES[notes].pooling
    model.save(str(tmp_path / "saved"))
    saved, written = (_files_of_normalize(tmp_path / name) for name in ("saved", "exported"))
    assert saved == written and bool(written) == NOTES[notes].normalize


def _files_of_normalize(folder):
    """Returns {name: JSON value} of the files of the module that normalizes vectors."""
    return {path.name: json.loads(path.read_text()) for path in folder.glob("*_Normalize/*")}


@pytest.mark.slow
def test_whitened_vectors_are_those_of_a_dense_layer(tmp_path, sentence_transformers):
    folder, whitened = made_folder(tmp_path), str(tmp_path / "whitened")
    with text_encoder.TextEncoder(folder) as encoder:
        vectors = encoder.encode_with_lengths(list("今天气很好我们去吃饭吧明再说什么"))[1]
    whitening.write_whitened(folder, whitened, *whitening.fitted(vectors, 6))
    output = str(tmp_path / "exported")
    export(whitened, "--format=sentence_transformers", "--output=" + output)
    model = sentence_transformers.SentenceTransformer(output, trust_remote_code=True, device="cpu")
    expected = vectors_of(whitened)
    assert expected.shape[1] == 6 and "Dense" in str(model)
    np.testing.assert_allclose(model.encode(TEXTS), expected, atol=1e-5)


@pytest.mark.slow
def test_the_folder_is_replaced_only_by_another_export(tmp_path):
    folder = made_folder(tmp_path)
    output = tmp_path / "exported"
    output.mkdir()
    (output / "notes.txt").write_text("x")
    arguments = ["--format=sentence_transformers", "--output=%s" % output]
    with pytest.raises(UserError, match="files, but is not a folder of sentence-transformers"):
        export(folder, *arguments)
    (output / "notes.txt").unlink()
    for _ in range(2):
        export(folder, *arguments)
    modules = json.loads((output / "modules.json").read_text())
    kinds = [module["type"].rpartition(".")[2] for module in modules]
    assert kinds == ["Transformer", "Pooling", "Normalize"]


def test_a_model_without_a_classifier_is_exported_as_one_of_vectors(tmp_path):
    bundled = os.path.join(ROOT, "albert_starter_zh", "embedding")
    with pytest.raises(UserError, match="without a classifier: export --task=embedding"):
        export(bundled, "--format=onnx", "--output=%s" % (tmp_path / "model.onnx"))


@pytest.mark.newest
def test_poolings_that_sentence_transformers_lacks_are_named(tmp_path):
    notes = SentenceNotes("first_last_mean", True, 16, 24)
    folder = small_models.write_embedding_model(tmp_path / "model", notes)
    with pytest.raises(UserError, match="pooled by first_last_mean, which sentence-transformers"):
        export(folder, "--format=sentence_transformers")
    with pytest.raises(UserError, match="is for --task=embedding"):
        export(folder, "--format=sentence_transformers", "--task=encoder")
    with pytest.raises(UserError, match="^--seq_length=32: .* truncates texts to the model's max_"):
        export(folder, "--format=sentence_transformers", "--seq_length=32")


def test_a_config_beside_the_folder_is_converted(tmp_path, monkeypatch):
    """The config comes from --bert_config_file, or from the settings of a training folder."""
    folder = made_folder(tmp_path)
    config_file = str(tmp_path / "elsewhere.json")
    os.rename(os.path.join(folder, "albert_config.json"), config_file)
    model = export_common.read_model(folder, "embedding", config_file)
    monkeypatch.setattr(to_sentence_transformers, "_runner", lambda *given: None)
    output = tmp_path / "exported"
    to_sentence_transformers.write(model, None, str(output), None)
    settings = json.loads((output / "config.json").read_text())
    assert settings["architectures"] == ["AlbertZhModel"]
    assert settings["hidden_size"] == model.config.hidden_size == 16
    assert json.loads((output / "sentence_bert_config.json").read_text())["max_seq_length"] == 24


def rows_of(folder):
    """Returns the inputs of TEXTS, as `TextEncoder` creates them."""
    opened = loaded_model.open_folder(folder)
    texts = input_rows.checked_texts(TEXTS)
    return input_rows.rows_of(texts, opened.tokenizer, 24)


@pytest.mark.parametrize(
    "quantize, difference", with_slow([("none", 1e-5), ("int8", 0.05)], [("int8", 0.05)])
)
def test_onnx_encoders_pool(quantize, difference, tmp_path):
    onnxruntime = pytest.importorskip("onnxruntime", reason="needs requirements-export.txt")
    pytest.importorskip("tf2onnx", reason="needs requirements-export.txt")
    folder = made_folder(tmp_path, "projected")
    path = str(tmp_path / "model.onnx")
    arguments = ["--format=onnx", "--task=embedding", "--tolerance=1", "--output=" + path]
    export(folder, "--quantize=" + quantize, *arguments)
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    for row, expected in zip(rows_of(folder), vectors_of(folder)):
        feeds = dict(zip(checkpoint_session.INPUT_NAMES, input_rows.padded([row])))
        (vector,) = session.run(["sentence_embedding"], feeds)
        check_direction(vector[0], expected, difference)


def check_direction(vector, expected, difference):
    """Asserts that a vector equals the expected one or, if quantized, has almost its direction."""
    if difference < 0.01:
        np.testing.assert_allclose(vector, expected, atol=1e-4)
    cosine = vector @ expected / np.linalg.norm(vector) / np.linalg.norm(expected)
    assert vector.shape == expected.shape and cosine > 1 - difference


@pytest.mark.skipif(IS_TF1, reason="TFLite files are made by TensorFlow 2")
@pytest.mark.parametrize("quantize, difference", [("none", 1e-5), ("int8", 0.2)])
def test_tflite_encoders_pool(quantize, difference, tmp_path):
    folder = made_folder(tmp_path)
    texts = tmp_path / "texts.txt"
    texts.write_text("\n".join(TEXTS[:2] * 50) + "\n", encoding="utf-8")
    path = str(tmp_path / "model.tflite")
    arguments = ["--format=tflite", "--task=embedding", "--tolerance=1", "--output=" + path]
    arguments += ["--quantize=" + quantize, "--representative_texts=%s" % texts]
    export(folder, *arguments)
    interpreter = interpreters.plain(path)
    details = {detail["name"]: detail["index"] for detail in interpreter.get_input_details()}
    for row, expected in zip(rows_of(folder), vectors_of(folder)):
        arrays = input_rows.padded([row], 24)  # the length in the folder's notes
        for name, array in zip(("ids", "mask", "segment_ids"), arrays):
            interpreter.set_tensor(details[name], array)
        interpreter.invoke()
        vector = interpreter.get_tensor(interpreter.get_output_details()[0]["index"])[0]
        check_direction(vector, expected, difference)


@pytest.mark.slow
@pytest.mark.slow
def test_a_saved_model_has_a_signature_of_vectors(tmp_path):
    folder = made_folder(tmp_path, "cut")
    output = str(tmp_path / "saved")
    export(folder, "--format=saved_model", "--task=embedding", "--output=" + output)
    with tf.Graph().as_default() as graph, tf.Session() as session:
        meta = tf.saved_model.loader.load(session, ["serve"], os.path.join(output, "1"))
        signature = meta.signature_def["embed"]
        vectors = graph.get_tensor_by_name(signature.outputs["sentence_embedding"].name)
        for row, expected in zip(rows_of(folder), vectors_of(folder)):
            inputs = dict(zip(checkpoint_session.INPUT_NAMES, input_rows.padded([row])))
            feeds = {signature.inputs[name].name: array for name, array in inputs.items()}
            np.testing.assert_allclose(session.run(vectors, feeds)[0], expected, atol=1e-5)


@pytest.mark.slow
def test_a_folder_that_says_nothing_of_its_vectors_is_exported_as_it_is_encoded(tmp_path, capsys):
    folder = small_models.write_model(tmp_path / "model", num_hidden_groups=1, inner_group_num=1)
    arguments = ["--format=sentence_transformers", "--output=%s" % (tmp_path / "exported")]
    export(folder, *arguments)
    assert "there is no sentence_embedding.json: vectors are the mean" in capsys.readouterr().out
