"""Reading users' text files with clear errors; writing files that appear whole or not at all."""

import codecs
import contextlib
import glob
import gzip
import hashlib
import json
import os
import shutil
import socket
import sys
from typing import IO, Any, Callable, Iterator, List, Tuple
import zlib

from errors import UserError

try:
    import fcntl
except ImportError:  # not on Windows: there no folder is locked
    fcntl = None

_GZIP_MAGIC = b"\x1f\x8b"
_BYTE_ORDER_MARK = "\ufeff"
_LOOKED_AT = 1 << 16  # bytes by which an encoding is told
# A path that is not UTF-8 has bytes that only an escape can tell; JSON reads it as what it was.
_TEXT_SETTINGS = {"encoding": "utf-8", "newline": "\n", "errors": "backslashreplace"}


@contextlib.contextmanager
def whole_file(path: str) -> Iterator[str]:
    """Lets a file appear whole or not at all.

    Args:
        path: the file to make or replace; its folder is made if missing.

    Yields:
        a path beside it to write to, renamed to `path` when the block ends without an error.

    Raises:
        UserError: when the file cannot be written (read-only folder, full disk ...).
    """
    if os.path.exists(path) and not os.path.isfile(path):
        raise UserError("%s: expected a file to write, found a folder, device or pipe" % path)
    partial = partial_path(path)
    remove_left_behind(path)
    try:
        os.makedirs(os.path.dirname(path) or ".", exist_ok=True)
        yield partial
        sync(partial)
        os.replace(partial, path)
    except BrokenPipeError:  # of what the block prints, not of the file
        raise
    except OSError as error:
        raise cannot_write(path, error) from error
    finally:
        with contextlib.suppress(OSError):
            os.remove(partial)


def is_same_path(path: str, other: str) -> bool:
    """Whether two paths lead to one place, through links too; neither needs to be there."""
    return os.path.realpath(path) == os.path.realpath(other)


def sync(path: str) -> None:
    """Waits until a file's bytes are on the disk, to survive a power cut."""
    with open(path, "rb") as handle:
        os.fsync(handle.fileno())


def partial_path(path: str) -> str:
    """Where this process writes what is to become `path`: machines may share the folder."""
    return "%s%d" % (_partial_prefix(path), os.getpid())


def _partial_prefix(path):
    return "%s.partial-%s-" % (path, socket.gethostname())


def remove_left_behind(path: str) -> None:
    """Removes the partial files and folders of this machine's processes that were killed."""
    prefix = _partial_prefix(path)
    for partial in glob.glob(glob.escape(prefix) + "*"):
        process = partial[len(prefix) :]
        if process.isdigit() and not os.path.exists("/proc/" + process):
            with contextlib.suppress(OSError):
                (shutil.rmtree if os.path.isdir(partial) else os.remove)(partial)


def open_locked_folder(path: str, lock: Callable[[int], Any]) -> int:
    """Makes a folder and locks it.

    Args:
        path: the folder. Whoever holds its lock may remove it; it is made anew then.
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
    if fcntl is None:
        os.makedirs(folder, exist_ok=True)
        yield
        return
    try:
        descriptor = open_locked_folder(folder, lambda descriptor: _wait_for(descriptor, folder))
    except OSError as error:
        raise cannot_write(folder, error) from error
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


@contextlib.contextmanager
def atomic_write(path: str, mode: str = "w") -> Iterator[IO]:
    """Opens a file for writing that appears whole or not at all, see `whole_file`.

    Args:
        path: the file to make or replace.
        mode: "w" (UTF-8 text, `\\n` line ends) or "wb".

    Yields:
        the open file.
    """
    text_settings = {} if "b" in mode else _TEXT_SETTINGS
    with whole_file(path) as partial, open(partial, mode, **text_settings) as handle:
        yield handle


def cannot_write(path: str, error: Exception) -> UserError:
    """The `UserError` for an error of the system or of TensorFlow met when writing `path`."""
    reason = getattr(error, "strerror", None) or str(error).split("\n")[0]
    told = UserError(
        "%s: cannot be written (%s): free space or choose another place" % (path, reason)
    )
    told.errno = getattr(error, "errno", None)  # a worker process hands it on, but no cause
    return told


def write_json(path: str, value: Any) -> None:
    """Writes `value` as indented JSON, whole or not at all."""
    with atomic_write(path) as handle:
        json.dump(value, handle, ensure_ascii=False, indent=2)
        handle.write("\n")


def read_json(path: str) -> Any:
    """Reads a JSON file; raises `UserError` with the line when it is not JSON."""
    try:
        return json.loads(read_text(path))
    except ValueError as error:
        if isinstance(error, UserError):
            raise
        raise UserError("%s: not valid JSON: %s" % (path, error)) from error


def strings_in(value: Any) -> Iterator[str]:
    """The strings in a JSON value, at any depth, without keys."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, (dict, list)):
        for part in value.values() if isinstance(value, dict) else value:
            yield from strings_in(part)


