"""Native output of an import is held back; Python's lines and later output are shown."""

import os
import subprocess
import sys

import pytest

from project_root import ROOT

# A stand-in for TensorFlow, whose native side prints while it is imported.
NOISY = 'import os, sys\nos.write(2, b"native\\n")\nprint("a line of Python", file=sys.stderr)\n'
USE = "import os, albert_zh, tensorflow\nos.write(2, b'afterwards\\n')\n"


def standard_error(folder, tensorflow=NOISY, use=USE, **variables):
    (folder / "tensorflow").mkdir(exist_ok=True)
    (folder / "tensorflow" / "__init__.py").write_text(tensorflow)
    environment = dict(os.environ, PYTHONPATH=os.pathsep.join([str(folder), ROOT]))
    environment.pop("TF_CPP_MIN_LOG_LEVEL", None)
    environment.update(variables)
    command = [sys.executable, "-c", use]
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


def test_a_program_that_asks_first_whether_it_is_installed(tmp_path):
    """transformers and datasets, for instance, do so when they are imported."""
    use = "import importlib.util, albert_zh\nassert importlib.util.find_spec('tensorflow')\n" + USE
    assert standard_error(tmp_path, use=use) == ["a line of Python", "afterwards"]


LOGS = """
import logging
import sys

logging.getLogger("tensorflow").addHandler(logging.StreamHandler(sys.stderr))
"""
USE_LOG = USE + "import logging\nlogging.getLogger('tensorflow').warning('logged')\n"


def test_what_is_logged_later_reaches_the_screen(tmp_path):
    """TensorFlow's log keeps the standard error stream that it found when it was imported."""
    expected = ["a line of Python", "afterwards", "logged"]
    assert standard_error(tmp_path, NOISY + LOGS, USE_LOG) == expected


def test_matplotlib_is_quiet_where_no_home_can_be_written(tmp_path):
    pytest.importorskip("matplotlib")
    (tmp_path / "home").write_text("a file: not even root can make a folder below it")
    use = "from albert_zh.common import plotting\nassert plotting.is_installed()\n"
    places = {name: str(tmp_path / "home") for name in ("HOME", "XDG_CONFIG_HOME")}
    assert standard_error(tmp_path, tensorflow="", use=use, MPLCONFIGDIR="", **places) == []
