"""Reading a file of labelled texts, whatever its format.

data = read_file("train.char.bmes")
data.texts[0].text, data.texts[0].spans, data.scheme.name, data.notes
"""

import collections
import hashlib
import itertools
import os
from typing import Iterator, Optional, Sequence

from albert_zh.common import files, storage
from albert_zh.common.errors import UserError
from albert_zh.tasks.labelling import column_files, json_files, segmented_files, tag_schemes
from albert_zh.tasks.labelling.bad_rows import BadRows
from albert_zh.tasks.labelling.column_files import TaggedText
from albert_zh.tasks.labelling.spans import LabelledText, overlapping

REFUSED, LONGEST = "error", "longest"  # what is done with overlapping entities

LONG_SENTENCE = 1000  # tokens; a file of several without a blank line seems to lack them
_SHOWN_TYPES = 10
_LOOKED_AT = 10  # lines by which a format is detected

LabelledFile = collections.namedtuple(
    "LabelledFile", ["path", "format", "texts", "scheme", "has_labels", "notes", "sha256"]
)
LabelledFile.__doc__ = """The texts of a file.

Fields:
    path: the file, or the folder of two files.
    format: key of `FORMATS`.
    texts: list of `LabelledText`.
    scheme: `tag_schemes.Scheme` of its tags; None where the file has none.
    has_labels: bool.
    notes: lines for the user about what was found in the file.
    sha256: hexadecimal digest of the bytes that were read.
"""

_TAGGED = {
    "conll": column_files.read_columns,
    "tsv": column_files.read_table,
    "two_files": column_files.read_two_files,
}
_SPANNED = {
    "cluener": json_files.read_cluener,
    "entity_list": json_files.read_entity_list,
    "segmented": segmented_files.read_segmented,
    "slash": segmented_files.read_slash_form,
}
FORMATS = tuple(_TAGGED) + tuple(_SPANNED)
_WITH_UNITS = ("cluener", "entity_list")


