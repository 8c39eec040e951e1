"""Benchmarks that no other test runs: errors in their flags, and runs at the smallest sizes."""

import subprocess
import sys

import pytest

from project_root import ROOT

SMALLEST = {
    "prediction.py": ["--num_pairs=64", "--num_single=4", "--rounds=1"],
    "encoding.py": ["--num_texts=64", "--num_single=4", "--rounds=1"],
    "text_signatures.py": ["--num_pairs=64", "--rounds=1"],
}


NO_FILE = "{file}: cannot be read: No such file or directory"
MISTAKES = {
    "features.py": ("--data_dir={file}", "--data_dir={file}: no such folder"),
    "search.py": ("--data={file}", NO_FILE),
    "prediction.py": ("--pairs={file}", NO_FILE),
    "serving.py": ("--pairs={file}", NO_FILE),
    "encoding.py": ("--texts={empty}", "--texts={empty}: no pairs in it"),
    "pretraining_data.py": ("--input_file={file}", "--input_file={file}: no such file"),
    "segment_order.py": ("--corpus={empty}", "--corpus={empty}: too few records of two segments"),
    "text_signatures.py": ("--texts={empty}", "--texts={empty}: expected a header, and text_a"),
    "recompute.py": ("--config={file}", "recompute.py ended with status 2: see the lines above"),
    "fine_tuning.py": ("--peer_python={file}", "--peer_python={file}: no such program"),
    "reading_speed.py": ("--peer_python={file}", "--peer_python={file}: no such program"),
    "export_speed.py": ("--peer_python={file}", "--peer_python={file}: no such program"),
    "export_accuracy.py": ("--models=nope", "--models=nope: expected NAME=FOLDER"),
    "tflite.py": ("--models=nope", "--models=nope: expected NAME=FOLDER"),
    "labelling_results.py": ("--sets=nope", "--sets: unknown 'nope', expected some of cluener; "),
    "peers_fine_tuning.py": ("nope", "argument peer: invalid choice: 'nope' (choose from"),
}
MORE = {
    "pretraining_data.py": ["--vocab_file=vocab.txt"],
    "export_accuracy.py": ["--data_dirs=nowhere"],
    "export_speed.py": ["--format=onnx"],
    "labelling_results.py": ["--data_dir=nowhere"],
}


def script(name, *arguments):
    """Runs a benchmark and returns the finished process."""
    command = [sys.executable, "benchmarks/" + name] + list(arguments)
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=600)


@pytest.mark.parametrize("name", sorted(MISTAKES))
def test_a_file_that_is_not_there_is_one_line(name, tmp_path):
    places = {"file": tmp_path / "nope.txt", "empty": tmp_path / "empty.txt"}
    places["empty"].write_text("")
    flag, message = (text.format(**places) for text in MISTAKES[name])
    if name == "peers_fine_tuning.py":
        pytest.importorskip("torch")
    result = script(name, flag, *MORE.get(name, ()))
    assert result.returncode == 2, result.stderr
    assert result.stderr.strip().split("\n")[-1].startswith("%s: error: %s" % (name, message))
    assert "Traceback" not in result.stderr


@pytest.mark.slow
@pytest.mark.reference
@pytest.mark.parametrize("name", sorted(SMALLEST))
def test_smallest_size(name):
    result = script(name, *SMALLEST[name])
    assert result.returncode == 0, result.stderr
    assert result.stdout.strip()
