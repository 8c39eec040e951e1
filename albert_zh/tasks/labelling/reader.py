"""Reads files of labelled texts in any supported format.

data = read_file("train.char.bmes")
data.texts[0].text, data.texts[0].spans, data.scheme.name, data.notes
"""

import collections
import functools
import hashlib
from typing import Iterator, List, Optional, Sequence

from albert_zh.common.errors import UserError
from albert_zh.common.wording import counted
from albert_zh.tasks.labelling import (
    column_files,
    conllu_files,
    json_files,
    segmented_files,
    tag_schemes,
    token_lists,
)
from albert_zh.tasks.labelling.bad_rows import BadRows
from albert_zh.tasks.labelling.format_detection import detect_format
from albert_zh.tasks.labelling.spans import (
    LabelledText,
    TaggedText,
    line_of,
    overlapping,
    without_shorter_spans,
)
from albert_zh.tasks.tables.joined_tokens import joined_text

REFUSED, LONGEST = "error", "longest"  # how overlapping entities are handled

LONG_SENTENCE = 1000  # tokens; a file that is one longer sentence seems to lack blank lines
_SHOWN_TYPES = 10

LabelledFile = collections.namedtuple(
    "LabelledFile", ["path", "format", "texts", "scheme", "has_labels", "notes", "sha256"]
)
LabelledFile.__doc__ = """The texts of a file.

Fields:
    path: the file, or the folder of two files.
    format: key of `FORMATS`.
    texts: list of `LabelledText`.
    scheme: `tag_schemes.Scheme` of its tags; None if the file has no tags.
    has_labels: bool.
    notes: messages for the user about the file.
    sha256: hexadecimal digest of the bytes that were read.
"""

_TAGGED = {
    "conll": column_files.read_columns,
    "tsv": column_files.read_table,
    "two_files": column_files.read_two_files,
    "token_lists": token_lists.read_token_lists,
}
_SPANNED = {
    **{name: functools.partial(json_files.read_json, name) for name in json_files.FORMATS},
    "segmented": segmented_files.read_segmented,
    "slash": segmented_files.read_slash_form,
    "braces": segmented_files.read_braces,
    "conllu": conllu_files.read_conllu,
    "text": segmented_files.read_unlabelled,
}
FORMATS = tuple(_TAGGED) + tuple(_SPANNED)


def read_file(
    path: str,
    file_format: Optional[str] = None,
    encoding: str = "utf-8",
    original_reader: bool = False,
    offset_unit: str = json_files.CHARACTERS,
    bad_rows: Optional[BadRows] = None,
) -> LabelledFile:
    """Reads a file, or a folder in the format of two files.

    Args:
        path: the file or folder.
        file_format: key of `FORMATS`; by default `detect_format` determines it.
        encoding: encoding of the file.
        original_reader: bool; whether columns are read as in NEZHA's program, see
            `column_files.read_columns_as_nezha`.
        offset_unit: unit of the positions in JSON, a key of `json_files.OFFSET_UNITS`.
        bad_rows: `BadRows`; by default the first malformed row is an error.

    Returns:
        `LabelledFile`.

    Raises:
        UserError: if the file is missing, has no texts, or is not in its format; the message names
            the line.
    """
    file_format = file_format or detect_format(path, encoding)
    bad_rows = bad_rows or BadRows()
    digest = hashlib.sha256()
    notes = []
    if file_format in _TAGGED:
        settings = (path, encoding, digest, bad_rows)
        texts, scheme = _tagged_texts(settings, file_format, original_reader, notes)
    else:
        read = _spanned_texts(path, file_format, encoding, digest, bad_rows, offset_unit)
        texts, scheme = list(read), None
    notes += bad_rows.notes()
    kept = list(_texts_that_are_not_empty(path, texts, notes))
    has_labels = any(text.spans is not None for text in kept)
    return LabelledFile(path, file_format, kept, scheme, has_labels, notes, digest.hexdigest())


def stream_file(
    path: str,
    file_format: Optional[str] = None,
    encoding: str = "utf-8",
    offset_unit: str = json_files.CHARACTERS,
    bad_rows: Optional[BadRows] = None,
    original_reader: bool = False,
    notes: Optional[List[str]] = None,
) -> Iterator[LabelledText]:
    """Reads the texts of a file one by one, in constant memory; empty texts are skipped.

    Args, raises: as in `read_file`.
        notes: list to which the notes of `LabelledFile` are added when all texts have been read;
            or None.

    Yields:
        `LabelledText`.
    """
    file_format = file_format or detect_format(path, encoding)
    bad_rows = bad_rows or BadRows()
    notes = [] if notes is None else notes
    if file_format in _TAGGED:
        settings = (path, encoding, None, bad_rows)
        texts = _streamed_tagged_texts(settings, file_format, original_reader, notes)
    else:
        texts = _spanned_texts(path, file_format, encoding, None, bad_rows, offset_unit)
    return _texts_that_are_not_empty(path, texts, notes)


