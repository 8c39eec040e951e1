"""Silences log messages of libraries about steps that the user did not ask for.

with library_logs.errors_only():
    model = tf.saved_model.loader.load(session, ["serve"], folder)
"""

import contextlib
import logging
from typing import Iterator

_LOGGERS = ("absl", "faiss", "matplotlib", "tensorflow")


@contextlib.contextmanager
def errors_only() -> Iterator[None]:
    """Makes TensorFlow (its Python side), Faiss and matplotlib log errors only."""
    loggers = [logging.getLogger(name) for name in _LOGGERS]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        for logger, level in zip(loggers, levels):
            logger.setLevel(level)
