"""Reads files that are predicted record by record, in constant memory."""

import collections
from typing import Any, Dict, Iterator, List, Optional, Tuple

from albert_zh.common.wording import counted
from albert_zh.tasks import registry
from albert_zh.tasks.tables import rows as row_files


class RecordStream:
    """The records of a file to predict; only those in progress are held in memory."""

    def __init__(self, task: Any, path: str, encoding: str, skip_bad_rows: bool = False) -> None:
        """Opens the file.

        Args:
            task: `Task`.
            path: the file.
            encoding: its encoding.
            skip_bad_rows: as in `TaskType.open_stream`.
        """
        self._task, self._kind = task, registry.type_of(task)
        self._opened = self._kind.open_stream(task, path, encoding, skip_bad_rows)
        self._under_way = collections.deque()
        self._problems = collections.Counter()
        self._first_damaged = None
        self._first_problem: Optional[str] = None

    def rows(self, tokenizer: Any, max_seq_length: int) -> Iterator[Dict[str, Any]]:
        """Yields the rows of each record, as `TaskType.features` creates them.

        Args:
            tokenizer: `FullTokenizer`.
            max_seq_length: longest sequence.
        """
        for example, problem in self._opened.records:
            if problem:
                self._problems[problem == row_files.BLANK] += 1
                line = example.guid.rsplit("-", 1)[1]
                self._first_problem = self._first_problem or "line %s: %s" % (line, problem)
            if "\ufffd" in example.text_a + (example.text_b or ""):
                self._problems["damaged"] += 1
                self._first_damaged = self._first_damaged or example.guid.rsplit("-", 1)[1]
            rows, was_cut = self._kind.features(self._task, example, tokenizer, max_seq_length)
            self._problems["cut"] += was_cut
            self._under_way.append((example, len(rows)))
            yield from rows

    def next_example(self) -> Tuple[Any, int]:
        """(example, number of its rows) of the earliest record not yet returned."""
        return self._under_way.popleft()

    def notes(self) -> List[str]:
        """Lines for the user about anything unusual in the file."""
        notes = list(self._opened.notes)
        if self._first_problem:
            notes.append(
                "%s and %s are predicted from whatever text they have (first: %s)"
                % (
                    counted(self._problems[False], "invalid row"),
                    counted(self._problems[True], "blank line"),
                    self._first_problem,
                )
            )
        if self._first_damaged:
            notes.append(
                "%s characters that could not be read, shown as U+FFFD (first: line %s)"
                % (
                    counted(self._problems["damaged"], "text has", "texts have"),
                    self._first_damaged,
                )
            )
        if self._problems["cut"]:
            kept = "--" + self._kind.length_flag
            if self._kind.further_length_flag:
                kept += " less --" + self._kind.further_length_flag
            num_cut = counted(self._problems["cut"], "text was", "texts were")
            notes.append("%s truncated to %s" % (num_cut, kept))
        return notes

    def remarks(self) -> Dict[str, int]:
        """{remark: count} for the report, named like the remarks on a test file read as a whole."""
        counts = dict(self._opened.remarks, cut=self._problems["cut"])
        return {"%s_in_test" % name: count for name, count in counts.items() if count}
