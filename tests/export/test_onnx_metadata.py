"""The metadata of ONNX files: labels, lengths, the tokenizer; files in half precision."""

import json
import os
import shutil
import types

import numpy as np
import pytest

onnx = pytest.importorskip("onnx", reason="needs requirements-export.txt")
onnxruntime = pytest.importorskip("onnxruntime", reason="needs requirements-export.txt")
pytest.importorskip("tf2onnx", reason="needs requirements-export.txt")
tokenizers = pytest.importorskip("tokenizers")

from albert_zh.commands import export_model
from albert_zh.common import files
from albert_zh.export import onnx_metadata
from albert_zh.inference import predictor
from albert_zh.text import tokenization
from crossed_cases import with_slow
import small_models
from workspace import VOCABULARY

LABELS = ("体育", "财经", "娱乐")
TEXTS = ["今天天气怎么样", ("ＡＢＣ ab12，", "不好"), "", "今" * 200, ("很好" * 40, "ab" * 60)]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    path = tmp_path_factory.mktemp("models") / "topics"
    settings = {"max_seq_length": 49}  # 46 tokens of a pair, 23 of each text
    return small_models.write_model(path, labels=LABELS, settings=settings)


def exported(folder, path, *arguments):
    arguments = ["--model_dir=%s" % folder, "--format=onnx", "--output=%s" % path] + list(arguments)
    small_models.run_command(export_model, arguments)
    return onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])


def notes_of(session):
    return session.get_modelmeta().custom_metadata_map


def predicted(session, texts):
    """Returns labels and probabilities of texts, computed from the contents of the file alone."""
    notes = notes_of(session)
    tokenizer = tokenizers.Tokenizer.from_str(notes["tokenizer.json"])
    labels, probabilities = json.loads(notes["labels"]), []
    for text in texts:
        encoded = tokenizer.encode(*((text,) if isinstance(text, str) else text))
        rows = (encoded.ids, encoded.attention_mask, encoded.type_ids)
        names = [tensor.name for tensor in session.get_inputs()]
        row = {name: np.array([ids], np.int32) for name, ids in zip(names, rows)}
        probabilities.append(session.run(None, row)[0][0])
    return [labels[p.argmax()] for p in probabilities], np.array(probabilities)


def test_labels_with_line_ends(tmp_path):
    labels = ("体育\n球", "财经\n")
    folder = small_models.write_model(tmp_path / "model", labels)
    path = tmp_path / "elsewhere" / "model.onnx"
    exported(folder, path)
    os.remove(str(path.parent / "label_map.json"))
    with predictor.Predictor(str(path)) as of_file, predictor.Predictor(folder) as model:
        assert of_file.labels == list(labels)
        assert of_file.predict(["今天", "明天"])[0] == model.predict(["今天", "明天"])[0]


@pytest.mark.parametrize(
    "quantize, tolerance", with_slow([("none", 1e-5), ("float16", 0.01)], [("none", 1e-5)])
)
def test_texts_are_predicted_by_the_file_alone(folder, tmp_path, quantize, tolerance):
    session = exported(folder, tmp_path / "model.onnx", "--quantize=" + quantize)
    with predictor.Predictor(folder) as model:
        expected_labels, expected = model.predict(TEXTS)
    labels, probabilities = predicted(session, TEXTS)
    assert labels == list(expected_labels) and expected.std() > 0.1
    np.testing.assert_allclose(probabilities, expected, atol=tolerance)
    notes = notes_of(session)
    assert json.loads(notes["labels"]) == list(LABELS)
    assert (notes["task"], notes["objective"]) == ("classifier", "single_label")
    assert (notes["max_seq_length"], notes["do_lower_case"]) == ("49", "true")


def test_half_precision_is_inside_alone(folder, tmp_path):
    path = tmp_path / "model.onnx"
    session = exported(folder, path, "--quantize=float16")
    assert {tensor.type for tensor in session.get_inputs()} == {"tensor(int32)"}
    assert {tensor.type for tensor in session.get_outputs()} == {"tensor(float)"}
    proto = onnx.load(str(path))
    onnx.checker.check_model(proto, full_check=True)
    kinds = {array.data_type for array in proto.graph.initializer}
    assert onnx.TensorProto.FLOAT16 in kinds and onnx.TensorProto.FLOAT not in kinds
    operators = {node.op_type for node in proto.graph.node}
    assert {"LayerNormalization", "Gelu"} <= operators


