"""Kinds of tasks: the decisions of each kind, and that no stage compares the names of kinds."""

import glob
import os
import re

import numpy as np
import pytest

from albert_zh.tasks import datasets, registry, task_forms
from workspace import ROOT

COMPARISON = re.compile(r'[=!]= "(single_label|multi_label|regression)"')
# Only these modules may compare names of kinds: for flags and for files of other programs.
MAY_NAME_KINDS = {"model/checkpoints/fine_tuning_notes.py"}
LABELS = ("甲", "乙", "丙")


def test_no_stage_asks_for_a_kind_by_its_name():
    package = os.path.join(ROOT, "albert_zh")
    naming = set()
    for path in glob.glob(os.path.join(package, "**", "*.py"), recursive=True):
        with open(path, encoding="utf-8") as source:
            if COMPARISON.search(source.read()):
                naming.add(os.path.relpath(path, package))
    is_conversion = ("commands/convert_", "conversion/")
    assert {name for name in naming if not name.startswith(is_conversion)} == MAY_NAME_KINDS


@pytest.mark.parametrize(
    ("name", "cell", "target", "shape", "outputs"),
    [
        ("single_label", "乙", 1, [], 3),
        ("multi_label", "丙|甲", [1, 0, 1], [3], 3),
        ("regression", "-2.5", -2.5, [], 1),
    ],
)
def test_targets(name, cell, target, shape, outputs):
    task = task_forms.Task(files={}, columns=("text_a", "label"), labels=LABELS, objective=name)
    kind = registry.rules_of(task)
    assert datasets.label_value(task, cell) == target
    assert (kind.target_shape(3), kind.num_outputs(3)) == (shape, outputs)
    assert np.shape(target) == tuple(shape)


@pytest.mark.parametrize(
    ("name", "row", "decoded", "text", "gold", "error"),
    [
        ("single_label", [0.2, 0.7, 0.1], "乙", "乙", 2, 0.7),
        ("single_label", [0.2, 0.7, 0.1], "乙", "乙", 1, 0.0),
        ("multi_label", [0.9, 0.4, 0.5], ["甲", "丙"], "甲|丙", [1, 1, 1], 0.6),
        ("multi_label", [0.1, 0.4, 0.2], [], "", [0, 0, 0], 0.0),
        ("regression", [1.25], 1.25, "1.25", 3.0, 1.75),
    ],
)
def test_decisions(name, row, decoded, text, gold, error):
    kind, rows = registry.get(name).rules, np.array([row])
    assert kind.decoded(rows, LABELS, None) == [decoded]
    assert kind.text(decoded, "|") == text
    assert kind.error_size(gold, rows[0], None) == pytest.approx(error)


def test_thresholds_of_labels_decide():
    kind = registry.get("multi_label").rules
    assert kind.decoded(np.array([[0.3, 0.3, 0.3]]), LABELS, [0.2, 0.4, 0.3]) == [["甲", "丙"]]