def read_bytes(path: str) -> bytes:
    """The content of a file; raises `UserError` when it is missing or unreadable."""
    try:
        with open(path, "rb") as handle:
            return handle.read()
    except OSError as error:
        raise UserError("%s: cannot be read: %s" % (path, error.strerror or error)) from error


@contextlib.contextmanager
def open_unpacked(path: str) -> Iterator[Tuple[IO, IO]]:
    """Opens a file for reading bytes, unpacked if it is a gzip file.

    Args:
        path: the file.

    Yields:
        (content, packed): where to read from, and the file as it lies on the disk, whose position
        tells how far reading has come.

    Raises:
        UserError: when the file is missing, unreadable, cut off or damaged.
    """
    try:
        with open(path, "rb") as packed:
            is_gzip = packed.read(len(_GZIP_MAGIC)) == _GZIP_MAGIC
            packed.seek(0)
            yield gzip.GzipFile(fileobj=packed) if is_gzip else packed, packed
    except (EOFError, zlib.error) as error:
        raise UserError(
            "%s: the gzip file is cut off or damaged (%s): make or fetch it again" % (path, error)
        ) from error
    except OSError as error:
        raise UserError("%s: cannot be read: %s" % (path, error.strerror or error)) from error


def read_text(path: str, encoding: str = "utf-8") -> str:
    """The text of a file without its byte-order mark.

    Args:
        path: the file.
        encoding: name of its encoding.

    Returns:
        str; line ends are left as they are.

    Raises:
        UserError: when the file is missing, unreadable or not in that encoding; names the line and,
            where it can be told, the encoding that the file seems to have.
    """
    raw = read_bytes(path)
    encoding = _known_encoding(encoding)
    try:
        return raw.decode(encoding).lstrip(_BYTE_ORDER_MARK)
    except UnicodeDecodeError as error:
        line = raw.count(b"\n", 0, error.start) + 1
        raise wrong_encoding("%s, line %d" % (path, line), error, encoding) from error


def read_lines(path: str, encoding: str = "utf-8") -> List[str]:
    """The lines of a text file, split at `\\n` only (`\\r\\n` too), without a last empty line.

    Args and errors as in `read_text`.
    """
    lines = read_text(path, encoding).split("\n")
    if lines[-1] == "":
        lines.pop()
    return [line[:-1] if line.endswith("\r") else line for line in lines]


def stream_lines(path: str, encoding: str = "utf-8", errors: str = "strict") -> Iterator[str]:
    """Yields the lines of a text file of any size, as `read_lines` would give them.

    Args:
        path: the file.
        encoding: name of its encoding.
        errors: what Python's codecs do with bytes that are not of it: "strict", "replace".

    Raises:
        UserError: as `read_text`.
    """
    codec = _known_encoding(encoding)
    try:
        with open(path, encoding=codec, errors=errors, newline="\n") as handle:
            for number, line in enumerate(handle):
                line = line if number else line.lstrip(_BYTE_ORDER_MARK)
                line = line[:-1] if line.endswith("\n") else line
                yield line[:-1] if line.endswith("\r") else line
    except UnicodeError as error:
        read_text(path, encoding)  # raises, and names the line; but for UTF-16 without a mark
        raise undecodable(path, codec, error) from error
    except OSError as error:
        raise UserError("%s: cannot be read: %s" % (path, error.strerror or error)) from error


