"""Text to word pieces to ids, as BERT does it; SentencePiece as google's ALBERT does it.

    tokenizer = FullTokenizer("albert_starter_zh/vocab.txt", do_lower_case=True)
    tokens = tokenizer.tokenize("北京有哪些好玩的地方?")
    ids = tokenizer.convert_tokens_to_ids(["[CLS]"] + tokens + ["[SEP]"])

The steps: control characters go, every ideograph becomes a word of its own, the text is split at
whitespace, words are lower-cased and lose their accents (`do_lower_case`), punctuation marks become
words of their own, and each word is cut greedily into the longest pieces of the vocabulary.

What a single character needs is looked up in tables that fill themselves on first sight, and the
pieces of a word are remembered: most of a Chinese text is a few thousand characters over and over.
"""

import collections
import hashlib
import os
import re
import unicodedata
import warnings

from albert_zh.common import files, validation
from albert_zh.common.errors import UserError

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

UNKNOWN = "[UNK]"
# What a model folder calls its vocabulary: a list of tokens, or a SentencePiece model.
VOCABULARY_FILE = "vocab.txt"
SENTENCEPIECE_FILE = "spiece.model"
SENTENCE_TOKENS = ("[CLS]", "[SEP]")
SPIECE_UNDERLINE = "\u2581"  # SentencePiece's space

# What BERT takes for an ideograph: the unified blocks A to E and the compatibility blocks. Hangul
# and kana are not among them (they are written in words), nor are the blocks added later.
_IDEOGRAPH_RANGES = (
    (0x4E00, 0x9FFF),
    (0x3400, 0x4DBF),
    (0x20000, 0x2A6DF),
    (0x2A700, 0x2B73F),
    (0x2B740, 0x2B81F),
    (0x2B820, 0x2CEAF),
    (0xF900, 0xFAFF),
    (0x2F800, 0x2FA1F),
)
# ASCII signs such as "$" and "~" that Unicode calls symbols count as punctuation too.
_ASCII_PUNCTUATION = frozenset("!\"#$%&'()*+,-./:;<=>?@[\\]^_`{|}~")

# Whether the BERT models of these names were trained on lower-cased text.
_LOWER_CASED_MODELS = {
    "uncased_L-24_H-1024_A-16": True,
    "uncased_L-12_H-768_A-12": True,
    "multilingual_L-12_H-768_A-12": True,
    "chinese_L-12_H-768_A-12": True,
    "cased_L-12_H-768_A-12": False,
    "cased_L-24_H-1024_A-16": False,
    "multi_cased_L-12_H-768_A-12": False,
}

# Bounds of the memory that a tokenizer spends on words it has seen.
_MAX_REMEMBERED_WORDS = 100000
_MAX_REMEMBERED_LENGTH = 64

# Of subword regularization in google's scripts: how many ways to cut a text, and how even they are.
_SAMPLED_WAYS, _SAMPLING_SMOOTHNESS = 64, 0.1


