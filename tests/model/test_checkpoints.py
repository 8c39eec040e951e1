"""Checkpoints: finding them, matching them with a config, error messages, model folders."""

import json
import os
import shutil
import socket

import numpy as np
import pytest
import tensorflow.compat.v1 as tf

from albert_zh.common import package_files
from albert_zh.common.errors import UserError
from albert_zh.model import modeling, start_checks
from albert_zh.model.checkpoints import (
    checkpoint_files,
    checkpoint_matching,
    checkpoint_values,
    expected_variables,
    model_folder,
    model_writer,
    whole_folders,
)
import golden_cases

SMALL = os.path.join(golden_cases.BUNDLED, "bm_small_postln.ckpt")


def config_of(name="bm_small_postln", **changes):
    settings = golden_cases.load_case(name)[0].to_dict()
    return modeling.AlbertConfig.from_dict(dict(settings, **changes))


def copy_checkpoint(folder, prefix="albert_model.ckpt"):
    for ending in (".index", ".data-00000-of-00001"):
        shutil.copyfile(SMALL + ending, os.path.join(str(folder), prefix + ending))
    return os.path.join(str(folder), prefix)


@pytest.mark.parametrize("ending", ["", ".index", ".data-00000-of-00001", ".meta"])
def test_a_prefix_or_any_of_its_files_is_found(tmp_path, ending):
    prefix = copy_checkpoint(tmp_path)
    assert checkpoint_files.find_checkpoint(prefix + ending) == prefix


def test_a_folder_is_found_though_its_state_names_another_machine(tmp_path):
    prefix = copy_checkpoint(tmp_path)
    (tmp_path / "checkpoint").write_text('model_checkpoint_path: "/cns/home/x/albert_model.ckpt"\n')
    assert checkpoint_files.find_checkpoint(str(tmp_path)) == prefix


def test_newest_of_a_folder_without_state_is_found(tmp_path):
    for step in (9, 100, 20):
        copy_checkpoint(tmp_path, "model.ckpt-%d" % step)
    assert checkpoint_files.find_checkpoint(str(tmp_path)).endswith("model.ckpt-100")


@pytest.mark.parametrize(
    "make, path, named",
    [
        ([], "", "contains no TensorFlow checkpoint"),
        ([], "albert_model.ckpt", "there is no checkpoint"),
        ([], "nowhere", "neither this folder nor "),
        (["other.ckpt.index"], "albert_model.ckpt", "there is other.ckpt"),
        (["a.ckpt.index"], "a.ckpt", "not its weights"),
        (["a.ckpt.data-00000-of-00001"], "a.ckpt", "a.ckpt.index is missing"),
        (["pytorch_model.bin"], "pytorch_model.bin", "PyTorch file"),
        (["model.safetensors"], "", "model.safetensors is a PyTorch file"),
        (["optimizer.pt", "z.bin"], "", "pytorch_checkpoint_to_tf.py --pytorch_model_path=FOLDER"),
        (["tf_model.h5"], "", "tf_model.h5 is a Keras file, expected a TensorFlow checkpoint: con"),
        (["lcqmc.onnx"], "", "lcqmc.onnx is an exported model, expected a TensorFlow checkpoint"),
        (["a.ckpt.data-00000-of-00001"], "", ".index file next to"),
        (["albert_tiny.zip"], "albert_tiny.zip", "is an archive, expected a model folder: unpack"),
        (["frozen.pb"], "frozen.pb", "is an exported model, expected a TensorFlow checkpoint"),
        (["checkpoint"], "checkpoint", "is a file, but not of a checkpoint: expected a model"),
    ],
)
def test_missing_checkpoints_are_explained(tmp_path, make, path, named):
    for name in make:
        (tmp_path / name).write_text("")
    with pytest.raises(UserError) as caught:
        checkpoint_files.find_checkpoint(os.path.join(str(tmp_path), path))
    assert named in str(caught.value).replace("%s/" % tmp_path, "FOLDER")


def test_how_a_released_model_is_got_is_told(tmp_path):
    for name, is_told in (("prev_trained_model/albert_tiny_zh", True), ("my_model", False)):
        with pytest.raises(UserError) as error:
            checkpoint_files.find_checkpoint(str(tmp_path / name))
        assert ("fetch_assets.py --list" in str(error.value)) == is_told


