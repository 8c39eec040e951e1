"""Encodings of text files: decoders, and errors that name the encoding a text seems to have."""

import codecs
import re
from typing import Optional

from albert_zh.common.errors import UserError

_SURROGATE = re.compile("[\ud800-\udfff]")


def undecodable(name: str, encoding: str, error: Exception) -> UserError:
    """The `UserError` for text without what its encoding begins with: UTF-16 without a mark."""
    return UserError("%s: not %s text: %s" % (name, encoding.upper(), error))


def without_surrogates(text: str) -> str:
    """A text with U+FFFD for each half of a character, which no file in UTF-8 can hold."""
    return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")


def check_decoded(text: str, place: str, remedy: str) -> None:
    """Raises `UserError` for a text with halves of characters, which bytes decoded wrongly leave.

    Args:
        text: what was read.
        place: where, for the message: an argument, or a file and line.
        remedy: what to do about it.
    """
    surrogate = _SURROGATE.search(text)
    if surrogate:
        raise UserError(
            "%s: character %d is %s, no character but a byte or half a character that was decoded "
            "wrongly: %s" % (place, surrogate.start() + 1, ascii(surrogate.group())[1:-1], remedy)
        )


def text_decoder(encoding: str) -> codecs.IncrementalDecoder:
    """A decoder of text that comes in blocks; `UserError` for an unknown encoding."""
    return codecs.getincrementaldecoder(known_encoding(encoding))()


def known_encoding(encoding):
    """Python's name of an encoding: "UTF8" -> "utf-8"."""
    try:
        "".encode(encoding)  # also refuses codecs that are not of text, as "hex"
        return codecs.lookup(encoding).name
    except (LookupError, UnicodeError) as error:  # "undefined" is one that always fails
        raise UserError("--encoding: Python knows no encoding named %r" % encoding) from error


def wrong_line_ends(path: str) -> UserError:
    """The `UserError` for a text that carriage returns part into lines."""
    return UserError(
        "%s: its lines end with CR alone, as on old Macs: save it with the line ends of Windows or "
        "Linux (in Excel as CSV UTF-8)" % path
    )


def wrong_encoding(
    place: str, error: UnicodeDecodeError, encoding: Optional[str] = None
) -> UserError:
    """The `UserError` for a `UnicodeDecodeError`; names the encoding the text seems to have.

    Args:
        place: file and line.
        error: `UnicodeDecodeError`.
        encoding: the encoding it was taken for, which --encoding names; None for what is in UTF-8
            always.
    """
    likely = likely_encoding(error.object) if encoding in (None, "utf-8") else None
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
        "%s: the file is in %s, expected UTF-8: %sconvert it (iconv -f %s -t utf-8)"
        % (place, name, "pass --encoding=%s or " % codec if encoding else "", codec)
    )


def likely_encoding(raw):
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
