"""Writes the prediction files of a classifier."""

import json
from typing import Any, Dict, List

import numpy as np

from albert_zh.common.errors import UserError
from albert_zh.common.wording import counted
from albert_zh.tasks import datasets, input_examples, registry, result_files
from albert_zh.tasks.classification.scorer import label_text
from albert_zh.tasks.tables.separators import one_line

PROBABILITIES = "test_results.tsv"
PREDICTIONS = "predictions.tsv"
SUBMISSION = "%s_predict.json"


class ClassificationFiles(result_files.ResultFiles):
    """The prediction files of a classifier.

    `test_results.tsv`: tab-separated probabilities, one line per example; `predictions.tsv`: texts,
    gold labels, predicted labels and probabilities; with --clue_submission also CLUE's JSON lines.
    """

    def __init__(self, task: Any, folder: str, notes: Dict[str, Any], options: Any) -> None:
        """Initializes the classification files.

        Args:
            task: `task_forms.Task`.
            folder: the folder to which the files are written.
            notes: {"thresholds": thresholds of a multi-label model}, or {}.
            options: the flags.
        """
        names = [PROBABILITIES, PREDICTIONS]
        if options.clue_submission:
            names.append(SUBMISSION % options.task_name.lower())
        super().__init__(folder, names)
        self._task, self._thresholds = task, notes.get("thresholds")
        self._has_classes = registry.rules_of(task).has_classes
        self._pending = None  # the first of two choices, see `_submit`
        self._num_submitted = 0
        self._submitted_ids = set()
        self._not_submitted = set()  # guids of examples

    def begin(self) -> None:
        self._probabilities, self._predictions = self.handles[:2]
        self._submission = self.handles[2] if len(self.handles) > 2 else None
        names = ["text_a", "text_b", "label", "prediction"]
        if self._has_classes:
            names += ["probability"] + ["P(%s)" % label for label in self._task.labels]
        self._predictions.write("\t".join(one_line(name) for name in names) + "\n")

    def write(self, example: Any, rows: List[Dict[str, np.ndarray]]) -> None:
        row = rows[0]["probabilities"]
        self._probabilities.write("\t".join(str(probability) for probability in row) + "\n")
        decided = label_text(self._task, row, self._thresholds)
        cells = [example.text_a, example.text_b or "", example.label or "", decided]
        if self._has_classes:
            cells += ["%.6f" % row.max()] + ["%.6f" % probability for probability in row]
        self._predictions.write("\t".join(one_line(cell) for cell in cells) + "\n")
        if self._submission is not None:
            self._submit(example, row, decided)

    def notes(self) -> List[str]:
        if self._submission is None or not self._not_submitted:
            return []
        return [
            "%s missing in %s"
            % (
                counted(
                    len(self._not_submitted),
                    "line is not a valid row and is",
                    "lines are not valid rows and are",
                ),
                self.paths[-1],
            )
        ]

    def _submit(self, example, row, decided):
        """Writes a line {"id": ..., "label": ...}; of two choices (copa), the more probable one."""
        self._not_submitted.add(example.guid)
        if example.row_id == input_examples.NO_RECORD:
            return
        if self._task.examples_of is datasets.copa_examples:
            first, self._pending = self._pending, None
            if first is None or first[0] != example.guid:
                self._pending = (example.guid, row[1])
                return
            decided = str(int(row[1] > first[1]))
        row_id = self._num_submitted if example.row_id is None else example.row_id
        if row_id in self._submitted_ids:
            raise UserError(
                "the test file has two rows of the id %r: expected each id once, as the submission "
                "names rows by it: correct the file, or --clue_submission=false" % row_id
            )
        self._submitted_ids.add(row_id)
        line = json.dumps({"id": row_id, "label": decided}, ensure_ascii=False)
        self._submission.write(line + "\n")
        self._num_submitted += 1
        self._not_submitted.discard(example.guid)
