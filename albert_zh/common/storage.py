"""Accesses files and folders, local or in remote storage; only this module distinguishes them.

    storage.exists("gs://bucket/records.tfrecord")
    with open_binary(path) as content: ...

Local paths are handled by Python's own functions. Paths with a scheme such as `gs://` are handled
by TensorFlow's file systems; TensorFlow is imported only for those. Every error is an OSError with
a one-line message; errors of remote storage are a `StorageError`, which says what to do.
"""

import contextlib
import errno
import fnmatch
import glob
import hashlib
import io
import os
import posixpath
import re
import shutil
from typing import IO, Any, Callable, Iterator, List, Sequence, Tuple

BLOCK_BYTES = 8 << 20  # read from or written to a remote file at once
_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://")
_PATTERN = re.compile(r"[*?\[]")
# Tokens and passwords in URLs and headers, which must never appear in a message.
_SECRETS = re.compile(
    r"(?i)(bearer |access_token=|X-Goog-Signature=|X-Amz-Signature=)[^\s&]+|(?<=://)[^/@\s]+@"
)

_LOG_IN = (
    "log in (gcloud auth application-default login), or give the machine's service account access "
    "to the bucket"
)
TRY_AGAIN = "check the connection and run the command again"
_NO_NETWORK = (
    "check the network (behind a proxy set https_proxy), or copy the files here and give a local "
    "path"
)
# {class of TensorFlow's error, or error of its HTTP library: (errno, message, what to do)}.
_EXPLANATIONS = {
    "NotFoundError": (errno.ENOENT, "not found (404)", "check the bucket's and the file's name"),
    "PermissionDeniedError": (errno.EACCES, "no access (403)", _LOG_IN),
    "UnauthenticatedError": (errno.EACCES, "not logged in (401)", _LOG_IN),
    "DeadlineExceededError": (errno.ETIMEDOUT, "no answer in time (timeout)", TRY_AGAIN),
    "UnavailableError": (errno.EAGAIN, "the service is unavailable (503)", TRY_AGAIN),
    "AbortedError": (errno.EAGAIN, "the connection was closed", TRY_AGAIN),
    "no proxy": (errno.EHOSTUNREACH, "the proxy's name cannot be resolved", _NO_NETWORK),
    "no host": (errno.EHOSTUNREACH, "the host's name cannot be resolved", _NO_NETWORK),
    "no connection": (errno.EHOSTUNREACH, "no connection to the host or proxy", _NO_NETWORK),
    "UnimplementedError": (
        errno.ENOTSUP,
        "this TensorFlow has no such file system",
        "copy it to a local path or to gs://",
    ),
}
_RETRIED = (errno.ETIMEDOUT, errno.EAGAIN, errno.EIO)  # a read that fails so is retried once
_NAMED_STATUS = re.compile(r"(?:HTTP response code|libcurl code) (\d+)")
_STATUS = {"401": "UnauthenticatedError", "403": "PermissionDeniedError", "404": "NotFoundError"}
_LIBCURL = {
    "5": "no proxy",
    "6": "no host",
    "7": "no connection",
    "28": "DeadlineExceededError",
}


class StorageError(OSError):
    """An error of remote storage, with a one-line message.

    Attributes:
        way_out: str, what the user can do about it.
    """

    def __init__(self, number: int, reason: str, path: str, way_out: str) -> None:
        """Initializes the storage error.

        Args:
            number: the errno that fits best.
            reason: what went wrong.
            path: the remote path.
            way_out: what the user can do about it.
        """
        super().__init__(number, reason, path)
        self.way_out = way_out

    def __reduce__(self) -> Tuple[Any, ...]:
        return StorageError, (self.errno, self.strerror, self.filename, self.way_out)


def is_remote(path: str) -> bool:
    """Whether a path has a scheme, such as `gs://bucket/name`."""
    return _SCHEME.match(os.fspath(path)) is not None


def gfile() -> Any:
    """Returns TensorFlow's file system API; imported on demand, as the import takes seconds."""
    import tensorflow.compat.v1 as tf

    return tf.gfile


@contextlib.contextmanager
def explained(path: str) -> Iterator[None]:
    """Context manager that turns errors of TensorFlow's file systems into `StorageError`."""
    try:
        yield
    except OSError:
        raise
    except Exception as error:  # re-raised unless it comes from TensorFlow
        if not hasattr(error, "error_code"):
            raise
        raise storage_error(path, error) from error


def storage_error(path: str, error: Exception) -> StorageError:
    """Returns the `StorageError` for an error of TensorFlow about a remote file."""
    kind, text = type(error).__name__, str(error)
    status = _NAMED_STATUS.search(text)
    if status:
        table = _LIBCURL if "libcurl" in status.group() else _STATUS
        kind = table.get(status.group(1), kind)
    if kind in _EXPLANATIONS:
        number, reason, way_out = _EXPLANATIONS[kind]
    else:
        lines = [line.strip() for line in text.split("\n") if line.strip()]
        reason = without_secrets(lines[0]) if lines else kind
        number, way_out = errno.EIO, TRY_AGAIN
    return StorageError(number, reason, path, way_out)


