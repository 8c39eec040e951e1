"""Names of files and folders that are being written, which include the host and process ID.

partial = partial_path("a.txt")  # a.txt.partial-HOST-PROCESS
remove_left_behind("a.txt")      # removes the partial files of processes that were killed
"""

import contextlib
import glob
import os
import shutil
import socket

__all__ = ["is_left_behind", "partial_path", "remove_left_behind", "remove_left_behind_in"]


def partial_path(path: str) -> str:
    """Path at which this process writes the future `path`, unique among hosts and processes."""
    return "%s%d" % (_partial_prefix(path), os.getpid())


def _partial_prefix(path):
    return "%s.partial-%s-" % (path, socket.gethostname())


def remove_left_behind(path: str) -> None:
    """Removes partial files and folders of `path` left by killed processes of this machine."""
    _remove_of_killed(glob.escape(_partial_prefix(path)))


def remove_left_behind_in(folder: str) -> None:
    """Removes all partial files and folders in `folder` left by this machine's killed processes."""
    prefix = glob.escape(_partial_prefix(""))
    _remove_of_killed(os.path.join(glob.escape(folder), "*" + prefix))


def _remove_of_killed(prefix):
    """Removes files of ended processes; `prefix` is a pattern of the path up to the process ID."""
    for partial in glob.glob(prefix + "*"):
        if is_left_behind(partial):
            with contextlib.suppress(OSError):
                (shutil.rmtree if os.path.isdir(partial) else os.remove)(partial)


def is_left_behind(path: str) -> bool:
    """Whether a path is a partial one of a process of this machine that has ended."""
    _, prefix, process = path.rpartition(_partial_prefix(""))
    return bool(prefix) and process.isdigit() and _has_ended(int(process))


def _has_ended(process):
    """Whether no process with this ID is running, as far as the system reports it."""
    if os.name != "posix":  # on Windows the call below would end the process
        return False
    try:
        os.kill(process, 0)  # sends nothing
    except ProcessLookupError:
        return True
    except (OSError, OverflowError):  # another user's process, or not a valid process ID
        return False
    return False
