"""Detects the format of a file of labelled texts by its name and its first lines.

detect_format("train.char.bmes")                          # "conll"
detect_entity_format("texts.txt", may_lack_labels=True)   # "text"; for words it is "segmented"
"""

import contextlib
import itertools
import json
import os
import re

from albert_zh.common import files, json_lists, storage
from albert_zh.common.errors import UserError
from albert_zh.tasks.labelling import (
    column_files,
    conllu_files,
    json_files,
    segmented_files,
    tag_schemes,
    token_lists,
)
from albert_zh.tasks.tables import nested_keys

SEGMENTED, UNLABELLED = "segmented", "text"

_JSON_ENDINGS = (".json", ".jsonl")
_LOOKED_AT = 10  # number of lines that are examined
_LONG_WORD = 4  # characters; lines without blanks that are longer on average are not words
_SHOWN_CHARACTERS = 40
_TYPED_TAG = re.compile(r"[A-Z][-_]")  # reading the file checks that its letter is in a scheme
# CLUENER has an object instead of a list; the last key is Label Studio's.
_LIST_OF_LABELS = re.compile(r'"(labels?|entities|spans|annotations)"\s*:\s*\[')
_TAGGED_WORD = re.compile(r".*[^\x00-\x7f][_#][A-Z]{1,4}$")  # as in the Penn treebank
_PART_OF_SPEECH = re.compile(r"[A-Za-z]{1,4}$")
_FEWEST_LINES = 5  # in fewer lines, each second word may be Latin by chance
_BEGINS_OBJECT = re.compile(r"\{(?!\{)")
_LOWER_LETTERS = {
    letter.lower() for scheme in tag_schemes.SCHEMES.values() for letter in scheme.letters
}
# End of lines whose columns have separators that `column_files` does not know.
_TAG_AT_END = re.compile(r"(\s|[^\w\s])(O|[A-Z][-_]\w[\w.-]*)\s*\Z")
_EXPECTED = (
    "expected a character and its tag (王 B-PER), JSON lines with text and label or entity_list, "
    "a TSV with the header text_a and label, or 王明/PER 去/o: --file_format names the format "
    "(--file_format=segmented: words without types)"
)


def detect_format(path: str, encoding: str = "utf-8") -> str:
    """Detects the format of a file by its name and its first non-blank lines.

    Args:
        path: file or folder.
        encoding: encoding of the file.

    Returns:
        key of `reader.FORMATS`; `SEGMENTED` if no other format matches.

    Raises:
        UserError: for a folder without the two files.
    """
    if storage.is_folder(path):
        if storage.exists(os.path.join(path, column_files.TWO_FILES[0])):
            return "two_files"
        raise UserError(
            "%s: a folder without %s and %s: convert texts with separate files of entities (brat's "
            ".ann, CCKS 2017) to one file of JSON lines, as %s"
            % ((path,) + column_files.TWO_FILES + (json_files.EXAMPLE,))
        )
    return _format_of_lines(path, [text for _, text in _first_lines(path, encoding)])


def detect_entity_format(path: str, encoding: str = "utf-8", may_lack_labels: bool = False) -> str:
    """Detects the format of a file of entities; `SEGMENTED` is not one of the formats of entities.

    Args:
        path: file or folder.
        encoding: encoding of the file.
        may_lack_labels: whether plain texts, one per line, are detected as `UNLABELLED`.

    Returns:
        key of `reader.FORMATS`.

    Raises:
        UserError: if the file is in no format of entities; the message names its first line.
    """
    found = detect_format(path, encoding)
    if found != SEGMENTED:
        return found
    if may_lack_labels and _are_mostly_without_tags(path, encoding):
        return UNLABELLED
    line, text = _first_lines(path, encoding)[0]
    raise UserError(
        "%s, line %d: %r is not in a known format of entities: %s"
        % (path, line, text[:_SHOWN_CHARACTERS], _EXPECTED)
    )


def is_plain_text(path: str, encoding: str = "utf-8") -> bool:
    """Whether a file is in no format of entities, and few of its lines end with a tag."""
    is_other = detect_format(path, encoding) != SEGMENTED
    return not is_other and _are_mostly_without_tags(path, encoding)


def keys_in_words(path: str, encoding: str = "utf-8") -> str:
    """Returns for messages the keys of a file's first line, if it is JSON; otherwise ""."""
    for line, text in _first_lines(path, encoding)[:1]:
        with contextlib.suppress(ValueError, RecursionError):
            keys = nested_keys.names_of(json.loads(text))
            return "; line %d has the keys %s" % (line, ", ".join(keys)[:200]) if keys else ""
    return ""


def _are_mostly_without_tags(path, encoding):
    lines = _first_lines(path, encoding)
    return 2 * sum(bool(_TAG_AT_END.search(text)) for _, text in lines) < len(lines)


