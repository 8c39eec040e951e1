"""Readers of text with a tag for each token: columns, two files, tables, columns as in NEZHA.

The readers yield `TaggedText`; `reader.read_file` converts the tags to spans.
"""

import hashlib
import itertools
import os
import re
from typing import Any, Iterator, List, Optional, Sequence

from albert_zh.common import files, storage
from albert_zh.common.errors import UserError
from albert_zh.common.wording import counted
from albert_zh.tasks.labelling.bad_rows import BadRows
from albert_zh.tasks.labelling.spans import TaggedText
from albert_zh.tasks.tables.running_numbers import has_running_numbers

DOCUMENT_START = "-DOCSTART-"
TABLE_COLUMNS = ("text_a", "label")
TWO_FILES = ("sentences.txt", "tags.txt")
_MARK_OF_ERNIE = "\x02"  # between the tokens of a cell, in ERNIE's and PaddleNLP's tables
_NUMBERED_TOKEN = re.compile(r"(.+?)([0-9]{1,4})\Z", re.DOTALL)
_LOOKED_AT = 10  # tokens that are examined to detect separators and numbered tokens
_SENTENCE_END = "。"
_BAD = ()  # stands for the cells of a malformed line
# Separators between columns, in order of preference.
_SEPARATORS = {
    "\t": "a TAB",
    " ": "a space",
    "\u3000": "a full-width space (U+3000)",
    "\xa0": "a no-break space (U+00A0)",
}


def read_columns(
    path: str, encoding: str = "utf-8", digest: Any = None, bad_rows: Optional[BadRows] = None
) -> Iterator[TaggedText]:
    """Reads a file with a token and its tag on each line, and blank lines between sentences.

    The token is the first column and the tag the last one. Columns are separated by blanks
    (including full-width and no-break ones) or TABs, the same in the whole file. In a line that
    begins with the blank that separates columns, the token is this blank. If tokens are numbered
    within their word, such as "科0" in the Weibo corpus, the numbers are removed.

    Args:
        path: the file.
        encoding: encoding of the file.
        digest: as in `files.read_bytes`.
        bad_rows: `BadRows`; by default the first malformed row is an error. A sentence with a
            malformed line is skipped.

    Yields:
        `TaggedText`.

    Raises:
        UserError: for a line without a tag, or with another separator than the lines before.
    """
    bad_rows = bad_rows or BadRows()
    beginning, rows = _beginning(_rows(path, encoding, digest, bad_rows))
    _check_are_no_numbers(path, beginning)
    first = next((cells for _, cells in beginning if cells), ())
    has_tags = len(first) > 1
    is_numbered = has_tags and _are_numbered(beginning)
    for _, group in itertools.groupby(rows, key=lambda row: row[1] is not None):
        sentence = [row for row in group if row[1] is not None]
        if not sentence or _BAD in (cells for _, cells in sentence):
            continue
        with bad_rows.row():
            tokens = [cells[0] for _, cells in sentence]
            if is_numbered:
                tokens = [
                    _without_position(token, line, path)
                    for token, (line, _) in zip(tokens, sentence)
                ]
            tags = [cells[-1] for _, cells in sentence] if has_tags else None
            yield TaggedText(tokens, tags, range(sentence[0][0], sentence[-1][0] + 1))


def _rows(path, encoding, digest, bad_rows):
    """Yields (line, cells); cells are None for blank lines and document starts, or `_BAD`."""
    lines = enumerate(files.stream_lines(path, encoding, digest=digest), start=1)
    separator, first_line, lines = _separated(lines)
    for line, text in lines:
        if _is_no_token(text):
            yield line, None
            continue
        cells, num_bad = _cells(text, separator), len(bad_rows.errors)
        with bad_rows.row():
            _check_cells(path, line, text, cells, separator, first_line)
        yield line, cells if len(bad_rows.errors) == num_bad else _BAD


def separator_of(text: str) -> Optional[str]:
    """Returns the separator of a line's columns: a TAB, else a blank, else None (only a token)."""
    after_first = text[1:].rstrip()  # the first character may be a blank that is a token
    if "\t" in text:
        return "\t"
    return next((separator for separator in _SEPARATORS if separator in after_first), None)


def _cells(text, separator):
    if separator is None:
        return [text.strip(" ")] if text.strip(" ") else [text]
    cells = text.rstrip(" \t").split(separator)
    if separator != "\t" and cells[0] == "" and len(cells) > 1:
        cells[0] = separator  # the blank itself is the token
    return [cells[0]] + [cell for cell in cells[1:] if cell]


