"""The encoding that a text seems to have, and characters that no encoding has."""

import codecs
import json
import re
from typing import Any, Optional, Tuple

_ESCAPED_SURROGATE = re.compile(r"\\u[dD][89a-fA-F]")


def without_surrogates(text: str) -> str:
    """A text with U+FFFD for each half of a character, which no file in UTF-8 can hold."""
    return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")


def with_whole_characters(value: Any, text: str) -> Any:
    """A JSON value with U+FFFD for each half of a character that its text escapes."""
    if not _ESCAPED_SURROGATE.search(text):
        return value
    return json.loads(without_surrogates(json.dumps(value, ensure_ascii=False)))


def likely_encoding(raw: bytes) -> Optional[Tuple[str, str]]:
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
