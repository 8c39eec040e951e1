"""Tests of run_classifier.py as users run it: results, resuming, stopping, users' mistakes."""

import contextlib
import glob
import json
import os
import pty
import random
import re
import shutil
import signal
import subprocess
import time
import types

from absl import flags
import numpy as np
import pytest
import tensorflow.compat.v1 as tf

from albert_zh.common import files, output_files
from albert_zh.common.errors import UserError
from albert_zh.finetuning import best_checkpoint, checkpoint_predictions, steps
from albert_zh.finetuning import runner as finetuning_runner
from albert_zh.model import heads
from albert_zh.model.checkpoints import checkpoint_files, checkpoint_values
from albert_zh.tasks import datasets
from albert_zh.training.hooks import StopRequest
import golden_cases
import small_models
from workspace import (
    CHARACTERS,
    CONFIG,
    VOCABULARY,
    Workspace,
    assert_same_weights,
    command,
    flags_of,
    run_here,
    run_process,
)

pytestmark = pytest.mark.rewritten_graphs


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """Returns a workspace after training, evaluation and prediction, and the completed process."""
    workspace = Workspace(tmp_path_factory.mktemp("finished"))
    result = run_process(workspace.arguments())
    assert result.returncode == 0, result.stderr
    return workspace, result


@pytest.mark.slow
@pytest.mark.reference
def test_screen_shows_our_lines_only(finished):
    workspace, result = finished
    lines = result.stdout.splitlines()
    assert lines[0].startswith("warning: no --init_checkpoint")
    assert "train.txt: 96 rows, labels 0: " in lines[1]
    assert "2 epochs: 12 steps, 1 of them warm-up; " in result.stdout
    assert any(re.match(r"dev accuracy 0\.\d{4} at step 6", line) for line in lines)
    assert result.stderr == ""
    assert "tensorflow" not in result.stdout.lower()
    assert "INFO" in workspace.read("train.log")


def test_a_repeated_entry_of_the_vocabulary_is_warned_of_on_the_screen(tmp_path):
    """The warning is not only in train.log, where Python's warnings go."""
    workspace = Workspace(tmp_path)
    entries = VOCABULARY[:-1] + [VOCABULARY[7]]
    workspace.write("model/vocab.txt", "\n".join(entries) + "\n")
    result = run_process(workspace.arguments(num_train_epochs=0.2, do_predict=None))
    assert result.returncode == 0, result.stderr
    found = "line %d: the entry %r is in line 8 already" % (len(entries), VOCABULARY[7])
    (line,) = [line for line in result.stdout.splitlines() if found in line]
    assert line.startswith("warning: %s, " % workspace.vocab)
    assert found in workspace.read("train.log") and result.stderr == ""


def test_a_share_of_the_steps_is_warm_up():
    numbers = ["--train_batch_size=16", "--num_train_epochs=2", "--warmup_proportion=0.25"]
    with flags_of(["--do_train=true"] + numbers):
        assert steps.plan(flags.FLAGS, 96, "train.txt") == (12, 3, 6)


@pytest.mark.parametrize(
    "setting, said",
    [
        ("--num_train_epochs=0.5", "3 steps, 0 of them warm-up; a checkpoint after the last\n"),
        ("--num_train_epochs=1", "6 steps, 0 of them warm-up; a checkpoint every 6 steps\n"),
    ],
)
def test_less_than_an_epoch_has_a_checkpoint_after_its_last_step(setting, said, capsys):
    with flags_of(["--do_train=true", "--train_batch_size=16", setting]):
        steps.plan(flags.FLAGS, 96, "train.txt")
    assert capsys.readouterr().out.endswith(said)


@pytest.mark.slow
@pytest.mark.reference
def test_terminal_shows_a_live_bar(tmp_path):
    """The bar shows step, rate, time left, loss and last dev accuracy, even if no size is known."""
    workspace = Workspace(tmp_path)
    process, terminal = pty.fork()
    if process == 0:
        words = command(workspace.arguments(num_train_epochs=60, save_checkpoints_steps=120))
        os.execv(words[0], words)
    shown = b""
    with contextlib.suppress(OSError):  # reading at the end of a terminal raises an error
        while True:
            shown += os.read(terminal, 1 << 16)
    assert os.waitpid(process, 0)[1] == 0
    bars = [part for part in shown.decode("utf-8").split("\r") if "/360 [" in part]
    pattern = (
        r"\d+/360 \[\d\d:\d\d<\d\d:\d\d, +[\d.]+step/s, loss 0\.\d{4}, dev accuracy [01]\.\d{4}"
    )
    assert len(bars) > 5
    assert re.search(pattern, bars[-1])


@pytest.mark.reference
def test_last_lines_say_what_was_reached_and_where_it_lies(finished):
    workspace, result = finished
    last = dict(re.split(r"  +", line, maxsplit=1) for line in result.stdout.splitlines()[-9:])
    assert list(last) == [
        "dev accuracy",
        "test accuracy",
        "best",
        "best checkpoint",
        "results",
        "predictions",
        "report",
        "time, memory",
        "next",
    ]
    assert re.match(r"step \d+: highest dev accuracy, 0\.\d{4}, of 2 evaluated", last["best"])
    for title in ("results", "predictions", "report"):
        for path in last[title].split(", "):
            assert os.path.getsize(path) > 0


@pytest.mark.reference
def test_evaluation_goes_through_every_checkpoint_by_step(finished):
    workspace, _ = finished
    lines = workspace.read("eval_results_albert_zh.txt").splitlines()
    heads = [line for line in lines if line.startswith("*****")]
    assert heads == [
        "***** Eval results %s/model.ckpt-%d *****" % (workspace.output, step)
        for step in (0, 6, 12)
    ]
    assert [line.split(" = ")[0] for line in lines[1:5]] == [
        "eval_accuracy",
        "eval_loss",
        "global_step",
        "loss",
    ]
    results = json.loads(workspace.read("eval_results.json"))
    assert [e["global_step"] for e in results["evaluations"]] == [0, 6, 12]
    accuracies = [e["eval_accuracy"] for e in results["evaluations"]]
    assert len(set(accuracies)) > 1, "the small data set should be learnable"
    assert results["best"]["eval_accuracy"] == max(accuracies[1:]) > 0.6


