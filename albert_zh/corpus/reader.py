"""Reads raw text for pre-training: one sentence per line, blank lines between documents.

    for shard in read_shards(input_files("my/*.txt,more,news.jsonl.gz")):
        for document in shard.documents:  # list of sentences
            ...

Files may be compressed with gzip. In JSON Lines files (.jsonl, .json, or recognized by the first
line) every line is a document. Text is read as a stream and returned in shards, groups of whole
documents that depend only on the text, so that a corpus of any size can be processed shard by shard
and by any number of workers.
"""

import collections
import itertools
import json
import os
import re
from typing import Iterable, Iterator, List, Optional, Sequence

from albert_zh.common import files, path_rules, storage, text_encodings
from albert_zh.common.errors import UserError
from albert_zh.common.messages import say
from albert_zh.common.wording import counted
from albert_zh.text import json_lines
from albert_zh.text.sentences import SENTENCE_END, split_sentences

SHARD_CHARACTERS = 1 << 17  # some 400 KB of Chinese

# A longer line cannot be a sentence; it is split, which bounds the memory needed per line.
_LINE_CHARACTERS = 1 << 14
_BLOCK_BYTES = 1 << 16
_BYTE_ORDER_MARK = "\ufeff"
_ORIGINAL_JSON = (".jsonl", ".jsonl.gz")  # albert_zh reads other files as plain text

# Characters that the tokenizer removes: control, invisible and replacement characters.
_CONTROL = re.compile(
    "[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\xad\u200b-\u200f\u202a-\u202e\u2060-\u2064\ufeff\ufffd]"
)

# Kinds of notes.
EMPTY_FILE = "empty files"
JSON_BY_CONTENT = (
    "files whose lines are JSON objects, which are read as JSON without being named .jsonl"
)
ONE_DOCUMENT = "files without a blank line, each of which is read as one document"
LONG_LINE = "lines of more than %d characters, which were split" % _LINE_CHARACTERS
RETURNS = "lines with a carriage return inside (as on old Macs), which is not treated as a line end"
CONTROL_CHARACTERS = "lines with control or damaged characters, which were removed"

TextFormat = collections.namedtuple(
    "TextFormat", "encoding split_sentences as_original", defaults=("utf-8", False, False)
)
PLAIN = TextFormat()
TextFormat.__doc__ = """The format of the text files.

Fields:
    encoding: str, encoding of all files.
    split_sentences: bool, whether lines are paragraphs that must be split into sentences.
    as_original: bool, whether a document continues in the next file if no blank line ends it, and
        long lines are not split.
"""

Shard = collections.namedtuple("Shard", "index documents continues counts notes bytes_read")
Shard.__doc__ = """A portion of a corpus.

Fields:
    index: int, from 0.
    documents: list of lists of str, the sentences of each document; none is blank.
    continues: bool, whether its first document continues the last document of the previous shard.
    counts: `collections.Counter` of the "lines" read for it and of the "blank lines" among them.
    notes: list of (kind, place), one note for the user per occurrence.
    bytes_read: int, bytes read from all files (as stored on disk) up to the end of the shard.
"""

# A unit of text: its sentences, whether a document ends after them, whether they start a new line,
# and a note for the user: (kind, place) or None.
_Text = collections.namedtuple("_Text", "sentences ends_document starts_line note")


