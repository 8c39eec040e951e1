"""Averages of models' weights: the arrays, the command and the models that it refuses."""

import json
import os
import shutil

import numpy as np
import pytest

from albert_zh.commands import average_models
from albert_zh.common import files
from albert_zh.common.errors import UserError
from albert_zh.inference.text_encoder import TextEncoder
from albert_zh.model.checkpoints import (
    checkpoint_files,
    checkpoint_values,
    model_writer,
    weight_averages,
)
from albert_zh.training import run_folder
import small_models


def weights_of(folder):
    return checkpoint_values.read_weights(checkpoint_files.find_checkpoint(folder))


def test_weights_are_averaged_and_steps_are_the_first_models():
    models = {
        "a": {
            "w": np.array([[1.0, 2.0]], np.float32),
            "b": np.float32([1, 1]),
            "global_step": np.int64(7),
        },
        "b": {
            "w": np.array([[2.0, 2.0]], np.float32),
            "b": np.float32([-1, 3]),
            "global_step": np.int64(9),
        },
        "c": {"w": np.array([[3.0, 5.0]], np.float32), "b": np.float32([3, 2])},
    }
    result = weight_averages.averaged(models)
    assert result["w"].dtype == np.float32 and result["global_step"] == 7
    np.testing.assert_allclose(result["w"], [[2.0, 3.0]])
    np.testing.assert_allclose(result["b"], [1.0, 2.0])  # directions of biases may differ


@pytest.mark.parametrize(
    "other, message",
    [
        ({"w": np.eye(3)}, r"a has w \[2, 2\], b has w \[3, 3\]: expected models of the same"),
        ({"w": np.eye(2), "more": np.ones(2)}, r"a has no more, b has more \[2\]: expected"),
        ({}, r"a has w \[2, 2\], b has no w"),
        (
            {"w": np.eye(2)[::-1]},
            "w of a and of b have a cosine similarity of 0.00: they were initialized with "
            "different",
        ),
        ({"w": np.zeros([2, 2])}, "w of a and of b have a cosine similarity of 0.00"),
    ],
)
def test_models_that_have_no_mean_are_refused(other, message):
    with pytest.raises(UserError, match=message):
        weight_averages.averaged({"a": {"w": np.eye(2)}, "b": other})


@pytest.fixture(name="folders")
def folders_fixture(tmp_path):
    """Writes two models with different notes and 1 % noise, like runs from the same start."""
    folders = [small_models.write_embedding_model(tmp_path / name) for name in ("one", "two")]
    draws = np.random.RandomState(3)
    for number, folder in enumerate(folders):
        weights = {
            name: (value + 0.01 * value.std() * draws.randn(*value.shape)).astype(np.float32)
            for name, value in weights_of(folder).items()
        }
        model_writer.write_model_checkpoint(folder, weights)
        notes = {"objective": "sentences", "dev": {"global_step": number}, "thresholds": [0.1]}
        notes["similarity_threshold"] = 0.8
        with open(os.path.join(folder, "fine_tuning.json"), "w") as handle:
            json.dump(notes, handle)
    return folders


def run(folders, output):
    arguments = ["--model_dirs=" + ",".join(folders), "--output_dir=%s" % output]
    small_models.run_command(average_models, arguments)


@pytest.mark.slow
@pytest.mark.reference
def test_the_command_writes_a_model_that_works(folders, tmp_path, capsys):
    run(folders, tmp_path / "mean")
    assert "the mean of 2 models" in capsys.readouterr().out
    one, two, mean = (weights_of(folder) for folder in (*folders, str(tmp_path / "mean")))
    assert one.keys() == mean.keys()
    for name, value in mean.items():
        np.testing.assert_allclose(value, (one[name] + two[name]) / 2, atol=1e-6)
    notes = json.loads((tmp_path / "mean" / "fine_tuning.json").read_text())
    assert notes == {"objective": "sentences"}  # nothing that belongs to a single run
    encoders = [TextEncoder(folder) for folder in (folders[0], str(tmp_path / "mean"))]
    vectors = [encoder.encode(["今天天气很好"])[0] for encoder in encoders]
    assert 0.9 < float(vectors[0] @ vectors[1]) < 1 - 1e-7


@pytest.mark.parametrize(
    "name", ["fine_tuning.json", "label_map.json", "run_settings.json", "sentence_embedding.json"]
)
def test_a_damaged_file_of_a_model_is_named(folders, tmp_path, name):
    for folder in folders:
        with open(os.path.join(folder, name), "w") as handle:
            handle.write('["x"]')
    with pytest.raises(UserError, match="one/%s: expected .*, found" % name):
        run(folders, tmp_path / "mean")
    assert not (tmp_path / "mean").exists()


def test_a_model_of_nan_is_not_averaged(folders, tmp_path):
    weights = weights_of(folders[1])
    weights["bert/pooler/dense/bias"][1] = np.nan
    model_writer.write_model_checkpoint(folders[1], weights)
    with pytest.raises(
        UserError, match="two/albert_model.ckpt: bert/pooler/dense/bias has infinite"
    ):
        run(folders, tmp_path / "mean")
    assert not (tmp_path / "mean").exists()