class FullTokenizer:
    """Text to word pieces and their ids.

    Attributes:
        vocab: OrderedDict, token -> id.
        inv_vocab: dict, id -> token.
        name_in_folder: what a model folder calls the vocabulary's file.
        sha256: hexadecimal digest of the vocabulary's bytes, as they were read.
        sentencepiece: `SentencePieceTokenizer`, None with a list of word pieces.
    """

    def __init__(self, vocab_file, do_lower_case=True, spm_model_file=None):
        """Reads the vocabulary.

        Args:
            vocab_file: text file with a token per line; the line number from 0 is its id; or a
                SentencePiece model, *.model. Unused (may be None) with `spm_model_file`.
            do_lower_case: whether to lower-case the text and strip its accents.
            spm_model_file: a SentencePiece model, used instead of the vocabulary.

        Raises:
            UserError: when the file is missing, unreadable or lacks a token that every model needs.
        """
        digest = hashlib.sha256()
        for name, path in (("vocab_file", vocab_file), ("spm_model_file", spm_model_file)):
            validation.checked(name, path, validation.or_none(validation.PATH, "None"))
        if is_sentencepiece(vocab_file):
            spm_model_file = spm_model_file or vocab_file
        if spm_model_file:
            tokenizer = SentencePieceTokenizer(spm_model_file, do_lower_case, digest)
            self.sentencepiece = tokenizer
            entries = tokenizer.pieces
            self.name_in_folder = SENTENCEPIECE_FILE
            self._unknown_id = tokenizer.unknown_id
            self._tokenize = tokenizer.tokenize
            _check_required_tokens("--spm_model_file=%s" % spm_model_file, entries, SENTENCE_TOKENS)
        else:
            entries = _vocabulary_entries(vocab_file, digest)
            self.name_in_folder = VOCABULARY_FILE
            self.sentencepiece = None
            self._unknown_id = None
            self._tokenize = self._word_pieces
            required = (UNKNOWN,) + SENTENCE_TOKENS
            _check_required_tokens("--vocab_file=%s" % vocab_file, entries, required)
        self.sha256 = digest.hexdigest()
        self.vocab = _ids_of(entries)
        self.inv_vocab = dict(enumerate(entries))
        self.basic_tokenizer = BasicTokenizer(do_lower_case)
        self.wordpiece_tokenizer = WordpieceTokenizer(self.vocab)
        self._pieces_of_word = {}

    def tokenize(self, text):
        """Splits a text into word pieces.

        Args:
            text: str, or bytes in UTF-8.

        Returns:
            list of str.
        """
        return self._tokenize(text)

    def convert_tokens_to_ids(self, tokens):
        """Ids of tokens; raises `UserError` for a token that the vocabulary lacks.

        With SentencePiece, such a token gets the id of the model's unknown token.
        """
        if self._unknown_id is not None:
            return [self.vocab.get(token, self._unknown_id) for token in tokens]
        return convert_tokens_to_ids(self.vocab, tokens)

    def convert_ids_to_tokens(self, ids):
        """Tokens of ids; raises `UserError` for an id outside the vocabulary."""
        return convert_ids_to_tokens(self.inv_vocab, ids)

    def _word_pieces(self, text):
        remembered = self._pieces_of_word
        tokens = []
        for word in _words(text):
            pieces = remembered.get(word)
            if pieces is None:
                pieces = self._pieces_of_new_word(word)
            tokens += pieces
        return tokens

    def _pieces_of_new_word(self, word):
        split_word = self.wordpiece_tokenizer.split_word
        pieces = []
        for part in self.basic_tokenizer.split_word(word):
            pieces += split_word(part)
        if len(word) <= _MAX_REMEMBERED_LENGTH:
            if len(self._pieces_of_word) >= _MAX_REMEMBERED_WORDS:
                self._pieces_of_word.clear()
            self._pieces_of_word[word] = pieces
        return pieces


class BasicTokenizer:
    """Cleans a text and splits it at whitespace, ideographs and punctuation."""

    def __init__(self, do_lower_case=True):
        """`do_lower_case`: whether to lower-case the text and strip its accents."""
        self.do_lower_case = do_lower_case

    def tokenize(self, text):
        """Splits a text (str, or bytes in UTF-8) into a list of words and punctuation marks."""
        return [part for word in _words(text) for part in self.split_word(word)]

    def split_word(self, word):
        """Splits a word, already free of whitespace and control characters, at punctuation."""
        if self.do_lower_case:
            # The whole word at once: what "Σ" becomes in lower case depends on its neighbours.
            word = unicodedata.normalize("NFD", word.lower()).translate(_WITHOUT_ACCENTS)
        return word.translate(_SPACED_PUNCTUATION).split()


class WordpieceTokenizer:
    """Cuts words into the longest pieces that the vocabulary has."""

    def __init__(self, vocab, unk_token=UNKNOWN, max_input_chars_per_word=200):
        """Sets up the vocabulary.

        Args:
            vocab: mapping or set of tokens; a piece within a word is written "##piece".
            unk_token: the token for a word that cannot be cut into known pieces.
            max_input_chars_per_word: longer words are unknown.
        """
        self.vocab = vocab
        self.unk_token = unk_token
        self.max_input_chars_per_word = max_input_chars_per_word
        self._longest_piece = max((len(token) for token in vocab), default=0)

    def tokenize(self, text):
        """Cuts text, already split by `BasicTokenizer`, into a list of word pieces."""
        return [piece for word in whitespace_tokenize(text) for piece in self.split_word(word)]

    def split_word(self, word):
        """The pieces of a word, or only the unknown token where some part of it is unknown."""
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
        """The longest piece that `word` has at `start`, or None."""
        prefix = "##" if start else ""
        for end in range(min(len(word), start + self._longest_piece), start, -1):
            piece = prefix + word[start:end]
            if piece in self.vocab:
                return piece
        return None


