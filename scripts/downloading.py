"""Downloads a file over HTTP: shows progress, checks the first bytes, resumes if interrupted."""

import contextlib
import errno
import http.client
import os
import queue
import re
import shutil
import sys
import threading
import time
from typing import Callable, Iterator, Optional
import urllib.error
import urllib.parse
import urllib.request

from albert_zh.common import files, validation
from albert_zh.common.errors import UserError
from albert_zh.common.files import cannot_write
from albert_zh.common.output_files import write_json

# Time until the response begins: name lookup, all addresses of a host, proxy and TLS together.
CONNECT_SECONDS = 5.0
# Time between two blocks of the file.
READ_SECONDS = 20.0
BLOCK_BYTES = 1 << 16
# Number of bytes that is enough to recognize the kind of a file.
HEAD_BYTES = 256
# More than any disk holds; a larger size is treated as invalid.
_LARGEST_FILE = 1 << 60
_DISK_IS_FULL = (errno.ENOSPC, errno.EDQUOT)
_SCHEMES = ("http", "https")
_CONTENT_RANGE = re.compile(r"bytes (\d{1,19})-(\d{1,19})/(\d{1,19}|\*)$")
_STATE = validation.record(
    {
        "url": validation.TEXT,
        "total": validation.or_none(validation.integer(0)),
        "validator": validation.or_none(validation.TEXT),
    },
    ["url", "total", "validator"],
)


class NotReachable(UserError):
    """The file could not be downloaded now, although neither the command nor the file is wrong."""


class NoSpace(UserError):
    """The disk is full; the part that was received can be used once there is space."""


def no_space(path: str, what: str) -> NoSpace:
    """Returns the error for a file or folder on a full disk.

    Args:
        path: the file or folder.
        what: its size and the operation, such as "15.9 MB to unpack".
    """
    return NoSpace(
        "%s: no disk space: %s, %s free: free space, then run the same command again"
        % (path, what, megabytes(free_bytes(path)))
    )


def free_bytes(path: str) -> int:
    """Free bytes on the disk of a file or folder, whose parent folder must exist."""
    return shutil.disk_usage(os.path.dirname(path) or ".").free


@contextlib.contextmanager
def full_disk_named(path: str, what: str) -> Iterator[None]:
    """Raises `no_space` in place of an OSError or `UserError` that says that the disk is full."""
    try:
        yield
    except (OSError, UserError) as error:
        if not _is_of_full_disk(error):
            raise
        raise no_space(path, what) from error


def _is_of_full_disk(error):
    return getattr(error, "errno", None) in _DISK_IS_FULL


class _Answer:
    """A server's response, with its position in the file and the size of the whole file."""

    def __init__(self, response, asked_offset):
        span = _span(response.headers) if response.status == 206 else None
        self.response = response
        self.offset, self.total = span or (0, None)
        if self.total is None and response.length is not None:
            self.total = self.offset + min(response.length, _LARGEST_FILE)
        self.validator = _strong_validator(response.headers)
        is_asked_part = span is not None and self.offset == asked_offset
        self.is_usable = response.status == 200 or is_asked_part


def _span(headers):
    """Returns (first byte, size of the file or None) of a partial response; None if invalid."""
    match = _CONTENT_RANGE.match(headers.get("Content-Range", ""))
    if match is None:
        return None
    first, last = int(match.group(1)), int(match.group(2))
    total = None if match.group(3) == "*" else int(match.group(3))
    if not first <= last < min(_LARGEST_FILE, _LARGEST_FILE if total is None else total):
        return None
    return first, total


def download(url: str, path: str, check_start: Callable[[bytes], None]) -> None:
    """Downloads a file; resumes an earlier download of the same file that was interrupted.

    The file `path + ".json"` records which file the bytes in `path` belong to. If the connection
    drops, the download is retried as long as each attempt receives more of the file.

    Args:
        url: http or https address.
        path: target path; its folder must exist.
        check_start: function called with the first bytes (up to `HEAD_BYTES` or more); raises
            `UserError` if the file is not of the expected kind.

    Raises:
        NotReachable: no connection, no such file, or the connection dropped; the received part is
            preserved.
        NoSpace: no space on the disk; the received part is preserved.
        UserError: the file was refused by `check_start`; the received part is removed.
    """
    for name in (path, _state_path(path)):
        if os.path.isdir(name):
            raise UserError("%s: is a folder, expected a file or nothing: move it away" % name)
    most = -1
    while not _receive(url, path, check_start):
        size = os.path.getsize(path) if os.path.exists(path) else 0
        if size <= most:
            raise NotReachable(
                "%s: the connection dropped after %s: run the same command again to continue"
                % (url, megabytes(size))
            )
        most = size


