"""Folders that one process at a time writes to."""

import contextlib
import os
import sys
from typing import Any, Callable, Iterator

from albert_zh.common import files, path_rules

try:
    import fcntl
except ImportError:  # not on Windows: there no folder is locked
    fcntl = None  # type: ignore[assignment] # every use asks first


def open_locked_folder(path: str, lock: Callable[[int], Any]) -> int:
    """Makes a folder and locks it.

    Args:
        path: the folder. Whoever holds its lock may remove it; it is then created again.
        lock: function that locks a descriptor, once whoever holds the lock has gone.

    Returns:
        its descriptor, to be closed by the caller.
    """
    while True:
        os.makedirs(path, exist_ok=True)
        with contextlib.suppress(FileNotFoundError):  # removed meanwhile
            descriptor = os.open(path, os.O_RDONLY)
            try:
                lock(descriptor)
                is_still_there = os.path.samestat(os.fstat(descriptor), os.stat(path))
            except BaseException:
                os.close(descriptor)
                raise
            if is_still_there:
                return descriptor
            os.close(descriptor)


@contextlib.contextmanager
def one_at_a_time(folder: str) -> Iterator[None]:
    """Makes a folder and keeps a second process from writing there too; that one waits.

    Args:
        folder: path; it goes at the end if nothing is in it.

    Raises:
        UserError: if it cannot be made.
    """
    path_rules.check_local(folder)
    if fcntl is None:
        os.makedirs(folder, exist_ok=True)
        yield
        return
    try:
        descriptor = open_locked_folder(folder, lambda descriptor: _wait_for(descriptor, folder))
    except OSError as error:
        raise files.cannot_write(folder, error) from error
    try:
        yield
    finally:
        with contextlib.suppress(OSError):  # it stays where something is in it
            os.rmdir(folder)
        os.close(descriptor)  # only now: the next one would work in a folder that goes


def _wait_for(descriptor, folder):
    with contextlib.suppress(OSError):  # a file system without locks
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            print("another process is at work in %s: waiting for it" % folder, file=sys.stderr)
            fcntl.flock(descriptor, fcntl.LOCK_EX)
