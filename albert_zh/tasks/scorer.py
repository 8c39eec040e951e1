"""How good predictions are: what every kind of task collects of labelled examples."""

import heapq
from typing import Any, Dict, Iterator, List, Optional, Sequence, Tuple

import numpy as np

from albert_zh.tasks.tables import text_groups

SHOWN_ERRORS = 50  # in a report


class Scorer:
    """Collects the predictions of labelled examples; a kind of task fills in what is measured.

    Attributes:
        num_errors: how many of the worst errors are kept.
    """

    def __init__(self, num_errors: int = 0) -> None:
        """`num_errors`: how many of the worst errors are kept."""
        self.num_errors = num_errors
        self._keys, self._worst = [], []

    def add(self, example: Any, rows: List[Dict[str, np.ndarray]]) -> None:
        """Takes an example's predictions.

        Args:
            example: as of `TaskType.read_split`; one without a label is skipped.
            rows: the predictions of each of its rows, {name: array}.
        """
        if example.label is None:
            return
        self._keys.append(text_groups.text_key(example))
        self.add_labelled(example, rows)

    def add_labelled(self, example: Any, rows: List[Dict[str, np.ndarray]]) -> None:
        """Takes the predictions of an example that has a label; arguments as of `add`."""
        raise NotImplementedError

    def __len__(self) -> int:
        return len(self._keys)

    def tuned(self) -> Dict[str, Any]:
        """Chooses on these examples what the model leaves open, such as thresholds, and uses it.

        Returns:
            {name: JSON value} for fine_tuning.json, of `TaskType.tuned_notes`.
        """
        return {}

    def losses(self) -> np.ndarray:
        """The plain loss of each example, float [n]."""
        raise NotImplementedError

    def values(self, names: Sequence[str], chosen: Optional[np.ndarray] = None) -> Dict[str, float]:
        """{name: value} of metrics.

        Args:
            names: of `TaskType.metrics`, without "loss".
            chosen: bool [n], the examples to measure on; None for all.
        """
        raise NotImplementedError

    def metrics(self, batch_size: int, names: Sequence[str]) -> Dict[str, float]:
        """Metrics of a checkpoint, named `eval_...` as the original's.

        Args:
            batch_size: `loss` is the mean of the batches' means, as the original's.
            names: of metrics.

        Returns:
            {name: float}, `eval_loss` and `loss` among them.
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
        """What report.json has beside the metrics, with "errors": list of dicts, worst first."""
        return {"errors": []}

    def markdown(self, details: Dict[str, Any]) -> Iterator[str]:
        """Yields the lines of report.md about `details`, as read from report.json."""
        return iter(())

    def draw(self, folder: str, title: str) -> List[str]:
        """Draws the kind's pictures; returns their paths.

        Args:
            folder: where to.
            title: name of the split.
        """
        return []

    # For subclasses

    def keep_error(self, size: float, example: Any, prediction: Any) -> None:
        """Remembers an error if it is among the worst.

        Args:
            size: above 0 for an error.
            example: the example.
            prediction: whatever `details` shows of it.
        """
        if size <= 0 or not self.num_errors:
            return
        # The number keeps the order of equal errors, and examples from being compared.
        entry = (size, -len(self._keys), example, prediction)
        add = heapq.heappushpop if len(self._worst) >= self.num_errors else heapq.heappush
        add(self._worst, entry)

    def worst_errors(self) -> List[Tuple[float, Any, Any]]:
        """(size, example, prediction) of the errors kept, the largest first."""
        return [(e[0], e[2], e[3]) for e in sorted(self._worst, key=lambda e: e[:2], reverse=True)]