def plain_texts(path: str, encoding: str) -> Iterator[str]:
    """Yields the texts of a file in any of the formats, without labels."""
    return (labelled.text for labelled in stream_file(path, encoding=encoding))


def _texts_that_are_not_empty(path, texts, notes):
    """Yields non-empty texts; raises `UserError` if there are none. Notes count the empty ones."""
    num_empty = num_kept = 0
    for text in texts:
        is_kept = bool(text.text.strip())
        num_kept, num_empty = num_kept + is_kept, num_empty + (not is_kept)
        if is_kept:
            yield text
    if not num_kept:
        raise UserError("%s: has no texts: is it the right file?" % path)
    if num_empty:
        skipped = counted(num_empty, "empty text was", "empty texts were")
        notes.append("%s skipped" % skipped)


def _spanned_texts(path, file_format, encoding, digest, bad_rows, offset_unit):
    settings = {"offset_unit": offset_unit} if file_format in json_files.FORMATS else {}
    return _SPANNED[file_format](path, encoding, digest, bad_rows, **settings)


def _streamed_tagged_texts(settings, file_format, original_reader, notes):
    """Yields a tagged file's texts; a first pass finds the scheme. Args as in `_tagged_texts`."""
    path, encoding, _, bad_rows = settings
    tags = _FoundTags()
    first_settings = (path, encoding, None, BadRows(True))
    for sentence in _sentences(first_settings, file_format, original_reader, []):
        tags.add(sentence)
    scheme = tags.scheme(path)
    remarks = _Remarks(scheme)
    for sentence in _sentences(settings, file_format, original_reader, notes):
        with bad_rows.row():
            _check_tags(path, sentence)
            remarks.add(sentence)
            yield _labelled(sentence, scheme)
    notes += remarks.notes()


def _sentences(settings, file_format, original_reader, notes):
    """Yields the `TaggedText`s of a file; args as in `_tagged_texts`."""
    if original_reader and file_format == "conll":
        return column_files.read_columns_as_nezha(*settings, notes)
    return _TAGGED[file_format](*settings)


def _tagged_texts(settings, file_format, original_reader, notes):
    """(texts, scheme) of a file with tags; remarks about the file are added to notes.

    settings: path, encoding, digest and bad rows, as readers take them.
    """
    path, bad_rows = settings[0], settings[-1]
    tagged = list(_sentences(settings, file_format, original_reader, notes))
    tagged = [sentence for sentence in tagged if _is_good(path, sentence, bad_rows)]
    tags = _FoundTags()
    for sentence in tagged:
        tags.add(sentence)
    scheme = tags.scheme(path)
    remarks = _Remarks(scheme)
    for sentence in tagged:
        remarks.add(sentence)
    notes += remarks.notes()
    return [_labelled(sentence, scheme) for sentence in tagged], scheme


class _Remarks:
    """Counts irregularities in sentences with tags."""

    def __init__(self, scheme):
        """`scheme`: scheme of the tags; None if there are no tags."""
        self._scheme = scheme
        self._num_sentences = self._num_tokens = self._num_malformed = 0

    def add(self, sentence):
        """Counts a `TaggedText`."""
        self._num_sentences += 1
        self._num_tokens += len(sentence.tokens)
        if sentence.tags and self._scheme:
            self._num_malformed += tag_schemes.count_malformed(sentence.tags, self._scheme)

    def notes(self):
        """Returns messages for the user."""
        notes = []
        if self._num_sentences == 1 and self._num_tokens > LONG_SENTENCE:
            notes.append(
                "no blank line between sentences: the file is one sentence of %d tokens, read in "
                "windows" % self._num_tokens
            )
        if self._scheme:
            notes.append("tags of the scheme %s" % self._scheme.name)
        if self._num_malformed:
            notes.append(
                "%s accepted although the first tag continues one, such as I-"
                % counted(self._num_malformed, "entity is", "entities are")
            )
        return notes


def _is_good(path, sentence, bad_rows):
    """Whether all tags of a sentence are valid; if not, `bad_rows` handles the error."""
    with bad_rows.row():
        _check_tags(path, sentence)
        return True
    return False


def _check_tags(path, sentence):
    """Raises `UserError` for a tag that is in no scheme; the message names its line."""
    for line, tag in zip(sentence.lines, sentence.tags or ()):
        if not tag_schemes.is_tag(tag):
            tag_schemes.check_tag(tag, "%s, line %d" % (path, line))