def _check_cells(path, line, text, cells, separator, first_line):
    """Raises `UserError` for a line without a token, or with other columns than the first line."""
    if "\r" in text:
        raise files.wrong_line_ends("%s, line %d" % (path, line))
    if not cells[0]:
        raise UserError("%s, line %d: an empty token before its tag" % (path, line))
    if separator is None:
        if len(cells[0]) == 1 and separator_of(text) is None:
            return
        raise UserError(
            "%s, line %d: found %r, expected one character, as in line %d, or everywhere a "
            "character and its tag; --file_format names a format without columns"
            % (path, line, text[:40], first_line)
        )
    others = [other for other in _SEPARATORS if other != separator and other in text.strip()]
    if any(len(cells) == 1 or other in cells[-1] for other in others):
        if line == first_line:
            raise UserError(
                "%s, line %d: %r has several words in a column: expected a character and its tag, "
                "or in line 1 the header text_a and label of a TSV of texts and tags"
                % (path, line, text[:40])
            )
        raise UserError(
            "%s, line %d: mixed separators: %r, but line %d separates columns with %s: use the "
            "same in the whole file" % (path, line, text[:40], first_line, _SEPARATORS[separator])
        )
    if len(cells) == 1:
        raise UserError(
            "%s, line %d: a column is missing: %r, expected a character and its tag, as in line "
            "%d; --file_format names a format without columns" % (path, line, text[:40], first_line)
        )


def _beginning(rows):
    """(the first rows, up to `_LOOKED_AT` of which have cells; all rows)."""
    beginning, num_tokens = [], 0
    for row in rows:
        beginning.append(row)
        num_tokens += bool(row[1])
        if num_tokens == _LOOKED_AT:
            break
    return beginning, itertools.chain(beginning, rows)


def _check_are_no_numbers(path, rows):
    """Raises `UserError` if column 1 counts the tokens of each sentence, as in CoNLL-U."""
    groups = itertools.groupby((cells for _, cells in rows), key=bool)
    sentences = [list(group) for is_filled, group in groups if is_filled]
    are_sentences = max(map(len, sentences), default=0) > 1
    if are_sentences and all(map(has_running_numbers, sentences)):
        raise UserError(
            "%s: column 1 counts the tokens (1, 2, ...): remove it, so that the token comes first "
            "and its tag last" % path
        )


def _are_numbered(rows):
    """Whether all tokens are numbered within their words, as 科0 技1 全0: from 0, by 1."""
    last, num_tokens = -1, 0
    for _, cells in rows:
        if cells is None:  # the end of a sentence
            last = -1
        elif cells and cells[0] == " ":
            last += 1
        elif cells:
            numbered = _NUMBERED_TOKEN.match(cells[0])
            if not numbered or int(numbered.group(2)) > last + 1:
                return False
            last, num_tokens = int(numbered.group(2)), num_tokens + 1
    return num_tokens > 0


def _without_position(token, line, path):
    if token == " ":  # the position of a blank is in the next cell
        return token
    numbered = _NUMBERED_TOKEN.match(token)
    if not numbered:
        raise UserError(
            "%s, line %d: found %r, expected a character with its position in the word, such as "
            "科0, as in the lines before" % (path, line, token)
        )
    return numbered.group(1)


def read_columns_as_nezha(
    path: str,
    encoding: str = "utf-8",
    digest: Any = None,
    bad_rows: Optional[BadRows] = None,
    notes: Optional[List[str]] = None,
) -> Iterator[TaggedText]:
    """Reads sentences as NEZHA's `run_classifier_ner.py` does, so that scores can be compared.

    A sentence ends only at a blank line after "。"; other blank lines are ignored, and tokens after
    the last sentence's end are dropped.

    Args, errors: as in `read_columns`.
        notes: list to which a message about the dropped tokens is appended; or None.

    Yields:
        `TaggedText`.
    """
    tokens, tags, lines = [], [], []
    for line, cells in _rows(path, encoding, digest, bad_rows or BadRows()):
        if cells == _BAD:
            continue
        if cells is not None:
            lines.append(line)
            tokens.append(cells[0])
            tags += cells[1:][-1:]
        elif tokens and tokens[-1] == _SENTENCE_END:
            yield TaggedText(tokens, tags or None, lines)
            tokens, tags, lines = [], [], []
    if tokens and notes is not None:
        notes.append(
            '%d tokens after the last "。" with a blank line are skipped, as in NEZHA' % len(tokens)
        )


