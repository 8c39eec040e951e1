"""SavedModels that take texts, and the use of SavedModels in TensorFlow 2 and Keras."""

import json
import os
import random
import shutil
import subprocess
import sys

import numpy as np
import pytest
import tensorflow.compat.v1 as tf

from albert_zh.commands import export_model
from albert_zh.common.errors import UserError
from albert_zh.export import common as export_common
from albert_zh.export import comparison_texts, graph_tokenizer, text_signatures
from albert_zh.inference import predictor, text_encoder
from albert_zh.inference.runtimes import checkpoint_session
from albert_zh.model.sentence_vectors import SentenceNotes
from crossed_cases import with_slow
from saved_models import operations_of, run_signature, signatures_of
import sentencepiece_models
import small_models
from workspace import CHARACTERS

IS_TF1 = tf.__version__.startswith("1.")
TOKENS = sorted(checkpoint_session.INPUT_NAMES)
LABELS = ("体育", "财经", "娱乐")
ENCODED = ["pooled_output", "sequence_output"]
PAIRS_COLUMNS, SINGLE_COLUMNS = ["text_a", "text_b", "label"], ["text_a", "label"]


def texts(count=40):
    generator = random.Random(9)
    letters = CHARACTERS + "ab1 ，？Ａ\u3000"
    return ["".join(generator.choice(letters) for _ in range(n % 60)) for n in range(count)]


def export(folder, path, *arguments):
    arguments = ["--model_dir=" + folder, "--format=saved_model", "--output=%s" % path] + list(
        arguments
    )
    small_models.run_command(export_model, arguments)
    return str(path)


def classifier(tmp_path, objective="single_label", labels=LABELS, columns=None, **settings):
    notes = dict(settings, objective=objective)
    if columns:
        notes["columns"] = columns
    return small_models.write_model(tmp_path / "model", labels=labels, settings=notes)


@pytest.fixture(autouse=True)
def few_comparisons(monkeypatch):
    monkeypatch.setitem(comparison_texts.MOST_COMPARED, "classifier", 20)


@pytest.fixture(scope="module")
def exported(tmp_path_factory):
    """Fixture: (model folder, SavedModel) of a classifier whose settings name no columns."""
    root = tmp_path_factory.mktemp("exported")
    folder = classifier(root)
    return folder, export(folder, root / "serving")


KINDS = {
    "single texts": {"columns": SINGLE_COLUMNS},
    "pairs": {"columns": PAIRS_COLUMNS},
    "truncated texts": {"columns": PAIRS_COLUMNS, "max_seq_length": 10, "do_lower_case": False},
    "unknown columns": {},
    "several labels": {"objective": "multi_label", "pooling": "mean"},
    "other thresholds": {
        "objective": "multi_label",
        "thresholds": [0.3, 0.5, 0.4],
        "label_separator": ".*",
        "columns": SINGLE_COLUMNS,
    },
    "values": {"objective": "regression", "labels": ("value",), "columns": PAIRS_COLUMNS},
}


@pytest.mark.parametrize("kind", with_slow(list(KINDS), ["pairs"]))
def test_texts_give_what_the_predictor_gives(kind, tmp_path):
    folder = classifier(tmp_path, **KINDS[kind])
    path = export(folder, tmp_path / "serving")
    columns = KINDS[kind].get("columns")
    forms = [name for name in ("texts", "pairs") if "classify_" + name in signatures_of(path)]
    assert forms == {None: ["texts", "pairs"], 2: ["texts"], 3: ["pairs"]}[columns and len(columns)]
    first, second = texts(), texts(80)[40:]
    for form in forms:
        inputs = {"text_a": first, "text_b": second} if form == "pairs" else {"text_a": first}
        found = run_signature(path, "classify_" + form, **inputs)
        with predictor.Predictor(folder) as model, predictor.Predictor(path) as exported:
            given = list(zip(first, second)) if form == "pairs" else first
            labels, expected = model.predict(given)
            np.testing.assert_allclose(exported.predict(given)[1], expected, atol=1e-5)
        np.testing.assert_allclose(found["probabilities"], expected, atol=1e-5)
        assert expected.std() > 0.05  # otherwise the comparison means nothing
        assert ("labels" in found) == (kind != "values")
        if "labels" in found:
            mark = KINDS[kind].get("label_separator", "|")
            words = [given if isinstance(given, str) else mark.join(given) for given in labels]
            assert [label.decode("utf-8") for label in found["labels"]] == words
            assert len(set(words)) > 1


