"""scripts/train_starter.py: stages run once, killed runs resume, and mistakes are reported."""

import glob
import json
import os
import shutil
import signal
import subprocess
import sys
import time

import numpy as np
import pytest

from albert_zh.common import files, output_files
from albert_zh.common.errors import UserError
from isolated_flags import flags_of
from titles import titles
import workspace
from workspace import ROOT

sys.path.insert(0, os.path.join(ROOT, "scripts"))
import starter_settings
import starter_stages
import train_starter

NEWS = os.path.join(ROOT, "data", "news_sample.txt")
SETTINGS = {
    "corpus": NEWS,
    "held_out_every": 5,
    "segmenter": "none",
    "max_seq_length": 32,
    "max_predictions": 5,
    "steps": 6,
    "pair_steps": 0,
    "similar_steps": 0,
    "batch_size": 8,
    "save_steps": 3,
    "data_dir": "",
}


class Run:
    """Runs train_starter.py for one model folder and records the commands that it calls."""

    def __init__(self, folder):
        self.out = str(folder / "model")
        self.called = []

    def work(self, *parts):
        return os.path.join(self.out + ".work", *parts)

    def __call__(self, *arguments, **changes):
        """Runs the command in this process; returns the names of the scripts it called."""
        self.called = []
        values = dict(dict(SETTINGS, out=self.out), **changes)
        words = ["--%s=%s" % item for item in values.items() if item[1] is not None]
        with flags_of(words, starter_settings.define_flags):
            train_starter.main(list(arguments))
        return [os.path.basename(command[1]) for command in self.called]

    def call(self, command, **settings):
        """Replaces `starter_stages._call`: prepares the data, but only pretends to train."""
        self.called.append(command)
        if command[1].endswith("run_pretraining.py"):
            folder = os.path.basename(flags_in(command)["output_dir"])
            for name in ("model.ckpt-6.index", "export/albert_model.ckpt.index"):
                self.write("%s/%s" % (folder, name))
            self.write(folder + "/export/vocab.txt")
            self.write(folder + "/learning_curve.png", folder)
            self.write(folder + "/eval_results.txt", "loss = 5.5\nmasked_lm_accuracy = 0.25\n")
        else:
            subprocess.run(command, check=True, capture_output=True)

    def write(self, name, text=""):
        with output_files.atomic_write(self.work(name)) as handle:
            handle.write(text)


@pytest.fixture
def run(tmp_path, monkeypatch):
    one = Run(tmp_path)
    monkeypatch.setattr(starter_stages, "_call", one.call)
    return one


DATA = ["split_corpus.py", "create_pretraining_data_google.py", "create_pretraining_data_google.py"]


def flags_in(command):
    return dict(word[2:].split("=", 1) for word in command[2:])


def test_every_stage_is_done_once(run, capsys):
    assert run("--optimizer=lamb") == DATA + ["run_pretraining.py"]
    flags = flags_in(run.called[-1])
    assert len(flags["input_file"].split(",")) == 8 and flags["warm_start"] == "True"
    assert flags["num_warmup_steps"] == "0" and flags["train_batch_size"] == "8"
    assert run.called[-1][-1] == "--optimizer=lamb"  # the later of two flags wins
    assert sorted(os.listdir(run.out)) == [
        "albert_model.ckpt.index",
        "learning_curve.png",
        "scores.json",
        "vocab.txt",
    ]
    scores = files.read_json(os.path.join(run.out, "scores.json"))
    results = {"loss": 5.5, "masked_lm_accuracy": 0.25}
    assert scores == {"held-out text, pretraining": results}
    capsys.readouterr()
    assert run("--optimizer=lamb") == []
    assert capsys.readouterr().err.count("done before") == 5


def test_the_config_counts_every_line_of_the_vocabulary(run, tmp_path):
    path = os.path.join(ROOT, "albert_starter_zh", "vocab.txt")
    lines = files.read_lines(path)
    (tmp_path / "vocab.txt").write_text("\n".join(lines + lines[-1:]) + "\n", encoding="utf-8")
    run(vocab_file=str(tmp_path / "vocab.txt"))
    config = files.read_json(run.work("vocabulary", "albert_config_tiny.json"))
    assert config["vocab_size"] == len(lines) + 1