def read_two_files(
    folder: str, encoding: str = "utf-8", digest: Any = None, bad_rows: Optional[BadRows] = None
) -> Iterator[TaggedText]:
    """Reads sentences from `sentences.txt` and tags from `tags.txt`, both separated by blanks.

    Args:
        folder: folder with both files; without `tags.txt` the sentences have no tags.
        encoding, digest, bad_rows: as in `read_columns`.

    Yields:
        `TaggedText`.

    Raises:
        UserError: if the numbers of lines differ, or the numbers of tokens and tags in a line.
    """
    sentences, tags_path = (os.path.join(folder, name) for name in TWO_FILES)
    of_tags = None if digest is None else hashlib.sha256()
    tag_lines = None
    if storage.exists(tags_path):
        tag_lines = files.stream_lines(tags_path, encoding, digest=of_tags)
    lines = files.stream_lines(sentences, encoding, digest=digest)
    pairs = itertools.zip_longest(lines, tag_lines or ())
    bad_rows = bad_rows or BadRows()
    for line, (text, tag_text) in enumerate(pairs, start=1):
        tokens = text.split(" ") if text else []
        with bad_rows.row():
            tags = None
            if tag_lines is not None:
                tokens, tags = _paired(tokens, tag_text, line, tags_path, is_there=text is not None)
            if tokens:
                yield TaggedText(tokens, tags, [line] * len(tokens))
    if of_tags is not None:
        digest.update(of_tags.digest())


def _paired(tokens, tag_text, line, tags_path, is_there):
    """(tokens, tags) of a line of both files; is_there: whether `sentences.txt` has the line."""
    tags = (tag_text or "").split()
    tokens = [token for token in tokens if token] if len(tokens) != len(tags) else tokens
    if not is_there or tag_text is None or len(tokens) != len(tags):
        raise UserError(
            "%s, line %d: %d tags, but the line of %s has %d tokens: expected a tag for each"
            % (tags_path, line, len(tags), TWO_FILES[0], len(tokens))
        )
    return tokens, tags


def _is_no_token(text):
    return not text.strip(" \t") or text.startswith(DOCUMENT_START)


def _separated(lines):
    """(separator of a file, the first line that has it, all lines).

    It is the separator of the first line that has one, if most of the first lines do; else None.
    """
    beginning, filled = [], []
    for line, text in lines:
        beginning.append((line, text))
        if not _is_no_token(text):
            filled.append((line, separator_of(text)))
        if len(filled) == _LOOKED_AT:
            break
    having = [place for place in filled if place[1]]
    chosen = having if 2 * len(having) > len(filled) else filled
    first_line, separator = chosen[0] if chosen else (None, None)
    return separator, first_line, itertools.chain(beginning, lines)


def read_table(
    path: str, encoding: str = "utf-8", digest: Any = None, bad_rows: Optional[BadRows] = None
) -> Iterator[TaggedText]:
    """Reads a TAB-separated table with a header: `text_a` and `label`, with blanks in both.

    Blanks separate the tokens of a text and their tags. If a text contains ERNIE's mark, the
    control character 2, this mark separates them instead.

    Args, yields: as in `read_columns`.

    Raises:
        UserError: for a header without `text_a`, a line without both columns, or different numbers
            of tokens and tags.
    """
    lines = enumerate(files.stream_lines(path, encoding, digest=digest), start=1)
    header_line, names = next(((line, text) for line, text in lines if text.strip()), (1, ""))
    header = names.split("\t")
    if TABLE_COLUMNS[0] not in header:
        raise UserError(
            "%s, line %d: found the columns %s, expected text_a and label"
            % (path, header_line, ", ".join(header))
        )
    bad_rows = bad_rows or BadRows()
    for line, text in lines:
        with bad_rows.row():
            if text.strip():
                yield _row_of_table(text.split("\t"), header, line, path)


def _row_of_table(cells, header, line, path):
    if len(cells) != len(header):
        raise UserError(
            "%s, line %d: %s, expected %d as in the header"
            % (path, line, counted(len(cells), "column"), len(header))
        )
    row = dict(zip(header, cells))
    mark = _MARK_OF_ERNIE if _MARK_OF_ERNIE in row[TABLE_COLUMNS[0]] else " "
    tokens = row[TABLE_COLUMNS[0]].split(mark)
    tags = row[TABLE_COLUMNS[1]].split(mark) if TABLE_COLUMNS[1] in row else None
    if tags is not None and len(tokens) != len(tags):
        raise UserError(
            "%s, line %d: %s and %s, separated by spaces: expected as many"
            % (path, line, counted(len(tokens), "token"), counted(len(tags), "label"))
        )
    if "" in tokens:
        raise UserError(
            "%s, line %d: an empty token: expected one space between two tokens" % (path, line)
        )
    return TaggedText(tokens, tags, [line] * len(tokens))


def column_lines(tokens: Sequence[str], *columns: Sequence[str], separator: str = " ") -> List[str]:
    """Formats lines of a column file, a token and its tags each, without the final blank line."""
    return [separator.join(cells) for cells in zip(tokens, *columns)]
