"""Evaluates a run's checkpoints on dev and keeps the best one as a model folder."""

import os
import time
from typing import TYPE_CHECKING, Any, Dict, Iterable, List, Optional, Tuple

from albert_zh.common import output_files
from albert_zh.common.messages import say
from albert_zh.finetuning.checkpoint_predictions import Rows, global_step, printed
from albert_zh.finetuning.output_folder import EVAL_RESULTS
from albert_zh.model.checkpoints import checkpoint_files

if TYPE_CHECKING:
    from albert_zh.tasks.scorer import Scorer


class Evaluation:
    """Evaluates checkpoints on dev.

    Attributes:
        best_predictions: (step, predictions of each dev example) of the best checkpoint, if this
            run has evaluated it.
    """

    def __init__(self, run: Any) -> None:
        """`run`: `runner.Run`."""
        self._run, self._setup, self._options = run, run.setup, run.setup.options
        self._best = run.best
        self.best_predictions: Tuple[Optional[int], Optional[List[Rows]]] = (None, None)

    def evaluate_all(self) -> None:
        """Evaluates every checkpoint of the output folder, by step, and writes the result file.

        Checkpoints that training has already evaluated are skipped. If the folder has no
        checkpoints, the best one is evaluated, or `--init_checkpoint`, which must be fine-tuned.
        """
        self.let_best_compete()
        for prefix in self._setup.folder.checkpoints():
            if self._options.do_train:
                self.evaluate_if_new(checkpoint_files.checkpoint_step(prefix))
            else:
                self._evaluate(self._run.predictions.complete(prefix))
        if not self._setup.is_dev_of_training:
            prefix = self._run.predictions.complete_one()
            if global_step(prefix) not in self._best.evaluations:
                self._evaluate(prefix)
        self._write_eval_results()

    def let_best_compete(self) -> None:
        """Evaluates the model in `best` if its metric was not recorded in training.

        Its original checkpoint may have been removed, and a worse one would replace it.
        """
        folder = self._setup.folder
        step = folder.notes_of_best().get("dev", {}).get("global_step")
        if step is None or step in self._best.evaluations or step > folder.newest_step():
            return
        if self._options.do_eval and self._options.keep_best and self._setup.is_dev_of_training:
            self._evaluate(checkpoint_files.find_checkpoint(folder.best))

    def evaluate_if_new(self, step: int) -> None:
        """Evaluates a step's checkpoint, unless this is done or only a stop request saved it."""
        steps = self._setup.steps
        is_on_grid = step % steps.save == 0 or step == steps.total
        is_due = is_on_grid or step not in self._run.stopped_at
        if is_due and step not in self._best.evaluations:
            self._evaluate(self._setup.folder.checkpoint(step))

    def ends_training(self, step: int) -> bool:
        """Evaluates the checkpoint just written; returns whether training ends (early stopping)."""
        self.evaluate_if_new(step)
        if not self._best.is_exhausted():
            return False
        if self._setup.first_step < step < self._setup.steps.total:
            say(
                "no better dev %s in %d evaluations: training ends at step %d of %d",
                self._setup.metric,
                self._options.early_stopping,
                step,
                self._setup.steps.total,
            )
        return True

    def dev_predictions(self, prefix: str) -> List[Rows]:
        """The predictions of each dev example, see `CheckpointPredictions.of_split`."""
        begin = time.time()
        predictions = list(self._run.predictions.of_split(prefix, "dev", self._run.stop))
        self._run.speed["evaluation"] = len(predictions) / (time.time() - begin)
        return predictions

    def scorer(
        self, predictions: Iterable[Rows], notes: Dict[str, Any], num_errors: int = 0
    ) -> "Scorer":
        """Scores the dev examples.

        Args:
            predictions: returned by `dev_predictions`.
            notes: {name: value} of `TaskType.tuned_notes`.
            num_errors: argument of `Scorer`.
        """
        setup = self._setup
        scorer = setup.kind.scorer(
            setup.in_use(notes), setup.settings, setup.options, num_errors=num_errors
        )
        for example, rows in zip(setup.splits["dev"].examples, predictions):
            scorer.add(example, rows)
        return scorer

    def _evaluate(self, prefix):
        """Evaluates a checkpoint on dev; copies it to the best folder if it is the best so far."""
        predictions = self.dev_predictions(prefix)
        self._run.raise_if_stopped()
        step = global_step(prefix)
        notes = {} if self._options.do_train else self._run.predictions.tuned_notes(prefix)
        scorer = self.scorer(predictions, notes)
        if not notes and self._setup.is_dev_of_training:
            tuned = scorer.tuned()
            if tuned:
                self._best.tuned[step] = tuned
        names = self._setup.kind.usual_metrics + (self._setup.metric,)
        metrics = scorer.metrics(self._options.eval_batch_size, names)
        metrics["global_step"] = step
        is_best = self._best.is_best(metrics)
        if is_best:
            self.best_predictions = (step, predictions)
        is_of_training = os.path.basename(prefix).startswith("model.ckpt-")
        is_kept = self._options.keep_best and is_of_training and self._setup.is_dev_of_training
        if is_best and is_kept:
            self._keep_best(prefix, metrics)
        self._best.evaluations[step] = metrics
        self._record(metrics, is_best)

    def _keep_best(self, prefix, metrics):
        setup = self._setup
        notes = dict(setup.notes(), dev=metrics, **self._best.tuned.get(metrics["global_step"], {}))
        setup.folder.keep_best(prefix, setup.model_files, setup.task, notes)

    def _record(self, metrics, is_best):
        """Reports the metrics of a checkpoint and, during training, records them."""
        step, name = metrics["global_step"], self._setup.metric
        is_chosen_here = is_best and self._setup.is_dev_of_training
        remark = " (best so far)" if is_chosen_here else ""
        if step or not self._options.do_train:  # the untrained one is reported after training
            say(
                "dev %s at step %d%s",
                self.scores_text(metrics),
                step,
                remark if step else " (before training)",
            )
        if self._run.metrics_log is not None:
            tuned = self._best.tuned.get(step, {})
            dev = {"dev_" + name: metrics["eval_" + name]}
            self._run.metrics_log.add(step, dev=metrics, **dict(dev, **tuned))

    def scores_text(self, metrics: Dict[str, Any]) -> str:
        """The metric that chooses the best checkpoint, and the default metric if it differs."""
        names = dict.fromkeys([self._setup.metric, self._setup.kind.usual_metrics[0]])
        return ", ".join("%s %.4f" % (name, metrics["eval_" + name]) for name in names)

    def _write_eval_results(self):
        folder = self._setup.folder
        is_of_training = bool(folder.checkpoints())
        with output_files.atomic_write(os.path.join(folder.path, EVAL_RESULTS)) as stream:
            for step, metrics in sorted(self._best.evaluations.items()):
                prefix = folder.checkpoint(step)
                if not is_of_training:
                    prefix = self._run.predictions.used() or self._setup.init_checkpoint
                stream.write("***** Eval results %s *****\n" % prefix)
                for name in sorted(metrics):
                    stream.write("%s = %s\n" % (name, printed(metrics[name])))
