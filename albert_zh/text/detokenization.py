"""Word pieces back to text."""

from typing import Sequence

_CONTINUES = "##"


def text_of_pieces(pieces: Sequence[str]) -> str:
    """The text that word pieces stand for, with a space between Latin words and numbers only.

    The text of the first pieces is the beginning of the text of all.

    Args:
        pieces: word pieces, "##" before what continues a word; no special ones. Blank lines of a
            vocabulary are empty ones.

    Returns:
        str, such as "用bert base做" of 用, be, ##rt, base, 做.
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