class _FoundTags:
    """Collects the tags of sentences, with their counts and the lines of first occurrences."""

    def __init__(self):
        self._counts, self._lines = collections.Counter(), {}

    def add(self, sentence):
        """Counts the valid tags of a `TaggedText`; invalid tags are reported elsewhere."""
        for tag, line in zip(sentence.tags or (), sentence.lines):
            if tag_schemes.is_tag(tag):
                self._counts[tag] += 1
                self._lines.setdefault(tag, line)

    def scheme(self, path):
        """Returns the scheme of all tags, None without tags; errors name the line of an odd tag."""
        if not self._counts:
            return None
        try:
            return tag_schemes.detect_scheme(self._counts, path)
        except UserError:
            self._check_types(path)
            self._check_letters(path)
            raise

    def _check_types(self, path):
        typed = {tag for tag in self._counts if tag_schemes.split_tag(tag)[1]}
        for tag, line in self._lines.items():
            if typed and tag != tag_schemes.OUTSIDE_TAG and len(tag) == 1:
                tag_schemes.detect_scheme({tag} | typed, "%s, line %d" % (path, line))

    def _check_letters(self, path):
        scheme = tag_schemes.closest_scheme(self._counts)
        for tag, line in self._lines.items():
            if tag_schemes.split_tag(tag)[0] not in scheme.letters:
                raise UserError(
                    "%s, line %d: the tag %r is not one of %s (%s), as most others are: expected "
                    "one scheme in a file"
                    % (path, line, tag, scheme.name, " ".join(scheme.letters))
                )


def _labelled(sentence: TaggedText, scheme) -> LabelledText:
    """Converts a sentence with tags to a text with spans of characters."""
    text, ranges = joined_text(sentence.tokens)
    tokens = None if all(len(token) == 1 for token in sentence.tokens) else ranges
    if scheme is None or sentence.tags is None:
        return LabelledText(text, None, tokens, sentence.lines[0], sentence.identifier)
    spans = [
        span._replace(start=ranges[span.start][0], end=ranges[span.end - 1][1])
        for span in tag_schemes.tags_to_spans(sentence.tags, scheme)
    ]
    lines = sentence.lines if sentence.lines[-1] > sentence.lines[0] else None
    return LabelledText(text, spans, tokens, sentence.lines[0], sentence.identifier, lines)


def check_types(train_types: Sequence[str], data: LabelledFile) -> None:
    """Raises `UserError` if a file has entities of types that do not occur in the training file.

    Args:
        train_types: list of str, the types in the training file.
        data: `LabelledFile` of another split.
    """
    counts: collections.Counter = collections.Counter()
    lines = {}
    for text in data.texts:
        for span in text.spans or ():
            if span.type not in train_types:
                counts[span.type] += 1
                lines.setdefault(span.type, line_of(text, span))
    for entity_type, count in counts.most_common(1):
        raise UserError(
            "%s, line %d: the type %r (%d times in the file) is not in the training file, whose "
            "types are %s: correct it, or add examples of it to the training file"
            % (
                data.path,
                lines[entity_type],
                entity_type,
                count,
                ", ".join(sorted(train_types)[:_SHOWN_TYPES]),
            )
        )


def without_overlaps(data: LabelledFile, bad_rows: BadRows) -> LabelledFile:
    """Keeps the texts of a file without overlapping entities; the others are errors or skipped."""
    kept = []
    for text in data.texts:
        with bad_rows.row():
            check_flat(data.path, text)
            kept.append(text)
    return data._replace(texts=kept, notes=data.notes + bad_rows.notes())


def with_labels_only(data: LabelledFile, bad_rows: BadRows) -> LabelledFile:
    """Keeps the texts of a file that have labels, since missing labels do not mean "no entities".

    Raises:
        UserError: for a text without labels, unless `bad_rows` skips it.
    """
    kept = []
    for text in data.texts:
        with bad_rows.row():
            if text.spans is None:
                raise UserError(
                    "%s, line %d: has no labels, but other lines have: expected the key label or "
                    "entity_list in each, empty for a text without entities"
                    % (data.path, text.line)
                )
            kept.append(text)
    return data._replace(texts=kept, notes=data.notes + bad_rows.notes())


def check_flat(path: str, text: LabelledText) -> None:
    """Raises `UserError` if entities of a text overlap, which tags cannot express."""
    overlap = overlapping(text.spans or ())
    if overlap:
        first, second = (
            "%r (%s, %d-%d)" % (text.text[span.start : span.end], span.type, span.start, span.end)
            for span in overlap
        )
        raise UserError(
            "%s, line %d: %s and %s overlap, which tags cannot express: pass "
            "--overlaps=longest to keep the longer one, or train with --head=global_pointer"
            % (path, text.line, first, second)
        )


def keep_longest(data: LabelledFile) -> LabelledFile:
    """Removes entities that overlap a longer one; of equally long ones the first is kept."""
    texts = [without_shorter(text) for text in data.texts]
    num_left_out = sum(
        len(before.spans or ()) - len(after.spans or ()) for before, after in zip(data.texts, texts)
    )
    return data._replace(texts=texts, notes=data.notes + notes_of_overlaps(num_left_out))


def notes_of_overlaps(num_left_out: int) -> List[str]:
    """Returns messages for the user about entities that were removed."""
    left_out = counted(
        num_left_out,
        "entity that overlaps a longer one was",
        "entities that overlap a longer one were",
    )
    return ["%s ignored" % left_out] if num_left_out else []


def without_shorter(text: LabelledText) -> LabelledText:
    """Removes the entities of a text that overlap a longer one."""
    if text.spans is None:
        return text
    return text._replace(spans=without_shorter_spans(text.spans))
