"""On which threads the calls of a checkpoint's session work."""

import threading

import numpy as np
import pytest
import tensorflow.compat.v1 as tf

from albert_zh.common import cores
from albert_zh.inference import checkpoint_session
from albert_zh.model import checkpoint_values

SHORT, LONG, TWO_ROWS = (1, 256), (1, 257), (2, 257)


@pytest.fixture(scope="module")
def prefix(tmp_path_factory):
    path = str(tmp_path_factory.mktemp("one_weight") / "model.ckpt")
    checkpoint_values.write_checkpoint(path, {"weight": np.array([7], np.int64)})
    return path


def thread_and_weight(features):
    """A graph of the thread that its operations work on, and of its weight."""
    weight = tf.get_variable("weight", [1], tf.int64)
    name_of_thread = tf.numpy_function(
        lambda _: np.int64(threading.get_ident()), [features["input_ids"]], tf.int64
    )
    return [name_of_thread, weight[0]], []


def threads_of(session, *shapes):
    """For each shape of inputs whether a call works on the thread that makes it."""
    found = []
    for shape in shapes:
        thread, weight = session.run(*[np.zeros(shape, np.int32)] * 3)
        assert weight == 7
        found.append(thread == threading.get_ident())
    return found


@pytest.mark.parametrize("num_threads, num_workers", [(None, cores.num_usable()), (3, 3)])
def test_calls_of_narrow_models_work_on_their_thread_but_for_a_long_row(
    prefix, num_threads, num_workers
):
    session = checkpoint_session.CheckpointSession(
        prefix, thread_and_weight, "a weight", num_threads, hidden_size=512
    )
    assert session.num_workers == num_workers
    assert threads_of(session, SHORT, LONG, TWO_ROWS, SHORT) == [True, False, True, True]
    session.close()
    for shape in (SHORT, LONG):
        with pytest.raises(RuntimeError, match="closed"):
            threads_of(session, shape)


@pytest.mark.parametrize("hidden_size", [513, None])
def test_calls_of_wide_models_share_all_threads(prefix, hidden_size):
    session = checkpoint_session.CheckpointSession(
        prefix, thread_and_weight, "a weight", hidden_size=hidden_size
    )
    assert session.num_workers == 2
    assert threads_of(session, SHORT, LONG, TWO_ROWS) == [False, False, False]
    session.close()