@pytest.mark.parametrize(
    "worse, better",
    [
        ((5, 0.7, 0.1), (6, 0.8, 0.9)),
        ((6, 0.7, 0.2), (5, 0.7, 0.1)),
        ((0, 0.9, 0.1), (5, 0.1, 0.9)),
    ],
)
def test_better_is_higher_accuracy_then_lower_loss_and_never_untrained(worse, better):
    best = best_checkpoint.BestCheckpoint.__new__(best_checkpoint.BestCheckpoint)
    best._metric, best._is_higher_better = "accuracy", True
    ranks = [
        best.rank({"global_step": step, "eval_accuracy": accuracy, "eval_loss": loss})
        for step, accuracy, loss in (worse, better)
    ]
    assert ranks[0] < ranks[1]


def test_the_best_folder_holds_the_checkpoint_of_the_best_dev_accuracy(finished):
    workspace, _ = finished
    best = json.loads(workspace.read("eval_results.json"))["best"]
    kept = checkpoint_values.read_weights(
        os.path.join(workspace.output, "best", "albert_model.ckpt")
    )
    assert kept["global_step"] == best["global_step"]
    source = os.path.join(workspace.output, "model.ckpt-%d" % best["global_step"])
    for name, value in checkpoint_values.read_weights(source).items():
        np.testing.assert_array_equal(kept[name], value)
    assert json.loads(workspace.read("best/fine_tuning.json"))["dev"] == best


def test_predictions_match_the_best_checkpoint(finished):
    workspace, result = finished
    rows = np.array(
        [line.split("\t") for line in workspace.read("test_results.tsv").splitlines()], float
    )
    assert rows.shape == (12, 2)
    np.testing.assert_allclose(rows.sum(axis=1), 1, atol=1e-5)
    table = [line.split("\t") for line in workspace.read("predictions.tsv").splitlines()]
    names = ["text_a", "text_b", "label", "prediction", "probability", "P(0)", "P(1)"]
    assert table[0] == names
    np.testing.assert_allclose(np.array([row[5:] for row in table[1:]], float), rows, atol=1e-6)
    assert [int(row[3]) for row in table[1:]] == list(rows.argmax(axis=1))
    np.testing.assert_allclose([float(row[4]) for row in table[1:]], rows.max(axis=1), atol=1e-6)
    accuracy = np.mean([row[2] == row[3] for row in table[1:]])
    assert "test accuracy     %.4f (12 rows)" % accuracy in result.stdout


@pytest.mark.reference
def test_best_folder_is_a_model_folder_that_predicts_by_itself(finished, tmp_path):
    workspace, _ = finished
    best = os.path.join(workspace.output, "best")
    expected = "albert_config_small.json albert_model.ckpt.data-00000-of-00001 "
    expected += "albert_model.ckpt.index albert_model.ckpt.meta checkpoint fine_tuning.json "
    expected += "label_map.json vocab.txt"
    assert sorted(os.listdir(best)) == expected.split()
    out = str(tmp_path / "other")
    run_here(
        workspace.arguments(
            do_train=False,
            do_eval=False,
            init_checkpoint=best,
            bert_config_file=os.path.join(best, "albert_config_small.json"),
            vocab_file=os.path.join(best, "vocab.txt"),
            output_dir=out,
        )
    )
    with open(os.path.join(out, "test_results.tsv")) as handle:
        assert handle.read() == workspace.read("test_results.tsv")


def test_checkpoint_has_the_originals_names(finished):
    workspace, _ = finished
    there = dict(tf.train.list_variables(os.path.join(workspace.output, "model.ckpt-12")))
    weights = checkpoint_values.read_shapes(os.path.join(workspace.output, "model.ckpt-12"))
    _, description, _, _ = golden_cases.load_case("bm_cls_postln_2")
    assert set(weights) == set(description["trainable_order"])
    slots = {"%s/adam_%s" % (name, slot) for name in weights for slot in "mv"}
    assert set(there) == set(weights) | slots | {"global_step"}


@pytest.mark.reference
def test_finished_run_repeats_nothing(finished, capsys):
    workspace, first = finished
    before = {name: workspace.read(name) for name in ("eval_results.json", "test_results.tsv")}
    run_here(workspace.arguments())
    shown = capsys.readouterr().out
    assert "training is complete (step 12)" in shown
    assert before == {name: workspace.read(name) for name in before}
    assert shown.splitlines()[-9:-3] == first.stdout.splitlines()[-9:-3]


@pytest.mark.reference
def test_time_of_a_run_includes_reading_its_data(finished, capsys, monkeypatch):
    """The clock is put forward by 1,000 seconds after the data is read."""
    workspace, _ = finished
    now, put_forward = time.time, []
    monkeypatch.setattr(time, "time", lambda: now() + sum(put_forward))

    class Setup(finetuning_runner.Setup):
        def __init__(self, *arguments):
            super().__init__(*arguments)
            put_forward.append(1000)

    monkeypatch.setattr(finetuning_runner, "Setup", Setup)
    run_here(workspace.arguments())
    (shown,) = re.findall(r"^time, memory +(\d+):\d\d,", capsys.readouterr().out, re.MULTILINE)
    assert 16 <= int(shown) < 20


@pytest.mark.newest
@pytest.mark.slow
def test_same_seed_same_numbers_other_seed_others(finished, tmp_path):
    workspace, _ = finished
    again = Workspace(tmp_path / "again")
    run_here(again.arguments())
    assert again.read("test_results.tsv") == workspace.read("test_results.tsv")
    other = Workspace(tmp_path / "other")
    run_here(other.arguments(seed=2, do_eval=False, do_predict=False))
    assert losses(again) == losses(workspace) != losses(other)


