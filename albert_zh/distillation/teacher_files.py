"""Teachers that are files of another program's outputs; rows are matched by their texts.

Supported formats, each with one row per text or pair:
    predictions.tsv   columns text_a, text_b, and P(LABEL) for each label, or prediction for a
                      regression task
    logits (UER-py)   columns text_a, text_b, logits: numbers separated by blanks, in the order of
                      the labels
    JSON lines        keys text_a (or text), text_b and one of probabilities, logits (objects
                      {label: number}, or lists in the order of the labels), label, labels, value
    test_results.tsv  only numbers, in the order of the training rows and then the unlabelled rows
"""

import re
from typing import Any, Dict, List, Optional, Sequence, Tuple

import numpy as np

from albert_zh.common import files, validation
from albert_zh.common.errors import UserError, naming
from albert_zh.common.messages import say
from albert_zh.common.wording import counted
from albert_zh.distillation import label_names
from albert_zh.tasks.distillation import LEAST_PROBABILITY
from albert_zh.tasks.tables.rows import BLANK, Table
from albert_zh.tasks.tables.separators import one_line

_TEXT_KEYS = (("text_a", "text", "sentence", "sentence1"), ("text_b", "sentence2"))
_PROBABILITY = re.compile(r"P\((.*)\)$")
_USUAL_ERROR_OF_SUM, _LARGEST_ERROR_OF_SUM = 0.01, 0.1
_LARGEST_DISAGREEMENT = 1e-3  # of probabilities: on a GPU they vary with the batch
_FEWEST_DIGITS = 4
_TINY = 1e-6
_OF_CLASSES = ("probabilities", "label", "labels")
_VALUES_SHOWN = ("probabilities", "logits", "label", "labels", "value")

Texts = Tuple[str, str]


