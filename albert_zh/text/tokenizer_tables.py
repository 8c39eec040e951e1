"""Converts a WordPiece tokenizer to lookup tables, with which a TensorFlow graph can tokenize.

    tables = tokenizer_tables.build(FullTokenizer("vocab.txt"))
    tables.entries[256 * tables.pages[ord("a") // 256] + ord("a") % 256]

Two steps become tables. Each code point has an entry, which is a list of *symbols*: the result of
cleaning the character, lower-casing it and stripping accents. A symbol is a character that occurs
in the vocabulary, or the unknown symbol, together with the way it joins its neighbours. The pieces
of the vocabulary form a trie over the symbols, whose edges are sorted keys.

Two more tables handle effects of neighbouring characters: the cases, which determine the lower case
of a capital sigma, and the combining classes, by which the marks on a letter are ordered.
"""

import re
from typing import Any, Dict, NamedTuple, Optional, Tuple
import unicodedata

import numpy as np

from albert_zh.text import unicode_text

__all__ = [
    "ALONE",
    "CASED",
    "CASE_IGNORABLE",
    "JOINED",
    "NUM_TYPES",
    "NO_TOKEN",
    "PAGE",
    "REMOVED",
    "SEPARATOR",
    "SIGMA",
    "TokenizerTables",
    "UNCASED",
    "build",
]

PAGE = 256  # code points per page
_NUM_CODE_POINTS = 0x110000
# How a symbol joins its neighbours, stored as its code modulo NUM_TYPES: it is part of a word; it
# is a word by itself (an ideograph, a punctuation mark); it is whitespace; or it is removed, but
# only after marks have been ordered, since marks are not moved across it.
NUM_TYPES = 4
JOINED, ALONE, SEPARATOR, REMOVED = range(NUM_TYPES)
# How a character affects a capital sigma in its word. CASED and SIGMA are letters with case.
UNCASED, CASE_IGNORABLE, CASED, SIGMA = range(4)
NO_TOKEN = -1  # marks a node of the trie at which no piece ends
_CAPITAL_SIGMA, _SMALL_SIGMA, _FINAL_SIGMA = "\u03a3\u03c3\u03c2"
_SYMBOLS = re.compile(r"\s(?P<alone>\S)\s|(?P<joined>\S)|\s")
_TYPE_OF_GROUP = {"alone": ALONE, "joined": JOINED, None: SEPARATOR}
_CONTINUATION = "##"


class TokenizerTables(NamedTuple):
    """The tables of a tokenizer with E entries, A symbols and N nodes.

    Fields:
        pages: int32 [4352], page number of each block of 256 code points.
        entries: int32 [pages * 256], entry of each code point of each page.
        expansions: int32 [E + 1], start of each entry's codes in `codes`.
        codes: int32, symbol * 4 + how it joins its neighbours.
        cases: int32 [E], `UNCASED`, `CASE_IGNORABLE`, `CASED` or `SIGMA`.
        final_sigma: entry for a capital sigma at the end of a word; None if it makes no difference.
        combining: int32 [A], combining class of each symbol; None if the order of marks cannot
            matter.
        first_nodes: int32 [2, A], node of each symbol at the beginning of a word, and within a
            word; 0 if there is none.
        edges: int64, sorted: node * A + symbol; the i-th edge leads to node `first_child` + i.
        first_child: int, number of the first node that is reached by an edge.
        has_edges: bool [N], whether edges start from each node.
        token_of_node: int32 [N], id of the piece that ends at each node, or `NO_TOKEN`.
        token_ids: {token: id} of [UNK], [CLS] and [SEP].
        longest_word: int, maximum number of characters; longer words become [UNK].
    """

    pages: np.ndarray
    entries: np.ndarray
    expansions: np.ndarray
    codes: np.ndarray
    cases: np.ndarray
    final_sigma: Optional[int]
    combining: Optional[np.ndarray]
    first_nodes: np.ndarray
    edges: np.ndarray
    first_child: int
    has_edges: np.ndarray
    token_of_node: np.ndarray
    token_ids: Dict[str, int]
    longest_word: int


def build(tokenizer: Any) -> TokenizerTables:
    """Builds the tables of a tokenizer.

    Args:
        tokenizer: `FullTokenizer` with a list of word pieces, not SentencePiece.
    """
    vocabulary = tokenizer.vocab
    word_pieces = tokenizer.wordpiece_tokenizer
    symbols = {char: n for n, char in enumerate(sorted(set("".join(vocabulary))), start=1)}
    do_lower_case = tokenizer.basic_tokenizer.do_lower_case
    combining = _combining_classes(symbols) if do_lower_case else None
    special = (word_pieces.unk_token, "[CLS]", "[SEP]")
    return TokenizerTables(
        combining=combining,
        token_ids={token: vocabulary[token] for token in special},
        longest_word=word_pieces.max_input_chars_per_word,
        **_Characters(symbols, do_lower_case, combining is not None).tables(),
        **_trie(vocabulary, symbols),
    )


def _combining_classes(symbols):
    """Combining classes of symbols; None if marks that are not stripped have at most one class."""
    classes = np.zeros(len(symbols) + 1, np.int32)
    for char, symbol in symbols.items():
        if unicodedata.category(char) != "Mn":
            classes[symbol] = unicodedata.combining(char)
    return classes if len(set(classes.tolist()) - {0}) > 1 else None