class SentencePieceTokenizer:
    """Splits text by a SentencePiece model.

    Attributes:
        model: `sentencepiece.SentencePieceProcessor`.
        pieces: list of the model's pieces, by id.
        unknown_id: id of the unknown token.
    """

    def __init__(self, model_file, do_lower_case=True, digest=None):
        """Loads the model; `digest` as in `files.read_bytes`.

        Raises:
            UserError: without the package sentencepiece, or without a usable model.
        """
        try:
            import sentencepiece
        except ImportError as error:
            raise UserError(
                "--spm_model_file=%s needs the package sentencepiece: pip install sentencepiece"
                % model_file
            ) from error
        fault = UserError(
            "%s: not a SentencePiece model: expected a .model file made by spm_train" % model_file
        )
        content = files.read_bytes(model_file, digest)
        if not content:  # the library takes it and crashes later
            raise fault
        try:
            self.model = sentencepiece.SentencePieceProcessor(model_proto=content)
        except RuntimeError as error:
            raise fault from error
        self.do_lower_case = do_lower_case
        self.pieces = [self.model.IdToPiece(i) for i in range(self.model.GetPieceSize())]
        self.unknown_id = self.model.unk_id()

    def tokenize(self, text):
        """Splits a text (str, or bytes in UTF-8) into a list of pieces."""
        return encode_pieces(self.model, preprocess_text(text, lower=self.do_lower_case))


def encode_pieces(sp_model, text, return_unicode=True, sample=False):
    """The pieces of a text, a number's comma as a piece, as google's scripts have them.

    Args:
        sp_model: `sentencepiece.SentencePieceProcessor`.
        text: str, or bytes in UTF-8.
        return_unicode: not used: pieces are always str.
        sample: whether one of several ways to cut the text is drawn (Kudo 2018).

    Returns:
        list of str.
    """
    del return_unicode
    text = convert_to_unicode(text)
    if sample:
        cut = sp_model.SampleEncodeAsPieces(text, _SAMPLED_WAYS, _SAMPLING_SMOOTHNESS)
    else:
        cut = sp_model.EncodeAsPieces(text)
    pieces = []
    for piece in cut:
        pieces += with_separate_comma(sp_model, piece)
    return pieces


def encode_ids(sp_model, text, sample=False):
    """Ids of the pieces of a text, see `encode_pieces`."""
    return [sp_model.PieceToId(piece) for piece in encode_pieces(sp_model, text, sample=sample)]


def with_separate_comma(sp_model, piece):
    """The pieces of a number and its comma, so that "2019," shares its pieces with "2019".

    Args:
        sp_model: `sentencepiece.SentencePieceProcessor`.
        piece: str; any other piece stays as it is.

    Returns:
        list of str.
    """
    if len(piece) < 2 or piece[-1] != "," or not piece[-2].isdigit():
        return [piece]
    number = sp_model.EncodeAsPieces(piece[:-1].replace(SPIECE_UNDERLINE, ""))
    if not piece.startswith(SPIECE_UNDERLINE) and number[0][0] == SPIECE_UNDERLINE:
        # The model starts every text with a space; here the number continues a word.
        number[0] = number[0][1:]
    return [part for part in number if part] + [","]


def is_sentencepiece(path):
    """Whether a vocabulary's path is that of a SentencePiece model."""
    return path is not None and os.fspath(path).endswith(".model")


def name_in_folder(path):
    """What a model folder calls the vocabulary that lies at a path."""
    return SENTENCEPIECE_FILE if is_sentencepiece(path) else VOCABULARY_FILE


def vocabulary_in_folder(folder):
    """Path of a model folder's vocabulary; it may be missing."""
    path = os.path.join(folder, SENTENCEPIECE_FILE)
    return path if os.path.exists(path) else os.path.join(folder, VOCABULARY_FILE)


def num_entries(vocab_file):
    """Number of a vocabulary's entries, which is what a config calls `vocab_size`.

    Every line counts that has an id: equal entries each, and blank ones.

    Args:
        vocab_file: text file with a token per line, or a SentencePiece model, *.model.

    Returns:
        int.

    Raises:
        UserError: when the file is missing or unreadable.
    """
    return len(_vocabulary_entries(vocab_file))


