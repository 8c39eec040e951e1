"""Selects the best checkpoint of a fine-tuning run."""

from typing import TYPE_CHECKING, Any, Dict, Optional, Tuple

from albert_zh.model.checkpoints import checkpoint_files
from albert_zh.training import metrics_log

if TYPE_CHECKING:
    from albert_zh.finetuning.setup import Setup


class BestCheckpoint:
    """The dev metrics of a run's checkpoints, and the best checkpoint by these metrics.

    Attributes:
        evaluations: {step: metrics} on this run's dev file.
        tuned: {step: values of `TaskType.tuned_notes`} that were chosen on dev.
    """

    def __init__(self, setup: "Setup") -> None:
        """Reads the recorded metrics of the folder's checkpoints, including deleted ones.

        Args:
            setup: setup of the run.
        """
        self._options, self._folder = setup.options, setup.folder
        self._metric = setup.metric
        self._is_higher_better = setup.kind.metrics[setup.metric]
        self._is_dev_of_training = setup.is_dev_of_training
        records = metrics_log.Metrics.read(setup.folder.path, setup.first_step)
        # {step: metrics} on the dev file of training; other dev files do not select checkpoints.
        self._choices = {record["step"]: record["dev"] for record in records if "dev" in record}
        self.tuned = {}
        for record in records:
            self._take_tuned(record["step"], record, setup.kind)
        kept = setup.folder.notes_of_best()
        if "dev" in kept and not setup.options.do_train:  # training may resume before that step
            step = kept["dev"]["global_step"]
            self._choices[step] = kept["dev"]
            self._take_tuned(step, kept, setup.kind)
        if not all(self._is_measured(metrics) for metrics in self._choices.values()):
            self._choices = {}
        self.evaluations = self._choices if setup.is_dev_of_training else {}

    def _take_tuned(self, step, record, kind):
        tuned = {name: record[name] for name in kind.tuned_notes if name in record}
        if tuned:
            self.tuned[step] = tuned

    def _is_measured(self, metrics):
        return self._metric == "loss" or "eval_" + self._metric in metrics

    def rank(self, metrics: Dict[str, Any]) -> Tuple[bool, float, float]:
        """Sort key of a checkpoint: whether it is trained at all, its metric, then a lower loss."""
        sign = 1 if self._is_higher_better else -1
        return (
            metrics["global_step"] > 0,
            sign * metrics["eval_" + self._metric],
            -metrics["eval_loss"],
        )

    def is_best(self, metrics: Dict[str, Any]) -> bool:
        """Whether no other checkpoint is better; another dev file never changes the choice.

        Args:
            metrics: dev metrics of a checkpoint.
        """
        step = metrics["global_step"]
        chosen = None if self._is_dev_of_training else self.chosen()
        if chosen is not None:
            return step == chosen["global_step"]
        return all(
            self.rank(metrics) > self.rank(former)
            for at, former in self.evaluations.items()
            if at != step
        )

    def is_exhausted(self) -> bool:
        """Whether early stopping ends training: no better checkpoint in as many evaluations."""
        best = self._best_of(self.evaluations)
        if not self._options.early_stopping or best is None:
            return False
        since = sum(step > best["global_step"] for step in self.evaluations)
        return since >= self._options.early_stopping

    def best(self) -> Optional[Dict[str, Any]]:
        """Dev metrics of the checkpoint that is used for prediction; None if they are unknown.

        They are from this run's dev file if it was evaluated, else from the dev file of training.
        """
        chosen = self.chosen() or self._best_of(self._kept(self.evaluations))
        if chosen is None:
            return None
        metrics = self.evaluations.get(chosen["global_step"], chosen)
        return metrics if "eval_" + self._metric in metrics else None

    def chosen(self) -> Optional[Dict[str, Any]]:
        """Dev metrics by which a checkpoint was chosen in training; None if none was chosen."""
        if self._folder.uses_best():
            return self._folder.notes_of_best().get("dev")
        return self._best_of(self._kept(self._choices))

    def _kept(self, evaluations):
        """The evaluations of existing checkpoints; all if the folder has no checkpoints."""
        existing = map(checkpoint_files.checkpoint_step, self._folder.checkpoints())
        steps = set(existing) or set(evaluations)
        return {step: metrics for step, metrics in evaluations.items() if step in steps}

    def _best_of(self, evaluations):
        """The best metrics of {step: metrics}, or None."""
        return max(evaluations.values(), key=self.rank, default=None)

    def reason(self, best: Dict[str, Any]) -> str:
        """A line that says which of the evaluated checkpoints is best, and why.

        Args:
            best: returned by `best`.
        """
        metric, chosen = self._metric, self.chosen() or best
        trained = [metrics for step, metrics in self.evaluations.items() if step] or [best]
        name = "eval_" + metric
        is_other_dev = chosen is not best and not self._is_dev_of_training
        if is_other_dev or any(self.rank(best) < self.rank(metrics) for metrics in trained):
            score = ", by dev %s %.4f there" % (metric, chosen[name]) if name in chosen else ""
            return "step %d: chosen in training%s" % (best["global_step"], score)
        equals = sum(metrics[name] == best[name] for metrics in trained)
        return "step %d: %s dev %s, %.4f, of %d evaluated%s" % (
            best["global_step"],
            "highest" if self._is_higher_better else "lowest",
            metric,
            best[name],
            len(trained),
            ", and the lowest loss of %d with that" % equals if equals > 1 else "",
        )
