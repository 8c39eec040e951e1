"""Files and folders that are being written, under names that say by which process of which machine.

partial = partial_path("a.txt")  # a.txt.partial-HOST-PROCESS
remove_left_behind("a.txt")      # those of processes that were killed
"""

import contextlib
import glob
import os
import shutil
import socket

__all__ = ["partial_path", "remove_left_behind", "remove_left_behind_in"]


def partial_path(path: str) -> str:
    """Where this process writes what is to become `path`: machines may share the folder."""
    return "%s%d" % (_partial_prefix(path), os.getpid())


def _partial_prefix(path):
    return "%s.partial-%s-" % (path, socket.gethostname())


def remove_left_behind(path: str) -> None:
    """Removes the partial files and folders of this machine's processes that were killed."""
    _remove_of_killed(glob.escape(_partial_prefix(path)))


def remove_left_behind_in(folder: str) -> None:
    """The same of all that was written in a folder, whatever it was to become."""
    prefix = glob.escape(_partial_prefix(""))
    _remove_of_killed(os.path.join(glob.escape(folder), "*" + prefix))


def _remove_of_killed(prefix):
    """`prefix`: a pattern of what is before the number of the process."""
    for partial in glob.glob(prefix + "*"):
        process = partial.rpartition(_partial_prefix(""))[2]
        if process.isdigit() and _has_ended(int(process)):
            with contextlib.suppress(OSError):
                (shutil.rmtree if os.path.isdir(partial) else os.remove)(partial)


def _has_ended(process):
    """Whether there is no process of a number, as far as the system says so."""
    if os.name != "posix":  # there the call below would end it
        return False
    try:
        os.kill(process, 0)  # sends nothing
    except ProcessLookupError:
        return True
    except (OSError, OverflowError):  # another user's; no number of a process
        return False
    return False
