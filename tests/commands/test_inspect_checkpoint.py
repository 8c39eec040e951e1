"""Tests of inspect_checkpoint.py: the description, and the copy without optimizer slots."""

import json
import os
import shutil
import subprocess
import sys

import numpy as np
import pytest
import tensorflow.compat.v1 as tf

from albert_zh.commands import convert_albert_tf_checkpoint_to_pytorch as to_pytorch
from albert_zh.commands import inspect_checkpoint
from albert_zh.common import output_files
from albert_zh.common.errors import UserError
from albert_zh.conversion import pytorch_files
from albert_zh.model import modeling
from albert_zh.model.checkpoints import checkpoint_values, expected_variables, model_writer
import golden_cases
import small_models
from workspace import ROOT

CONFIG_TINY = os.path.join(ROOT, "albert_config", "albert_config_tiny.json")
CONFIG_BASE = os.path.join(ROOT, "albert_config", "albert_config_base.json")
SMALL = {
    "vocab_size": 50,
    "embedding_size": 6,
    "hidden_size": 12,
    "num_hidden_layers": 2,
    "num_attention_heads": 3,
    "intermediate_size": 24,
    "max_position_embeddings": 16,
    "type_vocab_size": 2,
}
GOOGLE = {"num_hidden_groups": 1, "inner_group_num": 1}


def made_model(folder, settings, heads=("encoder",), extra=()):
    """Writes a model folder; returns the number of its parameters."""
    config = modeling.AlbertConfig.from_dict(settings)
    parts = expected_variables.expected_shapes_by_part(config, num_labels=3)
    values = {
        name: golden_cases.rule_value(name, shape, is_small=True)
        for head in heads
        for name, shape in parts[head].items()
    }
    count = sum(value.size for value in values.values())
    values.update(extra)
    os.makedirs(str(folder), exist_ok=True)
    with open(os.path.join(str(folder), "albert_config.json"), "w") as handle:
        json.dump(settings, handle)
    model_writer.write_model_checkpoint(str(folder), values)
    return count


def described(path, config_file=None):
    """Returns {label: texts} of the description of a checkpoint."""
    rows = {}
    label = ""
    for line in inspect_checkpoint.description(str(path), config_file):
        label = line[:11].strip() or label
        rows.setdefault(label, []).append(line[11:].strip())
    return rows


def slots(name, shape, kind="adam"):
    return {"%s/%s_%s" % (name, kind, slot): np.ones(shape, np.float32) for slot in "mv"}


@pytest.mark.parametrize(
    "settings, layout",
    [
        (SMALL, "brightmart"),
        pytest.param(dict(SMALL, **GOOGLE), "google", marks=pytest.mark.slow),
        pytest.param(dict(SMALL, ffn_groups=4, **GOOGLE), "google_fast", marks=pytest.mark.slow),
        ({k: v for k, v in SMALL.items() if k != "embedding_size"}, "bert"),
    ],
)
def test_layout_and_the_config_beside_it_are_found(tmp_path, settings, layout):
    count = made_model(tmp_path, settings)
    rows = described(tmp_path)
    assert rows["layout"] == [layout]
    assert rows["fits"] == [os.path.relpath(str(tmp_path / "albert_config.json"))]
    assert rows["parameters"][0].startswith("%s in " % format(count, ","))
    assert rows["optimizer"] == ["no slots"] and rows["heads"] == ["none"]
    assert rows["step"] == ["unknown"]


def test_slots_step_and_heads_are_told_apart(tmp_path):
    extra = {"global_step": np.int64(1234)}
    extra.update(slots("bert/pooler/dense/kernel", [12, 12], "lamb"))
    extra.update(slots("output_bias", [3]))
    count = made_model(
        tmp_path, SMALL, ("encoder", "masked_lm", "sentence_order", "classification"), extra
    )
    rows = described(tmp_path / "albert_model.ckpt.index")
    assert rows["step"] == ["1,234"]
    assert rows["heads"] == ["classification (3 classes), masked_lm, sentence_order"]
    assert rows["optimizer"] == ["294 values in slots, %s with the parameters" % f"{count + 294:,}"]
    size = sum(os.path.getsize(str(path)) for path in tmp_path.glob("albert_model.ckpt.[di]*"))
    assert rows["size"] == ["%s bytes in 2 files" % f"{size:,}"]


