"""Selects the checkpoint to use and predicts the rows of a file with it."""

import math
import os
from typing import TYPE_CHECKING, Any, Dict, Iterator, List, Optional, Tuple, Union

import numpy as np

from albert_zh.common import files, storage
from albert_zh.common.errors import UserError
from albert_zh.model.checkpoints import (
    checkpoint_files,
    checkpoint_matching,
    checkpoint_values,
    fine_tuning_notes,
)
from albert_zh.tasks import input_pipeline, kind_interface
from albert_zh.tasks.record_stream import RecordStream
from albert_zh.training.hooks import CountingHook, StopHook, StopRequest

if TYPE_CHECKING:
    from albert_zh.finetuning.best_checkpoint import BestCheckpoint
    from albert_zh.finetuning.setup import Setup

TOKENS_TOGETHER = 16384  # tokens per batch in evaluation: larger batches are no faster
Rows = List[Dict[str, np.ndarray]]  # the predictions for each row of an example


class CheckpointPredictions:
    """Predicts with the checkpoints of a run."""

    def __init__(self, setup: "Setup", best: "BestCheckpoint") -> None:
        """Initializes the checkpoint predictions.

        Args:
            setup: setup of the run.
            best: the run's `BestCheckpoint`.
        """
        self._setup, self._options, self._best = setup, setup.options, best
        self._inputs = {}  # input functions; splits and checkpoints share them and thus a session
        self._path = None  # path of the split that is being predicted
        self._completed = {}  # {prefix of a checkpoint or of its renamed copy: original prefix}

    # Which checkpoint

    def used(self) -> Optional[str]:
        """Prefix of the folder's checkpoint that is used for prediction; None if it has none."""
        folder = self._setup.folder
        if folder.uses_best():
            return checkpoint_files.find_checkpoint(folder.best)
        of_training = folder.checkpoints()
        best = self._best.best()
        if best is not None:
            prefix = folder.checkpoint(best["global_step"])
            of_training = [prefix] if prefix in of_training else of_training
        return of_training[-1] if of_training else None

    def complete_one(self) -> str:
        """As `used`, or else `--init_checkpoint`, in a form that TensorFlow can restore by name.

        Raises:
            UserError: if there is no fine-tuned checkpoint.
        """
        prefix = self.used() or self._setup.init_checkpoint
        if not prefix:
            raise UserError(
                "%s contains no checkpoint: train first (--do_train=true), or name a fine-tuned "
                "one with --init_checkpoint" % self._setup.folder.path
            )
        return self.complete(prefix)

    def complete(self, prefix: str) -> str:
        """Returns the prefix, or the prefix of a copy with the variable names of the graph."""
        complete = checkpoint_matching.complete_checkpoint(
            prefix, self._setup.shapes, self._setup.folder.path
        )
        self._completed[complete] = prefix
        return complete

    def tuned_notes(self, prefix: str) -> Dict[str, Any]:
        """{name: value} of `TaskType.tuned_notes` that were chosen for a checkpoint on dev."""
        prefix = self._completed.get(prefix, prefix)
        folder = os.path.dirname(prefix)
        if folder == os.path.dirname(os.path.join(self._setup.folder.path, "")):
            return self._best.tuned.get(checkpoint_files.checkpoint_step(prefix), {})
        notes = fine_tuning_notes.notes_of_folder(folder)
        return {name: notes[name] for name in self._setup.kind.tuned_notes if name in notes}

    def digest(self) -> str:
        """Fingerprint of the weights that are used for prediction."""
        return checkpoint_values.fingerprint(self.used() or self._setup.init_checkpoint)

    # What it predicts

    def of_split(self, prefix: str, name: str, stop: StopRequest) -> Iterator[Rows]:
        """Yields the predictions of each example of "dev" or "test".

        Args:
            prefix: prefix of the checkpoint.
            name: name of the split.
            stop: once a stop is requested, predictions end early.
        """
        what, flag = {
            "dev": ("evaluating", "eval_batch_size"),
            "test": ("predicting", "predict_batch_size"),
        }[name]
        features, batch_size = self._setup.features[name], rows_together(self._options, flag)
        num_batches = math.ceil(features.num_examples / batch_size)
        rows = self._rows(prefix, self._input_of(name, batch_size), num_batches, what, stop)
        counts = features.rows_of_examples or [1] * features.num_examples
        yield from _grouped(rows, iter(counts))

    def _input_of(self, name, batch_size):
        """The input function of a split; splits share one, and with it a graph and a session."""
        features, use_tpu = self._setup.features[name], self._options.use_tpu
        self._path = features.path
        shared_by = name if use_tpu else batch_size
        if shared_by not in self._inputs:
            self._inputs[shared_by] = input_pipeline.eval_input_fn(
                features,
                self._options.max_seq_length,
                batch_size,
                use_tpu,
                self._options.plain,
                lambda: self._path,
            )
        return self._inputs[shared_by]

    def of_stream(
        self, prefix: str, stream: RecordStream, path: str, stop: StopRequest
    ) -> Iterator[Tuple[Any, Rows]]:
        """Yields (example, its predictions) for a file of any length, without keeping any of them.

        Args:
            prefix: prefix of the checkpoint.
            stream: records of the file.
            path: the file.
            stop: as in `of_split`.
        """
        batch_size = rows_together(self._options, "predict_batch_size")
        records = stream.rows(self._setup.tokenizer, self._options.max_seq_length)
        input_fn = input_pipeline.stream_input_fn(
            records,
            self._setup.task,
            self._options.max_seq_length,
            batch_size,
            self._options.plain,
        )
        num_batches = math.ceil(_num_lines(path) / batch_size)
        rows = self._rows(prefix, input_fn, num_batches, "predicting", stop)
        examples = []

        def counts():
            for _ in iter(int, 1):
                example, count = stream.next_example()
                examples.append(example)
                yield count

        for group in _grouped(rows, counts()):
            yield examples.pop(0), group

    def _rows(self, prefix, input_fn, num_batches, what, stop):
        """Yields {name: array} of each row, in the input's order."""
        batches = self._setup.engine.predict(
            input_fn,
            hooks=[StopHook(stop), CountingHook(what, num_batches)],
            checkpoint_path=prefix,
            yield_single_examples=False,
        )
        token_outputs = self._setup.kind.token_outputs
        for row in input_pipeline.in_order(batches):
            for name in token_outputs:
                row[name] = row[name][: row[kind_interface.NUM_TOKENS]]
            yield row


