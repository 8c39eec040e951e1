"""The end of a run: result files, the report, and the lines on the screen."""

import os
import shlex
import sys
import time
from typing import TYPE_CHECKING, Any, Dict

from albert_zh.common import files, output_files, package_files, storage, validation
from albert_zh.common.errors import UserError
from albert_zh.common.messages import say, time_and_memory
from albert_zh.finetuning.checkpoint_predictions import global_step
from albert_zh.finetuning.output_folder import EVAL_RESULTS
from albert_zh.model.checkpoints import checkpoint_files
from albert_zh.tasks import counted_rows, registry
from albert_zh.tasks import report as task_report
from albert_zh.tasks.scorer import SHOWN_ERRORS
from albert_zh.training import metrics_log, run_folder

if TYPE_CHECKING:
    from albert_zh.tasks.task_forms import Task

MACHINE_RESULTS = "eval_results.json"
FORMER_RESULTS = validation.record(
    {
        "model": validation.TEXT,
        "test": validation.or_none(validation.record(others=validation.NUMBER_OR_NAN)),
    }
)
_OF_TEACHERS = "teacher_"  # prefix of the names of `Teaching.likeness`
HIGH_RATE = 2e-4  # above it, a model that has learnt nothing needs a lower learning rate


class Summary:
    """Writes and prints the results of a run."""

    def __init__(self, run: Any) -> None:
        """`run`: `runner.Run`."""
        self._run, self._setup, self._options = run, run.setup, run.setup.options
        self._folder = run.setup.folder
        self._best = run.best.best()

    def write(self) -> Dict[str, Any]:
        """Writes the machine-readable results and the report, and prints the results.

        Returns:
            {"dev": metrics of the best checkpoint or None, "test": metrics or None, "metric": name
            of the metric that chose it, "is_higher_better": bool, "checkpoint": prefix or None}.
        """
        self._write_notes_of_newest()
        scorers = {}
        if self._options.do_eval:
            scorers["dev"] = self._dev_scorer()
        if self._run.test_file.scorer is not None:
            scorers["test"] = self._run.test_file.scorer
        report = task_report.Report(
            self._setup.task, scorers, self._setup.data.keys_of_training(), self._setup.metric
        )
        if self._setup.teaching and "dev" in scorers:
            report.metrics["dev"].update(self._setup.teaching.likeness(scorers["dev"]))
        test = report.metrics.get("test") or self._former_test()
        self._write_results(test)
        num_predicted = self._run.test_file.num_predicted
        is_reported = scorers or (num_predicted is not None and self._has_report())
        pictures = self._write_report(report) if is_reported else []
        for title, text in self._lines(report, pictures):
            say("%-17s %s", title, text)
        return {
            "dev": self._best,
            "test": test,
            "metric": self._setup.metric,
            "is_higher_better": self._setup.kind.metrics[self._setup.metric],
            "checkpoint": self._run.predictions.used(),
        }

    def _write_results(self, test):
        evaluations = sorted(self._run.best.evaluations.items())
        has_accuracy = "accuracy" in self._setup.kind.metrics
        accuracy = {"test_accuracy": test and test.get("accuracy")} if has_accuracy else {}
        output_files.write_json(
            os.path.join(self._folder.path, MACHINE_RESULTS),
            {
                "task": self._options.task_name.lower(),
                "model": self._run.predictions.digest(),
                "best": self._best,
                "evaluations": [metrics for _, metrics in evaluations],
                **accuracy,
                "test": test,
                "settings": run_folder.former_settings(self._folder.path) or None,
            },
        )

    def _has_report(self):
        """Whether an earlier run left a report, which would now belong to another test file."""
        return storage.exists(os.path.join(self._folder.path, task_report.MACHINE_REPORT))

    def _former_test(self):
        """Test results of an earlier run with these weights, unless this run has predicted test."""
        path = os.path.join(self._folder.path, MACHINE_RESULTS)
        if self._run.test_file.num_predicted is not None or not storage.exists(path):
            return None
        try:
            former = files.read_json(path, FORMER_RESULTS)
        except UserError as error:
            say("note: the previous result of test is ignored: %s", error)
            return None
        is_same = former.get("model") == self._run.predictions.digest()
        return former.get("test") if is_same else None

    def _write_notes_of_newest(self):
        """Adds the values chosen on dev to the output folder's notes, for exporting from it."""
        step = self._folder.newest_step()
        if self._options.do_train and step in self._run.best.tuned:
            notes = dict(self._setup.notes(), **self._run.best.tuned[step])
            self._folder.write_notes(self._setup.task, notes, self._setup.further_files)

    def _dev_scorer(self):
        """A scorer with the best checkpoint's predictions for dev."""
        prefix = self._run.predictions.complete_one()
        step, predictions = self._run.evaluation.best_predictions
        if step != global_step(prefix):
            predictions = self._run.evaluation.dev_predictions(prefix)
            self._run.stop.raise_if_made("stopped; run the same command again to continue")
        notes = self._run.predictions.tuned_notes(prefix)
        return self._run.evaluation.scorer(predictions, notes, SHOWN_ERRORS)

    def _write_report(self, report):
        """Writes the files of the report and returns their paths."""
        splits = self._setup.splits
        rows = {name: len(counted_rows.rows_of(split)) for name, split in splits.items()}
        if self._run.test_file.num_predicted is not None:
            rows["test"] = self._run.test_file.num_predicted
        about = {
            "task": self._options.task_name.lower(),
            "checkpoint": self._run.best.reason(self._best) if self._best else None,
            "model": self._run.predictions.digest(),
            "data": rows,
            "remarks": self._setup.data.remarks,
            "examples_per_second": self._run.speed,
            "seconds": time.time() - self._run.begin,
        }
        made = report.write(self._folder.path, about)
        if self._run.metrics_log is not None:
            path = os.path.join(self._folder.path, metrics_log.LEARNING_CURVE)
            metric = self._setup.metric
            curves = [("dev_" + metric, "dev " + metric)]
            log = self._run.metrics_log
            made.append(metrics_log.draw_learning_curve(log, path, curves, metric))
        return [path for path in made if path]

    def _advice(self):
        """Advice for a model that has learnt nothing."""
        options = self._options
        if not options.do_train:
            return "check that the model was trained for these labels, and that labels are right"
        ways = []
        if not self._setup.init_checkpoint:
            ways.append("start from a pre-trained model (--init_checkpoint)")
        direction = "lower" if options.learning_rate > HIGH_RATE else "higher"
        ways.append("try a %s --learning_rate (now %g)" % (direction, options.learning_rate))
        duration = "num_train_epochs" if options.train_step is None else "train_step"
        ways.append("more --%s (now %g)" % (duration, options[duration].value))
        return ", ".join(ways) + ", and check that the labels belong to the texts"

    def _lines(self, report, pictures):
        """Yields (title, text)."""
        if self._best:
            metric, scores = self._run.evaluation.scores_text(self._best).split(" ", 1)
            step = self._best["global_step"]
            yield "dev " + metric, "%s (best, at step %d)" % (scores, step)
        of_teachers = report.metrics.get("dev", {}).items()
        figures = ["%s %.4f" % entry for entry in of_teachers if entry[0].startswith(_OF_TEACHERS)]
        if figures:
            yield "dev, teachers", ", ".join(figures).replace(_OF_TEACHERS, "")
        for name in report.metrics:
            if name == "test":
                yield report.summary_line("test")
            yield from report.unseen_lines(name)
        unlearnt = next(filter(None, map(report.unlearnt, report.metrics)), None)
        if unlearnt:
            yield "warning", "%s: %s" % (unlearnt, self._advice())
        if self._best and self._best["global_step"]:
            yield "best", self._run.best.reason(self._best)
        if self._folder.uses_best():
            yield "best checkpoint", checkpoint_files.find_checkpoint(self._folder.best)
        names = [MACHINE_RESULTS] + ([EVAL_RESULTS] if self._options.do_eval else [])
        yield "results", ", ".join(os.path.join(self._folder.path, name) for name in names)
        if self._run.test_file.paths:
            yield "predictions", ", ".join(self._run.test_file.paths)
        if pictures:
            yield "report", ", ".join(pictures)
        yield "time, memory", "%s, at most %.0f MB" % time_and_memory(self._run.begin)
        if self._folder.uses_best():
            yield "next", next_command(self._folder.best, self._setup.task)


def next_command(model_dir: str, task: "Task") -> str:
    """The command line that uses a model on an example, for the user's shell and folder.

    Args:
        model_dir: folder of the model.
        task: task of the model.
    """
    name, arguments = registry.type_of(task).next_command(task)
    here = os.path.join(os.getcwd(), "")
    programs = [
        path[len(here) :] if path.startswith(here) else path
        for path in [sys.executable] + _program(name)
    ]
    flag = "init_checkpoint" if name.startswith("run_") else "model_dir"
    words = programs + ["--%s=%s" % (flag, model_dir)]
    return " ".join(map(shlex.quote, words)) + " " + arguments


def _program(name):
    """Python's arguments that run a command: the clone's file, or the installed package."""
    if package_files.IS_CLONE:
        return [os.path.join(package_files.ROOT, name + ".py")]
    return ["-m", "albert_zh", name]
