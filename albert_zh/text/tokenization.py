"""Tokenizes text into word pieces and ids like BERT, or with SentencePiece like Google's ALBERT.

    tokenizer = FullTokenizer("albert_starter_zh/vocab.txt", do_lower_case=True)
    tokens = tokenizer.tokenize("北京有哪些好玩的地方?")
    ids = tokenizer.convert_tokens_to_ids(["[CLS]"] + tokens + ["[SEP]"])

The steps: control characters are removed, every ideograph becomes a separate word, the text is
split at whitespace, words are lower-cased and stripped of accents (`do_lower_case`), punctuation
marks become separate words, and each word is split greedily into the longest pieces of the
vocabulary.

The pieces of each word are cached, since most of a Chinese text repeats a few thousand characters.
The names of `sentencepiece_models`, `unicode_text` and `vocabulary_files` can be imported from
here, too.
"""

import hashlib
import re
from typing import Collection, Iterable, List, Optional, Union
import unicodedata

from albert_zh.common import checks, validation
from albert_zh.common.errors import UserError
from albert_zh.text.sentencepiece_models import (
    SPIECE_UNDERLINE,
    SentencePieceTokenizer,
    encode_ids,
    encode_pieces,
    preprocess_text,
)
from albert_zh.text.unicode_text import (
    SPACED_PUNCTUATION,
    WITHOUT_ACCENTS,
    convert_to_unicode,
    printable_text,
    whitespace_tokenize,
    words_of,
)
from albert_zh.text.vocabulary_files import (
    SENTENCE_TOKENS,
    SENTENCEPIECE_FILE,
    UNKNOWN,
    VOCABULARY_FILE,
    check_num_entries,
    check_required_tokens,
    convert_by_vocab,
    convert_ids_to_tokens,
    convert_tokens_to_ids,
    ids_of,
    is_sentencepiece,
    load_vocab,
    name_in_folder,
    num_entries,
    vocabulary_entries,
    vocabulary_in_folder,
)
from albert_zh.text.word_memory import remember

__all__ = [
    "BasicTokenizer",
    "FullTokenizer",
    "SENTENCEPIECE_FILE",
    "SENTENCE_TOKENS",
    "SPIECE_UNDERLINE",
    "SentencePieceTokenizer",
    "UNKNOWN",
    "VOCABULARY_FILE",
    "WordpieceTokenizer",
    "check_num_entries",
    "convert_by_vocab",
    "convert_ids_to_tokens",
    "convert_to_unicode",
    "convert_tokens_to_ids",
    "encode_ids",
    "encode_pieces",
    "is_sentencepiece",
    "load_vocab",
    "name_in_folder",
    "num_entries",
    "preprocess_text",
    "printable_text",
    "validate_case_matches_checkpoint",
    "vocabulary_in_folder",
    "whitespace_tokenize",
]

# Whether the BERT models with these names were trained on lower-cased text.
_LOWER_CASED_MODELS = {
    "uncased_L-24_H-1024_A-16": True,
    "uncased_L-12_H-768_A-12": True,
    "multilingual_L-12_H-768_A-12": True,
    "chinese_L-12_H-768_A-12": True,
    "cased_L-12_H-768_A-12": False,
    "cased_L-24_H-1024_A-16": False,
    "multi_cased_L-12_H-768_A-12": False,
}


class FullTokenizer:
    """Tokenizes text into word pieces and converts them to ids.

    Attributes:
        vocab: OrderedDict, token -> id.
        inv_vocab: dict, id -> token.
        name_in_folder: name of the vocabulary file in a model folder.
        sha256: hexadecimal SHA-256 of the vocabulary file's bytes that were read.
        sentencepiece: `SentencePieceTokenizer`; None if the vocabulary is a list of word pieces.
        located_pieces: dict, word -> its pieces and their characters; cache filled by `offsets`.
    """

    def __init__(
        self,
        vocab_file: Optional[str],
        do_lower_case: bool = True,
        spm_model_file: Optional[str] = None,
    ) -> None:
        """Reads the vocabulary.

        Args:
            vocab_file: text file with one token per line, whose id is the line number from 0; or a
                SentencePiece model, *.model. Not used (may be None) with `spm_model_file`.
            do_lower_case: whether to lower-case the text and strip its accents.
            spm_model_file: SentencePiece model to use instead of the vocabulary.

        Raises:
            UserError: if the file is missing, unreadable or lacks a token that every model needs.
        """
        digest = hashlib.sha256()
        for name, path in (("vocab_file", vocab_file), ("spm_model_file", spm_model_file)):
            checks.checked(name, path, validation.or_none(validation.PATH, "None"))
        if is_sentencepiece(vocab_file):
            spm_model_file = spm_model_file or vocab_file
        if spm_model_file:
            tokenizer = SentencePieceTokenizer(spm_model_file, do_lower_case, digest)
            self.sentencepiece: Optional[SentencePieceTokenizer] = tokenizer
            entries = tokenizer.pieces
            self.name_in_folder = SENTENCEPIECE_FILE
            self._unknown_id: Optional[int] = tokenizer.unknown_id
            self._tokenize = tokenizer.tokenize
            check_required_tokens("--spm_model_file=%s" % spm_model_file, entries, SENTENCE_TOKENS)
        else:
            entries = vocabulary_entries(vocab_file, digest)
            self.name_in_folder = VOCABULARY_FILE
            self.sentencepiece = None
            self._unknown_id = None
            self._tokenize = self._word_pieces
            required = (UNKNOWN,) + SENTENCE_TOKENS
            check_required_tokens("--vocab_file=%s" % vocab_file, entries, required)
        self.sha256 = digest.hexdigest()
        self.vocab = ids_of(entries)
        self.inv_vocab = dict(enumerate(entries))
        self.basic_tokenizer = BasicTokenizer(do_lower_case)
        self.wordpiece_tokenizer = WordpieceTokenizer(self.vocab)
        self._pieces_of_word = {}
        self.located_pieces = {}

    def tokenize(self, text: Union[str, bytes]) -> List[str]:
        """Splits a text into word pieces.

        Args:
            text: str, or bytes in UTF-8.

        Returns:
            list of str.
        """
        return self._tokenize(text)

    def convert_tokens_to_ids(self, tokens: Iterable[str]) -> List[int]:
        """Converts tokens to ids; raises `UserError` for a token missing from the vocabulary.

        With SentencePiece, a missing token gets the id of the model's unknown token instead.
        """
        if self._unknown_id is not None:
            return [self.vocab.get(token, self._unknown_id) for token in tokens]
        return convert_tokens_to_ids(self.vocab, tokens)

    def convert_ids_to_tokens(self, ids: Iterable[int]) -> List[str]:
        """Converts ids to tokens; raises `UserError` for an id outside the vocabulary."""
        return convert_ids_to_tokens(self.inv_vocab, ids)

    def _word_pieces(self, text):
        remembered = self._pieces_of_word
        tokens = []
        for word in words_of(text):
            pieces = remembered.get(word)
            if pieces is None:
                pieces = self._pieces_of_new_word(word)
            tokens += pieces
        return tokens

    def _pieces_of_new_word(self, word):
        split_word = self.wordpiece_tokenizer.split_word
        pieces = []
        for subword in self.basic_tokenizer.split_word(word):
            pieces += split_word(subword)
        remember(self._pieces_of_word, word, pieces)
        return pieces


