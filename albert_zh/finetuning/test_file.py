"""Predicts a run's test file, and scores it if it is labelled."""

import time
from typing import Any, List, Optional

from albert_zh.common.messages import say
from albert_zh.finetuning.checkpoint_predictions import open_stream
from albert_zh.tasks import counted_rows
from albert_zh.tasks.scorer import SHOWN_ERRORS, Scorer


class TestFile:
    """The prediction of the test file.

    Attributes:
        paths: the files written.
        num_predicted: number of predicted rows, or None before the prediction.
        scorer: `Scorer` of a labelled file, or None.
    """

    __test__ = False  # pytest must not collect it

    def __init__(self, run: Any) -> None:
        """`run`: `runner.Run`."""
        self._run, self._setup = run, run.setup
        self.paths: List[str] = []
        self.num_predicted: Optional[int] = None
        self.scorer: Optional[Scorer] = None

    def predict(self) -> None:
        """Predicts the test file with the best checkpoint and writes the result files.

        Raises:
            Interrupted: if a stop was requested.
        """
        setup, options = self._setup, self._setup.options
        if "test" not in setup.splits and not setup.data.streamed_test:
            return
        self._note_what_is_not_evaluated()
        begin = time.time()
        prefix = self._run.predictions.complete_one()
        notes = self._run.predictions.tuned_notes(prefix)
        use = setup.in_use(notes)
        files = setup.kind.result_files(setup.folder.path, use, options)
        scorer = setup.kind.scorer(use, setup.settings, options, num_errors=SHOWN_ERRORS)
        count = num_rows = num_unscored = 0
        with files:
            for example, rows in self._predicted(prefix):
                files.write(example, rows)
                scorer.add(example, rows)
                count += 1
                num_rows += counted_rows.is_row(example)
                num_unscored += counted_rows.is_row(example) and example.label is None
            self._run.stop.raise_if_made(
                "stopped; run the same command again to restart the prediction"
            )
        for note in files.notes():
            say("note: %s", note)
        self._run.speed["prediction"] = count / (time.time() - begin)
        self.num_predicted, self.paths = num_rows, files.paths
        self.scorer = scorer if len(scorer) else None
        if self.scorer and num_unscored:
            setup.data.remarks["unscored_in_test"] = num_unscored

    def _note_what_is_not_evaluated(self):
        chosen, newest = self._run.best.chosen(), self._setup.folder.newest_step()
        options = self._setup.options
        if options.do_train and not options.do_eval and chosen and chosen["global_step"] < newest:
            say(
                "note: the best evaluated checkpoint is that of step %d; later ones, up to step "
                "%d, are not evaluated: add --do_eval=true",
                chosen["global_step"],
                newest,
            )

    def _predicted(self, prefix):
        """Yields (example, its predictions) of the test file, in file order."""
        setup, predictions, stop = self._setup, self._run.predictions, self._run.stop
        path = setup.data.streamed_test or setup.splits["test"].path
        say("predicting %s with %s", path, prefix)
        if not setup.data.streamed_test:
            # The predictions come first, so that `zip` consumes them to their end.
            pairs = zip(predictions.of_split(prefix, "test", stop), setup.splits["test"].examples)
            yield from ((example, rows) for rows, example in pairs)
            return
        stream = open_stream(setup)
        yield from predictions.of_stream(prefix, stream, path, stop)
        for note in stream.notes():
            say("note: %s: %s", path, note)
        setup.data.remarks.update(stream.remarks())
