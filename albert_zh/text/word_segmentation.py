"""Encodes lines of text as word pieces and marks the pieces that begin a word.

    encoder = LineEncoder(tokenizer, make_segmenter("jieba"))
    ids, word_starts = encoder.encode("他在北京大学读iPhone 15的评测")

The segmenter splits the original text, including upper case and spaces, into words, and each word
is then split into pieces. A word may thus have any length, and is what a reader would call a word:
an English word with its ## pieces, a number with its decimals, a name such as T恤. The pieces are
the same as if the tokenizer had split the whole line.
"""

import re
from typing import Callable, List, Optional, Tuple
import unicodedata
import warnings

from albert_zh.common import files
from albert_zh.common.errors import UserError, naming
from albert_zh.text.tokenization import UNKNOWN, BasicTokenizer, FullTokenizer
from albert_zh.text.word_starts import starts_word

SEGMENTERS = ("jieba", "rjieba", "none")

_GREEK_SIGMA = "\u03a3"
_NUMBER = re.compile("([0-9]+(?:[.,:][0-9]+)+%?)")
_MAX_REMEMBERED_WORDS = 200000


def make_segmenter(
    name: str, user_dict: Optional[str] = None
) -> Optional[Callable[[str], List[str]]]:
    """Returns the function that splits text into words.

    Args:
        name: one of `SEGMENTERS`.
        user_dict: path of a user dictionary for jieba (lines `word frequency tag`), or None.

    Returns:
        function that splits a str into a list of words, which together make up the text; None for
        "none".

    Raises:
        UserError: if the package is not installed, or the user dictionary cannot be used.
    """
    if user_dict and name != "jieba":
        raise UserError(
            "--user_dict requires --segmenter=jieba, found --segmenter=%s: leave one out" % name
        )
    makers = {"jieba": lambda: _jieba(user_dict), "rjieba": _rjieba, "none": lambda: None}
    return makers[name]()


def _jieba(user_dict):
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # jieba imports a module about which setuptools warns
            import jieba
    except ImportError as error:
        raise UserError("--segmenter=jieba needs the package jieba: pip install jieba") from error
    jieba.setLogLevel("WARNING")
    segmenter = jieba.Tokenizer()
    segmenter.initialize()
    if user_dict:
        with naming("--user_dict"):
            lines = files.read_lines(user_dict)
        try:
            segmenter.load_userdict(lines)
        except ValueError as error:
            raise UserError(
                "--user_dict=%s: %s: expected lines of a word and, after spaces, its frequency "
                "and tag if any" % (user_dict, error)
            ) from error
    return segmenter.lcut


def _rjieba():
    try:
        import rjieba
    except ImportError as error:
        raise UserError(
            "--segmenter=rjieba needs the package rjieba: pip install rjieba, "
            "or leave the flag out to use jieba"
        ) from error
    return rjieba.cut


class LineEncoder:
    """Splits lines into pieces and marks those that begin a word.

    Attributes:
        unknown_id: int, the id of the unknown token.
    """

    def __init__(
        self,
        tokenizer: FullTokenizer,
        segmenter: Optional[Callable[[str], List[str]]] = None,
        starts_word: Callable[[str], bool] = starts_word,
    ) -> None:
        """Initializes the line encoder.

        Args:
            tokenizer: `tokenization.FullTokenizer`.
            segmenter: the result of `make_segmenter`; if None, `starts_word` decides which pieces
                begin a word.
            starts_word: function of a piece that returns whether it begins a word.
        """
        self._tokenizer = tokenizer
        self._segmenter = segmenter
        # A segmenter is only used with word pieces, never with a SentencePiece model.
        self._lowers = segmenter is not None and tokenizer.basic_tokenizer.do_lower_case
        self._starts_word = starts_word
        self._ids_of_words = {}
        self._is_separate = _SeparateCharacters()
        self.unknown_id = tokenizer.convert_tokens_to_ids([UNKNOWN])[0]
        self._is_unknown = {}

    def encode(self, line: str) -> Tuple[List[int], List[bool]]:
        """Encodes a line as pieces.

        Args:
            line: str.

        Returns:
            (ids: list of int, word_starts: list of bool, whether each piece begins a word).
        """
        if self._segmenter is None:
            tokens = self._tokenizer.tokenize(line)
            ids = self._tokenizer.convert_tokens_to_ids(tokens)
            return ids, [self._starts_word(token) for token in tokens]
        ids, word_starts = [], []
        for word in self._words(_prepared(line, self._lowers)):
            word_ids = self._ids_of_words.get(word)
            if word_ids is None:
                word_ids = self._ids_of_new_word(word)
            if word_ids:
                ids += word_ids
                word_starts.append(True)
                word_starts += [False] * (len(word_ids) - 1)
        return ids, word_starts

    def unknown_characters(self, text: str) -> List[str]:
        """Lists the characters of a text that are not in the vocabulary."""
        for char in set(text).difference(self._is_unknown):
            tokens = self._tokenizer.tokenize(char)
            ids = self._tokenizer.convert_tokens_to_ids(tokens)
            self._is_unknown[char] = self.unknown_id in ids
        return [char for char in text if self._is_unknown[char]]

    def _words(self, text):
        """Yields the segmenter's words, joined if one would end within a word of the tokenizer."""
        is_separate = self._is_separate
        begun = ""
        for word in self._segmented(text):
            if begun and not (is_separate[begun[-1]] or is_separate[word[0]]):
                begun += word
                continue
            if begun:
                yield begun
            begun = word
        if begun:
            yield begun

    def _segmented(self, text):
        """The segmenter's words, except that a number with points or commas is one word."""
        if not _NUMBER.search(text):
            return self._segmenter(text)
        words = []
        for index, segment in enumerate(_NUMBER.split(text)):
            words += [segment] if index % 2 else self._segmenter(segment)
        return words

    def _ids_of_new_word(self, word):
        ids = self._tokenizer.convert_tokens_to_ids(self._tokenizer.tokenize(word))
        if len(self._ids_of_words) >= _MAX_REMEMBERED_WORDS:
            self._ids_of_words.clear()
        self._ids_of_words[word] = ids
        return ids


class _SeparateCharacters(dict):
    """Whether the tokenizer separates a character from its neighbours, computed on first use.

    It separates ideographs, spaces and punctuation marks.
    """

    def __missing__(self, char):
        tokens = BasicTokenizer(do_lower_case=False).tokenize("a%sa" % char)
        is_separate = self[char] = len(tokens) > 1
        return is_separate


def _prepared(line, lowers):
    """Prepares a line for the segmenter: removes the characters that the tokenizer drops.

    Args:
        line: str.
        lowers: bool, whether the tokenizer lower-cases letters.
    """
    if lowers and _GREEK_SIGMA in line:
        # Its lower case depends on its neighbours, even across punctuation marks.
        line = line.lower()
    if line.isprintable():
        return line
    return "".join(char for char in line if _is_kept(char))


def _is_kept(char):
    return char in "\t\n\r" or unicodedata.category(char) not in ("Cc", "Cf")