def test_checkpoints_of_pre_training_become_a_folder_with_their_config(tmp_path, capsys):
    """Regression: the folder had the run's settings instead of a config: it could not be opened."""
    model = small_models.write_model(tmp_path / "model")
    config = files.read_json(os.path.join(model, "albert_config.json"))
    weights, run_of = weights_of(model), tmp_path / "run"
    run_of.mkdir()
    prefixes = []
    for step in (2, 4):
        folder = tmp_path / str(step)
        model_writer.write_model_checkpoint(str(folder), weights)
        prefixes.append(str(run_of / ("model.ckpt-%d" % step)))
        for path in folder.glob("albert_model.ckpt.*"):
            shutil.copy(str(path), prefixes[-1] + path.name[len("albert_model.ckpt") :])
    run_folder.remember_settings(str(run_of), {"config": config}, {})
    run(prefixes, tmp_path / "mean")
    assert "has no vocabulary: copy the model's vocabulary there" in capsys.readouterr().out
    names = {path.name for path in (tmp_path / "mean").iterdir()}
    assert "albert_config.json" in names and "run_settings.json" not in names
    shutil.copy(os.path.join(model, "vocab.txt"), str(tmp_path / "mean"))
    before, after = (TextEncoder(str(f)).encode(["今天"])[0] for f in (model, tmp_path / "mean"))
    np.testing.assert_allclose(before, after, atol=1e-6)


def test_other_settings_and_single_models_are_refused(folders, tmp_path):
    with pytest.raises(UserError, match="expected at least two folders, each only once"):
        run(folders[:1], tmp_path / "mean")
    with pytest.raises(UserError, match="expected at least two folders, each only once"):
        run([folders[0], folders[0] + "/"], tmp_path / "mean")
    with pytest.raises(UserError, match="--model_dirs is required"):
        small_models.run_command(average_models, ["--output_dir=%s" % tmp_path])
    path = os.path.join(folders[1], "sentence_embedding.json")
    with open(path) as handle:
        notes = json.load(handle)
    with open(path, "w") as handle:
        json.dump(dict(notes, pooling="cls", width=8), handle)
    message = r"one and .*two differ in sentence_embedding.json \(pooling, width\): expected runs"
    with pytest.raises(UserError, match=message):
        run(folders, tmp_path / "mean")
    with open(os.path.join(folders[0], "vocab.txt"), "a") as handle:
        handle.write("新\n")
    os.remove(path)
    with pytest.raises(UserError, match="differ in sentence_embedding.json: expected"):
        run(folders, tmp_path / "mean")
    assert not (tmp_path / "mean").exists()


def test_generators_that_write_otherwise_are_refused(tmp_path):
    folders = [small_models.write_generator(tmp_path / name) for name in ("one", "two")]
    for folder, task in zip(folders, ("prefix_lm", "masked_targets")):
        path = os.path.join(folder, "fine_tuning.json")
        with open(path) as handle:
            notes = json.load(handle)
        notes["head"]["tasks"] = [task]
        with open(path, "w") as handle:
            json.dump(notes, handle)
    with pytest.raises(UserError, match=r"differ in fine_tuning.json \(head: tasks\): expected"):
        run(folders, tmp_path / "mean")


def test_tables_of_other_ngrams_are_refused(tmp_path):
    """Their shapes may be the same, but not what their rows mean."""
    heads = ({"ngram_rows": 1024}, {"ngram_rows": 1024, "ngram_length": 3})
    folders = [
        small_models.write_model(tmp_path / str(number), settings={"head": head})
        for number, head in enumerate(heads)
    ]
    with pytest.raises(UserError, match=r"differ in fine_tuning.json \(head: ngram_length\)"):
        run(folders, tmp_path / "mean")


def test_heads_of_different_seeds_are_refused(tmp_path):
    folders = [small_models.write_model(tmp_path / str(seed), seed=seed) for seed in (1, 2)]
    with pytest.raises(UserError, match="initialized with different weights"):
        run(folders, tmp_path / "mean")
    assert not (tmp_path / "mean").exists()


def test_a_model_is_not_replaced_by_its_mean(folders):
    with pytest.raises(UserError, match="it is an input too"):
        run(folders, folders[0])


def test_what_lies_beside_the_models_does_not_part_them(folders, tmp_path):
    """Regression: models were refused if one had further files, such as results of its run."""
    one, two = folders
    files_of_one = {"tokenizer.json": {"model": {}}, "eval_results.json": {"best": 1}}
    for name, content in files_of_one.items():
        with open(os.path.join(one, name), "w") as handle:
            json.dump(content, handle)
    with open(os.path.join(two, "predictions.tsv"), "w") as handle:
        handle.write("a\tb\n")
    os.rename(*(os.path.join(two, name) for name in ("albert_config.json", "my_config.json")))
    run(folders, tmp_path / "mean")
    names = {path.name for path in (tmp_path / "mean").iterdir()}
    assert {"albert_config.json", "vocab.txt", "sentence_embedding.json"} <= names
    assert not names & {"tokenizer.json", "eval_results.json", "my_config.json"}


def test_another_config_is_named_by_its_settings(folders, tmp_path):
    path = os.path.join(folders[1], "albert_config.json")
    config = files.read_json(path)
    with open(path, "w") as handle:
        json.dump(dict(config, num_attention_heads=1), handle)
    with pytest.raises(UserError, match=r"differ in config \(num_attention_heads\): expected runs"):
        run(folders, tmp_path / "mean")
