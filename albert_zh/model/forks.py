"""Processes that were forked: TensorFlow's threads are not in them."""

import os

from albert_zh.common.errors import UserError

ABOUT_FORKS = (
    "start child processes with multiprocessing.get_context('spawn') and load the model in them, "
    "or fork before the first model is loaded"
)
_process_with_sessions = None  # id of the process that started TensorFlow's threads


def check_sessions_can_run(purpose: str = "loaded") -> None:
    """As `check_is_no_fork`, where a session is about to be made, whose threads no fork has.

    Args:
        purpose: what is to be done with a model.
    """
    global _process_with_sessions
    check_is_no_fork(purpose)
    _process_with_sessions = os.getpid()


def check_is_no_fork(purpose: str) -> None:
    """Raises `UserError` in a fork of a process with a session: it would wait for its threads.

    Args:
        purpose: what is to be done with a model.
    """
    if _process_with_sessions not in (None, os.getpid()):
        raise UserError(
            "no model can be %s in this process: it was forked from one that had loaded or trained "
            "a model, and TensorFlow's threads stayed there: %s" % (purpose, ABOUT_FORKS)
        )
