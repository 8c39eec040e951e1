"""The files of a prediction: written row by row, visible only once they are complete."""

import contextlib
import json
import os
from typing import Any, Dict, List

import numpy as np

from albert_zh.common import output_files


class ResultFiles:
    """A context manager for files that appear together when a prediction ends.

    Attributes:
        paths: paths of the files.
    """

    def __init__(self, folder: str, names: List[str]) -> None:
        """Initializes the result files.

        Args:
            folder: the folder to which the files are written.
            names: names of the files.
        """
        self.paths = [os.path.join(folder, name) for name in names]

    def __enter__(self) -> "ResultFiles":
        self._stack = contextlib.ExitStack()
        self.handles = [
            self._stack.enter_context(output_files.atomic_write(path)) for path in self.paths
        ]
        self.begin()
        return self

    def __exit__(self, *error: Any) -> Any:
        if error[0] is None:
            self.end()
        return self._stack.__exit__(*error)

    def begin(self) -> None:
        """Writes the content before the first example."""

    def write(self, example: Any, rows: List[Dict[str, np.ndarray]]) -> None:
        """Writes an example's predictions; takes the same arguments as `Scorer.add`."""
        raise NotImplementedError

    def end(self) -> None:
        """Writes the content after the last example."""

    def notes(self) -> List[str]:
        """Lines for the user about what was written."""
        return []


class JsonLines(ResultFiles):
    """`predictions.jsonl`: {"text" or "text_a" and "text_b", "label", "prediction"} per line."""

    def __init__(self, folder: str, kind: Any, use: Any) -> None:
        """Initializes the JSON lines.

        Args:
            folder: the folder to which the file is written.
            kind: the kind of task.
            use: `ModelInUse`, for the kind's `decode`.
        """
        super().__init__(folder, ["predictions.jsonl"])
        self._kind, self._use = kind, use

    def write(self, example: Any, rows: List[Dict[str, np.ndarray]]) -> None:
        line = {"text": example.text_a}
        if example.text_b is not None:
            line = {"text_a": example.text_a, "text_b": example.text_b}
        if example.label is not None:
            line["label"] = example.label
        line["prediction"] = self._kind.decode([example], [rows], self._use)[0]
        self.handles[0].write(json.dumps(line, ensure_ascii=False) + "\n")
