"""Fine-tuning with model, data and output folder in memory (ram://)."""

import json
import os
import random

import numpy as np
import pytest
import tensorflow.compat.v1 as tf

from albert_zh import finetuning
from albert_zh.common import storage, transfer
from albert_zh.common.errors import UserError
from albert_zh.conversion import to_pytorch
from albert_zh.finetuning import output_folder
from albert_zh.model.checkpoints import checkpoint_files, checkpoint_values
import memory_storage
import tiny_tasks
from workspace import Workspace, assert_same_weights

pytestmark = memory_storage.MARKS
SETTINGS = {
    "task_name": "lcqmc",
    "max_seq_length": 24,
    "train_batch_size": 16,
    "train_step": 4,
    "save_checkpoints_steps": 2,
    "learning_rate": 3e-3,
    "seed": 4,
    "do_train": True,
    "do_eval": True,
    "do_predict": True,
    "plain": True,  # no XLA and other optimizations, which are tested elsewhere
}


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """Yields a local workspace; `folder.bucket` is a copy of its files in memory."""
    workspace = Workspace(tmp_path / "local", num_train=48, num_dev=12, num_test=6)
    with memory_storage.bucket(tmp_path, monkeypatch) as workspace.bucket:
        transfer.upload_folder(workspace.folder, workspace.bucket)
        yield workspace


def settings_in(place, **changes):
    named = {
        "data_dir": place + "/data",
        "bert_config_file": place + "/model/albert_config_small.json",
        "vocab_file": place + "/model/vocab.txt",
        "output_dir": place + "/out",
    }
    return dict(SETTINGS, **dict(named, **changes))


def names_below(place):
    if storage.is_remote(place):
        return [path[len(place) + 1 :] for path in storage.files_below(place)]
    paths = (os.path.join(above, name) for above, _, names in os.walk(place) for name in names)
    return sorted(os.path.relpath(path, place) for path in paths)


def results(place):
    """Returns the results of a run that do not depend on time and place."""
    metrics = memory_storage.content(place + "/metrics.jsonl").decode().splitlines()
    reached = json.loads(memory_storage.content(place + "/eval_results.json"))
    return {
        "metrics": sorted(metrics),
        "evaluations": reached["evaluations"],
        "best": reached["best"],
        "test": reached["test"],
        "predictions": memory_storage.content(place + "/test_results.tsv"),
        "settings": json.loads(memory_storage.content(place + "/run_settings.json"))["fixed"],
    }


def weights(place):
    return checkpoint_values.read_weights(checkpoint_files.find_checkpoint(place))


def assert_same_run(one, other):
    expected, found = results(one), results(other)
    assert sorted(expected) == sorted(found)
    for name in expected:
        assert found[name] == expected[name], name
    assert_same_weights(weights(one), weights(other))
    assert_same_weights(weights(one + "/best"), weights(other + "/best"))


@pytest.mark.slow
def test_a_run_in_a_bucket_is_that_of_local_files(folder, tmp_path, capsys):
    for place in (folder.folder, folder.bucket):
        finetuning.run(**settings_in(place, cached_dir=place + "/cache"))
    assert_same_run(folder.output, folder.bucket + "/out")
    # The names of TensorFlow's event files contain the time.
    local, remote = (
        [name for name in names_below(place) if "tfevents" not in name]
        for place in (folder.output, folder.bucket + "/out")
    )
    assert remote == local and "report.md" in remote and "best/albert_model.ckpt.index" in remote
    assert "train.log" in remote and "learning_curve.png" in remote
    shown = capsys.readouterr().out
    assert "log and lock until the run ends: " + str(tmp_path / "scratch") in shown
    cached = storage.matching(folder.bucket + "/cache/lcqmc_*.tf_record")
    assert len(cached) == 3
    written = [storage.fingerprint(path) for path in cached]
    finetuning.run(**settings_in(folder.bucket, cached_dir=folder.bucket + "/cache", seed=4))
    assert [storage.fingerprint(path) for path in cached] == written
    with pytest.raises(UserError, match="another train_batch_size .16, now 8."):
        finetuning.run(**settings_in(folder.bucket, train_batch_size=8))