def losses(workspace):
    records = [json.loads(line) for line in workspace.read("metrics.jsonl").splitlines()]
    return [record["loss"] for record in records if "loss" in record]


def wait_for(condition, process, seconds=120):
    end = time.time() + seconds
    while not condition():
        assert process.poll() is None and time.time() < end
        time.sleep(0.02)


def start(workspace, **changes):
    return subprocess.Popen(
        command(workspace.arguments(**changes)),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        universal_newlines=True,
    )


LONG = {"num_train_epochs": 50, "save_checkpoints_steps": 100}


@pytest.fixture(name="straight", scope="module")
def straight_fixture(tmp_path_factory):
    """Returns a workspace in which the long run was not interrupted."""
    workspace = Workspace(tmp_path_factory.mktemp("straight"))
    run_here(workspace.arguments(**LONG))
    return workspace


def check_same_results(workspace, other):
    assert workspace.read("test_results.tsv") == other.read("test_results.tsv")
    mine, theirs = (json.loads(w.read("eval_results.json")) for w in (workspace, other))
    assert mine["evaluations"] == theirs["evaluations"] and mine["best"] == theirs["best"]


@pytest.mark.slow
@pytest.mark.reference
def test_killed_run_ends_like_one_that_was_not(tmp_path, straight, capsys):
    killed = Workspace(tmp_path)
    process = start(killed, **LONG)
    path = os.path.join(killed.output, "model.ckpt-200.index")
    wait_for(lambda: os.path.exists(path), process)
    process.kill()
    process.communicate()
    assert not os.path.exists(os.path.join(killed.output, "eval_results.json"))
    run_here(killed.arguments(**LONG))
    assert "continuing from step 200" in capsys.readouterr().out
    check_same_results(killed, straight)


@pytest.mark.slow
def test_killed_at_any_moments_ends_the_same(tmp_path, straight):
    """The process is killed at random while it reads, trains, evaluates, saves or predicts."""
    killed = Workspace(tmp_path)
    moments = random.Random(3)
    for _ in range(12):
        process = start(killed, **LONG)
        time.sleep(moments.uniform(2, 12))
        process.kill()
        process.communicate()
    run_here(killed.arguments(**LONG))
    check_same_results(killed, straight)


def interrupt(process):
    """Sends Ctrl-C and checks that the process ends in time; returns what it printed on stderr."""
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=60)  # seconds, enough for a busy machine
    assert process.returncode == 130 and errors.count("\n") == 1, errors
    return errors


@pytest.mark.slow
@pytest.mark.reference
def test_interrupted_run_saves_and_ends_like_one_that_was_not(tmp_path, straight):
    stopped = Workspace(tmp_path)
    process = start(stopped, **LONG)
    path = os.path.join(stopped.output, "model.ckpt-100.index")
    wait_for(lambda: os.path.exists(path), process)
    records = os.path.join(stopped.output, "metrics.jsonl")
    wait_for(lambda: '"step": 102' in open(records).read(), process)  # noqa: SIM115
    errors = interrupt(process)
    step = int(re.search(r"stopped at step (\d+) of 300, checkpoint saved", errors).group(1))
    assert "run the same command again to continue" in errors
    assert tf.train.latest_checkpoint(stopped.output).endswith("-%d" % step)
    run_here(stopped.arguments(**LONG))
    check_same_results(stopped, straight)


@pytest.mark.newest
@pytest.mark.parametrize("seconds", [0.3, 1.5, 3])
def test_interrupted_start_is_one_line(tmp_path, seconds):
    process = start(Workspace(tmp_path), num_train_epochs=2000)
    time.sleep(seconds)
    assert "stopped" in interrupt(process)


@pytest.mark.slow
def test_evaluating_or_predicting_again_keeps_the_best_and_its_results(tmp_path):
    workspace = Workspace(tmp_path)
    run_here(workspace.arguments(num_train_epochs=8))
    former = json.loads(workspace.read("eval_results.json"))
    assert len(former["evaluations"]) == 8  # one per epoch; step 0 is deleted before its evaluation
    kept = workspace.read("best/fine_tuning.json")
    for changes in ({"do_eval": False}, {"do_predict": False}):
        run_here(workspace.arguments(num_train_epochs=8, do_train=False, **changes))
        results = json.loads(workspace.read("eval_results.json"))
        assert results["evaluations"] == former["evaluations"]
        assert results["best"] == former["best"] and results["test"] == former["test"]
        assert results["settings"] == former["settings"]
        assert workspace.read("best/fine_tuning.json") == kept
    shorter = {"max_seq_length": 20, "do_train": False, "do_predict": False}
    run_here(workspace.arguments(num_train_epochs=8, **shorter))
    assert json.loads(workspace.read("best/fine_tuning.json"))["max_seq_length"] == 24


@pytest.mark.slow
@pytest.mark.reference
def test_without_training_texts_are_prepared_as_the_model_has_it(tmp_path, capsys):
    workspace = Workspace(tmp_path)
    rows = "".join("%s\tAB\t%d\n" % ("今天气" * 9, number % 2) for number in range(4))
    with open(os.path.join(workspace.data, "test.txt"), "a", encoding="utf-8") as handle:
        handle.write(rows)
    run_here(workspace.arguments(do_lower_case=False, max_seq_length=40))
    predictions = workspace.read("test_results.tsv")
    for folder in (workspace.output, os.path.join(workspace.output, "best")):
        arguments = workspace.arguments(
            do_train=False, do_eval=False, init_checkpoint=folder, max_seq_length=None
        )
        os.remove(os.path.join(workspace.output, "test_results.tsv"))
        run_here(arguments)
        assert workspace.read("test_results.tsv") == predictions
        for path in glob.glob(os.path.join(workspace.output, "model.ckpt-*")):
            os.remove(path)
    with pytest.raises(UserError, match="trained with do_lower_case False, the flags ask for True"):
        run_here(arguments + ["--do_lower_case=true"])
    capsys.readouterr()
    start, output = os.path.join(workspace.output, "best"), os.path.join(str(tmp_path), "further")
    run_here(workspace.arguments(init_checkpoint=start, output_dir=output))
    assert "note: letters keep their case, as in " + start in capsys.readouterr().out
    with open(os.path.join(output, "best", "fine_tuning.json")) as handle:
        assert json.load(handle)["do_lower_case"] is False