def test_a_table_of_n_grams_is_part_of_the_classifier(tmp_path):
    extra = {"ngrams/table": np.ones([4, 3], np.float32), "ngrams/bias": np.ones([3], np.float32)}
    extra.update(slots("ngrams/table", [4, 3]))
    count = made_model(tmp_path, SMALL, ("encoder", "classification"), extra)
    rows = described(tmp_path)
    assert rows["heads"] == ["classification (3 classes, ngrams)"] and len(rows["fits"]) == 1
    assert rows["optimizer"] == ["24 values in slots, %s with the parameters" % f"{count + 39:,}"]


def test_what_an_objective_has_is_no_state_of_an_optimizer(tmp_path):
    names = ("generator/dense/kernel", "generator_predictions/output_bias",
             "discriminator_predictions/dense/bias", "cls/span_boundary/dense/bias")  # fmt: skip
    extra = {name: np.full([3, 2], number, np.float32) for number, name in enumerate(names)}
    extra.update(slots(names[0], [3, 2]), global_step=np.int64(2))
    count = made_model(tmp_path / "run", SMALL, ("encoder", "masked_lm"), extra)
    rows = described(tmp_path / "run")
    assert rows["layout"] == ["brightmart"] and len(rows["fits"]) == 1
    assert rows["heads"] == ["masked_lm, generator, replaced tokens, span boundary"]
    assert rows["optimizer"] == ["12 values in slots, %s with the parameters" % f"{count + 36:,}"]
    inspect_checkpoint.write_without_optimizer(str(tmp_path / "run"), str(tmp_path / "small"))
    reader = tf.train.load_checkpoint(str(tmp_path / "small/albert_model.ckpt"))
    for name in names:
        np.testing.assert_array_equal(reader.get_tensor(name), extra[name])
    assert not reader.has_tensor(names[0] + "/adam_m")


def test_a_checkpoint_of_training_fits_the_config_of_its_best_folder(tmp_path):
    """Regression: the output was "fits no config" and named one with another vocabulary size."""
    made_model(tmp_path / "run", SMALL)
    os.makedirs(str(tmp_path / "run" / "best"))
    config = str(tmp_path / "run" / "best" / "albert_config.json")
    os.rename(str(tmp_path / "run" / "albert_config.json"), config)
    assert described(tmp_path / "run")["fits"] == [os.path.relpath(config)]


def test_names_that_end_as_tensors_do_are_the_same_model(tmp_path):
    made_model(tmp_path, SMALL, ("encoder", "classification"))
    prefix = str(tmp_path / "albert_model.ckpt")
    values = checkpoint_values.read_weights(prefix)
    checkpoint_values.write_checkpoint(
        prefix, {name + ":0": value for name, value in values.items()}
    )
    rows = described(tmp_path)
    assert rows["fits"] == [os.path.relpath(str(tmp_path / "albert_config.json"))]
    assert rows["heads"] == ["classification (3 classes)"]


@pytest.mark.slow
def test_released_sizes_are_recognized(tmp_path):
    with open(CONFIG_TINY) as handle:
        made_model(tmp_path, json.load(handle), ("encoder", "masked_lm", "sentence_order"))
    os.remove(str(tmp_path / "albert_config.json"))
    rows = described(tmp_path)
    assert rows["fits"] == [os.path.relpath(CONFIG_TINY)]
    assert rows["parameters"] == ["4,295,186 in 31 variables"]
    rows = described(tmp_path, CONFIG_BASE)
    assert rows["fits"][0] == "%s (brightmart layout) does not" % CONFIG_BASE
    assert rows["fits"][1] == (
        "bert/embeddings/word_embeddings_2 is [128, 312], in the config [128, 768]"
    )
    assert len(rows["fits"]) == 2 + inspect_checkpoint.MAX_DIFFERENCES
    assert rows["fits"][-1] == "and 20 more differences"


