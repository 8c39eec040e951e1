"""Reads labelled text in JSON lines with a list of tokens and a list of their tags.

    {"tokens": ["王", "明", "去"], "ner_tags": ["B-PER", "I-PER", "O"]}
    {"tokens": ["王", "明", "去"], "ner_tags": [1, 2, 0]}
    {"text": "王明去", "labels": ["B-PER", "I-PER", "O"]}

If tags are numbers, as in data sets of Hugging Face, the file `labels.txt` in the same folder has
their names, one tag per line, starting with number 0.
"""

import contextlib
import json
import os
from typing import Any, Iterator, List, Optional, Tuple

from albert_zh.common import files, json_lists, storage, text_encodings, validation
from albert_zh.common.errors import UserError
from albert_zh.tasks.labelling.bad_rows import BadRows
from albert_zh.tasks.labelling.spans import TaggedText

NAMES_OF_TAGS = "labels.txt"
_TOKENS = ("tokens", "words", "text", "sentence")
_TAGS = ("ner_tags", "tags", "labels", "label", "ner")


def is_token_list(line: str) -> bool:
    """Whether a JSON line has a list of tokens, or a text and as many tags as characters."""
    record = None
    with contextlib.suppress(ValueError, RecursionError):
        record = json.loads(line)
    if not isinstance(record, dict):
        return False
    tokens, tags = _value_of(record, _TOKENS), _value_of(record, _TAGS)
    if isinstance(tokens, list):
        return all(isinstance(token, str) for token in tokens)
    are_tags = isinstance(tags, list) and not isinstance(tags[0] if tags else [], (list, dict))
    return are_tags and isinstance(tokens, str) and len(tokens) == len(tags)


def read_token_lists(
    path: str, encoding: str = "utf-8", digest: Any = None, bad_rows: Optional[BadRows] = None
) -> Iterator[TaggedText]:
    """Reads the sentences of JSON lines, or of a JSON list of such objects.

    Args:
        path: the file.
        encoding: encoding of the file.
        digest: as in `files.read_bytes`; it includes the file of tag names.
        bad_rows: `BadRows`; by default the first malformed row is an error.

    Yields:
        `TaggedText`; tags are None for a line without tags.

    Raises:
        UserError: for a line without tokens, with different numbers of tokens and tags, or with
            tags that are numbers without names.
    """
    bad_rows = bad_rows or BadRows()
    names: List[str] = []
    lines = json_lists.lines_or_entries(path, files.stream_lines(path, encoding, digest=digest))
    for line, text in enumerate(lines, start=1):
        if not text.strip():
            continue
        source = "%s, line %d" % (path, line)
        with bad_rows.row():
            record = _parsed(text, source)
            tokens, tags = _tokens_and_tags(record, source)
            if any(isinstance(tag, int) for tag in tags or ()):
                names = names or _names_of_tags(path, source, encoding, digest)
                tags = [_named(tag, names, source) for tag in tags or ()]
            if tokens:
                yield TaggedText(tokens, tags, [line] * len(tokens), record.get("id"))


def _value_of(record, keys):
    """Returns the value of the first key that a record has; None if it has none of them."""
    return next((record[key] for key in keys if record.get(key) is not None), None)


def _parsed(text, source):
    """Parses the JSON object of a line; any other JSON value becomes an empty object."""
    record = text_encodings.with_whole_characters(files.parse_json(text, source), text)
    return record if isinstance(record, dict) else {}


def _tokens_and_tags(record, source) -> Tuple[List[str], Optional[List[Any]]]:
    """(tokens, tags or None) of a record, unchanged."""
    tokens, tags = _value_of(record, _TOKENS), _value_of(record, _TAGS)
    tokens = list(tokens) if isinstance(tokens, str) else tokens
    _check_are(source, "tokens", tokens, str)
    if tags is None:
        return tokens, None
    _check_are(source, "tags", tags, (str, int))
    if len(tokens) != len(tags):
        raise UserError(
            "%s: %d tokens and %d tags: expected a tag for each token"
            % (source, len(tokens), len(tags))
        )
    if "" in tokens:
        raise UserError("%s: an empty token: expected none" % source)
    return tokens, tags


def _check_are(source, name, values, kinds):
    """Raises `UserError` unless `values` is a list of values of these types."""
    if isinstance(values, list) and all(
        isinstance(value, kinds) and not isinstance(value, bool) for value in values
    ):
        return
    raise UserError(
        '%s: expected %s, as in {"tokens": ["王", "明"], "ner_tags": ["B-PER", "I-PER"]}, found %s'
        % (source, name, validation.shown(values))
    )


def _names_of_tags(path, source, encoding, digest) -> List[str]:
    """Reads the names of tags that are numbers."""
    beside = os.path.join(os.path.dirname(path), NAMES_OF_TAGS)
    if not storage.exists(beside):
        raise UserError(
            "%s: its tags are numbers without names: write the names into %s, one tag per line, "
            "starting with tag 0 (in Hugging Face's data sets: features['ner_tags'].feature.names)"
            % (source, beside)
        )
    lines = files.stream_lines(beside, encoding, digest=digest)
    return [text.strip() for text in lines if text.strip()]


def _named(tag, names, source):
    """Returns the name of a tag that is a number."""
    if isinstance(tag, int) and 0 <= tag < len(names):
        return names[tag]
    raise UserError(
        "%s: the tag %r has no name: %s has %d, of the numbers from 0"
        % (source, tag, NAMES_OF_TAGS, len(names))
    )
