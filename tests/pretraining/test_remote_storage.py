"""Pre-training with config, vocabulary, records and output folder in memory (ram://)."""

import json
import os
import threading

import numpy as np
import pytest
import tensorflow.compat.v1 as tf

from albert_zh.common import path_rules, storage, transfer
from albert_zh.common.errors import UserError
from albert_zh.corpus import record_counts
from albert_zh.model.checkpoints import checkpoint_files, checkpoint_values
from albert_zh.pretraining import record_files, waiting_evaluation
from albert_zh.training import metrics_log
import pretraining_workspace as small
from workspace import assert_same_weights

pytestmark = [
    pytest.mark.newest,
    pytest.mark.skipif(tf.__version__.startswith("1"), reason="TensorFlow 1.15 has no ram://"),
]


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """Fixture: a local workspace; `folder.bucket` contains a copy of its files."""
    monkeypatch.setenv(transfer.SCRATCH_VARIABLE, str(tmp_path / "scratch"))
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    workspace = small.Workspace(tmp_path / "local")
    workspace.write_records("a.tfrecord", small.masked_records(24))
    workspace.write_records("b.tfrecord", small.masked_records(16, 24))
    workspace.bucket = "ram://bucket/%s" % tmp_path.name
    transfer.upload_folder(workspace.folder, workspace.bucket)
    yield workspace
    path_rules.forget_inputs()
    assert os.listdir(str(tmp_path / "here")) == []


def arguments(folder, place, **changes):
    values = {
        "bert_config_file": place + "/model/albert_config_small.json",
        "input_file": place + "/*.tfrecord",
        "output_dir": place + "/out",
        "plain": True,  # no compilation, which is not tested here
    }
    values.update(changes)
    return folder.arguments(**values)


def weights(folder):
    return checkpoint_values.read_weights(checkpoint_files.find_checkpoint(folder))


def text_of(path):
    with tf.gfile.GFile(path) as handle:
        return handle.read()


@pytest.mark.slow
def test_a_run_in_a_bucket_is_that_of_local_files(folder, tmp_path, capsys):
    for place in (folder.folder, folder.bucket):
        for steps in (4, 8):  # stopped and resumed
            changes = {"num_train_steps": steps, "num_warmup_steps": 2, "poly_power": 0.0}
            extra = {"export_dir": place + "/exported", "do_eval": True} if steps == 8 else {}
            small.run_here(arguments(folder, place, **changes, **extra))
    out = folder.bucket + "/out"
    assert_same_weights(weights(folder.output), weights(out))
    assert_same_weights(weights(folder.folder + "/exported"), weights(folder.bucket + "/exported"))
    names = storage.names_in(out)
    for name in ("metrics.jsonl", "train.log", "eval_results.txt", "learning_curve.png"):
        assert name in names
    assert not [name for name in names if "partial" in name]
    records = [json.loads(line) for line in text_of(out + "/metrics.jsonl").splitlines()]
    assert [record["step"] for record in records if "loss" in record] == list(range(1, 9))
    assert text_of(out + "/eval_results.txt") == folder.read("eval_results.txt")
    shown = capsys.readouterr().out
    assert "log and lock until the run ends: " + str(tmp_path / "scratch") in shown
    with pytest.raises(UserError, match="another train_batch_size .8, now 4."):
        small.run_here(arguments(folder, folder.bucket, train_batch_size=4, poly_power=0.0))


@pytest.mark.slow
def test_an_evaluation_job_evaluates_each_checkpoint_once(folder, capsys):
    run = arguments(folder, folder.bucket, num_train_steps=8)
    job = arguments(
        folder,
        folder.bucket,
        do_train=False,
        do_eval=True,
        num_train_steps=8,
        eval_timeout=2,
        eval_file=folder.bucket + "/b.tfrecord",
    )
    small.run_here(job)  # the run has not begun
    assert "no new checkpoint in %s/out for 2 seconds" % folder.bucket in capsys.readouterr().out
    small.run_here(run)
    index = text_of(folder.bucket + "/out/checkpoint")
    for _ in range(2):  # the second job finds nothing to do
        small.run_here(job)
    path = folder.bucket + "/out/metrics.evaluation.jsonl"
    records = [json.loads(line) for line in text_of(path).splitlines()]
    assert [record["step"] for record in records] == [4, 8]
    assert "masked_lm_accuracy = " in text_of(folder.bucket + "/out/eval_results.txt")
    assert text_of(folder.bucket + "/out/checkpoint") == index


@pytest.mark.slow
def test_an_evaluation_job_does_not_take_over_the_records_of_an_earlier_run(folder):
    place = folder.folder
    small.run_here(arguments(folder, place, num_train_steps=8))
    path = os.path.join(place, "out", "metrics.evaluation.jsonl")
    with open(path, "w") as handle:
        handle.writelines('{"step": %d, "dev": {"global_step": %d}}\n' % (n, n) for n in (4, 8))
    os.utime(path, (1, 1))
    settings = {"do_train": False, "do_eval": True, "num_train_steps": 8, "eval_timeout": 2}
    eval_file = os.path.join(place, "b.tfrecord")
    small.run_here(arguments(folder, place, eval_file=eval_file, **settings))
    records = [json.loads(line) for line in text_of(path).splitlines()]
    assert [record["step"] for record in records] == [4, 8]
    assert all("masked_lm_accuracy" in record["dev"] for record in records)


