"""Explains errors of the operating system in one line, with what to do about them."""

import errno
import os
import re
from typing import Optional

_LIMIT_OF_FILES = "too many files are open: raise the limit (ulimit -n)"
_NO_PERMISSION = "choose another place, or change the permissions"
# Errors that are always caused by the state of the system, never by a bug of the program.
_ADVICE_ON_SYSTEM = {
    errno.ENOSPC: "free space or choose another place",
    errno.EDQUOT: "free space or choose another place",
    errno.EROFS: "choose another place: this one can only be read",
    errno.EMFILE: _LIMIT_OF_FILES,
    errno.ENFILE: _LIMIT_OF_FILES,
    errno.ENOMEM: "free memory",
    errno.EAGAIN: "too many processes run: end some, or raise the limit (ulimit -u)",
    errno.EIO: "check the disk, or choose another one",
    errno.ESTALE: "mount the network folder again, or choose another place",
    errno.EFBIG: "files may not be that large here (ulimit -f, file system): choose another place",
}
_ADVICE_ON_NAMES = {
    errno.EACCES: _NO_PERMISSION,
    errno.EPERM: _NO_PERMISSION,
    errno.ENAMETOOLONG: "choose a shorter name",
    errno.ELOOP: "its links form a loop: remove them or choose another place",
    errno.ENOTDIR: "a file stands where a folder is expected: choose another place",
    errno.EISDIR: "a folder stands where a file is expected: choose another name",
    errno.EEXIST: "a file stands where a folder is expected: choose another place",
    errno.ENOTEMPTY: "the folder has other files in it: choose another place",
    errno.ENOENT: "its folder no longer exists: create it or choose another place",
    errno.EINVAL: "this file system does not take such a name: choose another one",
    errno.EILSEQ: "this file system does not take such a name: choose another one",
    errno.EBUSY: "end the program that uses it, or choose another place",
    errno.ETXTBSY: "end the program that uses it, or choose another place",
}
_ADVICE = {**_ADVICE_ON_SYSTEM, **_ADVICE_ON_NAMES}
PHRASES = tuple(map(os.strerror, _ADVICE_ON_SYSTEM))  # TensorFlow's errors quote them, too
# Beginnings of lines in TensorFlow's errors that state no reason, and a pattern for node names.
_HEADINGS = ("Graph execution error", "Detected at node", "Node:", "File ", "Original stack trace")
_NODE = re.compile(r"\{\{.*?\}\} ?")


def number_of(error: Exception) -> Optional[int]:
    """Returns the errno of an error, if need be from the text of TensorFlow's error, or None."""
    error_number = getattr(error, "errno", None)
    if error_number is None:
        text = str(error)
        error_number = next((code for code in _ADVICE if os.strerror(code) in text), None)
    return error_number


def reason(error: Exception) -> str:
    """Says what went wrong, in one line; for errors of the system in the system's words."""
    words = getattr(error, "strerror", None)
    if words:
        return words
    lines = [_NODE.sub("", line).strip() for line in str(error).split("\n")]
    error_number = number_of(error)
    if error_number is not None:
        return next(
            (line for line in lines if os.strerror(error_number) in line), os.strerror(error_number)
        )
    descriptive = [line for line in lines if line and not line.startswith(_HEADINGS)]
    return (descriptive or lines)[0]


def advice(error: Exception) -> str:
    """Says what the user can do about an error."""
    if _is_in_folder(error):
        return "nothing can be created in this folder: choose another place"
    usual = _ADVICE.get(number_of(error) or 0, "choose another place")
    return getattr(error, "way_out", None) or usual


def _is_in_folder(error):
    """Whether a file or folder could not be created in an existing folder, such as /proc."""
    path, is_moved = getattr(error, "filename", None), getattr(error, "filename2", None)
    if number_of(error) != errno.ENOENT or is_moved or not isinstance(path, str):
        return False
    return os.path.isdir(os.path.dirname(path) or ".")


def is_of_system(error: OSError) -> bool:
    """Whether an error is due to the system (a full disk) or remote storage, not to a bug.

    A missing permission counts as an error of the system if the error names a path.
    """
    is_refused = isinstance(error, PermissionError) and error.filename is not None
    return hasattr(error, "way_out") or error.errno in _ADVICE_ON_SYSTEM or is_refused
