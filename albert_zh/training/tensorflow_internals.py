"""TensorFlow internals without a public API that training uses (besides `SaverHook`'s overrides).

A test (tests/training/test_tensorflow_internals.py) fails as soon as a version lacks one of them.
"""

import contextlib
from typing import Callable, Iterator, Optional

import tensorflow.compat.v1 as tf

from albert_zh.model import sessions


def has_estimators() -> bool:
    """Whether this TensorFlow has TPUEstimator (up to 2.15)."""
    return hasattr(tf, "estimator") and hasattr(tf.estimator, "tpu")


def add_global_step_read() -> None:
    """Adds the read of the global step that optimizers use, so that op numbers are fixed.

    The seed of a random op without an explicit seed depends on the op's number in the graph: with
    this read, op numbers and random draws are the same as in an Estimator.
    """
    from tensorflow.python.training import training_util

    training_util._get_or_create_global_step_read(tf.get_default_graph())


def add_shared_global_step_read(strategy: tf.distribute.Strategy) -> None:
    """As `add_global_step_read`, outside the replicas of a strategy."""
    from tensorflow.python.training import training_util

    step = tf.train.get_global_step()
    tf.add_to_collection(training_util.GLOBAL_STEP_READ_KEY, strategy.extended.read_var(step))


@contextlib.contextmanager
def gradients_forgotten() -> Iterator[None]:
    """Unregisters, on exit, the gradients that `tf.custom_gradient` registered in the context.

    TensorFlow would keep them, and with them their graph, until the process ends. Once a training
    step is built, nothing looks them up.
    """
    registered = sessions.registered_gradients()
    before = set(registered)
    try:
        yield
    finally:
        for name in set(registered) - before:
            if name.startswith("CustomGradient-"):
                del registered[name]


@contextlib.contextmanager
def scaled_losses(strategy: tf.distribute.Strategy) -> Iterator[None]:
    """Makes optimizers divide the loss by the number of replicas, whose gradients are summed."""
    with strategy._scale_loss_for_estimator_enabled():
        yield


def loss_reduction() -> tf.distribute.ReduceOp:
    """How the losses of replicas are combined: by their mean if the optimizer scales the loss."""
    if tf.get_default_graph()._is_loss_scaled_by_optimizer:
        return tf.distribute.get_loss_reduction()
    return tf.distribute.ReduceOp.SUM


def run_as_worker(
    strategy: tf.distribute.Strategy,
    session_config: Optional[tf.ConfigProto],
    function: Callable[[tf.distribute.Strategy], None],
) -> None:
    """Calls a function of a strategy in the role that TF_CONFIG assigns to this process.

    The server of the worker is started first, and `tf.train.MonitoredTrainingSession` knows which
    worker it runs in.

    Args:
        strategy: `tf.distribute.experimental.MultiWorkerMirroredStrategy`.
        session_config: settings of its sessions; None for the default.
        function: function of the strategy after it is configured for the cluster.
    """
    from tensorflow.python.distribute import distribute_coordinator

    distribute_coordinator.run_distribute_coordinator(
        function,
        strategy,
        mode=distribute_coordinator.CoordinatorMode.INDEPENDENT_WORKER,
        session_config=session_config,
    )
