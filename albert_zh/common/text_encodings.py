"""Guesses the encoding of a text, and replaces lone surrogates, which no encoding can hold."""

import codecs
import json
import re
from typing import Any, Optional, Tuple

_ESCAPED_SURROGATE = re.compile(r"\\u[dD][89a-fA-F]")


def without_surrogates(text: str) -> str:
    """Replaces each lone surrogate with U+FFFD, since a UTF-8 file cannot hold surrogates."""
    return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")


def with_whole_characters(value: Any, text: str) -> Any:
    """Replaces each lone surrogate that is escaped in a JSON text with U+FFFD in its value."""
    if not _ESCAPED_SURROGATE.search(text):
        return value
    return json.loads(without_surrogates(json.dumps(value, ensure_ascii=False)))


def likely_encoding(raw: bytes) -> Optional[Tuple[str, str]]:
    """Guesses the encoding of bytes that are not UTF-8: (name, Python's codec), or None.

    GBK is returned only if most non-ASCII characters are common hanzi or punctuation: damaged UTF-8
    decoded as GBK consists of hanzi as well, but of rare ones.
    """
    if raw.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return "UTF-16", "utf-16"
    try:
        text = codecs.getincrementaldecoder("gb18030")().decode(raw)  # may end in mid-character
        foreign = [char for char in text if char > "\x7f"]
    except UnicodeDecodeError:
        return None
    codes = [char.encode("gb2312", "replace") for char in foreign]
    common = sum(b"\xb0" <= code < b"\xd8" or b"\xa1" <= code < b"\xa4" for code in codes)
    return ("GBK", "gb18030") if common > 0.7 * len(codes) else None