def test_the_second_phase_starts_from_the_first_with_unrelated_pairs(run):
    assert run(pair_steps=40) == DATA + ["run_pretraining.py"] + DATA[1:] + ["run_pretraining.py"]
    first, second = (flags_in(run.called[number]) for number in (3, 6))
    records = [flags_in(run.called[number]) for number in (2, 5)]
    assert [flags.get("random_next_sentence") for flags in records] == [None, "True"]
    assert [flags["dupe_factor"] for flags in records] == ["2", "1"]
    assert (first["warm_start"], second["warm_start"]) == ("True", "False")
    assert "init_checkpoint" not in first and second["init_checkpoint"] == first["export_dir"]
    assert second["input_file"] == records[1]["output_file"] != first["input_file"]
    assert (second["num_train_steps"], second["num_warmup_steps"]) == ("40", "4")
    assert (first["learning_rate"], second["learning_rate"]) == ("0.0005", "0.0004")
    curves = {"learning_curve.png": "pretraining", "pair_learning_curve.png": "pair_pretraining"}
    for name, phase in curves.items():
        assert files.read_text(os.path.join(run.out, name)) == phase
    assert run(pair_steps=50) == ["run_pretraining.py"]
    with pytest.raises(
        UserError, match="pair_pretraining contains .* another starting point .steps is 8, was"
    ):
        run(pair_steps=50, steps=8)


STARTER = os.path.join(ROOT, "albert_starter_zh")
OF_GOING_ON = {"steps": None, "pair_steps": None, "similar_steps": None, "save_steps": None}


@pytest.mark.parametrize(
    "arguments", [[], ["--init_checkpoint=" + STARTER], ["--init_checkpoint", STARTER]]
)
def test_a_model_goes_on_for_few_steps(run, capsys, arguments):
    start = {} if arguments else {"init_checkpoint": STARTER}
    assert run(*arguments, **start, **OF_GOING_ON) == DATA + ["run_pretraining.py"]
    flags = flags_in(run.called[-1])
    assert (flags["warm_start"], flags["init_checkpoint"]) == ("False", STARTER)
    assert (flags["num_train_steps"], flags["learning_rate"]) == ("1000", "0.0005")
    assert (flags["num_warmup_steps"], flags["save_checkpoints_steps"]) == ("100", "250")
    assert flags_in(run.called[1])["random_next_sentence"] == "True"
    with open(run.work("vocabulary", "vocab.txt"), "rb") as handle:
        assert handle.read() == files.read_bytes(os.path.join(STARTER, "vocab.txt"))
    config = files.read_json(run.work("vocabulary", "albert_config_tiny.json"))
    assert config == files.read_json(os.path.join(STARTER, "albert_config_tiny.json"))
    assert "is little text to pre-train on" not in capsys.readouterr().err


def test_only_the_first_phase_starts_from_the_model(run):
    run("--init_checkpoint=" + STARTER, pair_steps=40)
    starts = [
        flags_in(command)["init_checkpoint"]
        for command in run.called
        if command[1].endswith("run_pretraining.py")
    ]
    assert starts == [STARTER, run.work("pretraining", "export")]
    with pytest.raises(
        UserError, match="another starting point .init_checkpoint is None, was albert_model"
    ):
        run(pair_steps=40)


def test_a_model_goes_on_with_its_own_vocabulary_and_config(run, tmp_path):
    small = tmp_path / "small"
    small.mkdir()
    for name in os.listdir(STARTER):
        if name.startswith("albert_model.ckpt"):
            os.symlink(os.path.join(STARTER, name), str(small / name))
    config = dict(files.read_json(os.path.join(STARTER, "albert_config_tiny.json")), x=1)
    output_files.write_json(str(small / "albert_config_other.json"), config)
    with pytest.raises(UserError, match="there is no vocab.txt next to it.*VOCAB_FILE"):
        run(init_checkpoint=str(small))
    lines = files.read_lines(os.path.join(STARTER, "vocab.txt"))
    (small / "vocab.txt").write_text("\n".join(lines[::-1]) + "\n", encoding="utf-8")
    run(init_checkpoint=str(small / "albert_model.ckpt"))
    assert files.read_lines(run.work("vocabulary", "vocab.txt")) == lines[::-1]
    assert files.read_json(run.work("vocabulary", "albert_config_other.json"))["x"] == 1
    with pytest.raises(UserError, match="VOCAB_SIZE.*is trained further with its own vocabulary"):
        run(init_checkpoint=str(small), vocab_size=9000)
    with pytest.raises(UserError, match="no checkpoint"):
        run(init_checkpoint=str(tmp_path / "nowhere"))