def check_num_entries(vocab_file, found, vocab_size):
    """Checks that a vocabulary is a model's.

    Args:
        vocab_file: path of the vocabulary, or of the model that it is part of.
        found: int, its entries.
        vocab_size: int, of the model's config.

    Raises:
        UserError: if the numbers differ.
    """
    if found != vocab_size:
        raise UserError(
            "%s: the vocabulary has %d entries, but the config's vocab_size is %d: use the "
            "vocabulary that came with the model" % (vocab_file, found, vocab_size)
        )


def preprocess_text(text, remove_space=True, lower=False, keep_accents=False):
    """Text as google's scripts hand it to SentencePiece.

    Args:
        text: str, or bytes in UTF-8.
        remove_space: whether runs of whitespace become one space.
        lower: whether to lower-case.
        keep_accents: whether to skip NFKD normalisation, which drops accents.

    Returns:
        str; LaTeX quotes are written as '"'.
    """
    text = convert_to_unicode(text)
    if remove_space:
        text = " ".join(text.split())
    text = text.replace("``", '"').replace("''", '"')
    if not keep_accents:
        decomposed = unicodedata.normalize("NFKD", text)
        text = "".join(char for char in decomposed if not unicodedata.combining(char))
    return text.lower() if lower else text


def load_vocab(vocab_file):
    """Reads a vocabulary file.

    Lines end at "\\n" only and are stripped: the released vocabulary has entries that are line ends
    to Unicode (U+2028). Of equal entries the last one's id counts.

    Args:
        vocab_file: text file with a token per line, or a SentencePiece model, *.model.

    Returns:
        OrderedDict, token -> id.

    Raises:
        UserError: when the file is missing or unreadable.
    """
    return _ids_of(_vocabulary_entries(vocab_file))


def convert_by_vocab(vocab, items):
    """The values of tokens, or of ids, in a vocabulary.

    Args:
        vocab: dict, token -> id or id -> token.
        items: iterable of its keys.

    Returns:
        list.

    Raises:
        UserError: for a key that the vocabulary lacks.
    """
    try:
        return [vocab[item] for item in items]
    except KeyError as error:
        raise UserError(
            "the vocabulary of %d entries has no %s %r: was this made with another vocabulary?"
            % (len(vocab), "token" if isinstance(error.args[0], str) else "id", error.args[0])
        ) from error


def convert_tokens_to_ids(vocab, tokens):
    """Ids of tokens, see `convert_by_vocab`."""
    return convert_by_vocab(vocab, tokens)


def convert_ids_to_tokens(inv_vocab, ids):
    """Tokens of ids, see `convert_by_vocab`."""
    return convert_by_vocab(inv_vocab, ids)


def whitespace_tokenize(text):
    """Splits a text at whitespace."""
    return convert_to_unicode(text).split()


def convert_to_unicode(text):
    """The text as str; bytes are taken for UTF-8, and what is not UTF-8 in them is left out."""
    if isinstance(text, str):
        return text
    if isinstance(text, bytes):
        return text.decode("utf-8", "ignore")
    raise UserError("text: expected a str, or bytes in UTF-8, found %s" % validation.shown(text))


def printable_text(text):
    """The text as `print` and logging want it: str."""
    return convert_to_unicode(text)


def validate_case_matches_checkpoint(do_lower_case, init_checkpoint):
    """Checks `do_lower_case` against what a BERT checkpoint's folder is known to be.

    Args:
        do_lower_case: the flag's value.
        init_checkpoint: path of the checkpoint, or None; other than BERT's names pass.

    Raises:
        UserError: when a known model was trained with the other setting.
    """
    match = re.match(r".*?([A-Za-z0-9_-]+)/bert_model\.ckpt", init_checkpoint or "")
    expected = _LOWER_CASED_MODELS.get(match.group(1)) if match else None
    if expected is not None and bool(do_lower_case) != expected:
        raise UserError(
            "--do_lower_case=%s, but --init_checkpoint=%s was trained on %s text: "
            "pass --do_lower_case=%s"
            % (do_lower_case, init_checkpoint, "lower-cased" if expected else "cased", expected)
        )


