"""Lines for the user of a long command: on standard output and in a run's log."""

import logging
import resource
import sys
import time
from typing import Any, Tuple

from tqdm import tqdm

from albert_zh.common.errors import printable


def say(message: str, *values: Any) -> None:
    """A line for the user, on standard output and in the log of a run, where there is one."""
    line = printable(message % values if values else message)
    if sys.stdout is not None:  # as of a program without a terminal
        tqdm.write(line)
        sys.stdout.flush()
    logger = logging.getLogger("tensorflow")
    if not logger.propagate:  # into a file; else the line would be on the terminal twice
        logger.info(line)


def exact_number(number: float) -> str:
    """A number in as few digits as it takes to read it back, six of them where those are enough."""
    text = "%g" % number
    return text if float(text) == number else repr(number)


def time_and_memory(begin: float) -> Tuple[str, float]:
    """(time since `begin` in words, the most memory this process had, in MB)."""
    megabytes = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024.0
    return readable_seconds(time.time() - begin), megabytes


def readable_seconds(seconds: float) -> str:
    """A duration as people write it: 75 -> "1:15"."""
    minutes, seconds = divmod(int(round(seconds)), 60)
    hours, minutes = divmod(minutes, 60)
    return "%d:%02d:%02d" % (hours, minutes, seconds) if hours else "%d:%02d" % (minutes, seconds)
