"""Waits for the checkpoints of a run in another process, possibly on another machine.

    for prefix in new_checkpoints("gs://bucket/run", done={0}, last_step=125000, timeout=7200):
        ...  # evaluate it

The folder is only read: its lock and its `checkpoint` file belong to the run that trains.
"""

import contextlib
import os
import time
from typing import Any, Callable, Iterator, Set

from albert_zh.common import storage
from albert_zh.common.messages import say
from albert_zh.model.checkpoints import checkpoint_files

_SECONDS_BETWEEN_LOOKS = 60


def new_checkpoints(
    folder: str,
    done: Set[int],
    last_step: int,
    timeout: int,
    sleep: Callable[[float], Any] = time.sleep,
) -> Iterator[str]:
    """Yields each checkpoint in a folder once, in the order of steps, as they appear.

    Args:
        folder: the output folder of the run.
        done: steps that need no evaluation; the steps that are yielded are added to it.
        last_step: the step of the last checkpoint.
        timeout: seconds to wait for the next checkpoint.
        sleep: function that waits for a number of seconds.

    Yields:
        prefix of a checkpoint.
    """
    waited, pause = 0, min(_SECONDS_BETWEEN_LOOKS, max(1, timeout // 60))
    while True:
        prefixes = checkpoint_files.checkpoints_of_training(folder)
        fresh = [path for path in prefixes if checkpoint_files.checkpoint_step(path) not in done]
        for prefix in fresh:
            done.add(checkpoint_files.checkpoint_step(prefix))
            yield prefix
        if done and max(done) >= last_step:
            return
        if fresh:
            waited = 0
            continue
        if waited >= timeout:
            say("no new checkpoint in %s for %d seconds: evaluation ends", folder, waited)
            return
        sleep(pause)
        waited += pause


def last_recorded_step(folder: str, records: str) -> int:
    """The last step whose records are of the run in a folder; 0 if there is none.

    Records that are older than the checkpoint of their step are of an earlier run in the folder.
    Records of steps before the oldest checkpoint are kept: their checkpoints have been removed.

    Args:
        folder: the output folder of the run.
        records: path of the file with the metrics of checkpoints.
    """
    last_step = 0
    written = storage.modified(records) if storage.exists(records) else 0
    for prefix in checkpoint_files.checkpoints_of_training(folder):
        step = checkpoint_files.checkpoint_step(prefix)
        with contextlib.suppress(OSError):  # it has just been removed
            if storage.modified(prefix + ".index") > written:
                return last_step or max(0, step - 1)
        last_step = step
    return last_step


def is_gone(prefix: str) -> bool:
    """Whether a checkpoint has been removed by its run, which keeps only the newest ones."""
    names = checkpoint_files.index_files(os.path.dirname(prefix))
    return os.path.basename(prefix) + ".index" not in names
