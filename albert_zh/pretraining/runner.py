"""Runs pre-training and its evaluation, for the `run_pretraining*` commands.

records -> masked LM + sentence order -> checkpoints, metrics.jsonl, learning_curve.png
        -> eval_results.txt (--do_eval), a model folder (--export_dir)
"""

import functools
import hashlib
import math
import os
import time
from typing import Callable, Optional

from absl import flags
import numpy as np
import tensorflow.compat.v1 as tf

from albert_zh.common import files, output_files, storage
from albert_zh.common.errors import UserError
from albert_zh.common.messages import say, time_and_memory
from albert_zh.common.wording import counted
from albert_zh.model import start_checks
from albert_zh.model.checkpoints import (
    checkpoint_files,
    fine_tuning_notes,
    model_folder,
    model_writer,
    whole_folders,
)
from albert_zh.model.config import AlbertConfig
from albert_zh.pretraining import flags as pretraining_flags
from albert_zh.pretraining import (
    input_lanes,
    learning_rate,
    letter_case,
    model_settings,
    objective_flags,
    record_sources,
    waiting_evaluation,
)
from albert_zh.pretraining import input_pipeline as pretraining_input
from albert_zh.pretraining import model_fn as pretraining_model_fn
from albert_zh.pretraining.initial_weights import InitialWeights
from albert_zh.text import tokenization
from albert_zh.training import allocator, engine, length_bucketing, loop, metrics_log, run_folder
from albert_zh.training import flags as run_flags
from albert_zh.training.hooks import (
    CountingHook,
    ExplosionHook,
    StopHook,
    StopRequest,
)
from albert_zh.training.training_errors import explained_errors

FLAGS = flags.FLAGS
EVAL_RESULTS = "eval_results.txt"
MAX_RECORDS_OF_METRICS = 4000
_EXPLOSION_FACTOR = 5  # training has diverged if the loss is above this multiple of guessing's


def run_google(ffn_groups: Optional[int] = None) -> None:
    """Runs one of Google's pre-training commands; `ffn_groups` is as in `run`."""
    run("sentence_order", ffn_groups)


def run(
    sentence_name: str = "next_sentence",
    ffn_groups: Optional[int] = None,
    make_distiller: Optional[Callable] = None,
) -> None:
    """Runs a pre-training command with the current flags.

    Args:
        sentence_name: the second task's name in metrics.
        ffn_groups: number of groups of the feed-forward layers if the config does not specify it;
            None for the default, one.
        make_distiller: function (config, path of the vocabulary or None) -> `Distiller` with which
            a student is trained; None for plain pre-training.
    """
    pretraining_flags.check_flags(FLAGS)
    allocator.choose_allocator(FLAGS.plain)
    check_start = functools.partial(start_checks.check_start, FLAGS.init_checkpoint)
    with StopRequest() as stop, explained_errors(
        FLAGS.output_dir, check_start
    ), run_folder.uploaded_log(FLAGS.output_dir, process_name(FLAGS)):
        job = Pretraining(FLAGS, sentence_name, ffn_groups, make_distiller)
        if FLAGS.do_train:
            job.train(stop)
        if run_flags.helper_name(FLAGS):
            return  # only the worker that saves checkpoints does the rest
        if FLAGS.do_eval and _waits_for_checkpoints(FLAGS):
            job.evaluate_as_they_appear(stop)
        elif FLAGS.do_eval:
            job.evaluate_newest(stop)
        if FLAGS.export_dir:
            job.export()
        job.summarize()


def _waits_for_checkpoints(options):
    """Whether this process evaluates the checkpoints of another process."""
    return options.do_eval and not options.do_train and options.eval_timeout > 0


def process_name(options: flags.FlagValues) -> Optional[str]:
    """Name of the log of an additional process next to the one that trains; None for the latter."""
    return "evaluation" if _waits_for_checkpoints(options) else run_flags.helper_name(options)


