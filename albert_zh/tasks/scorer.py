"""The base class of scorers, which compute metrics of the predictions for labelled examples."""

import heapq
from typing import Any, Dict, Iterator, List, Optional, Sequence, Tuple

import numpy as np

from albert_zh.tasks.tables import text_groups

SHOWN_ERRORS = 50  # number of errors shown in a report


class Scorer:
    """Collects the predictions for labelled examples; subclasses define what is measured.

    Attributes:
        num_errors: how many of the worst errors are stored.
    """

    def __init__(self, num_errors: int = 0) -> None:
        """`num_errors`: how many of the worst errors are stored."""
        self.num_errors = num_errors
        self._keys, self._worst = [], []

    def add(self, example: Any, rows: List[Dict[str, np.ndarray]]) -> None:
        """Adds an example's predictions.

        Args:
            example: an example as `TaskType.read_split` returns it; skipped if it has no label.
            rows: the predictions for each of its rows, {name: array}.
        """
        if example.label is None:
            return
        self._keys.append(text_groups.text_key(example))
        self.add_labelled(example, rows)

    def add_labelled(self, example: Any, rows: List[Dict[str, np.ndarray]]) -> None:
        """Adds the predictions for an example with a label; takes the same arguments as `add`."""
        raise NotImplementedError

    def __len__(self) -> int:
        return len(self._keys)

    def tuned(self) -> Dict[str, Any]:
        """Tunes decision parameters, such as thresholds, on these examples and applies them.

        Returns:
            {name: JSON value} for fine_tuning.json, with names of `TaskType.tuned_notes`.
        """
        return {}

    def losses(self) -> np.ndarray:
        """The plain loss of each example, float [n]."""
        raise NotImplementedError

    def values(self, names: Sequence[str], chosen: Optional[np.ndarray] = None) -> Dict[str, float]:
        """{name: value} of metrics.

        Args:
            names: names of `TaskType.metrics`, without "loss".
            chosen: bool [n], the examples to measure on; None for all.
        """
        raise NotImplementedError

    def metrics(self, batch_size: int, names: Sequence[str]) -> Dict[str, float]:
        """Metrics of a checkpoint, named `eval_...` as in the original program.

        Args:
            batch_size: `loss` is the mean of the batch means, as in the original program.
            names: names of metrics.

        Returns:
            {name: float}, including `eval_loss` and `loss`.
        """
        losses = self.losses()
        starts = range(0, len(losses), batch_size)
        batches = [losses[start : start + batch_size] for start in starts]
        measured = {
            "eval_loss": float(np.mean(losses)),
            "loss": float(np.mean([np.mean(batch) for batch in batches])),
        }
        names = [name for name in dict.fromkeys(names) if name != "loss"]
        measured.update(("eval_" + name, score) for name, score in self.values(names).items())
        return measured

    def is_seen(self, keys: Any) -> np.ndarray:
        """bool [n]: whether training has seen an example.

        Args:
            keys: set of `text_groups.text_key` of the training examples, or None.
        """
        keys = keys or ()
        return np.array([key in keys for key in self._keys], bool)

    # Report

    def constant(self, metric: str) -> Optional[Tuple[float, str]]:
        """(score, description) of the best constant prediction for all examples; None: unknown."""
        return None

    def details(self) -> Dict[str, Any]:
        """Content of report.json besides the metrics, with "errors": list of dicts, worst first."""
        return {"errors": []}

    def markdown(self, details: Dict[str, Any]) -> Iterator[str]:
        """Yields the lines of report.md about `details`, as read from report.json."""
        return iter(())

    def draw(self, folder: str, title: str) -> List[str]:
        """Draws the plots of the kind of task; returns their paths.

        Args:
            folder: the folder to write to.
            title: name of the split.
        """
        return []

    # For subclasses

    def keep_error(self, size: float, example: Any, prediction: Any) -> None:
        """Stores an error if it is among the worst.

        Args:
            size: size of the error, above 0; 0 for a right prediction.
            example: the example.
            prediction: the prediction in the form in which `details` shows it.
        """
        if size <= 0 or not self.num_errors:
            return
        # The number preserves the order of equal errors, and avoids comparisons of examples.
        entry = (size, -len(self._keys), example, prediction)
        add = heapq.heappushpop if len(self._worst) >= self.num_errors else heapq.heappush
        add(self._worst, entry)

    def worst_errors(self) -> List[Tuple[float, Any, Any]]:
        """(size, example, prediction) of the stored errors, the largest first."""
        return [(e[0], e[2], e[3]) for e in sorted(self._worst, key=lambda e: e[:2], reverse=True)]
