"""The resident classifier and the similarity command."""

import json
import os
import subprocess
import sys

import numpy as np
import pytest

from errors import UserError
import predictor
import similarity
from workspace import ROOT, Workspace, run_here


@pytest.fixture(scope="module")
def fine_tuned(tmp_path_factory):
    workspace = Workspace(tmp_path_factory.mktemp("fine_tuned"))
    run_here(workspace.arguments())
    return workspace


def test_equals_the_predictions_of_run_classifier_in_any_order(fine_tuned):
    table = [line.split("\t") for line in fine_tuned.read("predictions.tsv").splitlines()[1:]]
    expected = np.loadtxt(os.path.join(fine_tuned.output, "test_results.tsv"))
    pairs = [(row[0], row[1]) for row in table] + [("今天", "好" * 100)]
    with predictor.Predictor(os.path.join(fine_tuned.output, "best"), 24) as resident:
        labels, probabilities = resident.predict(pairs)
        np.testing.assert_allclose(probabilities[:-1], expected, atol=1e-5)
        assert labels[:-1] == [row[3] for row in table]
        backwards = resident.predict(pairs[::-1])[1]
        np.testing.assert_allclose(backwards[::-1], probabilities, atol=1e-6)
        assert resident.predict([])[1].shape == (0, 2)
        assert resident.predict(["今天"])[1].shape == (1, 2)


def test_label_map_of_another_model_is_refused(fine_tuned, tmp_path):
    folder = str(tmp_path / "best")
    subprocess.check_call(["cp", "-r", os.path.join(fine_tuned.output, "best"), folder])
    with open(os.path.join(folder, "label_map.json"), "w") as handle:
        json.dump({"a": 0, "b": 1, "c": 2}, handle)
    with pytest.raises(UserError, match="3 labels, the checkpoint beside it 2"):
        predictor.Predictor(folder)


def test_missing_models_are_explained(tmp_path):
    with pytest.raises(UserError, match="no such model folder"):
        predictor.Predictor(str(tmp_path / "none"))
    with pytest.raises(UserError, match="run_classifier_lcqmc.sh"):
        predictor.newest_best_folder(str(tmp_path))


def test_newest_fine_tuned_model_is_taken(tmp_path):
    for number, name in enumerate(("a_output", "b_output")):
        (tmp_path / name / "best").mkdir(parents=True)
        os.utime(str(tmp_path / name / "best"), (number, number))
    assert predictor.newest_best_folder(str(tmp_path)) == str(tmp_path / "b_output" / "best")


def test_lines_become_pairs_and_others_are_told():
    lines = [b"\xef\xbb\xbfa\tb\n", b"c\td\t1\r\n"]
    assert list(similarity.pairs_of_lines(lines)) == [("a", "b"), ("c", "d")]
    with pytest.raises(UserError, match="line 2: expected text_a<tab>text_b"):
        list(similarity.pairs_of_lines([b"a\tb\n", b"c d\n"]))
    with pytest.raises(UserError, match="line 1: the file is in GBK"):
        list(similarity.pairs_of_lines(["我们明天\t去银行办理".encode("gbk")]))


def test_command_prints_a_line_per_pair(fine_tuned):
    best = os.path.join(fine_tuned.output, "best")
    command = [sys.executable, os.path.join(ROOT, "similarity.py"), "--model_dir=" + best]
    settings = {"capture_output": True, "text": True, "encoding": "utf-8"}
    piped = subprocess.run(command, input="今天\t明天\n好\t好\n", **settings)
    assert piped.returncode == 0 and piped.stderr == "model: %s\n" % best
    rows = [line.split("\t") for line in piped.stdout.splitlines()]
    assert [row[:2] for row in rows] == [["今天", "明天"], ["好", "好"]]
    single = subprocess.run(command + ["今天", "明天"], **settings)
    assert single.stdout == piped.stdout.splitlines()[0] + "\n"
    assert 0 < float(rows[0][2]) < 1
    wrong = subprocess.run(command + ["今天"], **settings)
    assert wrong.returncode == 2 and "expected two sentences, found 1" in wrong.stderr
