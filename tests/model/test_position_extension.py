"""Position tables are extended beyond the trained positions."""

import json
import os
import shutil

import numpy as np
import pytest

from albert_zh.commands import extend_positions
from albert_zh.common.errors import UserError
from albert_zh.model.checkpoints import (
    checkpoint_files,
    checkpoint_values,
    model_writer,
    position_extension,
)
import small_models
from workspace import CONFIG

TRAINED, POSITIONS, WIDTH = 96, 256, 40


def sinusoids(positions, width, seed=0):
    """Returns a table [positions, W] of sums of a few sinusoids, so all further rows are known."""
    generator = np.random.RandomState(seed)
    frequencies = generator.uniform(0.05, 1.5, 10)
    phases = np.arange(positions)[:, None] * frequencies
    waves = np.concatenate([np.sin(phases), np.cos(phases)], axis=1)  # [positions, 20]
    return waves @ generator.normal(size=(20, width)) * 0.1 + generator.normal(size=width)


def test_sinusoids_are_continued_exactly():
    expected = sinusoids(POSITIONS, WIDTH)
    table = expected.copy()
    table[TRAINED:] = 7.0
    table[TRAINED - 2 : TRAINED] += 5.0  # as at the end of full inputs
    result = position_extension.extended(table, TRAINED)
    assert result.dtype == np.float32
    np.testing.assert_array_equal(result[: TRAINED - 6], table[: TRAINED - 6].astype(np.float32))
    np.testing.assert_allclose(result[TRAINED - 6 :], expected[TRAINED - 6 :], atol=1e-3)


def test_noisy_rows_neither_vanish_nor_grow():
    noise = np.random.RandomState(1).normal(size=(POSITIONS, WIDTH)) * 0.02
    table = sinusoids(POSITIONS, WIDTH) + noise
    norms = np.linalg.norm(position_extension.extended(table, TRAINED), axis=1)
    assert norms[TRAINED:].min() / norms[10:TRAINED].mean() > 0.5
    assert norms[TRAINED:].max() / norms[10:TRAINED].mean() < 2.0


@pytest.fixture(name="model")
def model_fixture(tmp_path):
    """Writes a model folder with 128 positions."""
    folder = str(tmp_path / "model")
    os.makedirs(folder)
    with open(os.path.join(folder, "albert_config.json"), "w") as handle:
        json.dump(dict(CONFIG, max_position_embeddings=128), handle)
    with open(os.path.join(folder, "vocab.txt"), "w") as handle:
        handle.write("[PAD]\n[UNK]\n")
    with open(os.path.join(folder, "fine_tuning.json"), "w") as handle:
        handle.write('{"do_lower_case": false}\n')
    weights = {
        position_extension.POSITION_TABLES[0]: sinusoids(128, CONFIG["hidden_size"]),
        "bert/pooler/dense/bias": np.ones(4),
        "discriminator_predictions/dense/bias": np.ones(3),
        position_extension.TABLE_OF_GENERATOR: 2 * sinusoids(128, 16),
    }
    checkpoint_values.write_checkpoint(os.path.join(folder, "albert_model.ckpt"), weights)
    return folder


def test_the_command_changes_the_table_alone(model, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(model_writer, "_write_meta_graph", lambda *arguments: None)
    output = str(tmp_path / "out")
    arguments = ["--model_dir=" + model, "--output_dir=" + output, "--trained_length=96"]
    small_models.run_command(extend_positions, arguments)
    assert "128 positions, extended from 96" in capsys.readouterr().out
    before, after = (
        checkpoint_values.read_weights(checkpoint_files.find_checkpoint(folder), True)
        for folder in (model, output)
    )
    tables = [position_extension.POSITION_TABLES[0], position_extension.TABLE_OF_GENERATOR]
    for name in tables:
        expected = position_extension.extended(before[name], 96)
        np.testing.assert_allclose(after[name], expected, atol=1e-5)
    assert set(after) == set(before) and len(before) == 4
    for name in set(before) - set(tables):
        np.testing.assert_array_equal(after[name], before[name])
    assert {"albert_config.json", "vocab.txt"} <= set(os.listdir(output))
    with open(os.path.join(output, "fine_tuning.json")) as handle:
        assert json.load(handle) == {"do_lower_case": False}


@pytest.mark.parametrize(
    "arguments, message",
    [
        ([], "--output_dir is required"),
        (["--output_dir={0}/out", "--trained_length=128"], "=128: expected 64 to 127"),
        (["--output_dir={0}/out", "--trained_length=10"], "=10: expected 64 to 127"),
        (["--output_dir={0}/model"], "it is an input too .--model_dir.: choose another place"),
    ],
)
def test_what_cannot_be_extended_is_refused(model, tmp_path, arguments, message):
    given = ["--model_dir=" + model] + [argument.format(tmp_path) for argument in arguments]
    with pytest.raises(UserError, match=message):
        small_models.run_command(extend_positions, given)


def test_a_short_table_is_named(tmp_path):
    folder = small_models.write_model(tmp_path / "short")  # it has 64 positions
    given = ["--model_dir=%s" % folder, "--output_dir=%s" % (tmp_path / "out")]
    with pytest.raises(UserError, match="has 64 positions: expected more than 64, from which"):
        small_models.run_command(extend_positions, given + ["--trained_length=64"])


def test_what_a_folder_of_training_lacks_is_noted(model, tmp_path, monkeypatch, capsys):
    """Regression: the output folder could not be opened, and no message had explained why."""
    monkeypatch.setattr(model_writer, "_write_meta_graph", lambda *arguments: None)
    output = str(tmp_path / "out")
    arguments = ["--model_dir=" + model, "--output_dir=" + output, "--trained_length=96"]
    for name, missing in (
        ("vocab.txt", "vocabulary"),
        ("albert_config.json", "config and no vocabulary"),
    ):
        os.remove(os.path.join(model, name))
        shutil.rmtree(output, ignore_errors=True)
        small_models.run_command(extend_positions, arguments)
        assert "note: %s has no %s" % (output, missing) in capsys.readouterr().out


@pytest.mark.parametrize("longest, is_told", [(96, False), (112, True)])
def test_positions_that_fine_tuning_has_trained_are_not_lost_silently(
    model, tmp_path, monkeypatch, capsys, longest, is_told
):
    monkeypatch.setattr(model_writer, "_write_meta_graph", lambda *arguments: None)
    with open(os.path.join(model, "fine_tuning.json"), "w") as handle:
        json.dump({"max_seq_length": longest}, handle)
    arguments = ["--model_dir=" + model, "--output_dir=%s" % (tmp_path / "out")]
    small_models.run_command(extend_positions, arguments + ["--trained_length=96"])
    note = (
        "fine-tuned on up to 112 tokens: the embeddings it has learned of positions after 96 are "
        "replaced"
    )
    assert (note in capsys.readouterr().out) == is_told
