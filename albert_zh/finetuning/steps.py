"""The number of steps of a fine-tuning run."""

import collections
import math
from typing import Any

from albert_zh.common.errors import UserError
from albert_zh.common.messages import say
from albert_zh.common.wording import counted

Steps = collections.namedtuple("Steps", ["total", "warmup", "save"])
Steps.__doc__ = """Numbers of steps.

Fields:
    total: training steps; 0 without training.
    warmup: number of these that are warm-up steps.
    save: steps between checkpoints.
"""


def plan(options: Any, num_rows: int, source: str) -> Steps:
    """Computes the numbers of steps of a run.

    Args:
        options: the flags.
        num_rows: number of training rows.
        source: their file, for errors.

    Returns:
        `Steps`.

    Raises:
        UserError: if the numbers do not fit together.
    """
    batch = options.train_batch_size
    if num_rows < batch:
        raise UserError(
            "--train_batch_size=%d is more than the %s of %s: pass at most --train_batch_size=%d"
            % (batch, counted(num_rows, "training row"), source, num_rows)
        )
    total = options.train_step
    if total is None:
        total = int(num_rows / batch * options.num_train_epochs)
    if total == 0:
        raise UserError(
            "--num_train_epochs=%s: less than one step of %d rows"
            % (options.num_train_epochs, batch)
        )
    warmup = options.warmup_step
    if warmup is None:
        warmup = int(total * options.warmup_proportion)
    if warmup >= total:
        raise UserError(
            "--warmup_step=%d: expected less than the %d steps of the training" % (warmup, total)
        )
    save = options.save_checkpoints_steps
    if not options["save_checkpoints_steps"].present:
        save = min(save, math.ceil(num_rows / batch))
    epochs = total * batch / num_rows if options.train_step else options.num_train_epochs
    say(
        "training: %d rows, batch %d, %.4g %s: %s, %d of them warm-up; a checkpoint %s",
        num_rows,
        batch,
        epochs,
        "epoch" if epochs == 1 else "epochs",
        counted(total, "step"),
        warmup,
        "every " + counted(save, "step") if save <= total else "after the last",
    )
    return Steps(total, warmup, save)
