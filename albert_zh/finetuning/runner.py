"""Trains, evaluates and predicts for every kind of task: the work of the fine-tuning commands.

train -> dev metrics at each checkpoint; the best checkpoint is saved in OUTPUT_DIR/best
      -> eval_results_albert_zh.txt, eval_results.json, learning_curve.png
      -> predictions for the test file with the best checkpoint
      -> report.md, report.json, figures
"""

import contextlib
import functools
import io
import tempfile
import time
from typing import Any, Callable, Dict, Optional

from absl import flags

from albert_zh.common import cores
from albert_zh.common.errors import UserError
from albert_zh.common.messages import say
from albert_zh.finetuning import flags as finetuning_flags
from albert_zh.finetuning import output_folder, start_files, sweeps, teaching_flags
from albert_zh.finetuning.best_checkpoint import BestCheckpoint
from albert_zh.finetuning.checkpoint_predictions import CheckpointPredictions
from albert_zh.finetuning.evaluation import Evaluation
from albert_zh.finetuning.setup import Parts, Setup
from albert_zh.finetuning.summary import Summary
from albert_zh.finetuning.teaching import Teaching, WithoutTeachers
from albert_zh.finetuning.test_file import TestFile
from albert_zh.model import forks, start_checks
from albert_zh.model.checkpoints import checkpoint_files, model_writer
from albert_zh.tasks import input_pipeline, model_fn, registry
from albert_zh.training import allocator, engine, loop, metrics_log, run_folder
from albert_zh.training import flags as run_flags
from albert_zh.training.hooks import StopRequest
from albert_zh.training.training_errors import explained_errors

define_flags = finetuning_flags.define_flags
PARTS = Parts(model_fn.model_fn_builder, model_writer.replace_model_folder, Teaching)


def run(
    export: Optional[Callable] = None,
    options: flags.FlagValues = flags.FLAGS,
    family: str = finetuning_flags.CLASSIFICATION,
    make_distiller: Optional[Callable] = None,
    is_command: bool = True,
) -> Optional[Dict[str, Any]]:
    """Trains, evaluates and predicts according to the flags.

    Args:
        export: function (model folder, path, options) that writes the SavedModel of --export_dir
            and returns an `export.comparison.Comparison` with the checkpoint.
        options: the flags.
        family: name of a kind of task whose flags the command has.
        make_distiller: function (config, path of the vocabulary) -> `Distiller` whose losses train
            the encoder, without a head; None for training on the task.
        is_command: see `StopRequest`.

    Returns:
        for a single run the result of `Summary.write`, otherwise None.
    """
    cores.give_sessions_their_threads()
    registry.get(family).flags.take_other_names(options)
    start_files.take(options)
    finetuning_flags.check_flags(options, family)
    output_folder.check_is_no_split(options)
    if options.export_dir and export is None:
        raise UserError(
            "--export_dir: this command writes no SavedModel: leave it out and run export_model.py "
            "--model_dir=%s/best --format=saved_model" % options.output_dir
        )
    if options.export_dir and options.do_train and not options.do_eval:
        raise UserError("--export_dir exports the best model on dev: add --do_eval=true")
    finetuning_flags.take_usual_rate(options, family)
    teaching_flags.take_usual_cache(options)
    allocator.choose_allocator(options.plain)
    forks.check_is_no_fork("trained")
    with StopRequest(is_command) as stop:
        if options.seeds or options.search:
            of_kind = finetuning_flags.kind_of(options, family).flags.fixed
            sweeps.run(options, lambda options: run_once(options, stop, export, family), of_kind)
            return None
        return run_once(options, stop, export, family, make_distiller)