def discard(path: str) -> None:
    """Removes an unfinished download; folders with these names are not touched."""
    for name in (path, _state_path(path)):
        if not os.path.isdir(name):
            with contextlib.suppress(FileNotFoundError):
                os.remove(name)


def megabytes(size: float) -> str:
    """Formats a number of bytes, e.g. "15.9 MB"."""
    return "%.1f MB" % (size / 1e6)


def _receive(url, path, check_start):
    """Makes one attempt; returns whether the file is complete."""
    state = _known_state(url, path)
    received = os.path.getsize(path) if state else 0
    if state and received == state["total"]:
        return True
    answer = _ask(url, state, received)
    if answer is None:  # the received part does not match the server's file any more
        discard(path)
        answer = _ask(url, None, 0)
    if answer is None:
        raise UserError("%s: the server sent another part of the file than was requested" % url)
    with contextlib.closing(answer.response), full_disk_named(path, _left_to_download(answer)):
        _check_space(path, answer)
        write_json(
            _state_path(path), {"url": url, "total": answer.total, "validator": answer.validator}
        )
        try:
            return _copy(answer, path, check_start)
        except UserError as error:
            if not _is_of_full_disk(error):
                discard(path)
            raise


def _ask(url, state, received):
    """Requests the rest of the file; returns an `_Answer`, or None if it is not available."""
    headers = {"Accept-Encoding": "identity"}
    if received:
        headers.update({"Range": "bytes=%d-" % received, "If-Range": state["validator"]})
    response = _open(url, headers)
    if response is None:
        return None
    answer = _Answer(response, received)
    # Some servers support Range but ignore If-Range.
    changed = answer.offset > 0 and answer.validator != state["validator"]
    if changed or not answer.is_usable:
        response.close()
        return None
    return answer


def _open(url, headers):
    """Returns the response of a server; None if it does not have the requested range.

    This runs in a separate thread, as there is no time-out for name lookup or for trying several
    addresses.
    """
    outcome = queue.Queue()
    request = urllib.request.Request(_quoted(url), headers=headers)
    opener = urllib.request.build_opener(_RedirectHandler)

    def answer():
        try:
            outcome.put(opener.open(request, timeout=READ_SECONDS))
        except (OSError, OverflowError, http.client.HTTPException, ValueError) as error:
            outcome.put(error)

    threading.Thread(target=answer, daemon=True).start()
    try:
        response = outcome.get(timeout=CONNECT_SECONDS)
    except queue.Empty:
        raise NotReachable("%s: no answer within %g seconds" % (url, CONNECT_SECONDS)) from None
    if isinstance(response, urllib.error.HTTPError) and response.code == 416:
        return None
    if isinstance(response, Exception):
        raise _failure(url, response)
    return response


def _failure(url, error):
    """Returns `NotReachable` for an exception of urllib, or `UserError` for an invalid response.

    Text from a server is shown on one line, without terminal control characters.
    """
    reason = getattr(error, "reason", error)
    reason = validation.shown_key(str(getattr(reason, "strerror", None) or reason))
    if isinstance(error, UserError):
        return UserError("%s: %s" % (url, error))
    if isinstance(error, urllib.error.HTTPError) and 300 <= error.code < 400:
        return UserError(
            "%s: too many redirects, or one without an address (status %d)" % (url, error.code)
        )
    if isinstance(error, urllib.error.HTTPError):
        return NotReachable("%s: the server answered %d %s" % (url, error.code, reason))
    if isinstance(error, OSError):
        return NotReachable("%s: cannot be reached: %s" % (url, reason))
    return UserError("%s: the server's answer is not HTTP: %s" % (url, reason))


class _RedirectHandler(urllib.request.HTTPRedirectHandler):
    """Follows redirects to http and https only."""

    def http_error_302(self, request, response, code, message, headers):
        target = headers.get("Location") or headers.get("URI") or ""
        scheme = urllib.parse.urlsplit(urllib.parse.urljoin(request.full_url, target)).scheme
        if scheme not in _SCHEMES:
            raise UserError(
                "the server redirects to %s, expected an address of http or https"
                % validation.shown(target)
            )
        return super().http_error_302(request, response, code, message, headers)

    http_error_301 = http_error_303 = http_error_307 = http_error_308 = http_error_302