def input_files(
    patterns: str,
    flag: str = "input_file",
    leave_out: Sequence[str] = (),
    output_dir: Optional[str] = None,
) -> List[str]:
    """Lists the files that names, patterns and folders match.

    Args:
        patterns: names, patterns such as "my/*.txt" and folders, separated by commas. A folder
            stands for all files in it and its subfolders, except hidden ones.
        flag: the flag to name in error messages.
        leave_out: paths of files that patterns and folders do not match.
        output_dir: a folder that patterns do not match and that is skipped in folders; or None.

    Returns:
        paths in the order of the patterns, each file once; the files of a pattern are sorted.

    Raises:
        UserError: if a pattern matches no file, if there are only commas, or if a folder or link
            cannot be followed.
    """
    paths = []
    is_one = not storage.is_remote(patterns) and os.path.exists(patterns)  # a name with commas
    names = [patterns] if is_one else [part.strip() for part in patterns.split(",")]
    names = list(filter(None, names))
    if patterns and not names:
        raise UserError(
            "--%s=%s: contains no file name: expected files, patterns or folders, separated "
            "by commas" % (flag, patterns)
        )
    for pattern in names:
        if storage.is_file(pattern):
            paths.append(pattern)
            continue
        paths += _files_meant(pattern, flag, leave_out, output_dir)
    for path in paths:
        if not (storage.is_remote(path) or os.path.exists(path)):
            raise UserError("--%s: %s is a link to a file that does not exist" % (flag, path))
        path_rules.protect(path, "--" + flag)
    by_place = collections.OrderedDict()
    for path in paths:
        by_place.setdefault(storage.normalized(path), path)
    different = list(by_place.values())
    if len(different) < len(paths):
        repeated = counted(len(paths) - len(different), "file is", "files are")
        say("note: --%s: %s named more than once, and read once", flag, repeated)
    return different


def _files_meant(pattern, flag, leave_out, output_dir):
    """Lists the files of one pattern or folder; arguments and errors are as for `input_files`."""
    left_out = storage.normalized(output_dir) if output_dir else None
    matches = [pattern]
    if not storage.exists(pattern):
        found = storage.matching(pattern)
        matches = [path for path in found if storage.normalized(path) != left_out]
    matches = sorted(path for name in matches for path in _files_below(name, left_out))
    if not matches:
        raise UserError("--%s=%s: no such file, and no file matches the pattern" % (flag, pattern))
    not_meant = set(map(storage.normalized, leave_out))
    meant = [path for path in matches if storage.normalized(path) not in not_meant]
    if not meant:
        raise UserError(
            "--%s=%s: there are only files that this command writes or reads for another flag, "
            "such as %s: name the files of the text" % (flag, pattern, matches[0])
        )
    return meant


def _files_below(path, left_out=None):
    """Lists a file, or all files of a folder and its subfolders except hidden ones; follows links.

    Args:
        path: path of the file or folder.
        left_out: normalized path of a subfolder to skip, or None.
    """
    if not storage.is_folder(path):
        return [path]
    if storage.is_remote(path):
        is_inside = (left_out or "").startswith(storage.normalized(path) + "/")
        inside = (left_out + "/",) if is_inside else ()
        return [name for name in storage.files_below(path) if not name.startswith(inside)]
    paths, seen = [], {os.path.realpath(path), left_out}
    for folder, folders, names in os.walk(path, onerror=_cannot_be_read, followlinks=True):
        shown = {name: os.path.realpath(os.path.join(folder, name)) for name in sorted(folders)}
        folders[:] = []
        for name, target in shown.items():
            if not name.startswith(".") and target not in seen:  # links may form a loop
                folders.append(name)
                seen.add(target)
        paths += [os.path.join(folder, name) for name in names if not name.startswith(".")]
    return paths


def _cannot_be_read(error):
    raise UserError("%s: cannot be read: %s" % (error.filename, error.strerror)) from error


def read_shards(
    paths: Sequence[str],
    text_format: TextFormat = PLAIN,
    shard_characters: int = SHARD_CHARACTERS,
) -> Iterator[Shard]:
    """Yields a corpus in shards of whole documents.

    A document that is longer than a shard is split.

    Args:
        paths: the files.
        text_format: `TextFormat`.
        shard_characters: number of characters at which a shard is complete.

    Yields:
        `Shard`.

    Raises:
        UserError: if a file is missing, unreadable, damaged or not text in that encoding.
    """
    shard = _ShardInMaking()
    for text, bytes_read in _texts_of_files(paths, text_format):
        shard.count(text)
        for sentence in text.sentences:
            if shard.characters >= 2 * shard_characters:
                yield shard.finished(bytes_read)
            shard.add(sentence)
        if text.ends_document:
            shard.end_document()
        limit = shard_characters if text.ends_document else 2 * shard_characters
        if shard.characters >= limit:
            yield shard.finished(bytes_read)
    if not shard.is_empty():
        yield shard.finished(total_bytes(paths))


