"""The report of a run: report.md, report.json and the plots of its kind of task.

It contains the metrics of the best checkpoint on dev and on a labelled test file, with and without
rows that training has seen; details of the kind of task; the worst errors; speed. A run that only
predicts test, or only evaluates dev, preserves what an earlier run reported on the other split.
"""

import os
from typing import Any, Dict, Iterator, List, Optional, Set, Tuple

from albert_zh.common import files, output_files, storage, validation
from albert_zh.common.errors import UserError
from albert_zh.common.messages import readable_seconds, say
from albert_zh.common.wording import counted
from albert_zh.tasks import kind_interface, registry
from albert_zh.tasks import metrics as task_metrics
from albert_zh.tasks.markdown import table
from albert_zh.tasks.settings import Settings

REPORT = "report.md"
MACHINE_REPORT = "report.json"
ROWS = "rows"  # key of the number of rows among a split's metrics
SPLITS = ("dev", "test")
_NO_METRICS = ("expected_calibration_error",)  # shown in a sentence instead
_SECTION = validation.record(
    {
        "errors": validation.list_of(validation.record()),
        "classes": validation.list_of(
            validation.record(required="label precision recall f1 support".split())
        ),
        "calibration": validation.list_of(
            validation.record(required="from to count confidence accuracy".split())
        ),
    },
    ["errors"],
)
MACHINE_REPORT_KIND = validation.record(
    {
        "model": validation.TEXT,
        "data": validation.record(others=validation.integer(0)),
        "remarks": validation.record(others=validation.number(0)),  # imbalance is a ratio
        "dev": _SECTION,
        "test": _SECTION,
    },
    ["data", "remarks"],
)


