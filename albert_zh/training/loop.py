"""Training to a step, with checkpoints on a fixed grid of steps: the loop of all training."""

import collections

from albert_zh.common.messages import say
from albert_zh.model import checkpoint_files
from albert_zh.training import flags as run_flags
from albert_zh.training import length_bucketing, multi_worker
from albert_zh.training.hooks import (
    EvaluationListener,
    FirstStepHook,
    MetricsListener,
    ProgressHook,
    SaverHook,
    StopHook,
)

Steps = collections.namedtuple("Steps", ["first", "total", "save"])
Steps.__doc__ = """Steps of a training.

Fields:
    first: the step that it continues from, 0 for a new one.
    total: the step at which it ends.
    save: between checkpoints.
"""


def train(
    options,
    engine,
    input_fn,
    steps,
    stop,
    log,
    evaluate=None,
    hooks=(),
    max_records=2000,
    dev_metric="accuracy",
):
    """Trains to the last step, with progress, evaluations and an orderly end at Ctrl-C.

    Args:
        options: the flags.
        engine: as of `make_engine`.
        input_fn: input function.
        steps: `Steps`.
        stop: `StopRequest`; once it is made, a checkpoint is saved and training ends.
        log: `metrics_log.Metrics`.
        evaluate: function of the step of a new checkpoint, which may end training by returning
            True; None for no evaluations.
        hooks: further session hooks.
        max_records: the most values of the loss that `log` gets.
        dev_metric: name of what is measured on dev.

    Raises:
        UserError: where the folder's newest checkpoint is missing.
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


def how_to_resume(folder, step, steps):
    """The message for a training that was stopped.

    Args:
        folder: the output folder.
        step: of the checkpoint that was saved.
        steps: `Steps`.
    """
    return "stopped at step %d of %d, checkpoint saved in %s; the same command goes on" % (
        step,
        steps.total,
        folder,
    )


def train_with_checkpoints(options, engine, input_fn, max_steps, save_steps, hooks, listeners=()):
    """Trains to a step; saves on the grid of `save_steps`, and at the end.

    Args:
        options: the flags.
        engine: as of `make_engine`.
        input_fn: input function.
        max_steps: the step to stop at.
        save_steps: steps between checkpoints.
        hooks: session hooks.
        listeners: of checkpoints; not used on TPU, whose estimator has its own saver, and
            with several workers, which would have to wait.
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