class _CharacterTable(dict):
    """A table for `str.translate` that asks `rule` for each character it meets first."""

    def __init__(self, rule):
        super().__init__()
        self._rule = rule

    def __missing__(self, codepoint):
        replacement = self[codepoint] = self._rule(chr(codepoint))
        return replacement


def _cleaned_and_spaced(char):
    """What stands for a character before the text is split at whitespace."""
    if char in "\t\n\r" or unicodedata.category(char) == "Zs":
        return " "
    if char in "\0\ufffd" or unicodedata.category(char) in ("Cc", "Cf"):
        return ""
    codepoint = ord(char)
    if any(first <= codepoint <= last for first, last in _IDEOGRAPH_RANGES):
        return " %s " % char
    return char


def _without_accent(char):
    return "" if unicodedata.category(char) == "Mn" else char


def is_punctuation(char):
    """Whether a character is a punctuation mark to BERT: ASCII signs such as "$" are."""
    return char in _ASCII_PUNCTUATION or unicodedata.category(char)[0] == "P"


def _spaced_punctuation(char):
    return " %s " % char if is_punctuation(char) else char


CLEANED_AND_SPACED = _CharacterTable(_cleaned_and_spaced)
_WITHOUT_ACCENTS = _CharacterTable(_without_accent)
_SPACED_PUNCTUATION = _CharacterTable(_spaced_punctuation)


def _words(text):
    """Words of a text, each ideograph one of them, without control characters."""
    return convert_to_unicode(text).translate(CLEANED_AND_SPACED).split()


def _ids_of(entries):
    return collections.OrderedDict((token, index) for index, token in enumerate(entries))


def _vocabulary_entries(path, digest=None):
    """The tokens of a vocabulary file, or the pieces of a SentencePiece model, by id."""
    path = os.fspath(validation.checked("vocab_file", path or "", validation.PATH))
    if is_sentencepiece(path):
        return SentencePieceTokenizer(path).pieces
    if not path:
        raise UserError("--vocab_file is empty: name the vocab.txt of the model's folder")
    if "://" in path:
        lines = _remote_text(path, digest).split("\n")
        lines = lines[:-1] if lines[-1] == "" else lines
    elif os.path.exists(path) and not os.path.isdir(path):
        lines = files.read_lines(path, digest=digest)
    else:
        raise UserError(_no_such_vocabulary(path))
    entries = [line.strip() for line in lines]
    _warn_of_repeated_entries(path, entries)
    return entries


def _warn_of_repeated_entries(path, entries):
    """Blank ones hold the place of ids that are not in use."""
    lines = {}
    for line, entry in enumerate(entries, start=1):
        if entry and entry in lines:
            warnings.warn(
                "%s, line %d: the entry %s is in line %d already, and the id of that line is never "
                "used: has a line been added or changed by mistake?"
                % (path, line, validation.shown(entry), lines[entry])
            )
            return
        lines[entry] = line


def _remote_text(path, digest):
    """Text of a file in a storage that TensorFlow reads (gs://...)."""
    import tensorflow.compat.v1 as tf

    try:
        with tf.io.gfile.GFile(path, "rb") as handle:
            content = handle.read()
        if digest is not None:
            digest.update(content)
        return content.decode("utf-8-sig")
    except (tf.errors.OpError, UnicodeDecodeError) as error:
        raise UserError(
            "%s: cannot be read as UTF-8 text: %s" % (path, " ".join(str(error).split()))
        ) from error


def _no_such_vocabulary(path):
    parts = os.path.normpath(path).split(os.sep)
    if parts[-2:] == ["albert_config", "vocab.txt"]:
        way_out = (
            "the released vocabulary comes with the released models: `python "
            "scripts/fetch_assets.py albert_tiny_489k` puts it there; or use "
            "albert_starter_zh/vocab.txt together with the config in albert_starter_zh/"
        )
    elif os.path.isdir(path):
        way_out = "this is a folder: name the file in it, such as %s" % os.path.join(
            path, "vocab.txt"
        )
    else:
        way_out = "expected a text file with a token per line, the vocab.txt of the model's folder"
    return "--vocab_file=%s: no such file: %s" % (path, way_out)


def _check_required_tokens(flag, entries, required):
    missing = [token for token in required if token not in entries]
    if missing:
        raise UserError(
            "%s: its %d entries have no %s: is it the vocabulary of a BERT or ALBERT model?"
            % (flag, len(entries), ", ".join(missing))
        )