def undecodable(name: str, encoding: str, error: Exception) -> UserError:
    """The `UserError` for text without what its encoding begins with: UTF-16 without a mark."""
    return UserError("%s: not %s text: %s" % (name, encoding.upper(), error))


def without_surrogates(text: str) -> str:
    """A text with U+FFFD for each half of a character, which no file in UTF-8 can hold."""
    return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")


def text_decoder(encoding: str) -> codecs.IncrementalDecoder:
    """A decoder of text that comes in blocks; `UserError` for an unknown encoding."""
    return codecs.getincrementaldecoder(_known_encoding(encoding))()


def count_lines(path: str) -> int:
    """Number of line ends in a file, and a last line without one."""
    count, last = 0, b"\n"
    with open(path, "rb") as handle:
        for block in iter(lambda: handle.read(1 << 20), b""):
            count += block.count(b"\n")
            last = block[-1:]
    return count + (last != b"\n")


def _known_encoding(encoding):
    """Python's name of an encoding: "UTF8" -> "utf-8"."""
    try:
        "".encode(encoding)  # also refuses codecs that are not of text, as "hex"
        return codecs.lookup(encoding).name
    except (LookupError, UnicodeError) as error:  # "undefined" is one that always fails
        raise UserError("--encoding: Python knows no encoding named %r" % encoding) from error


def sha256_of_file(path: str, show_read: Callable[[int], object] = lambda size: None) -> str:
    """Hexadecimal sha256 of a file's content, read in blocks; `show_read` gets their sizes."""
    digest = hashlib.sha256()
    with open(path, "rb") as handle:
        for block in iter(lambda: handle.read(1 << 20), b""):
            digest.update(block)
            show_read(len(block))
    return digest.hexdigest()


def wrong_line_ends(path: str) -> UserError:
    """The `UserError` for a text that carriage returns part into lines."""
    return UserError(
        "%s: its lines end with CR alone, as on old Macs: save it with the line ends of Windows or "
        "Linux (in Excel as CSV UTF-8)" % path
    )


def wrong_encoding(place: str, error: UnicodeDecodeError, encoding: str) -> UserError:
    """The `UserError` for a `UnicodeDecodeError`; names the encoding the text seems to have.

    Args:
        place: file and line.
        error: `UnicodeDecodeError`.
        encoding: the encoding it was taken for.
    """
    found = _likely_encoding(error.object) if encoding == "utf-8" else None
    if found is None:
        return UserError(
            "%s: not %s text (byte 0x%02x): is it the right file, and --encoding too?"
            % (place, encoding.upper(), error.object[error.start])
        )
    name, codec = found
    return UserError(
        "%s: the file is in %s, expected UTF-8: pass --encoding=%s or convert it "
        "(iconv -f %s -t utf-8)" % (place, name, codec, codec)
    )


def check_encoding(path: str, encoding: str) -> None:
    """Raises `UserError` where the beginning of a file that is taken for UTF-8 is in another one.

    A single damaged byte is none.
    """
    if _known_encoding(encoding) != "utf-8":
        return
    with open(path, "rb") as handle:
        head = handle.read(_LOOKED_AT)
    head = head[: head.rfind(b"\n") + 1] or head  # no character is cut in two
    try:
        codecs.getincrementaldecoder("utf-8")().decode(head)
    except UnicodeDecodeError as error:
        if _likely_encoding(head):
            line = head.count(b"\n", 0, error.start) + 1
            raise wrong_encoding("%s, line %d" % (path, line), error, "utf-8") from error


def _likely_encoding(raw):
    """What bytes that are not UTF-8 seem to be: (name, Python's codec), or None.

    GBK only if most of what is not ASCII is common hanzi or punctuation; damaged UTF-8 taken for
    GBK is hanzi as well, but rare ones.
    """
    if raw.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return "UTF-16", "utf-16"
    try:
        text = codecs.getincrementaldecoder("gb18030")().decode(raw)  # its end may be cut off
        foreign = [char for char in text if char > "\x7f"]
    except UnicodeDecodeError:
        return None
    codes = [char.encode("gb2312", "replace") for char in foreign]
    common = sum(b"\xb0" <= code < b"\xd8" or b"\xa1" <= code < b"\xa4" for code in codes)
    return ("GBK", "gb18030") if common > 0.7 * len(codes) else None