def total_bytes(paths: Iterable[str]) -> int:
    """Total size of files on disk, in bytes."""
    return sum(storage.size(path) for path in paths)


class _ShardInMaking:
    """Collects text until a shard is complete, then starts the next shard."""

    def __init__(self):
        self._index = 0
        self._start(is_open=False)

    def _start(self, is_open):
        self.characters = 0
        self._documents, self._counts, self._notes = [[]], collections.Counter(), []
        self._is_open = is_open  # whether the previous document may continue
        self._continues = False

    def is_empty(self):
        return not (self._counts or self._notes or self.characters)

    def count(self, text):
        is_blank = not text.sentences
        self._counts["lines"] += text.starts_line
        self._counts["blank lines"] += text.starts_line and is_blank
        if text.note:
            self._notes.append(text.note)

    def add(self, sentence):
        self._continues |= self._is_open
        self._is_open = False
        self._documents[-1].append(sentence)
        self.characters += len(sentence)

    def end_document(self):
        self._is_open = False
        if self._documents[-1]:
            self._documents.append([])

    def finished(self, bytes_read):
        """Returns the shard and starts the next one."""
        is_open = bool(self._documents[-1])
        documents = self._documents if is_open else self._documents[:-1]
        shard = Shard(
            self._index, documents, self._continues, self._counts, self._notes, bytes_read
        )
        self._index += 1
        self._start(is_open)
        return shard


def _texts_of_files(paths, text_format):
    """Yields (`_Text`, bytes read from all files so far); a document ends with its file."""
    bytes_before = 0
    for path in paths:
        with files.open_unpacked(path) as (content, packed):
            endings = _ORIGINAL_JSON if text_format.as_original else json_lines.ENDINGS
            is_named = path.endswith(endings)
            is_json = is_named or _is_json_by_content(content, text_format)
            if is_json and not is_named:
                yield _Text([], True, False, (JSON_BY_CONTENT, path)), bytes_before
            reader = _texts_of_json_lines if is_json else _texts_of_plain_lines
            for text in reader(content, path, text_format):
                yield text, bytes_before + packed.tell()
        bytes_before += storage.size(path)
        if not text_format.as_original:
            yield _Text([], True, False, None), bytes_before


def _is_json_by_content(content, text_format):
    is_looked_at = not text_format.as_original
    return is_looked_at and json_lines.begins_with_object(content, text_format.encoding)


def _texts_of_plain_lines(content, path, text_format):
    """Yields the `_Text`s of a file with one sentence or paragraph per line."""
    line_number = 0
    has_blank_line = has_returns = False
    for line, segment_index in _lines(content, path, text_format):
        line_number += segment_index == 0
        has_returns |= "\r" in line.rstrip("\r")
        sentences = _sentences(line, text_format)
        is_blank = segment_index == 0 and not sentences
        has_blank_line |= is_blank
        has_return = "\r" in line.strip("\r")
        note = _note(sentences, segment_index == 1, path, line_number, has_return)
        yield _Text(sentences, is_blank, segment_index == 0, note)
    if line_number == 1 and has_returns and not text_format.as_original:
        raise files.wrong_line_ends(path)
    if not line_number:
        yield _Text([], True, False, (EMPTY_FILE, path))
    elif line_number > 1 and not has_blank_line and not text_format.as_original:
        yield _Text([], True, False, (ONE_DOCUMENT, path))


