"""Reads users' files; the errors say how to correct the problem."""

import codecs
import collections
import contextlib
import errno
import gzip
import io
import itertools
import json
import re
from typing import IO, Any, Dict, Iterator, List, Optional, Sequence, Tuple
import zlib

from albert_zh.common import storage, system_errors, text_encodings, validation
from albert_zh.common.errors import UserError

_GZIP_MAGIC = b"\x1f\x8b"
_BYTE_ORDER_MARK = "\ufeff"
DEEPEST_JSON = 100  # nesting levels; Python's own functions fail at several hundred
_MOST_DIGITS = 400  # of an integer in JSON; the largest float has 309
_LOOKED_AT = 1 << 16  # bytes read to detect an encoding
_NO_PERMISSION = "make it readable for this user (chmod), or name a copy that is"
_ADVICE_ON_READING = {
    errno.EISDIR: "it is a folder, expected a file: name one in it",
    errno.EACCES: _NO_PERMISSION,
    errno.EPERM: _NO_PERMISSION,
}


def is_same_path(path: str, other: str) -> bool:
    """Whether two paths refer to the same place, with links resolved; neither needs to exist."""
    return storage.normalized(path) == storage.normalized(other)


def cannot_read(path: str, error: OSError) -> UserError:
    """Returns the `UserError` for an error of the system or remote storage on reading `path`."""
    way_out = getattr(error, "way_out", None) or _ADVICE_ON_READING.get(error.errno or 0)
    reason = error.strerror or str(error)
    unreadable = UserError(
        "%s: cannot be read: %s%s" % (path, reason, ": " + way_out if way_out else "")
    )
    unreadable.errno = error.errno
    return unreadable


def cannot_write(path: str, error: Exception) -> UserError:
    """Returns the `UserError` for an error of the system or TensorFlow on writing `path`."""
    user_error = UserError(
        "%s: cannot be written (%s): %s"
        % (path, system_errors.reason(error), system_errors.advice(error))
    )
    user_error.errno = system_errors.number_of(error)  # worker processes pass it on, but no cause
    return user_error


def read_json(
    path: str, kind: Optional[validation.Kind] = None, way_out: Optional[str] = None
) -> Any:
    """Reads a JSON file in UTF-8, with or without a byte-order mark.

    Args:
        path: the file.
        kind: expected `validation.Kind` of its content; None for any.
        way_out: what the user can do if the file is damaged, for the error message.

    Raises:
        UserError: if the file is missing, unreadable or not valid JSON, see `parse_json`, or if its
            content is not of the expected kind; the message names the key.
    """
    try:
        content = parse_json(read_text(path), path)
        fault = None if kind is None else validation.fault_of(path, content, kind)
        if fault is not None:
            raise UserError(fault)
        return content
    except UserError as error:
        raise UserError("%s: %s" % (error, way_out)) if way_out else error from None


def parse_json(text: str, name: str) -> Any:
    """Parses a JSON text.

    Args:
        text: the content of a file or a line.
        name: where the text comes from, for error messages: its file, and line if any.

    Raises:
        UserError: if the text is not valid JSON (the message names the line), has a repeated key in
            an object or a number of absurd length, or is nested deeper than `DEEPEST_JSON` levels.
    """
    if not text.strip():
        raise UserError("%s: is empty, expected JSON" % name)
    try:
        value = json.loads(
            text, object_pairs_hook=object_without_repeated_keys, parse_int=_integer_of_digits
        )
        is_too_deep = _is_deeper_than(value, DEEPEST_JSON)
    except ValueError as error:
        raise UserError("%s: not valid JSON: %s" % (name, error)) from error
    except RecursionError:
        is_too_deep = True
    if is_too_deep:
        raise UserError(
            "%s: its lists and objects are nested too deeply, expected at most %d levels"
            % (name, DEEPEST_JSON)
        )
    return value