@pytest.mark.slow
def test_vectors_in_half_precision(tmp_path):
    folder = small_models.write_embedding_model(tmp_path / "vectors")
    arguments = ["--task=embedding", "--quantize=float16"]  # 1 - cosine may be 0.02
    session = exported(folder, tmp_path / "model.onnx", *arguments)
    notes = notes_of(session)
    assert (notes["task"], notes["max_seq_length"]) == ("embedding", "24")
    assert "labels" not in notes


def test_the_tokenizer_is_beside_the_file(folder, tmp_path):
    session = exported(folder, tmp_path / "model.onnx")
    path = tmp_path / "tokenizer.json"
    assert files.read_json(str(path)) == json.loads(notes_of(session)["tokenizer.json"])
    encoded = tokenizers.Tokenizer.from_file(str(path)).encode("今天")
    assert len(encoded.ids) == 4


def test_a_fixed_length_is_where_texts_are_cut(folder, tmp_path):
    session = exported(folder, tmp_path / "model.onnx", "--seq_length=32")
    notes = notes_of(session)
    assert notes["max_seq_length"] == "32"
    tokenizer = tokenizers.Tokenizer.from_str(notes["tokenizer.json"])
    assert len(tokenizer.encode("今" * 60).ids) == 32


def test_a_longer_file_cuts_texts_where_the_model_was_trained_to(folder, tmp_path):
    session = exported(folder, tmp_path / "longer.onnx", "--seq_length=60")
    notes = notes_of(session)
    assert notes["max_seq_length"] == "49"
    assert json.loads(notes["tokenizer.json"])["truncation"]["max_length"] == 49


def test_a_tokenizer_that_is_there_stays(folder, tmp_path):
    copied = shutil.copytree(folder, str(tmp_path / "model"))
    path = os.path.join(copied, "tokenizer.json")
    with open(path, "w", encoding="utf-8") as handle:
        handle.write("{}\n")
    exported(copied, os.path.join(copied, "model.onnx"))
    assert files.read_json(path) == {}


def test_a_tokenizer_that_cuts_elsewhere_than_the_one_before_is_named(tmp_path, capsys):
    """The texts of the first file would be truncated further; there must be a note."""
    (tmp_path / "vocab.txt").write_text("\n".join(VOCABULARY) + "\n", "utf-8")
    model = types.SimpleNamespace(
        tokenizer=tokenization.FullTokenizer(str(tmp_path / "vocab.txt")),
        settings={"max_seq_length": 48},
        sentence_notes=None,
        config=types.SimpleNamespace(longest_sequence=64),
    )
    path = str(tmp_path / "tokenizer.json")
    said = []
    for length in (None, 48, 16):
        options = types.SimpleNamespace(seq_length=length)
        onnx_metadata.write_tokenizer_beside(str(tmp_path / "model.onnx"), model, options)
        said.append(capsys.readouterr().out)
        assert files.read_json(path)["truncation"]["max_length"] == (length or 48)
    assert said[:2] == ["", ""]
    assert (
        "note: %s, which truncated texts to 48 tokens, now truncates them to 16: " % path in said[2]
    )
    assert "has its tokenizer.json in its metadata" in said[2]


@pytest.mark.slow
def test_a_tokenizer_of_an_earlier_export_is_replaced(folder, tmp_path):
    exported(folder, tmp_path / "model.onnx", "--seq_length=32")
    session = exported(folder, tmp_path / "model.onnx")
    beside = files.read_json(str(tmp_path / "tokenizer.json"))
    assert beside == json.loads(notes_of(session)["tokenizer.json"])
    assert beside["truncation"]["max_length"] == 49


def test_case_and_thresholds_are_noted(tmp_path):
    settings = {"do_lower_case": False, "objective": "multi_label", "thresholds": [0.5, 0.25, 0.5]}
    folder = small_models.write_model(tmp_path / "several", labels=LABELS, settings=settings)
    notes = notes_of(exported(folder, tmp_path / "out" / "model.onnx"))
    assert (notes["objective"], notes["do_lower_case"]) == ("multi_label", "false")
    assert json.loads(notes["thresholds"]) == [0.5, 0.25, 0.5]
    tokenizer = tokenizers.Tokenizer.from_str(notes["tokenizer.json"])
    assert tokenizer.encode("B").ids != tokenizer.encode("b").ids
