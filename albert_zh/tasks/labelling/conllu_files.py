"""Reads CoNLL-U and CoNLL-X: ten columns per word, comments, blank lines between sentences.

    # text = 我爱北京
    1   我    我    PRON    PN  _   2   nsubj   _   SpaceAfter=No
    2   爱    爱    VERB    VV  _   0   root    _   SpaceAfter=No

Each word is a span whose type is its part of speech: column 4, or column 5 if column 4 is empty.
"""

import itertools
import re
from typing import Any, Iterator, List, Optional, Sequence

from albert_zh.common import files
from albert_zh.common.errors import UserError
from albert_zh.tasks.labelling.bad_rows import BadRows
from albert_zh.tasks.labelling.spans import LabelledText, Span
from albert_zh.tasks.tables.joined_tokens import joined_text

_NUM_COLUMNS = 10
_EMPTY = "_"
_COMMENT = re.compile(r"#\s*(\w+\s*=|newdoc|newpar)")
_WORD, _RANGE = re.compile(r"\d+$"), re.compile(r"(\d+)-(\d+)$")
_EMPTY_NODE = re.compile(r"\d+\.\d+$")


def are_words(lines: Sequence[str]) -> bool:
    """Whether all of some non-blank lines, except comments, are words with ten columns."""
    rows = [line.split("\t") for line in lines if not _COMMENT.match(line)]
    return bool(rows) and all(len(row) == _NUM_COLUMNS and is_id(row[0]) for row in rows)


def is_id(cell: str) -> bool:
    """Whether a cell is the id of a word, of a range of words or of an empty node: 1, 1-2, 1.1."""
    return any(form.match(cell) for form in (_WORD, _RANGE, _EMPTY_NODE))


def read_conllu(
    path: str, encoding: str = "utf-8", digest: Any = None, bad_rows: Optional[BadRows] = None
) -> Iterator[LabelledText]:
    """Reads the sentences of a file; a range of words (1-2) is one word, whose types are joined.

    Args:
        path: the file.
        encoding: encoding of the file.
        digest: as in `files.read_bytes`.
        bad_rows: `BadRows`; by default the first malformed row is an error.

    Yields:
        `LabelledText`.

    Raises:
        UserError: for a line that does not have ten columns, or lacks a word's id or form.
    """
    bad_rows = bad_rows or BadRows()
    lines = enumerate(files.stream_lines(path, encoding, digest=digest), start=1)
    for is_blank, group in itertools.groupby(lines, key=lambda row: not row[1].strip()):
        with bad_rows.row():
            rows = [] if is_blank else [_cells(path, *row) for row in group if _is_word(row[1])]
            if rows:
                yield _labelled_text(rows)


def _is_word(text):
    return not text.startswith("#") or text.count("\t") == _NUM_COLUMNS - 1


def _cells(path, line, text):
    """(line, cells) of a word."""
    cells = text.split("\t")
    if len(cells) != _NUM_COLUMNS or not is_id(cells[0]) or not cells[1].strip():
        raise UserError(
            "%s, line %d: %r: expected ten columns with TABs between, as in CoNLL-U: a number, a "
            "word, ... (the fourth is its part of speech)" % (path, line, text[:40])
        )
    return line, cells


def _labelled_text(rows):
    words, types = [], []
    last = 0  # id of the last word of the latest range
    for _, cells in rows:
        of_several = _RANGE.match(cells[0])
        if of_several:
            last = int(of_several.group(2))
            words.append(cells[1])
            types.append([])
        elif _WORD.match(cells[0]) and int(cells[0]) <= last:
            types[-1].append(_part_of_speech(cells))
        elif _WORD.match(cells[0]):
            words.append(cells[1])
            types.append([_part_of_speech(cells)])
    text, ranges = joined_text(words)
    spans = [Span(*place, "+".join(filter(None, of_word))) for place, of_word in zip(ranges, types)]
    return LabelledText(text, spans, None, rows[0][0])


def _part_of_speech(cells: List[str]) -> str:
    return next((cell for cell in cells[3:5] if cell != _EMPTY), "")
