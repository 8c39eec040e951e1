"""The training loop: trains to a step, with checkpoints on a fixed grid of steps."""

import collections
from typing import TYPE_CHECKING, Any, Callable, Optional, Sequence

from albert_zh.common.messages import say
from albert_zh.model.checkpoints import checkpoint_files
from albert_zh.training import flags as run_flags
from albert_zh.training import length_bucketing, multi_worker
from albert_zh.training.hooks import (
    EvaluationListener,
    FirstStepHook,
    MetricsListener,
    ProgressHook,
    SaverHook,
    StopHook,
    StopRequest,
)

if TYPE_CHECKING:
    import tensorflow.compat.v1 as tf

    from albert_zh.training.engine import AnyEngine
    from albert_zh.training.metrics_log import Metrics

Steps = collections.namedtuple("Steps", ["first", "total", "save"])
Steps.__doc__ = """Step numbers of a training run.

Fields:
    first: the step that the run resumes from, 0 for a new run.
    total: the step at which it ends.
    save: number of steps between checkpoints.
"""


def train(
    options: Any,
    engine: "AnyEngine",
    input_fn: Callable[..., Any],
    steps: Steps,
    stop: StopRequest,
    log: "Metrics",
    evaluate: Optional[Callable[[int], bool]] = None,
    hooks: "Sequence[tf.train.SessionRunHook]" = (),
    max_records: int = 2000,
    dev_metric: str = "accuracy",
) -> None:
    """Trains to the last step, with progress, evaluations and a clean end at Ctrl-C.

    Args:
        options: the flags.
        engine: returned by `make_engine`.
        input_fn: input function.
        steps: see `Steps`.
        stop: once a stop is requested, a checkpoint is saved and training ends.
        log: metrics of the run.
        evaluate: function of the step of a new checkpoint; it may end training by returning True.
            None for no evaluations.
        hooks: further session hooks.
        max_records: maximum number of loss values that are added to `log`.
        dev_metric: name of the metric on dev.

    Raises:
        UserError: if the folder's newest checkpoint is missing.
    """
    checkpoint_files.check_can_be_resumed(options.output_dir)
    if not run_flags.helper_name(options):
        checkpoint_files.remove_unfinished(options.output_dir)
    progress = ProgressHook(
        log,
        steps.total,
        options.train_batch_size,
        steps_per_run=options.iterations_per_loop if options.use_tpu else 1,
        record_every=max(1, steps.total // max_records),
        dev_metric=dev_metric,
    )
    listeners = [MetricsListener(log)]
    if evaluate:
        listeners.append(EvaluationListener(evaluate, stop))
    train_with_checkpoints(
        options,
        engine,
        input_fn,
        steps.total,
        steps.save,
        [StopHook(stop), progress] + list(hooks),
        listeners,
    )


def how_to_resume(folder: str, step: int, steps: Steps) -> str:
    """The message after training was stopped.

    Args:
        folder: the output folder.
        step: step of the checkpoint that was saved.
        steps: steps of the run.
    """
    return (
        "stopped at step %d of %d, checkpoint saved in %s; run the same command again to continue"
        % (
            step,
            steps.total,
            folder,
        )
    )


def train_with_checkpoints(
    options: Any,
    engine: "AnyEngine",
    input_fn: Callable[..., Any],
    max_steps: int,
    save_steps: int,
    hooks: "Sequence[tf.train.SessionRunHook]",
    listeners: "Sequence[tf.train.CheckpointSaverListener]" = (),
) -> None:
    """Trains to a step; saves every `save_steps` steps and at the end.

    Args:
        options: the flags.
        engine: returned by `make_engine`.
        input_fn: input function.
        max_steps: the step to stop at.
        save_steps: steps between checkpoints.
        hooks: session hooks.
        listeners: checkpoint listeners; not used on TPU, where the estimator saves, or with
            several workers, which would have to wait.
    """
    is_multi_worker = options.distribution == "multi_worker"
    hooks = list(hooks)
    if not (options.use_tpu or run_flags.helper_name(options)):
        listeners = () if is_multi_worker else listeners
        hooks.append(SaverHook(engine.model_dir, save_steps, listeners))
    if is_multi_worker:
        hooks.append(multi_worker.WatchHook(max_steps, say))
        engine.train(input_fn, max_steps=max_steps, hooks=hooks)
        return
    greeting = FirstStepHook()
    try:
        train = length_bucketing.without_translation(engine.train)
        train(input_fn, max_steps=max_steps, hooks=hooks + [greeting])
    finally:
        greeting.restore()
