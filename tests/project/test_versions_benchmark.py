"""benchmarks/versions.py: compares two versions of TensorFlow, if a second one is installed."""

import os
import subprocess
import sys

import numpy as np
import pytest
import tensorflow.compat.v1 as tf

from albert_zh.common.errors import UserError
from project_root import ROOT

sys.path.append(os.path.join(ROOT, "benchmarks"))

import versions

SCRIPT = os.path.join(ROOT, "benchmarks", "versions.py")
OTHER_ENVIRONMENTS = (".venv-tf2.21", ".venv")


def save(prefix, **values):
    """Writes a checkpoint of variables."""
    with tf.Graph().as_default(), tf.Session() as session:
        for name, value in values.items():
            tf.get_variable(name, initializer=np.float32(value))
        session.run(tf.global_variables_initializer())
        return tf.train.Saver().save(session, str(prefix))


def test_the_difference_is_the_largest_of_all_weights(tmp_path):
    one = save(tmp_path / "one", kernel=[1.0, 2.0], bias=[0.5])
    other = save(tmp_path / "other", kernel=[1.0, 2.25], bias=[0.375])
    assert versions.difference(one, other) == "2.5e-01"
    assert versions.difference(one, one) == "0.0e+00"
    assert (
        versions.difference(one, save(tmp_path / "third", kernel=[1.0, 2.0])) == "other variables"
    )


@pytest.mark.parametrize(
    "pythons, message",
    [
        ([], "--pythons: name two Pythons or more"),
        ([sys.executable], "--pythons: name two Pythons or more"),
        ([os.devnull, sys.executable], "--pythons: %s has no TensorFlow: expected" % os.devnull),
        ([sys.executable, sys.executable], "--pythons: .* are both %s" % tf.__version__),
    ],
)
def test_pythons_that_cannot_be_compared(pythons, message):
    with pytest.raises(UserError, match=message):
        versions.names_of_versions(pythons)


def version_of(python):
    """The TensorFlow version of a Python, or None."""
    code = "import tensorflow; print(tensorflow.__version__)"
    try:
        return subprocess.check_output([python, "-c", code], stderr=subprocess.DEVNULL, text=True)
    except (OSError, subprocess.CalledProcessError):
        return None


@pytest.mark.slow
@pytest.mark.skipif(tf.__version__.startswith("1."), reason="1.15 shuffles in another order")
def test_two_versions_learn_the_same_and_go_on_with_each_other(tmp_path):
    pythons = [os.path.join(ROOT, name, "bin", "python") for name in OTHER_ENVIRONMENTS]
    others = [p for p in pythons if (version_of(p) or tf.__version__).strip() != tf.__version__]
    if not others:
        pytest.skip("needs an environment with another TensorFlow: scripts/run_tests_tf2_21.sh")
    settings = ["--fine_tuning_steps=4", "--pretraining_steps=4", "--parts=numbers,crossing"]
    command = [sys.executable, SCRIPT, "--pythons=%s,%s" % (sys.executable, others[0])]
    command += settings + ["--output_dir=" + str(tmp_path / "out")]
    done = subprocess.run(command, capture_output=True, text=True, cwd=str(tmp_path))
    assert done.returncode == 0, done.stderr
    cells = [line.split()[-1] for line in done.stdout.splitlines()[1:]]
    same_records, learnt, crossed = cells[0], cells[1:4], cells[4:]
    assert same_records == "equal" and len(crossed) == 6
    assert crossed[1::3] == ["used", "used"]
    assert max(map(float, learnt + crossed[::3] + crossed[2::3])) < 1e-5