def test_a_model_with_capital_letters_goes_on_with_them(run, tmp_path):
    """Regression: a cased model was trained further on lower-cased texts, yet saved as cased."""
    cased = tmp_path / "cased"
    cased.mkdir()
    for name in os.listdir(STARTER):
        if os.path.isfile(os.path.join(STARTER, name)):
            os.symlink(os.path.join(STARTER, name), str(cased / name))
    run(init_checkpoint=str(cased))
    assert "do_lower_case" not in flags_in(run.called[1])
    output_files.write_json(str(cased / "fine_tuning.json"), {"do_lower_case": False})
    with pytest.raises(UserError, match="other data .*do_lower_case is False, was None"):
        run(init_checkpoint=str(cased))
    shutil.rmtree(run.work())
    shutil.rmtree(run.out)
    run(init_checkpoint=str(cased))
    assert [flags_in(command)["do_lower_case"] for command in run.called[1:3]] == ["False"] * 2


def test_texts_of_one_sentence_teach_masked_words_alone(run):
    assert run(one_segment=True, init_checkpoint=STARTER, **OF_GOING_ON)
    assert [flags_in(command).get("one_segment") for command in run.called] == [
        None,
        "True",
        "True",
        None,
    ]
    assert "random_next_sentence" not in flags_in(run.called[1])
    with pytest.raises(UserError, match="ONE_SEGMENT. has one phase, here are 2: .*PAIR_STEPS=0"):
        run(one_segment=True, pair_steps=40)


def test_little_text_is_advised_to_go_on_from_a_model(run, capsys):
    run()
    assert "0.0 MB is little text" in capsys.readouterr().err
    run()
    assert "is little" not in capsys.readouterr().err


def test_the_third_phase_has_similar_texts(run):
    called = run(pair_steps=40, similar_steps=20)
    assert called == DATA[:1] + (DATA[1:] + ["run_pretraining.py"]) * 3
    second, third = (flags_in(run.called[number]) for number in (6, 9))
    records = flags_in(run.called[8])
    assert records["similar_next_sentence"] == "True" and records["short_seq_prob"] == "0.8"
    assert third["init_checkpoint"] == second["export_dir"]
    assert third["input_file"] == records["output_file"]
    assert (third["num_train_steps"], third["learning_rate"]) == ("20", "0.0003")
    curve = os.path.join(run.out, "similar_learning_curve.png")
    assert files.read_text(curve) == "similar_pretraining"


def test_a_stopped_stage_is_done_again_and_only_that(run):
    run()
    stages = files.read_json(run.work("stages.json"))
    stages["records"]["is_done"] = False
    output_files.write_json(run.work("stages.json"), stages)
    assert run() == DATA[1:]
    assert all("--resume=True" in command for command in run.called)


def test_a_model_folder_that_was_moved_is_filled_again(run, tmp_path):
    run()
    before = sorted(os.listdir(run.out))
    shutil.move(run.out, str(tmp_path / "elsewhere"))
    assert run() == []
    assert sorted(os.listdir(run.out)) == before


def test_changed_settings_are_told_and_what_depends_on_them_is_made_anew(run, capsys):
    run()
    os.remove(run.work("pretraining", "model.ckpt-6.index"))  # stopped before a checkpoint
    capsys.readouterr()
    assert run(max_seq_length=40) == DATA[1:] + ["run_pretraining.py"]
    shown = capsys.readouterr().err
    assert "== split: done before" in shown
    assert "== records once more, since max_seq_length is 40, was 32" in shown
    assert flags_in(run.called[0])["max_seq_length"] == "40"


