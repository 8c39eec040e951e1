"""A checkpoint's weights in a session, for graphs of any kind."""

import os
import threading
from typing import Any, Callable, Dict, Optional, Sequence

import numpy as np
import tensorflow.compat.v1 as tf

from albert_zh.common import cores
from albert_zh.common.errors import UserError
from albert_zh.model import checkpoint_matching, checkpoint_values, graph_inputs, sessions

INPUT_NAMES = graph_inputs.ENCODER_INPUTS
# Weights of larger models stay variables: as constants they would be in memory several times.
LARGEST_AS_CONSTANTS = 1 << 28  # bytes
LONGEST_OF_ONE_THREAD = 256  # tokens of a row that is computed alone, on one thread
ABOUT_FORKS = (
    "start child processes with multiprocessing.get_context('spawn') and load the model in them, "
    "or fork before the first model is loaded"
)
_CALLING_THREAD = -1  # as inter_op_parallelism_threads: operations run in the calling thread
cores.give_sessions_their_threads()  # TensorFlow reads the variable once, for the first session
_process_with_sessions = None  # id of the process that started TensorFlow's threads


def check_sessions_can_run() -> None:
    """Raises `UserError` in a fork of a process with a session: it would wait for its threads."""
    global _process_with_sessions
    if _process_with_sessions not in (None, os.getpid()):
        raise UserError(
            "no model can be loaded in this process: it was forked from one that had loaded a "
            "model, and TensorFlow's threads stayed there: " + ABOUT_FORKS
        )
    _process_with_sessions = os.getpid()


class CheckpointSession:
    """A graph with the weights of a checkpoint in a separate session.

    The weights of smaller models are constants of the graph: TensorFlow prepares them for its
    products once, and not at each call. On a CPU, operations of narrow models are too small for
    several threads: each call of `run` works on the thread that makes it, but for a batch of a
    single long row, which all threads work on in a second session.

    `num_workers` is how many calls at a time are faster than one: on a CPU one for each thread of
    narrow models, and two of wide ones, as the threads of an operation wait for each other.
    `num_shares` is how many calls the rows of a single one had better be: 1 for wide models.
    """

    def __init__(
        self,
        prefix: str,
        build: Callable[[Dict[str, tf.Tensor]], Any],
        expected: str,
        num_threads: Optional[int] = None,
        hidden_size: Optional[int] = None,
    ) -> None:
        """Builds the graph and loads the weights; the files are not needed any more then.

        Args:
            prefix: checkpoint prefix, as of `checkpoint_files.find_checkpoint`.
            build: function of {input name: int tensor [B, F]} -> (tensor or list of tensors, list
                of further placeholders that it made); called once more for a graph of constants.
            expected: what the checkpoint has to be, for errors.
            num_threads: threads for all workers; None: as many as there are cores.
            hidden_size: of the model; None for one whose calls always get all threads.

        Raises:
            UserError: if the checkpoint lacks a variable of the graph.
        """
        check_sessions_can_run()
        has_gpu = bool(tf.config.experimental.list_physical_devices("GPU"))
        self.num_workers = 1 if num_threads or has_gpu else 2
        self._shared = sessions.settings(num_threads or 0, num_threads or 0)
        with tf.Graph().as_default() as graph:
            outputs, feeds = _built(build)
            session = tf.Session(graph=graph, config=self._shared)
            try:
                _load(session, prefix, expected)
                values = _small_weights(session)
            except BaseException:
                session.close()
                raise
        is_narrow = hidden_size is not None and hidden_size <= cores.WIDEST_OF_ONE_THREAD
        self._has_one_thread = is_narrow and values is not None and not has_gpu
        self.num_shares = 1
        if self._has_one_thread:
            self.num_workers = self.num_shares = num_threads or cores.num_usable()
        if values is not None:
            session.close()
            with tf.Graph().as_default() as graph, _constants_for_variables(values):
                outputs, feeds = _built(build)
            of_one = sessions.settings(1, _CALLING_THREAD)
            config = of_one if self._has_one_thread else self._shared
            session = tf.Session(graph=graph, config=config)
        self._session = session
        self._of_all_threads: Optional[tf.Session] = None
        self._lock, self._is_closed = threading.Lock(), False
        self._outputs, self._feeds = outputs, feeds
        self._run = self.callable_of(outputs, feeds)

    def run(self, *arrays: np.ndarray) -> Any:
        """The outputs of `build` for the arrays of its placeholders, int [B, F] first."""
        num_rows, length = arrays[0].shape
        is_long = num_rows == 1 and length > LONGEST_OF_ONE_THREAD
        if self._has_one_thread and is_long and self.num_workers > 1:
            return self._run_by_all_threads(*arrays)
        return self._run(*arrays)

    def _run_by_all_threads(self, *arrays):
        with self._lock:
            if self._is_closed:
                raise RuntimeError("the session is closed")
            if self._of_all_threads is None:
                session = tf.Session(graph=self._session.graph, config=self._shared)
                self._run_of_all_threads = session.make_callable(self._outputs, self._feeds)
                self._of_all_threads = session
        return self._run_of_all_threads(*arrays)

    def callable_of(self, outputs: Any, feeds: Sequence[tf.Tensor]) -> Callable[..., Any]:
        """A function of the arrays of some placeholders that returns some tensors' values.

        Args:
            outputs: tensor, or list of tensors, of the last call of `build`.
            feeds: placeholders of that call.
        """
        return self._session.make_callable(outputs, feeds)

    def close(self) -> None:
        """Frees the sessions."""
        with self._lock:
            self._is_closed = True
            self._session.close()
            if self._of_all_threads is not None:
                self._of_all_threads.close()


def _built(build):
    """(outputs, list of the placeholders to feed) of a graph."""
    features = {name: tf.placeholder(tf.int32, [None, None], name) for name in INPUT_NAMES}
    outputs, further = build(features)
    return outputs, [features[name] for name in INPUT_NAMES] + further


def _load(session, prefix, expected):
    """Gives a session's variables the values of a checkpoint."""
    assignment, _ = checkpoint_matching.initialize_from(prefix, tf.trainable_variables())
    misfits = assignment.new + sorted(assignment.reshaped)
    if misfits:
        raise UserError(
            "%s does not fit (%s): expected %s" % (prefix, ", ".join(misfits), expected)
        )
    try:
        session.run(tf.global_variables_initializer())
    except tf.errors.OpError:
        checkpoint_values.check_readable(prefix)  # raises, and says what it is
        raise


def _small_weights(session):
    """{name: array} of all variables, None if they are larger than `LARGEST_AS_CONSTANTS`."""
    variables = {variable.op.name: variable for variable in tf.global_variables()}
    num_values = sum(variable.shape.num_elements() for variable in variables.values())
    if num_values * np.dtype(np.float32).itemsize > LARGEST_AS_CONSTANTS:
        return None
    return session.run(variables)


def _constants_for_variables(values):
    """A variable scope in which `tf.get_variable` returns constants, one for each name."""
    constants = {}

    def get(getter, name, *args, **kwargs):
        del getter, args, kwargs
        if name not in constants:
            constants[name] = tf.constant(values[name], name=name)
        return constants[name]

    return tf.variable_scope("", custom_getter=get)
