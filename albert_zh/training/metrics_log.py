"""The metrics of a run by step: `metrics.jsonl`, and the learning curve drawn from it."""

import json
import os
import time
from typing import Any, Dict, List, Optional, Sequence, Tuple

from albert_zh.common import checks, files, output_files, plotting, storage, validation
from albert_zh.common.errors import UserError
from albert_zh.common.messages import say

METRICS_FILE = "metrics.jsonl"
_SECONDS_BETWEEN_UPLOADS = 60
_NEEDED_TO_RESUME = {"dev", "stopped"}  # a resumed run needs them: they are uploaded at once
METRICS_RECORD = validation.record(
    {
        "step": validation.integer(0),
        "dev": validation.record(
            {"global_step": validation.integer(0)}, ["global_step"], validation.NUMBER_OR_NAN
        ),
        "thresholds": validation.list_of(validation.number(0, 1)),
        "stopped": validation.BOOLEAN,
    },
    ["step"],
    validation.NUMBER_OR_NAN,
)

LEARNING_CURVE = "learning_curve.png"


def file_of(folder: str, worker: Optional[str] = None) -> str:
    """Path of the metrics in an output folder; arguments as for `Metrics`."""
    return os.path.join(folder, "metrics.%s.jsonl" % worker if worker else METRICS_FILE)


class Metrics:
    """The metrics of a run by step: `metrics.jsonl`, one JSON object per line.

    A resumed run drops the records after the checkpoint that it resumes from.
    """

    def __init__(self, folder: str, first_step: int, worker: Optional[str] = None) -> None:
        """Initializes the metrics.

        Args:
            folder: the output folder.
            first_step: the step that training resumes from.
            worker: name of a worker that only helps the process that saves, see
                `flags.helper_name`; None for that process.
        """
        self._path = file_of(folder, worker)
        self.records = self.read(folder, first_step, os.path.basename(self._path))
        self._write()

    def __enter__(self) -> "Metrics":
        return self

    def __exit__(self, *_: Any) -> None:
        self.flush()

    def _write(self):
        self._written = time.time()
        with output_files.atomic_write(self._path) as handle:
            handle.writelines(json.dumps(record) + "\n" for record in self.records)

    def flush(self) -> None:
        """Writes pending records: remote storage does not allow appending single lines."""
        if storage.is_remote(self._path):
            self._write()

    @staticmethod
    def read(folder: str, last_step: int, name: str = METRICS_FILE) -> List[Dict[str, Any]]:
        """The records of a folder up to a step; none for step 0, where a run begins.

        A last line that a kill left unfinished is dropped; damaged lines are skipped with a note.
        """
        records, problems = [], []
        path = os.path.join(folder, name)
        lines = files.read_lines(path) if storage.exists(path) else ()
        for line_number, line in enumerate(lines, start=1):
            place = "%s, line %d" % (path, line_number)
            try:
                record = files.parse_json(line, place)
                records.append(checks.checked(place, record, METRICS_RECORD))
            except UserError as error:
                if line_number < len(lines) or line.endswith("}"):
                    problems.append(str(error))
        if problems:
            say("note: %d damaged lines were skipped: %s", len(problems), problems[0])
        if not last_step:  # a run begins: the records are of an earlier run in the folder
            return []
        return [record for record in records if record["step"] <= last_step]

    def add(self, step: int, **values: Any) -> None:
        """Records values at a step."""
        record = dict(step=step, **values)
        self.records.append(record)
        if storage.is_remote(self._path):
            is_due = time.time() - self._written > _SECONDS_BETWEEN_UPLOADS
            if is_due or not _NEEDED_TO_RESUME.isdisjoint(record):
                self._write()
            return
        try:
            with open(self._path, "a", encoding="utf-8") as handle:
                handle.write(json.dumps(record) + "\n")
        except OSError as error:
            raise files.cannot_write(self._path, error) from error

    def last(self, name: str, text: str) -> List[str]:
        """[text % newest value of a name], or [] if there is no value."""
        values = [record[name] for record in self.records if name in record]
        return [text % values[-1]] if values else []

    def series(self, name: str) -> Tuple[List[int], List[float]]:
        """(steps, values) of a name, sorted by step."""
        points = sorted((r["step"], r[name]) for r in self.records if name in r)
        return [step for step, _ in points], [value for _, value in points]


def draw_learning_curve(
    metrics: Metrics,
    path: str,
    accuracies: Sequence[Tuple[str, str]] = (("dev_accuracy", "dev accuracy"),),
    axis_label: str = "accuracy",
) -> Optional[str]:
    """Draws training loss and accuracies over steps as a PNG.

    Args:
        metrics: metrics of the run.
        path: file to write.
        accuracies: (name in the metrics, label in the figure) of each accuracy.
        axis_label: label of the axis of accuracies.

    Returns:
        the path, or None if matplotlib is not installed.
    """
    if not plotting.is_installed():
        say("no learning curve: matplotlib is not installed")
        return None
    figure, loss_axes = plotting.subplots(figsize=(8, 4.5))
    steps, losses = metrics.series("loss")
    loss_axes.plot(steps, losses, color="tab:blue", alpha=0.25)
    loss_axes.plot(steps, _smooth(losses), color="tab:blue", label="training loss (smoothed)")
    loss_axes.set_xlabel("step")
    loss_axes.set_ylabel("loss")
    accuracy_axes = loss_axes.twinx()
    for (name, label), color in zip(accuracies, ("tab:red", "tab:green", "tab:purple")):
        accuracy_axes.plot(*metrics.series(name), "o-", color=color, markersize=3, label=label)
    accuracy_axes.set_ylabel(axis_label)
    lines = loss_axes.get_lines()[1:] + accuracy_axes.get_lines()
    labels = [line.get_label() for line in lines]
    loss_axes.legend(lines, labels, loc="lower center", bbox_to_anchor=(0.5, 1.0), ncol=len(lines))
    plotting.save(figure, path)
    return path


def _smooth(values, weight=0.95):
    """Exponential moving average with bias correction for its start."""
    smoothed, average, norm = [], 0.0, 0.0
    for value in values:
        average = weight * average + (1 - weight) * value
        norm = weight * norm + (1 - weight)
        smoothed.append(average / norm)
    return smoothed
