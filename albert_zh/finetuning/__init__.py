"""Fine-tuning: one loop for every kind of task.

from albert_zh import finetuning
results = finetuning.run(task_name="lcqmc", data_dir="data/pairs_sample", do_train=True, ...)
"""

import threading
from typing import Any, Dict, Optional

from albert_zh.common.errors import UserError

__all__ = ["run"]

_at_work = threading.Lock()  # a run takes over the logs and signals of the process


def run(family: str = "single_label", **settings: Any) -> Optional[Dict[str, Any]]:
    """Fine-tunes, evaluates or predicts, like the command with the same flags.

    Args:
        family: name of a kind of task, whose additional flags may be passed.
        **settings: {flag: value}, such as the flags of `run_classifier.py`.

    Returns:
        {"dev": metrics of the best checkpoint or None, "test": metrics or None, "metric": name of
        the metric that chose it, "checkpoint": its prefix or None}; None with --seeds or --search.

    Raises:
        UserError: for invalid settings, and data that do not fit.
        Interrupted: (of `albert_zh.common.errors`) after a Ctrl-C, once a checkpoint is saved from
            which the same call resumes; before the first step it is a `KeyboardInterrupt`.
    """
    from albert_zh.finetuning import flags, runner  # TensorFlow is loaded here
    from albert_zh.training import run_folder

    options = flags.of_settings(family, **settings)
    if not _at_work.acquire(blocking=False):
        raise UserError(
            "another fine-tuning is running in this process: wait for it, or start this one in a "
            "separate process"
        )
    try:
        with run_folder.logs_of_host():
            return runner.run(options=options, family=family, is_command=False)
    finally:
        _at_work.release()
