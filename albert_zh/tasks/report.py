"""The report of a run: report.md, report.json, confusion_matrix.png.

Metrics of the best checkpoint on dev and on a labelled test file, with and without rows that
training has seen; per class precision, recall, F1; calibration; the most confident errors; speed.
A run that predicts only test, or evaluates only dev, keeps what a former one told of the other.
"""

import itertools
import os

import numpy as np

from albert_zh.common import files, package_files, plotting, validation
from albert_zh.common.errors import UserError
from albert_zh.tasks import metrics as task_metrics
from albert_zh.tasks import prediction_files, task_type
from albert_zh.training.messages import readable_seconds, say

REPORT = "report.md"
MACHINE_REPORT = "report.json"
CONFUSION_MATRIX = "confusion_matrix.png"
FONT = package_files.FONT
MAX_CLASSES_WITH_NUMBERS = 30  # a larger confusion matrix is shown by colour alone
SHOWN_TEXT = 120  # characters of an error's texts in report.md; report.json has all
SHOWN_LABELS = 3  # of a prediction in a line
SHOWN_LABEL = 20  # characters of a label in the confusion matrix
SPLITS = ("dev", "test")
_SECTION = validation.record(
    {
        "errors": validation.list_of(
            validation.record(required="text_a text_b label predicted line".split())
        ),
        "classes": validation.list_of(
            validation.record(required="label precision recall f1 support".split())
        ),
        "calibration": validation.list_of(
            validation.record(required="from to count confidence accuracy".split())
        ),
    },
    ["errors"],
    validation.NUMBER_OR_NAN,
)
MACHINE_REPORT_KIND = validation.record(
    {
        "model": validation.TEXT,
        "data": validation.record(others=validation.integer(0)),
        "remarks": validation.record(others=validation.integer(0)),
        "dev": _SECTION,
        "test": _SECTION,
    },
    ["data", "remarks"],
)
_DETAILS = ("errors", "classes", "expected_calibration_error", "calibration")


