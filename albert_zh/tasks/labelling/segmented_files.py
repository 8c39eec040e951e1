"""Text that marks its spans itself: words between blanks, and pieces with /TYPE behind them.

共同  创造  美好  的  新  世纪              segmented
我们/o 变/o 而/o 以/o 书会/o 厉声/nr        slash form
共同创造美好的新世纪                        without labels
"""

import re
from typing import Any, Iterator, List, Optional, Sequence

from albert_zh.common import files
from albert_zh.common.errors import UserError
from albert_zh.tasks.labelling.bad_rows import BadRows
from albert_zh.tasks.labelling.spans import LabelledText, Span, words_as_spans

OUTSIDE_TYPE = "o"
_PIECE = re.compile(r"(?P<text>.+)/(?P<type>[A-Za-z][A-Za-z0-9_.-]*)\Z", re.DOTALL)

_TYPE_WITHIN = re.compile(r"/(?P<type>[A-Za-z][A-Za-z0-9_.-]*)[^\x00-\x7f]")


def read_segmented(
    path: str, encoding: str = "utf-8", digest: Any = None, bad_rows: Any = None
) -> Iterator[LabelledText]:
    """Sentences of a file of words, any number of blanks (full-width ones too) between them.

    Args:
        path: the file.
        encoding: of the file.
        digest: as in `files.read_bytes`.
        bad_rows: not used: every line fits.

    Yields:
        `LabelledText`: the words joined, and each of them as a span of type "".
    """
    for line, text in enumerate(files.stream_lines(path, encoding, digest=digest), start=1):
        words = text.split()
        if words:
            yield LabelledText("".join(words), words_as_spans(words), None, line)


def read_unlabelled(
    path: str, encoding: str = "utf-8", digest: Any = None, bad_rows: Any = None
) -> Iterator[LabelledText]:
    """Texts without labels, one a line; args as in `read_segmented`.

    Yields:
        `LabelledText`, of blank lines too; blanks around a text are kept, as positions count them.
    """
    for line, text in enumerate(files.stream_lines(path, encoding, digest=digest), start=1):
        yield LabelledText(text, None, None, line)


def read_slash_form(
    path: str, encoding: str = "utf-8", digest: Any = None, bad_rows: Optional[BadRows] = None
) -> Iterator[LabelledText]:
    """Sentences of a file of pieces of text with their types, such as 北京/ns, blanks between them.

    Args, yields: as in `read_segmented`; pieces of the type "o" are outside of all entities.

    Raises:
        UserError: for a piece without a type.
    """
    bad_rows = bad_rows or BadRows()
    for line, text in enumerate(files.stream_lines(path, encoding, digest=digest), start=1):
        with bad_rows.row():
            if text.strip():
                yield _text_of_slash_form(path, line, text)


def _text_of_slash_form(path, line, text):
    pieces, spans, length = [], [], 0
    for piece in text.split():
        match = _PIECE.match(piece)
        if not match:
            raise UserError(
                "%s, line %d: %r has no type: expected text and type, as in 北京/ns or 的/o"
                % (path, line, piece[:40])
            )
        _check_is_one_piece(path, line, piece, match)
        pieces.append(match.group("text"))
        start, length = length, length + len(pieces[-1])
        if match.group("type").lower() != OUTSIDE_TYPE:
            spans.append(Span(start, length, match.group("type")))
    return LabelledText("".join(pieces), spans, None, line)


def _check_is_one_piece(path, line, piece, match):
    """Raises `UserError` for pieces without a blank between them: 当/o王明/nr."""
    types = {OUTSIDE_TYPE, match.group("type").lower()}
    for within in _TYPE_WITHIN.finditer(match.group("text")):
        if within.group("type").lower() in types:
            raise UserError(
                "%s, line %d: %r has the type %s in its middle, too: expected a blank behind each "
                "type" % (path, line, piece[:40], within.group("type"))
            )


def is_slash_form(text: str) -> bool:
    """Whether a line is in the slash form: most of its pieces have a type."""
    pieces = text.split()
    return 2 * sum(bool(_PIECE.match(piece)) for piece in pieces) > len(pieces)


def segmented_line(text: str, spans: Sequence[Span], separator: str = "  ") -> str:
    """A text with blanks between its words; whitespace of the text itself is left out."""
    return separator.join(words_of(text, spans))


def words_of(text: str, spans: Sequence[Span]) -> List[str]:
    """The words of a text; characters between spans, but for whitespace, are words, too.

    Args:
        text: str.
        spans: sorted list of `Span`.

    Returns:
        list of str.
    """
    words, position = [], 0
    for span in spans:
        words += text[position : span.start].split()
        words += text[span.start : span.end].split()
        position = span.end
    return words + text[position:].split()