@pytest.mark.parametrize("name", ["v[1]", "back\\slash"])
def test_a_name_that_tensorflow_takes_for_a_pattern_is_refused(tmp_path, name):
    folder = tmp_path / name
    folder.mkdir()
    prefix = copy_checkpoint(folder)
    with pytest.raises(UserError, match=r"rename the folder$"):
        checkpoint_files.find_checkpoint(prefix)


@pytest.mark.parametrize("name", ["what?", "all*", "v1]", "中文 目录"])
def test_odd_names_that_tensorflow_finds_are_taken(tmp_path, name):
    folder = tmp_path / name
    folder.mkdir()
    prefix = copy_checkpoint(folder)
    assert checkpoint_files.find_checkpoint(str(folder)) == prefix
    checkpoint_values.check_readable(prefix)


def test_the_released_model_is_taken_before_the_bundled_one(tmp_path, monkeypatch):
    clone, here = tmp_path / "clone", tmp_path / "here"
    here.mkdir()
    monkeypatch.setattr(package_files, "ROOT", str(clone))
    monkeypatch.chdir(here)
    with pytest.raises(UserError, match="albert_tiny_489k.*or name one with --some_flag"):
        model_folder.pretrained_folder("some_flag")
    for name in reversed(model_folder.PRETRAINED):
        for place in (clone, here):
            os.makedirs(str(place / name))
            copy_checkpoint(place / name)
            assert os.path.abspath(model_folder.pretrained_folder()) == str(place / name)
    for place in (clone, here):
        (place / model_folder.PRETRAINED[0] / "albert_model.ckpt.index").unlink()  # incomplete copy
    assert model_folder.pretrained_folder() == "albert_starter_zh"