class Report:
    """What is told about the predictions of a run."""

    def __init__(self, task, outcomes, keys_of_training, metric):
        """Computes the metrics.

        Args:
            task: `Task`.
            outcomes: {"dev" or "test": `predicting.Outcome`}.
            keys_of_training: set of `data_checks.text_key`, or None where it is not known.
            metric: name of the metric that chose the checkpoint.
        """
        self._task, self._outcomes = task, outcomes
        self._kind = task_type.type_of(task)
        usual = self._kind.usual_metrics
        chosen = metric if self._is_further(metric, ()) else usual[0]
        # On the screen: the metric that chose the checkpoint, and the usual one.
        self._shown = list(dict.fromkeys([chosen, usual[0]]))
        self._names = usual + tuple(n for n in (metric, "macro_f1") if self._is_further(n, usual))
        self.metrics = {}
        for name, outcome in outcomes.items():
            self.metrics[name] = self._metrics_of(outcome, keys_of_training)

    def _is_further(self, name, usual):
        is_fitting = self._task.objective in task_metrics.METRICS[name].objectives
        return is_fitting and name not in usual and name != "loss"

    def _metrics_of(self, outcome, keys):
        gold, decided = outcome.gold, outcome.decided()
        names = list(dict.fromkeys(self._names))
        metrics = {"rows": len(gold)}
        metrics.update((n, float(task_metrics.METRICS[n].value(gold, decided))) for n in names)
        is_seen = outcome.is_seen(keys) if keys is not None else np.zeros(len(gold), bool)
        if is_seen.any():
            metrics["seen_rows"] = int(is_seen.sum())
            if not is_seen.all():
                for name in self._shown:
                    unseen = task_metrics.METRICS[name].value(gold[~is_seen], decided[~is_seen])
                    metrics[name + "_of_unseen_rows"] = float(unseen)
        return metrics

    def summary_line(self, name):
        """(title, text) of a split's metrics."""
        metric, values = self._shown_values(name).split(" ", 1)
        return "%s %s" % (name, metric), "%s (%d rows)" % (values, self.metrics[name]["rows"])

    def _shown_values(self, name, suffix=""):
        """The shown metrics of a split as text, each with its name."""
        metrics = self.metrics[name]
        return ", ".join("%s %.4f" % (metric, metrics[metric + suffix]) for metric in self._shown)

    def unlearnt(self, name):
        """A line, where a split's score is no better than that of one prediction for all rows."""
        metric, outcome = self._shown[0], self._outcomes[name]
        score = self.metrics[name][metric]
        constant, prediction = task_metrics.constant_prediction(
            self._task.objective, outcome.gold, metric
        )
        if not task_metrics.is_within_chance(score, constant, len(outcome)):
            return None
        rival = self._prediction_text(prediction)
        return "%s %s %.4f is no better than that of %s for every row (%.4f)" % (
            name,
            metric,
            score,
            rival,
            constant,
        )

    def _prediction_text(self, prediction):
        """A constant prediction, see `scores.constant_prediction`, in a few words."""
        if not self._kind.has_classes:
            return "%.4g" % prediction
        names = self._kind.constant_names(prediction, self._task.labels)
        labels = [_tick(name) for name in names[:SHOWN_LABELS]]
        more = ["and %d more" % (len(names) - SHOWN_LABELS)]
        labels += more if len(names) > SHOWN_LABELS else []
        return ", ".join(labels) or "no label"

    def unseen_lines(self, name):
        """Yields (title, text) of the metric without rows that training has seen."""
        if self._shown[0] + "_of_unseen_rows" in self.metrics[name]:
            yield (
                "%s, unseen rows" % name,
                "%s without the %d rows that stand in train"
                % (self._shown_values(name, "_of_unseen_rows"), self.metrics[name]["seen_rows"]),
            )

    def write(self, folder, about):
        """Writes the report.

        Args:
            folder: where to.
            about: {name: value} of the run: task, checkpoint, the fingerprint of its weights as
                "model", data, remarks, speed, time.

        Returns:
            paths of the files made.
        """
        report = dict(about, **self._kept_sections(folder, about))
        for name, outcome in self._outcomes.items():
            report[name] = dict(self.metrics[name], **self._details(outcome))
        path = os.path.join(folder, REPORT)
        files.write_json(os.path.join(folder, MACHINE_REPORT), report)
        with files.atomic_write(path) as handle:
            handle.write("\n".join(self._markdown(report)) + "\n")
        picture = self._draw_confusion(os.path.join(folder, CONFUSION_MATRIX))
        return [path] + ([picture] if picture else [])

    def _kept_sections(self, folder, about):
        """What a former run told of the same model and of splits that this one did not look at."""
        former = {}
        path = os.path.join(folder, MACHINE_REPORT)
        if os.path.exists(path):
            try:
                former = validation.read_json(path, MACHINE_REPORT_KIND)
            except UserError as error:
                say("note: the former report is not used: %s", error)
        if former.get("model", "") != about["model"]:
            return {}
        looked_at = set(self._outcomes).union(about["data"])
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

    def _details(self, outcome):
        details = {"errors": self._errors(outcome)}
        if not self._kind.has_classes:
            return details
        gold, decided = outcome.gold, outcome.decided()
        details["classes"] = task_metrics.per_class(gold, decided, self._task.labels)
        error, bins = task_metrics.expected_calibration_error(
            *self._kind.confidences(gold, decided, outcome.probabilities)
        )
        details["expected_calibration_error"] = error
        details["calibration"] = [
            dict(zip(("from", "to", "count", "confidence", "accuracy"), row)) for row in bins
        ]
        return details

    def _errors(self, outcome):
        return [
            {
                "text_a": example.text_a,
                "text_b": example.text_b,
                "label": example.label,
                "predicted": prediction_files.label_text(self._task, row, outcome.thresholds),
                self._kind.error_name: float(size),
                "line": int(example.guid.rsplit("-", 1)[1]),
            }
            for size, example, row in outcome.worst_errors()
        ]

    # report.md

    def _markdown(self, report):
        yield "# Report: %s" % report["task"]
        yield ""
        if report["checkpoint"]:
            yield "Best checkpoint: %s." % report["checkpoint"]
        rows = ", ".join("%s %d" % item for item in report["data"].items())
        yield "Rows: %s. Time: %s." % (rows, readable_seconds(report["seconds"]))
        for what, rate in report["examples_per_second"].items():
            yield "Speed of %s: %.0f examples/s." % (what, rate)
        yield ""
        yield from _table(("remark", "count"), sorted(report["remarks"].items()))
        for name in SPLITS:
            if name in report:
                yield from self._split_markdown(name, report[name])

    def _split_markdown(self, name, details):
        yield "## %s" % name
        yield ""
        metrics = [item for item in details.items() if item[0] not in _DETAILS]
        yield from _table(("metric", "value"), metrics)
        if "classes" in details:
            columns = ("label", "precision", "recall", "f1", "support")
            yield from _table(columns, [[c[key] for key in columns] for c in details["classes"]])
            yield (
                "Calibration: expected calibration error %.4f."
                % details["expected_calibration_error"]
            )
            yield ""
            columns = ("from", "to", "count", "confidence", "accuracy")
            yield from _table(
                columns, [[b[key] for key in columns] for b in details["calibration"]]
            )
        errors = details["errors"]
        yield "### The %d %s errors" % (len(errors), self._kind.error_order)
        yield ""
        columns = ("text_a", "text_b", "label", "predicted", self._kind.error_name, "line")
        if not any(error["text_b"] for error in errors):
            columns = columns[:1] + columns[2:]
        yield from _table(columns, [[error[key] for key in columns] for error in errors])

    # confusion_matrix.png

    def _draw_confusion(self, path):
        """Draws the confusion matrix of test, or else of dev; returns the path or None."""
        if self._kind.has_several_labels:
            say("no confusion matrix: rows may have several labels")
        has_matrix = self._kind.has_classes and not self._kind.has_several_labels
        if not has_matrix or not self._outcomes:
            return None
        name, outcome = sorted(self._outcomes.items())[-1]
        labels = [_tick(label) for label in self._task.labels]
        counts = task_metrics.confusion(outcome.gold, outcome.decided(), len(labels))
        pyplot = plotting.pyplot()
        if pyplot is None:
            say("no confusion matrix: matplotlib is not installed")
            return None
        font = font_for("".join(labels))
        if font is None:
            say(
                "note: no font here has all characters of the labels: %s shows their numbers "
                "(label_map.json)",
                path,
            )
            labels = [str(number) for number in range(len(labels))]
        figure = _confusion_figure(pyplot, counts, labels, font, "%s: rows are true labels" % name)
        plotting.save(figure, path)
        return path


