"""Files and folders of users, local or in remote storage: the one module that knows which.

    storage.exists("gs://bucket/records.tfrecord")
    with storage.open_binary(path) as content: ...
    storage.upload("/tmp/scratch/x", "gs://bucket/x")

Local paths are served by Python's own functions. Others, with a scheme such as `gs://`, are opened
by TensorFlow's file systems, and TensorFlow is imported for them alone. Every error is an OSError
of one line; of remote storage a `StorageError`, which has the way out.
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
import socket
import stat
import tempfile
from typing import IO, Any, Callable, Iterator, List

_BLOCK_BYTES = 8 << 20  # of a remote file, read or written at once
SCRATCH_VARIABLE = "ALBERT_ZH_SCRATCH"  # environment variable that names the scratch folder
_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://")
_PATTERN = re.compile(r"[*?\[]")
# What never belongs into a message: tokens and passwords in URLs and headers.
_SECRETS = re.compile(
    r"(?i)(bearer |access_token=|X-Goog-Signature=|X-Amz-Signature=)[^\s&]+|(?<=://)[^/@\s]+@"
)

_LOG_IN = (
    "log in (gcloud auth application-default login), or give the machine's service account access "
    "to the bucket"
)
_TRY_AGAIN = "check the connection and run the command again"
# By the class of TensorFlow's error: (errno, what is said, the way out).
_EXPLANATIONS = {
    "NotFoundError": (errno.ENOENT, "not found (404)", "check the bucket's and the file's name"),
    "PermissionDeniedError": (errno.EACCES, "no access (403)", _LOG_IN),
    "UnauthenticatedError": (errno.EACCES, "not logged in (401)", _LOG_IN),
    "DeadlineExceededError": (errno.ETIMEDOUT, "no answer in time (timeout)", _TRY_AGAIN),
    "UnavailableError": (errno.EAGAIN, "the service is unavailable (503)", _TRY_AGAIN),
    "AbortedError": (errno.EAGAIN, "the connection was broken off", _TRY_AGAIN),
    "UnimplementedError": (
        errno.ENOTSUP,
        "this TensorFlow has no such file system",
        "copy it to a local path or to gs://",
    ),
}
_RETRIED = (errno.ETIMEDOUT, errno.EAGAIN, errno.EIO)  # reading is tried once more
_NAMED_STATUS = re.compile(r"(?:HTTP response code|libcurl code) (\d+)")
_STATUS = {"401": "UnauthenticatedError", "403": "PermissionDeniedError", "404": "NotFoundError"}
_LIBCURL = {"28": "DeadlineExceededError", "6": "AbortedError", "7": "UnavailableError"}


class StorageError(OSError):
    """What remote storage refuses, in a line.

    Attributes:
        way_out: str, what to do about it.
    """

    def __init__(self, number: int, reason: str, path: str, way_out: str):
        """Initializes the storage error.

        Args:
            number: errno that fits.
            reason: what was refused.
            path: of what.
            way_out: what to do about it.
        """
        super().__init__(number, reason, path)
        self.way_out = way_out

    def __reduce__(self):
        return StorageError, (self.errno, self.strerror, self.filename, self.way_out)


def is_remote(path: str) -> bool:
    """Whether a path has a scheme, such as `gs://bucket/name`."""
    return _SCHEME.match(os.fspath(path)) is not None


def _gfile():
    """TensorFlow's file systems; imported where a path is remote, as it takes seconds."""
    import tensorflow.compat.v1 as tf

    return tf.gfile


@contextlib.contextmanager
def _explained(path: str) -> Iterator[None]:
    """Turns errors of TensorFlow's file systems into `StorageError`."""
    try:
        yield
    except OSError:
        raise
    except Exception as error:  # re-raised unless it is of TensorFlow
        if not hasattr(error, "error_code"):
            raise
        raise storage_error(path, error) from error