def test_training_that_has_begun_keeps_its_data(run):
    run()
    with pytest.raises(UserError, match="other data .*held_out_every is 4, was 5.*another --out"):
        run(held_out_every=4)
    assert run.called == []
    assert run(steps=8) == ["run_pretraining.py"]


def test_a_run_that_was_begun_when_files_were_told_by_their_size_goes_on(run):
    run()
    former = files.read_json(run.work("stages.json"))
    for entry in former.values():
        for name in ("corpus", "data_dir"):
            if name in entry["settings"]:
                entry["settings"][name] = entry["settings"][name].split(" (sha256")[0]
    assert former["split"]["settings"]["corpus"].endswith(" bytes")
    output_files.write_json(run.work("stages.json"), former)
    assert run() == []
    former["split"]["settings"]["corpus"] = "1 files, 1 bytes"
    output_files.write_json(run.work("stages.json"), former)
    assert run() == DATA[:1]


@pytest.mark.slow
def test_how_it_is_computed_may_change_in_any_phase(run):
    run(pair_steps=6)
    # run_pretraining.py decides whether a training can resume with these; the records are reused.
    former = files.read_json(run.work("stages.json"))
    former["pair_records"]["settings"].update(arguments="", batch_size=8, precision="float32")
    output_files.write_json(run.work("stages.json"), former)  # as earlier versions wrote it
    names = run("--num_threads=1", pair_steps=6, precision="bfloat16")
    assert names == ["run_pretraining.py"] * 2
    assert [flags_in(command)["precision"] for command in run.called] == ["bfloat16"] * 2


def test_a_vocabulary_of_ones_own(run):
    pytest.importorskip("tokenizers")
    assert run(vocab_size=7300, split_sentences="true")[1] == "build_vocab.py"
    assert flags_in(run.called[0])["split_sentences"] == "True"
    config = files.read_json(run.work("vocabulary", "albert_config_tiny.json"))
    assert config["vocab_size"] == 7300 and config["hidden_size"] == 312
    assert len(files.read_lines(run.work("vocabulary", "vocab.txt"))) == 7300


def test_a_config_is_looked_at_before_any_work(run, tmp_path):
    """Regression: pre-training refused an invalid config only after the records were created."""
    config = files.read_json(os.path.join(STARTER, "albert_config_tiny.json"))
    path = str(tmp_path / "albert_config_mine.json")
    output_files.write_json(path, dict(config, num_attention_heads=5))
    with pytest.raises(UserError, match="CONFIG_FILE.: .*num_attention_heads"):
        run(config_file=path)
    assert not run.called
    output_files.write_json(path, dict(config, use_relative_position=True))
    run(config_file=path)
    assert flags_in(run.called[-1])["warm_start"] == "False"


def test_what_is_excluded_is_in_neither_part(run, tmp_path):
    with open(NEWS, encoding="utf-8") as handle:
        document = handle.read().split("\n\n")[2].split("\n")
    sets = tmp_path / "test.txt"
    sets.write_text("一句别的话\t%s\t1\n" % max(document, key=len), encoding="utf-8")
    run(exclude=str(sets))
    counts = files.read_json(run.work("split", "counts.json"))
    assert (counts["documents"], counts["excluded documents"]) == (23, 1)
    for part in ("train", "held_out"):
        assert document[0] not in files.read_text(run.work("split", part + ".txt"))


