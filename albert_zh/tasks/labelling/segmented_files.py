"""Reads text with inline annotations: words between blanks, pieces with /TYPE, {{TYPE:pieces}}.

共同  创造  美好  的  新  世纪                            segmented
我们/o 变/o 而/o 以/o 书会/o 厉声/nr                      slash form
19980101-01-001-002/m  [中国/ns  政府/n]nt  充满/v        slash form of the People's Daily corpus
{{person_name:叶老桂}}在{{location:北京}}说               braces, as in BosonNLP
共同创造美好的新世纪                                      without labels
"""

import re
from typing import Any, Iterator, List, Optional, Sequence

from albert_zh.common import files
from albert_zh.common.errors import UserError
from albert_zh.tasks.labelling.bad_rows import BadRows
from albert_zh.tasks.labelling.spans import LabelledText, Span, words_as_spans

OUTSIDE_TYPE = "o"
_PIECE = re.compile(r"(?P<text>.+)/(?P<type>[A-Za-z][A-Za-z0-9_.-]*)\Z", re.DOTALL)

# The People's Daily corpus: an article's number before each line, brackets around compounds.
_ARTICLE = re.compile(r"\d{8}-\d{2}-\d{3}-\d{3}(/m)?\Z")
_COMPOUND_END = re.compile(r"(?P<piece>.+/[A-Za-z]+)\]/?(?P<type>[A-Za-z][A-Za-z0-9_.-]*)\Z")
_BRACES = re.compile(r"\{\{(?P<type>[A-Za-z]\w*):(?P<text>[^{}]+)\}\}")
# The number before a text, as in the test file of CCKS's addresses.
_NUMBERED = re.compile(r"(?P<number>\d+)\x01(?P<text>.*)\Z", re.DOTALL)

_TYPE_WITHIN = re.compile(r"/(?P<type>[A-Za-z][A-Za-z0-9_.-]*)[^\x00-\x7f]")


def read_segmented(
    path: str, encoding: str = "utf-8", digest: Any = None, bad_rows: Any = None
) -> Iterator[LabelledText]:
    """Reads the sentences of a file of words, separated by blanks (including full-width ones).

    Args:
        path: the file.
        encoding: encoding of the file.
        digest: as in `files.read_bytes`.
        bad_rows: not used, since no line can be malformed.

    Yields:
        `LabelledText`: the joined words, each of which is a span of type "".
    """
    for line, text in enumerate(files.stream_lines(path, encoding, digest=digest), start=1):
        words = text.split()
        if words:
            yield LabelledText("".join(words), words_as_spans(words), None, line)


def read_unlabelled(
    path: str, encoding: str = "utf-8", digest: Any = None, bad_rows: Any = None
) -> Iterator[LabelledText]:
    """Reads texts without labels, one per line; args as in `read_segmented`.

    Yields:
        `LabelledText`, also for blank lines; surrounding blanks are preserved, since positions
        count them. A number before a text, followed by the control character 1, is the text's
        identifier.
    """
    for line, text in enumerate(files.stream_lines(path, encoding, digest=digest), start=1):
        numbered = _NUMBERED.match(text)
        if numbered:
            yield LabelledText(numbered.group("text"), None, None, line, numbered.group("number"))
        else:
            yield LabelledText(text, None, None, line)


def read_slash_form(
    path: str, encoding: str = "utf-8", digest: Any = None, bad_rows: Optional[BadRows] = None
) -> Iterator[LabelledText]:
    """Reads sentences of pieces of text with their types, such as 北京/ns, separated by blanks.

    Args, yields: as in `read_segmented`; pieces of the type "o" are outside of all entities. The
        number of an article at the start of a line is dropped; compounds in brackets are spans that
        contain the spans of their words.

    Raises:
        UserError: for a piece without a type, or an unmatched bracket.
    """
    bad_rows = bad_rows or BadRows()
    for line, text in enumerate(files.stream_lines(path, encoding, digest=digest), start=1):
        with bad_rows.row():
            if text.strip():
                yield _text_of_slash_form(path, line, text)


