"""The table that run_classifier_distill.sh prints at the end, and the flags that it refuses."""

import json
import os
import subprocess
import sys

import pytest

from project_root import ROOT


@pytest.fixture(name="write")
def write_fixture(tmp_path):
    """Fixture: function that writes the report and the predictions of a named run.

    The report is {split: {name: score}}; a row of predictions is (label, P(0), P(1)).
    """

    def write(name, report, rows=()):
        folder = tmp_path / name
        folder.mkdir()
        (folder / "report.json").write_text(json.dumps(report))
        lines = ["text_a\tlabel\tP(0)\tP(1)"] + ["甲\t%s\t%s\t%s" % row for row in rows]
        (folder / "predictions.tsv").write_text("\n".join(lines) + "\n", encoding="utf-8")

    return write


def table(folder, teachers=""):
    """The lines of the table that the script prints, each as a list of three cells."""
    script = os.path.join(ROOT, "scripts", "compare_distilled.py")
    done = subprocess.run(
        [sys.executable, script, "--output_dir=%s" % folder, "--teachers=" + teachers],
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    return [line.rsplit(None, 2) for line in done.stdout.splitlines()]


def test_scores_of_the_runs_and_of_the_teachers_average(write, tmp_path):
    def report(dev, test):
        return {"dev": {"rows": 9, "accuracy": dev}, "test": {"rows": 3, "accuracy": test}}

    unlabelled = ("", 0.4, 0.6)  # a row without a label does not count
    write("plain", report(0.5, 0.25))
    write(
        "teacher_1", report(0.6, 2 / 3), [(1, 0.1, 0.9), (0, 0.6, 0.4), (0, 0.3, 0.7), unlabelled]
    )
    write(
        "teacher_2", report(0.7, 1 / 3), [(1, 0.6, 0.4), (0, 0.3, 0.7), (0, 0.9, 0.1), unlabelled]
    )
    write("teacher_9", report(0.9, 0.9))  # written by an earlier command
    write("student", report(0.8, 0.75))
    assert table(tmp_path, "teacher_1,teacher_2") == [
        ["accuracy", "dev", "test"],
        ["plain", "0.5000", "0.2500"],
        ["teacher_1", "0.6000", "0.6667"],
        ["teacher_2", "0.7000", "0.3333"],
        ["teachers, averaged", "-", "0.6667"],
        ["student", "0.8000", "0.7500"],
    ]


@pytest.mark.parametrize("score, splits", [("accuracy", ["dev"]), ("micro_f1", ["dev", "test"])])
def test_without_labels_of_one_class_no_average_is_shown(write, tmp_path, score, splits):
    report = {split: {"rows": 9, score: 0.5, "macro_f1": 0.1} for split in splits}
    for name in ("plain", "teacher_1", "student"):
        write(name, report, [("", 0.1, 0.9)])
    lines = table(tmp_path, "teacher_1")
    assert lines[0] == [score, "dev", "test"]
    assert [name for name, _, _ in lines[1:]] == ["plain", "teacher_1", "student"]
    assert all(dev == "0.5000" for _, dev, _ in lines[1:])


def run_script(*arguments, **settings):
    """Runs the script, which must exit before any training, and returns the finished process."""
    return subprocess.run(
        ["bash", os.path.join(ROOT, "run_classifier_distill.sh"), *arguments],
        env=dict(os.environ, **settings),
        capture_output=True,
        text=True,
        timeout=60,
    )


ONE_STUDENT = "this script trains one student: SEED=2 chooses another seed"
SEEDS = "teachers of one seed would be one model: SEED=2 is for the student and plain training, "


@pytest.mark.parametrize(
    "arguments, message",
    [
        (["--seeds=1,2"], "--seeds: " + ONE_STUDENT),
        (["--search"], "--search: " + ONE_STUDENT),
        (["-seeds"], "-seeds: " + ONE_STUDENT),
        (["--search_rates", "1e-4"], "--search_rates: " + ONE_STUDENT),
        (["--dev_seed=3", "--seed=7"], "--seed: " + SEEDS + 'TEACHER_SEEDS="1 2" for'),
        (["--fgm_epsilon=1", "-seed", "7"], "-seed: " + SEEDS),
        (["--output_dir", "o"], "--output_dir: all runs would write to one folder: OUTPUT_DIR="),
        (["my_pairs", "--temperature=4"], "my_pairs: flags are written --name=value"),
        (["-teachers=linear"], "-teachers: plain training would use them, too: TEACHERS="),
    ],
)
def test_the_script_refuses_flags_that_all_runs_would_have(arguments, message):
    done = run_script(*arguments)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("run_classifier_distill.sh: error: " + message)
    assert done.stderr.count("\n") == 1


def test_the_script_misses_a_teacher_before_anything_is_trained(tmp_path):
    (tmp_path / "a b.tsv").write_text("")
    settings = {"TEACHERS": "linear, %s ,%s/none" % (tmp_path / "a b.tsv", tmp_path)}
    done = run_script(**settings)
    assert (done.returncode, done.stdout) == (2, "")
    missing = "TEACHERS: %s/none: no such file or folder: expected a fine-tuned model" % tmp_path
    assert missing in done.stderr and done.stderr.count("\n") == 1
    assert (
        "the word linear (teachers are separated by commas: a path here has none)\n" in done.stderr
    )