def test_a_model_of_no_known_config_shows_its_sizes_and_the_nearest(tmp_path):
    with open(CONFIG_TINY) as handle:
        settings = dict(json.load(handle), vocab_size=77)
    made_model(tmp_path, settings)
    os.remove(str(tmp_path / "albert_config.json"))
    rows = described(tmp_path)
    assert rows["fits"] == ["no config of albert_config/"]
    assert rows["nearest"] == [
        os.path.relpath(CONFIG_TINY),
        "bert/embeddings/word_embeddings is [77, 128], in the config [21128, 128]",
    ]
    assert rows["sizes"][0] == (
        "vocab_size 77, embedding_size 128, hidden_size 312, max_position_embeddings 512"
    )


@pytest.mark.parametrize(
    "layout, changes, sizes",
    [
        ("electra", {"model_type": "electra"}, "embedding_size 6, hidden_size 12, max_position"),
        (
            "nezha",
            {"embedding_size": None, "use_relative_position": True},
            "max_position_embeddings ?",
        ),
    ],
)
def test_layouts_of_other_programs_are_named_with_their_sizes(tmp_path, layout, changes, sizes):
    made_model(tmp_path, dict(SMALL, **changes))
    rows = described(tmp_path)
    assert rows["layout"] == [layout]
    assert sizes in rows["sizes"][0]
    assert rows["fits"] == [os.path.relpath(str(tmp_path / "albert_config.json"))]


def test_another_layout_is_named_with_what_both_sides_have(tmp_path):
    made_model(tmp_path, dict(SMALL, **GOOGLE))
    other = tmp_path / "other.json"
    other.write_text(json.dumps(SMALL))
    rows = described(tmp_path, str(other))
    assert rows["layout"] == ["google"]
    assert rows["fits"][0] == "%s (brightmart layout) does not" % other
    assert "bert/embeddings/word_embeddings_2 [6, 12] is not in the checkpoint" in rows["fits"]


@pytest.mark.slow
def test_an_index_without_weights_is_enough(tmp_path):
    made_model(tmp_path, SMALL, extra={"global_step": np.int64(7)})
    os.remove(str(tmp_path / "albert_model.ckpt.data-00000-of-00001"))
    for path in (tmp_path, tmp_path / "albert_model.ckpt", tmp_path / "albert_model.ckpt.index"):
        rows = described(path)
        assert "TensorFlow, index only: the weights (.data) are missing" in rows["checkpoint"][0]
        assert rows["layout"] == ["brightmart"] and rows["step"] == ["unknown"]


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_values_that_no_model_can_have_are_named(tmp_path, value):
    names = ("bert/embeddings/word_embeddings", "bert/pooler/dense/bias")
    made_model(tmp_path, SMALL, extra={"global_step": np.int64(7)})
    assert "damaged" not in described(tmp_path)
    weights = checkpoint_values.read_weights(str(tmp_path / "albert_model.ckpt"))
    for name in names:
        weights[name].flat[-1] = value
    expected = (
        "2 variables with infinite or NaN values, such as %s: no command accepts this checkpoint"
        % names[0]
    )
    checkpoint_values.write_checkpoint(str(tmp_path / "albert_model.ckpt"), weights)
    assert described(tmp_path)["damaged"] == [expected]
    pytorch_files.write_safetensors(str(tmp_path / "model.safetensors"), weights)
    assert "2 variables" in described(tmp_path / "model.safetensors")["damaged"][0]


@pytest.mark.slow
@pytest.mark.parametrize("settings", [SMALL, dict(SMALL, **dict(GOOGLE, embedding_size=12))])
def test_pytorch_folders_and_files_are_read(tmp_path, settings):
    heads = ("encoder", "masked_lm", "sentence_order")
    made_model(tmp_path / "model", settings, heads)
    folder = tmp_path / "hf"
    to_pytorch.convert(str(tmp_path / "model/albert_model.ckpt"), str(folder))
    expected = described(tmp_path / "model")
    for path in (folder, folder / "model.safetensors"):
        rows = described(path)
        assert rows["fits"] == [os.path.relpath(str(folder / "config.json"))]
        for label in ("layout", "parameters", "sizes", "heads"):
            assert rows[label] == expected[label]
        assert "PyTorch" in rows["checkpoint"][0]


def test_what_is_no_albert_is_said(tmp_path):
    model_writer.write_model_checkpoint(str(tmp_path), {"conv/kernel": np.ones(3, np.float32)})
    assert described(tmp_path)["layout"] == [
        "unknown",
        "not a BERT or ALBERT; its variables begin with conv/kernel",
    ]


