"""Tests of a checkpoint's session: threads of its calls, freed graphs, unsuitable weights."""

import gc
import threading
import weakref

import numpy as np
import pytest
import tensorflow.compat.v1 as tf

from albert_zh.common import cores
from albert_zh.common.errors import UserError
from albert_zh.inference.runtimes import checkpoint_session
from albert_zh.model.checkpoints import checkpoint_values

SHORT, LONG, TWO_ROWS = (1, 256), (1, 257), (2, 257)


@pytest.fixture(scope="module")
def prefix(tmp_path_factory):
    path = str(tmp_path_factory.mktemp("one_weight") / "model.ckpt")
    checkpoint_values.write_checkpoint(path, {"weight": np.array([7], np.float32)})
    return path


def thread_and_weight(features):
    """Builds a graph that returns the thread on which its operations run, and its weight."""
    weight = tf.get_variable("weight", [1])
    name_of_thread = tf.numpy_function(
        lambda _: np.int64(threading.get_ident()), [features["input_ids"]], tf.int64
    )
    return [name_of_thread, weight[0]], []


def threads_of(session, *shapes):
    """Returns, for each shape of inputs, whether the call runs on the calling thread."""
    found = []
    for shape in shapes:
        thread, weight = session.run(*[np.zeros(shape, np.int32)] * 3)
        assert weight == 7
        found.append(thread == threading.get_ident())
    return found


@pytest.mark.parametrize("num_threads, num_workers", [(None, 2), (3, 3)])
def test_calls_of_narrow_models_work_on_their_thread_but_for_a_long_row(
    prefix, num_threads, num_workers, monkeypatch
):
    monkeypatch.setattr(cores, "num_usable", lambda: 2)
    session = checkpoint_session.CheckpointSession(
        prefix, thread_and_weight, "a weight", num_threads, hidden_size=512
    )
    assert session.num_workers == session.num_shares == num_workers
    assert session._session._config.intra_op_parallelism_threads == 1
    assert threads_of(session, SHORT, LONG, TWO_ROWS, SHORT) == [True, False, True, True]
    session.close()
    for shape in (SHORT, LONG):
        with pytest.raises(RuntimeError, match="closed"):
            threads_of(session, shape)


def test_a_closed_session_makes_no_other(prefix):
    session = checkpoint_session.CheckpointSession(
        prefix, thread_and_weight, "a weight", num_threads=2, hidden_size=512
    )
    session.close()
    with pytest.raises(RuntimeError, match="closed"):
        threads_of(session, LONG)


@tf.custom_gradient
def with_written_gradient(x):
    """An identity whose gradient function refers to the graph."""
    return tf.identity(x), lambda dy: dy * x


@pytest.mark.parametrize("used", [tf.identity, with_written_gradient])
def test_closing_frees_the_graph_at_once(prefix, used):
    """Graph and weights are freed at once, not only when Python collects reference cycles."""
    gc.disable()
    try:
        session = checkpoint_session.CheckpointSession(
            prefix, lambda features: (used(tf.get_variable("weight", [1])), []), "a weight"
        )
        assert session.run(*[np.zeros(SHORT, np.int32)] * 3) == 7
        graph = weakref.ref(session._session.graph)
        session.close()
        assert graph() is None
    finally:
        gc.enable()
    session.close()


def test_one_thread_needs_no_second_session(prefix):
    session = checkpoint_session.CheckpointSession(
        prefix, thread_and_weight, "a weight", num_threads=1, hidden_size=512
    )
    assert threads_of(session, LONG) == [True]
    session.close()


@pytest.mark.parametrize("hidden_size", [513, None])
def test_calls_of_wide_models_share_all_threads(prefix, hidden_size):
    session = checkpoint_session.CheckpointSession(
        prefix, thread_and_weight, "a weight", hidden_size=hidden_size
    )
    assert session.num_workers == 2 and session.num_shares == 1
    assert session._session._config.intra_op_parallelism_threads == 0
    assert threads_of(session, SHORT, LONG, TWO_ROWS) == [False, False, False]
    session.close()


@pytest.mark.parametrize("largest", [1 << 28, 0])
@pytest.mark.parametrize(
    "weights, error",
    [
        ({"other": np.zeros(1)}, r"model.ckpt does not fit \(weight\): expected a weight"),
        ({"weight": np.zeros(2)}, r"model.ckpt does not fit \(weight\): expected a weight"),
    ],
)
def test_a_graph_without_its_weights_is_refused(tmp_path, monkeypatch, largest, weights, error):
    """The weights are constants in a small model, and variables in a large one."""
    monkeypatch.setattr(checkpoint_session, "LARGEST_AS_CONSTANTS", largest)
    path = str(tmp_path / "model.ckpt")
    checkpoint_values.write_checkpoint(
        path, {name: value.astype(np.float32) for name, value in weights.items()}
    )
    with pytest.raises(UserError, match=error):
        checkpoint_session.CheckpointSession(path, thread_and_weight, "a weight")


def test_weights_that_are_no_numbers_are_refused(tmp_path):
    path = str(tmp_path / "model.ckpt")
    checkpoint_values.write_checkpoint(path, {"weight": np.array([np.nan], np.float32)})
    with pytest.raises(UserError, match="weight has infinite or NaN values"):
        checkpoint_session.CheckpointSession(path, thread_and_weight, "a weight")
