"""Training, evaluating and predicting with a classifier: what the `run_classifier*` commands do.

train -> at each checkpoint the dev metrics, the best one kept in OUTPUT_DIR/best
      -> eval_results_albert_zh.txt, eval_results.json, learning_curve.png
      -> test.* with the best checkpoint: test_results.tsv, predictions.tsv
      -> report.md, report.json, confusion_matrix.png
"""

import math
import os
import shlex
import sys
import time

from absl import flags
import numpy as np
import tensorflow.compat.v1 as tf

from albert_zh.common import files, package_files, validation
from albert_zh.common.errors import UserError
from albert_zh.finetuning import flags as finetuning_flags
from albert_zh.finetuning import setup as finetuning_setup
from albert_zh.finetuning import sweeps
from albert_zh.model import (
    checkpoint_files,
    checkpoint_matching,
    inference_graph,
    label_map,
    model_folder,
)
from albert_zh.tasks import datasets, prediction_files, run_data, task_type
from albert_zh.tasks import metrics as task_metrics
from albert_zh.tasks import report as task_report
from albert_zh.tasks.classification import input_pipeline as classification_input
from albert_zh.training import allocator, loop, metrics_log, run_folder
from albert_zh.training import flags as run_flags
from albert_zh.training.hooks import (
    CountingHook,
    EvaluationListener,
    ProgressHook,
    StopHook,
    StopRequest,
)
from albert_zh.training.messages import say, time_and_memory
from albert_zh.training.training_errors import explained_errors

FLAGS = flags.FLAGS
EVAL_RESULTS = "eval_results_albert_zh.txt"
MACHINE_RESULTS = "eval_results.json"
FORMER_RESULTS = validation.record(
    {
        "model": validation.TEXT,
        "test": validation.or_none(validation.record(others=validation.NUMBER_OR_NAN)),
    }
)
PROBABILITIES = "test_results.tsv"
PREDICTIONS = "predictions.tsv"
SUBMISSION = "%s_predict.json"
MAX_LOSS_RECORDS = 2000
HIGH_RATE = 2e-4  # learning rate above which a model that learns nothing needs a lower one
TOKENS_TOGETHER = 16384  # of a batch in evaluation: larger ones are no faster
define_flags = finetuning_flags.define_flags


def run(export=None):
    """Does what the flags ask for.

    Args:
        export: function (model folder, path, threshold) that writes the SavedModel of --export_dir
            and returns an `export.comparison.Comparison` with the checkpoint.
    """
    finetuning_flags.check_flags()
    finetuning_flags.take_default_rate()
    allocator.choose_allocator(FLAGS.plain)
    with StopRequest() as stop:
        if FLAGS.seeds or FLAGS.search:
            sweeps.run(lambda: run_once(FLAGS.bert_config_file, stop, export))
        else:
            run_once(FLAGS.bert_config_file, stop, export)


def run_once(config_file, stop, export=None):
    """One run of the flags.

    Args:
        config_file: the model's config JSON.
        stop: `StopRequest`.
        export: see `run`.

    Returns:
        what `FineTuning.summarize` returns; None where this process only helps another one.
    """
    stop.is_deferred = False  # this run has nothing to save yet
    with explained_errors(FLAGS.output_dir):
        run_of_flags = FineTuning(config_file)
        if FLAGS.do_train:
            run_of_flags.train(stop)
        if run_flags.helper_name(FLAGS):
            return None  # the worker that saves does the rest
        if FLAGS.do_eval:
            run_of_flags.evaluate_all(stop)
        if FLAGS.do_predict:
            run_of_flags.predict(stop)
        if FLAGS.export_dir:
            run_of_flags.export(export)
        result = run_of_flags.summarize(stop)
        if FLAGS.do_train and FLAGS.do_eval and not FLAGS["keep_checkpoint_max"].present:
            run_of_flags.remove_older_checkpoints()
        return result


