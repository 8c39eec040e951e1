"""Runs over seeds and rates: what they are compared by."""

import json

import numpy as np

from albert_zh.finetuning import sweeps
from albert_zh.tasks import datasets, kind_interface, registry, report
from albert_zh.tasks.input_examples import InputExample
from albert_zh.tasks.settings import Settings


def scorer_of(num_rows, num_right):
    task, kind = datasets.get_task("lcqmc"), registry.get("single_label")
    scorer = kind.scorer(kind_interface.ModelInUse(task, {}, None, 16), Settings())
    for n in range(num_rows):
        example = InputExample("test-%d" % n, "甲%d" % n, "乙", "01"[n < num_right])
        scorer.add(example, [{"logits": np.array([0.0, 1.0])}])
    return scorer


def test_runs_that_the_loss_chooses_are_compared_by_a_score_of_the_test_file(tmp_path):
    """It was the number of its rows."""
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
