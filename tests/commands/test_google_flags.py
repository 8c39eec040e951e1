"""Tests of flags that exist in Google's ALBERT programs and CLUE's, but not in albert_zh's."""

import glob
import os
import re

import numpy as np
import pytest
import tensorflow.compat.v1 as tf

from albert_zh.common import files
from albert_zh.common.errors import UserError
from albert_zh.inference import predictor
from albert_zh.model.checkpoints import checkpoint_files
from albert_zh.tasks import model_fn
from albert_zh.tasks import settings as task_settings
import pretraining_workspace as small
from workspace import Workspace, run_here, run_process


def steps_of(folder):
    """Returns the steps of the saved checkpoints."""
    return [
        checkpoint_files.checkpoint_step(p)
        for p in checkpoint_files.checkpoints_of_training(folder)
    ]


@pytest.mark.slow
@pytest.mark.newest
@pytest.mark.parametrize(
    "most, kept",
    [
        pytest.param(2, [10, 12], marks=pytest.mark.slow),
        (0, [0, 2, 4, 6, 8, 10, 12]),
    ],
)
def test_as_many_checkpoints_are_kept_as_asked_for(tmp_path, most, kept):
    workspace = Workspace(tmp_path)
    run_here(
        workspace.arguments(
            keep_checkpoint_max=most, save_checkpoints_steps=2, do_eval=False, do_predict=False
        )
    )
    assert steps_of(workspace.output) == kept


@pytest.mark.slow
def test_pretraining_keeps_twenty_checkpoints_by_default(tmp_path):
    workspace = small.Workspace(tmp_path)
    records = workspace.write_records("masked.tfrecord", small.masked_records(16))
    settings = {"input_file": records, "num_train_steps": 24, "save_checkpoints_steps": 1}
    small.run_here(workspace.arguments(**settings))
    assert steps_of(workspace.output) == list(range(5, 25))
    settings["num_train_steps"] = 26
    small.run_here(workspace.arguments(keep_checkpoint_max=3, **settings))
    assert steps_of(workspace.output)[-3:] == [24, 25, 26]


@pytest.mark.slow
@pytest.mark.reference
def test_steps_and_warm_up_by_number(tmp_path, capsys):
    workspace = Workspace(tmp_path)
    run_here(workspace.arguments(train_step=5, warmup_step=3, do_eval=False, do_predict=False))
    shown = capsys.readouterr().out
    assert "0.8333 epochs: 5 steps, 3 of them warm-up" in shown
    assert steps_of(workspace.output)[-1] == 5
    settings = files.read_json(os.path.join(workspace.output, "run_settings.json"))
    assert (settings["variable"]["train_step"], settings["variable"]["warmup_step"]) == (5, 3)


@pytest.mark.newest
@pytest.mark.slow
def test_features_are_shared_by_runs_of_the_same_data(tmp_path, capsys):
    workspace = Workspace(tmp_path)
    cached = str(tmp_path / "cache")
    settings = {"cached_dir": cached, "num_train_epochs": 1, "do_eval": False}
    run_here(workspace.arguments(**settings))
    made = {path: os.stat(path).st_mtime_ns for path in glob.glob(cached + "/*.tf_record")}
    names = [re.sub("-[0-9a-f]{12}", "-DIGEST", os.path.basename(path)) for path in sorted(made)]
    assert names == ["lcqmc_test-DIGEST.tf_record", "lcqmc_train-DIGEST.tf_record"]
    assert not glob.glob(workspace.output + "/*.tf_record")
    first = workspace.read("test_results.tsv")
    run_here(workspace.arguments(output_dir=str(tmp_path / "again"), **settings))
    assert (tmp_path / "again" / "test_results.tsv").read_text() == first
    run_here(
        workspace.arguments(**dict(settings, output_dir=str(tmp_path / "c"), max_seq_length=16))
    )
    now = {path: os.stat(path).st_mtime_ns for path in glob.glob(cached + "/*.tf_record")}
    assert len(now) == 2 * len(made) and now.items() > made.items()
    assert "stale" not in capsys.readouterr().out