def read_file(
    path: str,
    file_format: Optional[str] = None,
    encoding: str = "utf-8",
    original_reader: bool = False,
    offset_unit: str = json_files.CHARACTERS,
    bad_rows: Optional[BadRows] = None,
) -> LabelledFile:
    """Reads a file, or the folder of the two-file form.

    Args:
        path: the file or folder.
        file_format: key of `FORMATS`; by default `detect_format`.
        encoding: of the file.
        original_reader: bool; read columns as NEZHA's program does, see
            `column_files.read_columns_as_nezha`.
        offset_unit: what positions in JSON count, key of `json_files.OFFSET_UNITS`.
        bad_rows: `BadRows`; by default the first one is an error.

    Returns:
        `LabelledFile`.

    Raises:
        UserError: if the file is missing, has no texts, or is not of its format; names the line.
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
    kept = [text for text in texts if text.text.strip()]
    if not kept:
        raise UserError("%s: has no texts: is it the right file?" % path)
    if len(kept) < len(texts):
        notes.append("%d empty texts are left out" % (len(texts) - len(kept)))
    has_labels = any(text.spans is not None for text in kept)
    return LabelledFile(path, file_format, kept, scheme, has_labels, notes, digest.hexdigest())


def stream_file(
    path: str,
    file_format: Optional[str] = None,
    encoding: str = "utf-8",
    offset_unit: str = json_files.CHARACTERS,
    bad_rows: Optional[BadRows] = None,
) -> Iterator[LabelledText]:
    """The texts of a file of any length, none of which is kept; empty ones are left out.

    Args, raises: as in `read_file`.

    Yields:
        `LabelledText`.
    """
    file_format = file_format or detect_format(path, encoding)
    bad_rows = bad_rows or BadRows()
    if file_format in _TAGGED:
        texts = _streamed_tagged_texts(path, file_format, encoding, bad_rows)
    else:
        texts = _spanned_texts(path, file_format, encoding, None, bad_rows, offset_unit)
    return (text for text in texts if text.text.strip())


def _spanned_texts(path, file_format, encoding, digest, bad_rows, offset_unit):
    settings = {"offset_unit": offset_unit} if file_format in _WITH_UNITS else {}
    return _SPANNED[file_format](path, encoding, digest, bad_rows, **settings)


def _streamed_tagged_texts(path, file_format, encoding, bad_rows):
    """The texts of a file with tags, read twice: first for the scheme."""
    read = _TAGGED[file_format]
    tags = set()
    for sentence in read(path, encoding, None, BadRows(True)):
        tags.update(tag for tag in sentence.tags or () if tag_schemes.is_tag(tag))
    scheme = tag_schemes.detect_scheme(tags, path) if tags else None
    for sentence in read(path, encoding, None, bad_rows):
        with bad_rows.row():
            _check_tags(path, sentence)
            yield _labelled(sentence, scheme)


def detect_format(path: str, encoding: str = "utf-8") -> str:
    """The format of a file, by its name and its first lines that are not blank.

    Args:
        path: file or folder.
        encoding: of the file.

    Returns:
        key of `FORMATS`.

    Raises:
        UserError: for a folder without the two files, or JSON of another form.
    """
    if storage.is_folder(path):
        if storage.exists(os.path.join(path, column_files.TWO_FILES[0])):
            return "two_files"
        raise UserError("%s: a folder without %s and %s" % ((path,) + column_files.TWO_FILES))
    lines = (line for line in files.stream_lines(path, encoding) if line.strip())
    beginning = list(itertools.islice(lines, _LOOKED_AT))
    first = beginning[0] if beginning else ""
    if path.endswith((".json", ".jsonl")) or first.startswith("{"):
        return "entity_list" if '"entity_list"' in first else "cluener"
    if first.split("\t")[0] == column_files.TABLE_COLUMNS[0]:
        return "tsv"
    if any(map(_has_tag, beginning)) or all(len(line.strip()) <= 1 for line in beginning):
        return "conll"
    return "slash" if segmented_files.is_slash_form(first) else "segmented"


def _has_tag(line):
    """Whether a line seems to be a token and its tag."""
    cells = [cell for cell in line.split("\t" if "\t" in line else " ") if cell]
    if len(cells) < 2 or not (len(cells[0]) == 1 or "\t" in line or len(cells) == 2):
        return False
    letter, entity_type = tag_schemes.split_tag(cells[-1])
    is_known = any(letter in scheme.letters for scheme in tag_schemes.SCHEMES.values())
    return is_known and (bool(entity_type) or len(cells[-1]) == 1)


def _tagged_texts(settings, file_format, original_reader, notes):
    """(texts, scheme) of a file with tags; notes get what is remarkable.

    settings: path, encoding, digest and bad rows, as readers take them.
    """
    path, bad_rows = settings[0], settings[-1]
    if original_reader and file_format == "conll":
        tagged, num_left_out = column_files.read_columns_as_nezha(*settings)
        if num_left_out:
            notes.append(
                '%d tokens after the last "。" with a blank line are left out, as in NEZHA'
                % num_left_out
            )
    else:
        tagged = list(_TAGGED[file_format](*settings))
    tagged = [sentence for sentence in tagged if _is_good(path, sentence, bad_rows)]
    if len(tagged) == 1 and len(tagged[0].tokens) > LONG_SENTENCE:
        notes.append(
            "no blank line between sentences: the file is one sentence of %d tokens, read in "
            "windows" % len(tagged[0].tokens)
        )
    tags = {tag for sentence in tagged for tag in sentence.tags or ()}
    if not tags:
        return [_labelled(sentence, None) for sentence in tagged], None
    scheme = _checked_scheme(path, tagged, tags)
    num_malformed = sum(
        tag_schemes.count_malformed(sentence.tags, scheme) for sentence in tagged if sentence.tags
    )
    notes.append("tags of the scheme %s" % scheme.name)
    if num_malformed:
        notes.append(
            "%d entities begin with a tag that continues one, such as I-: they are kept"
            % num_malformed
        )
    return [_labelled(sentence, scheme) for sentence in tagged], scheme


def _is_good(path, sentence, bad_rows):
    """Whether all tags of a sentence are tags."""
    with bad_rows.row():
        _check_tags(path, sentence)
        return True
    return False


def _check_tags(path, sentence):
    """Raises `UserError` for what is no tag of any scheme; names its line."""
    for line, tag in enumerate(sentence.tags or (), start=sentence.line):
        if not tag_schemes.is_tag(tag):
            tag_schemes.check_tag(tag, "%s, line %d" % (path, line))


def _checked_scheme(path, tagged, tags):
    """The scheme; the error of a tag without a type names its line."""
    try:
        return tag_schemes.detect_scheme(tags, path)
    except UserError:
        typed = {tag for tag in tags if tag_schemes.split_tag(tag)[1]}
        for sentence in tagged:
            for line, tag in enumerate(sentence.tags or (), start=sentence.line):
                if typed and tag != tag_schemes.OUTSIDE_TAG and len(tag) == 1:
                    tag_schemes.detect_scheme({tag} | typed, "%s, line %d" % (path, line))
        raise


def _labelled(sentence: TaggedText, scheme) -> LabelledText:
    """A sentence with the spans of its tags, in characters."""
    text, ranges = column_files.joined_text(sentence.tokens)
    tokens = None if all(len(token) == 1 for token in sentence.tokens) else ranges
    if scheme is None or sentence.tags is None:
        return LabelledText(text, None, tokens, sentence.line)
    spans = [
        span._replace(start=ranges[span.start][0], end=ranges[span.end - 1][1])
        for span in tag_schemes.tags_to_spans(sentence.tags, scheme)
    ]
    return LabelledText(text, spans, tokens, sentence.line)


def check_types(train_types: Sequence[str], data: LabelledFile) -> None:
    """Raises `UserError` if a file has entities of types that the training file has not.

    Args:
        train_types: list of str.
        data: `LabelledFile` of another split.
    """
    counts: collections.Counter = collections.Counter()
    lines = {}
    for text in data.texts:
        for span in text.spans or ():
            if span.type not in train_types:
                counts[span.type] += 1
                lines.setdefault(span.type, text.line)
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
    """The file, whose texts `check_flat` accepts; others are errors or left out."""
    kept = []
    for text in data.texts:
        with bad_rows.row():
            check_flat(data.path, text)
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
            "--head=global_pointer, or --overlaps=longest to keep the longer one"
            % (path, text.line, first, second)
        )


def keep_longest(data: LabelledFile) -> LabelledFile:
    """The file without entities that overlap a longer one (of equal ones the first stays)."""
    texts = [without_shorter(text) for text in data.texts]
    num_left_out = sum(
        len(before.spans or ()) - len(after.spans or ()) for before, after in zip(data.texts, texts)
    )
    note = "%d entities that overlap a longer one are left out" % num_left_out
    return data._replace(texts=texts, notes=data.notes + ([note] if num_left_out else []))


def without_shorter(text: LabelledText) -> LabelledText:
    """A text without entities that overlap a longer one."""
    if text.spans is None:
        return text
    kept = []
    for span in sorted(text.spans, key=lambda span: (span.start - span.end, span)):
        if all(span.end <= other.start or other.end <= span.start for other in kept):
            kept.append(span)
    return text._replace(spans=sorted(kept))