@pytest.mark.newest
@pytest.mark.slow
def test_a_best_of_an_earlier_training_is_not_taken_for_this_ones(tmp_path, capsys):
    workspace = Workspace(tmp_path)
    run_here(workspace.arguments())
    best = json.loads(workspace.read("eval_results.json"))["best"]["global_step"]
    run_here(workspace.arguments(num_train_epochs=4, do_eval=False))
    note = "the best evaluated checkpoint is that of step %d; later ones, up to step 24,"
    assert note % best in capsys.readouterr().out
    for path in glob.glob(os.path.join(workspace.output, "model.ckpt-*")):
        os.remove(path)
    with pytest.raises(UserError, match="out/best is the best checkpoint of an earlier training"):
        run_here(workspace.arguments(do_eval=False))


@pytest.mark.newest
@pytest.mark.slow
def test_checkpoints_of_another_distance_are_evaluated(tmp_path):
    workspace = Workspace(tmp_path)
    settings = {"do_predict": False, "save_checkpoints_steps": 4}
    run_here(workspace.arguments(do_eval=False, **settings))
    run_here(workspace.arguments(do_predict=False))
    results = json.loads(workspace.read("eval_results.json"))
    assert [e["global_step"] for e in results["evaluations"]] == [0, 4, 8, 12]


def without_best_checkpoint(workspace):
    """Removes the checkpoint of the best step from the output folder; returns that step."""
    step = json.loads(workspace.read("eval_results.json"))["best"]["global_step"]
    newest = checkpoint_files.newest_of_training(workspace.output)
    if not 0 < step < checkpoint_files.checkpoint_step(newest):
        pytest.skip("the best is the last one here, which stays")
    for path in glob.glob(os.path.join(workspace.output, "model.ckpt-%d.*" % step)):
        os.remove(path)
    return step


@pytest.mark.newest
@pytest.mark.slow
def test_the_best_competes_by_another_metric_though_its_checkpoint_is_gone(tmp_path):
    workspace = Workspace(tmp_path)
    run_here(workspace.arguments(num_train_epochs=8))
    step = without_best_checkpoint(workspace)
    settings = {"do_train": False, "do_predict": False, "best_metric": "mcc"}
    run_here(workspace.arguments(num_train_epochs=8, **settings))
    results = json.loads(workspace.read("eval_results.json"))
    found = {metrics["global_step"]: metrics for metrics in results["evaluations"]}
    assert step in found and len(found) > 1
    best = max(found.values(), key=lambda m: (m["eval_mcc"], -m["eval_loss"]))
    assert results["best"] == best
    notes = json.loads(workspace.read("best/fine_tuning.json"))
    assert notes["dev"]["global_step"] == best["global_step"]


@pytest.mark.newest
@pytest.mark.slow
def test_without_best_folder_the_best_of_what_is_kept_is_used(tmp_path, capsys):
    workspace = Workspace(tmp_path)
    run_here(workspace.arguments(num_train_epochs=8, keep_best=False))
    without_best_checkpoint(workspace)
    capsys.readouterr()
    run_here(workspace.arguments(num_train_epochs=8, keep_best=False, do_train=False))
    best = json.loads(workspace.read("eval_results.json"))["best"]["global_step"]
    assert "with %s/model.ckpt-%d\n" % (workspace.output, best) in capsys.readouterr().out


def swap_labels(path):
    """Swaps the labels 0 and 1 in a file of pairs."""
    rows = [line.split("\t") for line in files.read_lines(path)]
    rows[1:] = [(text_a, text_b, str(1 - int(label))) for text_a, text_b, label in rows[1:]]
    with output_files.atomic_write(path) as handle:
        handle.writelines("\t".join(row) + "\n" for row in rows)


@pytest.mark.newest
@pytest.mark.parametrize("keep_best", [True, pytest.param(False, marks=pytest.mark.slow)])
@pytest.mark.slow
def test_another_dev_file_chooses_nothing_anew(tmp_path, capsys, keep_best):
    workspace = Workspace(tmp_path)
    settings = {"num_train_epochs": 4, "keep_best": keep_best}
    run_here(workspace.arguments(**settings))
    former = json.loads(workspace.read("eval_results.json"))["best"]
    predictions = workspace.read("test_results.tsv")
    kept = workspace.read("best/fine_tuning.json") if keep_best else None
    swap_labels(os.path.join(workspace.data, "dev.txt"))
    capsys.readouterr()
    run_here(workspace.arguments(do_train=False, **settings))
    found = json.loads(workspace.read("eval_results.json"))["best"]
    assert found["global_step"] == former["global_step"]
    assert found["eval_accuracy"] == pytest.approx(1 - former["eval_accuracy"])
    chosen = "step %(global_step)d: chosen in training, by dev accuracy %(eval_accuracy).4f there"
    assert chosen % former in capsys.readouterr().out
    run_here(workspace.arguments(do_train=False, do_eval=False, **settings))
    assert json.loads(workspace.read("eval_results.json"))["best"] == former
    assert workspace.read("test_results.tsv") == predictions
    if keep_best:
        assert workspace.read("best/fine_tuning.json") == kept


