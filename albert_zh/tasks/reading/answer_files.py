"""Writes predicted answers to files with the names that BERT's and NEZHA's programs use."""

from typing import Any, Dict, List

import numpy as np

from albert_zh.tasks import result_files
from albert_zh.tasks.reading import records
from albert_zh.tasks.reading import scorer as reading_scorer
from albert_zh.tasks.reading.examples import question_of


class AnswerFiles(result_files.ResultFiles):
    """Writes dev_predictions.json, dev_nbest_predictions.json and, if needed, null_odds.json."""

    def __init__(self, folder: str, ranks: records.Ranker) -> None:
        """Determines the names of the files.

        Args:
            folder: folder in which the files are written.
            ranks: `records.Ranker` of the model.
        """
        self._ranks = ranks
        self._answers = reading_scorer.Scorer([], *ranks.lengths, ranks.null_threshold)
        super().__init__(folder, list(self._contents()))

    def _contents(self) -> Dict[str, str]:
        return self._answers.contents(bool(self._ranks.head.get("original_features")))

    def write(self, example: Any, rows: List[Dict[str, np.ndarray]]) -> None:
        question = question_of(example)
        self._answers.append(question, self._ranks.ranked(question, rows))

    def end(self) -> None:
        for handle, text in zip(self.handles, self._contents().values()):
            handle.write(text)

    def notes(self) -> List[str]:
        num_empty = sum(not text for text in self._answers.predictions().values())
        notes = ["no answer was found for %d of %d questions" % (num_empty, len(self._answers))]
        if self._ranks.is_threshold_usual:
            notes.append(
                'no threshold of "no answer" was tuned on dev or given: '
                "--null_score_diff_threshold=%g is used, BERT's default"
                % self._ranks.null_threshold
            )
        return notes
