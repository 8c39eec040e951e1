"""What an import prints is held back, Python's lines and what comes later are not."""

import os
import subprocess
import sys

import pytest

from project_root import ROOT

# A stand-in for TensorFlow, whose native side prints while it is imported.
NOISY = 'import os, sys\nos.write(2, b"native\\n")\nprint("a line of Python", file=sys.stderr)\n'
USE = "import os, albert_zh, tensorflow\nos.write(2, b'afterwards\\n')\n"


def standard_error(folder, **variables):
    (folder / "tensorflow").mkdir(exist_ok=True)
    (folder / "tensorflow" / "__init__.py").write_text(NOISY)
    environment = dict(os.environ, PYTHONPATH=os.pathsep.join([str(folder), ROOT]))
    environment.pop("TF_CPP_MIN_LOG_LEVEL", None)
    environment.update(variables)
    command = [sys.executable, "-c", USE]
    done = subprocess.run(command, env=environment, stderr=subprocess.PIPE, check=True)
    return done.stderr.decode().splitlines()


@pytest.mark.parametrize(
    "variables, lines",
    [
        ({}, ["a line of Python", "afterwards"]),
        ({"TF_CPP_MIN_LOG_LEVEL": "3"}, ["a line of Python", "afterwards"]),
        ({"TF_CPP_MIN_LOG_LEVEL": "0"}, ["native", "a line of Python", "afterwards"]),
    ],
)
def test_only_the_native_lines_are_held_back(variables, lines, tmp_path):
    assert standard_error(tmp_path, **variables) == lines


LOGS = """
import logging
import os
import sys

os.write(2, b"printed by C++\\n")
handler = logging.StreamHandler(sys.stderr)
logging.getLogger("tensorflow").addHandler(handler)
"""


def test_what_is_logged_later_reaches_the_screen(tmp_path):
    """TensorFlow's log has the standard error of the time of its import."""
    (tmp_path / "tensorflow.py").write_text(LOGS)
    code = (
        "from albert_zh.common import quiet_import; quiet_import.install(); import tensorflow; "
        "import logging; logging.getLogger('tensorflow').warning('logged')"
    )
    environment = dict(os.environ, PYTHONPATH=os.pathsep.join([str(tmp_path), ROOT]))
    done = subprocess.run(
        [sys.executable, "-c", code], env=environment, stderr=subprocess.PIPE, check=True
    )
    assert done.stderr.decode() == "logged\n"