def check(
    options: flags.FlagValues = flags.FLAGS,
    family: str = finetuning_flags.CLASSIFICATION,
    has_teachers: bool = True,
) -> None:
    """Runs the checks of a later run up to its first step; only teacher targets are saved.

    Args:
        options: the flags.
        family: see `run`.
        has_teachers: whether the teachers that the flags name already exist.

    Raises:
        UserError: for anything that the later run would reject.
    """
    start_files.take(options)
    finetuning_flags.check_flags(options, family)
    output_folder.check_is_no_split(options)
    teaching_flags.take_usual_cache(options)
    seed = int(options.seeds[0]) if options.seeds else options.seed
    with tempfile.TemporaryDirectory() as folder, contextlib.redirect_stdout(io.StringIO()):
        given = {"output_dir": folder, "seeds": None, "search": False, "seed": seed}
        parts = PARTS if has_teachers else PARTS._replace(make_teaching=WithoutTeachers)
        Setup(finetuning_flags.with_values(options, **given), family, parts)


def run_once(
    options: flags.FlagValues,
    stop: StopRequest,
    export: Optional[Callable] = None,
    family: str = finetuning_flags.CLASSIFICATION,
    make_distiller: Optional[Callable] = None,
) -> Optional[Dict[str, Any]]:
    """Executes a single run with the flags.

    Args:
        options: the flags.
        stop: the user's request to end early.
        export, family, make_distiller: see `run`.

    Returns:
        the result of `Summary.write`; None if this process only helps another worker.
    """
    begin = time.time()
    stop.is_deferred = False  # nothing to save before the first step
    helper = run_flags.helper_name(options)
    check_start = functools.partial(start_checks.check_start, options.init_checkpoint)
    with explained_errors(options.output_dir, check_start), run_folder.uploaded_log(
        options.output_dir, helper
    ):
        setup = Setup(options, family, PARTS, make_distiller)
        forks.check_sessions_can_run("trained")
        this_run = Run(setup, stop, begin)
        with engine.one_prediction_graph(setup.engine):
            if options.do_train:
                this_run.train()
            if helper:  # the worker that saves does the rest
                return None
            this_run.predict()
        allocator.give_back_freed()  # figures and exports need the memory
        return this_run.finish(export)


class Command:
    """A command line that fine-tunes models of one kind of task."""

    def __init__(self, family: str, export: Callable) -> None:
        """Initializes the command.

        Args:
            family: name of a kind of task whose flags it has.
            export: see `run`.
        """
        self._family, self._export = family, export

    def define_flags(self, **defaults: Any) -> None:
        """Defines its flags; `defaults` replace the usual ones."""
        define_flags(self._family, **defaults)

    def run(self) -> None:
        """Runs the command."""
        run(self._export, family=self._family)