@pytest.mark.parametrize("is_relative", [False, True])
def test_state_that_names_a_missing_checkpoint_is_mended(tmp_path, monkeypatch, is_relative):
    """Otherwise TensorFlow would start from step 0, although the folder contains checkpoints."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "run").mkdir()
    folder = "run" if is_relative else str(tmp_path / "run")
    assert checkpoint_files.newest_of_training(folder) is None
    for step in (5, 40):
        copy_checkpoint(tmp_path / "run", "model.ckpt-%d" % step)
    (tmp_path / "run" / "checkpoint").write_text('model_checkpoint_path: "model.ckpt-50"\n')
    assert tf.train.latest_checkpoint(folder) is None
    newest = os.path.join(folder, "model.ckpt-40")
    assert checkpoint_files.newest_of_training(folder) == newest
    assert tf.train.latest_checkpoint(folder) == newest
    (tmp_path / "run").rename(tmp_path / "moved")
    assert tf.train.latest_checkpoint("moved") == os.path.join("moved", "model.ckpt-40")


def test_a_folder_that_lost_all_its_checkpoints_is_named(tmp_path):
    """Otherwise TensorFlow would end the training with a traceback."""
    (tmp_path / "checkpoint").write_text('model_checkpoint_path: "model.ckpt-50"\n')
    with pytest.raises(UserError, match="checkpoint names model.ckpt-50, whose files do not exist"):
        checkpoint_files.check_can_be_resumed(str(tmp_path))
    copy_checkpoint(tmp_path, "model.ckpt-40")
    checkpoint_files.check_can_be_resumed(str(tmp_path))


@pytest.mark.parametrize("num_bytes", [0, 100])
def test_a_checkpoint_whose_writing_was_killed_is_passed_over(tmp_path, num_bytes):
    """TensorFlow writes the index in place, and records the checkpoint afterwards."""
    folder = str(tmp_path)
    for step in (10, 20):
        copy_checkpoint(tmp_path, "model.ckpt-%d" % step)
    with open(os.path.join(folder, "model.ckpt-20.index"), "r+b") as handle:
        handle.truncate(num_bytes)
    tf.train.update_checkpoint_state(folder, "model.ckpt-10", ["model.ckpt-10"])
    assert checkpoint_files.newest_of_training(folder) == os.path.join(folder, "model.ckpt-10")
    tf.train.update_checkpoint_state(folder, "model.ckpt-20", ["model.ckpt-10", "model.ckpt-20"])
    with pytest.raises(UserError, match="model.ckpt-20: the checkpoint is damaged"):
        checkpoint_files.newest_of_training(folder)


def test_damaged_index_is_explained(tmp_path):
    prefix = copy_checkpoint(tmp_path)
    with open(prefix + ".index", "r+b") as handle:
        handle.truncate(100)
    with pytest.raises(UserError, match="not a readable TensorFlow checkpoint"):
        checkpoint_values.read_shapes(prefix)


def test_fitting_checkpoint_fills_the_encoder_and_names_what_is_new():
    shapes = dict(expected_variables.expected_shapes(config_of()), output_weights=[2, 24])
    result = checkpoint_matching.assign(shapes, SMALL)
    assert result.new == ["output_weights"] and not result.reshaped
    assert len(result.names) == len(shapes) - 1
    lines = checkpoint_matching.report(result, SMALL)
    assert "24 variables" in lines[0] and "output_weights" in lines[1]


@pytest.mark.parametrize(
    "changes, name, values",
    [
        ({}, None, None),
        ({"num_attention_heads": 6}, "num_attention_heads", (6, 4)),  # as 16, not 32, for xlarge
        ({"num_hidden_layers": 2}, "num_hidden_layers", (2, 3)),  # layers share their weights
        ({"hidden_act": "relu"}, "hidden_act", ("relu", "gelu")),
        ({"hidden_dropout_prob": 0.1}, None, None),
    ],
)
def test_another_config_than_that_beside_the_weights_is_warned_of(tmp_path, changes, name, values):
    """The shapes of the weights are the same, but the outputs differ."""
    prefix = copy_checkpoint(tmp_path)
    path = tmp_path / "albert_config.json"
    path.write_text(json.dumps(config_of().to_dict()))
    config = config_of(**changes)
    shapes = expected_variables.expected_shapes(config)
    warnings = start_checks.report(shapes, prefix, config)[1:]
    if name is None:
        assert warnings == []
    else:
        (warning,) = warnings
        words = (
            "warning: --bert_config_file has the %s %s, but %s next to the checkpoint has %s: "
            "the weights"
        )
        assert warning.startswith(words % (name, values[0], path, values[1]))
    path.unlink()
    assert start_checks.report(shapes, prefix, config)[1:] == []


@pytest.mark.parametrize(
    "settings, beside",
    [
        ({"model_type": "electra", "hidden_act": "gelu"}, {}),  # where it is the erf variant
        ({"hidden_act": "gelu"}, {"hidden_act": "GELU"}),
        ({}, {"num_attention_heads": 5, "hidden_size": 23}),  # an invalid config
    ],
)
def test_a_config_of_the_same_values_is_not_warned_of(tmp_path, settings, beside):
    settings = dict(config_of().to_dict(), **settings)
    content = json.dumps(dict(settings, **beside))
    (tmp_path / "albert_config.json").write_text(content)
    config = modeling.AlbertConfig.from_dict(settings)
    assert model_folder.config_warnings(config, str(tmp_path)) == []


@pytest.mark.parametrize(
    "config, words",
    [
        ({"hidden_size": 48}, ["word_embeddings_2 is [8, 24] there and [8, 48]", "another size"]),
        ({"vocab_size": 99}, ["[100, 8] there and [99, 8]", "vocabulary"]),
        ({"num_hidden_groups": 1}, ["it lacks", "it has", "brightmart layout", "google layout"]),
        ({"embedding_size": None}, ["bert/encoder/layer_0", "the bert layout"]),
    ],
)
def test_misfits_name_both_sides_and_the_cause(config, words):
    with pytest.raises(UserError) as caught:
        checkpoint_matching.assign(expected_variables.expected_shapes(config_of(**config)), SMALL)
    for word in words:
        assert word in str(caught.value)


def test_foreign_checkpoint_is_told(tmp_path):
    prefix = str(tmp_path / "other.ckpt")
    checkpoint_values.write_checkpoint(prefix, {"dense/kernel": np.zeros([2, 2], np.float32)})
    with pytest.raises(UserError, match="not a TensorFlow checkpoint of BERT or ALBERT"):
        checkpoint_matching.assign(expected_variables.expected_shapes(config_of()), prefix)


@pytest.mark.parametrize(
    "renamed",
    [
        lambda name: name + ":0",
        lambda name: name.replace("bert/", ""),
        lambda name: "model/" + name,
    ],
)
def test_names_of_other_writers_are_understood(tmp_path, renamed):
    values = checkpoint_values.read_weights(SMALL)
    prefix = str(tmp_path / "a.ckpt")
    checkpoint_values.write_checkpoint(prefix, {renamed(name): values[name] for name in values})
    with tf.Graph().as_default(), tf.Session() as session:
        modeling.AlbertModel(config_of(), False, tf.zeros([1, 4], tf.int32))
        checkpoint_matching.initialize_from(prefix, tf.trainable_variables())
        session.run(tf.global_variables_initializer())
        for name, found in session.run({v.op.name: v for v in tf.trainable_variables()}).items():
            np.testing.assert_array_equal(found, values[name])


def test_on_tpu_the_weights_come_in_a_scaffold():
    values = checkpoint_values.read_weights(SMALL)
    with tf.Graph().as_default():
        modeling.AlbertModel(config_of(), False, tf.zeros([1, 4], tf.int32))
        assignment, scaffold_fn = checkpoint_matching.initialize_from(
            SMALL, tf.trainable_variables(), use_tpu=True
        )
        assert len(assignment.names) == 24
        scaffold = scaffold_fn().finalize()
        with tf.Session() as session:
            session.run(scaffold.init_op)
            for name, found in session.run(
                {v.op.name: v for v in tf.trainable_variables()}
            ).items():
                np.testing.assert_array_equal(found, values[name])


def test_classifier_of_another_size_starts_anew(tmp_path):
    values = dict(
        checkpoint_values.read_weights(SMALL), output_weights=np.zeros([5, 24], np.float32)
    )
    prefix = str(tmp_path / "a.ckpt")
    checkpoint_values.write_checkpoint(prefix, values)
    shapes = dict(expected_variables.expected_shapes(config_of()), output_weights=[2, 24])
    result = checkpoint_matching.assign(shapes, prefix)
    assert result.reshaped == {"output_weights": ([2, 24], [5, 24])}


def test_model_folder_is_whole_and_holds_no_slots(tmp_path):
    source = str(tmp_path / "model.ckpt-7")
    values = checkpoint_values.read_weights(SMALL)
    slots = {name + "/adam_m": value for name, value in values.items()}
    step = {"global_step": np.int64(7)}
    checkpoint_values.write_checkpoint(source, dict(values, **dict(slots, **step)))
    folder = str(tmp_path / "best")
    for _ in range(2):  # the second folder replaces the first
        model_writer.replace_model_folder(
            folder, source, {"vocab.txt": b"a\n"}, {"label_map.json": {"0": 0}}
        )
    prefix = checkpoint_files.find_checkpoint(folder)
    assert os.path.basename(prefix) == "albert_model.ckpt"
    reader = tf.train.load_checkpoint(prefix)
    assert set(reader.get_variable_to_shape_map()) == set(values) | {"global_step"}
    assert reader.get_tensor("global_step") == 7
    for name in values:
        np.testing.assert_array_equal(reader.get_tensor(name), values[name])
    assert not [name for name in os.listdir(str(tmp_path)) if "best." in name]


def test_what_was_exported_from_the_former_model_is_named(tmp_path, capsys):
    folder = str(tmp_path / "best")
    model_writer.replace_model_folder(folder, SMALL, {"vocab.txt": b"a"})
    (tmp_path / "best" / "model.tflite").write_bytes(b"x")
    assert "removed" not in capsys.readouterr().out
    model_writer.replace_model_folder(folder, SMALL, {"vocab.txt": b"a"})
    assert "best with the previous model: model.tflite: exported files" in capsys.readouterr().out
    assert not os.path.exists(os.path.join(folder, "model.tflite"))


def test_tensorflows_error_of_a_full_disk_is_one_line(tmp_path, monkeypatch):
    def full(prefix, values):
        raise tf.errors.ResourceExhaustedError(None, None, "x; No space left on device\nmore")

    monkeypatch.setattr(checkpoint_values, "write_checkpoint", full)
    folder = str(tmp_path / "model")
    with pytest.raises(UserError, match="model: cannot be written .x; No space left on device.: f"):
        model_writer.replace_model_folder(folder, SMALL, {})
    with pytest.raises(UserError, match="No space"), whole_folders.filled_folder(folder) as partial:
        model_writer.fill_model_folder(partial, SMALL, {})


def test_folder_lost_between_two_renames_comes_back(tmp_path):
    (tmp_path / "best.old").mkdir()
    (tmp_path / "best.old" / "vocab.txt").write_text("a")
    whole_folders.restore_model_folder(str(tmp_path / "best"))
    assert os.listdir(str(tmp_path / "best")) == ["vocab.txt"]


def test_released_indexes_fit_their_configs(shared):
    """The index files contain names and shapes; the weights are not available."""
    folder = os.path.join(shared, "data", "ckpt_index_only")
    checked = 0
    for name in sorted(os.listdir(folder)):
        listing = sorted(os.listdir(os.path.join(folder, name)))
        index = [file for file in listing if file.endswith(".index")]
        if not index:
            continue
        config_file = [file for file in listing if file.startswith("albert_config")][0]
        config = modeling.AlbertConfig.from_json_file(os.path.join(folder, name, config_file))
        prefix = os.path.join(folder, name, index[0][: -len(".index")])
        result = checkpoint_matching.assign(expected_variables.expected_shapes(config), prefix)
        assert not result.new, name
        checked += 1
    assert checked >= 6


def test_what_a_checkpoint_lacks_is_added_as_often_as_need_be(tmp_path):
    prefix = str(tmp_path / "model.ckpt-4")
    expected = {"a": np.float32(1), "b": np.arange(3, dtype=np.float32)}
    checkpoint_values.write_checkpoint(prefix, expected)
    for name in ("skipped_steps", "loss_scale"):
        checkpoint_files.add_missing(prefix, {name: np.float32(2), "a": np.float32(7)})
        expected[name] = np.float32(2)
        reader = tf.train.load_checkpoint(prefix)
        assert set(reader.get_variable_to_shape_map()) == set(expected)
        for key, value in expected.items():
            np.testing.assert_array_equal(reader.get_tensor(key), value)
        names = sorted(os.listdir(str(tmp_path)))
        shards = len(expected) - 1
        assert names[:-1] == [
            "model.ckpt-4.data-%05d-of-%05d" % (number, shards) for number in range(shards)
        ]


def test_the_output_folder_of_a_run_names_its_model(tmp_path):
    with pytest.raises(UserError, match="contains no config JSON .*: expected a model folder$"):
        model_folder.config_in_folder(str(tmp_path))
    (tmp_path / "best").mkdir()
    with pytest.raises(UserError, match="expected a model folder, such as .*best$"):
        model_folder.config_in_folder(str(tmp_path))


@pytest.mark.parametrize("makes", [whole_folders.filled_folder, whole_folders.replaced_folder])
def test_a_killed_process_of_the_same_number_does_not_block_a_folder(tmp_path, makes):
    """A restarted container has the same host name and process ids."""
    folder = str(tmp_path / "out")
    left = tmp_path / ("out.partial-%s-%d" % (socket.gethostname(), os.getpid()))
    left.mkdir()
    (left / "half.txt").write_text("half")
    with makes(folder) as partial:
        os.makedirs(partial, exist_ok=True)
        with open(os.path.join(partial, "whole.txt"), "w") as stream:
            stream.write("whole")
    assert os.listdir(str(tmp_path)) == ["out"] and os.listdir(folder) == ["whole.txt"]


def test_two_processes_that_replace_a_folder_at_once_do_not_mix_their_files(tmp_path, monkeypatch):
    """Regression: the second process removed the first one's files and left half of a folder."""
    folder = str(tmp_path / "out")
    with whole_folders.replaced_folder(folder) as first:
        os.makedirs(first)
        (tmp_path / os.path.basename(first) / "first.txt").write_text("1")
        with monkeypatch.context() as patch:
            patch.setattr(os, "getpid", os.getppid)  # the id of another live process
            with whole_folders.replaced_folder(folder) as second:
                os.makedirs(second)
                (tmp_path / os.path.basename(second) / "second.txt").write_text("2")
            assert os.listdir(folder) == ["second.txt"]
    assert os.listdir(folder) == ["first.txt"] and os.listdir(str(tmp_path)) == ["out"]
