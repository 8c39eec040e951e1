"""Lines of a file or of standard input, as they come: who writes one into a pipe is answered."""

import codecs
import contextlib
import os
import sys
from typing import Iterator, List, Optional, Tuple

from errors import UserError
import files

BYTES_AT_ONCE = 1 << 16


def groups_of_lines(
    path: Optional[str] = None, encoding: str = "utf-8", progress=None
) -> Iterator[List[Tuple[str, str]]]:
    """Yields lines in groups, each of what is there at a time; memory stays flat.

    Args:
        path: the file; None for standard input.
        encoding: name of its encoding.
        progress: function that is told how many bytes were read, or None.

    Yields:
        lists of (place, line): "FILE, line 3" and the line without its end.

    Raises:
        UserError: if the file cannot be read, is not of that encoding (names the line) or ends its
            lines with CR alone.
    """
    decoder = files.text_decoder(encoding)
    name, number, rest = path or "standard input", 0, ""
    with _opened(path) as stream:
        for block in _blocks(stream, name):
            try:
                text = rest + decoder.decode(block, final=not block)
            except UnicodeDecodeError as error:
                line = number + 1 + error.object.count(b"\n", 0, error.start)
                place = "%s, line %d" % (name, line)
                raise files.wrong_encoding(place, error, codecs.lookup(encoding).name) from error
            except UnicodeError as error:
                raise files.undecodable(name, encoding, error) from error
            *lines, rest = text.split("\n")
            if not block and rest:
                if not number and "\r" in rest[:-1]:
                    raise files.wrong_line_ends(name)
                lines, rest = lines + [rest], ""
            group = [
                ("%s, line %d" % (name, number + index), _bare(line, is_first=number + index == 1))
                for index, line in enumerate(lines, start=1)
            ]
            number += len(group)
            if group:
                yield group
            if progress is not None:
                progress(len(block))


def size_of_input(path: Optional[str]) -> Optional[int]:
    """Bytes of a file; None where they are not known beforehand."""
    return os.path.getsize(path) if path and os.path.isfile(path) else None


@contextlib.contextmanager
def _opened(path):
    if path is None and sys.stdin is None:
        raise UserError("standard input is closed: name a file, or write lines into a pipe")
    if path is None:
        yield sys.stdin.buffer
        return
    try:
        stream = open(path, "rb")  # noqa: SIM115  (closed below)
    except OSError as error:
        raise UserError("%s: cannot be read: %s" % (path, error.strerror or error)) from error
    with stream:
        yield stream


def _blocks(stream, name):
    """Yields what a stream has at a time; an empty block is the end."""
    try:
        while True:
            block = stream.read1(BYTES_AT_ONCE)
            yield block
            if not block:
                return
    except OSError as error:
        raise UserError("%s: cannot be read: %s" % (name, error.strerror or error)) from error


def _bare(line, is_first):
    line = line[:-1] if line.endswith("\r") else line
    return line[1:] if is_first and line.startswith("\ufeff") else line
