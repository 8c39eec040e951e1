"""Figures are drawn without a screen."""

import subprocess
import sys

import pytest

DRAWING = """
import sys
sys.path[:0] = sys.argv[2:]
import matplotlib
from matplotlib import pyplot
matplotlib.use("svg")  # as a notebook takes a backend that shows figures in its cells
pyplot.figure()
from albert_zh.common import plotting
assert plotting.is_installed()
figure, axes = plotting.subplots(1, 2, figsize=(4, 2))
axes[0].plot([1, 2])
plotting.save(figure, sys.argv[1])
print(matplotlib.get_backend(), pyplot.get_fignums())
"""


def test_the_programs_own_figures_and_their_screen_stay(tmp_path):
    pytest.importorskip("matplotlib")
    picture = tmp_path / "picture.png"
    command = [sys.executable, "-c", DRAWING, str(picture)] + sys.path
    shown = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True).stdout
    assert shown == "svg [1]\n"
    assert picture.read_bytes().startswith(b"\x89PNG")
