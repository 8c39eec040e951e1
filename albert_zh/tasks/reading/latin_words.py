"""Splits Latin text into words by the Penn Treebank's rules, as CMRC 2018's evaluation does.

    latin_words("3.5% of the b.b.c.'s shows")  # ["3.5", "%", "of", "the", "b.b.c.", "'s", "shows"]

Punctuation marks are separate words, except within numbers, abbreviations and contractions; a
period is only separated at the end of the text. Straight quotation marks become `` and ''.
"""

import re
from typing import List

# (pattern, replacement) pairs, applied in this order; blanks separate words.
_RULES = [
    (re.compile(pattern), replacement)
    for pattern, replacement in (
        # Quotation marks that open a quotation.
        (r"([«“‘„]|`+)", r" \1 "),
        (r'^"', "``"),
        (r"(``)", r" \1 "),
        (r'(?<=[ (\[{<])("|\'\')', " `` "),
        (r"(?i)(?<!\w)'(?!(?:re|ve|ll|m|t|s|d|n)\b)(?=\w)", "' "),
        # Punctuation; a colon or comma between digits stays, a period unless it ends the text.
        (r"(?<=[^.])(\.)(?=[\])}>\"'»”’ ]*\s*$)", r" \1 "),
        (r"([:,])([^\d])", r" \1 \2"),
        (r"([:,])$", r" \1 "),
        (r"(\.{2,})", r" \1 "),
        (r"([;@#$%&\u2012-\u2015?!])", r" \1 "),
        (r"([^'])' ", r"\1 ' "),
        (r"([*\[\](){}<>])", r" \1 "),
        (r"--", " -- "),
        # Quotation marks that close a quotation, and endings of words.
        (r"([»”’])", r" \1 "),
        (r"''", " '' "),
        (r'"', " '' "),
        (r"\s+", " "),
        (r"(?i)(?<=[^' ])('s|'m|'d|') ", r" \1 "),
        (r"(?i)(?<=[^' ])('ll|'re|'ve|n't) ", r" \1 "),
        # Contractions of two words.
        (r"(?i)\b(can)(not)\b", r" \1 \2 "),
        (r"(?i)\b(d)('ye)\b", r" \1 \2 "),
        (r"(?i)\b(gim|lem)(me)\b", r" \1 \2 "),
        (r"(?i)\b(gon)(na)\b", r" \1 \2 "),
        (r"(?i)\b(wan)(na)(?=\s)", r" \1 \2 "),
        (r"(?i)\b(got)(ta)\b", r" \1 \2 "),
        (r"(?i)\b(more)('n)\b", r" \1 \2 "),
        (r"(?i) ('t)(is)\b", r" \1 \2 "),
        (r"(?i) ('t)(was)\b", r" \1 \2 "),
    )
]
_PADDED_FROM = 14  # from this rule on, the text has a blank at both ends


def latin_words(text: str) -> List[str]:
    """Splits a text into words and punctuation marks."""
    for index, (pattern, replacement) in enumerate(_RULES):
        if index == _PADDED_FROM:
            text = " %s " % text
        text = pattern.sub(replacement, text)
    return text.split()
