"""Tokenizes a text and returns the character span of each word piece.

    pieces, spans = offsets(tokenizer, "(ALBERT) 模型")
    begin, end = spans[3]  # text[begin:end] is the text of pieces[3]

The pieces are the same as from `tokenizer.tokenize`. Lower-casing, accent stripping and
SentencePiece's normalization may change the number of characters; spans are always positions in
the original text.
"""

import itertools
from typing import Any, Iterator, List, Sequence, Tuple
import unicodedata

from albert_zh.text import sentencepiece_models, unicode_text, word_memory

Span = Tuple[int, int]

_QUOTES = ("``", "''")  # LaTeX quotes, which normalization replaces with one character


def offsets(tokenizer: Any, text: str) -> Tuple[List[str], List[Span]]:
    """Splits a text into pieces and returns the character span of each.

    Args:
        tokenizer: `FullTokenizer`.
        text: str.

    Returns:
        (pieces, spans): list of str, and a list of half-open ranges (begin, end) of characters.
        Whitespace and control characters between words belong to no piece; an accent belongs to the
        piece of its letter. Pieces of one decomposed character (Hangul) share its span; an unknown
        word is one piece with the span of the whole word.
    """
    text = unicode_text.convert_to_unicode(text)
    if tokenizer.sentencepiece is not None:
        return _sentencepiece_offsets(tokenizer.sentencepiece, text)
    pieces: List[str] = []
    spans: List[Span] = []
    for word, begins in _words(text):
        for piece, first, last in _located_pieces(tokenizer, word):
            pieces.append(piece)
            spans.append((begins[first], begins[last] + 1))
    return pieces, spans


def _located_pieces(tokenizer: Any, word: str) -> List[Tuple[str, int, int]]:
    """Returns (piece, first character, last character) per piece; cached in the tokenizer."""
    remembered = tokenizer.located_pieces
    located = remembered.get(word)
    if located is not None:
        return located
    located = []
    for subword, spans in _subwords(tokenizer.basic_tokenizer, word, range(len(word))):
        start = 0
        for piece, size in _pieces_of_subword(tokenizer.wordpiece_tokenizer, subword):
            located.append((piece, spans[start][0], spans[start + size - 1][1] - 1))
            start += size
    word_memory.remember(remembered, word, located)
    return located


def _words(text: str) -> Iterator[Tuple[str, List[int]]]:
    """Yields (word, positions of its characters), cleaned and split as by `BasicTokenizer`."""
    table = unicode_text.CLEANED_AND_SPACED
    word, begins = [], []
    for position, char in enumerate(text):
        cleaned = table[ord(char)]
        if cleaned == char and not char.isspace():
            word.append(char)
            begins.append(position)
            continue
        if cleaned and word:  # `cleaned` is a space, or an ideograph between spaces
            yield "".join(word), begins
            word, begins = [], []
        if not cleaned.isspace() and cleaned:
            yield char, [position]
    if word:
        yield "".join(word), begins


def _subwords(
    basic_tokenizer: Any, word: str, begins: Sequence[int]
) -> Iterator[Tuple[str, List[Span]]]:
    """Yields the parts of a word between punctuation marks, with the span of each character."""
    subwords = basic_tokenizer.split_word(word)
    if subwords == [word]:
        yield word, [(begin, begin + 1) for begin in begins]
        return
    spans = _spans_after_normalization(word, begins, basic_tokenizer.do_lower_case)
    used = 0
    for subword in subwords:
        yield subword, spans[used : used + len(subword)]
        used += len(subword)


def _spans_after_normalization(word: str, begins: Sequence[int], do_lower_case: bool) -> List[Span]:
    """Original span of each character of a lower-cased and decomposed word."""
    spans: List[Span] = []
    for char, begin in zip(word, begins):
        decomposed = unicodedata.normalize("NFD", char.lower()) if do_lower_case else char
        for normalized in decomposed:
            if do_lower_case and unicodedata.category(normalized) == "Mn":
                if spans:
                    spans[-1] = (spans[-1][0], begin + 1)
            else:
                spans.append((begin, begin + 1))
    return spans


