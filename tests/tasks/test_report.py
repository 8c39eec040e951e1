"""Parts of an earlier report in the same folder that a new report preserves."""

import json

from albert_zh.tasks import data_checks, datasets
from albert_zh.tasks.input_examples import InputExample, Split
from albert_zh.tasks.report import Report

TASK = datasets.TASKS[datasets.OWN_DATA]._replace(labels=("a", "b"), columns=("text_a", "label"))


def test_dev_stays_in_the_report_of_a_later_prediction_where_train_is_imbalanced(tmp_path):
    labels = ["a"] * 33 + ["b"] * 2
    examples = [InputExample("train-%d" % n, "x%d" % n, None, a) for n, a in enumerate(labels)]
    train = Split("train", "train.csv", examples, True, [])
    remarks = dict(data_checks.check(TASK, {"train": train})[1], repeated_in_dev=3)
    assert remarks["imbalance"] == 16.5
    about = {
        "task": "multiclass",
        "checkpoint": "step 5",
        "model": "fingerprint",
        "examples_per_second": {},
        "seconds": 1,
    }
    former = dict(about, data={"train": 35, "dev": 9}, remarks=remarks)
    former["dev"] = {"rows": 9, "accuracy": 0.5, "errors": []}
    (tmp_path / "report.json").write_text(json.dumps(former), "utf-8")
    Report(TASK, {}, None, "accuracy").write(str(tmp_path), dict(about, data={}, remarks={}))
    report = json.loads((tmp_path / "report.json").read_text("utf-8"))
    assert report["dev"] == former["dev"]
    assert report["data"] == {"dev": 9} and report["remarks"] == {"repeated_in_dev": 3}
    assert "| accuracy | 0.5000 |" in (tmp_path / "report.md").read_text("utf-8")
