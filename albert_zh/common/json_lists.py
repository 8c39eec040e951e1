"""Reads a list of JSON objects, as json.dump writes it, where JSON lines are expected.

An object whose keys are numbers, {"0": {...}, "1": {...}}, is read as such a list, too.

for text in lines_or_entries("train.json", files.stream_lines("train.json")):
    json.loads(text)
"""

import itertools
import json
import re
from typing import Iterable, Iterator, Sequence

from albert_zh.common.errors import UserError

NOTE = "a list of JSON objects: lines in messages are its objects, counted from 1"
_KEY = re.compile(r'"[0-9]+"\s*:\s*')
_BEGIN = re.compile(r"\s*(\[\s*[{\]]|\{\s*%s\{)" % _KEY.pattern)
_ENDS = {"[": "]", "{": "}"}
_BLANKS = re.compile(r"\s*")
_DECODER = json.JSONDecoder()


def begins(lines: Sequence[str]) -> bool:
    """Whether a file that begins with these two lines is a list of objects, or an empty list."""
    return bool(_BEGIN.match("\n".join(lines)))


def lines_or_entries(path: str, lines: Iterable[str]) -> Iterator[str]:
    """Returns the lines of a file, or the JSON text of each object if the file is a list of them.

    Args:
        path: the file, for error messages.
        lines: the lines of the file.

    Raises:
        UserError: as for `entries`, while iterating.
    """
    lines = iter(lines)
    first = list(itertools.islice(lines, 2))
    lines = itertools.chain(first, lines)
    return entries(path, lines) if begins(first) else lines


def entries(path: str, lines: Iterable[str]) -> Iterator[str]:
    """Yields the JSON text of each entry of a list.

    Args:
        path: the file, for error messages.
        lines: the lines of the file, which contains the list.

    Raises:
        UserError: if the list is incomplete or something follows it; the message names the line.
    """
    text = "\n".join(lines)
    at = _behind(text, 0)
    end_mark = _ENDS[text[at]]
    at = _behind(text, at + 1)
    while not text.startswith(end_mark, at):
        at = at if end_mark == "]" else _behind_key(path, text, at)
        try:
            _, end = _DECODER.raw_decode(text, at)
        except (ValueError, RecursionError) as error:
            place = error.pos if isinstance(error, json.JSONDecodeError) else at
            reason = error.msg if isinstance(error, json.JSONDecodeError) else error
            raise _misfit(path, text, place, "not valid JSON (%s)" % reason) from error
        yield text[at:end]
        at = _behind(text, end)
        if text.startswith(",", at):
            at = _behind(text, at + 1)
        elif not text.startswith(end_mark, at):
            raise _misfit(path, text, at, "expected , or %s after an object" % end_mark)
    at = _behind(text, at + 1)
    if at < len(text):
        raise _misfit(path, text, at, "unexpected content after the list")


def _behind(text, at):
    """Position of the first character from `at` on that is not whitespace."""
    return _BLANKS.match(text, at).end()


def _behind_key(path, text, at):
    """Position of the value that belongs to the key at position `at`."""
    key = _KEY.match(text, at)
    if key is None:
        raise _misfit(path, text, at, "a key that is not a number, unlike those before")
    return key.end()


def _misfit(path, text, at, fault):
    return UserError(
        "%s, line %d: %s: expected a list of objects, as from json.dump, or one object per line"
        % (path, text.count("\n", 0, at) + 1, fault)
    )