def _tick(label):
    """A label in one line of a picture."""
    text = " ".join(label.split())
    return text if len(text) <= SHOWN_LABEL else text[: SHOWN_LABEL - 1] + "…"


def _confusion_figure(pyplot, counts, labels, font, title):
    size = min(24.0, max(4.0, 0.45 * len(labels) + 2))
    figure, axes = pyplot.subplots(figsize=(size, size))
    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    axes.imshow(shares, cmap="Blues", vmin=0.0, vmax=1.0)
    text_size = 9 if len(labels) <= MAX_CLASSES_WITH_NUMBERS else 6
    settings = {"size": text_size} if font is None else {"fontproperties": font, "size": text_size}
    axes.set_xticks(range(len(labels)))
    axes.set_yticks(range(len(labels)))
    labels = [label.replace("$", r"\$") for label in labels]  # no formulas
    axes.set_xticklabels(labels, rotation=90, **settings)
    axes.set_yticklabels(labels, **settings)
    axes.set_title(title)
    axes.set_xlabel("predicted")
    if len(labels) <= MAX_CLASSES_WITH_NUMBERS:
        for (row, column), count in np.ndenumerate(counts):
            if count:
                colour = "white" if shares[row, column] > 0.5 else "black"
                axes.text(
                    column, row, str(count), ha="center", va="center", color=colour, size=text_size
                )
    return figure


def font_for(text):
    """A font that has all characters of a text: ours, or one of the system's.

    Args:
        text: str.

    Returns:
        matplotlib's `FontProperties`; None where no font has them all.
    """
    from matplotlib import font_manager

    default = font_manager.findfont(font_manager.FontProperties())
    for path in itertools.chain([default, FONT], _system_fonts(font_manager)):
        if _has_glyphs(path, text):
            return font_manager.FontProperties(fname=path)
    return None


def _system_fonts(font_manager):
    """Yields paths of installed fonts; looked for only when the first is asked for."""
    yield from sorted(font_manager.findSystemFonts())


def _has_glyphs(path, text):
    from matplotlib.ft2font import FT2Font

    try:
        there = FT2Font(path).get_charmap()
    except (OSError, RuntimeError):  # no font that can be read
        return False
    return all(ord(character) in there for character in text if not character.isspace())


def _table(columns, rows):
    """Yields the lines of a Markdown table, and an empty one; nothing for no rows."""
    if not rows:
        return
    yield "| %s |" % " | ".join(columns)
    yield "|%s" % ("---|" * len(columns))
    for row in rows:
        yield "| %s |" % " | ".join(_cell(value) for value in row)
    yield ""


def _cell(value):
    if isinstance(value, float):
        return "%.4f" % value
    text = " ".join(str("" if value is None else value).split())
    text = text if len(text) <= SHOWN_TEXT else text[:SHOWN_TEXT] + "..."
    return text.replace("\\", "\\\\").replace("|", "\\|").replace("<", "&lt;")
