"""Benchmarks that no other test runs, at the smallest sizes, go on working as modules change."""

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
    "segment_order.py": ("--corpus={file}", "--corpus={file}: no such file"),
    "pretraining_data.py": ("--input_file={file}", "--input_file={file}: no such file"),
}


def script(name, *arguments):
    """The finished process of a benchmark."""
    command = [sys.executable, "benchmarks/" + name] + list(arguments)
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=600)


@pytest.mark.parametrize("name", sorted(MISTAKES))
def test_a_file_that_is_not_there_is_one_line(name, tmp_path):
    places = {"file": tmp_path / "nope.txt", "empty": tmp_path / "empty.txt"}
    places["empty"].write_text("")
    flag, message = (text.format(**places) for text in MISTAKES[name])
    more = ["--vocab_file=vocab.txt"] if name == "pretraining_data.py" else []
    result = script(name, flag, *more)
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
