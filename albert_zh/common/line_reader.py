"""Reads lines of a file or of standard input as they arrive, so pipes are answered at once."""

import codecs
import contextlib
import os
import re
import sys
from typing import Any, Callable, Iterable, Iterator, List, Optional, Tuple

from albert_zh.common import files, storage, validation
from albert_zh.common.errors import UserError
from albert_zh.common.progress import progress_bar

BYTES_AT_ONCE = 1 << 16
_BEGINNINGS_OF_TABLES = {".csv": "[^,]*,", ".json": r"\s*[\[{]", ".jsonl": r"\s*\{"}
_PREDICT = (
    ", or predict with the command that trained the model, which reads tables (--do_predict=true)"
)
_WRONG_TERMINAL = (
    "the terminal's encoding is not that of LANG: make both UTF-8 (export LANG=C.UTF-8), or put "
    "the texts into a file, and name its --encoding"
)


def check_arguments(texts: Iterable[str], name: str = "argument") -> None:
    """Raises `UserError` if a text on the command line is not in the locale's encoding.

    Args:
        texts: words of the command line, or values of flags.
        name: what the texts are called in the message.
    """
    for line_number, text in enumerate(texts, start=1):
        files.check_decoded(text, "%s %d" % (name, line_number), _WRONG_TERMINAL)


def ask(prompt: str) -> str:
    """Reads a line from the terminal, or from standard input.

    Raises:
        EOFError: at the end of the input.
        UserError: if the line is not in the locale's encoding.
    """
    try:
        line = input(prompt)
    except UnicodeDecodeError as error:
        raise UserError("standard input: %s" % _WRONG_TERMINAL) from error
    except RuntimeError as error:  # raised if sys.stdin is None
        raise UserError("standard input is closed: name a file") from error
    files.check_decoded(line, "standard input", _WRONG_TERMINAL)
    return line


def groups_of_lines(
    path: Optional[str] = None,
    encoding: str = "utf-8",
    progress: Optional[Callable[[int], Any]] = None,
) -> Iterator[List[Tuple[str, str]]]:
    """Yields groups of the lines that are available at a time, in constant memory.

    Args:
        path: the file; None for standard input.
        encoding: name of its encoding.
        progress: function called with the number of bytes read, or None.

    Yields:
        lists of (place, line): "FILE, line 3" and the line without its line end.

    Raises:
        UserError: if the file cannot be read, is not in that encoding (the message names the line)
            or separates its lines with CR alone.
    """
    name, line_number = path or "standard input", 0
    for lines, num_bytes in _completed_lines(path, name, encoding):
        group = [
            (
                "%s, line %d" % (name, line_number + index),
                _bare(line, is_first=line_number + index == 1),
            )
            for index, line in enumerate(lines, start=1)
        ]
        if group and not line_number:
            check_is_no_table(name, group[0][1])
        line_number += len(group)
        for source, line in group:
            files.check_decoded(line, source, "name the --encoding of the text")
        if group:
            yield group
        if progress is not None:
            progress(num_bytes)
    if path and not line_number:
        raise UserError("%s is empty: expected one text per line" % path)


def _completed_lines(path, name, encoding):
    """Yields (lines that end in a block, number of bytes of the block)."""
    decoder, line_number, parts = files.text_decoder(encoding), 0, []
    with _opened(path) as stream:
        for block in _blocks(stream, name):
            text = _decoded(decoder, block, name, line_number, encoding)
            *lines, rest = text.split("\n")
            if lines:  # the parts of a long line are joined only once, at its end
                lines[0] = "".join([*parts, lines[0]])
                parts = []
            parts.append(rest)
            last = "" if block else "".join(parts)
            if last:
                if not line_number and "\r" in last[:-1]:
                    raise files.wrong_line_ends(name)
                lines.append(last)
            line_number += len(lines)
            yield lines, len(block)


def _decoded(decoder, block, name, line_number, encoding):
    try:
        return decoder.decode(block, final=not block)
    except UnicodeDecodeError as error:
        line = line_number + 1 + error.object.count(b"\n", 0, error.start)
        source = "%s, line %d" % (name, line)
        raise files.wrong_encoding(source, error, codecs.lookup(encoding).name) from error
    except UnicodeError as error:
        raise files.undecodable(name, encoding, error) from error


def check_is_no_table(name: str, first_line: str, way_out: str = _PREDICT) -> None:
    """Raises `UserError` for a table or a JSON file, whose lines are not plain texts.

    Args:
        name: the file's name.
        first_line: the file's first line.
        way_out: what else the user can do with a table, for the error message.
    """
    beginning = _BEGINNINGS_OF_TABLES.get(os.path.splitext(name)[1])
    if beginning and re.match(beginning, first_line):
        raise UserError(
            "%s: a table (line 1: %s), expected one text per line: save its column of texts "
            "as .txt%s" % (name, validation.shortened(first_line), way_out)
        )


def groups_with_bar(
    title: str,
    path: Optional[str],
    encoding: str,
    see_first: Optional[Callable[[str, str], Any]] = None,
) -> Iterator[List[Tuple[str, str]]]:
    """Yields the same groups as `groups_of_lines` and shows a progress bar.

    Args:
        title: title of the progress bar.
        path: the file; None for standard input.
        encoding: name of its encoding.
        see_first: function called with the place of the first line and that line, or None.
    """
    size = size_of_input(path)
    with progress_bar(title, size, "B", leave=False, disable=size is None) as bar:
        for number, group in enumerate(groups_of_lines(path, encoding, bar.update)):
            if see_first and not number:
                see_first(*group[0])
            yield group


def pair_of_line(place: str, line: str) -> Tuple[str, str]:
    """Returns the first two cells of a line; if it has only one, a `UserError` names the place."""
    cells = line.split("\t")
    if len(cells) < 2:
        raise UserError("%s: expected text_a<tab>text_b" % place)
    return cells[0], cells[1]


def size_of_input(path: Optional[str]) -> Optional[int]:
    """Size of a file in bytes; None if it is not known beforehand."""
    with contextlib.suppress(OSError):  # opening the file will report the error
        return storage.size(path) if path and storage.is_file(path) else None
    return None


@contextlib.contextmanager
def _opened(path):
    if path is None and sys.stdin is None:
        raise UserError("standard input is closed: name a file, or write lines into a pipe")
    if path is None:
        yield sys.stdin.buffer
        return
    try:
        stream = storage.open_binary(path)
    except OSError as error:
        raise files.cannot_read(path, error) from error
    with stream:
        yield stream


def _blocks(stream, name):
    """Yields the blocks that a stream has available; an empty block marks the end."""
    try:
        while True:
            block = stream.read1(BYTES_AT_ONCE)
            yield block
            if not block:
                return
    except OSError as error:
        raise files.cannot_read(name, error) from error


def _bare(line, is_first):
    line = line[:-1] if line.endswith("\r") else line
    return line[1:] if is_first and line.startswith("\ufeff") else line
