"""Training to a step, with checkpoints on a fixed grid of steps."""

import tensorflow.compat.v1 as tf

from albert_zh.common.messages import say
from albert_zh.training import flags as run_flags
from albert_zh.training import multi_worker
from albert_zh.training.hooks import FirstStepHook, SaverHook


def train_with_checkpoints(
    options, estimator, input_fn, max_steps, save_steps, hooks, listeners=()
):
    """Trains to a step; saves on the grid of `save_steps`, and at the end.

    Args:
        options: the flags.
        estimator: as of `make_estimator`.
        input_fn: input function.
        max_steps: the step to stop at.
        save_steps: steps between checkpoints.
        hooks: session hooks.
        listeners: `EvaluationListener`s; not used on TPU, whose estimator has its own saver, and
            with several workers, which would have to wait.
    """
    if options.use_tpu:
        listeners = ()
    elif not run_flags.helper_name(options):
        hooks = hooks + [SaverHook(estimator.model_dir, save_steps)]
    if options.distribution == "multi_worker":
        hooks = hooks + [multi_worker.WatchHook(max_steps, say)]
        # Only this function brings the workers together; none of them has the role that evaluates.
        tf.estimator.train_and_evaluate(
            estimator,
            tf.estimator.TrainSpec(input_fn, max_steps=max_steps, hooks=hooks),
            tf.estimator.EvalSpec(input_fn),
        )
        return
    greeting = FirstStepHook()
    try:
        without_translation(estimator.train)(
            input_fn,
            max_steps=max_steps,
            hooks=hooks + [greeting],
            saving_listeners=list(listeners),
        )
    finally:
        greeting.restore()


def without_translation(function):
    """The function, such that TensorFlow leaves the Python of input pipelines within as it is.

    It would look for Python's own loops and conditions to make graphs of them, which takes most of
    a second. Here there are none.
    """
    return tf.autograph.experimental.do_not_convert(function)