class FineTuning:
    """One run of a classifier command: its data, model and results."""

    def __init__(self, config_file):
        """Reads and checks everything before the first step.

        Args:
            config_file: the model's config JSON.
        """
        self._begin = time.time()
        self._speed = {}  # {what: examples a second}
        self._setup = finetuning_setup.Setup(config_file)
        # {step: metrics} that the best is chosen from, {step: thresholds} of a multi-label task.
        self._choices, self._tuned = self._records_of_training()
        # {step: metrics} of this run; those of another dev file than training's choose nothing.
        self._evaluations = self._choices if self._setup.is_dev_of_training else {}
        self._metrics = None
        self._best_logits = None  # (checkpoint's step, logits of dev)
        self._completed = {}  # {checkpoint that was written anew: the one that it is a copy of}
        self._prediction_files = []
        self._num_predicted = None
        self._test = None  # `predicting.Outcome` of a labelled test file

    def _records_of_training(self):
        """What the folder's checkpoints, also deleted ones, reached on dev: metrics, thresholds."""
        records = metrics_log.Metrics.read(self._setup.folder, self._setup.first_step)
        found = {record["step"]: record["dev"] for record in records if "dev" in record}
        tuned = {r["step"]: r["thresholds"] for r in records if "thresholds" in r}
        self._stops = {record["step"] for record in records if "stopped" in record}
        kept = self._setup.notes_of_best()
        if "dev" in kept and not FLAGS.do_train:  # training may go on from before that step
            step = kept["dev"]["global_step"]
            found[step] = kept["dev"]
            if "thresholds" in kept:
                tuned[step] = kept["thresholds"]
        is_known = self._setup.metric == "loss" or all(
            "eval_" + self._setup.metric in metrics for metrics in found.values()
        )
        return found if is_known else {}, tuned

    # Training

    def train(self, stop):
        """Trains to the last step, from the newest checkpoint of the output folder if it has one.

        Args:
            stop: `StopRequest`.

        Raises:
            Interrupted: if a stop was requested; a checkpoint is saved then.
        """
        first_step = self._setup.first_step
        self._metrics = metrics_log.Metrics(
            self._setup.folder, first_step, run_flags.helper_name(FLAGS)
        )
        if first_step >= self._setup.total_steps:
            say("training is complete (step %d): nothing to train", first_step)
            return
        if self._is_exhausted():
            say("training ended early at step %d: nothing to train", first_step)
            return
        if first_step:
            say("continuing from step %d of %d", first_step, self._setup.total_steps)
            self._let_best_compete(stop)
        begin = time.time()
        self._run_steps(first_step, stop)
        if stop.is_made:  # a checkpoint for the stop alone is not evaluated when the run goes on
            self._metrics.add(self._setup.newest_step(), stopped=True)
        self._raise_if_stopped(stop)
        steps = self._setup.newest_step() - first_step
        self._speed["training, with evaluations"] = (
            steps * FLAGS.train_batch_size / (time.time() - begin)
        )

    def _run_steps(self, first_step, stop):
        listeners = []
        if FLAGS.do_eval:
            listeners.append(EvaluationListener(lambda step: self._ends_training(step, stop), stop))
        loop.train_with_checkpoints(
            FLAGS,
            self._setup.estimator,
            classification_input.train_input_fn(
                self._setup.features["train"],
                FLAGS.max_seq_length,
                FLAGS.train_batch_size,
                self._setup.total_steps,
                FLAGS.seed,
                first_step,
                FLAGS.use_tpu,
                FLAGS.plain,
            ),
            self._setup.total_steps,
            self._setup.save_steps,
            [StopHook(stop), self._progress_hook()],
            listeners,
        )

    def _progress_hook(self):
        return ProgressHook(
            self._metrics,
            self._setup.total_steps,
            FLAGS.train_batch_size,
            steps_per_run=FLAGS.iterations_per_loop if FLAGS.use_tpu else 1,
            record_every=max(1, self._setup.total_steps // MAX_LOSS_RECORDS),
            dev_metric=self._setup.metric,
        )

    def _raise_if_stopped(self, stop):
        if stop.is_made:  # the message reads the newest checkpoint
            stop.raise_if_made(self._how_to_go_on())

    def _how_to_go_on(self):
        return "stopped at step %d of %d, checkpoint saved in %s; the same command goes on" % (
            self._setup.newest_step(),
            self._setup.total_steps,
            self._setup.folder,
        )

    def _is_exhausted(self):
        """Whether the last evaluations, as many as early stopping waits for, brought no better."""
        best = self._best_of(self._evaluations)
        if not FLAGS.early_stopping or best is None:
            return False
        since = sum(step > best["global_step"] for step in self._evaluations)
        return since >= FLAGS.early_stopping

    # Evaluation

    def evaluate_all(self, stop):
        """Evaluates every checkpoint of the output folder, by step; writes the result files.

        What training has evaluated already is not repeated. Of a folder without checkpoints the
        best one is evaluated, or `--init_checkpoint`, which then has to be a fine-tuned one.

        Args:
            stop: `StopRequest`.
        """
        self._let_best_compete(stop)
        for prefix in checkpoint_files.checkpoints_of_training(self._setup.folder):
            if FLAGS.do_train:
                self._evaluate_if_new(checkpoint_files.checkpoint_step(prefix), stop)
            else:
                self._evaluate(self._complete(prefix), stop)
        if not self._setup.is_dev_of_training:
            prefix = self._checkpoint_to_predict_with()
            if _global_step(prefix) not in self._evaluations:
                self._evaluate(prefix, stop)
        self._write_eval_results()

    def _let_best_compete(self, stop):
        """Evaluates the best folder by a metric that training has not recorded.

        Its checkpoint may be gone otherwise, and a worse one would take its place.
        """
        step = self._setup.notes_of_best().get("dev", {}).get("global_step")
        if step is None or step in self._evaluations or step > self._setup.newest_step():
            return
        if FLAGS.do_eval and FLAGS.keep_best and self._setup.is_dev_of_training:
            self._evaluate(checkpoint_files.find_checkpoint(self._setup.best_folder), stop)

    def _evaluate_if_new(self, step, stop):
        """Evaluates the checkpoint of a step, unless that is done or a stop fell between two."""
        is_on_grid = step % self._setup.save_steps == 0 or step == self._setup.total_steps
        if (is_on_grid or step not in self._stops) and step not in self._evaluations:
            self._evaluate(os.path.join(self._setup.folder, "model.ckpt-%d" % step), stop)

    def _ends_training(self, step, stop):
        """Evaluates the checkpoint that training has just written; whether it is the last one."""
        self._evaluate_if_new(step, stop)
        if not self._is_exhausted():
            return False
        if step > self._setup.first_step and step < self._setup.total_steps:
            say(
                "no better dev %s in %d evaluations: training ends at step %d of %d",
                self._setup.metric,
                FLAGS.early_stopping,
                step,
                self._setup.total_steps,
            )
        return True

    def _fine_tuned_init_checkpoint(self):
        if not self._setup.init_checkpoint:
            raise UserError(
                "%s holds no checkpoint: train first (--do_train=true), or name a fine-tuned one "
                "with --init_checkpoint" % self._setup.folder
            )
        return self._complete(self._setup.init_checkpoint)

    def _complete(self, prefix):
        complete = checkpoint_matching.complete_checkpoint(
            prefix, self._setup.shapes, self._setup.folder
        )
        self._completed[complete] = prefix
        return complete

    def _outputs(self, prefix, input_fn, num_batches, what, stop):
        """Yields {"logits", "probabilities"} of each row, as a checkpoint has them."""
        batches = self._setup.estimator.predict(
            input_fn,
            hooks=[StopHook(stop), CountingHook(what, num_batches)],
            checkpoint_path=prefix,
            yield_single_examples=False,
        )
        return classification_input.in_order(batches)

    def _outputs_of_features(self, prefix, name, batch_size, what, stop):
        """The same for the rows of a file of features, "dev" or "test"."""
        features = self._setup.features[name]
        input_fn = classification_input.eval_input_fn(
            features, FLAGS.max_seq_length, batch_size, FLAGS.use_tpu, FLAGS.plain
        )
        num_batches = math.ceil(features.num_examples / batch_size)
        rows = self._outputs(prefix, input_fn, num_batches, what, stop)
        # To the end, beyond what fills up the last batch: else the session would stay open.
        for number, row in enumerate(rows):
            if number < features.num_examples:
                yield row

    def _dev_logits(self, prefix, stop):
        """float [n, C]."""
        begin = time.time()
        rows = self._outputs_of_features(
            prefix, "dev", _rows_together("eval_batch_size"), "evaluating", stop
        )
        logits = np.array([row["logits"] for row in rows])
        self._speed["evaluation"] = len(logits) / (time.time() - begin)
        return logits

    def _evaluate(self, prefix, stop):
        """Evaluates a checkpoint on dev; keeps it in the best folder if it is the best so far."""
        logits = self._dev_logits(prefix, stop)
        self._raise_if_stopped(stop)
        step = _global_step(prefix)
        metrics = task_metrics.evaluate(
            self._setup.task.objective,
            logits,
            self._dev_gold(),
            FLAGS.eval_batch_size,
            [self._setup.metric],
            self._thresholds_on_dev(prefix, step, logits),
            FLAGS.multi_label_loss,
        )
        metrics["global_step"] = step
        is_best = self._is_best(metrics)
        if is_best:
            self._best_logits = (step, logits)
        is_of_training = os.path.basename(prefix).startswith("model.ckpt-")
        if is_best and FLAGS.keep_best and is_of_training and self._setup.is_dev_of_training:
            self._keep_best(prefix, metrics)
        self._evaluations[step] = metrics
        self._record(metrics, is_best)

    def _thresholds_on_dev(self, prefix, step, logits):
        """Of a multi-label model: its own, or where it has none those that suit dev best."""
        if not task_type.type_of(self._setup.task).has_several_labels:
            return None
        thresholds = None if FLAGS.do_train else self._thresholds(prefix)
        if thresholds is None and self._setup.is_dev_of_training:
            probabilities = task_metrics.probabilities(self._setup.task.objective, logits)
            thresholds = task_metrics.tuned_thresholds(
                self._dev_gold(), probabilities, FLAGS.threshold_rows
            )
            self._tuned[step] = thresholds
        return thresholds

    def _is_best(self, metrics):
        """Whether no other checkpoint is better; by another dev file nothing is chosen anew."""
        step = metrics["global_step"]
        chosen = None if self._setup.is_dev_of_training else self._chosen()
        if chosen is not None:
            return step == chosen["global_step"]
        return all(
            _rank(metrics, self._setup.metric) > _rank(former, self._setup.metric)
            for at, former in self._evaluations.items()
            if at != step
        )

    def _record(self, metrics, is_best):
        """Reports what a checkpoint reached, and writes it down while training."""
        step, name = metrics["global_step"], self._setup.metric
        is_chosen_here = is_best and self._setup.is_dev_of_training
        remark = " (best so far)" if is_chosen_here else ""
        if step or not FLAGS.do_train:  # the untrained one's turn comes when training is over
            say(
                "dev %s at step %d%s",
                self._scores_text(metrics),
                step,
                remark if step else " (before training)",
            )
        if self._metrics is not None:
            values = {"dev_" + name: metrics["eval_" + name]}
            if step in self._tuned:
                values["thresholds"] = self._tuned[step]
            self._metrics.add(step, dev=metrics, **values)

    def _scores_text(self, metrics):
        """The metric that chooses the best checkpoint, and the usual one beside it."""
        names = dict.fromkeys(
            [self._setup.metric, task_type.type_of(self._setup.task).usual_metrics[0]]
        )
        return ", ".join("%s %.4f" % (name, metrics["eval_" + name]) for name in names)

    def _dev_gold(self):
        examples = self._setup.splits["dev"].examples
        return np.array([datasets.label_value(self._setup.task, e.label) for e in examples])

    def _keep_best(self, prefix, metrics):
        notes = dict(self._setup.notes(), dev=metrics)
        if metrics["global_step"] in self._tuned:
            notes["thresholds"] = self._tuned[metrics["global_step"]]
        model_folder.replace_model_folder(
            self._setup.best_folder,
            prefix,
            self._setup.model_files,
            json_files={
                label_map.LABEL_MAP: run_data.label_map(self._setup.task),
                inference_graph.FINE_TUNING_FILE: notes,
            },
        )

    def _best(self):
        """Dev metrics of the checkpoint that is predicted with, or None where they are not known.

        On this run's dev file if it is evaluated, else on that of training.
        """
        chosen = self._chosen() or self._best_of(self._kept(self._evaluations))
        if chosen is None:
            return None
        metrics = self._evaluations.get(chosen["global_step"], chosen)
        return metrics if "eval_" + self._setup.metric in metrics else None

    def _chosen(self):
        """Dev metrics by which a checkpoint was chosen in training, or None without such a one."""
        if self._setup.uses_best_folder():
            return self._setup.notes_of_best().get("dev")
        return self._best_of(self._kept(self._choices))

    def _kept(self, evaluations):
        """Those of checkpoints that are still there; all in a folder that has none."""
        there = checkpoint_files.checkpoints_of_training(self._setup.folder)
        steps = set(map(checkpoint_files.checkpoint_step, there)) or set(evaluations)
        return {step: metrics for step, metrics in evaluations.items() if step in steps}

    def _best_of(self, evaluations):
        """The best metrics of {step: metrics}, or None."""
        return max(
            evaluations.values(),
            key=lambda metrics: _rank(metrics, self._setup.metric),
            default=None,
        )

    def _write_eval_results(self):
        is_of_training = bool(checkpoint_files.checkpoints_of_training(self._setup.folder))
        with files.atomic_write(os.path.join(self._setup.folder, EVAL_RESULTS)) as handle:
            for step, metrics in sorted(self._evaluations.items()):
                prefix = os.path.join(self._setup.folder, "model.ckpt-%d" % step)
                if not is_of_training:
                    prefix = self._used_checkpoint() or self._setup.init_checkpoint
                handle.write("***** Eval results %s *****\n" % prefix)
                for name in sorted(metrics):
                    handle.write("%s = %s\n" % (name, _printed(metrics[name])))

    # Prediction

    def predict(self, stop):
        """Predicts the test file with the best checkpoint and writes the result files.

        Args:
            stop: `StopRequest`.
        """
        if "test" not in self._setup.splits and not self._setup.data.streamed_test:
            return
        prefix = self._checkpoint_to_predict_with()
        self._tell_what_is_not_evaluated()
        thresholds = self._thresholds(prefix)
        outcome = prediction_files.Outcome(self._setup.task, thresholds)
        paths = [os.path.join(self._setup.folder, name) for name in (PROBABILITIES, PREDICTIONS)]
        if FLAGS.clue_submission:
            paths.append(os.path.join(self._setup.folder, SUBMISSION % FLAGS.task_name.lower()))
        count, begin = 0, time.time()
        with prediction_files.ResultFiles(self._setup.task, paths, thresholds) as results:
            for example, row in self._predicted_test(prefix, stop):
                results.write(example, row)
                outcome.add(example, row)
                count += 1
            stop.raise_if_made("stopped; the same command starts the prediction again")
        if FLAGS.clue_submission and results.not_submitted:
            say("note: %d lines are no records: not in %s", len(results.not_submitted), paths[-1])
        self._speed["prediction"] = count / (time.time() - begin)
        self._num_predicted = count
        self._prediction_files = paths
        if len(outcome):
            self._test = outcome

    def _tell_what_is_not_evaluated(self):
        chosen, newest = self._chosen(), self._setup.newest_step()
        if FLAGS.do_train and not FLAGS.do_eval and chosen and chosen["global_step"] < newest:
            say(
                "note: the best of the evaluated checkpoints is that of step %d; those since, up "
                "to step %d, are not evaluated: add --do_eval=true",
                chosen["global_step"],
                newest,
            )

    def _predicted_test(self, prefix, stop):
        """Pairs of example and probabilities of the test file, in its order."""
        path = self._setup.data.streamed_test or self._setup.splits["test"].path
        say("predicting %s with %s", path, prefix)
        if self._setup.data.streamed_test:
            return self._predicted_stream(path, prefix, stop)
        rows = self._outputs_of_features(
            prefix, "test", _rows_together("predict_batch_size"), "predicting", stop
        )
        # The rows first, so that they are asked for to their end.
        pairs = zip(rows, self._setup.splits["test"].examples)
        return ((example, row["probabilities"]) for row, example in pairs)

    def _predicted_stream(self, path, prefix, stop):
        """The same of a file of any length, none of which is kept."""
        stream = prediction_files.Stream(self._setup.task, path, FLAGS.encoding)
        batch_size = _rows_together("predict_batch_size")
        input_fn = classification_input.stream_input_fn(
            stream.encoded(self._setup.tokenizer, FLAGS.max_seq_length),
            self._setup.task,
            FLAGS.max_seq_length,
            batch_size,
            FLAGS.plain,
        )
        num_batches = math.ceil(files.count_lines(path) / batch_size)
        for row in self._outputs(prefix, input_fn, num_batches, "predicting", stop):
            yield stream.next_example(), row["probabilities"]
        for note in stream.notes():
            say("note: %s: %s", path, note)

    def _checkpoint_to_predict_with(self):
        prefix = self._used_checkpoint()
        return self._complete(prefix) if prefix else self._fine_tuned_init_checkpoint()

    def _used_checkpoint(self):
        """Prefix of the folder's checkpoint that is predicted with; None where it has none."""
        if self._setup.uses_best_folder():
            return checkpoint_files.find_checkpoint(self._setup.best_folder)
        of_training = checkpoint_files.checkpoints_of_training(self._setup.folder)
        best = self._best()
        if best is not None:
            prefix = os.path.join(self._setup.folder, "model.ckpt-%d" % best["global_step"])
            of_training = [prefix] if prefix in of_training else of_training
        return of_training[-1] if of_training else None

    def _thresholds(self, prefix):
        """Of a multi-label model, those that were tuned on dev; None without any."""
        prefix = self._completed.get(prefix, prefix)
        folder = os.path.dirname(prefix)
        if folder == os.path.dirname(os.path.join(self._setup.folder, "")):
            return self._tuned.get(checkpoint_files.checkpoint_step(prefix))
        return inference_graph.notes_of_folder(folder).get("thresholds")

    # The end

    def export(self, export):
        """Writes the best checkpoint as a SavedModel.

        Args:
            export: see `run`.

        Raises:
            UserError: where no checkpoint was chosen.
        """
        if not self._setup.uses_best_folder():
            raise UserError("--export_dir: there is no best model: add --do_eval=true")
        comparison = export(self._setup.best_folder, FLAGS.export_dir, FLAGS.threshold_to_export)
        say(
            "SavedModel        %s (outputs at most %.1e from the checkpoint's on %d texts)",
            FLAGS.export_dir,
            comparison.largest,
            comparison.num_texts,
        )

    def summarize(self, stop):
        """Writes the machine-readable results and tells what was reached and where it lies.

        Args:
            stop: `StopRequest`.

        Returns:
            {"dev": metrics of the best checkpoint or None, "test": metrics or None, "metric": name
            of what it was chosen by, "checkpoint": its prefix or None}.
        """
        self._write_thresholds_of_newest()
        best = self._best()
        outcomes = {}
        if FLAGS.do_eval:
            outcomes["dev"] = self._dev_outcome(stop)
        if self._test is not None:
            outcomes["test"] = self._test
        report = task_report.Report(
            self._setup.task, outcomes, self._setup.data.keys_of_training(), self._setup.metric
        )
        test = report.metrics.get("test") or self._former_test()
        files.write_json(
            os.path.join(self._setup.folder, MACHINE_RESULTS),
            {
                "task": FLAGS.task_name.lower(),
                "model": self._model_digest(),
                "best": best,
                "evaluations": [metrics for _, metrics in sorted(self._evaluations.items())],
                "test_accuracy": test and test.get("accuracy"),
                "test": test,
                "settings": run_folder.former_settings(self._setup.folder) or None,
            },
        )
        is_reported = outcomes or (self._num_predicted is not None and self._has_report())
        pictures = self._write_report(report, best) if is_reported else []
        for title, text in self._summary_lines(best, report, pictures):
            say("%-17s %s", title, text)
        return {
            "dev": best,
            "test": test,
            "metric": self._setup.metric,
            "checkpoint": self._used_checkpoint(),
        }

    def _has_report(self):
        """Whether a former run left a report, which would tell of another test file now."""
        return os.path.exists(os.path.join(self._setup.folder, task_report.MACHINE_REPORT))

    def _model_digest(self):
        """Fingerprint of the weights that are predicted with."""
        used = self._used_checkpoint() or self._setup.init_checkpoint
        return checkpoint_files.fingerprint(used)

    def _former_test(self):
        """What a former run with the same weights wrote of test, unless this one predicted it."""
        path = os.path.join(self._setup.folder, MACHINE_RESULTS)
        if self._num_predicted is not None or not os.path.exists(path):
            return None
        try:
            former = validation.read_json(path, FORMER_RESULTS)
        except UserError as error:
            say("note: the former result of test is not used: %s", error)
            return None
        return former.get("test") if former.get("model") == self._model_digest() else None

    def _write_thresholds_of_newest(self):
        """Adds them to the output folder's notes, for who exports that folder itself."""
        step = self._setup.newest_step()
        if FLAGS.do_train and step in self._tuned:
            files.write_json(
                os.path.join(self._setup.folder, inference_graph.FINE_TUNING_FILE),
                dict(self._setup.notes(), thresholds=self._tuned[step]),
            )

    def _dev_outcome(self, stop):
        """What the best checkpoint predicts for dev."""
        prefix = self._checkpoint_to_predict_with()
        step, logits = self._best_logits or (None, None)
        if step != _global_step(prefix):
            logits = self._dev_logits(prefix, stop)
            stop.raise_if_made("stopped; the same command goes on")
        outcome = prediction_files.Outcome(self._setup.task, self._thresholds(prefix))
        rows = task_metrics.probabilities(self._setup.task.objective, logits)
        for example, row in zip(self._setup.splits["dev"].examples, rows):
            outcome.add(example, row)
        return outcome

    def _write_report(self, report, best):
        """Writes the report's files; returns the paths of those that were made."""
        rows = {name: len(split.examples) for name, split in self._setup.splits.items()}
        if self._num_predicted is not None:
            rows["test"] = self._num_predicted
        about = {
            "task": FLAGS.task_name.lower(),
            "checkpoint": self._why_best(best) if best else None,
            "model": self._model_digest(),
            "data": rows,
            "remarks": self._setup.data.remarks,
            "examples_per_second": self._speed,
            "seconds": time.time() - self._begin,
        }
        made = report.write(self._setup.folder, about)
        if self._metrics is not None:
            path = os.path.join(self._setup.folder, metrics_log.LEARNING_CURVE)
            curves = [("dev_" + self._setup.metric, "dev " + self._setup.metric)]
            made.append(
                metrics_log.draw_learning_curve(self._metrics, path, curves, self._setup.metric)
            )
        return [path for path in made if path]

    def _why_best(self, best):
        """A line: which of the evaluated checkpoints is best, and why."""
        metric, chosen = self._setup.metric, self._chosen() or best
        trained = [metrics for step, metrics in self._evaluations.items() if step] or [best]
        name = "eval_" + metric
        is_other_dev = chosen is not best and not self._setup.is_dev_of_training
        if is_other_dev or any(_rank(best, metric) < _rank(m, metric) for m in trained):
            value = ", by dev %s %.4f there" % (metric, chosen[name]) if name in chosen else ""
            return "step %d: chosen in training%s" % (best["global_step"], value)
        equals = sum(metrics[name] == best[name] for metrics in trained)
        return "step %d: %s dev %s, %.4f, of %d evaluated%s" % (
            best["global_step"],
            "highest" if task_metrics.METRICS[metric].is_higher_better else "lowest",
            metric,
            best[name],
            len(trained),
            ", and the lowest loss of %d with that" % equals if equals > 1 else "",
        )

    def _advice(self):
        """What helps where a model has learnt nothing."""
        if not FLAGS.do_train:
            return "check that the model was trained for these labels, and that labels are right"
        ways = []
        if not self._setup.init_checkpoint:
            ways.append("start from a pre-trained model (--init_checkpoint)")
        direction = "lower" if FLAGS.learning_rate > HIGH_RATE else "higher"
        ways.append("try a %s --learning_rate (now %g)" % (direction, FLAGS.learning_rate))
        ways.append("more --num_train_epochs (now %g)" % FLAGS.num_train_epochs)
        return ", ".join(ways) + ", and check that the labels belong to the texts"

    def remove_older_checkpoints(self):
        """Leaves of a finished training the newest checkpoint and the one that is predicted with.

        Those of training hold the optimizer's state and are three times as large as the model.
        """
        prefixes = checkpoint_files.checkpoints_of_training(self._setup.folder)
        kept = [p for p in prefixes if p in (prefixes[-1], self._used_checkpoint())]
        if kept:
            checkpoint_files.remove_all_but(self._setup.folder, kept)

    def _summary_lines(self, best, report, pictures):
        if best:
            metric, values = self._scores_text(best).split(" ", 1)
            yield "dev " + metric, "%s (best, at step %d)" % (values, best["global_step"])
        for name in report.metrics:
            if name == "test":
                yield report.summary_line("test")
            yield from report.unseen_lines(name)
        unlearnt = next(filter(None, map(report.unlearnt, report.metrics)), None)
        if unlearnt:
            yield "warning", "%s: %s" % (unlearnt, self._advice())
        if best and best["global_step"]:
            yield "best", self._why_best(best)
        if self._setup.uses_best_folder():
            yield "best checkpoint", checkpoint_files.find_checkpoint(self._setup.best_folder)
        names = [MACHINE_RESULTS] + ([EVAL_RESULTS] if FLAGS.do_eval else [])
        yield "results", ", ".join(os.path.join(self._setup.folder, name) for name in names)
        if self._prediction_files:
            yield "predictions", ", ".join(self._prediction_files)
        if pictures:
            yield "report", ", ".join(pictures)
        yield "time, memory", "%s, at most %.0f MB" % time_and_memory(self._begin)
        if self._setup.uses_best_folder():
            yield "next", _next_command(self._setup.best_folder, self._setup.task)


def _next_command(model_dir, task):
    """The command line that uses the model on an example, for the user's shell and folder."""
    name = "similarity" if datasets.compares_sentences(task) else "classify"
    texts = ' "怎么开户" "如何开通账户"' if datasets.is_pair(task) else ' "这家店的菜很好吃"'
    here = os.path.join(os.getcwd(), "")
    programs = [
        path[len(here) :] if path.startswith(here) else path
        for path in [sys.executable] + _words_of_command(name)
    ]
    words = programs + ["--model_dir=" + model_dir]
    return " ".join(shlex.quote(word) for word in words) + texts


def _words_of_command(name):
    """What Python is given to run a command: the clone's file, or the installed package."""
    if package_files.IS_CLONE:
        return [os.path.join(package_files.ROOT, name + ".py")]
    return ["-m", "albert_zh", name]


def _rows_together(flag):
    """How many rows are predicted at a time: the flag's number where it was given, else many."""
    if FLAGS[flag].present or FLAGS.use_tpu or FLAGS.plain:
        return FLAGS[flag].value
    return max(FLAGS[flag].value, TOKENS_TOGETHER // FLAGS.max_seq_length)


def _global_step(prefix):
    """The step that a checkpoint tells; complete checkpoints have one."""
    return int(tf.train.load_checkpoint(prefix).get_tensor("global_step"))


def _rank(metrics, metric):
    """What makes a checkpoint better: being trained at all, the metric, a lower loss."""
    sign = 1 if task_metrics.METRICS[metric].is_higher_better else -1
    return metrics["global_step"] > 0, sign * metrics["eval_" + metric], -metrics["eval_loss"]


def _printed(value):
    """A number as the original prints it: float32 digits."""
    return value if isinstance(value, int) else np.float32(value)