class _Characters:
    """Collects the entries of all code points."""

    def __init__(self, symbols, do_lower_case, orders_marks):
        self._symbols = symbols  # {character: number from 1}
        self._do_lower_case = do_lower_case
        self._orders_marks = orders_marks
        sigmas = [symbols.get(char) for char in (_SMALL_SIGMA, _FINAL_SIGMA)]
        self._has_final_sigma = do_lower_case and sigmas[0] != sigmas[1]
        self._numbers: Dict[Tuple, int] = {}  # {(codes, case): number of the entry}

    def tables(self):
        """Returns the fields of `TokenizerTables` that concern characters."""
        unknown = self._number((self._code(None, JOINED),), UNCASED)
        entry_of = np.full(_NUM_CODE_POINTS, unknown, np.int32)
        normalized = unicode_text.normalized_characters(self._do_lower_case)
        for char in set(self._symbols) - set(normalized):  # such as private-use characters
            normalized[char] = char
        for char, text in normalized.items():
            entry_of[ord(char)] = self._number(self._codes(char, text), self._case(char, text))
        pages, entries = _paged(entry_of)
        codes = [codes for codes, _ in self._numbers]
        return {
            "pages": pages,
            "entries": entries,
            "expansions": np.cumsum([0] + [len(of_entry) for of_entry in codes]).astype(np.int32),
            "codes": np.array([code for of_entry in codes for code in of_entry], np.int32),
            "cases": np.array([case for _, case in self._numbers], np.int32),
            "final_sigma": int(entry_of[ord(_FINAL_SIGMA)]) if self._has_final_sigma else None,
        }

    def _number(self, codes, case):
        return self._numbers.setdefault((codes, case), len(self._numbers))

    def _code(self, char, how):
        return self._symbols.get(char, 0) * NUM_TYPES + how

    def _codes(self, char, text):
        """Codes of a character that is normalized to `text`."""
        codes = []
        for match in _SYMBOLS.finditer(text):
            how = _TYPE_OF_GROUP[match.lastgroup]
            codes.append(self._code(match.group(match.lastgroup or 0), how))
        if self._orders_marks and _is_stripped(char, text) and not unicodedata.combining(char):
            codes.append(self._code(None, REMOVED))
        return tuple(codes)

    def _case(self, char, text):
        """How a character affects a capital sigma, if that matters."""
        if not self._has_final_sigma:
            return UNCASED
        is_cleaned_away = not text and not _is_stripped(char, text)
        return CASE_IGNORABLE if is_cleaned_away else _case_of(char)


def _is_stripped(char, text):
    """Whether a character that is normalized to `text` was stripped as an accent."""
    return not text and unicodedata.category(char) == "Mn"


def _case_of(char):
    """How a character affects a capital sigma in its word, found out by lower-casing both."""
    if char == _CAPITAL_SIGMA:
        return SIGMA
    if (char + _CAPITAL_SIGMA).lower().endswith(_FINAL_SIGMA):
        return CASED
    if ("A" + char + _CAPITAL_SIGMA).lower().endswith(_FINAL_SIGMA):
        return CASE_IGNORABLE
    return UNCASED


def _paged(entry_of):
    """Returns (pages, entries) of `TokenizerTables`; identical pages are stored once."""
    contents, pages = np.unique(entry_of.reshape([-1, PAGE]), axis=0, return_inverse=True)
    return pages.reshape([-1]).astype(np.int32), contents.reshape([-1])


def _trie(vocabulary, symbols):
    """Returns the fields of `TokenizerTables` that concern word pieces.

    Nodes are numbered level by level, in the order of the edges to them, so that the index of an
    edge determines the node it leads to.
    """
    size = len(symbols) + 1
    pieces = [_piece(token, symbols) + (number,) for token, number in vocabulary.items() if token]
    levels, tokens, num_nodes = [], {0: NO_TOKEN}, 1
    while pieces:
        level = sorted({node * size + codes[0] for node, codes, _ in pieces})
        number_of = {edge: num_nodes + index for index, edge in enumerate(level)}
        num_nodes += len(level)
        levels.append(level)
        reached = [(number_of[n * size + codes[0]], codes[1:], t) for n, codes, t in pieces]
        tokens.update((node, token) for node, codes, token in reached if not codes)
        pieces = [piece for piece in reached if piece[1]]
    edges = np.array(sum(levels[1:], []), np.int64)
    has_edges = np.zeros(num_nodes, np.bool_)
    has_edges[edges // size] = True
    first_nodes = np.zeros(2 * size, np.int32)
    first_nodes[levels[0]] = 1 + np.arange(len(levels[0]))
    return {
        "first_nodes": first_nodes.reshape([2, size]),
        "edges": edges,
        "first_child": 1 + len(levels[0]),
        "has_edges": has_edges,
        "token_of_node": np.array([tokens.get(n, NO_TOKEN) for n in range(num_nodes)], np.int32),
    }


def _piece(token, symbols):
    """Returns (0, symbols) for a token that begins a word, (1, symbols) if it continues one."""
    is_continuation = token.startswith(_CONTINUATION) and token != _CONTINUATION
    text = token[len(_CONTINUATION) :] if is_continuation else token
    return int(is_continuation), [symbols[char] for char in text]