def _pieces_of_subword(wordpiece_tokenizer: Any, subword: str) -> Iterator[Tuple[str, int]]:
    """Yields (word piece, number of characters it covers) for a subword."""
    pieces = wordpiece_tokenizer.split_word(subword)
    if pieces == [wordpiece_tokenizer.unk_token]:
        yield pieces[0], len(subword)
        return
    for index, piece in enumerate(pieces):
        yield piece, len(piece) - (2 if index else 0)


# SentencePiece


def _sentencepiece_offsets(tokenizer: Any, text: str) -> Tuple[List[str], List[Span]]:
    """Does the work of `offsets` for a `SentencePieceTokenizer`."""
    preprocessed = sentencepiece_models.preprocess_text(text, lower=tokenizer.do_lower_case)
    origins = _origins(text, tokenizer.do_lower_case)
    pieces: List[str] = []
    spans: List[Span] = []
    for whole, begin, end in _pieces_in_characters(tokenizer.model, preprocessed):
        for piece, size in _split_at_comma(tokenizer.model, whole, end - begin):
            pieces.append(piece)
            spans.append(_visible_span(preprocessed, origins, begin, begin + size))
            begin += size
    return pieces, spans


def _pieces_in_characters(model, text):
    """Returns [(piece, begin, end)] in characters; sentencepiece counts bytes since 0.2.3."""
    try:
        cuts = model.encode(text, out_type="immutable_proto").pieces
        return [(cut.piece, cut.begin, cut.end) for cut in cuts]
    except ValueError:
        starts_character = ((byte & 0xC0) != 0x80 for byte in text.encode("utf-8"))
        characters = [0] + list(itertools.accumulate(starts_character))
        cuts = model.encode(text, out_type="proto").pieces
        return [(cut.piece, characters[cut.begin], characters[cut.end]) for cut in cuts]


def _visible_span(preprocessed: str, origins: List[Span], begin: int, end: int) -> Span:
    """Original span of a range of the preprocessed text, without spaces; empty if only spaces."""
    visible = [index for index in range(begin, end) if not preprocessed[index].isspace()]
    if visible:
        return origins[visible[0]][0], origins[visible[-1]][1]
    at = origins[begin][0] if begin < len(origins) else 0
    return at, at


def _split_at_comma(model: Any, piece: str, size: int) -> List[Tuple[str, int]]:
    """Splits a comma off a number as `encode_pieces` does; returns (piece, number of characters).

    Args:
        model: `sentencepiece.SentencePieceProcessor`.
        piece: str, a piece of the model.
        size: number of characters that it covers, including a space before it.
    """
    pieces = sentencepiece_models.with_separate_comma(model, piece)
    sizes = [len(segment.lstrip(sentencepiece_models.SPIECE_UNDERLINE)) for segment in pieces]
    sizes[0] += size - sum(sizes)
    return list(zip(pieces, sizes))


def _origins(text: str, lower: bool) -> List[Span]:
    """Original span of each character that `preprocess_text` returns for a text."""
    origins: List[Span] = []
    position, end = len(text) - len(text.lstrip()), len(text.rstrip())
    is_after_space = False
    while position < end:
        char, size = text[position], 1
        if text.startswith(_QUOTES, position):
            char, size = '"', 2
        if not (char.isspace() and is_after_space):
            origins += [(position, position + size)] * _normalized_size(char, lower)
        is_after_space = char.isspace()
        position += size
    return origins


def _normalized_size(char: str, lower: bool) -> int:
    """Number of characters into which `preprocess_text` converts one character."""
    if char.isspace():
        return 1
    decomposed = unicodedata.normalize("NFKD", char)
    kept = "".join(
        char_of_form for char_of_form in decomposed if not unicodedata.combining(char_of_form)
    )
    return len(kept.lower() if lower else kept)
