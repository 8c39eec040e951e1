"""run_classifier.py as a user runs it: results, resuming, stopping, mistakes."""

import contextlib
import json
import os
import pty
import re
import signal
import subprocess
import time

import numpy as np
import pytest
import tensorflow.compat.v1 as tf

from errors import UserError
import checkpoints
import golden_cases
from workspace import CONFIG, VOCABULARY, Workspace, command, run_here, run_process


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """A workspace in which training, evaluation and prediction ran, and what was printed."""
    workspace = Workspace(tmp_path_factory.mktemp("finished"))
    result = run_process(workspace.arguments())
    assert result.returncode == 0, result.stderr
    return workspace, result


def test_screen_shows_our_lines_only(finished):
    workspace, result = finished
    lines = result.stdout.splitlines()
    assert lines[0].startswith("warning: no --init_checkpoint")
    assert "train.txt: 96 rows, labels 0: " in lines[1]
    assert any(re.match(r"dev accuracy 0\.\d{4} at step 6", line) for line in lines)
    assert result.stderr == ""
    assert "tensorflow" not in result.stdout.lower()
    assert "INFO" in workspace.read("train.log")


def test_terminal_shows_a_live_bar(tmp_path):
    """Step, rate, time left, loss and last dev accuracy, also where the terminal has no size."""
    workspace = Workspace(tmp_path)
    process, terminal = pty.fork()
    if process == 0:
        words = command(workspace.arguments(num_train_epochs=60, save_checkpoints_steps=120))
        os.execv(words[0], words)
    shown = b""
    with contextlib.suppress(OSError):  # the end of a terminal is an error
        while True:
            shown += os.read(terminal, 1 << 16)
    assert os.waitpid(process, 0)[1] == 0
    bars = [part for part in shown.decode("utf-8").split("\r") if "/360 [" in part]
    pattern = (
        r"\d+/360 \[\d\d:\d\d<\d\d:\d\d, +[\d.]+step/s, loss 0\.\d{4}, dev accuracy [01]\.\d{4}"
    )
    assert len(bars) > 5
    assert re.search(pattern, bars[-1])


def test_last_lines_say_what_was_reached_and_where_it_lies(finished):
    workspace, result = finished
    last = dict(re.split(r"  +", line, maxsplit=1) for line in result.stdout.splitlines()[-7:])
    assert list(last) == [
        "dev accuracy",
        "test accuracy",
        "best checkpoint",
        "results",
        "predictions",
        "learning curve",
        "next",
    ]
    for title in ("results", "predictions", "learning curve"):
        for path in last[title].split(", "):
            assert os.path.getsize(path) > 0


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
    trained = results["evaluations"][1:]
    assert results["best"]["eval_accuracy"] == max(e["eval_accuracy"] for e in trained)


def test_predictions_match_the_best_checkpoint(finished):
    workspace, result = finished
    rows = np.array(
        [line.split("\t") for line in workspace.read("test_results.tsv").splitlines()], float
    )
    assert rows.shape == (12, 2)
    np.testing.assert_allclose(rows.sum(axis=1), 1, atol=1e-5)
    table = [line.split("\t") for line in workspace.read("predictions.tsv").splitlines()]
    assert table[0] == ["text_a", "text_b", "label", "prediction", "probability"]
    assert [int(row[3]) for row in table[1:]] == list(rows.argmax(axis=1))
    np.testing.assert_allclose([float(row[4]) for row in table[1:]], rows.max(axis=1), atol=1e-6)
    accuracy = np.mean([row[2] == row[3] for row in table[1:]])
    assert "test accuracy     %.4f (12 rows)" % accuracy in result.stdout