class TeacherFile:
    """A file of logits or probabilities.

    Attributes:
        name: the path of the file.
        about: {name: JSON value} that identifies the file's content.
        num_computed: 0, since nothing is computed.
        set_aside: {}, since nothing is known about how the teacher was trained; see `ModelTeacher`.
    """

    set_aside: Dict[str, Any] = {}

    def __init__(self, path: str, student: Any) -> None:
        """Reads the file.

        Args:
            path: the file.
            student: `teachers.Student`.

        Raises:
            UserError: if the rows do not fit the student's task.
        """
        self.name, self._student, self.num_computed = path, student, 0
        if not student.kind.distillation.takes_tables:
            raise UserError(
                "--teachers=%s: a file has one row per text, but a task of the kind %s needs "
                "outputs for each word piece: expected a model" % (path, student.kind.name)
            )
        self._labels = list(student.use.task.labels)
        self._targets: Dict[Texts, np.ndarray] = {}
        self._lines: Dict[Texts, int] = {}
        self._by_position: List[Tuple[int, np.ndarray]] = []  # of (line, target)
        self._read()

    def prepare(self, examples: Sequence[Any]) -> None:
        """Checks that the file has a row for every example.

        Raises:
            UserError: if some rows are missing.
        """
        if self._by_position:
            return self._assign(examples)
        missing = [example for example in examples if self._found(example) is None]
        if missing:
            raise UserError(
                "--teachers=%s: has no row for %d of %d texts, the first %r (%s): %s"
                % (
                    self.name,
                    len(missing),
                    len(examples),
                    missing[0].text_a,
                    missing[0].guid,
                    "it has single texts, but the data are pairs: give both texts (text_b)"
                    if missing[0].text_b and not self.has_pairs
                    else "add them, or use data without them",
                )
            )
        return None

    def target(self, example: Any) -> np.ndarray:
        """Returns the target of an example that `prepare` has seen."""
        return self._found(example)

    def _found(self, example) -> Optional[np.ndarray]:
        texts = _key(example.text_a, example.text_b)
        target = self._targets.get(texts)
        if target is None and self._student.is_symmetric:
            target = self._targets.get(texts[::-1])
        return target

    def _assign(self, examples):
        """Assigns rows without texts to the examples, in the order of the examples.

        If the order of the texts in a pair does not matter, one row per pair of the data is enough:
        the swapped pair has the same guid.
        """
        num_rows = len(self._by_position)
        if self._student.is_symmetric and num_rows != len(examples):
            examples = list({e.guid: e for e in reversed(examples)}.values())[::-1]
        if num_rows != len(examples):
            raise UserError(
                "--teachers=%s: has %s of numbers and no texts, but there are %d training "
                "and unlabelled rows: expected as many, or a file with the texts (predictions.tsv)"
                % (self.name, counted(num_rows, "row"), len(examples))
            )
        for example, (line, target) in zip(examples, self._by_position):
            self._take(line, _key(example.text_a, example.text_b), target)
        self._report_turned()

    @property
    def has_texts(self) -> bool:
        """Whether rows can be matched by their texts."""
        return not self._by_position

    @property
    def has_pairs(self) -> bool:
        """Whether some row has two texts; this is not known for a file that only has numbers."""
        return any(text_b for _, text_b in self._targets)

    # Reading

    def _read(self):
        with naming("--teachers=%s" % self.name):
            files.check_is_text(self.name, "utf-8")
            table = Table(self.name, encoding=None)
            rows = [row for row in table if row.problem != BLANK]
            self.about = {"file": table.sha256()}  # of the bytes that were actually read
        bad = [row for row in rows if row.problem]
        if bad or not rows:
            place = "line %d: %s" % (bad[0].line, bad[0].problem) if bad else "no rows"
            raise UserError("--teachers=%s: %s: expected rows of a teacher" % (self.name, place))
        read = self._json_row if table.is_json else self._reader_of_header(rows)
        probabilities = []
        for row in rows if table.is_json or read == self._numbers else rows[1:]:
            texts, numbers, form = read(row)
            probabilities += [numbers] if form == "probabilities" else []
            target = self._checked(row.line, numbers, form)
            if texts is None:
                self._by_position.append((row.line, target))
            else:
                self._take(row.line, texts, target)
        _report_digits(self.name, probabilities)
        self._report_turned()

    def _reader_of_header(self, rows):
        """Returns the function that reads the rows of a table with this header."""
        named = [cell.strip() for cell in rows[0].cells]
        if all(validation.reads_as_number(cell) for cell in named):
            return self._numbers
        if named[0].startswith("{"):
            raise UserError(
                "--teachers=%s, line 1: found JSON, but a file of this name is read as a table: "
                "name it .jsonl" % self.name
            )
        known = {other: names[0] for names in _TEXT_KEYS for other in names}
        header = [known.get(name, name) for name in named]
        columns = {name: number for number, name in enumerate(header)}
        if len(columns) < len(header):
            twice = next(name for number, name in enumerate(header) if name in header[:number])
            raise self._bad(1, "the column %s twice" % twice, "each once")
        matches = {name: _PROBABILITY.match(name) for name in columns}
        of_labels = {match.group(1): columns[name] for name, match in matches.items() if match}
        is_value = not self._student.kind.rules.has_classes
        if "text_a" in columns and of_labels:
            numbers = [of_labels[label] for label in self._ordered(of_labels, "line 1")]
            return lambda row: self._cells(row, columns, numbers) + ("probabilities",)
        if "text_a" in columns and "logits" in columns:
            return lambda row: self._cells(row, columns, [columns["logits"]], " ") + ("logits",)
        if "text_a" in columns and "prediction" in columns and is_value:
            return lambda row: self._cells(row, columns, [columns["prediction"]]) + ("value",)
        raise UserError(
            "--teachers=%s, line 1: found the columns %s: expected text_a, text_b for pairs, and "
            "P(LABEL) for each label, or logits" % (self.name, ", ".join(named[:8]))
        )

    def _ordered(self, of_teacher, place):
        """Returns the student's labels; raises `UserError` if the teacher has other labels."""
        if sorted(of_teacher) != sorted(self._labels):
            raise UserError(
                "--teachers=%s, %s: has %s: expected the same names"
                % (self.name, place, label_names.both_sides(sorted(of_teacher), self._labels))
            )
        return self._labels

    def _cells(self, row, columns, numbers, separator=None):
        """(texts, numbers) of a row; `numbers` are the indices of the columns with numbers."""
        if len(row.cells) < len(columns) or any(row.cells[len(columns) :]):
            raise self._bad(row.line, "%d cells" % len(row.cells), "%d" % len(columns))
        texts = _key(*(row.cells[columns[n]] if n in columns else "" for n in ("text_a", "text_b")))
        cells = [row.cells[number] for number in numbers]
        return texts, self._parsed(row, cells[0].split() if separator else cells)

    def _numbers(self, row):
        return None, self._parsed(row, row.cells), "probabilities"

    def _parsed(self, row, cells):
        bad = [cell for cell in cells if not validation.reads_as_number(cell)]
        if bad:
            raise self._bad(row.line, repr(bad[0]), "a number")
        return [float(cell) for cell in cells]

    def _json_row(self, row):
        content = row.cells
        texts = [
            next((content[key] for key in keys if content.get(key) is not None), "")
            for keys in _TEXT_KEYS
        ]
        if not all(isinstance(text, str) for text in texts) or not texts[0]:
            raise self._bad(row.line, "no text", "the key text_a (or text)")
        has_classes = self._student.kind.rules.has_classes
        names = _VALUES_SHOWN if has_classes else _VALUES_SHOWN[::-1]  # a label may be the gold one
        form = next((name for name in names if content.get(name) is not None), None)
        if form in ("label", "labels") and content.get("prediction") is not None:
            found = "the keys %s and prediction" % form
            raise self._bad(row.line, found, "one of them, the answer as %s" % form)
        if form is None:
            raise self._bad(row.line, "no target", "one of " + ", ".join(_VALUES_SHOWN))
        if not has_classes and form in _OF_CLASSES:
            raise self._bad(row.line, "the key " + form, "the key value, a number")
        numbers, form = self._json_numbers(row.line, content[form], form)
        return _key(*texts), numbers, form

    def _json_numbers(self, line, value, form):
        """(numbers, form) of a JSON value; labels become probabilities of 0 and 1."""
        if form in ("label", "labels"):
            names = [value] if form == "label" else value
            names = [str(name) for name in names] if isinstance(names, list) else [None]
            unknown = [name for name in names if name not in self._labels]
            if unknown:
                raise self._bad(line, "the label %r" % unknown[0], label_names.shown(self._labels))
            return [float(label in names) for label in self._labels], "labels"
        if form == "value":
            value = [value]
        if isinstance(value, dict):
            value = [value[label] for label in self._ordered(value, "line %d" % line)]
        is_numbers = isinstance(value, list) and all(
            isinstance(entry, (int, float)) and not isinstance(entry, bool) for entry in value
        )
        if not is_numbers:
            raise self._bad(line, "%s that are not numbers" % form, "numbers")
        return [_as_float(entry) for entry in value], form

    def _checked(self, line, numbers, form) -> np.ndarray:
        """Checks the numbers of a row and converts them to a target."""
        rules = self._student.kind.rules
        expected = rules.num_outputs(len(self._labels))
        array = np.array(numbers, np.float64)
        if len(array) != expected:
            raise self._bad(line, _count(len(array)), "%d" % expected)
        with np.errstate(over="ignore"):
            is_finite = np.isfinite(array.astype(np.float32))
        if not is_finite.all():
            raise self._bad(line, "%g" % array[~is_finite][0], "finite numbers of 32 bits")
        if form in ("logits", "value") or not rules.has_classes:
            return array.astype(np.float32)
        if (array < 0).any() or (array > 1 + LEAST_PROBABILITY).any():
            found = "%g" % array[np.argmax(np.abs(array - 0.5))]
            expected = (
                "probabilities from 0 to 1; logits need a column named logits, next to the texts"
            )
            raise self._bad(line, found, expected)
        if not rules.has_several_labels and abs(array.sum() - 1) > _possible_error_of_sum(array):
            found = "probabilities that add up to %.4g" % array.sum()
            raise self._bad(line, found, "1 over all classes, or logits")
        return self._student.kind.distillation.logits(array).astype(np.float32)

    def _take(self, line, texts, target):
        """Stores the target of a text; raises `UserError` if it contradicts an earlier row."""
        if texts in self._targets and _differ(self._student, self._targets[texts], target):
            raise UserError(
                "--teachers=%s, lines %d and %d: the same text with other numbers (%r): expected "
                "one target per text: remove one row, or write their mean in both%s"
                % (
                    self.name,
                    self._lines[texts],
                    line,
                    texts[0],
                    _hint_of_pairs(self._student, texts),
                )
            )
        self._targets[texts], self._lines[texts] = target, line

    def _report_turned(self):
        """Reports pairs whose numbers differ from the swapped pair's, if order does not matter."""
        if not self._student.is_symmetric:
            return
        lines = [
            (self._lines[texts], self._lines[texts[::-1]])
            for texts, target in self._targets.items()
            if texts < texts[::-1]
            and _differ(self._student, target, self._targets.get(texts[::-1], target))
        ]
        if lines:
            say(
                "note: --teachers=%s: pairs with other numbers in reverse order: %d, the first in "
                "lines %d and %d: --swap_pairs trains each order on its own numbers; write their "
                "mean in both rows, or remove one, to train both on the same",
                self.name,
                len(lines),
                *sorted(lines[0]),
            )

    def _bad(self, line, found, expected):
        return UserError(
            "--teachers=%s, line %d: found %s, expected %s: correct the line"
            % (self.name, line, found, expected)
        )


