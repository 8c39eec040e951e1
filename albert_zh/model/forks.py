"""Detects forked processes, which lack TensorFlow's threads."""

import os

from albert_zh.common.errors import UserError

ABOUT_FORKS = (
    "start child processes with multiprocessing.get_context('spawn') and load the model in them, "
    "or fork before the first model is loaded"
)
_process_with_sessions = None  # id of the process that started TensorFlow's threads


def check_sessions_can_run(purpose: str = "loaded") -> None:
    """As `check_is_no_fork`, to be called before a session is created in this process.

    Args:
        purpose: what is to be done with a model, for the error.
    """
    global _process_with_sessions
    check_is_no_fork(purpose)
    _process_with_sessions = os.getpid()


def check_is_no_fork(purpose: str) -> None:
    """Raises `UserError` in a fork of a process with a session, in which a session would hang.

    Args:
        purpose: what is to be done with a model, for the error.
    """
    if _process_with_sessions not in (None, os.getpid()):
        raise UserError(
            "no model can be %s in this process: it was forked from a process that had loaded or "
            "trained a model, and TensorFlow's threads do not survive a fork: %s"
            % (purpose, ABOUT_FORKS)
        )