@pytest.mark.slow
@pytest.mark.reference
def test_rows_are_padded_only_where_a_length_is_asked_for(exported, tmp_path):
    folder, path = exported
    lengths = [4, 48]  # 48 is the length in the folder's notes
    found = run_signature(path, "encode_texts", text_a=["今天", "今" * 60])
    assert found["input_mask"].sum(axis=1).tolist() == lengths
    assert found["sequence_output"].shape == (2, 48, 16)
    found = run_signature(path, "encode_pairs", text_a=["今天"], text_b=["明天说"])
    assert found["input_ids"].shape == (1, 8) and found["input_mask"].all()
    path = export(folder, tmp_path / "padded", "--seq_length=16")
    found = run_signature(path, "encode_pairs", text_a=["今天", "今" * 60], text_b=["明天说", ""])
    assert found["input_mask"].sum(axis=1).tolist() == [8, 16]
    assert found["input_ids"].shape == (2, 16)


@pytest.mark.slow
def test_signatures_of_tokens_are_as_before(exported):
    words = sorted(TOKENS + ["masked_lm_positions"])
    log_probs = ["masked_lm_log_probs", "sentence_order_log_probs"]
    before = {
        "classify": (TOKENS, ["labels", "probabilities"]),
        "serving_default": (TOKENS, ["labels", "probabilities"]),
        "encode": (TOKENS, ENCODED),
        "predict_masked": (words, log_probs),
    }
    text, pair = ["text_a"], ["text_a", "text_b"]
    with_tokens = sorted(ENCODED + ["input_ids", "input_mask"])
    added = {
        "classify_texts": (text, ["labels", "probabilities"]),
        "classify_pairs": (pair, ["labels", "probabilities"]),
        "encode_texts": (text, with_tokens),
        "encode_pairs": (pair, with_tokens),
    }
    assert signatures_of(exported[1]) == dict(before, **added)


def test_variables_are_resources_and_operations_are_of_tensorflow_alone(exported):
    operations = operations_of(exported[1])
    assert {"VarHandleOp", "UnicodeDecode", "PlaceholderWithDefault"} <= operations
    assert not operations & {"VariableV2", "Variable", "PyFunc", "HashTableV2"}


@pytest.mark.reference
def test_vectors_of_texts(tmp_path):
    notes = SentenceNotes("cls", True, 8, 12, (16, 8))
    folder = small_models.write_embedding_model(tmp_path / "model", notes)
    path = export(folder, tmp_path / "serving", "--task=embedding")
    given = signatures_of(path)
    assert given["embed_texts"] == (["text_a"], ["sentence_embedding"])
    assert "embed_pairs" not in given
    with text_encoder.TextEncoder(folder) as encoder:
        expected = encoder.encode(texts())
    found = run_signature(path, "embed_texts", text_a=texts())["sentence_embedding"]
    np.testing.assert_allclose(found, expected, atol=1e-5)


@pytest.mark.slow
def test_a_model_of_one_segment_takes_no_pairs(tmp_path):
    folder = small_models.write_model(tmp_path / "model", type_vocab_size=1)
    names = set(signatures_of(export(folder, tmp_path / "serving")))
    assert {"classify_texts", "encode_texts"} <= names
    assert not names & {"classify_pairs", "encode_pairs"}


@pytest.mark.slow
@pytest.mark.reference
def test_what_has_no_list_of_word_pieces_takes_no_texts(tmp_path, capsys):
    folder = small_models.write_model(tmp_path / "model", vocabulary=["a"] * 70)
    os.remove(os.path.join(folder, "vocab.txt"))
    path = export(folder, tmp_path / "serving")
    assert not [name for name in signatures_of(path) if name.endswith(("texts", "pairs"))]
    assert "no signatures that take texts: %s has no vocab.txt" % folder in capsys.readouterr().out
    lines = [text.strip() for text in texts(60) if text.strip()]
    source = sentencepiece_models.train_sentencepiece(tmp_path, lines, 50)
    folder = small_models.write_model(tmp_path / "pieces", vocabulary=["a"] * 50)
    os.remove(os.path.join(folder, "vocab.txt"))
    shutil.copyfile(source, os.path.join(folder, "spiece.model"))
    model = export_common.read_model(folder, "classifier")
    assert "has a SentencePiece model" in text_signatures.why_none(model)


