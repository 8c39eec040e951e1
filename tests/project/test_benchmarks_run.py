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


@pytest.mark.slow
@pytest.mark.reference
@pytest.mark.parametrize("name", sorted(SMALLEST))
def test_smallest_size(name):
    result = subprocess.run(
        [sys.executable, "benchmarks/" + name] + SMALLEST[name],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=600,
    )
    assert result.returncode == 0, result.stderr
    assert result.stdout.strip()