def without_secrets(text: str) -> str:
    """Removes tokens and passwords in URLs and headers from a message."""
    return _SECRETS.sub("...", text)


def normalized(path: str) -> str:
    """Removes `.`, `..` and a final slash from a remote path; `os.path.realpath` of a local one."""
    if not is_remote(path):
        return os.path.realpath(path)
    scheme, _, rest = path.partition("://")
    return "%s://%s" % (scheme, posixpath.normpath(rest).lstrip("/"))


def absolute(path: str) -> str:
    """Returns the absolute path, which does not depend on the working directory."""
    return path if is_remote(path) else os.path.abspath(path)


def named_folder(folder: str) -> str:
    """Returns a folder's path, made absolute if it does not end in a name (`.`, `..`)."""
    if is_remote(folder):
        return folder
    path = os.path.normpath(folder or os.curdir)
    has_name = os.path.basename(path) not in ("", os.curdir, os.pardir)
    return path if has_name else os.path.abspath(path)


def joined(folder: str, name: str) -> str:
    """Joins paths like `os.path.join`, with remote paths treated as absolute."""
    return name if is_remote(name) else os.path.join(folder, name)


def exists(path: str) -> bool:
    """Whether a file or folder exists."""
    if not is_remote(path):
        return os.path.exists(path)
    with explained(path):
        return gfile().Exists(path)


def is_folder(path: str) -> bool:
    """Whether a folder exists; in a bucket, whether any object's name begins with the path."""
    if not is_remote(path):
        return os.path.isdir(path)
    with explained(path):
        return gfile().IsDirectory(path)


def is_file(path: str) -> bool:
    """Whether a path exists and is a file."""
    if not is_remote(path):
        return os.path.isfile(path)
    return exists(path) and not is_folder(path)


def size(path: str) -> int:
    """Size of a file in bytes."""
    if not is_remote(path):
        return os.path.getsize(path)
    with explained(path):
        return gfile().Stat(path).length


def fingerprint(path: str) -> str:
    """Size and modification time of a file, which reveal whether it was replaced."""
    if not is_remote(path):
        status = os.stat(path)
        return "%d %d" % (status.st_size, status.st_mtime_ns)
    with explained(path):
        status = gfile().Stat(path)
    return "%d %d" % (status.length, status.mtime_nsec)


def modified(path: str) -> float:
    """Modification time of a file, in seconds since 1970."""
    if not is_remote(path):
        return os.path.getmtime(path)
    with explained(path):
        return gfile().Stat(path).mtime_nsec / 1e9


def names_in(folder: str) -> List[str]:
    """Lists the names in a folder, sorted, without the final slash of remote folders."""
    if not is_remote(folder):
        return sorted(os.listdir(folder))
    with explained(folder):
        return sorted({name.rstrip("/") for name in gfile().ListDirectory(folder)} - {""})


def matching(pattern: str) -> List[str]:
    """Lists the paths that match a pattern, sorted.

    Args:
        pattern: pattern as for `glob`, in which `**` stands for folders at any depth.
    """
    if not is_remote(pattern):
        return sorted(glob.glob(pattern, recursive=True))
    if not _PATTERN.search(pattern):
        return [pattern] if exists(pattern) else []
    if "**" in pattern:
        folder = posixpath.dirname(pattern.split("**")[0] + "x")
        expression = re.compile(_expression_of(pattern))
        return [path for path in files_below(folder) if expression.fullmatch(path)]
    with explained(pattern):
        return sorted(path.rstrip("/") for path in gfile().Glob(pattern))


def _expression_of(pattern):
    """Translates a pattern with `**` into a regular expression."""
    pieces = [
        "/".join(_expression_of_name(name) for name in piece.split("/"))
        for piece in pattern.split("**/")
    ]
    return "(?:[^/]+/)*".join(pieces)


def _expression_of_name(name):
    expression = fnmatch.translate(name)
    expression = re.sub(r"^\(\?s:(.*)\)\\Z$", r"\1", expression)
    return expression.replace(".*", "[^/]*")


def in_folder(folder: str, pattern: str) -> List[str]:
    """Lists paths in a folder whose names match a pattern, sorted; `folder` is taken literally."""
    if not is_remote(folder):
        return sorted(glob.glob(os.path.join(glob.escape(folder), pattern)))
    if not is_folder(folder):
        return []
    return [
        posixpath.join(folder, name)
        for name in names_in(folder)
        if fnmatch.fnmatchcase(name, pattern)
    ]