@pytest.mark.slow
def test_the_first_dev_file_of_a_run_trained_without_chooses(tmp_path):
    workspace = Workspace(tmp_path)
    run_here(workspace.arguments(do_eval=False, do_predict=False))
    assert not os.path.exists(os.path.join(workspace.output, "best"))
    for _ in range(2):
        run_here(workspace.arguments(do_train=False, do_predict=False))
        notes = json.loads(workspace.read("best/fine_tuning.json"))
        assert notes["dev"]["eval_accuracy"] > 0.6
        swap_labels(os.path.join(workspace.data, "dev.txt"))


@pytest.mark.newest
@pytest.mark.slow
def test_a_best_folder_alone_is_what_is_evaluated_and_told(tmp_path, capsys):
    workspace = Workspace(tmp_path)
    run_here(workspace.arguments(do_predict=False))
    best = json.loads(workspace.read("eval_results.json"))["best"]
    start = workspace.folder + "/start"
    shutil.copytree(os.path.join(workspace.output, "best"), start)
    for path in glob.glob(os.path.join(workspace.output, "model.ckpt-*")):
        os.remove(path)
    capsys.readouterr()
    for changes in ({"do_eval": False}, {"do_predict": False}):
        run_here(workspace.arguments(do_train=False, init_checkpoint=start, **changes))
        assert "start from" not in capsys.readouterr().out  # --init_checkpoint is ignored
        assert json.loads(workspace.read("eval_results.json"))["best"] == pytest.approx(best)


@pytest.mark.slow
@pytest.mark.reference
def test_messages_for_a_stop_are_made_only_then(tmp_path, monkeypatch):
    """The messages require reading the newest checkpoint, which takes time with each evaluation."""
    monkeypatch.setattr(finetuning_runner.Run, "_how_to_go_on", lambda self: pytest.fail("read"))
    run_here(Workspace(tmp_path).arguments(num_train_epochs=1, do_predict=False))


def test_a_worker_that_helps_another_one_only_trains(monkeypatch):
    done = []

    class Run:
        def __init__(self, setup, stop, begin):
            pass

        def __getattr__(self, name):
            return lambda *_: done.append(name)

    setup = types.SimpleNamespace(engine=None)
    monkeypatch.setattr(finetuning_runner, "Setup", lambda *_: setup)
    monkeypatch.setattr(finetuning_runner, "Run", Run)
    monkeypatch.setattr(finetuning_runner.run_flags, "helper_name", lambda options: "worker1")
    with flags_of(["--do_train", "--do_eval", "--do_predict"]):
        stop = StopRequest()
        stop.is_deferred = True  # as after an earlier run
        assert finetuning_runner.run_once(flags.FLAGS, stop) is None
    assert done == ["train"] and not stop.is_deferred


@pytest.mark.parametrize(
    "name, is_offered",
    [("lcqmc", True), ("afqmc", True), ("cmnli", False), ("csl", False), ("copa", False)],
)
def test_similarity_is_offered_where_it_works(name, is_offered):
    task = datasets.get_task(name)
    assert datasets.compares_sentences(task) == is_offered
    assert not datasets.compares_sentences(task._replace(objective="regression"))


def pairs_of_features(workspace, name):
    """Yields the text pairs of a split's features; each token is one character."""
    path = os.path.join(workspace.output, name + ".tf_record")
    for record in tf.python_io.tf_record_iterator(path):
        ids = tf.train.Example.FromString(record).features.feature["input_ids"].int64_list.value
        text = "".join(VOCABULARY[number] for number in ids)
        yield tuple(text.replace("[CLS]", "").split("[SEP]")[:2])


@pytest.mark.slow
@pytest.mark.reference
def test_pairs_are_trained_on_both_ways_and_evaluated_as_they_are(tmp_path, capsys):
    workspace = Workspace(tmp_path, num_train=32)
    run_here(workspace.arguments(swap_pairs=True, num_train_epochs=1, do_predict=None))
    assert "training: 64 rows, batch 16, 1 epoch: 4 steps" in capsys.readouterr().out
    for name, is_swapped in (("train", True), ("dev", False)):
        with open(os.path.join(workspace.data, name + ".txt"), encoding="utf-8") as handle:
            rows = [tuple(line.split("\t")[:2]) for line in list(handle)[1:]]
        swapped = [(b, a) for a, b in rows] if is_swapped else []
        assert sorted(pairs_of_features(workspace, name)) == sorted(rows + swapped)


def test_finished_folder_refuses_other_settings(finished):
    workspace, _ = finished
    others = {"learning_rate": 1e-3, "seed": 9, "max_seq_length": 20, "swap_pairs": True}
    for name, value in others.items():
        with pytest.raises(UserError, match="another " + name):
            run_here(workspace.arguments(**{name: value}))
    shuffled = workspace.write("other/vocab.txt", "\n".join(VOCABULARY[:5] + VOCABULARY[:4:-1]))
    with pytest.raises(UserError, match="another vocabulary"):
        run_here(workspace.arguments(do_train=False, do_eval=False, vocab_file=shuffled))


@pytest.mark.slow
@pytest.mark.reference
def test_weights_that_became_nan_are_not_saved(tmp_path):
    workspace = Workspace(tmp_path)
    with pytest.raises(UserError, match="learning_rate") as caught:
        run_here(workspace.arguments(learning_rate=1e30, save_checkpoints_steps=1))
    named = re.search(r"last good checkpoint is (\S+):", str(caught.value)).group(1)
    newest = checkpoint_files.checkpoints_of_training(workspace.output)[-1]
    assert named == newest
    for value in checkpoint_values.read_weights(newest).values():
        assert np.isfinite(value).all()


def test_classifier_of_another_task_is_refused_for_evaluation(finished, tmp_path):
    workspace, _ = finished
    values = checkpoint_values.read_weights(os.path.join(workspace.output, "model.ckpt-12"))
    values["output_weights"] = np.zeros([3, 16], np.float32)
    values["output_bias"] = np.zeros([3], np.float32)
    prefix = str(tmp_path / "three.ckpt")
    checkpoint_values.write_checkpoint(prefix, values)
    changes = {"init_checkpoint": prefix, "output_dir": str(tmp_path / "out"), "do_train": False}
    with pytest.raises(UserError, match="another task"):
        run_here(workspace.arguments(**changes))