class Run:
    """One run of a fine-tuning command.

    Attributes:
        setup: `Setup`.
        stop: `StopRequest`.
        begin: time at which it began to read its data, seconds.
        speed: {what: examples per second}.
        stopped_at: steps at which training was stopped earlier.
        metrics_log: `metrics_log.Metrics` if the run trains; else None.
        best: `BestCheckpoint`.
        predictions: `CheckpointPredictions`.
        evaluation: `Evaluation`.
        test_file: `TestFile`.
    """

    def __init__(self, setup: Setup, stop: StopRequest, begin: float) -> None:
        """Initializes the run.

        Args:
            setup, stop, begin: see the attributes.
        """
        self.setup, self.stop = setup, stop
        self.begin, self.speed = begin, {}
        self.metrics_log: Optional[metrics_log.Metrics] = None
        records = metrics_log.Metrics.read(setup.folder.path, setup.first_step)
        self.stopped_at = {record["step"] for record in records if "stopped" in record}
        self.best = BestCheckpoint(setup)
        self.predictions = CheckpointPredictions(setup, self.best)
        self.evaluation = Evaluation(self)
        self.test_file = TestFile(self)

    def train(self) -> None:
        """Trains to the last step; resumes from the newest checkpoint of the output folder, if any.

        Raises:
            Interrupted: if a stop was requested; a checkpoint has been saved by then.
        """
        setup, first_step = self.setup, self.setup.first_step
        worker = run_flags.helper_name(setup.options)
        self.metrics_log = metrics_log.Metrics(setup.folder.path, first_step, worker)
        if first_step >= setup.steps.total:
            say("training is complete (step %d): nothing to train", first_step)
            self._say_what_stays()
            return
        if self.best.is_exhausted():
            say("training ended early at step %d: nothing to train", first_step)
            self._say_what_stays()
            return
        if first_step:
            say("continuing from step %d of %d", first_step, setup.steps.total)
            self.evaluation.let_best_compete()
        begin = time.time()
        self._run_steps()
        if self.stop.is_made:  # a checkpoint saved only for the stop is not evaluated later
            self.metrics_log.add(setup.folder.newest_step(), stopped=True)
        self.raise_if_stopped()
        steps = setup.folder.newest_step() - first_step
        self.speed["training, with evaluations"] = (
            steps * setup.options.train_batch_size / (time.time() - begin)
        )

    def _say_what_stays(self):
        """Names changed flags without effect: they apply to evaluations, and all are done."""
        without_effect = set(self.setup.changed).intersection(self.setup.kind.flags.of_evaluations)
        if without_effect and self.best.evaluations:
            say(
                "note: --%s %s no effect, as all checkpoints have been evaluated already: train "
                "again, into another --output_dir",
                ", --".join(sorted(without_effect)),
                "has" if len(without_effect) == 1 else "have",
            )

    def _run_steps(self):
        setup, options = self.setup, self.setup.options
        input_fn = input_pipeline.train_input_fn(
            setup.features["train"],
            options.max_seq_length,
            options.train_batch_size,
            setup.steps.total,
            options.seed,
            setup.first_step,
            options.use_tpu,
            options.plain,
        )
        if setup.distiller:
            input_fn = setup.distiller.with_teacher_rows_of(input_fn)
        with self.metrics_log:
            loop.train(
                options,
                setup.engine,
                input_fn,
                self._steps(),
                self.stop,
                self.metrics_log,
                evaluate=self.evaluation.ends_training if options.do_eval else None,
                dev_metric=setup.metric,
            )

    def predict(self) -> None:
        """Evaluates and predicts according to the flags."""
        if self.setup.options.do_eval:
            self.evaluation.evaluate_all()
        if self.setup.options.do_predict:
            self.test_file.predict()

    def finish(self, export: Optional[Callable]) -> Dict[str, Any]:
        """Exports the model if the flags request it, and summarizes the run.

        Args:
            export: see `run`.

        Returns:
            the result of `Summary.write`.
        """
        options = self.setup.options
        if options.export_dir:
            self.export(export)  # type: ignore[arg-type] # `run` requires it
        summary = Summary(self).write()
        if options.do_train and options.do_eval and not options["keep_checkpoint_max"].present:
            self.remove_older_checkpoints()
        return summary

    def _steps(self):
        return loop.Steps(self.setup.first_step, self.setup.steps.total, self.setup.steps.save)

    def raise_if_stopped(self) -> None:
        """Raises `Interrupted` if a stop was requested."""
        if self.stop.is_made:  # the message reads the newest checkpoint
            self.stop.raise_if_made(self._how_to_go_on())

    def _how_to_go_on(self):
        folder = self.setup.folder
        return loop.how_to_resume(folder.path, folder.newest_step(), self._steps())

    def export(self, export: Callable) -> None:
        """Writes the best checkpoint as a SavedModel.

        Args:
            export: see `run`.

        Raises:
            UserError: if no checkpoint was chosen.
        """
        options, folder = self.setup.options, self.setup.folder
        if not folder.uses_best():
            raise UserError("--export_dir: there is no best model: add --do_eval=true")
        comparison = export(folder.best, options.export_dir, options)
        say(
            "SavedModel        %s (outputs at most %.1e from the checkpoint's on %d texts)",
            options.export_dir,
            comparison.largest,
            comparison.num_texts,
        )

    def remove_older_checkpoints(self) -> None:
        """After training, keeps only the newest checkpoint and the one used for prediction.

        Training checkpoints include the optimizer state and are three times as large as the model.
        """
        prefixes = self.setup.folder.checkpoints()
        kept = [p for p in prefixes if p in (prefixes[-1], self.predictions.used())]
        if kept:
            checkpoint_files.remove_all_but(self.setup.folder.path, kept)