def test_best_folder_is_a_model_folder_that_predicts_by_itself(finished, tmp_path):
    workspace, _ = finished
    best = os.path.join(workspace.output, "best")
    expected = "albert_config_small.json albert_model.ckpt.data-00000-of-00001 "
    expected += "albert_model.ckpt.index checkpoint label_map.json vocab.txt"
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
    weights = checkpoints.read_shapes(os.path.join(workspace.output, "model.ckpt-12"))
    _, description, _, _ = golden_cases.load_case("bm_cls_postln_2")
    assert set(weights) == set(description["trainable_order"])
    slots = {"%s/adam_%s" % (name, slot) for name in weights for slot in "mv"}
    assert set(there) == set(weights) | slots | {"global_step"}


def test_finished_run_repeats_nothing(finished):
    workspace, first = finished
    before = {name: workspace.read(name) for name in ("eval_results.json", "test_results.tsv")}
    result = run_process(workspace.arguments())
    assert "training is complete (step 12)" in result.stdout
    assert before == {name: workspace.read(name) for name in before}
    assert result.stdout.splitlines()[-7:] == first.stdout.splitlines()[-7:]


def test_same_seed_same_numbers_other_seed_others(finished, tmp_path):
    workspace, _ = finished
    again = Workspace(tmp_path / "again")
    run_here(again.arguments())
    assert again.read("test_results.tsv") == workspace.read("test_results.tsv")
    other = Workspace(tmp_path / "other")
    run_here(other.arguments(seed=2))
    assert other.read("test_results.tsv") != workspace.read("test_results.tsv")


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


LONG = {"num_train_epochs": 50, "save_checkpoints_steps": 60}


def test_killed_run_ends_like_one_that_was_not(tmp_path):
    straight, killed = Workspace(tmp_path / "straight"), Workspace(tmp_path / "killed")
    run_here(straight.arguments(**LONG))
    for step in (60, 180):
        process = start(killed, **LONG)
        path = os.path.join(killed.output, "model.ckpt-%d.index" % step)
        wait_for(lambda path=path: os.path.exists(path), process)
        process.kill()
        process.communicate()
    assert not os.path.exists(os.path.join(killed.output, "eval_results.json"))
    result = run_process(killed.arguments(**LONG))
    assert "continuing from step" in result.stdout
    assert killed.read("test_results.tsv") == straight.read("test_results.tsv")
    mine, theirs = (json.loads(w.read("eval_results.json")) for w in (killed, straight))
    assert mine["evaluations"] == theirs["evaluations"]
    assert mine["best"] == theirs["best"]


def test_interrupted_run_saves_and_goes_on(tmp_path):
    workspace = Workspace(tmp_path)
    process = start(workspace, num_train_epochs=2000)
    wait_for(lambda: os.path.exists(os.path.join(workspace.output, "model.ckpt-6.index")), process)
    process.send_signal(signal.SIGINT)
    began = time.time()
    _, errors = process.communicate()
    assert time.time() - began < 5
    assert process.returncode == 130
    step = int(re.search(r"stopped at step (\d+) of 12000, checkpoint saved", errors).group(1))
    assert "the same command goes on" in errors and "Traceback" not in errors
    assert os.path.exists(os.path.join(workspace.output, "model.ckpt-%d.index" % step))
    assert tf.train.latest_checkpoint(workspace.output).endswith("-%d" % step)


