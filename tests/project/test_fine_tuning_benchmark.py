"""benchmarks/fine_tuning.py: the memory of TensorFlow, which is measured only once."""

import os
import subprocess
import sys

import pytest

from workspace import ROOT

CODE = "import fine_tuning; print(fine_tuning.memory_of_tensorflow())"


@pytest.mark.slow
def test_memory_of_tensorflow_is_found_whatever_packages_are_installed(tmp_path):
    (tmp_path / "benchmarks").mkdir()
    (tmp_path / "benchmarks" / "__init__.py").write_text("")  # pyarrow installs such a package
    printed = subprocess.run(
        [sys.executable, "-c", CODE],
        cwd=os.path.join(ROOT, "benchmarks"),
        env=dict(os.environ, PYTHONPATH=str(tmp_path)),
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    ).stdout
    assert 100 < float(printed) < 2000