def object_without_repeated_keys(pairs: Sequence[Tuple[str, Any]]) -> Dict[str, Any]:
    """Builds a JSON object; to be used as `object_pairs_hook` of `json.loads`.

    Raises:
        ValueError: if the object has the same key twice.
    """
    result = dict(pairs)
    if len(result) < len(pairs):
        repeated = collections.Counter(key for key, _ in pairs).most_common(1)[0][0]
        raise ValueError("an object has the key %r twice, expected once" % repeated[:80])
    return result


def _integer_of_digits(digits):
    """Parses an integer; refuses huge ones, for which Python takes long or raises errors."""
    if len(digits) > _MOST_DIGITS:
        raise ValueError("a number of %d digits, expected up to %d" % (len(digits), _MOST_DIGITS))
    return int(digits)


def _is_deeper_than(value, levels):
    """Whether lists and objects are nested deeper than `levels`; does not use recursion."""
    members = [value]
    for _ in range(levels + 1):
        containers = [member for member in members if isinstance(member, (dict, list))]
        if not containers:
            return False
        members = itertools.chain.from_iterable(
            member.values() if isinstance(member, dict) else member for member in containers
        )
    return True


def strings_in(value: Any) -> Iterator[str]:
    """Yields the strings in a JSON value at any depth, in order; keys are not included."""
    waiting = [value]
    while waiting:
        value = waiting.pop()
        if isinstance(value, str):
            yield value
        elif isinstance(value, (dict, list)):
            members = value.values() if isinstance(value, dict) else value
            waiting.extend(reversed(list(members)))


def read_bytes(path: str, digest: Any = None) -> bytes:
    """Reads the content of a file.

    Args:
        path: the file.
        digest: `hashlib` object that is updated with the bytes that are read, or None. Anything
            that is cached under a file's hash needs the hash of exactly these bytes, as the file
            may be replaced between reading and hashing it.

    Raises:
        UserError: if the file is missing or unreadable.
    """
    try:
        with storage.open_binary(path) as handle:
            content = handle.read()
    except OSError as error:
        raise cannot_read(path, error) from error
    if digest is not None:
        digest.update(content)
    return content


@contextlib.contextmanager
def open_unpacked(path: str) -> Iterator[Tuple[IO, IO]]:
    """Opens a file for reading bytes, unpacked if it is a gzip file.

    Args:
        path: the file.

    Yields:
        (content, packed): the unpacked stream to read from, and the file on disk, whose position
        shows the progress of reading.

    Raises:
        UserError: if the file is missing, unreadable, truncated or damaged.
    """
    try:
        with storage.open_binary(path) as packed:
            is_gzip = packed.read(len(_GZIP_MAGIC)) == _GZIP_MAGIC
            packed.seek(0)
            content: Any = gzip.GzipFile(fileobj=packed) if is_gzip else packed
            yield content, packed
    except (EOFError, zlib.error) as error:
        raise UserError(
            "%s: the gzip file is truncated or damaged (%s): create or download it again"
            % (path, error)
        ) from error
    except OSError as error:
        raise cannot_read(path, error) from error


def read_text(path: str, encoding: Optional[str] = None, digest: Any = None) -> str:
    """Reads the text of a file, without its byte-order mark.

    Args:
        path: the file.
        encoding: name of its encoding, as in --encoding; None for files that are always UTF-8.
        digest: as in `read_bytes`.

    Returns:
        the text, with its line ends unchanged.

    Raises:
        UserError: if the file is missing, unreadable or not in that encoding; the message names the
            line and, if it can be detected, the encoding that the file seems to have.
    """
    raw = read_bytes(path, digest)
    codec = known_encoding(encoding or "utf-8")
    try:
        return raw.decode(codec).lstrip(_BYTE_ORDER_MARK)
    except UnicodeDecodeError as error:
        line = raw.count(b"\n", 0, error.start) + 1
        raise wrong_encoding("%s, line %d" % (path, line), error, encoding and codec) from error


def read_lines(path: str, encoding: Optional[str] = None, digest: Any = None) -> List[str]:
    """Reads the lines of a text file, split at `\\n` or `\\r\\n`, without a last empty line.

    The arguments and errors are those of `read_text`; a text whose lines are separated by carriage
    returns alone is refused, too.
    """
    lines = read_text(path, encoding, digest).split("\n")
    if lines[-1] == "":
        lines.pop()
    _check_line_ends(path, lines)
    return [_without_return(line) for line in lines]


