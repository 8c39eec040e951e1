"""Classifies characters as BERT does: ideographs, punctuation marks, characters to remove.

The handling of single characters is looked up in tables that are filled on first use, since most
of a Chinese text repeats a few thousand characters.
"""

import itertools
import string
import sys
from typing import Dict, List, Union
import unicodedata

from albert_zh.common import validation
from albert_zh.common.errors import UserError

# What BERT treats as an ideograph: the unified blocks A to E and the compatibility blocks. Hangul
# and kana are not included (they are written in words), nor are the blocks added later.
IDEOGRAPH_RANGES = (
    (0x4E00, 0x9FFF),
    (0x3400, 0x4DBF),
    (0x20000, 0x2A6DF),
    (0x2A700, 0x2B73F),
    (0x2B740, 0x2B81F),
    (0x2B820, 0x2CEAF),
    (0xF900, 0xFAFF),
    (0x2F800, 0x2FA1F),
)
_UNUSED = frozenset(("Cn", "Co", "Cs"))  # categories of code points that are not characters
# ASCII signs such as "$" and "~" that Unicode calls symbols count as punctuation too.
ASCII_PUNCTUATION = frozenset("!\"#$%&'()*+,-./:;<=>?@[\\]^_`{|}~")

_FULL_WIDTH_SHIFT = 0xFEE0  # from "A" to "Ａ"
_HALF_WIDTH = {ord(char) + _FULL_WIDTH_SHIFT: char for char in string.ascii_letters + string.digits}


def convert_to_unicode(text: Union[str, bytes]) -> str:
    """Returns the text as str; bytes are decoded as UTF-8, and invalid bytes are dropped."""
    if isinstance(text, str):
        return text
    if isinstance(text, bytes):
        return text.decode("utf-8", "ignore")
    raise UserError("text: expected a str, or bytes in UTF-8, found %s" % validation.shown(text))


def with_half_width(text: str) -> str:
    """Replaces full-width letters and digits with half-width ones; the length is unchanged."""
    return text.translate(_HALF_WIDTH)


def printable_text(text: Union[str, bytes]) -> str:
    """Returns the text as str, for `print` and logging."""
    return convert_to_unicode(text)


def whitespace_tokenize(text: Union[str, bytes]) -> List[str]:
    """Splits a text at whitespace."""
    return convert_to_unicode(text).split()


def is_punctuation(char: str) -> bool:
    """Whether BERT treats a character as punctuation, which includes ASCII signs such as "$"."""
    return char in ASCII_PUNCTUATION or unicodedata.category(char)[0] == "P"


class _CharacterTable(dict):
    """A table for `str.translate` that calls `rule` on the first occurrence of each character."""

    def __init__(self, rule):
        super().__init__()
        self._rule = rule

    def __missing__(self, codepoint):
        replacement = self[codepoint] = self._rule(chr(codepoint))
        return replacement


def _cleaned_and_spaced(char):
    """Returns the replacement of a character before the text is split at whitespace."""
    if char in "\t\n\r" or unicodedata.category(char) == "Zs":
        return " "
    if char in "\0\ufffd" or unicodedata.category(char) in ("Cc", "Cf"):
        return ""
    codepoint = ord(char)
    if any(first <= codepoint <= last for first, last in IDEOGRAPH_RANGES):
        return " %s " % char
    return char


def _without_accent(char):
    return "" if unicodedata.category(char) == "Mn" else char


def _spaced_punctuation(char):
    return " %s " % char if is_punctuation(char) else char


CLEANED_AND_SPACED = _CharacterTable(_cleaned_and_spaced)
WITHOUT_ACCENTS = _CharacterTable(_without_accent)
SPACED_PUNCTUATION = _CharacterTable(_spaced_punctuation)


def words_of(text: Union[str, bytes]) -> List[str]:
    """Splits a text into words; each ideograph is a word, and control characters are removed."""
    return convert_to_unicode(text).translate(CLEANED_AND_SPACED).split()


def normalized_characters(do_lower_case: bool) -> Dict[str, str]:
    """Maps each character to its text after cleaning, spacing, lower-casing and accent stripping.

    Ideographs and punctuation marks are put between two spaces; control characters map to "".
    Effects of neighbouring characters are not included: "\u03a3" at the end of a word, and the
    order of several marks on one letter.

    Args:
        do_lower_case: whether to lower-case and to strip accents.

    Returns:
        dict with all characters assigned in Unicode; any other character is left unchanged.
    """
    assigned = (
        char
        for char in map(chr, range(sys.maxunicode + 1))
        if unicodedata.category(char) not in _UNUSED
    )
    ideographs = (chr(c) for first, last in IDEOGRAPH_RANGES for c in range(first, last + 1))
    normalized = {}
    for char in itertools.chain(assigned, ideographs):
        text = _cleaned_and_spaced(char)
        if do_lower_case:
            text = "".join(map(_without_accent, unicodedata.normalize("NFD", text.lower())))
        normalized[char] = "".join(map(_spaced_punctuation, text))
    return normalized
