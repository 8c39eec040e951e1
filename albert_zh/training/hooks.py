"""Session hooks: progress, interruption, checkpoints."""

import contextlib
import io
import logging
import os
import re
import signal
import sys
import threading
import time
from typing import TYPE_CHECKING, Any, Callable, List, Optional, Sequence

import tensorflow.compat.v1 as tf

from albert_zh.common import output_files
from albert_zh.common.errors import Interrupted, stop_at_once
from albert_zh.common.messages import readable_seconds, say
from albert_zh.common.progress import progress_bar
from albert_zh.model.checkpoints import checkpoint_files
from albert_zh.training.training_errors import Explosion

if TYPE_CHECKING:
    from albert_zh.training.metrics_log import Metrics

# Values of the training graph that a progress line shows, and their format.
_SHOWN = (
    ("loss", "loss %.4f"),
    ("masked_lm_accuracy", "masked LM %.4f"),
    ("next_sentence_accuracy", "order %.4f"),
    ("sentence_order_accuracy", "order %.4f"),
    ("replaced_token_loss", "replaced %.4f"),
    ("learning_rate", "rate %.2e"),
    ("skipped_steps", "skipped steps %d"),
)

PROGRESS_TENSORS = "progress_values"  # collection of the tensors passed to `show_in_progress`
PLAIN_PROGRESS_SECONDS = 10  # between progress lines if the output is not a terminal


class StopRequest:
    """Records Ctrl-C or SIGTERM, so that training can end with a checkpoint.

    Used as a context manager. Before training has begun, and at a second signal, the run stops at
    once: the process of a command ends; in another program the former signal handler is called,
    which for a SIGTERM also happens once the checkpoint is saved. Only the main thread receives
    signals, and handlers that were not installed from Python are not replaced.
    """

    def __init__(self, is_command: bool = True) -> None:
        """Initializes the stop request.

        Args:
            is_command: whether the process does nothing but this run.
        """
        self._is_command = is_command
        self.is_made = False
        self.is_deferred = False  # before the first step there is nothing to save
        self._is_ending = False  # because of a SIGTERM
        self._former = {}

    def __enter__(self) -> "StopRequest":
        if threading.current_thread() is threading.main_thread():
            for signum in (signal.SIGINT, signal.SIGTERM):
                if signal.getsignal(signum) is not None:
                    self._former[signum] = signal.signal(signum, self._note)
        return self

    def __exit__(self, *_: Any) -> None:
        for signum, handler in self._former.items():
            signal.signal(signum, handler)
        if self._is_ending and not self._is_command:
            os.kill(os.getpid(), signal.SIGTERM)

    def _note(self, signum, frame):
        if not self.is_made and self.is_deferred:
            self.is_made, self._is_ending = True, signum == signal.SIGTERM
        elif self._is_command:
            stop_at_once()
        else:
            signal.signal(signum, self._former[signum])
            os.kill(os.getpid(), signum)

    def raise_if_made(self, message: str) -> None:
        """Raises `Interrupted` with a message if a signal came."""
        if self.is_made:
            raise Interrupted(message)


class StopHook(tf.train.SessionRunHook):
    """Ends a session's loop after the step in which a stop was requested."""

    def __init__(self, stop: StopRequest) -> None:
        """Initializes the stop hook.

        Args:
            stop: the request that ends the loop.
        """
        self._stop = stop

    def after_run(
        self, run_context: tf.train.SessionRunContext, run_values: tf.train.SessionRunValues
    ) -> None:
        self._stop.is_deferred = True
        if self._stop.is_made:
            run_context.request_stop()


class GridTimer(tf.train.SecondOrStepTimer):
    """Triggers at multiples of a number of steps, whichever step a run began at."""

    def __init__(self, every_steps: int) -> None:
        """Initializes the grid timer.

        Args:
            every_steps: the number of steps.
        """
        super().__init__(every_steps=every_steps)
        self._grid = every_steps

    def should_trigger_for_step(self, step: int) -> bool:
        last = self.last_triggered_step()
        return last is None or step // self._grid > last // self._grid


