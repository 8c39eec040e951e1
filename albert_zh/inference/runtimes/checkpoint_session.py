"""A session that holds a checkpoint's weights, for any graph."""

import threading
from typing import Any, Callable, Dict, Optional, Sequence

import numpy as np
import tensorflow.compat.v1 as tf

from albert_zh.common import cores
from albert_zh.common.errors import UserError
from albert_zh.model import forks, graph_inputs, sessions
from albert_zh.model.checkpoints import checkpoint_matching, checkpoint_names, checkpoint_values

INPUT_NAMES = graph_inputs.ENCODER_INPUTS
# The weights of larger models stay variables: constants would be in memory several times.
LARGEST_AS_CONSTANTS = 1 << 28  # bytes
LONGEST_OF_ONE_THREAD = 256  # tokens of a single row, computed on one thread
_CALLING_THREAD = -1  # as inter_op_parallelism_threads: operations run in the calling thread
cores.give_sessions_their_threads()  # TensorFlow reads the variable once, for the first session


class CheckpointSession:
    """A graph with the weights of a checkpoint, in a separate session.

    The weights of smaller models are constants of the graph, so that TensorFlow prepares them for
    matrix products once and not in each call. On a CPU, operations of narrow models are too small
    for several threads: each call of `run` works on the calling thread, except for a batch of a
    single long row, which runs on all threads in a second session.

    `num_workers` is how many concurrent calls are faster than one: on a CPU, one per thread for
    narrow models, and two for wide models, since the threads of an operation wait for each other.
    `num_shares` is into how many calls the rows of one call should be split: 1 for wide models.
    """

    def __init__(
        self,
        prefix: str,
        build: Callable[[Dict[str, tf.Tensor]], Any],
        expected: str,
        num_threads: Optional[int] = None,
        hidden_size: Optional[int] = None,
    ) -> None:
        """Builds the graph and loads the weights; the files are not needed afterwards.

        Args:
            prefix: checkpoint prefix, as returned by `checkpoint_files.find_checkpoint`.
            build: function of {input name: int tensor [B, F]} -> (tensor or list of tensors, list
                of further placeholders that it created).
            expected: description of the expected checkpoint, for error messages.
            num_threads: threads for all workers; None: one per core.
            hidden_size: hidden size of the model; None: each call uses all threads.

        Raises:
            UserError: if the checkpoint lacks a variable of the graph.
        """
        forks.check_sessions_can_run()
        has_gpu = bool(tf.config.experimental.list_physical_devices("GPU"))
        self.num_workers = 1 if num_threads or has_gpu else 2
        self._shared = sessions.settings(num_threads or 0, num_threads or 0)
        weights = _small_weights(prefix)
        is_narrow = hidden_size is not None and hidden_size <= cores.WIDEST_OF_ONE_THREAD
        self._has_one_thread = is_narrow and weights is not None and not has_gpu
        self.num_shares = 1
        if self._has_one_thread:
            self.num_workers = self.num_shares = num_threads or cores.num_usable()
        config = sessions.settings(1, _CALLING_THREAD) if self._has_one_thread else self._shared
        if weights is None:
            self._session, outputs, feeds = _of_variables(build, prefix, expected, config)
        else:
            self._session, outputs, feeds = _of_constants(build, weights, prefix, expected, config)
        self._of_all_threads: Optional[tf.Session] = None
        self._lock, self._is_closed = threading.Lock(), False
        self._outputs, self._feeds = outputs, feeds
        self._run: Any = self.callable_of(outputs, feeds)

    def run(self, *arrays: np.ndarray) -> Any:
        """Returns the outputs of `build` for the arrays of its placeholders, int [B, F] first.

        Raises:
            RuntimeError: if the session is closed.
        """
        if self._is_closed:
            raise RuntimeError("the session is closed")
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
                self._run_of_all_threads = sessions.callable_of(session, self._outputs, self._feeds)
                self._of_all_threads = session
        return self._run_of_all_threads(*arrays)

    def callable_of(self, outputs: Any, feeds: Sequence[tf.Tensor]) -> Callable[..., Any]:
        """Returns a function from the arrays of some placeholders to the values of some tensors.

        Args:
            outputs: tensor, or list of tensors, from the last call of `build`.
            feeds: placeholders from that call.
        """
        return sessions.callable_of(self._session, outputs, feeds)

    def close(self) -> None:
        """Frees the sessions and the graph."""
        with self._lock:
            if self._is_closed:
                return
            self._is_closed = True
            for session in filter(None, (self._of_all_threads, self._session)):
                session.close()
            sessions.free(self._session.graph)
            self._session = self._of_all_threads = self._outputs = self._feeds = None
            self._run = self._run_of_all_threads = None


