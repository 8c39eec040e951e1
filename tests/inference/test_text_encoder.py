"""Tests of vectors of texts, and of the command that writes them."""

import gc
import json
import os
import shutil
import sys

import numpy as np
import pytest
import tensorflow.compat.v1 as tf

from albert_zh.commands import extract_features
from albert_zh.common import package_files
from albert_zh.common.errors import UserError
from albert_zh.inference import input_rows, text_encoder, workers
from albert_zh.model import modeling
from albert_zh.model import (
    sentence_vectors as vectors_of_model,
)
from albert_zh.model.checkpoints import (
    checkpoint_files,
    checkpoint_matching,
    checkpoint_values,
    model_folder,
)
import small_models

TEXTS = ["今天天气很好", ("怎么办理", "银行卡？"), "", "好" * 30, "ab1，"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    path = tmp_path_factory.mktemp("models") / "encoder"
    return small_models.write_model(path, num_hidden_layers=5)


@pytest.fixture(scope="module")
def token_vectors(folder):
    """Returns [(tokens, float [tokens, 5 layers, H])] of TEXTS, the last layer first."""
    with text_encoder.TextEncoder(folder, "-1,-2,-3,-4,-5", None) as encoder:
        assert encoder.width == 5 * 16
        rows = encoder.encode_tokens(TEXTS)
        return [(tokens, vectors.reshape([len(tokens), 5, 16])) for tokens, vectors in rows]


NOTES = vectors_of_model.SentenceNotes("mean", True, 8, 10, (12, 8, 4), 12)


@pytest.fixture(scope="module")
def embedding_folder(tmp_path_factory):
    path = tmp_path_factory.mktemp("models") / "embedding"
    return small_models.write_embedding_model(path, NOTES)


def test_the_folder_of_an_embedding_model_is_followed(embedding_folder):
    prefix = checkpoint_files.find_checkpoint(embedding_folder)
    weights = checkpoint_values.read_weights(prefix)
    with text_encoder.TextEncoder(embedding_folder, max_seq_length=10, pooling="mean") as plain:
        pooled = plain.encode(TEXTS)
    projected = pooled @ weights["sentence_projection/kernel"]
    projected += weights["sentence_projection/bias"]
    with text_encoder.TextEncoder(embedding_folder) as encoder:
        assert (encoder.max_seq_length, encoder.width) == (10, 8)
        for settings, width, normalize in [
            ({}, 8, True),
            ({"normalize": False}, 8, False),
            ({"width": 4}, 4, True),
            ({"width": 12}, 12, True),
        ]:
            expected = projected[:, :width]
            if normalize:
                expected = expected / np.linalg.norm(expected, axis=1, keepdims=True)
            np.testing.assert_allclose(encoder.encode(TEXTS, **settings), expected, atol=1e-5)
        with pytest.raises(UserError, match="width: found 13, expected 1 to 12"):
            encoder.encode(TEXTS, width=13)
        for wrong in (True, 1.5):
            with pytest.raises(UserError, match="width: expected a whole number"):
                encoder.encode(TEXTS, width=wrong)
        of_folder = encoder.fingerprint_of()
    small = NOTES._replace(width=4)
    vectors_of_model.write_notes(embedding_folder, small)
    with text_encoder.TextEncoder(embedding_folder) as encoder:
        assert encoder.encode(TEXTS).shape[1] == 4 and encoder.fingerprint_of() != of_folder
    vectors_of_model.write_notes(embedding_folder, small._replace(widths=(99, 4)))
    with pytest.raises(UserError, match="sentence_embedding.json: a width of 99"):
        text_encoder.TextEncoder(embedding_folder)
    vectors_of_model.write_notes(embedding_folder, NOTES)


def test_the_command_follows_the_folder_of_an_embedding_model(embedding_folder, tmp_path):
    texts, output = tmp_path / "texts.txt", str(tmp_path / "vectors.npy")
    texts.write_text("今天天气很好\n怎么办理\n", encoding="utf-8")
    arguments = ["--model_dir=" + embedding_folder, "--input_file=%s" % texts]
    arguments.append("--output_file=" + output)
    with text_encoder.TextEncoder(embedding_folder) as encoder:
        for flags, settings in [
            ([], {}),
            (["--width=4"], {"width": 4}),
            (["--nonormalize"], {"normalize": False}),
        ]:
            small_models.run_command(extract_features, arguments + flags)
            expected = encoder.encode(["今天天气很好", "怎么办理"], **settings)
            np.testing.assert_allclose(np.load(output), expected, atol=1e-5)
    with pytest.raises(UserError, match="--width truncates vectors of texts"):
        small_models.run_command(extract_features, arguments + ["--width=4", "--pooling=none"])


def test_other_vectors_than_the_folder_of_an_embedding_model_describes_are_noted(
    embedding_folder, tmp_path, capsys
):
    texts = tmp_path / "texts.txt"
    texts.write_text("今天天气很好\n", encoding="utf-8")
    arguments = ["--model_dir=" + embedding_folder, "--input_file=%s" % texts]
    arguments.append("--output_file=%s" % (tmp_path / "vectors.npy"))
    described = os.path.join(embedding_folder, "sentence_embedding.json")
    note = "note: with --layers or --pooling the settings in %s are not used: " % described
    for flags, is_noted in (([], False), (["--pooling=mean"], True), (["--pooling=none"], False)):
        small_models.run_command(extract_features, arguments + flags)
        assert (note in capsys.readouterr().err) == is_noted


def test_two_models_in_the_flags_are_refused():
    flags = ["--model_dir=a", "--init_checkpoint=b"]
    with pytest.raises(
        UserError, match="^--init_checkpoint and --model_dir are mutually exclusive: "
    ):
        small_models.run_command(extract_features, flags)


def test_tokens_and_vectors_are_the_models(folder, token_vectors):
    assert token_vectors[1][0] == ["[CLS]"] + list("怎么办理") + ["[SEP]"] + list("银行卡？") + [
        "[SEP]"
    ]
    assert token_vectors[2][0] == ["[CLS]", "[SEP]"]
    ids = [[2, 5, 6, 6, 7, 8, 9, 3]]
    with tf.Graph().as_default(), tf.Session() as session:
        config = modeling.AlbertConfig.from_json_file(model_folder.config_in_folder(folder))
        layers = modeling.AlbertModel(config, False, tf.constant(ids)).get_all_encoder_layers()
        checkpoint_matching.initialize_from(
            checkpoint_files.find_checkpoint(folder), tf.trainable_variables()
        )
        session.run(tf.global_variables_initializer())
        expected = session.run(layers)
    tokens, vectors = token_vectors[0]
    assert tokens == ["[CLS]"] + list("今天天气很好") + ["[SEP]"]
    for index, layer in enumerate(reversed(expected)):
        np.testing.assert_allclose(vectors[:, index], layer[0], atol=1e-5)


COMBINED = {
    "last": lambda v: v[:, 0],
    "second_to_last": lambda v: v[:, 1],
    "last4_sum": lambda v: v[:, :4].sum(axis=1),
    "last4_concat": lambda v: v[:, [3, 2, 1, 0]].reshape([len(v), -1]),
    "-5": lambda v: v[:, 4],
}
POOLED = {
    "mean": lambda v: v.mean(axis=0),
    "max": lambda v: v.max(axis=0),
    "cls": lambda v: v[0],
    "mean_max": lambda v: np.concatenate([v.mean(axis=0), v.max(axis=0)]),
}


@pytest.mark.parametrize(
    "layers, pooling",
    [(layers, "mean") for layers in sorted(COMBINED)]
    + [("last", n) for n in ("cls", "max", "mean_max")],
)
def test_layers_and_pooling(folder, token_vectors, layers, pooling):
    with text_encoder.TextEncoder(folder, layers, pooling) as encoder:
        vectors = encoder.encode(TEXTS)
        normalized = encoder.encode(TEXTS, normalize=True)
    expected = [POOLED[pooling](COMBINED[layers](v)) for _, v in token_vectors]
    np.testing.assert_allclose(vectors, expected, atol=1e-5)
    np.testing.assert_allclose(np.linalg.norm(normalized, axis=1), 1, atol=1e-5)
    np.testing.assert_allclose(
        normalized, vectors / np.linalg.norm(vectors, axis=1, keepdims=True), atol=1e-5
    )


@pytest.mark.parametrize(
    "settings, message",
    [
        ({"layers": "first"}, "layers: unknown 'first', expected one of last, "),
        ({"layers": "-6"}, "layers: -6 needs layer -6, but the model's 5 layers are -1"),
        ({"layers": "0"}, "layers: 0 needs layer 0"),
        ({"pooling": "sum"}, "pooling: unknown 'sum'"),
        ({"precision": "fp16"}, "precision: unknown 'fp16', expected one of bfloat16"),
    ],
)
def test_unknown_choices(folder, settings, message):
    with pytest.raises(UserError, match=message):
        text_encoder.TextEncoder(folder, **settings)


def test_settings_of_training_that_are_none_are_told(folder, tmp_path):
    other = str(tmp_path / "other")
    shutil.copytree(folder, other)
    with open(os.path.join(other, "fine_tuning.json"), "w") as handle:
        handle.write("[]")
    with pytest.raises(UserError, match="fine_tuning.json: expected the JSON object that training"):
        text_encoder.TextEncoder(other)


def test_misuse_of_an_encoder(folder, tmp_path):
    with text_encoder.TextEncoder(folder) as encoder:
        with pytest.raises(UserError, match="vectors of tokens need None, found 'mean'"):
            encoder.encode_tokens(["a"])
        with pytest.raises(UserError, match="text 1 is None"):
            encoder.encode(["a", None])
        assert encoder.encode([]).shape == (0, 16)
    with pytest.raises(UserError, match="this TextEncoder is closed"):
        encoder.encode(["a"])
    with pytest.raises(UserError, match="no checkpoint"):
        text_encoder.TextEncoder(str(tmp_path / "none"))


# The command


def test_encoding_ends_between_batches_once_nobody_waits(folder, monkeypatch):
    monkeypatch.setattr(input_rows, "ROWS_PER_BATCH", 2)
    with text_encoder.TextEncoder(folder, num_threads=1) as encoder:
        answers = iter([True, True, False])
        with pytest.raises(workers.Abandoned):
            encoder.encode_with_lengths(["今天"] * 20, lambda: next(answers))
        asked = []
        _, vectors = encoder.encode_with_lengths(["今天"] * 4, lambda: not asked.append(True))
        assert len(asked) == 2 and np.array_equal(vectors, encoder.encode(["今天"] * 4))


@pytest.fixture
def extracted(folder, tmp_path, capfdbinary):
    lines = [text if isinstance(text, str) else " ||| ".join(text) for text in TEXTS]
    source = tmp_path / "texts.txt"
    source.write_text("\n".join(lines) + "\n", encoding="utf-8")

    def extract(name, *arguments):
        path = str(tmp_path / name) if name else None
        to_file = ["--output_file=" + path] if path else []
        small_models.run_command(
            extract_features,
            ["--model_dir=" + folder, "--input_file=%s" % source] + to_file + list(arguments),
        )
        return path or capfdbinary.readouterr().out.decode("utf-8")

    return extract


@pytest.fixture(scope="module")
def sentence_vectors(folder):
    with text_encoder.TextEncoder(folder) as encoder:
        return encoder.encode(TEXTS)


def test_npy_of_sentences_and_of_tokens(extracted, sentence_vectors, token_vectors):
    np.testing.assert_allclose(np.load(extracted("v.npy")), sentence_vectors, atol=1e-6)
    padded = np.load(extracted("t.npy", "--pooling=none", "--max_seq_length=40"), mmap_mode="r")
    assert padded.shape == (5, 40, 16) and padded.dtype == np.float32
    for row, (tokens, vectors) in zip(padded, token_vectors):
        np.testing.assert_allclose(row[: len(tokens)], vectors[:, 0], atol=1e-5)
        assert not row[len(tokens) :].any()


def test_the_pretrained_model_at_hand_is_the_default(folder, tmp_path, monkeypatch, capfd):
    monkeypatch.setattr(package_files, "ROOT", os.path.dirname(folder))
    monkeypatch.setattr(model_folder, "PRETRAINED", ("absent", os.path.basename(folder)))
    source = tmp_path / "texts.txt"
    source.write_text("今天\n", encoding="utf-8")
    small_models.run_command(extract_features, ["--input_file=%s" % source])
    shown = capfd.readouterr()
    assert json.loads(shown.out)["text"] == "今天"
    assert shown.err.startswith("model: %s\n" % os.path.relpath(folder))


def test_json_lines_of_sentences_and_of_tokens(extracted, sentence_vectors, token_vectors):
    records = [json.loads(line) for line in extracted(None).splitlines()]
    assert [record["text"] for record in records][:2] == ["今天天气很好", "怎么办理 ||| 银行卡？"]
    np.testing.assert_allclose([r["vector"] for r in records], sentence_vectors, atol=1e-5)
    with open(extracted("t.jsonl", "--pooling=none"), encoding="utf-8") as handle:
        records = [json.loads(line) for line in handle]
    for record, (tokens, vectors) in zip(records, token_vectors):
        assert record["tokens"] == tokens
        np.testing.assert_allclose(record["vectors"], vectors[:, 0], atol=1e-5)


def test_json_as_bert_writes_it(extracted, token_vectors):
    lines = extracted(None, "--format=bert_json", "--layers=-1,-3").splitlines()
    for number, (line, (tokens, vectors)) in enumerate(zip(lines, token_vectors)):
        record = json.loads(line)
        assert list(record) == ["linex_index", "features"] and record["linex_index"] == number
        assert [feature["token"] for feature in record["features"]] == tokens
        for position, feature in enumerate(record["features"]):
            assert [layer["index"] for layer in feature["layers"]] == [-1, -3]
            values = [layer["values"] for layer in feature["layers"]]
            np.testing.assert_allclose(values, vectors[position, [0, 2]], atol=1e-5)


def test_the_readmes_flags_go_with_berts_json(extracted, token_vectors, capfdbinary):
    flags = ["--layers=second_to_last", "--pooling=mean", "--normalize=true", "--format=bert_json"]
    path = extracted("vectors.npy", *flags)
    shown = capfdbinary.readouterr().err.decode("utf-8")
    assert "--pooling=mean has no effect" in shown and "ends in .jsonl" in shown
    with open(path, encoding="utf-8") as handle:
        features = [json.loads(line)["features"] for line in handle]
    for row, (_, vectors) in zip(features, token_vectors):
        expected = vectors[:, 1] / np.linalg.norm(vectors[:, 1], axis=1, keepdims=True)
        found = [feature["layers"][0]["values"] for feature in row]
        np.testing.assert_allclose(found, expected, atol=1e-5)
    both = extracted(None, "--layers=-1,-2", "--normalize=true", "--format=bert_json")
    for layer in json.loads(both.splitlines()[0])["features"][0]["layers"]:
        np.testing.assert_allclose(np.linalg.norm(layer["values"]), 1, atol=1e-5)


def test_json_as_bert_writes_it_has_each_layer_by_itself(extracted):
    with pytest.raises(UserError, match="sums layers, but.*--layers=-1,-2"):
        extracted(None, "--format=bert_json", "--layers=last4_sum")


def test_parquet(extracted, sentence_vectors, token_vectors):
    parquet = pytest.importorskip("pyarrow.parquet")
    table = parquet.read_table(extracted("v.parquet")).to_pydict()
    np.testing.assert_allclose(table["vector"], sentence_vectors, atol=1e-6)
    table = parquet.read_table(extracted("t.parquet", "--pooling=none")).to_pydict()
    assert table["tokens"] == [tokens for tokens, _ in token_vectors]
    np.testing.assert_allclose(table["vectors"][3], token_vectors[3][1][:, 0], atol=1e-5)


@pytest.mark.filterwarnings("error::pytest.PytestUnraisableExceptionWarning")
def test_parquet_of_input_that_cannot_be_read_is_closed_before_its_file(extracted, tmp_path):
    pytest.importorskip("pyarrow.parquet")
    (tmp_path / "bad.txt").write_bytes(b"\xff\xff\n")
    with pytest.raises(UserError, match="bad.txt, line 1: not UTF-8"):
        extracted("v.parquet", "--input_file=%s" % (tmp_path / "bad.txt"))
    gc.collect()


def test_parquet_that_cannot_be_imported_is_told_with_the_reason(extracted, monkeypatch):
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(UserError, match=r"needs pyarrow \(.*pyarrow.*-r requirements-extra.txt"):
        extracted("v.parquet")


def test_what_is_unlikely_to_be_meant_is_noted(extracted, tmp_path, capfdbinary):
    source = tmp_path / "other.txt"
    source.write_text("text_a ||| text_b\n\n今天\n" + "好" * 30 + "\n  \n", encoding="utf-8")
    extracted("v.npy", "--input_file=%s" % source, "--max_seq_length=8")
    shown = capfdbinary.readouterr().err.decode("utf-8").splitlines()
    assert len(np.load(tmp_path / "v.npy")) == 5
    assert [line for line in shown if line.startswith("note: ")] == [
        "note: %s, line 1 looks like a header (text_a | text_b), but is encoded like any other "
        "line: remove it if it is one (tail -n +2)" % source,
        "note: 2 of 5 lines are empty: their vectors are those of an empty text",
        "note: 2 of 5 texts have more than 8 tokens and were truncated",
        "note: %s: 30.8 %% of the word pieces are unknown to the vocabulary, most often text_a, "
        "text_b: the model cannot tell them apart" % source,
    ]
    source.write_text("今天\n明天\n", encoding="utf-8")
    extracted("v.npy", "--input_file=%s" % source)
    assert b"note: " not in capfdbinary.readouterr().err


def test_input_without_a_text_is_refused(extracted, tmp_path):
    source = tmp_path / "nothing.txt"
    source.write_bytes(b"")
    for name in ("v.npy", "v.jsonl", None):
        with pytest.raises(UserError, match="nothing.txt is empty: expected one text per line"):
            extracted(name, "--input_file=%s" % source)
    assert not [name for name in os.listdir(str(tmp_path)) if name.startswith("v.")]


def test_texts_that_are_cut_are_counted(folder):
    with text_encoder.TextEncoder(folder, max_seq_length=8) as encoder:
        encoder.encode(["好" * 6, "好" * 7, ("好" * 3, "好" * 3)])
        assert encoder.num_cut == 2
        encoder.encode(["好" * 9])
        assert encoder.num_cut == 3


@pytest.mark.parametrize("wanted, length", [(None, 10), (8, 8), (10, 10), (24, 24), (500, 64)])
def test_the_length_that_is_asked_for_goes_before_the_folders(embedding_folder, wanted, length):
    """The folder's length is 10 tokens; the model has 64 positions, which is the maximum."""
    text = "今天气很好我们去吃饭吧明天再说什么时候开门" * 4
    with text_encoder.TextEncoder(embedding_folder, max_seq_length=wanted) as encoder:
        assert encoder.max_seq_length == length
        found = encoder.encode([text, text[: length - 2], text[: length - 3]])
        assert encoder.num_cut == 1
    np.testing.assert_allclose(found[0], found[1], atol=1e-6)
    assert np.abs(found[1] - found[2]).max() > 1e-3  # the last token within the limit matters


@pytest.mark.parametrize("length", [8, 20])
def test_the_length_of_the_command_is_that_of_the_encoder(
    embedding_folder, tmp_path, capfd, length
):
    """One length is below the 10 tokens of the folder, the other above."""
    source = tmp_path / "texts.txt"
    source.write_text("今天气很好我们去吃饭吧明天再说什么时候开门\n", encoding="utf-8")
    flags = ["--model_dir=" + embedding_folder, "--input_file=%s" % source]
    flags.append("--max_seq_length=%d" % length)
    small_models.run_command(extract_features, flags)
    shown = capfd.readouterr()
    with text_encoder.TextEncoder(embedding_folder, max_seq_length=length) as encoder:
        expected = encoder.encode([source.read_text(encoding="utf-8").strip()])[0]
    np.testing.assert_allclose(json.loads(shown.out)["vector"], expected, atol=1e-5)
    assert "note: 1 of 1 texts have more than %d tokens and were truncated" % length in shown.err


def test_a_length_without_a_token_between_the_marks_is_refused(embedding_folder, tmp_path):
    (tmp_path / "texts.txt").write_text("今天\n", encoding="utf-8")
    flags = ["--model_dir=" + embedding_folder, "--input_file=%s" % (tmp_path / "texts.txt")]
    with pytest.raises(UserError, match="max_seq_length: 3 is too short, expected at least 8"):
        small_models.run_command(extract_features, flags + ["--max_seq_length=3"])


def test_notes_say_how_vectors_are_made(embedding_folder):
    """The notes replace those of the folder; their lack of a projection applies, too."""
    notes = vectors_of_model.SentenceNotes("cls", True, 16, 20)
    with text_encoder.TextEncoder(embedding_folder, notes=notes) as encoder:
        assert (encoder.width, encoder.max_seq_length) == (16, 20)
        found = encoder.encode(TEXTS)
    with text_encoder.TextEncoder(
        embedding_folder, layers="last", pooling="cls", max_seq_length=20
    ) as encoder:
        np.testing.assert_allclose(found, encoder.encode(TEXTS, normalize=True), atol=1e-5)


def test_input_that_cannot_be_read_leaves_no_file(extracted, tmp_path):
    (tmp_path / "gbk.txt").write_bytes("我们明天去银行\n".encode("gbk") * 3)
    for arguments, message in (
        (["--input_file=%s" % (tmp_path / "gbk.txt")], "line 1: the file is in GBK"),
        (["--input_file=%s" % (tmp_path / "none.txt")], "none.txt: cannot be read"),
        (["--model_dir=%s" % (tmp_path / "none")], "none"),
    ):
        with pytest.raises(UserError, match=message):
            extracted("v.npy", *arguments)
    (tmp_path / "own.jsonl").write_text("天")
    with pytest.raises(UserError, match="own.jsonl: it is an input too"):
        extracted("own.jsonl", "--input_file=%s" % (tmp_path / "own.jsonl"))
    with pytest.raises(UserError, match="the name does not show the format.*--format"):
        extracted("v.bin")
    with pytest.raises(UserError, match="--format=npy needs --output_file"):
        extracted(None, "--format=npy")
    assert not [name for name in os.listdir(str(tmp_path)) if name.startswith("v.")]