def stream_lines(
    path: str, encoding: Optional[str] = "utf-8", errors: str = "strict", digest: Any = None
) -> Iterator[str]:
    """Yields the lines of a text file of any size, the same lines as `read_lines`.

    Args:
        path: the file.
        encoding: name of its encoding; None for files that are always UTF-8.
        errors: how Python's codecs handle invalid bytes: "strict" or "replace".
        digest: as in `read_bytes`; it covers the whole file after the last line.

    Raises:
        UserError: as for `read_lines`.
    """
    codec = known_encoding(encoding or "utf-8")
    try:
        opened = storage.open_binary(path) if storage.is_remote(path) else io.FileIO(path)
        content = io.BufferedReader(_HashedFile(opened, digest))
        packed = _packed_file("%s, line 1" % path, content.peek(len(_GZIP_MAGIC)))
        if packed is not None:
            content.close()
            raise packed
        with io.TextIOWrapper(content, codec, errors, newline="\n") as handle:
            first_lines = list(itertools.islice(handle, 2))
            _check_line_ends(path, first_lines)
            for number, line in enumerate(itertools.chain(first_lines, handle)):
                line = line if number else line.lstrip(_BYTE_ORDER_MARK)
                yield _without_return(line[:-1] if line.endswith("\n") else line)
    except UnicodeError as error:
        # Raises an error that names the line, except for UTF-16 text without a byte-order mark.
        read_text(path, encoding)
        raise undecodable(path, codec, error) from error
    except OSError as error:
        raise cannot_read(path, error) from error


def _check_line_ends(path, first_lines):
    """Raises `UserError` for a file whose lines are separated by carriage returns alone."""
    if len(first_lines) == 1 and "\r" in first_lines[0].rstrip("\r\n"):
        raise wrong_line_ends(path)


def _without_return(line):
    return line[:-1] if line.endswith("\r") else line


class _HashedFile(io.RawIOBase):
    """An open file that updates a digest, if any, with the bytes that are read."""

    def __init__(self, content, digest):
        super().__init__()
        self._content, self._digest = content, digest

    def readable(self):
        return True

    def readinto(self, buffer):
        size = self._content.readinto(buffer)
        if self._digest is not None:
            self._digest.update(memoryview(buffer)[:size])
        return size

    def close(self):
        self._content.close()
        super().close()


def count_lines(path: str) -> int:
    """Number of lines in a file, including a last line without a line end."""
    count, last = 0, b"\n"
    with storage.open_binary(path) as handle:
        for block in iter(lambda: handle.read(1 << 20), b""):
            count += block.count(b"\n")
            last = block[-1:]
    return count + (last != b"\n")


def check_encoding(path: str, encoding: str) -> None:
    """Raises `UserError` if a file should be in UTF-8 but begins in another encoding.

    A single damaged byte is not taken for another encoding.
    """
    if known_encoding(encoding) != "utf-8":
        return
    with storage.open_binary(path) as handle:
        head = handle.read(_LOOKED_AT)
    head = head[: head.rfind(b"\n") + 1] or head  # so that no character is split
    try:
        codecs.getincrementaldecoder("utf-8")().decode(head)
    except UnicodeDecodeError as error:
        if text_encodings.likely_encoding(head):
            line = head.count(b"\n", 0, error.start) + 1
            raise wrong_encoding("%s, line %d" % (path, line), error, "utf-8") from error


def check_is_text(path: str, encoding: Optional[str]) -> None:
    """Raises `UserError` if a file is compressed, or binary, as its zero bytes show."""
    with storage.open_binary(path) as handle:
        head = handle.read(_LOOKED_AT)
    has_wide_characters = known_encoding(encoding or "utf-8").startswith(("utf-16", "utf-32"))
    is_compressed = head.startswith((b"\x1f\x8b", b"PK\x03\x04", b"BZh", b"\xfd7zXZ"))
    is_marked = head.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE))
    if is_compressed or (b"\0" in head and not (has_wide_characters or is_marked)):
        raise UserError(
            "%s: %s, expected text: unpack it or save it as UTF-8 first"
            % (path, "a compressed file" if is_compressed else "contains NUL bytes")
        )


