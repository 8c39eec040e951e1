"""Joins the tokens of a column file to a text."""

from typing import List, Sequence, Tuple


def joined_text(tokens: Sequence[str]) -> Tuple[str, List[Tuple[int, int]]]:
    """The text of some tokens and the range of each token in it.

    Args:
        tokens: list of str.

    Returns:
        (text, ranges): str, and a list of (start, end). Two Latin words or numbers are separated by
        a blank if at least one of them has several characters; all other tokens follow one another
        directly.
    """
    pieces, ranges, length = [], [], 0
    before = ""
    for token in tokens:
        if _need_blank(before, token):
            pieces.append(" ")
            length += 1
        pieces.append(token)
        ranges.append((length, length + len(token)))
        length += len(token)
        before = token
    return "".join(pieces), ranges


def _need_blank(before, token):
    if not before or not token or len(before) + len(token) < 3:
        return False
    return _is_latin(before[-1]) and _is_latin(token[0])


def _is_latin(char):
    return char < "\u0250" and char.isalnum()