# What goes wrong -> (settings in the environment, words of the message).
MISTAKES = {
    "no corpus": ({"CORPUS": ""}, "CORPUS is missing"),
    "no out": ({"OUT": ""}, "OUT is missing"),
    "no files": ({"CORPUS": "nothing/*"}, "--corpus=nothing/*: no such file"),
    "no encoding": ({"ENCODING": "gbx"}, "--encoding: Python knows no encoding named 'gbx'"),
    "a file in the way": ({"OUT": "file/model"}, "file/model.work: cannot be written"),
    "not our folder": ({"OUT": "."}, "--out=. exists and was not created by this command"),
    "no number": ({"STEPS": "many"}, "flag --steps=many"),
    "less than no step": ({"STEPS": "-5"}, "flag --steps=-5"),
    "no batch": ({"BATCH_SIZE": "0"}, "flag --batch_size=0"),
    "no rate": ({"LEARNING_RATE": "-1"}, "flag --learning_rate=-1"),
    "no segmenter": ({"SEGMENTER": "foo"}, "flag --segmenter=foo"),
    "too long": ({"MAX_SEQ_LENGTH": "513"}, "(MAX_SEQ_LENGTH) is more than the 512 positions"),
    "no phase": (
        {"STEPS": "0", "PAIR_STEPS": "0", "SIMILAR_STEPS": "0"},
        "leave nothing to train",
    ),
    "warm-up alone": (
        {"PAIR_WARMUP_STEPS": "7500"},
        "--pair_warmup_steps=7500 (PAIR_WARMUP_STEPS): expected less than the 7500 steps",
    ),
    "two vocabularies": ({"VOCAB_SIZE": "9", "VOCAB_FILE": "v"}, "give one of them"),
    "no vocabulary": ({"VOCAB_FILE": "v"}, "--vocab_file=v (VOCAB_FILE): no such file"),
    "no config": ({"CONFIG_FILE": "c"}, "--config_file=c (CONFIG_FILE): no such file"),
    "no labelled data": ({"DATA_DIR": "."}, "--data_dir=.: expected a folder with train.txt"),
    "text within": ({"CORPUS": "."}, "includes model.work, where this command writes"),
}


