"""Builds a vocabulary from a corpus, and measures how well a vocabulary covers texts.

    counts = count_corpus(["corpus.txt"])
    groups = choose_entries(counts, vocab_size=12000)

Texts are split into words and lower-cased by the `BasicTokenizer` of `tokenization`.
"""

import collections
import itertools
import os
import re
import string
from typing import Any, Collection, Dict, List, Mapping, Optional, Sequence

from albert_zh.common import files, path_rules, storage, text_encodings
from albert_zh.common.errors import UserError, printable
from albert_zh.common.progress import progress_bar
from albert_zh.text import json_lines
from albert_zh.text.tokenization import BasicTokenizer, WordpieceTokenizer

SPECIAL_TOKENS = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")
_PREFIX = "##"  # marks a piece that continues a word

# {name of a set of hanzi: Python codec that encodes exactly these among the unified ideographs}.
HANZI_SETS = {"gb2312": "gb2312", "gbk": "gbk", "big5": "big5", "none": None}

_LATIN = string.ascii_letters + string.digits
_LATIN_WORD = re.compile("[A-Za-z0-9]+")
_FULL_WIDTH_SIGNS = "".join(chr(ord(sign) + 0xFEE0) for sign in string.punctuation)
_CHINESE_PUNCTUATION = "、。·—…‖‘’“”〃〈〉《》「」『』【】〔〕〖〗〜〝〞〟※‰′″§￥～｡｢｣､･‧"
_OTHER_PUNCTUATION = "‐‑–―‚„†•‥‹›"
_SIGNS = string.punctuation + _FULL_WIDTH_SIGNS + _CHINESE_PUNCTUATION + _OTHER_PUNCTUATION

# For splitting text into chunks quickly. BasicTokenizer makes every character in `_ALONE` a token
# by itself, and splits at those in `_BLANK`; rarer characters of both kinds are left to it.
_BLANK = " \t\r\n\u00a0\u3000"
_ALONE = "\u4e00-\u9fff!-/:-@\\[-`{-~。，、；：？！“”‘’（）《》「」【】—…·"
_CHUNK = re.compile("[%s]|[^%s%s]+" % (_ALONE, _ALONE, _BLANK))

_BORDER = re.compile("[%s%s]" % (_ALONE, _BLANK))

_BLOCK_BYTES = 1 << 20
_LONGEST_REST = 1000  # characters of a word at the end of a block; words of over 200 are unknown
_MAX_DISTINCT_CHUNKS = 500000  # in memory at a time, some 100 MB
_MAX_DISTINCT_WORDS = 2000000  # if there are more, the rarest are dropped
_REPEATS_PER_TEXT = 10000  # repetitions of a word in one text for the trainer
_OVERLONG = "(word of over 200 characters)"
_SHOWN_UNKNOWNS = 8

Coverage = collections.namedtuple("Coverage", "characters tokens unknown_tokens unknown_pieces")
Coverage.__doc__ = """How well a vocabulary covers a text.

Fields:
    characters: int, number of characters that are not whitespace.
    tokens: int, number of word pieces, including unknown tokens.
    unknown_tokens: int, number of unknown tokens.
    unknown_pieces: Counter of the characters ("##x" within a word) that made words unknown.
"""