def _text_of_slash_form(path, line, text):
    pieces, spans, length, compound_start = [], [], 0, None
    for index, piece in enumerate(text.split()):
        if index == 0 and _ARTICLE.match(piece):
            continue
        piece, compound = _without_bracket(piece, compound_start is not None)
        if compound_start is None and _begins_compound(piece):
            piece, compound_start = piece[1:], length
        match = _typed_piece(path, line, piece)
        pieces.append(match.group("text"))
        start, length = length, length + len(pieces[-1])
        if match.group("type").lower() != OUTSIDE_TYPE:
            spans.append(Span(start, length, match.group("type")))
        if compound:
            spans.append(Span(compound_start, length, compound))
            compound_start = None
    if compound_start is not None:
        raise UserError(
            "%s, line %d: a bracket [ without its ]: expected compounds as [中国/ns 政府/n]nt"
            % (path, line)
        )
    return LabelledText("".join(pieces), sorted(set(spans)), None, line)


def _begins_compound(piece):
    """Whether a piece starts with the bracket of a compound, and is not a bracket itself: [/w."""
    return piece.startswith("[") and not piece.startswith("[/")


def _without_bracket(piece, is_within):
    """(piece without a closing bracket, type of the compound that the bracket ends or None)."""
    match = _COMPOUND_END.match(piece) if is_within or _begins_compound(piece) else None
    return (match.group("piece"), match.group("type")) if match else (piece, None)


def _typed_piece(path, line, piece):
    """Returns the match of a piece and its type; raises `UserError` for a piece without a type."""
    match = _PIECE.match(piece)
    if not match:
        raise UserError(
            "%s, line %d: %r has no type: expected text and type, as in 北京/ns or 的/o"
            % (path, line, piece[:40])
        )
    _check_is_one_piece(path, line, piece, match)
    return match


def _check_is_one_piece(path, line, piece, match):
    """Raises `UserError` for pieces that are not separated by a blank: 当/o王明/nr."""
    types = {OUTSIDE_TYPE, match.group("type").lower()}
    for within in _TYPE_WITHIN.finditer(match.group("text")):
        if within.group("type").lower() in types:
            raise UserError(
                "%s, line %d: %r also has the type %s in its middle: expected a space after each "
                "type" % (path, line, piece[:40], within.group("type"))
            )


def read_braces(
    path: str, encoding: str = "utf-8", digest: Any = None, bad_rows: Optional[BadRows] = None
) -> Iterator[LabelledText]:
    """Reads texts with entities as {{TYPE:entity}}, one text per line; args as in `read_segmented`.

    Yields:
        `LabelledText`.

    Raises:
        UserError: for braces that do not enclose an entity.
    """
    bad_rows = bad_rows or BadRows()
    for line, text in enumerate(files.stream_lines(path, encoding, digest=digest), start=1):
        with bad_rows.row():
            if text.strip():
                yield _text_of_braces(path, line, text.strip())


def _text_of_braces(path, line, text):
    pieces, spans, length, end = [], [], 0, 0
    for match in _BRACES.finditer(text):
        pieces += [text[end : match.start()], match.group("text")]
        start = length + match.start() - end
        length, end = start + len(match.group("text")), match.end()
        spans.append(Span(start, length, match.group("type")))
    pieces.append(text[end:])
    rest = "".join(pieces[::2])
    if "{{" in rest or "}}" in rest:
        raise UserError(
            "%s, line %d: braces that do not mark an entity: expected {{type:text}}, as in "
            "{{location:北京}}" % (path, line)
        )
    return LabelledText("".join(pieces), spans, None, line)


def has_braces(text: str) -> bool:
    """Whether a line has entities in braces."""
    return bool(_BRACES.search(text))


def is_slash_form(text: str) -> bool:
    """Whether a line is in the slash form: most of its pieces have a type."""
    pieces = text.split()
    return 2 * sum(bool(_PIECE.match(piece)) for piece in pieces) > len(pieces)


def segmented_line(text: str, spans: Sequence[Span], separator: str = "  ") -> str:
    """Formats a text with blanks between its words; whitespace of the text itself is dropped."""
    return separator.join(words_of(text, spans))


def words_of(text: str, spans: Sequence[Span]) -> List[str]:
    """Returns the words of a text; non-whitespace characters between spans are words, too.

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