def storage_error(path: str, error: Exception) -> StorageError:
    """The `StorageError` for an error of TensorFlow about a remote file."""
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
        number, way_out = errno.EIO, _TRY_AGAIN
    return StorageError(number, reason, path, way_out)


def without_secrets(text: str) -> str:
    """A message without the tokens and passwords that URLs and headers may have."""
    return _SECRETS.sub("...", text)


def normalized(path: str) -> str:
    """A remote path without a slash at its end, `.` and `..`; a local one as `os.path.realpath`."""
    if not is_remote(path):
        return os.path.realpath(path)
    scheme, _, rest = path.partition("://")
    return "%s://%s" % (scheme, posixpath.normpath(rest).lstrip("/"))


def absolute(path: str) -> str:
    """The path that means the same wherever the process stands."""
    return path if is_remote(path) else os.path.abspath(path)


def exists(path: str) -> bool:
    """Whether there is a file or folder of a name."""
    if not is_remote(path):
        return os.path.exists(path)
    with _explained(path):
        return _gfile().Exists(path)


def is_folder(path: str) -> bool:
    """Whether there is a folder of a name; of a bucket, whether a name begins with its."""
    if not is_remote(path):
        return os.path.isdir(path)
    with _explained(path):
        return _gfile().IsDirectory(path)


def is_file(path: str) -> bool:
    """Whether there is a file of a name."""
    if not is_remote(path):
        return os.path.isfile(path)
    return exists(path) and not is_folder(path)


def size(path: str) -> int:
    """Bytes of a file."""
    if not is_remote(path):
        return os.path.getsize(path)
    with _explained(path):
        return _gfile().Stat(path).length


def fingerprint(path: str) -> str:
    """Size and time of a file, by which a replaced one shows."""
    if not is_remote(path):
        status = os.stat(path)
        return "%d %d" % (status.st_size, status.st_mtime_ns)
    with _explained(path):
        status = _gfile().Stat(path)
    return "%d %d" % (status.length, status.mtime_nsec)


def modified(path: str) -> float:
    """When a file was written, in seconds since 1970."""
    if not is_remote(path):
        return os.path.getmtime(path)
    with _explained(path):
        return _gfile().Stat(path).mtime_nsec / 1e9


def names_in(folder: str) -> List[str]:
    """The names in a folder, sorted; of folders in remote storage without the slash."""
    if not is_remote(folder):
        return sorted(os.listdir(folder))
    with _explained(folder):
        return sorted({name.rstrip("/") for name in _gfile().ListDirectory(folder)} - {""})


def matching(pattern: str) -> List[str]:
    """The paths that fit a pattern, sorted.

    Args:
        pattern: of `glob`, with `**` for folders at any depth.
    """
    if not is_remote(pattern):
        return sorted(glob.glob(pattern, recursive=True))
    if not _PATTERN.search(pattern):
        return [pattern] if exists(pattern) else []
    if "**" in pattern:
        folder = posixpath.dirname(pattern.split("**")[0] + "x")
        expression = re.compile(_expression_of(pattern))
        return [path for path in files_below(folder) if expression.fullmatch(path)]
    with _explained(pattern):
        return sorted(path.rstrip("/") for path in _gfile().Glob(pattern))


def _expression_of(pattern):
    """The regular expression of a pattern with `**`."""
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
    """The paths in a folder whose names fit a pattern, sorted; the folder's name is no pattern."""
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
    """All files in a remote folder and below, but hidden ones, sorted."""
    paths, folders = [], [folder.rstrip("/")]
    while folders:
        place = folders.pop()
        with _explained(place):
            names = _gfile().ListDirectory(place)
        for name in names:
            path = posixpath.join(place, name.rstrip("/"))
            if name.startswith(".") or not name.rstrip("/"):
                continue
            (folders if _is_listed_folder(path, name) else paths).append(path)
    return sorted(paths)


def _is_listed_folder(path, name):
    """Whether a name of a listing is a folder's; buckets' listings mark them with a slash."""
    return name.endswith("/") if path.startswith("gs://") else is_folder(path)


