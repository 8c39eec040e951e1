"""Writes the result files of labelling, see `prediction_files`, and a page of coloured texts."""

import os
from typing import Any, Dict, List, Optional

import numpy as np

from albert_zh.tasks import result_files
from albert_zh.tasks.labelling import (
    granularity_names,
    html_page,
    json_files,
    prediction_files,
    splits,
)

PAGE = "entities.html"
_PENDING = 64  # number of texts that are decoded together


class LabellingFiles(result_files.ResultFiles):
    """Writes files of predicted spans, separately for each granularity."""

    def __init__(self, folder: str, kind: Any, use: Any, file_format: Optional[str]) -> None:
        """Stores the settings; files are opened when the first text is written.

        Args:
            folder: folder in which the files are written.
            kind: the kind of task.
            use: `task_type.ModelInUse`.
            file_format: format of the input, a key of `reader.FORMATS`; None if it is unknown.
        """
        super().__init__(folder, [])
        self._folder, self._kind, self._use, self._format = folder, kind, use, file_format
        self._pending, self._shown = [], []
        self._files: Dict[Optional[str], prediction_files.PredictionFiles] = {}
        self._labels: Dict[Optional[str], Optional[str]] = {}  # label_test.txt, until it is listed

    def write(self, example: Any, rows: List[Dict[str, np.ndarray]]) -> None:
        granularity = getattr(example, "granularity", None)
        if granularity not in self._files:
            self._open(granularity)
        self._pending.append((example, rows))
        if len(self._pending) == _PENDING:
            self._flush()

    def end(self) -> None:
        self._flush()
        if self._shown:
            path = os.path.join(self._folder, PAGE)
            html_page.write_page(path, "%s" % self._use.notes.get("task", ""), self._shown)
            self.paths.append(path)

    def _open(self, granularity):
        """Opens the files that the kind of task and the input's format require."""
        is_segmentation = self._kind.types_of(self._use.task) == [""]
        names = [prediction_files.PREDICTIONS]
        scheme = self._kind.scheme_of(self._use.task)
        if scheme is not None:
            names += [prediction_files.CONLL, prediction_files.LABELS]
        names.append(prediction_files.SEGMENTED if is_segmentation else prediction_files.JSON)
        paths = {name: self._path(name, granularity) for name in names}
        self._files[granularity] = self._stack.enter_context(
            prediction_files.PredictionFiles(paths, scheme, self._format, self._offset_unit())
        )
        self._labels[granularity] = paths.pop(prediction_files.LABELS, None)
        self.paths.extend(paths.values())

    def _path(self, name, granularity):
        return os.path.join(self._folder, granularity_names.file_name(name, granularity))

    def _offset_unit(self):
        """Unit of the positions in JSON, in the input as well as in the written files."""
        return self._use.task.head.get("offset_unit") or json_files.CHARACTERS

    def _flush(self):
        if not self._pending:
            return
        examples, rows = zip(*self._pending)
        self._pending = []
        for example, predicted in zip(examples, self._kind.predicted(examples, rows, self._use)):
            granularity = getattr(example, "granularity", None)
            self._files[granularity].add(splits.source_of(example), predicted.spans)
            if example.label is not None and self._labels[granularity]:
                self.paths.append(self._labels[granularity])
                self._labels[granularity] = None
            if len(self._shown) < html_page.SHOWN_TEXTS:
                self._shown.append((example.text_a, example.label, predicted.spans))
