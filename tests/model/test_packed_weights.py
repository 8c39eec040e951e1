"""Weights packed as 8-bit integers: such a folder is used like any model folder."""

import os
import shutil
import subprocess
import sys
import tempfile
import zipfile
import zlib

import numpy as np
import pytest

from albert_zh.commands import convert_albert_tf_checkpoint_to_pytorch as to_pytorch
from albert_zh.commands import freeze_graph, inspect_checkpoint
from albert_zh.common.errors import UserError
from albert_zh.export import common as export_common
from albert_zh.inference.text_encoder import TextEncoder
from albert_zh.model.checkpoints import checkpoint_files, checkpoint_values, packed_weights
from project_root import ROOT
import small_models

sys.path.insert(0, os.path.join(ROOT, "scripts"))
import pack_model

TEXTS = ["今天天气很好", "怎么办理银行卡", "什么时候开门"]


@pytest.fixture(name="folders")
def folders_fixture(tmp_path):
    """Returns a model folder, and a copy of it with packed weights."""
    folder, small = small_models.write_embedding_model(tmp_path / "model"), str(tmp_path / "small")
    shutil.copytree(folder, small)
    for name in os.listdir(small):
        if name.startswith(("albert_model", "checkpoint")):
            os.remove(os.path.join(small, name))
    weights = checkpoint_values.read_weights(checkpoint_files.find_checkpoint(folder))
    with open(os.path.join(small, packed_weights.PACKED_FILE), "wb") as stream:
        packed_weights.write(stream, weights)
    return folder, small


@pytest.mark.slow
def test_the_script_shows_the_folder_as_it_is_given(folders, tmp_path):
    script = os.path.join(ROOT, "scripts", "pack_model.py")
    command = [sys.executable, script, "--model_dir=model", "--output_dir=packed"]
    done = subprocess.run(command, capture_output=True, text=True, cwd=str(tmp_path), timeout=120)
    assert done.stdout.startswith("packed/weights_int8.npz: "), done.stderr
    assert os.path.exists(str(tmp_path / "packed" / "weights_int8.npz"))


def test_each_output_has_its_scale():
    weights = {
        "matrix": np.array([[1.0, -100.0], [-0.5, 30.0]], np.float32),
        "vector": np.array([0.1, 7.0], np.float32),
    }
    arrays = packed_weights.packed(weights)
    assert arrays["matrix"].dtype == np.int8
    assert arrays["matrix"].tolist() == [[127, -127], [-64, 38]]
    np.testing.assert_allclose(arrays["matrix:scales"], [1 / 127, 100 / 127])
    assert arrays["vector"] is weights["vector"] and len(arrays) == 3


def test_what_is_written_is_read_within_half_a_step(tmp_path):
    weights = {"a/kernel": np.random.RandomState(1).normal(size=(50, 7)).astype(np.float32)}
    path = str(tmp_path / "w.npz")
    with open(path, "wb") as stream:
        packed_weights.write(stream, weights)
    found = packed_weights.read(path)["a/kernel"]
    steps = np.abs(weights["a/kernel"]).max(axis=0) / 127
    assert found.dtype == np.float32 and (np.abs(found - weights["a/kernel"]) <= 0.51 * steps).all()


def test_the_folder_is_opened_like_any_other(folders):
    folder, small = folders
    with TextEncoder(folder) as encoder:
        expected = encoder.encode(TEXTS)
    with TextEncoder(small) as encoder:
        found, fingerprint = encoder.encode(TEXTS), encoder.fingerprint_of()
    assert 0 < np.abs(found - expected).max() < 0.05
    with TextEncoder(small) as encoder:  # from the same temporary folder
        assert encoder.fingerprint_of() == fingerprint
    assert not [name for name in os.listdir(small) if name.endswith(".index")]
    prefix = checkpoint_files.find_checkpoint(small)
    assert checkpoint_files.find_checkpoint(small) == prefix
    assert os.path.exists(os.path.join(os.path.dirname(prefix), "sentence_embedding.json"))
    assert packed_weights.as_named(prefix) == small and packed_weights.as_named(folder) == folder


def test_a_damaged_file_is_told(folders):
    _, small = folders
    path = os.path.join(small, packed_weights.PACKED_FILE)
    with open(path, "r+b") as stream:
        stream.truncate(200)
    with pytest.raises(UserError, match="weights_int8.npz: the file is damaged") as error:
        TextEncoder(small)
    assert "\n" not in str(error.value)