class Report:
    """The report on the predictions of a run."""

    def __init__(
        self, task: Any, scorers: Dict[str, Any], keys_of_training: Optional[Set[int]], metric: str
    ) -> None:
        """Computes the metrics.

        Args:
            task: `Task`.
            scorers: {"dev" or "test": `scorer.Scorer`}.
            keys_of_training: set of `text_groups.text_key` of the training rows, None if unknown.
            metric: name of the metric by which the checkpoint was chosen.
        """
        self._task, self._scorers = task, scorers
        self._kind = registry.type_of(task)
        usual = self._kind.usual_metrics
        chosen = metric if self._is_further(metric, ()) else usual[0]
        # Shown on the screen: the metric by which the checkpoint was chosen, and the usual one.
        self._shown = list(dict.fromkeys([chosen, usual[0]]))
        self._names = usual + tuple(n for n in (metric, "macro_f1") if self._is_further(n, usual))
        self.metrics = {}
        for name, scorer in scorers.items():
            self.metrics[name] = self._metrics_of(scorer, keys_of_training)

    def _is_further(self, name, usual):
        return name in self._kind.metrics and name not in usual and name != "loss"

    def _metrics_of(self, scorer, keys):
        metrics = {ROWS: len(scorer)}
        metrics.update(scorer.values(list(dict.fromkeys(self._names))))
        is_seen = scorer.is_seen(keys)
        if is_seen.any():
            metrics["seen_rows"] = int(is_seen.sum())
            if not is_seen.all():
                for name, score in scorer.values(self._shown, ~is_seen).items():
                    metrics[name + "_of_unseen_rows"] = score
        return metrics

    def summary_line(self, name: str) -> Tuple[str, str]:
        """(title, text) of a split's metrics."""
        metric, figures = self._shown_metrics(name).split(" ", 1)
        return "%s %s" % (name, metric), "%s (%s)" % (
            figures,
            counted(self.metrics[name]["rows"], "row"),
        )

    def _shown_metrics(self, name, suffix=""):
        """The metrics of a split to show, as text with their names."""
        metrics = self.metrics[name]
        return ", ".join("%s %.4f" % (metric, metrics[metric + suffix]) for metric in self._shown)

    def unlearnt(self, name: str) -> Optional[str]:
        """A warning if a split's score is not clearly better than a constant prediction's score."""
        metric, scorer = self._shown[0], self._scorers[name]
        score, constant = self.metrics[name][metric], scorer.constant(metric)
        if constant is None or not task_metrics.is_within_chance(score, constant[0], len(scorer)):
            return None
        return "%s %s %.4f is not clearly better than predicting %s for every row (%.4f)" % (
            name,
            metric,
            score,
            constant[1],
            constant[0],
        )

    def unseen_lines(self, name: str) -> Iterator[Tuple[str, str]]:
        """Yields (title, text) of the metric without rows that training has seen."""
        if self._shown[0] + "_of_unseen_rows" in self.metrics[name]:
            yield (
                "%s, unseen rows" % name,
                "%s without the %s in train"
                % (
                    self._shown_metrics(name, "_of_unseen_rows"),
                    counted(self.metrics[name]["seen_rows"], "row that is", "rows that are"),
                ),
            )

    def write(self, folder: str, about: Dict[str, Any]) -> List[str]:
        """Writes the report.

        Args:
            folder: the folder to write to.
            about: {name: value} of the run: task, checkpoint, the fingerprint of its weights as
                "model", data, remarks, speed, time.

        Returns:
            paths of the written files.
        """
        report = dict(about, **self._kept_sections(folder, about))
        for name, scorer in self._scorers.items():
            report[name] = dict(self.metrics[name], **scorer.details())
        path = os.path.join(folder, REPORT)
        output_files.write_json(os.path.join(folder, MACHINE_REPORT), report)
        with output_files.atomic_write(path) as stream:
            stream.write("\n".join(self._markdown(report)) + "\n")
        pictured = sorted(self._scorers)[-1:]  # test, or else dev
        return [path] + [
            picture for name in pictured for picture in self._scorers[name].draw(folder, name)
        ]

    def _kept_sections(self, folder, about):
        """What an earlier run reported on the same model, for splits that are not in this run."""
        former = {}
        path = os.path.join(folder, MACHINE_REPORT)
        if storage.exists(path):
            try:
                former = files.read_json(path, MACHINE_REPORT_KIND)
            except UserError as error:
                say("note: the previous report is ignored: %s", error)
        if former.get("model", "") != about["model"]:
            return {}
        looked_at = set(self._scorers).union(about["data"])
        kept = {name: former[name] for name in SPLITS if name in former and name not in looked_at}
        rows = {name: former["data"][name] for name in kept if name in former["data"]}
        remarks = {
            remark: count
            for remark, count in former["remarks"].items()
            if any(remark.endswith("_in_" + name) for name in kept)
        }
        kept["data"] = dict(rows, **about["data"])
        kept["remarks"] = dict(remarks, **about["remarks"])
        return kept

    # report.md

    def _markdown(self, report):
        yield "# Report: %s" % report["task"]
        yield ""
        if report["checkpoint"]:
            yield "Best checkpoint: %s." % report["checkpoint"]
        rows = ", ".join("%s %d" % entry for entry in report["data"].items())
        yield "Rows: %s. Time: %s." % (rows, readable_seconds(report["seconds"]))
        for what, rate in report["examples_per_second"].items():
            yield "Speed of %s: %.0f examples/s." % (what, rate)
        yield ""
        yield from table(("remark", "count"), sorted(report["remarks"].items()))
        for name in SPLITS:
            if name in report:
                yield from self._split_markdown(name, report[name])

    def _split_markdown(self, name, section):
        yield "## %s" % name
        yield ""
        metrics = [entry for entry in section.items() if isinstance(entry[1], (int, float))]
        yield from table(("metric", "value"), [m for m in metrics if m[0] not in _NO_METRICS])
        nobody = kind_interface.ModelInUse(self._task, {}, None, 0)  # for a split of an earlier run
        scorer = self._scorers.get(name) or self._kind.scorer(nobody, Settings())
        yield from scorer.markdown(section)