class FirstStepHook(tf.train.SessionRunHook):
    """Redirects the C++ messages of TensorFlow in the first step to the log file.

    In that step XLA announces on standard error that it compiles, whatever log level is set.
    Messages from Python, for instance that the run is stopped, still reach the user.
    """

    def __init__(self) -> None:
        self._is_over = False
        self._redirection = contextlib.ExitStack()

    def before_run(self, run_context: tf.train.SessionRunContext) -> None:
        handlers = tf.get_logger().handlers
        logs: List[Any] = [h.stream for h in handlers if isinstance(h, logging.FileHandler)]
        if logs and not self._is_over and sys.stderr is not None:
            sys.stderr.flush()
            standard_error = os.dup(2)
            self._redirection.callback(os.close, standard_error)
            self._redirection.callback(os.dup2, standard_error, 2)
            os.dup2(logs[0].fileno(), 2)
            for_python = io.TextIOWrapper(
                io.FileIO(standard_error, "w", closefd=False), line_buffering=True
            )
            self._redirection.enter_context(contextlib.redirect_stderr(for_python))
        self._is_over = True

    def after_run(
        self, run_context: tf.train.SessionRunContext, run_values: tf.train.SessionRunValues
    ) -> None:
        self.restore()

    def restore(self) -> None:
        """Ends the redirection; must also be called if a step has failed."""
        self._redirection.close()


class SaverHook(tf.train.CheckpointSaverHook):
    """Saves at the same steps whether or not a run was interrupted, and never saves NaN."""

    def __init__(
        self,
        folder: str,
        save_steps: int,
        listeners: Sequence[tf.train.CheckpointSaverListener] = (),
    ) -> None:
        """Initializes the saver hook.

        Args:
            folder: folder for the checkpoints.
            save_steps: steps between checkpoints.
            listeners: listeners that are called at each checkpoint.
        """
        super().__init__(folder, save_steps=save_steps, listeners=list(listeners))
        self._timer = GridTimer(save_steps)  # replaces the timer that counts from the last start

    def begin(self) -> None:
        super().begin()
        sums = [tf.reduce_sum(variable) for variable in tf.trainable_variables()]
        self._is_finite = tf.reduce_all(tf.is_finite(tf.stack(sums)))

    def after_create_session(self, session: tf.Session, coord: tf.train.Coordinator) -> None:
        """Writes the graph and the first checkpoint, in half the time of the parent class.

        A checkpoint that training resumes from is not rewritten: TensorFlow would overwrite its
        index in place, and a kill during that write would leave it damaged.
        """
        with output_files.atomic_write(os.path.join(self._checkpoint_dir, "graph.pbtxt")) as stream:
            stream.write(str(session.graph.as_graph_def(add_shapes=True)))
        self._summary_writer.add_graph(session.graph)
        step = session.run(self._global_step_tensor)
        if self._is_saved(step):
            for listener in self._listeners:
                listener.before_save(session, step)
                listener.after_save(session, step)
        else:
            self._save(session, step)
        self._timer.update_last_triggered_step(step)

    def _is_saved(self, step):
        """Whether the session began with the complete checkpoint of this step."""
        newest = tf.train.latest_checkpoint(self._checkpoint_dir)
        is_of_step = newest is not None and checkpoint_files.checkpoint_step(newest) == step
        return is_of_step and tf.gfile.Exists(newest + ".meta")  # the file that is written last

    def _save(self, session, step):
        if not session.run(self._is_finite):
            raise tf.train.NanLossDuringTrainingError
        return super()._save(session, step)


def show_in_progress(name: str, value: tf.Tensor) -> None:
    """Registers a float scalar of the training graph for `ProgressHook` to show and record."""
    tf.add_to_collection(
        PROGRESS_TENSORS, tf.identity(value, name="%s/%s" % (PROGRESS_TENSORS, name))
    )