@pytest.mark.parametrize("name", sorted(MISTAKES))
def test_mistakes_are_one_clear_line(tmp_path, name):
    settings, words = MISTAKES[name]
    (tmp_path / "file").write_text("一句话。\n")
    given = dict({"CORPUS": NEWS, "OUT": "model", "DATA_DIR": ""}, **settings)
    done = subprocess.run(
        ["bash", os.path.join(ROOT, "scripts", "train_starter.sh")],
        cwd=str(tmp_path),
        env=dict(os.environ, VIRTUAL_ENV=sys.prefix, **given),
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 2
    assert words in done.stderr and done.stderr.count("\n") == 1


def test_too_little_text_to_hold_any_out(run):
    with pytest.raises(UserError, match="23 documents, so that none is held out.*less than 200"):
        run(held_out_every=200)


def test_a_command_ends_with_the_one_that_started_it(tmp_path):
    script = (
        "import sys; sys.path[:0] = %r; import starter_stages\n"
        "starter_stages._call(['bash', '-c', 'echo $$ >pid; exec sleep 600'])"
    ) % ([os.path.join(ROOT, "scripts"), ROOT],)
    process = subprocess.Popen([sys.executable, "-c", script], cwd=str(tmp_path))
    path = tmp_path / "pid"
    _wait_until(lambda: path.exists() and path.read_text().strip())
    process.kill()
    process.wait()
    started = "/proc/%s/stat" % path.read_text().strip()

    def has_ended():
        return not os.path.exists(started) or ") Z " in files.read_text(started)

    _wait_until(has_ended)  # long before the sleep would end
    assert has_ended()


def _wait_until(is_true, seconds=60):
    end = time.time() + seconds
    while not is_true():
        assert time.time() < end
        time.sleep(0.01)


# From end to end


@pytest.fixture
def start(tmp_path):
    """Fixture: function that starts train_starter.sh in a folder with a small config and tasks."""
    tasks = workspace.Workspace(tmp_path, 64, 8, 8)
    for name, seed in (("train", 1), ("dev", 2)):
        rows = "".join("%s,%s\n" % row for row in titles(40, seed))
        tasks.write("topics/%s.csv" % name, "text_a,label\n" + rows)
    config = dict(workspace.CONFIG, vocab_size=8000, max_position_embeddings=128)
    tasks.write("albert_config_small.json", json.dumps(config))
    settings = {name.upper(): str(value) for name, value in SETTINGS.items()}
    settings.update(CONFIG_FILE="albert_config_small.json", DATA_DIR="data,topics")
    settings.update(PAIR_STEPS="6", SIMILAR_STEPS="6")

    def started(**changes):
        return subprocess.Popen(
            ["bash", os.path.join(ROOT, "scripts", "train_starter.sh")],
            cwd=str(tmp_path),
            env=dict(os.environ, VIRTUAL_ENV=sys.prefix, **dict(settings, **changes)),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            universal_newlines=True,
            encoding="utf-8",
        )

    return started


def _values(folder):
    from albert_zh.model.checkpoints import checkpoint_files, checkpoint_values

    return checkpoint_values.read_weights(checkpoint_files.find_checkpoint(folder))


def _is_begun(work, stage):
    path = os.path.join(work, "stages.json")
    return os.path.exists(path) and stage in files.read_json(path)


# Stage -> a file that exists while the stage is running.
MOMENTS = {
    "split": "lock",
    "records": "records",
    "pretraining": "pretraining/model.ckpt-3.index",
    "pair_records": "pair_records",
    "pair_pretraining": "pair_pretraining/model.ckpt-3.index",
    "similar_records": "similar_records",
    "similar_pretraining": "similar_pretraining/model.ckpt-3.index",
    "scores/data": "scores/data/train.log",
    "scores/topics": "scores/topics/best/*.index",
}


@pytest.mark.slow
def test_killed_in_every_stage_it_ends_with_the_same_model(start, tmp_path):
    straight = start(OUT="straight", DATA_DIR="")
    shown = straight.communicate(timeout=600)[0]
    assert straight.returncode == 0, shown
    work = str(tmp_path / "killed.work")
    for stage, name in MOMENTS.items():
        process = start(OUT="killed")
        while process.poll() is None and not (
            _is_begun(work, stage) and glob.glob(os.path.join(work, name))
        ):
            time.sleep(0.01)
        process.send_signal(signal.SIGKILL)
        shown = process.communicate()[0]
        assert process.returncode == -signal.SIGKILL, (stage, shown)
    process = start(OUT="killed")
    shown = process.communicate(timeout=600)[0]
    assert process.returncode == 0, shown
    assert "records: done before" in shown and "pretraining: done before" in shown
    expected, found = (_values(str(tmp_path / name)) for name in ("straight", "killed"))
    assert sorted(expected) == sorted(found)
    for name, value in expected.items():
        np.testing.assert_array_equal(found[name], value)
    scores = files.read_json(str(tmp_path / "killed" / "scores.json"))
    phases = ["held-out text, " + phase.name for phase in starter_settings.PHASES]
    assert list(scores) == phases + ["data", "topics"]
    assert 0 <= scores["data"]["test_accuracy"] <= 1 and 0 <= scores["topics"]["dev_accuracy"] <= 1
    assert os.path.exists(str(tmp_path / "killed" / "learning_curve.png"))


@pytest.mark.parametrize(
    "arguments, message",
    [
        (["--out=m", "--learning_rate=nan"], "--learning_rate=nan: expected a number above 0"),
        pytest.param(
            ["--out=m", "--pair_learning_rate=0"],
            "--pair_learning_rate=0 (PAIR_LEARNING_RATE)",
            marks=pytest.mark.slow,
        ),
        pytest.param(
            ["--out=m", "--vocab_size=99999999999"],
            "--vocab_size=99999999999",
            marks=pytest.mark.slow,
        ),
        pytest.param(
            ["--out=m", "--", "--poly_power=nan"],
            "--poly_power=nan: expected a number, 0 or more",
            marks=pytest.mark.slow,
        ),
        (["--out=m", "--", "--no_such_flag"], "Unknown command line flag 'no_such_flag'"),
    ],
)
def test_numbers_that_make_no_sense_are_refused_before_any_work(arguments, message, tmp_path):
    command = [sys.executable, os.path.join(ROOT, "scripts", "train_starter.py")]
    done = subprocess.run(
        command + ["--corpus=" + os.path.join(ROOT, "data", "news_sample.txt")] + arguments,
        cwd=str(tmp_path),
        capture_output=True,
        text=True,
    )
    assert done.returncode == 2 and done.stderr.startswith("train_starter.py: error: ")
    assert message in done.stderr and done.stderr.count("\n") == 1
    assert os.listdir(str(tmp_path)) == []