def test_checkpoint_of_other_names_predicts_the_same(finished, tmp_path):
    workspace, _ = finished
    values = checkpoint_values.read_weights(
        os.path.join(workspace.output, "best", "albert_model.ckpt")
    )
    del values["global_step"]
    prefix = str(tmp_path / "renamed.ckpt")
    checkpoint_values.write_checkpoint(
        prefix, {name + ":0": value for name, value in values.items()}
    )
    out = str(tmp_path / "out")
    changes = {"init_checkpoint": prefix, "output_dir": out, "do_train": False, "do_eval": False}
    run_here(workspace.arguments(**changes))
    with open(os.path.join(out, "test_results.tsv")) as handle:
        assert handle.read() == workspace.read("test_results.tsv")


@pytest.mark.slow
@pytest.mark.reference
def test_files_of_other_names_make_a_model_folder_all_the_same(tmp_path):
    workspace = Workspace(tmp_path)
    config = workspace.write("model/mine.json", json.dumps(CONFIG))
    vocabulary = workspace.write("model/my_vocab.txt", "\n".join(VOCABULARY))
    changes = {"bert_config_file": config, "vocab_file": vocabulary, "do_predict": False}
    run_here(workspace.arguments(**changes))
    best = os.listdir(os.path.join(workspace.output, "best"))
    assert {"albert_config.json", "vocab.txt"} <= set(best)


@pytest.mark.slow
@pytest.mark.slow
@pytest.mark.reference
def test_damaged_checkpoints_are_told(tmp_path):
    workspace = Workspace(tmp_path)
    run_here(workspace.arguments(do_eval=False, do_predict=False))
    newest = checkpoint_files.checkpoints_of_training(workspace.output)[-1]
    with open(newest + ".data-00000-of-00001", "r+b") as handle:
        handle.truncate(1000)
    for changes in ({}, {"init_checkpoint": newest, "output_dir": str(tmp_path / "other")}):
        with pytest.raises(UserError, match="damaged or was truncated"):
            run_here(workspace.arguments(**changes))


def test_an_output_folder_whose_checkpoints_could_not_be_read_is_refused(tmp_path):
    workspace = Workspace(tmp_path)
    output = str(tmp_path / "run[1]")
    with pytest.raises(UserError, match=r"^--output_dir=.*run\[1\]: TensorFlow finds no .* \["):
        run_here(workspace.arguments(output_dir=output))
    assert not os.path.exists(output)


@pytest.mark.slow
@pytest.mark.reference
def test_two_runs_in_one_folder_are_refused(tmp_path):
    workspace = Workspace(tmp_path)
    process = start(workspace, num_train_epochs=2000)
    path = os.path.join(workspace.output, "model.ckpt-0.index")
    wait_for(lambda: os.path.exists(path), process)
    with pytest.raises(UserError, match="out: another run is using it$"):
        run_here(workspace.arguments(num_train_epochs=2000))
    interrupt(process)


@pytest.mark.slow
@pytest.mark.reference
def test_rows_that_do_not_fit_are_left_out_of_files_in_another_encoding(tmp_path, capsys):
    workspace = Workspace(tmp_path, num_train=32)
    for name in ("train.txt", "dev.txt", "test.txt"):
        with open(os.path.join(workspace.data, name), encoding="utf-8") as handle:
            text = handle.read()
        bad = "今天\t天气\n" * (name == "train.txt")
        workspace.write("data/" + name, (text + bad).encode("gb18030"))
    settings = {"encoding": "gb18030", "skip_bad_rows": True, "do_eval": False}
    run_here(workspace.arguments(num_train_epochs=1, **settings))
    shown = capsys.readouterr().out
    for name, rows in (("train", 32), ("test", 12)):
        assert "%s.txt: %d rows, labels 0:" % (name, rows) in shown
    assert "train.txt: skipped 1 of 33 rows: line 34: 2 columns, expected 3" in shown
    predicted = workspace.read("predictions.tsv")
    run_here(workspace.arguments(do_train=False, **settings))  # then the file is not held in memory
    assert workspace.read("predictions.tsv") == predicted
    texts = [line.split("\t")[0] for line in predicted.splitlines()]
    assert len(texts) == 13 and set("".join(texts[1:])) <= set(CHARACTERS)


@pytest.mark.slow
@pytest.mark.reference
def test_emoji_rare_hanzi_and_a_million_characters_train(tmp_path):
    workspace = Workspace(tmp_path)
    path = os.path.join(workspace.data, "train.txt")
    with open(path, "a", encoding="utf-8") as handle:
        handle.write("\U0001f600今\U00020000\t\u3000\t1\n%s\t好\t0\n" % ("今天" * 500000))
    run_here(workspace.arguments(do_eval=False))
    values = checkpoint_values.read_weights(tf.train.latest_checkpoint(workspace.output))
    assert values["global_step"] == 12


@pytest.mark.reference
def test_pretrained_encoder_is_loaded_and_the_rest_is_new(tmp_path):
    workspace = Workspace(tmp_path)
    config = workspace.write("golden/albert_config.json", json.dumps(golden_config()))
    vocabulary = "\n".join(VOCABULARY + ["[unused%d]" % i for i in range(100 - len(VOCABULARY))])
    changes = {
        "bert_config_file": config,
        "vocab_file": workspace.write("golden/vocab.txt", vocabulary),
        "init_checkpoint": os.path.join(golden_cases.BUNDLED, "bm_small_postln.ckpt.index"),
        "learning_rate": 1e-20,
        "num_train_epochs": 1,
        "do_predict": False,
        "do_eval": False,
    }
    run_here(workspace.arguments(**changes))
    values = checkpoint_values.read_weights(tf.train.latest_checkpoint(workspace.output))
    expected = golden_cases.load_case("bm_small_postln")[3]
    for name in values:
        if name.startswith("bert/"):
            np.testing.assert_allclose(values[name], expected[name], atol=1e-6)
    assert np.abs(values["output_weights"]).max() <= 0.04