class ProgressHook(tf.train.SessionRunHook):
    """Shows the progress of training and records it in `metrics.jsonl`.

    On a terminal it shows a progress bar; otherwise a line every `PLAIN_PROGRESS_SECONDS`.
    """

    def __init__(
        self,
        metrics: "Metrics",
        total_steps: int,
        batch_size: int,
        steps_per_run: int = 1,
        record_every: int = 1,
        dev_metric: str = "accuracy",
    ) -> None:
        """Initializes the progress hook.

        Args:
            metrics: metrics of the run.
            total_steps: the step at which training ends.
            batch_size: examples per step.
            steps_per_run: steps per session run (a TPU's loop).
            record_every: steps between records of the loss.
            dev_metric: name of the metric on dev, recorded as `dev_NAME`.
        """
        self._metrics = metrics
        self._dev_metric = dev_metric
        self._total_steps = total_steps
        self._batch_size = batch_size
        self._steps_per_run = steps_per_run
        self._record_every = record_every

    def begin(self) -> None:
        losses = tf.get_collection(tf.GraphKeys.LOSSES)  # the engine puts the total loss there
        self._fetches = {"loss": losses[-1]} if losses else {}
        for tensor in reversed(tf.get_collection(PROGRESS_TENSORS)):  # the first replica's win
            self._fetches[re.sub(r"(_\d+)?$", "", tensor.op.name.split("/")[-1])] = tensor
        self._global_step = tf.train.get_global_step()

    def after_create_session(self, session: tf.Session, coord: tf.train.Coordinator) -> None:
        self._step = self._first_step = int(session.run(self._global_step))
        self._start = self._last_line = time.time()
        self._recent = {}  # moving averages
        self._num_tokens: float = 0
        self._bar = progress_bar(
            None,
            self._total_steps,
            "step",
            initial=self._step,
            unit_scale=False,
            disable=None,  # without a terminal, `_show` prints lines that include examples/s
        )

    def before_run(self, run_context: tf.train.SessionRunContext) -> tf.train.SessionRunArgs:
        return tf.train.SessionRunArgs(self._fetches)

    def after_run(
        self, run_context: tf.train.SessionRunContext, run_values: tf.train.SessionRunValues
    ) -> None:
        former = self._step
        self._step = min(former + self._steps_per_run, self._total_steps)
        scalars = {name: float(scalar) for name, scalar in run_values.results.items()}
        self._num_tokens += self._steps_per_run * scalars.pop("tokens", 0)
        for name, scalar in scalars.items():
            self._recent[name] = 0.95 * self._recent.get(name, scalar) + 0.05 * scalar
        if scalars and self._step // self._record_every > former // self._record_every:
            self._metrics.add(self._step, **scalars)
        self._show()

    def _show(self):
        state = [text % self._recent[name] for name, text in _SHOWN if name in self._recent]
        name = self._dev_metric
        state += self._metrics.last("dev_" + name, "dev " + name + " %.4f")
        self._bar.set_postfix_str(", ".join(state), refresh=False)
        self._bar.update(self._step - self._bar.n)
        is_due = time.time() - self._last_line >= PLAIN_PROGRESS_SECONDS
        if self._bar.disable and (is_due or self._step >= self._total_steps):
            self._last_line = time.time()
            seconds = self._last_line - self._start
            rate = (self._step - self._first_step) / seconds
            rates = "%.2f steps/s, %.0f examples/s" % (rate, rate * self._batch_size)
            if self._num_tokens:
                rates += ", %.0f tokens/s" % (self._num_tokens / seconds)
            say(
                "step %d of %d, %s, ETA %s, %s",
                self._step,
                self._total_steps,
                rates,
                readable_seconds((self._total_steps - self._step) / rate),
                ", ".join(state),
            )

    def end(self, session: tf.Session) -> None:
        self._bar.close()


class ExplosionHook(tf.train.SessionRunHook):
    """Ends training when the loss exceeds a bound."""

    def __init__(self, highest_loss: float) -> None:
        """Initializes the explosion hook.

        Args:
            highest_loss: a loss above it raises `Explosion`.
        """
        self._highest_loss = highest_loss

    def before_run(self, run_context: tf.train.SessionRunContext) -> tf.train.SessionRunArgs:
        losses = tf.get_collection(tf.GraphKeys.LOSSES)
        return tf.train.SessionRunArgs(losses[-1:])

    def after_run(
        self, run_context: tf.train.SessionRunContext, run_values: tf.train.SessionRunValues
    ) -> None:
        for loss in run_values.results:
            if loss > self._highest_loss:
                raise Explosion("the loss is %.4g" % loss)


class CountingHook(tf.train.SessionRunHook):
    """Shows how many of a known number of batches have been processed."""

    def __init__(self, what: str, num_batches: int) -> None:
        """Initializes the counting hook.

        Args:
            what: label of the bar.
            num_batches: total number of batches.
        """
        self._what = what
        self._num_batches = num_batches

    def begin(self) -> None:
        self._bar = progress_bar(self._what, self._num_batches, "batch", leave=False)

    def after_run(
        self, run_context: tf.train.SessionRunContext, run_values: tf.train.SessionRunValues
    ) -> None:
        self._bar.update()

    def end(self, session: tf.Session) -> None:
        self._bar.close()


class MetricsListener(tf.train.CheckpointSaverListener):
    """Writes the metrics file before each checkpoint, so that a resumed run has all records."""

    def __init__(self, log: "Metrics") -> None:
        """`log`: metrics of the run."""
        self._log = log

    def before_save(self, session: tf.Session, global_step_value: int) -> None:
        self._log.flush()


class EvaluationListener(tf.train.CheckpointSaverListener):
    """Calls a function with each checkpoint that training writes, except the untrained one."""

    def __init__(self, evaluate: Callable[[int], bool], stop: StopRequest) -> None:
        """Initializes the evaluation listener.

        Args:
            evaluate: function of a step; training ends if it returns True.
            stop: once a stop is requested, nothing is evaluated.
        """
        self._evaluate = evaluate
        self._stop = stop

    def after_save(self, session: tf.Session, global_step_value: int) -> Optional[bool]:
        if global_step_value > 0 and not self._stop.is_made:
            return self._evaluate(int(global_step_value))
        return None