def _built(build):
    """(outputs, list of placeholders to feed) of a graph."""
    features = {name: tf.placeholder(tf.int32, [None, None], name) for name in INPUT_NAMES}
    outputs, further = build(features)
    sessions.forget_gradients(tf.get_default_graph())
    return outputs, [features[name] for name in INPUT_NAMES] + further


def _of_variables(build, prefix, expected, config):
    """(session, outputs, feeds) of a graph whose variables are loaded from a checkpoint."""
    with tf.Graph().as_default() as graph:
        outputs, feeds = _built(build)
        variables = tf.trainable_variables()
        shapes = {variable.op.name: variable.shape.as_list() for variable in variables}
        _check_fits(shapes, prefix, expected)
        checkpoint_matching.initialize_from(prefix, variables)
        session = tf.Session(graph=graph, config=config)
        try:
            session.run(tf.global_variables_initializer())
        except BaseException as error:
            session.close()
            if isinstance(error, tf.errors.OpError):
                checkpoint_values.check_readable(prefix)  # raises if damaged
            raise
    return session, outputs, feeds


def _of_constants(build, weights, prefix, expected, config):
    """(session, outputs, feeds) of a graph with constants instead of variables.

    Args:
        build, prefix, expected: as in `CheckpointSession`.
        weights: {name: array} of the checkpoint.
        config: config of the session.
    """
    constants = {}

    def constant(getter, name, shape=None, **kwargs):
        del getter, kwargs
        if name not in constants:
            shape = tf.TensorShape(shape).as_list()
            if name in weights and list(weights[name].shape) == shape:
                value = checkpoint_values.as_float32(prefix, {name: weights[name]})[name]
                constants[name] = tf.constant(value, name=name)
            else:
                constants[name] = tf.zeros(shape)  # `_check_fits` reports it later
        return constants[name]

    with tf.Graph().as_default() as graph:
        with tf.variable_scope("", custom_getter=constant):
            outputs, feeds = _built(build)
        shapes = {name: tensor.shape.as_list() for name, tensor in constants.items()}
        _check_fits(shapes, prefix, expected)
    return tf.Session(graph=graph, config=config), outputs, feeds


def _check_fits(shapes, prefix, expected):
    """Raises `UserError` unless a checkpoint has all of {name: shape}."""
    assignment = checkpoint_matching.assign(shapes, prefix)
    misfits = assignment.new + sorted(assignment.reshaped)
    if misfits:
        raise UserError(
            "%s does not fit (%s): expected %s" % (prefix, ", ".join(misfits), expected)
        )


def _small_weights(prefix):
    """{name in graphs: array} of a checkpoint; None if it exceeds `LARGEST_AS_CONSTANTS`."""
    shapes = checkpoint_values.read_shapes(prefix, with_objectives=True)
    num_values = sum(int(np.prod(shape)) for shape in shapes.values())
    if num_values * np.dtype(np.float32).itemsize > LARGEST_AS_CONSTANTS:
        return None
    try:
        values = checkpoint_values.read_weights(prefix, with_objectives=True)
    except (tf.errors.OpError, RuntimeError, IndexError, ValueError):
        checkpoint_values.check_readable(prefix)  # raises if damaged
        raise
    names = checkpoint_names.by_canonical_name(values)
    return {name: values[source] for name, source in names.items()}