class CorpusCounts:
    """Counts of the characters and Latin words in a corpus, in bounded memory.

    Attributes:
        pieces: Counter of single characters; a character within a word is counted as "##x".
        latin_words: Counter of the words that consist of ASCII letters and digits.
        forgotten: highest count of the rare Latin words that were dropped to save memory, or 0.
    """

    def __init__(self, do_lower_case: bool = True) -> None:
        """Initializes empty counts; `do_lower_case` is as for `BasicTokenizer`."""
        self.pieces = collections.Counter()
        self.latin_words = collections.Counter()
        self.forgotten = 0
        self._tokenizer = BasicTokenizer(do_lower_case)
        # A word that is too long for WordpieceTokenizer is unknown regardless of its characters.
        self._max_length = WordpieceTokenizer(()).max_input_chars_per_word

    def add(self, chunks: Mapping[str, int]) -> None:
        """Adds the words of a Counter of text chunks to the counts."""
        for chunk, count in chunks.items():
            for word in self._tokenizer.tokenize(chunk):
                if len(word) <= self._max_length:
                    for piece in single_pieces(word):
                        self.pieces[piece] += count
                    if _LATIN_WORD.fullmatch(word):
                        self.latin_words[word] += count
        while len(self.latin_words) > _MAX_DISTINCT_WORDS:
            self._forget_rare_words()

    def _forget_rare_words(self):
        self.forgotten += 1
        kept = {word: n for word, n in self.latin_words.items() if n > self.forgotten}
        self.latin_words = collections.Counter(kept)


def single_pieces(word: str) -> List[str]:
    """Splits a word into single-character pieces: "ab1" -> ["a", "##b", "##1"]."""
    return [word[0]] + [_PREFIX + char for char in word[1:]]


def count_corpus(
    paths: Sequence[str], do_lower_case: bool = True, encoding: str = "utf-8"
) -> CorpusCounts:
    """Counts the characters and Latin words of text files, see `CorpusCounts`."""
    counts = CorpusCounts(do_lower_case)
    with _file_progress_bar("counting", paths) as progress:
        for path in paths:
            for chunks in _chunk_counts(path, encoding, progress):
                counts.add(chunks)
    if not counts.pieces:
        raise UserError("--corpus: no text in %d file(s), such as %s" % (len(paths), paths[0]))
    return counts


def choose_entries(
    counts: CorpusCounts,
    vocab_size: int = 8000,
    min_count: int = 11,
    hanzi_set: str = "gb2312",
    forced_chars: str = "",
    do_lower_case: bool = True,
) -> Dict[str, List[str]]:
    """Chooses the entries of a vocabulary.

    Args:
        counts: `CorpusCounts` with the same `do_lower_case`.
        vocab_size: int, number of entries.
        min_count: int, minimum number of occurrences of a character or word piece.
        hanzi_set: key of `HANZI_SETS`: "gb2312", "gbk", "big5" or "none".
        forced_chars: str, characters that are always included; whitespace in it is ignored.
        do_lower_case: as for `BasicTokenizer`.

    Returns:
        OrderedDict, name of a group of entries -> list of str; no entry is repeated, and all groups
        together have `vocab_size` entries.

    Raises:
        UserError: if `vocab_size` is too small for the mandatory entries.
    """
    groups = _mandatory_entries(hanzi_set, forced_chars, do_lower_case)
    taken = {entry for entries in groups.values() for entry in entries}
    num_free = vocab_size - len(taken)
    if num_free < 0:
        raise UserError(
            "--vocab_size=%d is too small: %d entries are always included (%s): pass "
            "--vocab_size=%d or more, or --hanzi_set=none"
            % (vocab_size, len(taken), summary(groups), len(taken))
        )
    frequent = _frequent_pieces(counts.pieces, min_count, taken)
    groups["characters of the corpus"] = frequent[:num_free]
    num_free -= len(groups["characters of the corpus"])
    groups["word pieces"] = _trained_word_pieces(counts.latin_words, num_free, min_count)
    num_free -= len(groups["word pieces"])
    groups["unused entries"] = ["[unused%d]" % index for index in range(1, num_free + 1)]
    return groups


def summary(groups: Mapping[str, Sequence[str]]) -> str:
    """Describes the sizes of groups of entries in words; empty groups are omitted."""
    return ", ".join("%d %s" % (len(entries), name) for name, entries in groups.items() if entries)