def test_index_files_of_released_models(shared):
    folder = os.path.join(shared, "data", "ckpt_index_only")
    expected = {  # layout and number of parameters
        "MarsRoger_albert_tiny": ("brightmart", "4,295,186 in 31 variables"),
        "ljwmusclenlper_albert_large_zh": ("brightmart", "18,084,490 in 31 variables"),
        "34127chi_albert_tiny_zh_google": ("google", "4,142,594 in 32 variables"),
        "hellonlp_albert_small_zh_google": ("google", "4,813,706 in 32 variables"),
        "jadepeng_google_albert_base_zh": ("google", "10,669,322 in 32 variables"),
    }
    for name, (layout, parameters) in expected.items():
        rows = described(os.path.join(folder, name))
        assert (rows["layout"], rows["parameters"]) == ([layout], [parameters]), name
        assert any(name in path or "albert_config" in path for path in rows["fits"])


def test_copy_without_slots_is_the_same_model_and_a_third_in_size(tmp_path):
    config = modeling.AlbertConfig.from_dict(SMALL)
    extra = {"global_step": np.int64(5)}
    for name, shape in expected_variables.expected_shapes(config).items():
        extra.update(slots(name, shape))
    made_model(tmp_path / "run", SMALL, extra=extra)
    (tmp_path / "run/vocab.txt").write_text("a\n")
    (tmp_path / "run/spiece.model").write_bytes(b"pieces")
    (tmp_path / "run/slot_dictionaries.tsv").write_text("a\tb\n")
    (tmp_path / "run/sentence_embedding.json").write_text("{}")
    line = inspect_checkpoint.write_without_optimizer(str(tmp_path / "run"))
    folder = tmp_path / "run_weights"
    assert line.startswith(str(folder))
    reader = tf.train.load_checkpoint(str(folder))
    source = tf.train.load_checkpoint(str(tmp_path / "run"))
    names = set(reader.get_variable_to_shape_map())
    assert names == set(expected_variables.expected_shapes(config)) | {"global_step"}
    for name in names:
        np.testing.assert_array_equal(reader.get_tensor(name), source.get_tensor(name))
    sizes = [
        os.path.getsize(str(path / "albert_model.ckpt.data-00000-of-00001"))
        for path in (tmp_path / "run", folder)
    ]
    assert 2.9 < sizes[0] / sizes[1] < 3.1
    copied = {"albert_config.json", "vocab.txt", "spiece.model", "checkpoint"}
    copied |= {"slot_dictionaries.tsv", "sentence_embedding.json"}
    assert copied < set(os.listdir(str(folder)))
    assert described(folder)["optimizer"] == ["no slots"]


@pytest.mark.slow
def test_a_checkpoint_of_fine_tuning_gets_the_files_of_its_best_folder(tmp_path):
    made_model(tmp_path / "run", SMALL)
    os.remove(str(tmp_path / "run/albert_config.json"))
    (tmp_path / "run/label_map.json").write_text("{}")
    line = inspect_checkpoint.write_without_optimizer(str(tmp_path / "run"), str(tmp_path / "no"))
    assert line.endswith("; copy its config and vocabulary there")
    made_model(tmp_path / "run/best", SMALL)
    (tmp_path / "run/best/vocab.txt").write_text("a\n")
    (tmp_path / "run/best/label_map.json").write_text("of the best")
    line = inspect_checkpoint.write_without_optimizer(str(tmp_path / "run"), str(tmp_path / "out"))
    assert line.endswith(" MB")
    assert {"albert_config.json", "vocab.txt"} < set(os.listdir(str(tmp_path / "out")))
    assert (tmp_path / "out/label_map.json").read_text() == "{}"
    assert described(tmp_path / "out")["fits"] == [
        os.path.relpath(str(tmp_path / "out/albert_config.json"))
    ]


