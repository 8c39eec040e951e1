"""benchmarks/objectives.py and dialogue_tasks.py: plans, tables and checks, without training."""

import os
import sys

import pytest

from albert_zh.common.errors import UserError
from workspace import ROOT

sys.path.append(os.path.join(ROOT, "benchmarks"))

import dialogue_tasks
import objectives
import objectives_results

CONTENT = (
    "今天吃什么？\n吃面。\n再说\n\n今天天气好\n是啊\n\n怎么走？\n\n"
    "今天吃什么？\n吃饭\n\n为什么\n因为\n"
)


class Options(dict):
    """Replaces FLAGS: values as attributes, and as items with a `value` and a `help`."""

    __getattr__ = dict.__getitem__

    def __getitem__(self, name):
        return type("Flag", (), {"value": dict.__getitem__(self, name), "help": "a file."})


def test_pairs_are_first_lines_that_ask_and_their_replies(tmp_path):
    path = tmp_path / "qa.txt"
    path.write_text(CONTENT, encoding="utf-8")
    assert list(dialogue_tasks.pairs_of(str(path))) == [
        ("今天吃什么？", "吃面。"),
        ("为什么", "因为"),
    ]


def test_pairs_come_evenly_from_all_files():
    lists = [list(range(100)), list(range(100, 106)), list(range(200, 300))]
    chosen = dialogue_tasks.spread(lists, 24)
    assert len(chosen) == 24 and chosen[:3] == [0, 12, 24] and chosen[-1] == 290
    assert [member for member in chosen if 100 <= member < 200] == list(range(100, 106))


def test_steps_are_of_equal_processor_time(tmp_path, monkeypatch):
    """The most expensive objective is trained on --tokens tokens; measured costs are reused."""
    costs = {"MLM + SOP": 1.0, "ELECTRA": 2.5, "relative positions": 1.25}
    options = Options(output_dir=str(tmp_path), tokens=64 * 50 * 100, objectives=list(costs))
    monkeypatch.setattr(objectives, "FLAGS", options)
    monkeypatch.setattr(objectives, "tokens_of_step", lambda: 64 * 50)
    monkeypatch.setattr(objectives, "_cost_of_step", costs.__getitem__)
    expected = {"ELECTRA": 100, "MLM + SOP": 250, "relative positions": 200}
    assert objectives.planned_steps() == expected
    monkeypatch.setattr(objectives, "_cost_of_step", None)
    assert objectives.planned_steps() == expected
    options["tokens"] = 1
    with pytest.raises(UserError, match="was made for 320000: name another --output_dir"):
        objectives.planned_steps()


def test_the_cost_of_a_step_is_not_of_what_a_killed_measurement_left(tmp_path, monkeypatch):
    """Simulated runs take 3 s to start and 0.5 s per step, and resume in an existing folder."""
    options = Options(output_dir=str(tmp_path), model_dir="m", cost_steps=60, precision="float32")
    monkeypatch.setattr(objectives, "FLAGS", options)

    def run_script(script, settings, log):
        begun = tmp_path / settings["output_dir"] / "steps"
        first = int(begun.read_text()) if begun.exists() else 0
        begun.parent.mkdir(parents=True, exist_ok=True)
        begun.write_text(str(settings["num_train_steps"]))
        return 3 + 0.5 * (settings["num_train_steps"] - first)

    monkeypatch.setattr(objectives, "run_script", run_script)
    left = tmp_path / "costs" / "electra" / "62" / "steps"
    left.parent.mkdir(parents=True)
    left.write_text("40")
    assert objectives._cost_of_step("ELECTRA") == pytest.approx(0.5)


def test_a_table_has_means_and_spreads(monkeypatch):
    rows = {
        "A": {"masked LM": [40.0, 42.0], "tnews": [50.0, 50.0]},
        "B": {"masked LM": [float("nan")] * 2, "tnews": [51.0, 53.0]},
    }
    assert list(objectives_results.table(rows, {"A": 1000, "B": 20}))[2:] == [
        "| A | 1,000 | 41.00 ± 1.41 | 50.00 ± 0.00 |",
        "| B | 20 | – | 52.00 ± 1.41 |",
    ]


def test_runs_of_other_flags_are_not_shown(tmp_path, monkeypatch):
    options = Options(
        output_dir=str(tmp_path), text=["a"], model_dir="m", rows=200, dev_rows=40, epochs=1.0
    )
    monkeypatch.setattr(dialogue_tasks, "FLAGS", options)
    dialogue_tasks._check_settings(["--x=1"])
    dialogue_tasks._check_settings(["--x=1"])
    with pytest.raises(UserError, match="holds runs of other flags"):
        dialogue_tasks._check_settings([])
    options["rows"] = 2000
    with pytest.raises(UserError, match="holds runs of other flags"):
        dialogue_tasks._check_settings(["--x=1"])