def _mandatory_entries(hanzi_set, forced_chars, do_lower_case):
    """Returns the entries that do not depend on the corpus, in the format of `choose_entries`."""
    codec = HANZI_SETS[hanzi_set]
    groups = collections.OrderedDict()
    groups["special tokens"] = list(SPECIAL_TOKENS)
    groups["letters and digits"] = _pieces_of_characters(_LATIN, do_lower_case)
    # Some of these are letters to BERT ("～", "＝"); the corpus decides whether they are also
    # needed within words.
    groups["punctuation and signs"] = _letters_after_tokenizing(_SIGNS, do_lower_case)
    groups["hanzi of %s" % hanzi_set] = [
        hanzi for hanzi in map(chr, range(0x4E00, 0xA000)) if codec and _is_in_codec(hanzi, codec)
    ]
    taken = {entry for entries in groups.values() for entry in entries}
    forced = _pieces_of_characters(forced_chars, do_lower_case)
    groups["forced characters"] = [piece for piece in forced if piece not in taken]
    return groups


def _pieces_of_characters(characters, do_lower_case):
    """Pieces that ensure that words made of these characters are never unknown, each once."""
    letters = _letters_after_tokenizing(characters, do_lower_case)
    # Ideographs and punctuation are separate words wherever they occur.
    tokenize = BasicTokenizer(do_lower_case).tokenize
    within_words = [letter for letter in letters if len(tokenize("a" + letter)) == 1]
    return letters + [_PREFIX + letter for letter in within_words]


def _letters_after_tokenizing(characters, do_lower_case):
    """Characters after lower-casing and accent stripping, each once."""
    words = BasicTokenizer(do_lower_case).tokenize(" ".join(characters))
    return [letter for letter in dict.fromkeys("".join(words)) if letter.isprintable()]


def _is_in_codec(char, codec):
    try:
        char.encode(codec)
    except UnicodeEncodeError:
        return False
    return True


def _frequent_pieces(counts, min_count, taken):
    """Pieces of a Counter that are not taken yet, by descending count, then alphabetically."""
    ranked = sorted((-count, piece) for piece, count in counts.items() if count >= min_count)
    # Unprintable characters cannot be stored in a text file (lone surrogates) or have no meaning
    # outside one font (private use).
    return [piece for _, piece in ranked if piece not in taken and piece.isprintable()]


def _trained_word_pieces(words, limit, min_count):
    """Trains word pieces of two or more characters, those that shorten the words most.

    Args:
        words: Counter of words of ASCII letters and digits.
        limit: int, maximum number of pieces.
        min_count: int, minimum number of occurrences of a pair of pieces to be merged.

    Returns:
        list of str, the most useful first.
    """
    tokenizers = tokenizers_package()
    # The trainer breaks ties by ids. Unless it knows the characters beforehand, it numbers them in
    # the order of a hash table, which changes from run to run.
    alphabet = list(_LATIN) + [_PREFIX + char for char in _LATIN]
    tokenizer = tokenizers.Tokenizer(tokenizers.models.WordPiece(unk_token="[UNK]"))
    tokenizer.pre_tokenizer = tokenizers.pre_tokenizers.WhitespaceSplit()
    trainer = tokenizers.trainers.WordPieceTrainer(
        vocab_size=len(alphabet) + limit,
        min_frequency=min_count,
        special_tokens=alphabet,
        continuing_subword_prefix=_PREFIX,
        show_progress=False,
    )
    tokenizer.train_from_iterator(_repeated(words), trainer)
    ids = tokenizer.get_vocab()
    return sorted(ids, key=ids.get)[len(alphabet) :]


def tokenizers_package() -> Any:
    """Imports the package tokenizers; raises `UserError` if it is not installed."""
    try:
        import tokenizers
    except ImportError as error:
        raise UserError(
            "word pieces are trained with the package tokenizers, which is not installed: "
            "pip install tokenizers"
        ) from error
    return tokenizers


def _repeated(words):
    """Yields texts in which each word of a Counter occurs as often as it was counted."""
    with progress_bar("training", sum(words.values()), "word") as progress:
        for word, count in sorted(words.items()):
            for done in range(0, count, _REPEATS_PER_TEXT):
                repeats = min(count - done, _REPEATS_PER_TEXT)
                yield (word + " ") * repeats
                progress.update(repeats)


