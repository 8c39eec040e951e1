"""Prints messages of long commands on standard output and writes them to a run's log."""

import logging
import resource
import sys
import time
from typing import Any, Tuple

from tqdm import tqdm

from albert_zh.common.errors import printable


def say(message: str, *values: Any) -> None:
    """Prints a line for the user, and also writes it to the log of the run, if there is one."""
    line = printable(message % values if values else message)
    if sys.stdout is not None:  # it is None in a program without a terminal
        tqdm.write(line)
        sys.stdout.flush()
    logger = logging.getLogger("tensorflow")
    if not logger.propagate:  # it logs to a file; otherwise the line would be printed twice
        logger.info(line)


def exact_number(number: float) -> str:
    """Formats a number with the digits needed to read it back exactly, or six if they suffice."""
    text = "%g" % number
    return text if float(text) == number else repr(number)


def time_and_memory(begin: float) -> Tuple[str, float]:
    """Returns (time since `begin` as text, peak memory of this process in MB)."""
    megabytes = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024.0
    return readable_seconds(time.time() - begin), megabytes


def readable_seconds(seconds: float) -> str:
    """Formats a duration in minutes and seconds: 75 -> "1:15"."""
    minutes, seconds = divmod(int(round(seconds)), 60)
    hours, minutes = divmod(minutes, 60)
    return "%d:%02d:%02d" % (hours, minutes, seconds) if hours else "%d:%02d" % (minutes, seconds)