def total_size(path: str) -> int:
    """Bytes of a file, or of all files in a folder and below."""
    if not is_folder(path):
        return size(path)
    if is_remote(path):
        return sum(map(size, files_below(path)))
    paths = (os.path.join(place, name) for place, _, names in os.walk(path) for name in names)
    return sum(map(size, paths))


def make_folders(path: str) -> None:
    """Makes a folder and those above it; buckets have none, and need none."""
    if not is_remote(path):
        os.makedirs(path, exist_ok=True)
    elif not is_folder(path):
        with _explained(path):
            _gfile().MakeDirs(path)


def rename(path: str, target: str) -> None:
    """Gives a file another name, in place of the file that has it."""
    if not (is_remote(path) or is_remote(target)):
        os.replace(path, target)
        return
    with _explained(target):
        _gfile().Rename(path, target, overwrite=True)


def remove(path: str) -> None:
    """Removes a file."""
    if not is_remote(path):
        os.remove(path)
        return
    with _explained(path):
        _gfile().Remove(path)


def remove_tree(path: str) -> None:
    """Removes a folder and all in it, if it is there."""
    if not is_remote(path):
        shutil.rmtree(path, ignore_errors=True)
    elif is_folder(path):
        with _explained(path):
            _gfile().DeleteRecursively(path)


