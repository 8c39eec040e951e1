"""benchmarks/batch_sizes.py: memory of a step, extrapolated from few sequences."""

import importlib.util
import json
import os
import subprocess
import sys
import types
from unittest import mock

import pytest

from albert_zh.common.errors import UserError
from workspace import ROOT

pytestmark = pytest.mark.newest


@pytest.fixture(name="batch_sizes", scope="module")
def batch_sizes_fixture():
    path = os.path.join(ROOT, "benchmarks", "batch_sizes.py")
    spec = importlib.util.spec_from_file_location("batch_sizes", path)
    module = importlib.util.module_from_spec(spec)
    with mock.patch.dict(os.environ):  # what it sets is for its own process
        spec.loader.exec_module(module)
    return module


def test_the_peak_is_of_what_is_in_use_at_once(batch_sizes):
    changes = [(3, -10), (1, 10), (4, 5), (2, 20)]
    records = [types.SimpleNamespace(alloc_micros=at, alloc_bytes=size) for at, size in changes]
    memory = types.SimpleNamespace(allocation_records=records)
    device = types.SimpleNamespace(node_stats=[types.SimpleNamespace(memory=[memory])])
    stats = types.SimpleNamespace(dev_stats=[device])
    assert batch_sizes._peak(types.SimpleNamespace(step_stats=stats)) == 30


def test_the_bytes_of_a_sequence_are_the_slope_of_the_peak(batch_sizes, monkeypatch):
    monkeypatch.setattr(
        batch_sizes, "peak_of_step", lambda config, batch, length: (1000 + batch * 57, 123)
    )
    assert batch_sizes.bytes_of_step(types.SimpleNamespace(), 128) == (57, 16 * 123)


MEASURED = """
import json
import batch_sizes
import pretraining_workspace as small
from albert_zh.model import modeling

config = modeling.AlbertConfig.from_dict(dict(small.CONFIG, num_hidden_layers=6))
each, fixed = batch_sizes.bytes_of_step(config, 16)
peaks = []
for batch_size in (128, 256):
    peak, parameters = batch_sizes.peak_of_step(config, batch_size, 16)
    peaks.append(peak)
print(json.dumps([each, fixed, peaks, parameters]))
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
print(json.dumps(batch_sizes._peak(metadata)))
"""


def printed_by(code, **variables):
    """What a new process prints: TensorFlow chooses its allocator once in a process."""
    folders = [os.path.join(ROOT, name) for name in ("benchmarks", "tests/support", "")]
    environment = dict(os.environ, PYTHONPATH=os.pathsep.join(folders), **variables)
    command = [sys.executable, "-W", "ignore", "-c", code]
    done = subprocess.run(command, env=environment, stdout=subprocess.PIPE, check=True)
    return json.loads(done.stdout.decode().strip().split("\n")[-1])


def test_a_measured_step_takes_what_was_extrapolated():
    each, fixed, peaks, parameters = printed_by(MEASURED)
    assert each == pytest.approx((peaks[1] - peaks[0]) / 128, rel=0.05)
    assert fixed == 16 * parameters and parameters > 1000


def test_what_is_no_number_is_named(batch_sizes):
    with pytest.raises(UserError, match="--lengths=12,x: expected positive numbers"):
        batch_sizes._numbers("--lengths", "12,x", int)


@pytest.mark.parametrize("keeps_memory", ["true", "false"])
def test_tensorflow_records_allocations(keeps_memory):
    """What the figures rest on: a tensor of a million floats is four megabytes of the peak."""
    assert 4e6 <= printed_by(RECORDED, TF_CPU_ALLOCATOR_USE_BFC=keeps_memory) < 4.1e6