def detect_word_format(path: str, encoding: str = "utf-8") -> str:
    """Detects the format of a file whose texts are segmented into words.

    Args:
        path: file or folder.
        encoding: encoding of the file.

    Returns:
        key of `reader.FORMATS`; `UNLABELLED` if most lines have no blanks and are too long to be
        single words.

    Raises:
        UserError: for characters with lower-case tags, or words with parts of speech or numbers,
            since all of these would be read as words.
    """
    found = detect_format(path, encoding)
    if found != SEGMENTED:
        return found
    numbered = _first_lines(path, encoding)
    lines = [text.split() for _, text in numbered]
    if len(lines) > 1 and all(map(_is_tagged_in_lower_case, lines)):
        raise UserError(
            "%s, line %d: %r seems to be a character and its tag: expected tags in capitals, as in "
            "%s %s (words that are such letters are read with --file_format=segmented)"
            % (path, numbered[0][0], numbered[0][1], lines[0][0], lines[0][1].upper())
        )
    words = [word for line in lines for word in line]
    _check_are_words_alone(path, numbered, lines, words)
    have_blanks = 2 * sum(len(line) > 1 for line in lines) >= len(lines)
    are_long = sum(map(len, words)) > _LONG_WORD * len(words)
    return UNLABELLED if are_long and not have_blanks else SEGMENTED


def _check_are_words_alone(path, numbered, lines, words):
    """Raises `UserError` for parts of speech or numbers, which would be read as words, too."""
    are_tagged = 2 * sum(map(bool, map(_TAGGED_WORD.match, words))) > len(words)
    has_columns = len(lines) >= _FEWEST_LINES and all(
        len(cells) == 2 and not cells[0].isascii() and _PART_OF_SPEECH.match(cells[1])
        for cells in lines
    )
    rows = [cells for cells in lines if cells[0] != "#"]  # without comments
    has_numbers = len(rows) > 1 and all(
        conllu_files.is_id(cells[0]) and 2 < len(cells) == len(rows[0]) for cells in rows
    )
    if are_tagged or has_columns or has_numbers:
        raise UserError(
            "%s, line %d: %r seems to have parts of speech or numbers next to the words: expected "
            "only words, 共同/AD 创造/VV, or the ten columns of CoNLL-U (--file_format=segmented "
            "reads all that blanks separate as words)"
            % (path, numbered[0][0], numbered[0][1][:_SHOWN_CHARACTERS])
        )


def _is_tagged_in_lower_case(cells):
    """Whether a line consists of a character and the lower-case letter of a tag."""
    return len(cells) == 2 and len(cells[0]) == 1 and cells[1] in _LOWER_LETTERS


def _first_lines(path, encoding):
    """[(number, text)] of the first non-blank lines, or of the first objects of a JSON list."""
    lines = files.stream_lines(path, encoding)
    if path.endswith(_JSON_ENDINGS):
        lines = json_lists.lines_or_entries(path, lines)
    filled = ((number, text) for number, text in enumerate(lines, start=1) if text.strip())
    return list(itertools.islice(filled, _LOOKED_AT))


def _format_of_lines(path, lines):
    """Returns the format of a file with these first lines."""
    first = lines[0] if lines else ""
    if path.endswith(_JSON_ENDINGS) or _BEGINS_OBJECT.match(first):
        return _json_format(lines)
    if lines and 2 * sum(map(segmented_files.has_braces, lines)) >= len(lines):
        return "braces"
    if _is_header(first.split("\t")):
        return "tsv"
    if conllu_files.are_words(lines):
        return "conllu"
    if _are_columns(lines):
        return "conll"
    is_slash_form = 2 * sum(map(segmented_files.is_slash_form, lines)) >= len(lines)
    return "slash" if is_slash_form else SEGMENTED


def _json_format(lines):
    """Returns the format of JSON lines; CLUENER's format if they have no labels."""
    if any(map(token_lists.is_token_list, lines)):
        return "token_lists"
    if any('"entity_list"' in line for line in lines):
        return "entity_list"
    if any('"start_idx"' in line for line in lines):
        return "cmeee"
    return "doccano" if any(map(_LIST_OF_LABELS.search, lines)) else "cluener"


def _is_header(cells):
    """Whether a line is the header of a table, even if it lacks some of the expected columns."""
    text, label = column_files.TABLE_COLUMNS
    return text in cells or (label in cells and len(cells) > 1)


def _are_columns(lines):
    """Whether most lines seem to be a token and its tag, or all lines are only a token."""
    if all(len(line.strip()) <= 1 for line in lines):
        return True
    has_type = [_has_typed_tag(line) for line in lines]
    num_tagged = len(lines) - has_type.count(None)
    # A single letter may be a word: 维生素 B. Half of the lines are enough if some tag has a type.
    if 2 * num_tagged > len(lines) or (2 * num_tagged == len(lines) and True in has_type):
        return True
    return _are_rows_of_words(lines)


def _are_rows_of_words(lines):
    """Whether lines are words with further columns and tags between blanks, as in CoNLL-2003."""
    rows = [line.split() for line in lines if not line.startswith(column_files.DOCUMENT_START)]
    are_as_long = len({len(row) for row in rows}) == 1 and len(rows[0]) > 2
    has_type = [_is_typed(row[-1]) for row in rows]
    return are_as_long and None not in has_type and True in has_type


def _has_typed_tag(line):
    """Whether the tag at the end of a line seems to have a type; None for a line without a tag."""
    separator = column_files.separator_of(line)
    cells = [cell for cell in line.split(separator) if cell]
    if len(cells) < 2 or not (len(cells[0]) == 1 or separator == "\t" or len(cells) == 2):
        return None
    return _is_typed(cells[-1].strip())


def _is_typed(tag):
    """Whether a tag seems to have a type; None if it is not a tag."""
    if _TYPED_TAG.match(tag):
        return True
    is_letter = any(tag in scheme.letters for scheme in tag_schemes.SCHEMES.values())
    return False if is_letter else None