def test_lamb_with_rates_by_depth():
    """Compares one step from constant weights with values computed by hand."""
    gradient = np.float32([[3.0, -4.0]])
    with tf.Graph().as_default(), tf.Session() as session:
        table = tf.get_variable("bert/embeddings/table", initializer=tf.ones([1, 2]))
        kernel = tf.get_variable("bert/pooler/kernel", initializer=2 * tf.ones([1, 2]))
        bias = tf.get_variable("output_bias", initializer=tf.ones([1, 2]))
        loss = tf.reduce_sum(gradient * (table + kernel + bias))
        settings = task_settings.Settings(optimizer="lamb", layer_decay=0.5)
        step = model_fn.create_train_op(loss, 0.1, 10, 0, False, settings)
        session.run(tf.global_variables_initializer())
        session.run(step)
        found = session.run([table, kernel, bias])
    clipped = gradient / np.linalg.norm(np.concatenate([gradient] * 3))

    def update(weight, decay):
        return 0.1 * clipped / (np.sqrt(0.001 * clipped**2) + 1e-6) + decay * weight

    def expected(value, decay, is_adapted, scale):
        weight = np.full([1, 2], value, np.float32)
        change = update(weight, decay)
        trust = np.linalg.norm(weight) / np.linalg.norm(change) if is_adapted else 1
        return weight - 0.1 * scale * trust * change

    np.testing.assert_allclose(found[0], expected(1, 0.01, True, 0.5), rtol=1e-5)
    np.testing.assert_allclose(found[1], expected(2, 0.01, True, 1), rtol=1e-5)
    np.testing.assert_allclose(found[2], expected(1, 0, False, 1), rtol=1e-5)


@pytest.mark.slow
@pytest.mark.newest
def test_fine_tuning_with_lamb_is_another_run(tmp_path):
    workspace = Workspace(tmp_path)
    settings = {"do_eval": False, "do_predict": False, "num_train_epochs": 1}
    run_here(workspace.arguments(optimizer="lamb", **settings))
    with pytest.raises(UserError, match="another optimizer"):
        run_here(workspace.arguments(**settings))


@pytest.mark.slow
@pytest.mark.newest
def test_the_best_model_is_exported_with_the_threshold(tmp_path):
    workspace = Workspace(tmp_path)
    exported = str(tmp_path / "exported")
    run_here(workspace.arguments(export_dir=exported, threshold_to_export=0.25))
    pairs = [("今天天气很好", "天气好"), ("吃饭", "什么时候开门")]
    with predictor.Predictor(os.path.join(workspace.output, "best")) as model:
        expected = model.predict(pairs)[1]
    with predictor.Predictor(exported) as model:
        np.testing.assert_allclose(model.predict(pairs)[1], expected, atol=1e-5)
    with tf.Graph().as_default(), tf.Session() as session:
        meta = tf.saved_model.loader.load(session, ["serve"], os.path.join(exported, "1"))
        signature = meta.signature_def["classify"]
        feeds = {tensor.name: np.ones([3, 8], np.int32) for tensor in signature.inputs.values()}
        found = session.run(signature.outputs["threshold"].name, feeds)
    np.testing.assert_array_equal(found, np.float32([0.25] * 3))


@pytest.mark.parametrize(
    "changes, words",
    [
        ({"keep_checkpoint_max": -1}, ["--keep_checkpoint_max=-1: expected 0 or more"]),
        ({"train_step": 0}, ["--train_step=0: expected a number above 0"]),
        ({"warmup_step": -1}, ["--warmup_step=-1: expected 0 or more"]),
        ({"warmup_step": 12}, ["--warmup_step=12", "less than the 12 steps"]),
        ({"threshold_to_export": 0.5}, ["--threshold_to_export", "--export_dir"]),
        ({"export_dir": "x", "keep_best": False}, ["--export_dir", "--keep_best"]),
        ({"export_dir": "x", "seeds": "1,2"}, ["--export_dir", "--seeds"]),
        ({"export_dir": "x", "do_eval": False}, ["--export_dir", "add --do_eval=true"]),
        (
            {"albert_hub_module_handle": "https://tfhub.dev/google/albert_base/3"},
            ["albert_base/3", "--init_checkpoint", "--spm_model_file"],
        ),
    ],
)
def test_mistakes(tmp_path, changes, words):
    workspace = Workspace(tmp_path)
    with pytest.raises(UserError) as caught:
        run_here(workspace.arguments(**changes))
    for word in words:
        assert word in str(caught.value)
    assert not steps_of(workspace.output)


@pytest.mark.slow
@pytest.mark.newest
def test_flags_without_effect_are_named(tmp_path, capsys):
    workspace = Workspace(tmp_path)
    run_here(
        workspace.arguments(
            tpu_zone="us-central1-a", iterations_per_loop=10, do_eval=False, num_train_epochs=1
        )
    )
    shown = capsys.readouterr().out
    assert (
        "without --use_tpu these flags have no effect: --tpu_zone, --iterations_per_loop" in shown
    )


@pytest.mark.slow
def test_remote_storage_is_refused_before_anything_is_done(tmp_path):
    workspace = Workspace(tmp_path)
    done = run_process(workspace.arguments(dictionaries="gs://bucket/x"), cwd=str(tmp_path))
    assert done.returncode == 2 and "--dictionaries=gs://bucket/x" in done.stderr
    assert not os.path.exists(workspace.output) and not os.path.exists(str(tmp_path / "gs:"))