def golden_config():
    return golden_cases.load_case("bm_small_postln")[0].to_dict()


@pytest.mark.parametrize(
    "changes, words",
    [
        ({"data_dir": None}, ["--data_dir is required"]),
        ({"data_dir": "/nowhere"}, ["--data_dir=/nowhere: no such folder"]),
        ({"do_train": None, "do_eval": None, "do_predict": None}, ["nothing to do"]),
        ({"task_name": "lcqcm"}, ["--task_name", "'lcqcm'", "lcqmc_pair"]),
        ({"learning_rate": -1e-4}, ["--learning_rate=-0.0001: expected a number above 0"]),
        ({"num_train_epochs": 0}, ["--num_train_epochs=0.0: expected a number above 0"]),
        ({"train_batch_size": 97}, ["--train_batch_size=97", "96 training rows"]),
        ({"num_train_epochs": 0.1}, ["less than one step"]),
        (
            {"max_seq_length": 65},
            ["--max_seq_length=65: expected at most 64, ", "max_position_embeddings"],
        ),
        ({"max_seq_length": 3}, ["--max_seq_length: 3 is too short"]),
        ({"warmup_proportion": 1.0}, ["--warmup_proportion"]),
        ({"init_checkpoint": "/nowhere/a.ckpt"}, ["no checkpoint /nowhere/a.ckpt"]),
        ({"bert_config_file": "/nowhere/c.json"}, ["/nowhere/c.json: cannot be read"]),
        ({"vocab_file": "/nowhere/v.txt"}, ["/nowhere/v.txt"]),
        ({"output_dir": "/dev/null/out"}, ["/dev/null/out", "cannot be written"]),
        ({"num_train_epochs": "nan"}, ["--num_train_epochs=nan: expected a number above 0"]),
        ({"learning_rate": "inf"}, ["--learning_rate=inf: expected a number above 0"]),
        ({"do_train": False, "do_predict": False}, ["contains no checkpoint", "--do_train=true"]),
        ({"seeds": "1,2", "distribution": "multi_worker"}, ["=multi_worker trains one model"]),
    ],
)
def test_mistakes_are_told_before_anything_is_done(tmp_path, changes, words):
    workspace = Workspace(tmp_path)
    with pytest.raises(UserError) as caught:
        run_here(workspace.arguments(**changes))
    assert "\n" not in str(caught.value)
    for word in words:
        assert word in str(caught.value)
    made = os.listdir(workspace.output) if os.path.isdir(workspace.output) else []
    assert not [name for name in made if name.startswith(("model.ckpt", "best"))]


def test_unreadable_files_are_named(tmp_path):
    workspace = Workspace(tmp_path)
    os.remove(os.path.join(workspace.data, "dev.txt"))
    os.mkdir(os.path.join(workspace.data, "dev.txt"))
    with pytest.raises(UserError, match="dev.txt: cannot be read"):
        run_here(workspace.arguments())
    workspace.write("model/albert_config_small.json", "vocab_size: 3")
    with pytest.raises(UserError, match="albert_config_small.json: not valid JSON"):
        run_here(workspace.arguments())


@pytest.mark.slow
@pytest.mark.reference
def test_unknown_config_keys_are_said_in_a_line(tmp_path, capsys):
    workspace = Workspace(tmp_path)
    workspace.write("model/albert_config_small.json", json.dumps(dict(CONFIG, colour="red")))
    run_here(workspace.arguments(do_eval=False, do_predict=False, num_train_epochs=0.2))
    printed = capsys.readouterr()
    expected = "warning: %s: unknown keys are kept but not used: colour\n" % workspace.config
    assert expected in printed.out and printed.err == ""


def test_pairs_need_two_segments(tmp_path):
    workspace = Workspace(tmp_path)
    workspace.write("model/albert_config_small.json", json.dumps(dict(CONFIG, type_vocab_size=1)))
    with pytest.raises(UserError, match="type_vocab_size is 1: expected 2"):
        run_here(workspace.arguments())


def test_vocabulary_that_does_not_fit_the_config(tmp_path):
    workspace = Workspace(tmp_path)
    workspace.write("model/vocab.txt", "\n".join(VOCABULARY[:-1]))
    with pytest.raises(UserError) as caught:
        run_here(workspace.arguments())
    for word in (str(CONFIG["vocab_size"]), str(CONFIG["vocab_size"] - 1), workspace.vocab):
        assert word in str(caught.value)


def test_checkpoint_of_another_model_is_refused(tmp_path):
    workspace = Workspace(tmp_path)
    prefix = os.path.join(golden_cases.BUNDLED, "bm_small_postln.ckpt")
    with pytest.raises(UserError, match="does not fit the config"):
        run_here(workspace.arguments(init_checkpoint=prefix))


def test_pretrained_checkpoint_cannot_be_evaluated_as_a_classifier(tmp_path):
    workspace = Workspace(tmp_path)
    vocabulary = "\n".join(VOCABULARY + ["[unused%d]" % i for i in range(100 - len(VOCABULARY))])
    changes = {
        "bert_config_file": workspace.write("c.json", json.dumps(golden_config())),
        "vocab_file": workspace.write("v.txt", vocabulary),
        "init_checkpoint": os.path.join(golden_cases.BUNDLED, "bm_small_postln.ckpt"),
        "do_train": False,
    }
    with pytest.raises(UserError, match="not fine-tuned"):
        run_here(workspace.arguments(**changes))


