"""Which pieces of a vocabulary begin a word."""

_CONTINUES = "##"
_SPACE = "\u2581"  # SentencePiece's
_LETTERS_AND_SIGNS = frozenset("abcdefghijklmnopqrstuvwxyz!\"#$%&'()*+,-./:;?@[\\]^_`{|}~")
_LETTERS = frozenset("abcdefghijklmnopqrstuvwxyz")


def starts_word(piece: str) -> bool:
    """Whether a word piece begins a word: all but those that start with "##"."""
    return not piece.startswith(_CONTINUES)


def starts_sentencepiece_word(piece: str) -> bool:
    """Whether a SentencePiece piece begins a word, as google's scripts see it.

    A piece continues a word only if it is made of English letters and signs alone, has no mark of a
    space before it and is not one sign. Foreign characters are separate words.
    """
    lowered = piece.lower()
    is_sign = len(piece) == 1 and lowered not in _LETTERS
    return piece.startswith((_SPACE, "<")) or is_sign or not _LETTERS_AND_SIGNS.issuperset(lowered)