def measure_coverage(
    path: str,
    vocab: Collection[str],
    do_lower_case: bool = True,
    encoding: str = "utf-8",
    progress: Any = None,
) -> Coverage:
    """Measures how well a vocabulary covers a text file.

    Args:
        path: the text file.
        vocab: mapping or set of entries.
        do_lower_case: as for `BasicTokenizer`.
        encoding: the text file's encoding.
        progress: tqdm bar that counts bytes, or None.

    Returns:
        `Coverage`.
    """
    basic, wordpiece = BasicTokenizer(do_lower_case), WordpieceTokenizer(vocab)
    characters = tokens = unknown_tokens = 0
    unknown_pieces = collections.Counter()
    for chunks in _chunk_counts(path, encoding, progress):
        for chunk, count in chunks.items():
            characters += len(chunk) * count
            for word in basic.tokenize(chunk):
                pieces = wordpiece.split_word(word)
                tokens += len(pieces) * count
                if pieces == [wordpiece.unk_token]:
                    unknown_tokens += count
                    missing = {p for p in single_pieces(word) if p not in vocab} or {_OVERLONG}
                    unknown_pieces.update(dict.fromkeys(missing, count))
    return Coverage(characters, tokens, unknown_tokens, unknown_pieces)


def print_report(
    paths: Sequence[str],
    vocab: Collection[str],
    do_lower_case: bool = True,
    encoding: str = "utf-8",
) -> None:
    """Prints the coverage of each file in one line, and a line for all files together."""
    rows = []
    with _file_progress_bar("measuring", paths) as progress:
        for path in paths:
            coverage = measure_coverage(path, vocab, do_lower_case, encoding, progress)
            rows.append((path, coverage))
    if len(rows) > 1:
        rows.append(("all together", _total(coverage for _, coverage in rows)))
    print("unknown = share of unknown tokens; rate = tokens per 100 characters without blanks")
    print("%10s %12s %6s  %s" % ("unknown", "tokens", "rate", "file: most frequent unknowns"))
    for name, coverage in rows:
        print(_report_line(name, coverage))


def _total(coverages):
    """Adds up the `Coverage` of several files."""
    characters, tokens, unknown_tokens, unknown_pieces = zip(*coverages)
    all_unknown = sum(unknown_pieces, collections.Counter())
    return Coverage(sum(characters), sum(tokens), sum(unknown_tokens), all_unknown)


def _report_line(name, coverage):
    ranked = sorted(coverage.unknown_pieces.items(), key=lambda entry: (-entry[1], entry[0]))
    unknowns = " ".join("%s*%d" % entry for entry in ranked[:_SHOWN_UNKNOWNS])
    share = 100.0 * coverage.unknown_tokens / max(coverage.tokens, 1)
    rate = 100.0 * coverage.tokens / max(coverage.characters, 1)
    # A lone surrogate of a JSON file cannot be printed.
    unknowns = unknowns.encode("utf-8", "replace").decode("utf-8")
    name = printable(name)
    return "%9.4f%% %12d %6.1f  %s: %s" % (share, coverage.tokens, rate, name, unknowns or "-")


def files_of_patterns(
    patterns: Sequence[str], flag: str, leave_out: Optional[str] = None
) -> List[str]:
    """Lists the files that names and patterns match, each once, sorted.

    Args:
        patterns: list of str, file names or glob patterns.
        flag: name of the flag, for error messages.
        leave_out: path of a file that patterns must not match, or None.

    Raises:
        UserError: if a pattern matches no file; the message names `flag`.
    """
    paths = set()
    for pattern in patterns:
        matches = [pattern] if storage.exists(pattern) else storage.matching(pattern)
        if not matches:
            raise UserError(
                "--%s=%s: no such file, and no file matches the pattern" % (flag, pattern)
            )
        if leave_out and pattern not in matches:
            matches = [path for path in matches if not files.is_same_path(path, leave_out)]
        if not matches:
            raise UserError("--%s=%s: only %s matches it" % (flag, pattern, leave_out))
        paths.update(matches)
    for path in sorted(paths):
        if storage.is_folder(path):
            raise UserError(
                "--%s: %s is a folder, expected files: pass --%s='%s'"
                % (flag, path, flag, os.path.join(path, "*.txt"))
            )
        path_rules.protect(path, "--" + flag)
    return sorted(paths)