def files_below(folder: str) -> List[str]:
    """Lists all files in a folder and its subfolders, without hidden ones, sorted."""
    if not is_remote(folder):
        found = glob.glob(os.path.join(glob.escape(folder), "**"), recursive=True)
        return sorted(filter(os.path.isfile, found))
    paths, folders = [], [folder.rstrip("/")]
    while folders:
        place = folders.pop()
        with explained(place):
            names = gfile().ListDirectory(place)
        for name in names:
            path = posixpath.join(place, name.rstrip("/"))
            if name.startswith(".") or not name.rstrip("/"):
                continue
            (folders if _is_listed_folder(path, name) else paths).append(path)
    return sorted(paths)


def _is_listed_folder(path, name):
    """Whether a listed name is a folder; listings of buckets mark folders with a slash."""
    return name.endswith("/") if path.startswith("gs://") else is_folder(path)


def total_size(path: str) -> int:
    """Size in bytes of a file, or of all files in a folder and its subfolders."""
    return sum(map(size, files_below(path) if is_folder(path) else [path]))


def make_folders(path: str) -> None:
    """Creates a folder and its parents; in a bucket this marks an empty folder."""
    if not is_remote(path):
        os.makedirs(path, exist_ok=True)
    elif not (path.startswith("gs://") and is_folder(path)):
        with explained(path):
            gfile().MakeDirs(path)


def rename(path: str, target: str) -> None:
    """Renames a file, replacing any file with the new name."""
    if not (is_remote(path) or is_remote(target)):
        os.replace(path, target)
        return
    with explained(target):
        gfile().Rename(path, target, overwrite=True)


def remove(path: str) -> None:
    """Removes a file."""
    if not is_remote(path):
        os.remove(path)
        return
    with explained(path):
        gfile().Remove(path)


def remove_tree(path: str) -> None:
    """Removes a folder and its contents, if it exists."""
    if not is_remote(path):
        shutil.rmtree(path, ignore_errors=True)
    elif is_folder(path):
        with explained(path):
            gfile().DeleteRecursively(path)


class _RemoteReader(io.RawIOBase):
    """Reads a remote file; a read that fails with a transient error is retried once."""

    def __init__(self, path):
        self._path = path
        self._file = None
        self._place = 0
        self._size = size(path)

    def readable(self):
        return True

    def seekable(self):
        return True

    def tell(self):
        return self._place

    def seek(self, offset, whence=io.SEEK_SET):
        base = {io.SEEK_SET: 0, io.SEEK_CUR: self._place, io.SEEK_END: self._size}[whence]
        self._place = base + offset
        self._file = None
        return self._place

    def readinto(self, buffer):
        try:
            content = self._read(len(buffer))
        except OSError as error:
            if error.errno not in _RETRIED:
                raise
            self._file = None
            content = self._read(len(buffer))
        buffer[: len(content)] = content
        self._place += len(content)
        return len(content)

    def readall(self):
        blocks = iter(lambda: self.read(BLOCK_BYTES), b"")
        return b"".join(blocks)

    def _read(self, num_bytes):
        num_bytes = min(num_bytes, self._size - self._place)
        if num_bytes <= 0:
            return b""
        with explained(self._path):
            if self._file is None:
                self._file = gfile().GFile(self._path, "rb")
                self._file.seek(self._place)
            return self._file.read(num_bytes)

    def close(self):
        if self._file is not None:
            self._file.close()
        self._file = None
        super().close()


def open_binary(path: str) -> IO[bytes]:
    """Opens a file for reading bytes.

    Raises:
        OSError: if it is missing or unreadable.
    """
    if not is_remote(path):
        return open(path, "rb")
    if is_folder(path):
        raise StorageError(errno.EISDIR, "Is a directory", path, "name a file")
    return io.BufferedReader(_RemoteReader(path), BLOCK_BYTES)


class RemoteBytes:
    """A remote file as a sequence of bytes; slices are read on demand, with read-ahead."""

    def __init__(self, path: str) -> None:
        """Initializes the remote bytes.

        Args:
            path: path of the remote file.
        """
        self._size = size(path)
        self._content = open_binary(path)

    def __len__(self) -> int:
        return self._size

    def __getitem__(self, places: slice) -> bytes:
        begin, end, _ = places.indices(self._size)
        if self._content.tell() != begin:
            self._content.seek(begin)
        return self._content.read(max(0, end - begin))

    def __enter__(self) -> "RemoteBytes":
        return self

    def __exit__(self, *_: Any) -> None:
        self._content.close()


def sha256_of_all(digests: Sequence[str]) -> str:
    """Combines the digests of several files into one digest."""
    return hashlib.sha256(" ".join(digests).encode()).hexdigest()


def sha256_of_file(path: str, show_read: Callable[[int], object] = lambda size: None) -> str:
    """Hexadecimal SHA-256 of a file; `show_read` is called with the size of each block read."""
    digest = hashlib.sha256()
    with open_binary(path) as handle:
        for block in iter(lambda: handle.read(1 << 20), b""):
            digest.update(block)
            show_read(len(block))
    return digest.hexdigest()
