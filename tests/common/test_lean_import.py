"""Commands import TensorFlow without Keras, h5py and SciPy, which can be imported afterwards."""

import subprocess
import sys

from project_root import ROOT

PACKAGES = ("keras.src.optimizers", "h5py", "scipy.sparse")
# Runs in another process, since TensorFlow is imported only once in each.
PROGRAM = """
import sys
sys.path.insert(0, %r)
from albert_zh.common import errors
%s
import tensorflow.compat.v1 as tf
print(*[name for name in %r if name in sys.modules])
import h5py, scipy.sparse
with tf.Graph().as_default(), tf.Session() as session:
    layer = tf.keras.layers.Dense(2, kernel_initializer="ones")
    outputs = layer(tf.constant([[1.0, 2.0, 3.0]]))
    session.run(tf.global_variables_initializer())
    print(session.run(outputs).tolist())
"""


def lines_of(before):
    program = PROGRAM % (ROOT, before, PACKAGES)
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


def test_commands_import_no_more_and_all_works_afterwards():
    """All commands call `prepare_imports` first, see test_errors.py."""
    assert lines_of("errors.prepare_imports()") == ["", "[[6.0, 6.0]]"]


def test_other_programs_get_the_whole_of_tensorflow():
    found, outputs = lines_of("")
    assert "h5py" in found and "scipy.sparse" in found and outputs == "[[6.0, 6.0]]"