def test_records_that_are_older_than_their_checkpoint_are_of_an_earlier_run(tmp_path, monkeypatch):
    records = tmp_path / "metrics.evaluation.jsonl"
    assert waiting_evaluation.last_recorded_step(str(tmp_path), str(records)) == 0
    records.write_text("")
    assert waiting_evaluation.last_recorded_step(str(tmp_path), str(records)) == 0
    prefixes = ["%s/model.ckpt-%d" % (tmp_path, step) for step in (10, 20, 30)]
    for prefix in prefixes:
        step = checkpoint_files.checkpoint_step(prefix)
        with open(prefix + ".index", "w"):
            os.utime(prefix + ".index", (step, step))
    monkeypatch.setattr(checkpoint_files, "checkpoints_of_training", lambda folder: prefixes)
    for written, step in ((5, 9), (10, 10), (25, 20), (99, 30)):
        os.utime(str(records), (written, written))
        assert waiting_evaluation.last_recorded_step(str(tmp_path), str(records)) == step


def test_results_of_removed_checkpoints_remain(tmp_path):
    """A job that was away for so long that its run has removed all checkpoints it evaluated."""
    log = metrics_log.Metrics(str(tmp_path), 0, "evaluation")
    for step in (10, 20):
        log.add(step, dev={"global_step": step})
    path = metrics_log.file_of(str(tmp_path), "evaluation")
    os.utime(path, (1, 1))
    checkpoint_values.write_checkpoint(
        str(tmp_path / "model.ckpt-30"), {"a": np.zeros(1, np.float32)}
    )
    last = waiting_evaluation.last_recorded_step(str(tmp_path), path)
    again = metrics_log.Metrics(str(tmp_path), last, "evaluation")
    assert last == 29 and [record["step"] for record in again.records] == [10, 20]


def test_waiting_ends_with_the_last_step_or_the_timeout(tmp_path, monkeypatch):
    steps, naps = [], []
    monkeypatch.setattr(
        checkpoint_files,
        "checkpoints_of_training",
        lambda folder: ["%s/model.ckpt-%d" % (folder, step) for step in steps],
    )

    def sleep(seconds):
        naps.append(seconds)
        steps.append(10 * len(naps))

    found = waiting_evaluation.new_checkpoints("x", {0, 10}, 30, 600, sleep)
    assert list(found) == ["x/model.ckpt-20", "x/model.ckpt-30"] and naps == [10, 10, 10]
    steps[:] = [5]
    found = waiting_evaluation.new_checkpoints("x", set(), 30, 120, naps.append)
    assert list(found) == ["x/model.ckpt-5"] and sum(naps[3:]) == 120


def test_records_are_counted_by_the_index_where_there_is_one(folder, monkeypatch):
    paths = [folder.bucket + "/a.tfrecord", folder.bucket + "/b.tfrecord"]
    threads = set()
    read = record_counts.read

    def spy(path):
        threads.add(threading.get_ident())
        return read(path)

    monkeypatch.setattr(record_counts, "read", spy)
    about = record_files.inspected(paths, small.SEQUENCE, small.PREDICTIONS, "input_file")
    assert about.counts == [24, 16] and threading.get_ident() not in threads
    record_counts.write(paths[0], 1000)  # a number that only the index has
    about = record_files.inspected(paths, small.SEQUENCE, small.PREDICTIONS, "input_file")
    assert about.counts == [1000, 16] and about.files == paths


@pytest.mark.slow
def test_records_need_not_be_counted(folder, monkeypatch):
    """A resumed run also gets the batches that it would have had without the interruption."""
    monkeypatch.setattr(record_counts, "read", None)
    for place, stops in ((folder.folder, (8,)), (folder.bucket, (4, 8))):
        for steps in stops:
            changes = {"count_records": False, "num_train_steps": steps, "poly_power": 0.0}
            small.run_here(arguments(folder, place, num_warmup_steps=2, **changes))
    assert_same_weights(weights(folder.output), weights(folder.bucket + "/out"))
    with pytest.raises(UserError, match="--count_records=false: name the records to evaluate on"):
        small.run_here(arguments(folder, folder.bucket, count_records=False, do_eval=True))


def test_the_newest_checkpoint_is_named_from_its_folder(tmp_path):
    """The newest checkpoint is found after older ones are removed, even in a bucket."""
    folder = "ram://bucket/%s" % tmp_path.name
    prefixes = ["%s/model.ckpt-%d" % (folder, step) for step in (2, 4, 6)]
    for prefix in prefixes:
        checkpoint_values.write_checkpoint(prefix, {"x": np.float32(1)})
    assert checkpoint_files.newest_of_training(folder) == prefixes[-1]
    assert tf.train.latest_checkpoint(folder) == prefixes[-1]
    checkpoint_files.remove_all_but(folder, prefixes[-1:])
    assert checkpoint_files.checkpoints_of_training(folder) == prefixes[-1:]
    assert tf.train.latest_checkpoint(folder) == prefixes[-1]