def is_decodable(path: str, encoding: Optional[str]) -> bool:
    """Whether a text file can be decoded with an encoding."""
    try:
        for _ in stream_lines(path, encoding):
            pass
    except UserError:
        return False
    return True


_WORKBOOK_STARTS = (b"PK\x03\x04", b"\xd0\xcf\x11\xe0")  # of .xlsx and .xls
_SURROGATE = re.compile("[\ud800-\udfff]")


def undecodable(name: str, encoding: str, error: Exception) -> UserError:
    """Returns the `UserError` for text without the mark it needs: UTF-16 without a BOM."""
    return UserError("%s: not %s text: %s" % (name, encoding.upper(), error))


def check_decoded(text: str, place: str, remedy: str) -> None:
    """Raises `UserError` for a text with lone surrogates, which result from wrong decoding.

    Args:
        text: the text that was read.
        place: where it was read, for the message: an argument, or a file and line.
        remedy: what the user can do about it.
    """
    surrogate = _SURROGATE.search(text)
    if surrogate:
        raise UserError(
            "%s: character %d is %s, a surrogate (a byte or half a character that was decoded "
            "incorrectly): %s"
            % (place, surrogate.start() + 1, ascii(surrogate.group())[1:-1], remedy)
        )


def text_decoder(encoding: str) -> codecs.IncrementalDecoder:
    """Returns an incremental decoder; raises `UserError` for an unknown encoding."""
    return codecs.getincrementaldecoder(known_encoding(encoding))()


def known_encoding(encoding: str) -> str:
    """Returns Python's name for an encoding: "UTF8" -> "utf-8"."""
    try:
        "".encode(encoding)  # also refuses codecs that are not for text, such as "hex"
        return codecs.lookup(encoding).name
    except (LookupError, UnicodeError) as error:  # "undefined" is one that always fails
        raise UserError("--encoding: Python knows no encoding named %r" % encoding) from error


def wrong_line_ends(path: str) -> UserError:
    """Returns the `UserError` for a text whose lines are separated by carriage returns alone."""
    return UserError(
        "%s: its lines end with CR only, as on old Macs: save it with the line ends of Windows or "
        "Linux (in Excel as CSV UTF-8)" % path
    )


def _packed_file(place, head):
    """Returns the `UserError` for a packed file, recognized by its first bytes, or None."""
    if head.startswith(_GZIP_MAGIC):
        return UserError("%s: a gzip file, expected text: unpack it first (gunzip)" % place)
    if head.startswith(_WORKBOOK_STARTS):
        return UserError(
            "%s: an Excel workbook or another packed file, expected text: save it as CSV UTF-8"
            % place
        )
    return None


def wrong_encoding(
    place: str, error: UnicodeDecodeError, encoding: Optional[str] = None
) -> UserError:
    """Returns the `UserError` for a `UnicodeDecodeError`; names the likely encoding of the text.

    Args:
        place: file and line.
        error: the decoder's error.
        encoding: the encoding that was used, as in --encoding; None for files that are always
            UTF-8.
    """
    packed = _packed_file(place, bytes(error.object[:8]))
    if packed is not None:
        return packed
    is_part = encoding in ("gb2312", "gbk")  # subsets of GB18030
    is_looked_at = is_part or encoding in (None, "utf-8")
    likely = text_encodings.likely_encoding(error.object) if is_looked_at else None
    if likely is None:
        return UserError(
            "%s: not %s text (byte 0x%02x): is it the right file%s?"
            % (
                place,
                (encoding or "utf-8").upper(),
                error.object[error.start],
                ", and --encoding too" if encoding else "",
            )
        )
    name, codec = likely
    return UserError(
        "%s: the file is in %s, expected %s: %sconvert it (iconv -f %s -t utf-8)"
        % (
            place,
            "GB18030" if is_part else name,
            (encoding or "utf-8").upper(),
            "pass --encoding=%s or " % codec if encoding else "",
            codec,
        )
    )