@pytest.mark.slow
def test_killed_at_any_write_it_ends_with_the_same_bits(folder, monkeypatch):
    whole = memory_storage.Mortal()
    monkeypatch.setattr(storage, "gfile", lambda: whole)
    finetuning.run(**settings_in(folder.bucket, output_dir=folder.bucket + "/straight"))
    moments = random.Random(1)
    for _ in range(4):
        mortal = memory_storage.Mortal(moments.randrange(3, whole.count // 2))
        monkeypatch.setattr(storage, "gfile", lambda mortal=mortal: mortal)
        with pytest.raises(memory_storage.Killed):
            finetuning.run(**settings_in(folder.bucket))
    monkeypatch.undo()
    monkeypatch.chdir(os.path.join(os.path.dirname(folder.folder), "here"))
    finetuning.run(**settings_in(folder.bucket))
    assert_same_run(folder.bucket + "/straight", folder.bucket + "/out")
    assert not [name for name in storage.names_in(folder.bucket + "/out") if "partial" in name]


@pytest.mark.slow  # test_target_cache.py tests the cache in a bucket
def test_teachers_in_a_bucket_teach_as_local_ones(folder, capsys):
    """The teachers are a model folder, its PyTorch conversion and a file of probabilities."""
    finetuning.run(**settings_in(folder.folder, output_dir=folder.folder + "/teacher"))
    best = folder.folder + "/teacher/best"
    to_pytorch.convert(checkpoint_files.find_checkpoint(best), folder.folder + "/pytorch")
    pairs = []
    for name in ("train", "dev"):
        with open("%s/%s.txt" % (folder.data, name), encoding="utf-8") as lines:
            pairs += [line.split("\t")[:2] for line in lines][1:]
    pairs.append(pairs[0][::-1])
    folder.write("more_1.tsv", "\t".join(pairs[-1]) + "\n")
    rows = [["text_a", "text_b", "P(0)", "P(1)"]] + [pair + ["0.7500", "0.2500"] for pair in pairs]
    folder.write("teacher.tsv", "".join("\t".join(row) + "\n" for row in rows))
    for name in ("teacher", "pytorch", "teacher.tsv", "more_1.tsv"):
        source = folder.folder + "/" + name
        copy = transfer.upload_folder if os.path.isdir(source) else transfer.upload
        copy(source, folder.bucket + "/" + name)
    for place in (folder.folder, folder.bucket):
        names = ("teacher/best", "pytorch", "teacher.tsv")
        settings = {
            "teachers": ["%s/%s" % (place, name) for name in names],
            "unlabelled_file": place + "/more_*.tsv",
        }
        finetuning.run(**settings_in(place, **settings))
        assert capsys.readouterr().out.count(" targets computed") == 2
    assert_same_run(folder.output, folder.bucket + "/out")
    finetuning.run(**settings_in(folder.bucket, output_dir=folder.bucket + "/out", **settings))
    assert " targets computed" not in capsys.readouterr().out


def test_a_best_folder_that_was_being_replaced_is_made_again(folder):
    best = folder.bucket + "/out/best"
    for path in (best + "/vocab.txt", best + ".partial-elsewhere-1/vocab.txt"):
        transfer.upload(folder.vocab, path)
    transfer.remove_unfinished(best)
    assert storage.names_in(folder.bucket + "/out") == []
    transfer.upload(folder.vocab, best + "/albert_model.ckpt.index")
    transfer.remove_unfinished(best)
    assert storage.names_in(folder.bucket + "/out") == ["best"]


def test_older_checkpoints_are_removed(tmp_path, monkeypatch):
    """Afterwards the newest checkpoint is still found, also in a bucket."""
    with memory_storage.bucket(tmp_path, monkeypatch) as folder:
        prefixes = ["%s/model.ckpt-%d" % (folder, step) for step in (2, 4, 6)]
        for prefix in prefixes:
            checkpoint_values.write_checkpoint(prefix, {"x": np.float32(1)})
        assert checkpoint_files.newest_of_training(folder) == prefixes[-1]
        assert tf.train.latest_checkpoint(folder) == prefixes[-1]
        checkpoint_files.remove_all_but(folder, prefixes[-1:])
        assert checkpoint_files.checkpoints_of_training(folder) == prefixes[-1:]
        assert tf.train.latest_checkpoint(folder) == prefixes[-1]


@pytest.mark.slow
def test_runs_over_seeds(folder):
    finetuning.run(**settings_in(folder.bucket, seeds=[1, 2], train_step=2))
    out = folder.bucket + "/out"
    assert output_folder.folders_of_runs(out) == [out + "/seed_1", out + "/seed_2"]
    table = json.loads(memory_storage.content(out + "/runs.json"))
    assert [run["folder"] for run in table["runs"]] == [out + "/seed_1", out + "/seed_2"]
    with pytest.raises(UserError, match="the models of --seeds and --search are in ram://"):
        finetuning.run(**settings_in(folder.bucket, do_train=False))


@pytest.mark.slow
@pytest.mark.parametrize("family", sorted(tiny_tasks.KINDS))
def test_other_kinds_of_tasks(folder, family):
    name = tiny_tasks.write(folder, family)
    transfer.upload_folder("%s/%s" % (folder.folder, name), "%s/%s" % (folder.bucket, name))
    for place in (folder.folder, folder.bucket):
        of_kind = tiny_tasks.settings_of("%s/%s" % (place, name), family)
        finetuning.run(**settings_in(place, train_step=2, **of_kind))
    local, remote = (
        {
            name: memory_storage.content("%s/out/%s" % (place, name)).replace(place.encode(), b"")
            for name in names_below(place + "/out")
            if name.endswith((".json", ".txt", ".tsv", ".html"))
            and not name.startswith(("report.", "eval_results", "run_settings"))
            and "tf_record" not in name  # the settings of a feature file contain its path
        }
        for place in (folder.folder, folder.bucket)
    )
    assert sorted(local) == sorted(remote)
    assert [name for name in remote if local[name] != remote[name]] == []
    assert {"best/label_map.json", "best/fine_tuning.json"} <= set(remote)
    assert_same_weights(weights(folder.output), weights(folder.bucket + "/out"))


@pytest.mark.slow
def test_generators(folder):
    for split, count in tiny_tasks.SIZES.items():
        rows = ["今天%d去吃饭\t吃饭%d\n" % (number, number) for number in range(count)]
        folder.write("titles/%s.tsv" % split, "".join(rows))
    transfer.upload_folder(folder.folder + "/titles", folder.bucket + "/titles")
    written = []
    for place in (folder.folder, folder.bucket):
        of_kind = {"family": "generation", "task_name": "seq2seq", "max_target_length": 8}
        of_kind["data_dir"] = place + "/titles"
        finetuning.run(**settings_in(place, train_step=2, **of_kind))
        written.append(memory_storage.content(place + "/out/predictions.jsonl"))
    assert written[0] == written[1] and written[0].count(b"\n") == tiny_tasks.SIZES["test"]
    assert_same_weights(weights(folder.output), weights(folder.bucket + "/out"))