class Pretraining:
    """One run of a pre-training command: its data, model and results."""

    def __init__(
        self,
        options: flags.FlagValues,
        sentence_name: str,
        ffn_groups: Optional[int] = None,
        make_distiller: Optional[Callable] = None,
    ) -> None:
        """Reads and checks everything before the first step.

        Args:
            options: the flags.
            sentence_name, ffn_groups, make_distiller: as in `run`.
        """
        self._begin = time.time()
        self._options = options
        self._folder = options.output_dir
        self._sentence_name = sentence_name
        self._config = run_flags.read_config(options.bert_config_file)
        if ffn_groups:
            given = dict({"ffn_groups": ffn_groups}, **self._config.to_dict())
            self._config = AlbertConfig.from_dict(given)
        self._vocab_file = record_sources.vocabulary_file(options, self._config)
        run_folder.open_output_folder(self._folder, process_name(options))
        run_flags.say_what_has_no_effect(options)
        _say_what_is_left_out(options, self._vocab_file)
        self._distiller = None
        if make_distiller:
            objective_flags.check_distillation(options)
        if make_distiller and options.do_train:
            self._distiller = make_distiller(self._config, self._vocab_file)
        about = (self._config, self._vocab_file)
        self._train_source = record_sources.record_source(options, "input_file", *about)
        self._eval_source = record_sources.evaluation_source(options, *about, self._train_source)
        self._first_step = self._newest_step() if options.do_train else 0
        self._num_lanes = self._lanes_of_run()
        self._learning_rate = learning_rate.chosen_rate(options)
        self._initial_weights = InitialWeights(
            options,
            self._config,
            functools.partial(record_sources.piece_counts, self._train_source),
            lambda: pretraining_model_fn.shapes_of_objective(self._config, self._model_settings()),
        )
        self._engine = self._make_engine(self._initial_weights.checkpoint())
        self._accuracies = objective_flags.accuracies(options, sentence_name)
        self._metrics: Optional[metrics_log.Metrics] = None
        self._measured = {}  # metrics of the checkpoint that was evaluated last, by its step

    def _make_engine(self, init_checkpoint):
        """Creates the engine after checking that the output folder belongs to the same run."""
        settings = self._model_settings()
        run_settings = self._run_settings()
        run_folder.check_same_run(self._folder, *run_settings)
        if self._options.do_train:
            run_folder.remember_settings(self._folder, *run_settings)
            self._add_state_of_training(settings)
        return engine.make_engine(
            self._options,
            pretraining_model_fn.model_fn_builder(
                self._config,
                settings,
                init_checkpoint,
                self._distiller,
                self._options.output_dir,
            ),
            self._options.save_checkpoints_steps,
            train_batch_size=self._options.train_batch_size,
            eval_batch_size=self._options.eval_batch_size,
        )

    def _add_state_of_training(self, settings):
        """Adds counters or scales that new flags need to the checkpoint of a resumed run."""
        newest = checkpoint_files.newest_of_training(self._folder)
        if newest is not None and not run_flags.helper_name(self._options):
            checkpoint_files.add_missing(newest, pretraining_model_fn.state_of_training(settings))

    def _newest_step(self):
        newest = checkpoint_files.newest_of_training(self._folder)
        return 0 if newest is None else checkpoint_files.checkpoint_step(newest)

    def _lanes_of_run(self):
        """Number of lanes of the run's records, which is the number of hosts it began with."""
        num_hosts = engine.num_hosts(self._options)
        former = run_folder.former_settings(self._folder)["fixed"]
        num_lanes = former.get("input lanes", 1 if former else self._options.input_lanes)
        num_lanes = num_lanes or num_hosts
        if self._options.do_train:
            input_lanes.check_hosts(num_lanes, num_hosts)
            if self._options.train_batch_size % num_lanes:
                raise UserError(
                    "--train_batch_size=%d is not a multiple of the %d lanes of the records "
                    "(--input_lanes): change one of them"
                    % (self._options.train_batch_size, num_lanes)
                )
        return num_lanes

    def _run_settings(self):
        """(fixed, variable) settings of the run, see `run_folder.check_same_run`."""
        fixed = {"config": self._config.to_dict()}
        if not self._options.do_train:
            return fixed, {}
        names = (
            "train_batch_size max_seq_length max_predictions_per_seq seed optimizer poly_power "
            "pack_by_length warm_start"
        )
        fixed.update((name, getattr(self._options, name)) for name in names.split())
        fixed.update(objective_flags.run_settings(self._options))
        fixed["learning_rate"] = self._learning_rate
        fixed.update(self._initial_weights.settings())
        variable = (
            "num_train_steps num_warmup_steps start_warmup_step gradient_accumulation_steps "
            "precision plain"
        )
        variable = {name: getattr(self._options, name) for name in variable.split()}
        counts = variable if self._options.skip_corrupt_records else fixed
        source = self._train_source
        counts["number of records"] = source.num_records
        counts["bytes of records"] = sum(map(storage.size, source.files))
        if len(source.files) > 1:  # the order and the names of files do not matter for a single one
            counts["files of records"] = _digest_of_files(source.files)
        fixed["input lanes"] = self._num_lanes
        if self._distiller:
            fixed.update(self._distiller.run_settings())
        fixed["masking"] = source.masking and record_sources.masking_settings(source.masking)
        fixed["do_lower_case"] = letter_case.is_lowered(self._options, source.files)
        fixed["replacement_method"] = self._options.replacement_method
        return fixed, dict(variable, **run_folder.tensorflow_version())

    def _model_settings(self):
        given = {
            name: getattr(self._options, name)
            for name in model_settings.ModelSettings._fields
            if hasattr(self._options, name)
        }
        about = (self._options, self._config, self._vocab_file)
        given.update(objective_flags.model_settings(*about))
        given.update(learning_rate=self._learning_rate, sentence_name=self._sentence_name)
        return model_settings.ModelSettings(**given)

    # Training

    def train(self, stop: StopRequest) -> None:
        """Trains up to the last step, starting from the newest checkpoint in the output folder.

        Args:
            stop: the user's request to stop early.

        Raises:
            Interrupted: if a stop was requested; a checkpoint is saved before.
        """
        self._metrics = metrics_log.Metrics(
            self._folder, self._first_step, run_flags.helper_name(self._options)
        )
        if self._first_step >= self._options.num_train_steps:
            say("training is complete (step %d): nothing to train", self._first_step)
            return
        self._say_what_comes()
        is_evaluated = self._options.eval_file and self._options.do_eval
        steps = loop.Steps(
            self._first_step, self._options.num_train_steps, self._options.save_checkpoints_steps
        )
        with record_sources.named_faults(self._train_source), self._metrics:
            loop.train(
                self._options,
                self._engine,
                self._train_input_fn,
                steps,
                stop,
                self._metrics,
                evaluate=(lambda step: self._evaluated(step, stop)) if is_evaluated else None,
                hooks=[ExplosionHook(self._highest_loss())],
                max_records=MAX_RECORDS_OF_METRICS,
            )
        stop.raise_if_made(loop.how_to_resume(self._folder, self._newest_step(), steps))

    def _say_what_comes(self):
        source = self._train_source
        if self._first_step:
            say("continuing from step %d of %d", self._first_step, self._options.num_train_steps)
        if source.num_records is None:
            say("training: records in %s, not counted", counted(len(source.files), "file"))
            return
        say(
            "training: %d records in %s, %s, batch %d, %d steps: %.1f epochs; shuffled in a "
            "buffer of %d records (%.0f MB)",
            source.num_records,
            counted(len(source.files), "file"),
            record_sources.described_masking(source.masking),
            self._options.train_batch_size,
            self._options.num_train_steps,
            self._options.num_train_steps * self._options.train_batch_size / source.num_records,
            min(pretraining_input.SHUFFLE_BUFFER, source.num_records),
            min(pretraining_input.SHUFFLE_BUFFER, source.num_records) * source.record_bytes / 1e6,
        )

    def _highest_loss(self):
        if self._distiller:
            return math.inf  # distillation losses have no such limit
        return _EXPLOSION_FACTOR * objective_flags.loss_of_guessing(
            self._options, self._config.vocab_size
        )

    def _train_input_fn(self, params, input_context=None):
        share = length_bucketing.share_of(params, input_context)
        batches = pretraining_input.training_batches(
            self._train_source,
            self._options.train_batch_size,
            self._options.seed,
            self._first_step,
            self._options.pack_by_length and not (self._options.use_tpu or self._options.plain),
            share,
            self._num_lanes,
        )
        return self._distiller.with_teacher_rows(batches) if self._distiller else batches

    def _eval_input_fn(self, params):
        share = length_bucketing.share_of(params)
        size = self._options.eval_batch_size // share.num_replicas
        batches = pretraining_input.evaluation_batches(self._eval_source, size, self._options.seed)
        return length_bucketing.of_pipeline(batches, share)

    # Evaluation and the end

    def evaluate_newest(self, stop: StopRequest) -> None:
        """Evaluates the newest checkpoint and writes `eval_results.txt`.

        Args:
            stop: as in `train`.
        """
        newest = checkpoint_files.newest_of_training(self._folder)
        if newest is None:
            raise UserError(
                "%s contains no checkpoint: train first (--do_train=true)" % self._folder
            )
        step = checkpoint_files.checkpoint_step(newest)
        objective_flags.check_generator_is_of_run(self._folder, self._options)
        _say_what_is_measured(self._options, self._eval_source)
        if step not in self._measured:  # it may have been evaluated while training
            self._evaluate(step, stop)
        self._write_results(self._measured[step])

    def _write_results(self, result):
        """Writes the metrics of a checkpoint as `eval_results.txt`."""
        with output_files.atomic_write(os.path.join(self._folder, EVAL_RESULTS)) as handle:
            for name in sorted(result):
                say("%s = %s", name, result[name])
                handle.write("%s = %s\n" % (name, result[name]))

    def evaluate_as_they_appear(self, stop: StopRequest) -> None:
        """Evaluates each checkpoint of a run in another process, until that run has ended.

        The results are saved in `metrics.evaluation.jsonl`; a checkpoint that is listed there is
        not evaluated again, unless it is newer.

        Args:
            stop: as in `train`.
        """
        last_step, timeout = self._options.num_train_steps, self._options.eval_timeout
        name = process_name(self._options)
        recorded = waiting_evaluation.last_recorded_step(
            self._folder, metrics_log.file_of(self._folder, name)
        )
        self._metrics = metrics_log.Metrics(self._folder, recorded, name)
        done = {0} | {record["step"] for record in self._metrics.records if "dev" in record}
        new = waiting_evaluation.new_checkpoints(self._folder, done, last_step, timeout)
        for number, prefix in enumerate(new):
            step = checkpoint_files.checkpoint_step(prefix)
            objective_flags.check_generator_is_of_run(self._folder, self._options)
            if not number:
                _say_what_is_measured(self._options, self._eval_source)
            try:
                self._write_results(self._evaluate(step, stop))
            except (tf.errors.OpError, ValueError):
                if not waiting_evaluation.is_gone(prefix):
                    raise
                say("note: step %d was removed before it was evaluated", step)
            self._metrics.flush()

    def _evaluated(self, step, stop):
        """Evaluates during training; returns False, as True would stop the training."""
        self._evaluate(step, stop)
        return False

    def _evaluate(self, step, stop):
        """Returns the metrics of a step's checkpoint, and records them if there is a log."""
        num_steps = record_sources.num_eval_steps(self._options, self._eval_source)
        with record_sources.named_faults(self._eval_source), objective_flags.missing_heads_named(
            self._folder, self._options
        ):
            result = self._engine.evaluate(
                self._eval_input_fn,
                steps=num_steps,
                hooks=[StopHook(stop), CountingHook("evaluating", num_steps)],
                checkpoint_path=os.path.join(self._folder, "model.ckpt-%d" % step),
            )
        stop.raise_if_made("stopped while evaluating; run the same command again to continue")
        metrics = {name: _plain(value) for name, value in result.items()}
        self._measured = {step: metrics}
        if self._metrics is not None:
            plotted = {"dev_" + name: metrics[name] for name in metrics if name != "global_step"}
            self._metrics.add(step, dev=metrics, **plotted)
        accuracies = ["%s %.4f" % (label, metrics[name]) for name, label in self._accuracies]
        say(
            "step %d: %s, loss %.4f on %s",
            step,
            ", ".join(accuracies),
            metrics["loss"],
            "held-out text" if self._options.eval_file else "training text",
        )
        return metrics

    def export(self) -> None:
        """Writes the newest checkpoint as a model folder: config, vocabulary, case, weights."""
        newest = checkpoint_files.newest_of_training(self._folder)
        if newest is None:
            raise UserError("%s contains no checkpoint to export" % self._folder)
        config_name = model_folder.config_name(self._options.bert_config_file)
        case = fine_tuning_notes.notes_on_case(letter_case.is_lowered(self._options))
        with whole_folders.filled_folder(self._options.export_dir, replaces_model=True) as partial:
            model_writer.fill_model_folder(
                partial,
                newest,
                self._contents_of_vocabulary(),
                {config_name: self._config.to_dict(), **case},
            )
        say("model folder     %s (from %s)", self._options.export_dir, newest)

    def _contents_of_vocabulary(self):
        path = self._vocab_file
        return {tokenization.name_in_folder(path): files.read_bytes(path)} if path else {}

    def summarize(self) -> None:
        """Draws the learning curve and prints where the results are."""
        if self._metrics is not None:
            picture = metrics_log.draw_learning_curve(
                self._metrics,
                os.path.join(self._folder, metrics_log.LEARNING_CURVE),
                [("dev_" + name, label + " accuracy") for name, label in self._accuracies],
            )
            if picture:
                say("learning curve   %s", picture)
        newest = checkpoint_files.newest_of_training(self._folder)
        if newest:
            say("last checkpoint  %s", newest)
        say("time, memory     %s, at most %.0f MB", *time_and_memory(self._begin))


