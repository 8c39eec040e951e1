"""Decides which pieces of a vocabulary begin a word."""

_CONTINUES = "##"
_SPACE = "\u2581"  # stands for a space in SentencePiece
_LETTERS_AND_SIGNS = frozenset("abcdefghijklmnopqrstuvwxyz!\"#$%&'()*+,-./:;?@[\\]^_`{|}~")
_LETTERS = frozenset("abcdefghijklmnopqrstuvwxyz")


def starts_word(piece: str) -> bool:
    """Whether a word piece begins a word, that is, does not start with "##"."""
    return not piece.startswith(_CONTINUES)


def starts_sentencepiece_word(piece: str) -> bool:
    """Whether a SentencePiece piece begins a word, by the rules of Google's scripts.

    A piece continues a word only if it consists of English letters and ASCII signs other than <, =
    and >, does not start with the mark of a space and is not a single sign. Other characters are
    separate words.
    """
    lowered = piece.lower()
    is_sign = len(piece) == 1 and lowered not in _LETTERS
    return piece.startswith((_SPACE, "<")) or is_sign or not _LETTERS_AND_SIGNS.issuperset(lowered)
