"""A checkpoint's weights in a session, for graphs of any kind."""

import os
from typing import Any, Callable, Dict, Optional, Sequence

import tensorflow.compat.v1 as tf

from albert_zh.common.errors import UserError
from albert_zh.model import checkpoint_matching, checkpoint_values, graph_inputs

INPUT_NAMES = graph_inputs.ENCODER_INPUTS
ABOUT_FORKS = (
    "start child processes with multiprocessing.get_context('spawn') and load the model in them, "
    "or fork before the first model is loaded"
)
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
    """A graph with the weights of a checkpoint in a separate session."""

    def __init__(
        self,
        prefix: str,
        build: Callable[[Dict[str, tf.Tensor]], Any],
        expected: str,
        num_threads: Optional[int] = None,
    ) -> None:
        """Builds the graph and loads the weights; the files are not needed any more then.

        Args:
            prefix: checkpoint prefix, as of `checkpoint_files.find_checkpoint`.
            build: function of {input name: int tensor [B, F]} -> (tensor or list of tensors, list
                of further placeholders that it made).
            expected: what the checkpoint has to be, for errors.
            num_threads: threads of an operation; None: as many as there are cores.

        Raises:
            UserError: if the checkpoint lacks a variable of the graph.
        """
        check_sessions_can_run()
        settings = tf.ConfigProto()
        settings.gpu_options.allow_growth = True
        if num_threads:
            settings.intra_op_parallelism_threads = int(num_threads)
            settings.inter_op_parallelism_threads = int(num_threads)
        with tf.Graph().as_default() as graph:
            features = {name: tf.placeholder(tf.int32, [None, None], name) for name in INPUT_NAMES}
            outputs, further = build(features)
            assignment, _ = checkpoint_matching.initialize_from(prefix, tf.trainable_variables())
            misfits = assignment.new + sorted(assignment.reshaped)
            if misfits:
                raise UserError(
                    "%s does not fit (%s): expected %s" % (prefix, ", ".join(misfits), expected)
                )
            self._session = tf.Session(graph=graph, config=settings)
            try:
                self._session.run(tf.global_variables_initializer())
            except tf.errors.OpError:
                checkpoint_values.check_readable(prefix)  # raises, and says what it is
                raise
        feeds = [features[name] for name in INPUT_NAMES] + further
        self.run = self._session.make_callable(outputs, feeds)

    def callable_of(self, outputs: Any, feeds: Sequence[tf.Tensor]) -> Callable[..., Any]:
        """A function of the arrays of some placeholders that returns some tensors' values."""
        return self._session.make_callable(outputs, feeds)

    def close(self) -> None:
        """Frees the session."""
        self._session.close()