def _chunk_counts(path, encoding, progress=None):
    """Yields Counters of the chunks of a file; the size of each Counter is bounded."""
    counts = collections.Counter()
    for text in _text_blocks(path, encoding, progress):
        counts.update(_CHUNK.findall(text))
        if len(counts) > _MAX_DISTINCT_CHUNKS:
            yield counts
            counts = collections.Counter()
    yield counts


def _text_blocks(path, encoding, progress):
    """Yields the text of a file in blocks, which end between two words (JSON: between lines)."""
    blocks = _decoded_blocks(path, encoding, progress)
    if _is_json_lines(path, encoding):
        yield from _texts_of_json_lines(blocks, path)
        return
    rest = ""
    for text in blocks:
        complete, rest = _take_complete_words(rest + text)
        yield complete
    yield rest


def _is_json_lines(path, encoding):
    if path.endswith(json_lines.ENDINGS):
        return True
    with files.open_unpacked(path) as (content, _):
        return json_lines.begins_with_object(content, encoding)


def _decoded_blocks(path, encoding, progress):
    """Yields the decoded blocks of a file, without a byte-order mark."""
    decoder = files.text_decoder(encoding)
    line, is_first = 1, True
    for raw in itertools.chain(_byte_blocks(path, progress), (b"",)):
        try:
            text = decoder.decode(raw, final=not raw)
        except UnicodeDecodeError as error:
            line += error.object.count(b"\n", 0, error.start)
            raise files.wrong_encoding("%s, line %d" % (path, line), error, encoding) from error
        except UnicodeError as error:
            raise files.undecodable(path, encoding, error) from error
        line += raw.count(b"\n")
        yield text.lstrip("\ufeff") if is_first else text
        is_first = False


def _take_complete_words(text):
    """Splits a text before its last, maybe incomplete word; an overlong word is not held back."""
    for length in range(min(len(text), _LONGEST_REST)):
        if _BORDER.match(text[len(text) - 1 - length]):
            return text[: len(text) - length], text[len(text) - length :]
    return text, ""


def _texts_of_json_lines(blocks, path):
    """Yields, for each block, the strings in the JSON lines that end in it."""
    rest, line_number = "", 0
    for text in itertools.chain(blocks, ["\n"]):
        *lines, rest = (rest + text).split("\n")
        yield "\n".join(
            _strings_of_json_line(line, "%s, line %d" % (path, number))
            for number, line in enumerate(lines, line_number + 1)
        )
        line_number += len(lines)


def _byte_blocks(path, progress):
    """Yields the unpacked content of a file in blocks, and advances the progress bar."""
    with files.open_unpacked(path) as (content, packed):
        seen = 0
        for block in iter(lambda: content.read(_BLOCK_BYTES), b""):
            yield block
            if progress is not None:
                progress.update(packed.tell() - seen)
                seen = packed.tell()


def _strings_of_json_line(line, source):
    """Joins all strings of a JSON line, without keys, to a text."""
    if not line.strip():
        return ""
    try:
        content = files.parse_json(line, source)
    except UserError as error:
        raise UserError(
            "%s: expected JSON in each line; name a file of plain text *.txt" % error
        ) from error
    return text_encodings.without_surrogates("\n".join(files.strings_in(content)))


def _file_progress_bar(description, paths):
    """Progress bar over the bytes of the files on disk."""
    return progress_bar(description, sum(map(storage.size, paths)), "B")