def test_files_without_signatures_of_texts_are_used_as_before(tmp_path, monkeypatch):
    """Older versions wrote such files, with plain variables."""
    folder = classifier(tmp_path)
    monkeypatch.setattr(text_signatures, "why_none", lambda model: "an older version wrote it")
    session_of = export_common.session_of
    monkeypatch.setattr(
        export_common,
        "session_of",
        lambda model, **settings: session_of(model, **dict(settings, use_resource=False)),
    )
    path = export(folder, tmp_path / "serving")
    assert "VariableV2" in operations_of(path) and "classify_texts" not in signatures_of(path)
    with predictor.Predictor(folder) as model, predictor.Predictor(path) as exported:
        expected = model.predict(texts())[1]
        np.testing.assert_allclose(exported.predict(texts())[1], expected, atol=1e-6)


@pytest.mark.slow
def test_a_file_whose_tokens_are_others_is_not_kept(tmp_path, monkeypatch):
    tokens = graph_tokenizer.GraphTokenizer.tokens
    monkeypatch.setattr(
        graph_tokenizer.GraphTokenizer, "tokens", lambda self, given: tokens(self, given + "一")
    )
    folder = classifier(tmp_path)
    with pytest.raises(UserError, match="is not written: it splits texts into other tokens than"):
        export(folder, tmp_path / "serving")
    assert not os.path.exists(str(tmp_path / "serving" / "1"))


# TensorFlow 2, in a separate process, since this one builds graphs

IN_TENSORFLOW_2 = """
import json, sys
import tensorflow as tf

path, texts = sys.argv[1], tf.constant(["今天", "明天说"])
ids = tf.constant([[2, 5, 6, 3]])
tokens = {"input_mask": ids * 0 + 1, "segment_ids": ids * 0}
model = tf.saved_model.load(path)
default, of_texts, of_pairs = (
    model.signatures[name] for name in ("serving_default", "classify_texts", "classify_pairs")
)
answers = {
    "variables": len(model.variables),
    "inputs": {k: v.dtype.name for k, v in default.structured_input_signature[1].items()},
    "outputs": sorted(default.structured_outputs),
    "tokens": default(input_ids=ids, **tokens)["probabilities"].numpy().tolist(),
    "texts": of_texts(text_a=texts)["probabilities"].numpy().tolist(),
    "pairs": of_pairs(text_a=texts, text_b=texts)["probabilities"].numpy().tolist(),
}
with tf.GradientTape() as tape:
    loss = tf.reduce_sum(default(input_ids=ids, **tokens)["probabilities"][:, 0])
gradients = tape.gradient(loss, default.trainable_variables)
answers["gradients"] = sum(gradient is not None for gradient in gradients)
layer = getattr(tf.keras.layers, "TFSMLayer", None)  # of Keras 3
if layer:
    default, of_texts, of_pairs = (
        layer(path, call_endpoint=name)
        for name in ("serving_default", "classify_texts", "classify_pairs")
    )
    given = tf.keras.Input([], dtype="string")
    functional = tf.keras.Model(given, of_texts(given)["probabilities"])
    answers["keras"] = [
        default(ids, **tokens)["probabilities"].numpy().tolist(),
        functional(texts).numpy().tolist(),
        of_pairs(texts, text_b=texts)["probabilities"].numpy().tolist(),
    ]
    answers["weights"] = len(default.trainable_weights)
print(json.dumps(answers))
"""


@pytest.mark.slow
@pytest.mark.skipif(IS_TF1, reason="TensorFlow 2's loader")
def test_signatures_in_tensorflow_2_and_keras(exported):
    folder, path = exported
    command = [sys.executable, "-c", IN_TENSORFLOW_2, os.path.join(path, "1")]
    answers = json.loads(subprocess.check_output(command).decode("utf-8").splitlines()[-1])
    assert answers["inputs"] == dict.fromkeys(checkpoint_session.INPUT_NAMES, "int32")
    assert answers["outputs"] == ["labels", "probabilities"]
    model = export_common.read_model(folder, "classifier")
    with export_common.session_of(model):
        assert answers["variables"] == len(tf.global_variables()) > answers["gradients"] > 20
    row = np.array([[2, 5, 6, 3]], np.int32)
    tokens = {"input_ids": row, "input_mask": row * 0 + 1, "segment_ids": row * 0}
    expected = [run_signature(path, "classify", **tokens)["probabilities"]]
    with predictor.Predictor(folder) as model:
        for given in (["今天", "明天说"], [("今天", "今天"), ("明天说", "明天说")]):
            expected.append(model.predict(given)[1])
    for name, wanted in zip(("tokens", "texts", "pairs"), expected):
        np.testing.assert_allclose(answers[name], wanted, atol=1e-5)
    if "keras" in answers:
        assert answers["weights"] == answers["variables"]
        for found, wanted in zip(answers["keras"], expected):
            np.testing.assert_allclose(found, wanted, atol=1e-5)
