"""Runs over seeds and learning rates: the score that compares them, their rates and folders."""

import json
import os

from absl import flags
import numpy as np

from albert_zh.finetuning import sweeps
from albert_zh.tasks import datasets, kind_interface, registry, report
from albert_zh.tasks.input_examples import InputExample
from albert_zh.tasks.settings import Settings
from workspace import Workspace, flags_of


def scorer_of(num_rows, num_right):
    task, kind = datasets.get_task("lcqmc"), registry.get("single_label")
    scorer = kind.scorer(kind_interface.ModelInUse(task, {}, None, 16), Settings())
    for n in range(num_rows):
        example = InputExample("test-%d" % n, "甲%d" % n, "乙", "01"[n < num_right])
        scorer.add(example, [{"logits": np.array([0.0, 1.0])}])
    return scorer


def test_runs_that_the_loss_chooses_are_compared_by_a_score_of_the_test_file(tmp_path):
    """Regression: the runs were compared by the number of test rows."""
    of_runs = []
    for seed, num_right in ((1, 3), (2, 5)):
        scorers = {"dev": scorer_of(4, 2), "test": scorer_of(10, num_right)}
        metrics = report.Report(datasets.get_task("lcqmc"), scorers, None, "loss").metrics
        run = {"dev": {"eval_loss": 0.5 + seed / 10}, "test": metrics["test"], "metric": "loss"}
        run.update(is_higher_better=False, checkpoint="c", rate=1e-4, seed=seed, folder="f")
        of_runs.append(run)
    sweeps._write(str(tmp_path), of_runs, [sweeps._row(1e-4, of_runs)])
    lines = (tmp_path / "runs.md").read_text(encoding="utf-8").splitlines()
    assert lines[0] == "| learning rate | seeds | dev loss | test accuracy |"
    assert lines[2] == "| 0.0001 | 1, 2 | 0.6500 ± 0.0707 | 0.4000 ± 0.1414 |"
    (row,) = json.loads((tmp_path / "runs.json").read_text(encoding="utf-8"))["rows"]
    assert np.allclose(row["test"], [0.4, 0.02**0.5])


def test_a_search_without_training_has_the_rates_of_the_models(tmp_path, monkeypatch):
    """Regression: rates derived from the kind's default were used, for which no models exist."""
    for name in ("rate_5e-05_seed_1", "rate_0.0002_seed_1", "rate_7e-05", "rate_x", "seed_1"):
        (tmp_path / name).mkdir()
        if name != "rate_7e-05":  # training diverged before its first checkpoint
            (tmp_path / name / "best").mkdir()
    folders = []
    monkeypatch.setattr(sweeps, "_write", lambda *arguments: None)
    space, given = Workspace(tmp_path / "space"), {"search": True, "seeds": "1"}
    for further in ({}, {"search_rates": "0.0002"}, {"do_train": True}):
        values = dict({"do_train": False, "learning_rate": None}, **given)
        arguments = space.arguments(output_dir=tmp_path, **dict(values, **further))
        with flags_of(arguments):
            sweeps.run(flags.FLAGS, lambda options: folders.append(options.output_dir))
    rates = [os.path.basename(path).split("_")[1] for path in folders]
    assert rates[:2] == ["5e-05", "0.0002"] and rates[2] == "0.0002"
    assert rates[3:] == ["2e-05", "6e-05", "0.0001"]


def test_rates_that_differ_in_the_seventh_digit_have_separate_folders(tmp_path, monkeypatch):
    """Regression: the second run used the first one's folder and model, and was not trained."""
    trained = []
    monkeypatch.setattr(sweeps, "_write", lambda *arguments: None)
    space, rates = Workspace(tmp_path / "space"), {"search": True, "learning_rate": None}

    def train(options):
        folder = os.path.join(options.output_dir, "best")
        os.makedirs(folder)  # fails if it exists
        trained.append((os.path.basename(options.output_dir), options.learning_rate))

    given = dict(rates, do_train=True, search_rates="5e-5,5.0000001e-5")
    with flags_of(space.arguments(output_dir=tmp_path, **given)):
        sweeps.run(flags.FLAGS, train)
    assert trained == [("rate_5e-05", 5e-5), ("rate_5.0000001e-05", 5.0000001e-5)]
    found = []
    with flags_of(space.arguments(output_dir=tmp_path, **dict(rates, do_train=False))):
        sweeps.run(flags.FLAGS, lambda options: found.append(options.learning_rate))
    assert found == [5e-5, 5.0000001e-5]