class BasicTokenizer:
    """Cleans a text and splits it at whitespace, ideographs and punctuation marks."""

    def __init__(self, do_lower_case: bool = True) -> None:
        """Sets `do_lower_case`: whether to lower-case the text and strip its accents."""
        self.do_lower_case = do_lower_case

    def tokenize(self, text: Union[str, bytes]) -> List[str]:
        """Splits a text (str, or bytes in UTF-8) into a list of words and punctuation marks."""
        return [subword for word in words_of(text) for subword in self.split_word(word)]

    def split_word(self, word: str) -> List[str]:
        """Splits a word, already free of whitespace and control characters, at punctuation."""
        if self.do_lower_case:
            # Lower-cases the whole word at once: the lower case of "Σ" depends on its neighbours.
            word = unicodedata.normalize("NFD", word.lower()).translate(WITHOUT_ACCENTS)
        return word.translate(SPACED_PUNCTUATION).split()


class WordpieceTokenizer:
    """Splits words greedily into the longest pieces of the vocabulary."""

    def __init__(
        self, vocab: Collection[str], unk_token: str = UNKNOWN, max_input_chars_per_word: int = 200
    ) -> None:
        """Sets up the vocabulary.

        Args:
            vocab: mapping or set of tokens; a piece within a word is written "##piece".
            unk_token: the token for a word that cannot be split into known pieces.
            max_input_chars_per_word: longer words become the unknown token.
        """
        self.vocab = vocab
        self.unk_token = unk_token
        self.max_input_chars_per_word = max_input_chars_per_word
        self._longest_piece = max((len(token) for token in vocab), default=0)

    def tokenize(self, text: Union[str, bytes]) -> List[str]:
        """Splits text that `BasicTokenizer` has already split into a list of word pieces."""
        return [piece for word in whitespace_tokenize(text) for piece in self.split_word(word)]

    def split_word(self, word: str) -> List[str]:
        """Splits a word into pieces; returns only the unknown token if any part is unknown."""
        length = len(word)
        if length > self.max_input_chars_per_word:
            return [self.unk_token]
        pieces = []
        start = 0
        while start < length:
            piece = self._longest_match(word, start)
            if piece is None:
                return [self.unk_token]
            pieces.append(piece)
            start += len(piece) - (2 if start else 0)
        return pieces

    def _longest_match(self, word, start):
        """Returns the longest piece of the vocabulary at `start` in `word`, or None."""
        prefix = "##" if start else ""
        for end in range(min(len(word), start + self._longest_piece), start, -1):
            piece = prefix + word[start:end]
            if piece in self.vocab:
                return piece
        return None


def validate_case_matches_checkpoint(do_lower_case: bool, init_checkpoint: Optional[str]) -> None:
    """Checks that `do_lower_case` fits a BERT checkpoint, which is recognized by its folder's name.

    Args:
        do_lower_case: the flag's value.
        init_checkpoint: path of the checkpoint, or None; unknown names are accepted.

    Raises:
        UserError: if a known model was trained with the other setting.
    """
    match = re.match(r".*?([A-Za-z0-9_-]+)/bert_model\.ckpt", init_checkpoint or "")
    expected = _LOWER_CASED_MODELS.get(match.group(1)) if match else None
    if expected is not None and bool(do_lower_case) != expected:
        raise UserError(
            "--do_lower_case=%s, but --init_checkpoint=%s was trained on %s text: "
            "pass --do_lower_case=%s"
            % (do_lower_case, init_checkpoint, "lower-cased" if expected else "cased", expected)
        )