def test_a_file_with_one_damaged_byte_is_named(tmp_path):
    """Regression: if the byte was compressed data, zlib's error was not caught."""
    path = tmp_path / "w.npz"
    with open(str(path), "wb") as stream:
        packed_weights.write(stream, {"a/kernel": np.arange(600, dtype=np.float32).reshape(20, 30)})
    content, reasons = path.read_bytes(), set()
    for place in range(0, len(content), 3):
        path.write_bytes(content[:place] + bytes([content[place] ^ 0xFF]) + content[place + 1 :])
        try:
            packed_weights.read(str(path))
        except UserError as error:
            assert "w.npz: the file is damaged" in str(error)
            reasons.add(type(error.__cause__))
    assert {zlib.error, zipfile.BadZipFile} <= reasons


def test_commands_name_the_folder_that_the_user_named(folders, capsys):
    """Regression: commands named the temporary folder with the unpacked weights, and its size."""
    _, small = folders
    lines = inspect_checkpoint.description(small)
    size = os.path.getsize(os.path.join(small, packed_weights.PACKED_FILE))
    assert lines[0] == "checkpoint  %s (TensorFlow, packed as 8-bit integers)" % small
    assert f"size        {size:,} bytes in 1 file" in lines
    assert "fits        " + os.path.relpath(os.path.join(small, "albert_config.json")) in lines
    output = small + ".pb"
    arguments = ["--input_checkpoint=" + small, "--output_graph=" + output]
    small_models.run_command(freeze_graph, arguments + ["--output_node_names=pooled_output"])
    assert "note: %s has packed weights and no .meta file" % small in capsys.readouterr().out
    assert os.path.getsize(output)


def test_what_is_written_by_default_lies_beside_the_packed_folder(folders, capsys):
    """Regression: the output was next to the temporary folder, under that folder's random name."""
    _, small = folders
    before = set(os.listdir(tempfile.gettempdir()))
    small_models.run_command(inspect_checkpoint, ["--drop_optimizer"], [small])
    assert "%s_weights: the model without" % small in capsys.readouterr().out
    small_models.run_command(to_pytorch, ["--tf_checkpoint_path=" + small])
    assert "%s -> %s_pytorch (" % (small, small) in capsys.readouterr().out
    assert checkpoint_files.find_checkpoint(small + "_weights")
    assert os.path.exists(os.path.join(small + "_pytorch", "model.safetensors"))
    left = set(os.listdir(tempfile.gettempdir())) - before
    assert not [name for name in left if name.endswith(("_weights", "_pytorch"))]


def run_pack_model(folder, output):
    arguments = ["--model_dir=%s" % folder, "--output_dir=%s" % output]
    small_models.run_command(pack_model, arguments)


def test_pack_model_fills_a_folder_that_may_be_there(folders, tmp_path, capsys):
    folder, _ = folders
    for _ in range(2):  # the second time, the folder exists
        run_pack_model(folder, tmp_path / "out")
    assert str(tmp_path / "out" / packed_weights.PACKED_FILE) in capsys.readouterr().out
    with TextEncoder(str(tmp_path / "out")) as encoder:
        assert np.isfinite(encoder.encode(TEXTS)).all()
    message = "^%s is a model of sentence vectors, without a classifier" % (tmp_path / "out")
    with pytest.raises(UserError, match=message):  # not the temporary folder
        export_common.read_model(str(tmp_path / "out"), "classifier")
    (tmp_path / "out" / "sentence_embedding.json").write_text('{"pooling": "max"}')
    with pytest.raises(UserError, match="out contains another model .its sentence_embedding.json"):
        run_pack_model(folder, tmp_path / "out")


def test_pack_model_keeps_the_encoder_of_an_electra(tmp_path):
    """Regression: the packed file had no weights of the encoder, although the command succeeded."""
    folder = small_models.write_embedding_model(tmp_path / "model", model_type="electra")
    run_pack_model(folder, tmp_path / "out")
    packed = packed_weights.read(str(tmp_path / "out" / packed_weights.PACKED_FILE))
    assert "electra/embeddings/word_embeddings" in packed
    with TextEncoder(str(tmp_path / "out")) as encoder:
        assert np.isfinite(encoder.encode(TEXTS)).all()


def test_pack_model_refuses_places_where_it_would_not_be_read(folders, tmp_path):
    """A checkpoint takes precedence over packed weights: the old model would silently be used."""
    folder, _ = folders
    shutil.copytree(folder, str(tmp_path / "other"))
    with pytest.raises(UserError, match="--output_dir=.*other: the checkpoint there .albert_model"):
        run_pack_model(folder, tmp_path / "other")
    (tmp_path / "file").write_text("x")
    with pytest.raises(UserError, match="file: cannot be written"):
        run_pack_model(folder, tmp_path / "file")
    with pytest.raises(UserError, match="no checkpoint .*nothing .neither this folder"):
        run_pack_model(tmp_path / "nothing", tmp_path / "out")
    assert (tmp_path / "file").read_text() == "x" and not (tmp_path / "out").exists()
