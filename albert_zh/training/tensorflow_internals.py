"""What training needs of TensorFlow without a public name (besides what `SaverHook` overrides).

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
    """Adds the read of the global step that optimizers count with, so that op numbers are fixed.

    The seed of a random op that has none follows from the op's number in the graph: this keeps the
    numbers, and the random draws, those of an Estimator.
    """
    from tensorflow.python.training import training_util

    training_util._get_or_create_global_step_read(tf.get_default_graph())


def add_shared_global_step_read(strategy: tf.distribute.Strategy) -> None:
    """As `add_global_step_read`, outside of a strategy's replicas."""
    from tensorflow.python.training import training_util

    step = tf.train.get_global_step()
    tf.add_to_collection(training_util.GLOBAL_STEP_READ_KEY, strategy.extended.read_var(step))


@contextlib.contextmanager
def gradients_forgotten() -> Iterator[None]:
    """Forgets at the end the gradients that `tf.custom_gradient` has registered within.

    TensorFlow would keep them, and with them their graph, as long as the process lives. Once a
    training step is built, nothing looks them up.
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
    """Has optimizers divide the loss by the number of replicas, whose gradients they add up."""
    with strategy._scale_loss_for_estimator_enabled():
        yield


def loss_reduction() -> tf.distribute.ReduceOp:
    """How the replicas' losses make that of the step: the mean where an optimizer scales them."""
    if tf.get_default_graph()._is_loss_scaled_by_optimizer:
        return tf.distribute.get_loss_reduction()
    return tf.distribute.ReduceOp.SUM


def run_as_worker(
    strategy: tf.distribute.Strategy,
    session_config: Optional[tf.ConfigProto],
    function: Callable[[tf.distribute.Strategy], None],
) -> None:
    """Calls a function of a strategy as the worker that TF_CONFIG says this process is.

    Its server is started first, and `tf.train.MonitoredTrainingSession` knows within whose session
    it is.

    Args:
        strategy: `tf.distribute.experimental.MultiWorkerMirroredStrategy`.
        session_config: of its sessions; None for the default.
        function: of the strategy that is configured for the cluster.
    """
    from tensorflow.python.distribute import distribute_coordinator

    distribute_coordinator.run_distribute_coordinator(
        function,
        strategy,
        mode=distribute_coordinator.CoordinatorMode.INDEPENDENT_WORKER,
        session_config=session_config,
    )
