"""Locks folders so that only one process at a time writes to them."""

import contextlib
import os
import sys
from typing import Any, Callable, Iterator

from albert_zh.common import files, path_rules

try:
    import fcntl
except ImportError:  # on Windows folders are not locked
    fcntl = None  # type: ignore[assignment] # checked before every use


def open_locked_folder(path: str, lock: Callable[[int], Any]) -> int:
    """Creates a folder and locks it.

    Args:
        path: the folder. The holder of its lock may remove it; it is then created again.
        lock: function that waits for the lock on a descriptor and takes it.

    Returns:
        the folder's descriptor, to be closed by the caller.
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
    """Creates a folder and locks it; a second process that wants to write there waits.

    Args:
        folder: path; the folder is removed at the end if it is empty.

    Raises:
        UserError: if the folder cannot be created.
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
        with contextlib.suppress(OSError):  # fails if the folder is not empty
            os.rmdir(folder)
        os.close(descriptor)  # only now, or the next process could use a folder that is removed


def _wait_for(descriptor, folder):
    with contextlib.suppress(OSError):  # a file system without locks
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            print("another process is using %s: waiting for it" % folder, file=sys.stderr)
            fcntl.flock(descriptor, fcntl.LOCK_EX)