def _num_lines(path):
    """Number of lines of a file, or of the longest file of a folder (sentences and tags, say)."""
    paths = [path]
    if storage.is_folder(path):
        paths = [os.path.join(path, name) for name in storage.names_in(path)]
    return max(files.count_lines(path) for path in paths if storage.is_file(path))


def open_stream(setup: "Setup") -> RecordStream:
    """The records of the run's streamed test file."""
    options = setup.options
    return RecordStream(
        setup.task, setup.data.streamed_test, options.encoding, options.skip_bad_rows
    )


def _grouped(rows, counts):
    """Groups rows into lists whose lengths are given by `counts`.

    All rows are consumed, including those that only fill up the last batch: otherwise the session
    would stay open.
    """
    group, wanted = [], None
    for row in rows:
        if wanted is None:
            wanted = next(counts, None)
            if wanted is None:
                continue  # a row that only fills up a batch
        group.append(row)
        if len(group) == wanted:
            yield group
            group, wanted = [], None


def rows_together(options: Any, flag: str) -> int:
    """Number of rows per prediction batch: the flag's value if it was set, otherwise more."""
    if options[flag].present or options.use_tpu or options.plain:
        return options[flag].value
    return max(options[flag].value, TOKENS_TOGETHER // options.max_seq_length)


def global_step(prefix: str) -> int:
    """The global step of a checkpoint, which must be complete (see `complete`)."""
    return int(checkpoint_values.open_reader(prefix).get_tensor("global_step"))


def printed(value: float) -> Union[int, np.float32]:
    """A number in the form that the original prints: with the digits of a float32."""
    return value if isinstance(value, int) else np.float32(value)
