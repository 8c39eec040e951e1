"""benchmarks/batch_sizes.py: memory of a training step, extrapolated from two small batches."""

import importlib.util
import json
import os
import subprocess
import sys
import types
from unittest import mock

import numpy as np
import pytest

from albert_zh.common.errors import UserError
from workspace import ROOT

pytestmark = pytest.mark.newest


@pytest.fixture(name="batch_sizes", scope="module")
def batch_sizes_fixture():
    path = os.path.join(ROOT, "benchmarks", "batch_sizes.py")
    spec = importlib.util.spec_from_file_location("batch_sizes", path)
    module = importlib.util.module_from_spec(spec)
    with mock.patch.dict(os.environ):  # the module sets variables for its process
        spec.loader.exec_module(module)
    return module


def test_changes_are_in_order_of_time_and_named(batch_sizes):
    def node(name, *changes):
        records = [types.SimpleNamespace(alloc_micros=at, alloc_bytes=n) for at, n in changes]
        memory = types.SimpleNamespace(allocation_records=records)
        return types.SimpleNamespace(node_name=name, memory=[memory])

    nodes = [node("a", (3, -10), (1, 10)), node("b", (2, 20)), node("b", (4, 5))]
    device = types.SimpleNamespace(device="cpu", node_stats=nodes)
    assert batch_sizes._changes(types.SimpleNamespace(dev_stats=[device])) == [
        (("cpu", "a", 0), 10),
        (("cpu", "b", 0), 20),
        (("cpu", "a", 1), -10),
        (("cpu", "b", 1), 5),
    ]


def test_two_batches_give_any_other(batch_sizes, monkeypatch):
    """50 bytes per sequence are freed after a gradient of 1000; one step allocates 3 bytes more."""

    def changes_of_step(config, batch, length):
        named = [("x", 50 * batch), ("gradient", 1000), ("free", -50 * batch)]
        return named + [("extra", 3)] * (batch == 3), 7

    monkeypatch.setattr(batch_sizes, "changes_of_step", changes_of_step)
    in_use, parameters = batch_sizes.bytes_in_use(None, 128)
    np.testing.assert_allclose(in_use, [[0, 50], [1000, 50], [1000, 0], [1003, 0]])
    assert parameters == 7
    assert batch_sizes.largest_batch(in_use, 1250) == 5
    assert batch_sizes.largest_batch(in_use, 1002) == 0  # less than is in use at the end


MEASURED = """
import json
import batch_sizes
import numpy as np
import pretraining_workspace as small
from albert_zh.model import modeling

layers = dict(num_hidden_layers=8, hidden_size=64, intermediate_size=256)
config = modeling.AlbertConfig.from_dict(dict(small.CONFIG, **layers))
in_use, parameters = batch_sizes.bytes_in_use(config, 16)
peaks = []
for batch_size in (2, 3, 64):
    changes, parameters = batch_sizes.changes_of_step(config, batch_size, 16)
    peaks.append(int(np.cumsum([size for _, size in changes]).max()))
expected = [float((in_use @ [1, size]).max()) for size in (2, 3, 64)]
print(json.dumps([expected, peaks, parameters, float(in_use[:, 1].max())]))
"""

RECORDED = """
import json
import batch_sizes
import tensorflow.compat.v1 as tf

tf.disable_eager_execution()
with tf.Session() as session:
    total = tf.reduce_sum(tf.random.uniform([1000, 1000]))
    options = tf.RunOptions(trace_level=tf.RunOptions.FULL_TRACE)
    metadata = tf.RunMetadata()
    session.run(total, options=options, run_metadata=metadata)
print(json.dumps(max(size for _, size in batch_sizes._changes(metadata.step_stats))))
"""


def printed_by(code, **variables):
    """The JSON that a new process prints; TensorFlow chooses its allocator once per process."""
    folders = [os.path.join(ROOT, name) for name in ("benchmarks", "tests/support", "")]
    environment = dict(os.environ, PYTHONPATH=os.pathsep.join(folders), **variables)
    command = [sys.executable, "-W", "ignore", "-c", code]
    done = subprocess.run(command, env=environment, stdout=subprocess.PIPE, check=True)
    return json.loads(done.stdout.decode().strip().split("\n")[-1])


@pytest.mark.slow
def test_a_measured_step_takes_what_was_extrapolated():
    expected, peaks, parameters, each = printed_by(MEASURED)
    assert expected == pytest.approx(peaks, rel=0.02)
    assert parameters > 1000
    # For few sequences, gradients of the shared layer determine the peak, so that the difference
    # between two small batches is not the memory of a sequence.
    assert peaks[1] - peaks[0] < 0.5 * each < each < 1.1 * (peaks[2] - peaks[1]) / 61


def test_what_is_no_number_is_named(batch_sizes):
    with pytest.raises(UserError, match="--lengths=12,x: expected positive numbers"):
        batch_sizes._numbers("--lengths", "12,x", int)


@pytest.mark.slow
@pytest.mark.parametrize("keeps_memory", ["true", "false"])
def test_tensorflow_records_allocations(keeps_memory):
    """The benchmark relies on this: a tensor of a million floats is recorded as 4 MB."""
    assert 4e6 <= printed_by(RECORDED, TF_CPU_ALLOCATOR_USE_BFC=keeps_memory) < 4.1e6