def test_other_data_in_the_same_folder_is_refused(finished):
    workspace, _ = finished
    path = os.path.join(workspace.data, "train.txt")
    with open(path, encoding="utf-8") as handle:
        former = handle.read()
    try:
        workspace.write("data/train.txt", former + "今天\t明天\t0\n")
        with pytest.raises(UserError, match="another train data"):
            run_here(workspace.arguments())
    finally:
        workspace.write("data/train.txt", former)


@pytest.mark.parametrize(
    "arguments, words",
    [
        pytest.param(["--lerning_rate=1"], ["lerning_rate"], marks=pytest.mark.slow),
        (["--do_train", "true"], ["unexpected argument 'true'", "--name=value"]),
        pytest.param(
            ["--train_batch_size=many"], ["train_batch_size", "many"], marks=pytest.mark.slow
        ),
        pytest.param([], ["--data_dir is required"], marks=pytest.mark.slow),
    ],
)
@pytest.mark.reference
def test_mistakes_are_one_line_and_status_2(arguments, words):
    result = run_process(arguments)
    assert result.returncode == 2 and result.stdout == ""
    assert result.stderr.count("\n") == 1
    assert result.stderr.startswith("run_classifier.py: error: ")
    for word in words:
        assert word in result.stderr


def test_help_lists_every_flag_of_the_command_and_no_other():
    text = run_process(["--help"]).stdout
    with small_models.command_flags(finetuning_runner, []):
        defined = set(flags.FLAGS)
    assert "tpu_name" in defined and "data_dir" in defined  # flags of two modules
    of_all = {"ignore_unknown_flags", "h"}
    assert set(re.findall(r"^ *--(?:\[no\])?(\w+)", text, re.M)) == defined | of_all
    assert "python run_classifier.py --task_name=lcqmc --data_dir=data/pairs_sample \\\n" in text


@pytest.mark.newest
@pytest.mark.parametrize("size", [pytest.param("40k", marks=pytest.mark.slow), "300k"])
@pytest.mark.slow
def test_full_disk_is_one_line_and_the_run_goes_on_later(tmp_path, size):
    """The disk is full while features are written, and while a checkpoint is written."""
    folder = tmp_path / "small"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=" + size, "tmpfs", str(folder)]
    if subprocess.call(mount, stderr=subprocess.DEVNULL) != 0:
        pytest.skip("mounting a small tmpfs is not allowed here")
    try:
        workspace = Workspace(tmp_path / "workspace", num_train=960)
        result = run_process(workspace.arguments(output_dir=str(folder / "out")))
        assert result.returncode == 2, result.stderr
        assert result.stderr.count("\n") == 1 and "space" in result.stderr
        subprocess.check_call(["mount", "-o", "remount,size=50m", str(folder)])
        result = run_process(workspace.arguments(output_dir=str(folder / "out")))
        assert result.returncode == 0, result.stderr
    finally:
        subprocess.check_call(["umount", str(folder)])


@pytest.mark.newest
def test_read_only_folder_is_one_line(tmp_path):
    folder = tmp_path / "read_only"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "ro,size=1m", "tmpfs", str(folder)]
    if subprocess.call(mount, stderr=subprocess.DEVNULL) != 0:
        pytest.skip("mounting a read-only tmpfs is not allowed here")
    try:
        with pytest.raises(UserError, match="cannot be written"):
            run_here(Workspace(tmp_path / "w").arguments(output_dir=str(folder / "out")))
    finally:
        subprocess.call(["umount", str(folder)])


@pytest.mark.slow
@pytest.mark.parametrize("fgm_epsilon", [0, 0.5])
def test_two_replicas_give_the_weights_of_one_device(tmp_path, monkeypatch, fgm_epsilon):
    monkeypatch.setattr(heads, "CLASSIFIER_DROPOUT", 0.0)
    workspace = Workspace(tmp_path)
    settings = dict(CONFIG, hidden_dropout_prob=0.0, attention_probs_dropout_prob=0.0)
    workspace.config = workspace.write("model/albert_config_small.json", json.dumps(settings))
    common = {"do_eval": False, "do_predict": False, "train_batch_size": 16}
    start = os.path.join(workspace.folder, "start")
    run_here(workspace.arguments(output_dir=start, num_train_epochs=0.5, **common))
    common.update(init_checkpoint=start, fgm_epsilon=fgm_epsilon)
    outputs = {"none": "one", "mirrored": "two"}
    for distribution, name in outputs.items():
        run_here(
            workspace.arguments(
                output_dir=os.path.join(workspace.folder, name),
                distribution=distribution,
                devices="/cpu:0,/cpu:1" if distribution == "mirrored" else None,
                **common,
            )
        )
    one, two = (
        checkpoint_values.read_weights(os.path.join(workspace.folder, name, "model.ckpt-12"))
        for name in outputs.values()
    )
    before = checkpoint_values.read_weights(os.path.join(start, "model.ckpt-3"))
    assert_same_weights(one, two, atol=1e-5)
    table = "bert/embeddings/word_embeddings"
    assert np.abs(one[table] - before[table]).max() > 1e-3


@pytest.mark.parametrize(
    "arguments, expected",
    [
        ([], 128),
        (["--max_seq_length=512"], 32),
        (["--eval_batch_size=8"], 8),  # a small number suggests little memory
        (["--plain=true"], 8),
        (["--use_tpu=true"], 8),
    ],
)
def test_many_rows_are_evaluated_together_unless_a_number_is_given(arguments, expected):
    with flags_of(arguments):
        together = checkpoint_predictions.rows_together(flags.FLAGS, "eval_batch_size")
        assert together == expected


def test_a_batch_that_replicas_cannot_share_is_an_error(tmp_path):
    workspace = Workspace(tmp_path)
    changes = {"distribution": "mirrored", "devices": "/cpu:0,/cpu:1", "train_batch_size": 15}
    with pytest.raises(UserError, match="--train_batch_size=15 is not a multiple of the 2 rep"):
        run_here(workspace.arguments(**changes))