def _texts_of_json_lines(content, path, text_format):
    """Yields the `_Text`s of a file with one document per line."""
    line_number = 0
    whole_lines = text_format._replace(as_original=True)
    for line_number, (line, _) in enumerate(_lines(content, path, whole_lines), 1):
        sentences, is_long = [], False
        for paragraph in (
            _paragraphs(line, "%s, line %d" % (path, line_number)) if line.strip() else []
        ):
            is_long |= len(paragraph) > _LINE_CHARACTERS
            for segment in _segments(paragraph, text_format):
                sentences += _sentences(segment, text_format)
        yield _Text(sentences, True, True, _note(sentences, is_long, path, line_number))
    if not line_number:
        yield _Text([], True, False, (EMPTY_FILE, path))


def _paragraphs(line, source):
    """Returns the title and the lines of the text in a JSON object."""
    expected = (
        'expected an object such as {"title": "...", "text": "..."} in each line; files that are '
        "not text must not be in --input_file"
    )
    try:
        document = json.loads(line, object_pairs_hook=files.object_without_repeated_keys)
    except (ValueError, RecursionError) as error:
        raise UserError("%s: not valid JSON (%s): %s" % (source, error, expected)) from error
    fields = map(document.get, json_lines.TEXT_KEYS) if isinstance(document, dict) else ()
    texts = [field for field in fields if isinstance(field, str)]
    if not texts:
        raise UserError("%s: contains no text: %s" % (source, expected))
    text = next(filter(str.strip, texts), "")
    title = document.get("title") or ""
    if not isinstance(title, str):
        raise UserError("%s: the title is not a string: %s" % (source, expected))
    return text_encodings.without_surrogates("%s\n%s" % (title, text)).split("\n")


def _sentences(text, text_format):
    text = text.strip()
    if not text:
        return []
    return split_sentences(text) if text_format.split_sentences else [text]


def _note(sentences, is_long, path, line_number, has_return=False):
    if has_return:
        return RETURNS, "%s, line %d" % (path, line_number)
    if is_long:
        return LONG_LINE, "%s, line %d" % (path, line_number)
    if any(map(_CONTROL.search, sentences)):
        return CONTROL_CHARACTERS, "%s, line %d" % (path, line_number)
    return None


def _lines(content, path, text_format):
    """Yields (line without its line end, index of the part); a long line is split into parts."""
    decoder = files.text_decoder(text_format.encoding)
    block_bytes = -1 if text_format.as_original else _BLOCK_BYTES
    rest, line_number, num_segments = "", 0, 0
    for block in itertools.chain(iter(lambda: content.readline(block_bytes), b""), [b""]):
        try:
            text = decoder.decode(block, not block)
        except UnicodeDecodeError as error:
            source = "%s, line %d" % (path, line_number + 1)
            raise files.wrong_encoding(source, error, text_format.encoding) from error
        except UnicodeError as error:
            raise files.undecodable(path, text_format.encoding, error) from error
        if line_number == 0 and not rest:
            text = text.lstrip(_BYTE_ORDER_MARK)
        *lines, rest = (rest + text).split("\n")
        for line in lines:
            for segment in _segments(line, text_format):
                yield segment, num_segments
                num_segments += 1
            line_number, num_segments = line_number + 1, 0
        *segments, rest = _segments(rest, text_format)
        for segment in segments:
            yield segment, num_segments
            num_segments += 1
    if rest:
        yield rest, num_segments


def _segments(line, text_format):
    """Splits a long line into parts, if possible at the end of a sentence."""
    if text_format.as_original:
        return [line]
    segments, begin = [], 0
    while len(line) - begin > _LINE_CHARACTERS:
        ends = list(SENTENCE_END.finditer(line, begin, begin + _LINE_CHARACTERS))
        end = ends[-1].end() if ends else begin + _LINE_CHARACTERS
        segments.append(line[begin:end])
        begin = end
    return segments + [line[begin:]]
