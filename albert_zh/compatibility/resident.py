"""The contents of the toolkit's former module `resident`: models kept in memory, and their rows."""

from albert_zh.inference import input_rows, loaded_model
from albert_zh.inference.arguments import ARGUMENTS, check_arguments, check_precision, checked_path
from albert_zh.inference.input_rows import *  # noqa: F403
from albert_zh.inference.loaded_model import *  # noqa: F403
from albert_zh.inference.runtimes.checkpoint_session import INPUT_NAMES, CheckpointSession
from albert_zh.model.forks import check_sessions_can_run

__all__ = [
    *input_rows.__all__,
    *loaded_model.__all__,
    "ARGUMENTS",
    "CheckpointSession",
    "INPUT_NAMES",
    "check_arguments",
    "check_precision",
    "check_sessions_can_run",
    "checked_path",
]