def test_predictions_beside_a_checkpoint_are_no_part_of_the_model(tmp_path):
    """Regression: such files were copied in place of the dictionaries, which only best/ has."""
    made_model(tmp_path / "run", SMALL)
    for name in ("predictions.tsv", "test_results.tsv"):
        (tmp_path / "run" / name).write_text("text_a\tlabel\n")
    os.makedirs(str(tmp_path / "run/best"))
    (tmp_path / "run/best/slot_dictionaries.tsv").write_text("北京站\tstation\n")
    inspect_checkpoint.write_without_optimizer(str(tmp_path / "run"), str(tmp_path / "out"))
    tables = [name for name in os.listdir(str(tmp_path / "out")) if name.endswith(".tsv")]
    assert tables == ["slot_dictionaries.tsv"]


def test_the_source_is_never_overwritten_and_damage_is_told(tmp_path):
    made_model(tmp_path / "run", SMALL)
    with pytest.raises(UserError, match="the checkpoint's own folder"):
        inspect_checkpoint.write_without_optimizer(str(tmp_path / "run"), str(tmp_path / "run/."))
    data = str(tmp_path / "run/albert_model.ckpt.data-00000-of-00001")
    with open(data, "r+b") as handle:
        handle.truncate(1000)
    with pytest.raises(UserError, match="damaged or was truncated"):
        inspect_checkpoint.write_without_optimizer(str(tmp_path / "run"))
    assert sorted(os.listdir(str(tmp_path))) == ["run"]


@pytest.mark.slow
def test_command_prints_the_description_and_mistakes_are_one_line(tmp_path):
    made_model(tmp_path, SMALL)
    command = [sys.executable, os.path.join(ROOT, "inspect_checkpoint.py")]
    result = subprocess.run(
        command + [str(tmp_path), "--drop_optimizer", "--output_dir=%s" % (tmp_path / "small")],
        capture_output=True,
        text=True,
    )
    assert result.returncode == 0, result.stderr
    assert "layout      brightmart\n" in result.stdout
    assert "the model without optimizer slots" in result.stdout
    assert (tmp_path / "small/albert_model.ckpt.index").exists()
    shutil.rmtree(str(tmp_path / "small"))
    for words, named in (([], "expected one checkpoint"), (["nowhere"], "no checkpoint nowhere")):
        result = subprocess.run(command + words, capture_output=True, text=True)
        assert result.returncode == 2 and named in result.stderr
        assert result.stderr.count("\n") == 1


@pytest.mark.parametrize(
    "shapes",
    [
        {"output_bias": [], "output_weights": []},
        {"bert/embeddings/word_embeddings": [5]},
        {"bert/embeddings/word_embeddings": [], "bert/pooler/dense/kernel": []},
        {"output_bias": [0], "output_weights": [0, 4]},
    ],
)
def test_variables_of_any_shape_are_described(tmp_path, shapes):

    shapes = dict({"bert/encoder/layer_0/output/dense/kernel": [2, 2]}, **shapes)
    prefix = str(tmp_path / "model.ckpt")
    checkpoint_values.write_checkpoint(
        prefix, {n: np.zeros(s, np.float32) for n, s in shapes.items()}
    )
    lines = inspect_checkpoint.description(prefix)
    assert any("bert" in line for line in lines)


def test_configs_of_hugging_face_that_are_damaged_are_named(tmp_path):

    prefix = str(tmp_path / "model.ckpt")
    checkpoint_values.write_checkpoint(
        prefix, {"bert/encoder/layer_0/x": np.zeros([2], np.float32)}
    )
    sizes = dict.fromkeys(
        "hidden_size num_hidden_layers num_attention_heads intermediate_size "
        "max_position_embeddings type_vocab_size".split(),
        8,
    )
    for content, problem in (
        ({"model_type": ["bert"]}, "model_type: expected a text, or null"),
        ({"model_type": "bert"}, "vocab_size is missing"),
        (dict(sizes, model_type="bert", vocab_size=10**30), "vocab_size: expected an integer"),
        ([], "expected a JSON object"),
    ):
        path = str(tmp_path / "config.json")
        output_files.write_json(path, content)
        with pytest.raises(UserError, match="config.json: .*" + problem):
            inspect_checkpoint.description(prefix, path)


def test_a_folder_to_write_to_is_refused_where_nothing_is_written(tmp_path):
    arguments = ["--output_dir=%s" % (tmp_path / "out")]
    message = "--output_dir=.*/out: nothing is written without --drop_optimizer"
    with pytest.raises(UserError, match=message):
        small_models.run_command(inspect_checkpoint, arguments, [str(tmp_path)])