class _RemoteReader(io.RawIOBase):
    """A remote file's bytes; a read that fails for once is tried a second time."""

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
        blocks = iter(lambda: self.read(_BLOCK_BYTES), b"")
        return b"".join(blocks)

    def _read(self, num_bytes):
        num_bytes = min(num_bytes, self._size - self._place)
        if num_bytes <= 0:
            return b""
        with _explained(self._path):
            if self._file is None:
                self._file = _gfile().GFile(self._path, "rb")
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
        OSError: when it is missing or unreadable.
    """
    if not is_remote(path):
        return open(path, "rb")
    if is_folder(path):
        raise StorageError(errno.EISDIR, "Is a directory", path, "name a file")
    return io.BufferedReader(_RemoteReader(path), _BLOCK_BYTES)


class RemoteBytes:
    """A remote file as a sequence of bytes that is read where it is sliced, a block ahead."""

    def __init__(self, path: str):
        """Initializes the remote bytes.

        Args:
            path: of the file.
        """
        self._size = size(path)
        self._content = open_binary(path)

    def __len__(self):
        return self._size

    def __getitem__(self, places):
        begin, end, _ = places.indices(self._size)
        if self._content.tell() != begin:
            self._content.seek(begin)
        return self._content.read(max(0, end - begin))

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self._content.close()


def _write_blocks(path, content):
    """Writes a remote file of what a local one holds, also where that is nothing."""
    with _gfile().GFile(path, "wb") as handle:
        handle.write(b"")
        for block in iter(lambda: content.read(_BLOCK_BYTES), b""):
            handle.write(block)


def upload(source: str, target: str) -> None:
    """Writes a local file to remote storage under a partial name and then renames it.

    Raises:
        StorageError: when it cannot be written; nothing is left behind then.
    """
    partial = "%s.partial-%s-%d" % (target, socket.gethostname(), os.getpid())
    make_folders(posixpath.dirname(target))
    try:
        with _explained(target), open(source, "rb") as content:
            _write_blocks(partial, content)
        if size(partial) != os.path.getsize(source):
            raise StorageError(errno.EIO, "was not written whole", target, _TRY_AGAIN)
        rename(partial, target)
    except BaseException:
        with contextlib.suppress(OSError):
            remove(partial)
        raise


def download(source: str, target: str, progress: Callable[[int], Any] = lambda size: None) -> None:
    """Copies a remote file to a local one, which appears whole or not at all."""
    partial = "%s.partial-%d" % (target, os.getpid())
    try:
        with open_binary(source) as content, open(partial, "wb") as handle:
            for block in iter(lambda: content.read(_BLOCK_BYTES), b""):
                handle.write(block)
                progress(len(block))
        os.replace(partial, target)
    finally:
        with contextlib.suppress(OSError):
            os.remove(partial)


def scratch_folder(path: str) -> str:
    """The local folder for what belongs to a remote path but must be local, made if missing.

    It is the same each time for the same path and user: what a killed run left is there again.
    It is below the folder that the environment variable ALBERT_ZH_SCRATCH names, or the system's
    folder for temporary files.
    """
    root = os.environ.get(SCRATCH_VARIABLE) or os.path.join(
        tempfile.gettempdir(), "albert_zh-%d" % (os.getuid() if hasattr(os, "getuid") else 0)
    )
    os.makedirs(root, mode=0o700, exist_ok=True)
    status = os.stat(root)
    if hasattr(os, "getuid") and (status.st_uid != os.getuid() or not stat.S_ISDIR(status.st_mode)):
        raise StorageError(
            errno.EACCES, "is another user's", root, "name a folder with %s" % SCRATCH_VARIABLE
        )
    name = hashlib.sha256(normalized(path).encode("utf-8", "surrogateescape")).hexdigest()[:16]
    folder = os.path.join(root, name)
    os.makedirs(folder, exist_ok=True)
    return folder


def local_copy(path: str) -> str:
    """A local file with a remote one's content, for libraries that read local files alone.

    A local path is its own copy. The copy is kept in the scratch folder and made again when the
    remote file has another size or time.
    """
    if not is_remote(path):
        return path
    digest = hashlib.sha256(fingerprint(path).encode()).hexdigest()[:8]
    target = os.path.join(scratch_folder(posixpath.dirname(path)), digest)
    os.makedirs(target, exist_ok=True)
    target = os.path.join(target, posixpath.basename(path))
    if not os.path.exists(target):
        download(path, target)
    return target


def local_copy_of_folder(path: str) -> str:
    """The same for a folder with all files below it."""
    if not is_remote(path):
        return path
    paths = files_below(path)
    state = "\n".join("%s %s" % (name, fingerprint(name)) for name in paths)
    digest = hashlib.sha256(state.encode()).hexdigest()[:8]
    target = os.path.join(scratch_folder(path), digest, posixpath.basename(path.rstrip("/")))
    for name in paths:
        copy = os.path.join(target, os.path.relpath(name[len(path.rstrip("/")) + 1 :], "."))
        os.makedirs(os.path.dirname(copy), exist_ok=True)
        if not os.path.exists(copy):
            download(name, copy)
    return target


def upload_folder(source: str, target: str) -> None:
    """Writes all files below a local folder to a remote one.

    Args:
        source: local folder.
        target: remote folder; other files of it stay.
    """
    for name in _names_below(source):
        upload(os.path.join(source, name), posixpath.join(target, name))


def replace_folder(source: str, target: str) -> None:
    """Writes a local folder's files to a remote one, in place of those that it has.

    All are uploaded under another name first. What makes a model visible goes first and comes last,
    so that nobody reads a mixture.

    Args:
        source: local folder.
        target: remote folder to make or replace.
    """
    partial = "%s.partial-%s-%d" % (target, socket.gethostname(), os.getpid())
    names = _names_below(source)
    try:
        upload_folder(source, partial)
        former = files_below(target) if is_folder(target) else []
        for path in sorted(former, key=lambda path: not _makes_visible(path)):
            remove(path)
        for name in names:
            make_folders(posixpath.dirname(posixpath.join(target, name)))
            rename(posixpath.join(partial, name), posixpath.join(target, name))
    finally:
        with contextlib.suppress(OSError):
            remove_tree(partial)


def _names_below(folder):
    """Paths of all files below a local folder, from there; what makes a model visible is last."""
    names = [
        os.path.relpath(os.path.join(place, name), folder)
        for place, _, found in os.walk(folder)
        for name in found
    ]
    return sorted(sorted(names), key=_makes_visible)


def _makes_visible(name):
    return name.endswith((".index", "saved_model.pb"))
