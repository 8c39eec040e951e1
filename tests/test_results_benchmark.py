"""benchmarks/results.py at tiny size: the plan is done once, the tables are written."""

import glob
import json
import os
import subprocess
import sys

import pytest

from test_cli_run_classifier_multiclass import titles
from workspace import CONFIG, ROOT, Workspace

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
    """{path: time of change} of all results, after the command."""
    done = subprocess.run(command, capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stderr
    results = glob.glob(os.path.join(workspace.output, "**", "result.json"), recursive=True)
    return {path: os.stat(path).st_mtime_ns for path in results}


@pytest.mark.slow
def test_runs_are_done_once_and_fill_the_tables(tmp_path):
    workspace = Workspace(tmp_path)
    train, dev, test = (titles(40, seed, labels=("0", "1")) for seed in (1, 2, 3))
    dev = train[:10] + dev[10:]
    for name, rows in (("train", train), ("dev", dev), ("test", test)):
        text = "".join("%s\t%s\n" % (label, title) for title, label in rows)
        workspace.write("sets/chnsenticorp/%s.tsv" % name, "label\ttext_a\n" + text)
    page = workspace.write("results.md", OLD_PAGE)
    command = [
        sys.executable,
        SCRIPT,
        "--data_dir=" + os.path.join(workspace.folder, "sets"),
        "--model_dir=" + os.path.join(workspace.folder, "model"),
        "--output_dir=" + workspace.output,
        "--datasets=chnsenticorp",
        "--option_datasets=",
        "--seeds=1,2",
        "--epochs=1",
        "--write=" + page,
    ]
    # The small model has 64 positions, the set asks for 256.
    config = dict(CONFIG, max_position_embeddings=256)
    workspace.write("model/albert_config_small.json", json.dumps(config))
    alone = ["--starts=random weights", "--seeds=1", "--output_dir=" + str(tmp_path / "new")]
    subprocess.run(command + alone, check=True, timeout=600)  # no baseline made the folder
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
    # The ten rows of dev that stand in train are easy.
    assert result["dev"] == pytest.approx((10 + 30 * result["dev_unseen"]) / 40)
    assert result["test_unseen"] is None


@pytest.mark.parametrize("way", ["results", "warm_start"])
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
