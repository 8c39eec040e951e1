"""The files of a prediction, written row by row, and what is known of labelled rows afterwards."""

import collections
import contextlib
import heapq
import json

import numpy as np

from albert_zh.common import files
from albert_zh.tasks import columns as column_layouts
from albert_zh.tasks import data_checks, datasets, task_type
from albert_zh.tasks import metrics as task_metrics
from albert_zh.tasks import reader as task_reader
from albert_zh.tasks import rows as row_files
from albert_zh.text import encoding

SHOWN_ERRORS = 50


class Outcome:
    """What was predicted for the labelled rows of a file: small arrays, and the worst errors."""

    def __init__(self, task, thresholds=None):
        """Args:
        task: `Task`.
        thresholds: of a multi-label task, one per label.
        """
        self.task, self.thresholds = task, thresholds
        self._gold, self._rows, self._keys, self._worst = [], [], [], []

    def add(self, example, row):
        """Takes note of a row.

        Args:
            example: `InputExample`; one without a label is passed over.
            row: float [C], its probabilities.
        """
        if example.label is None:
            return
        gold = datasets.label_value(self.task, example.label)
        error = task_type.type_of(self.task).error_size(gold, row, self.thresholds)
        if error > 0:
            # The number keeps the order of equal errors, and examples from being compared.
            entry = (error, -len(self._gold), example, row)
            add = heapq.heappushpop if len(self._worst) >= SHOWN_ERRORS else heapq.heappush
            add(self._worst, entry)
        self._gold.append(gold)
        self._rows.append(row)
        self._keys.append(data_checks.text_key(example))

    def __len__(self):
        return len(self._gold)

    @property
    def gold(self):
        """Labels of the rows, see `scores.py`."""
        return np.array(self._gold)

    @property
    def probabilities(self):
        """float [n, C]."""
        return np.array(self._rows)

    def decided(self):
        """What was predicted, as gold labels are."""
        return task_metrics.predicted(self.task.objective, self.probabilities, self.thresholds)

    def is_seen(self, keys):
        """bool [n]: whether training has seen a row; `keys` as of `TaskData.keys_of_training`."""
        return np.array([key in keys for key in self._keys], bool)

    def worst_errors(self):
        """(size of the error, example, probabilities), the largest first."""
        return [(e[0], e[2], e[3]) for e in sorted(self._worst, reverse=True)]


def label_text(task, row, thresholds=None):
    """What probabilities decide, as text: a label, several of them, a number.

    Args:
        task: `Task`.
        row: float [C].
        thresholds: of a multi-label task.
    """
    kind = task_type.type_of(task)
    return kind.text(kind.decoded(np.array([row]), task.labels, thresholds)[0], task.separator)


class ResultFiles:
    """`test_results.tsv`, `predictions.tsv` and CLUE's submission; they appear when all is done."""

    def __init__(self, task, paths, thresholds=None):
        """Sets up, as a context manager.

        Args:
            task: `Task`.
            paths: of the file of tab-separated probabilities, a line per example; of the table of
                texts, gold and predicted labels, probabilities; of CLUE's JSON lines, if wanted.
            thresholds: of a multi-label task, one per label.
        """
        self._task, self._thresholds, self._paths = task, thresholds, paths
        self._pending = None  # the first of two choices, see `_submit`
        self._num_submitted = 0
        self.not_submitted = set()  # guids of examples, for the user

    def __enter__(self):
        self._stack = contextlib.ExitStack()
        handles = [self._stack.enter_context(files.atomic_write(path)) for path in self._paths]
        self._probabilities, self._predictions = handles[:2]
        self._submission = handles[2] if len(handles) > 2 else None
        names = ["text_a", "text_b", "label", "prediction"]
        if task_type.type_of(self._task).has_classes:
            names += ["probability"] + ["P(%s)" % label for label in self._task.labels]
        self._predictions.write("\t".join(_cell(name) for name in names) + "\n")
        return self

    def __exit__(self, *error):
        return self._stack.__exit__(*error)

    def write(self, example, row):
        """Writes an example's line to each file.

        Args:
            example: `InputExample`.
            row: float [C].
        """
        self._probabilities.write("\t".join(str(value) for value in row) + "\n")
        decided = label_text(self._task, row, self._thresholds)
        cells = [example.text_a, example.text_b or "", example.label or "", decided]
        if task_type.type_of(self._task).has_classes:
            cells += ["%.6f" % row.max()] + ["%.6f" % value for value in row]
        self._predictions.write("\t".join(_cell(cell) for cell in cells) + "\n")
        if self._submission is not None:
            self._submit(example, row, decided)

    def _submit(self, example, row, decided):
        """A line {"id": ..., "label": ...}; of two choices (copa) the more probable one."""
        self.not_submitted.add(example.guid)
        if example.row_id == column_layouts.NO_RECORD:
            return
        if self._task.examples_of is datasets.copa_examples:
            first, self._pending = self._pending, None
            if first is None or first[0] != example.guid:
                self._pending = (example.guid, row[1])
                return
            decided = str(int(row[1] > first[1]))
        row_id = self._num_submitted if example.row_id is None else example.row_id
        line = json.dumps({"id": row_id, "label": decided}, ensure_ascii=False)
        self._submission.write(line + "\n")
        self._num_submitted += 1
        self.not_submitted.discard(example.guid)


class Stream:
    """The records of a file that is predicted, of which only those under way are kept."""

    def __init__(self, task, path, encoding):
        """Opens the file.

        Args:
            task: `Task`.
            path: the file.
            encoding: its encoding.
        """
        self._notes, self._records = task_reader.open_stream(task, path, encoding)
        self._under_way = collections.deque()
        self._problems = collections.Counter()
        self._first_damaged = None
        self._first_problem = None

    def encoded(self, tokenizer, max_seq_length):
        """Yields (input_ids, segment_ids) of each record.

        Args:
            tokenizer: `FullTokenizer`.
            max_seq_length: longest sequence.
        """
        for example, problem in self._records:
            if problem:
                self._problems[problem == row_files.BLANK] += 1
                line = example.guid.rsplit("-", 1)[1]
                self._first_problem = self._first_problem or "line %s: %s" % (line, problem)
            if "\ufffd" in example.text_a + (example.text_b or ""):
                self._problems["damaged"] += 1
                self._first_damaged = self._first_damaged or example.guid.rsplit("-", 1)[1]
            ids, segments, was_cut = encoding.encode(
                tokenizer, example.text_a, example.text_b, max_seq_length
            )
            self._problems["cut"] += was_cut
            self._under_way.append(example)
            yield ids, segments

    def next_example(self):
        """The earliest record that was encoded and not yet asked for."""
        return self._under_way.popleft()

    def notes(self):
        """Lines for the user: what was remarkable in the file."""
        notes = list(self._notes)
        if self._first_problem:
            notes.append(
                "%d rows that don't fit and %d blank lines are predicted as what text there is "
                "(first: %s)" % (self._problems[False], self._problems[True], self._first_problem)
            )
        if self._first_damaged:
            notes.append(
                "%d texts have characters that could not be read, shown as U+FFFD (first: line %s)"
                % (self._problems["damaged"], self._first_damaged)
            )
        if self._problems["cut"]:
            notes.append("%d texts were cut to --max_seq_length" % self._problems["cut"])
        return notes


def _cell(text):
    """A text in one cell of one line."""
    return text if text.isprintable() else " ".join(text.split())