def _possible_error_of_sum(probabilities):
    """Tolerated distance of a row's sum from 1; rounding adds half of the last digit per number."""
    usual = _USUAL_ERROR_OF_SUM + _TINY
    for digits in range(2, _FEWEST_DIGITS):
        scaled = probabilities * 10**digits
        if np.abs(scaled - scaled.round()).max() < _TINY:
            by_rounding = 0.5 * len(probabilities) / 10**digits + _TINY
            return max(usual, min(_LARGEST_ERROR_OF_SUM, by_rounding))
    return usual


def _report_digits(name, probabilities):
    scaled = np.array(probabilities, np.float64) * 10 ** (_FEWEST_DIGITS - 1)
    is_between = (scaled > 0.5) & (scaled < 10 ** (_FEWEST_DIGITS - 1) - 0.5)
    if is_between.any() and np.abs(scaled - scaled.round()).max() < _TINY:
        say(
            "warning: --teachers=%s: probabilities have fewer than %d digits: the differences "
            "between improbable classes are lost; write more digits, or logits",
            name,
            _FEWEST_DIGITS,
        )


def _key(text_a, text_b) -> Texts:
    """Normalizes texts as tables do: no line breaks and tabs, no surrounding blanks."""
    return one_line(text_a).strip(), one_line(text_b or "").strip()


def _differ(student, one, other):
    """Whether two targets differ, compared as probabilities (or as values in a regression)."""
    first, second = student.kind.rules.probabilities(np.array([one, other], np.float64))
    return np.abs(first - second).max() > _LARGEST_DISAGREEMENT


def _hint_of_pairs(student, texts):
    """Returns a hint for the error message if the file may lack the second texts of pairs."""
    takes_pairs = "text_b" in (student.use.task.columns or ())
    return "; of pairs give both texts (text_b)" if takes_pairs and not texts[1] else ""


def _count(number):
    return "%d number%s" % (number, "" if number == 1 else "s")


def _as_float(number):
    """Converts a JSON number to a float; integers that are too large become infinite."""
    try:
        return float(number)
    except OverflowError:
        return np.inf
