"""benchmarks/results.py with tiny models: each run is done once, and the tables are written."""

import glob
import json
import os
import subprocess
import sys

import pytest

import small_models
from titles import titles
from workspace import CONFIG, ROOT, Workspace

sys.path.append(os.path.join(ROOT, "benchmarks"))

import results

SCRIPT = os.path.join(ROOT, "benchmarks", "results.py")


OLD_PAGE = """a
<!-- start -->
| data set | start | dev |
|---|---|---|
| ChnSentiCorp | baseline | old |
| other | baseline | kept |
<!-- end of start -->
b
"""


def times_of_results(command, workspace):
    """Runs the command and returns {path: modification time} of all results."""
    done = subprocess.run(command, capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stderr
    paths = glob.glob(os.path.join(workspace.output, "**", "result.json"), recursive=True)
    return {path: os.stat(path).st_mtime_ns for path in paths}


@pytest.fixture
def workspace(tmp_path):
    """Fixture: workspace with a data set in `sets/chnsenticorp`; ten dev rows are also in train."""
    workspace = Workspace(tmp_path)
    train, dev, test = (titles(40, seed, labels=("0", "1")) for seed in (1, 2, 3))
    dev = train[:10] + dev[10:]
    for name, rows in (("train", train), ("dev", dev), ("test", test)):
        text = "".join("%s\t%s\n" % (label, title) for title, label in rows)
        workspace.write("sets/chnsenticorp/%s.tsv" % name, "label\ttext_a\n" + text)
    return workspace


def arguments_of(workspace):
    return [
        "--data_dir=" + os.path.join(workspace.folder, "sets"),
        "--model_dir=" + os.path.join(workspace.folder, "model"),
        "--output_dir=" + workspace.output,
        "--datasets=chnsenticorp",
        "--option_datasets=",
        "--epochs=1",
    ]


@pytest.mark.slow
def test_runs_are_done_once_and_fill_the_tables(workspace, tmp_path):
    page = workspace.write("results.md", OLD_PAGE)
    command = [sys.executable, SCRIPT, "--seeds=1,2", "--write=" + page] + arguments_of(workspace)
    # The small model has 64 positions, but the data set needs 256.
    config = dict(CONFIG, max_position_embeddings=256)
    workspace.write("model/albert_config_small.json", json.dumps(config))
    alone = ["--starts=random weights", "--seeds=1", "--output_dir=" + str(tmp_path / "new")]
    subprocess.run(command + alone, check=True, timeout=600)  # no baseline created the folder
    first = times_of_results(command, workspace)
    assert len(first) == 4  # baseline and random weights, two seeds
    assert times_of_results(command, workspace) == first
    with open(page, encoding="utf-8") as handle:
        text = handle.read()
    assert text.startswith("a\n") and text.endswith("b\n")
    assert "old" not in text and "| other | baseline | kept |\n" in text
    rows = [line.split("|")[2:5] for line in text.splitlines() if "ChnSentiCorp" in line]
    assert [row[0].strip() for row in rows] == ["baseline", "random weights"]
    assert "±" in rows[0][1] and "±" in rows[1][2]
    baseline = os.path.join(workspace.output, "chnsenticorp", "baseline", "seed_1", "result.json")
    with open(baseline, encoding="utf-8") as handle:
        result = json.load(handle)
    # The baseline is right on the ten rows of dev that are also in train.
    assert result["dev"] == pytest.approx((10 + 30 * result["dev_unseen"]) / 40)
    assert result["test_unseen"] is None


def test_the_time_of_a_run_that_goes_on_is_left_out(workspace, capsys):
    """Of three seeds, the first was interrupted earlier and the third is finished."""
    folders = ["out/chnsenticorp/baseline/seed_%d/" % seed for seed in (1, 2, 3)]
    workspace.write(folders[0] + "model.ckpt-2.index", "")
    done = {"dev": 0.5, "test": 0.5, "seconds": 200.0}
    workspace.write(folders[2] + "result.json", json.dumps(done))
    cells = {}
    for seeds in ("1", "1,2,3"):
        arguments = arguments_of(workspace) + ["--starts=baseline", "--seeds=" + seeds]
        small_models.run_command(results, arguments)
        cells[seeds] = capsys.readouterr().out.splitlines()[-1].split("|")[-3:-1]
    seconds = []
    for folder in folders:
        with open(os.path.join(workspace.folder, folder, "result.json"), encoding="utf-8") as file:
            seconds.append(json.load(file)["seconds"])
    assert seconds[0] is None and 0 < seconds[1] < 100 and seconds[2] == 200
    assert cells["1"] == [" 1 ", " - "]
    assert cells["1,2,3"] == [" 3 ", " %.0f s " % ((seconds[1] + 200) / 2)]


@pytest.mark.slow
def test_chinese_pages_get_their_rows_in_chinese(workspace):
    old = OLD_PAGE.replace("baseline", "基线")
    pages = [workspace.write("results.md", OLD_PAGE), workspace.write("results_zh.md", old)]
    done = {"dev": 0.5, "test": 0.25, "seconds": 200.0}
    for start in ("baseline", "random_weights"):
        path = "out/chnsenticorp/%s/seed_1/result.json" % start
        workspace.write(path, json.dumps(done))
    command = [sys.executable, SCRIPT, "--run=false", "--seeds=1", "--write=" + ",".join(pages)]
    subprocess.run(
        command + arguments_of(workspace) + ["--starts=baseline,random weights"], check=True
    )
    with open(pages[1], encoding="utf-8") as handle:
        lines = handle.read().splitlines()
    assert lines[2] == (
        "| 数据集 | 起点 | dev | test | dev，未见过的行 | test，未见过的行 | 种子数 | 每次用时 |"
    )
    cells = "50.00 | 25.00 | - | - | 1 | 200 s |"
    assert lines[4:7] == [
        "| ChnSentiCorp | 基线 | " + cells,
        "| other | 基线 | kept |",
        "| ChnSentiCorp | 随机权重 | " + cells,
    ]


def test_the_words_of_all_rows_are_known_in_chinese():
    words = set(results.STARTS.values()) | set(results.OPTIONS) | {results.SWAPPED}
    assert words <= set(results.CHINESE)
    assert len(set(results.CHINESE.values())) == len(results.CHINESE)  # keys of rows stay distinct


def test_rows_of_training_and_of_the_others_are_limited_apart(workspace):
    arguments = arguments_of(workspace) + ["--starts=baseline", "--seeds=1"]
    small_models.run_command(results, arguments + ["--train_rows=12", "--max_rows=30"])
    folder = os.path.join(workspace.output, "chnsenticorp", "data")
    numbers = {}
    for name in ("train", "dev", "test"):
        with open(os.path.join(folder, name + ".tsv"), encoding="utf-8") as handle:
            numbers[name] = len(handle.readlines()) - 1  # the header
    assert numbers == {"train": 12, "dev": 30, "test": 30}


@pytest.mark.parametrize("way", ["results", "warm_start"])
@pytest.mark.slow
def test_runs_of_other_settings_are_refused(tmp_path, way):
    commands = {
        "results": [SCRIPT, "--data_dir=" + str(tmp_path), "--run=false", "--epochs="],
        "warm_start": [
            os.path.join(ROOT, "benchmarks", "warm_start.py"),
            "--records=nowhere",
            "--held_out=nowhere",
            "--steps=",
        ],
    }
    *command, number = commands[way]
    command = [sys.executable] + command + ["--output_dir=" + str(tmp_path / "out")]
    errors = []
    for value in "12":
        done = subprocess.run(
            command + [number + value],
            stderr=subprocess.PIPE,
            text=True,
            timeout=300,
        )
        errors.append(done.stderr)
    assert "name another folder" not in errors[0]
    assert done.returncode == 2 and "name another folder" in errors[1]