def _say_what_is_left_out(options, vocab_file):
    """Prints notes on flags without effect, and on a missing vocabulary for the exported model."""
    if options.eval_file and not options.do_eval:
        say("note: --eval_file has no effect without --do_eval=true: nothing is evaluated")
    if options.init_checkpoint and not options.do_train:
        say(
            "note: --init_checkpoint has no effect without --do_train=true: the checkpoints in %s "
            "are used",
            options.output_dir,
        )
    if options.export_dir and not vocab_file:
        say(
            "warning: --export_dir=%s will have no vocabulary, without which no command can load "
            "it: name one with --vocab_file",
            options.export_dir,
        )


def _say_what_is_measured(options, source):
    """Notes differences between an evaluation on a `RecordSource` and the training of the run."""
    objective_flags.say_what_is_measured(options.output_dir, options)
    record_sources.say_other_masks(options, source)


def _digest_of_files(paths):
    """Digest of the names and sizes of files in their order, which determine a run's data."""
    about = ["%s %d" % (os.path.basename(path), storage.size(path)) for path in paths]
    return hashlib.sha256("\n".join(about).encode("utf-8", "surrogateescape")).hexdigest()


def _plain(value):
    """Converts a NumPy number to a Python number."""
    return int(value) if isinstance(value, np.integer) else float(value)
