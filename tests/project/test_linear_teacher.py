"""benchmarks/linear_teacher.py: what it writes is out of fold, and what it does not teach."""

import json
import os
import subprocess
import sys

import numpy as np
import pytest

from project_root import ROOT

sys.path.append(os.path.join(ROOT, "benchmarks"))

linear_teacher = pytest.importorskip("linear_teacher", exc_type=ImportError)

SCRIPT = os.path.join(ROOT, "benchmarks", "linear_teacher.py")
TOPICS = {"体育": "足球比赛进球", "财经": "股票市场下跌"}


def run(folder, rows, *arguments):
    """The finished command on rows of train, which are dev, too."""
    for name in ("train", "dev"):
        (folder / (name + ".txt")).write_text("".join(row + "\n" for row in rows), "utf-8")
    command = [sys.executable, SCRIPT, "--data_dir=%s" % folder, "--out=%s" % (folder / "out")]
    return subprocess.run(
        command + list(arguments), capture_output=True, encoding="utf-8", timeout=120
    )


def test_rows_are_not_judged_by_a_model_that_has_learnt_them():
    """Labels of chance can be learnt by heart, and not foreseen."""
    randomness = np.random.RandomState(1)
    texts = ["".join(chr(0x4E00 + c) for c in randomness.randint(0, 3000, 8)) for _ in range(200)]
    labels = randomness.randint(0, 2, 200)
    of_train, by_heart, _ = linear_teacher.probabilities_of(texts, labels, texts)
    assert (by_heart.argmax(1) == labels).mean() == 1
    assert (of_train.argmax(1) == labels).mean() < 0.65
    np.testing.assert_allclose(of_train.sum(1), 1)


def test_the_file_has_a_row_for_each_text(tmp_path):
    rows = ["%s\t%s%d" % (label, text, i) for i in range(10) for label, text in TOPICS.items()]
    done = run(tmp_path, ["label\ttext_a"] + rows)
    assert done.returncode == 0, done.stderr
    assert "train, out of fold: 100.00%" in done.stdout
    written = [json.loads(line) for line in (tmp_path / "out").read_text("utf-8").splitlines()]
    assert [row["text_a"] for row in written] == [row.split("\t")[1] for row in rows]
    best = [max(row["probabilities"], key=row["probabilities"].get) for row in written]
    assert best == [row.split("\t")[0] for row in rows]


@pytest.mark.parametrize(
    "rows, arguments, problem",
    [
        (["今天吃饭\t今天去吃饭\t1"], ["--task_name=lcqmc"], "is a teacher of single texts"),
        (["label\ttext_a", "体育\t进球", "财经\t上市"], [], "2 different texts in train"),
    ],
)
def test_what_it_does_not_teach_is_one_line(tmp_path, rows, arguments, problem):
    done = run(tmp_path, rows, *arguments)
    assert done.returncode == 2
    assert problem in done.stderr and "Traceback" not in done.stderr
    assert not (tmp_path / "out").exists()
