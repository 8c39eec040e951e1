"""Converts word pieces back to text."""

from typing import Sequence

_CONTINUES = "##"


def text_of_pieces(pieces: Sequence[str]) -> str:
    """Joins word pieces to a text, with spaces only between Latin words and numbers.

    The text of a prefix of the pieces is a prefix of the whole text.

    Args:
        pieces: word pieces, with "##" before those that continue a word; no special tokens. Pieces
            may be empty, as blank lines in a vocabulary are.

    Returns:
        str, such as "用bert base做" for 用, be, ##rt, base, 做.
    """
    text = ""
    for piece in pieces:
        if piece.startswith(_CONTINUES) and len(piece) > len(_CONTINUES):
            text += piece[len(_CONTINUES) :]
            continue
        is_between_words = text and _is_of_word(text[-1]) and _is_of_word(piece[:1])
        text += " " + piece if is_between_words else piece
    return text


def _is_of_word(character: str) -> bool:
    return character.isalnum() and character < "\u2e80"