def test_pretrained_encoder_is_loaded_and_the_rest_is_new(tmp_path):
    workspace = Workspace(tmp_path)
    config = workspace.write("golden/albert_config.json", json.dumps(golden_config()))
    vocabulary = "\n".join(VOCABULARY + ["[unused%d]" % i for i in range(100 - len(VOCABULARY))])
    changes = {
        "bert_config_file": config,
        "vocab_file": workspace.write("golden/vocab.txt", vocabulary),
        "init_checkpoint": os.path.join(golden_cases.BUNDLED, "bm_small_postln.ckpt.index"),
        "learning_rate": 1e-20,
        "do_predict": False,
        "do_eval": False,
    }
    run_here(workspace.arguments(**changes))
    values = checkpoints.read_weights(tf.train.latest_checkpoint(workspace.output))
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
        ({"learning_rate": -1e-4}, ["--learning_rate: -0.0001"]),
        ({"num_train_epochs": 0}, ["--num_train_epochs: 0"]),
        ({"train_batch_size": 97}, ["--train_batch_size=97", "96 training rows"]),
        ({"num_train_epochs": 0.1}, ["less than one step"]),
        ({"max_seq_length": 65}, ["--max_seq_length: 65", "max_position_embeddings, 64"]),
        ({"max_seq_length": 3}, ["--max_seq_length: 3 is too short"]),
        ({"warmup_proportion": 1.0}, ["--warmup_proportion"]),
        ({"init_checkpoint": "/nowhere/a.ckpt"}, ["no checkpoint /nowhere/a.ckpt"]),
        ({"bert_config_file": "/nowhere/c.json"}, ["/nowhere/c.json: cannot be read"]),
        ({"vocab_file": "/nowhere/v.txt"}, ["/nowhere/v.txt"]),
        ({"output_dir": "/dev/null/out"}, ["/dev/null/out", "cannot be written"]),
        ({"do_train": False, "do_predict": False}, ["holds no checkpoint", "--do_train=true"]),
    ],
)
def test_mistakes_are_told_before_anything_is_done(tmp_path, changes, words):
    workspace = Workspace(tmp_path)
    with pytest.raises(UserError) as caught:
        run_here(workspace.arguments(**changes))
    assert "\n" not in str(caught.value)
    for word in words:
        assert word in str(caught.value)


def test_unknown_config_keys_are_said_in_a_line(tmp_path, capsys):
    workspace = Workspace(tmp_path)
    workspace.write("model/albert_config_small.json", json.dumps(dict(CONFIG, colour="red")))
    run_here(workspace.arguments(do_eval=False, do_predict=False, num_train_epochs=0.2))
    printed = capsys.readouterr()
    expected = "warning: %s: unknown keys are kept but not used: colour\n" % workspace.config
    assert expected in printed.out and printed.err == ""


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
        (["--lerning_rate=1"], ["lerning_rate"]),
        (["--do_train", "true"], ["unexpected argument 'true'", "--name=value"]),
        (["--train_batch_size=many"], ["train_batch_size", "many"]),
        ([], ["--data_dir is required"]),
    ],
)
def test_mistakes_are_one_line_and_status_2(arguments, words):
    result = run_process(arguments)
    assert result.returncode == 2 and result.stdout == ""
    assert result.stderr.count("\n") == 1
    assert result.stderr.startswith("run_classifier.py: error: ")
    for word in words:
        assert word in result.stderr


def test_help_lists_every_flag_of_the_command_and_no_other():
    text = run_process(["--help"]).stdout
    assert "--num_train_epochs" in text and "--tpu_name" in text and "--data_dir" in text
    assert "hbm_oom_exit" not in text
    assert "python run_classifier.py --task_name=lcqmc --data_dir=data/pairs_sample \\\n" in text


def test_full_disk_is_one_line_and_the_run_goes_on_later(tmp_path):
    folder = tmp_path / "small"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=300k", "tmpfs", str(folder)]
    if subprocess.call(mount, stderr=subprocess.DEVNULL) != 0:
        pytest.skip("mounting a small tmpfs is not allowed here")
    try:
        workspace = Workspace(tmp_path / "workspace")
        result = run_process(workspace.arguments(output_dir=str(folder / "out")))
        assert result.returncode == 2, result.stderr
        assert result.stderr.count("\n") == 1 and "space" in result.stderr
        subprocess.check_call(["mount", "-o", "remount,size=50m", str(folder)])
        result = run_process(workspace.arguments(output_dir=str(folder / "out")))
        assert result.returncode == 0, result.stderr
    finally:
        subprocess.call(["umount", str(folder)])