def _copy(answer, path, check_start):
    """Writes a response to `path`; returns whether the file is complete."""
    url_path = urllib.parse.urlparse(answer.response.url).path
    name = validation.shown_key(os.path.basename(url_path))
    progress = Progress(name, answer.offset, answer.total)
    done, head = answer.offset, b""
    is_checked, has_ended = answer.offset > 0, False
    try:
        with open(path, "r+b" if answer.offset else "wb") as target:
            target.seek(answer.offset)
            for block in _blocks(answer.response):
                target.write(block)
                done += len(block)
                head = head if is_checked else head + block
                if not is_checked and len(head) >= HEAD_BYTES:
                    check_start(head)
                    is_checked = True
                progress.show(done)
                has_ended = not block
                if done == answer.total:
                    break
            target.truncate()
    except OSError as error:
        raise cannot_write(path, error) from error
    finally:
        progress.finish(done)
    is_complete = has_ended if answer.total is None else done == answer.total
    if is_complete and not is_checked:
        check_start(head)
    return is_complete


def _left_to_download(answer):
    """Describes the part of a file that is still to be downloaded."""
    if answer.total is None:
        return "a file of unknown size to download"
    return "%s to download" % megabytes(answer.total - answer.offset)


def _blocks(response):
    """Yields blocks of the body as they arrive, and b"" at its end unless the connection drops."""
    block = None
    while block != b"":
        try:
            block = response.read1(BLOCK_BYTES)
        except (OSError, http.client.HTTPException):
            return
        yield block


def _check_space(path, answer):
    if answer.total is not None and answer.total - answer.offset > free_bytes(path):
        raise no_space(path, _left_to_download(answer))


def _state_path(path):
    return path + ".json"


def _known_state(url, path):
    """Returns the state of the partial file at `path`; None if it cannot be resumed."""
    try:
        state = files.read_json(_state_path(path), _STATE)
        is_usable = state["url"] == url and state["validator"] and os.path.getsize(path) > 0
        return state if is_usable else None
    except (OSError, UserError):
        return None


def _strong_validator(headers):
    """Returns the validator of this version of a file for `If-Range`; None if there is none."""
    tag = headers.get("ETag", "")
    return tag if tag.startswith('"') else headers.get("Last-Modified")


def checked_address(url: str) -> str:
    """Returns the address unchanged; raises `UserError` if it is not an http or https address."""
    try:
        address = urllib.parse.urlsplit(url)
        is_usable = address.scheme in _SCHEMES and address.hostname and address.port != 0
        (address.hostname or "").encode("idna")
    except ValueError:  # "http://[", a port that is too large, a host name of 300 characters
        is_usable = False
    if not is_usable or not url.isprintable():
        raise UserError(
            "%s: expected an address that begins with http:// or https:// and a host"
            % validation.shown(url)
        )
    return url


def _quoted(url):
    checked_address(url)
    return urllib.parse.quote(url, safe="%/:=&?~#+!$,;'@()*[]")


class Progress:
    """A line with size, rate and remaining time, updated on a terminal, else printed repeatedly."""

    def __init__(self, name: str, done: int, total: Optional[int]) -> None:
        self._name, self._total = name, total
        self._first = done
        self._begin = self._shown = time.time()
        self._is_terminal = sys.stdout.isatty()
        self._pause = 0.2 if self._is_terminal else 15.0

    def show(self, done: int) -> None:
        """Shows how much of the file was received, unless it was shown a moment ago."""
        if time.time() - self._shown >= self._pause:
            self._shown = time.time()
            self._print(done, end="")

    def finish(self, done: int) -> None:
        """Shows the final state."""
        self._print(done, end="\n")

    def _print(self, done, end):
        rate = (done - self._first) / max(time.time() - self._begin, 1e-6)
        line = "%s: %s" % (self._name, megabytes(done))
        if self._total:
            seconds = (self._total - done) / rate if rate else 0
            line += " of %s, ETA %d:%02d" % ((megabytes(self._total),) + divmod(int(seconds), 60))
        line += ", %s/s" % megabytes(rate)
        if self._is_terminal:
            print("\r\033[K" + line, end=end, flush=True)
        else:
            print(line, flush=True)
