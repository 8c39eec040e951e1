"""Raw text for pre-training: a sentence a line, a blank line between documents.

    for shard in read_shards(input_files("my/*.txt,more/*.gz")):
        for document in shard.documents:  # list of lines
            ...

Files may be compressed with gzip. They are read as a stream and handed on in shards, portions of
whole documents that depend on nothing but the text, so that a corpus of any size can be worked on
piece by piece and by any number of workers.
"""

import collections
import glob
import os

from errors import UserError
import files

SHARD_CHARACTERS = 1 << 17  # some 400 KB of Chinese

_GZIP_MAGIC = b"\x1f\x8b"
_BYTE_ORDER_MARK = "\ufeff"
_END_OF_FILE = ""  # a line that is read has its line end

Shard = collections.namedtuple("Shard", "index documents continues lines bytes_read")
Shard.__doc__ = """A portion of a corpus.

Fields:
    index: int, from 0.
    documents: list of lists of str, the lines of each document; none is blank.
    continues: bool, whether its first document goes on from the last of the shard before.
    lines: int, lines read for it, blank ones included.
    bytes_read: int, how far the files have been read when it is complete, as they lie on the disk.
"""


def input_files(patterns, flag="input_file"):
    """The files that names and patterns stand for.

    Args:
        patterns: str, names and patterns such as "my/*.txt", separated by commas.
        flag: the flag to name in errors.

    Returns:
        list of str, pattern after pattern; those of one pattern sorted.

    Raises:
        UserError: when a pattern fits no file, or a folder.
    """
    paths = []
    for pattern in filter(None, (part.strip() for part in patterns.split(","))):
        found = [pattern] if os.path.exists(pattern) else sorted(glob.glob(pattern))
        if not found:
            raise UserError("--%s=%s: no such file, and no file fits the pattern" % (flag, pattern))
        paths += found
    for path in paths:
        if os.path.isdir(path):
            raise UserError(
                "--%s: %s is a folder, expected files: pass --%s='%s'"
                % (flag, path, flag, os.path.join(path, "*.txt"))
            )
    return paths


def read_shards(paths, shard_characters=SHARD_CHARACTERS, join_files=False):
    """Yields a corpus in portions of whole documents.

    A document that is longer than a shard is parted.

    Args:
        paths: the files.
        shard_characters: a shard is complete when it has as many.
        join_files: whether a document goes on in the next file if no blank line ends it, as in
            the original.

    Yields:
        `Shard`.

    Raises:
        UserError: for a file that is missing, unreadable, damaged or not UTF-8 text.
    """
    index = 0
    is_open = continues = False  # whether the document before goes on, or might
    documents, lines, size = [[]], 0, 0
    for line, bytes_read in _lines_of_files(paths, join_files):
        lines += line != _END_OF_FILE
        text = line.strip()
        if text:
            continues |= is_open
            documents[-1].append(text)
            size += len(text)
        elif documents[-1]:
            documents.append([])
        is_open = False
        if size >= shard_characters and (not text or size >= 2 * shard_characters):
            yield Shard(index, list(filter(None, documents)), continues, lines, bytes_read)
            index += 1
            is_open, continues = bool(text), False
            documents, lines, size = [[]], 0, 0
    if lines:
        yield Shard(index, list(filter(None, documents)), continues, lines, total_bytes(paths))


def total_bytes(paths):
    """The size of files as they lie on the disk."""
    return sum(os.path.getsize(path) for path in paths)


def _lines_of_files(paths, join_files):
    """Yields (line, bytes read of all files so far), and a blank line between two files."""
    bytes_before = 0
    for path in paths:
        for line, bytes_read in _lines_of_file(path):
            yield line, bytes_before + bytes_read
        bytes_before += os.path.getsize(path)
        if not join_files:
            yield _END_OF_FILE, bytes_before


def _lines_of_file(path):
    """Yields (line with its end, bytes read of the file so far)."""
    with files.open_unpacked(path) as (content, packed):
        for number, raw in enumerate(content, 1):
            line = _decoded(raw, path, number)
            yield line.lstrip(_BYTE_ORDER_MARK) if number == 1 else line, packed.tell()


def _decoded(raw, path, number):
    try:
        return raw.decode("utf-8")
    except UnicodeDecodeError as error:
        raise files.wrong_encoding("%s, line %d" % (path, number), error, "utf-8") from error
