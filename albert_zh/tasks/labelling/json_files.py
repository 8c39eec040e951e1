"""Reads and writes entities in JSON lines: the forms of CLUENER, CMeEE, entity_list and doccano.

The ends of spans are inclusive in CLUENER and CMeEE and exclusive in the other forms. The lists of
spans of label.py, Prodigy, spaCy, CCKS and Label Studio (JSON and JSON_MIN, see `label_studio`) are
read as doccano's form.

    {"text": "浙商银行", "label": {"company": {"浙商银行": [[0, 3]]}}}
    {"text": "浙商银行", "entities": [{"start_idx": 0, "end_idx": 3, "type": "company",
                                     "entity": "浙商银行"}]}
    {"text": "浙商银行", "entity_list": [{"entity_index": {"begin": 0, "end": 4},
                                        "entity_type": "company", "entity": "浙商银行"}]}
    {"text": "浙商银行", "label": [[0, 4, "company"]]}
    {"text": "浙商银行", "entities": [{"start_offset": 0, "end_offset": 4, "label": "company"}]}
    {"text": "浙商银行", "entities": [{"type": "bank", "start": 0, "end": 4, "text": "浙商银行"}]}
    {"text": "浙商银行", "label": [{"start": 0, "end": 4, "text": "浙商银行", "labels": ["bank"]}]}
    {"originalText": "浙商银行", "entities": [{"start_pos": 0, "end_pos": 4, "label_type": "bank"}]}

Positions count characters. If positions count bytes of UTF-8 or units of UTF-16, the texts of
entities do not match their positions; an error names the unit, which `offset_unit` then selects.
"""

import collections
import itertools
import json
from typing import Any, Iterator, Optional, Sequence

from albert_zh.common import checks, files, json_lists, text_encodings, validation
from albert_zh.common.errors import UserError
from albert_zh.tasks.labelling import label_studio
from albert_zh.tasks.labelling.bad_rows import BadRows
from albert_zh.tasks.labelling.spans import LabelledText, Span
from albert_zh.tasks.tables import nested_keys

CHARACTERS = "characters"
_NAMES_OF_UNITS = {"bytes": "bytes of UTF-8", "utf16": "units of UTF-16"}
# Size of a character in each unit in which positions may be counted.
OFFSET_UNITS = {
    CHARACTERS: lambda char: 1,
    "bytes": lambda char: len(char.encode("utf-8", "surrogatepass")),
    "utf16": lambda char: 2 if char > "\uffff" else 1,
}
_POSITIONS = validation.list_of(validation.list_of(validation.integer(0), 2))
_MENTIONS = validation.record({}, others=_POSITIONS, expected="{entity: [[start, end], ...]}")
_CLUENER = validation.record(
    {"text": validation.TEXT, "label": validation.record({}, others=_MENTIONS)}, ["text"]
)
_ENTITY = validation.record(
    {
        "entity_index": validation.record(
            {"begin": validation.integer(0), "end": validation.integer(0)}, ["begin", "end"]
        ),
        "entity_type": validation.TEXT,
        "entity": validation.TEXT,
    },
    ["entity_index", "entity_type"],
)
_ENTITY_LIST = validation.record(
    {"text": validation.TEXT, "entity_list": validation.list_of(_ENTITY)}, ["text"]
)
_POSITION = validation.integer(0)
_CMEEE_ENTITY = validation.record(
    {
        "start_idx": _POSITION,
        "end_idx": _POSITION,
        "type": validation.TEXT,
        "entity": validation.TEXT,  # shows that the end is inclusive
    },
    ["start_idx", "end_idx", "type", "entity"],
)
_CMEEE = validation.record(
    {"text": validation.TEXT, "entities": validation.list_of(_CMEEE_ENTITY)}, ["text"]
)
_FIELDS = (  # with alternative names
    ("start_offset", "start", "start_pos"),
    ("end_offset", "end", "end_pos"),
    ("label", "type", "label_type", "labels"),
)
_KINDS_OF_FIELDS = (_POSITION, _POSITION, validation.TEXT)
_NAMES_OF_MENTION = ("text", "entity", "mention")  # possible keys of an entity's text
EXAMPLE = '{"text": "王明去", "entities": [{"start": 0, "end": 2, "type": "PER"}]}'
_TEXT_OF_CCKS = "originalText"


def _names_of_fields(span):
    """Returns an object's keys of start, end and type; for a missing field, its first name."""
    return [next((name for name in names if name in span), names[0]) for names in _FIELDS]


def _name_of_mention(span):
    """Returns an object's key of the entity's text; if it has none, the first possible key."""
    return next((name for name in _NAMES_OF_MENTION if name in span), _NAMES_OF_MENTION[0])


def _fields_of_span(span):
    """(start, end, type) of a list or an object; `MISSING` for each missing field."""
    if isinstance(span, list):
        return tuple(span)
    start, end, label = (span.get(name, validation.MISSING) for name in _names_of_fields(span))
    is_list_of_one = isinstance(label, list) and len(label) == 1  # as in Label Studio
    return start, end, label[0] if is_list_of_one else label


def _members_of_span(span):
    """Yields (key, value, `Kind`) of all fields that are read from a list or an object."""
    keys = ("[0]", "[1]", "[2]")
    if isinstance(span, dict):
        keys = _names_of_fields(span)
        name = _name_of_mention(span)
        yield name, span.get(name), validation.or_none(validation.TEXT)
    yield from zip(keys, _fields_of_span(span), _KINDS_OF_FIELDS)


_SPAN = validation.Kind(
    "[start, end, type], or an object of start, end, type",
    lambda value: isinstance(value, dict) or (isinstance(value, list) and len(value) == 3),
    _members_of_span,
)
_DOCCANO_KEYS = dict.fromkeys(
    # Keys of doccano's newer and older versions, of doccano with relations, and of Prodigy.
    ("label", "labels", "entities", "spans"),
    validation.list_of(_SPAN),
)
_DOCCANO = validation.record(dict(_DOCCANO_KEYS, text=validation.TEXT), ["text"])


def _entities_of_cluener(record):
    """[(start, end, type, entity)] of a record in CLUENER's form; None if it has no labels."""
    if record.get("label") is None:
        return None
    return [
        (start, end + 1, entity_type, mention)
        for entity_type, texts in record["label"].items()
        for mention, positions in texts.items()
        for start, end in positions
    ]


def _entities_of_cmeee(record):
    """Same as `_entities_of_cluener`, for a record in CMeEE's form."""
    if "entities" not in record:
        return None
    return [
        (entity["start_idx"], entity["end_idx"] + 1, entity["type"], entity["entity"])
        for entity in record["entities"]
    ]


def _entities_of_entity_list(record):
    """Same as `_entities_of_cluener`, for a record in the form entity_list."""
    if "entity_list" not in record:
        return None
    return [
        (
            entity["entity_index"]["begin"],
            entity["entity_index"]["end"],
            entity["entity_type"],
            entity.get("entity"),
        )
        for entity in record["entity_list"]
    ]


def _entities_of_doccano(record):
    """Same as `_entities_of_cluener`, for a record of doccano or with another list of spans."""
    found = [record[key] for key in _DOCCANO_KEYS if key in record]
    if not found:
        return None
    return [
        (
            *_fields_of_span(span),
            span.get(_name_of_mention(span)) if isinstance(span, dict) else None,
        )
        for span in itertools.chain(*found)
    ]


_Form = collections.namedtuple("_Form", "kind entities other_key is_inclusive")
_FORMS = {
    "cluener": _Form(_CLUENER, _entities_of_cluener, "entity_list", True),
    "cmeee": _Form(_CMEEE, _entities_of_cmeee, "label", True),
    "entity_list": _Form(_ENTITY_LIST, _entities_of_entity_list, "label", False),
    "doccano": _Form(_DOCCANO, _entities_of_doccano, "entity_list", False),
}
FORMATS = tuple(_FORMS)


def read_json(
    file_format: str,
    path: str,
    encoding: str = "utf-8",
    digest: Any = None,
    bad_rows: Optional[BadRows] = None,
    offset_unit: str = CHARACTERS,
) -> Iterator[LabelledText]:
    """Reads the texts of a file of JSON lines, or of a JSON list of such objects.

    Args:
        file_format: one of `FORMATS`.
        path: the file.
        encoding: encoding of the file.
        digest: as in `files.read_bytes`.
        bad_rows: `BadRows`; by default the first malformed row is an error.
        offset_unit: unit of the positions, a key of `OFFSET_UNITS`.

    Yields:
        `LabelledText`; spans are None for a line without labels, as in CLUENER's test file.

    Raises:
        UserError: for a line that is not in this form, or an entity that is not at its position.
    """
    bad_rows = bad_rows or BadRows()
    for line, text in _lines(path, encoding, digest):
        with bad_rows.row():
            yield _labelled_text(file_format, line, text, "%s, line %d" % (path, line), offset_unit)


def _labelled_text(file_format, line, text, source, offset_unit):
    form = _FORMS[file_format]
    record = label_studio.flattened(_parsed(text, source), source)
    if isinstance(record, dict) and "text" not in record and _TEXT_OF_CCKS in record:
        record["text"] = record.pop(_TEXT_OF_CCKS)
    if isinstance(record, dict) and "text" not in record:
        raise UserError(
            "%s: text is missing, found the keys %s: expected as in %s"
            % (source, ", ".join(nested_keys.names_of(record))[:200] or "of no object", EXAMPLE)
        )
    record = checks.checked(source, record, form.kind)
    entities = form.entities(record)
    if entities is None:
        _check_has_none_of(record, form.other_key, file_format, source)
        return LabelledText(record["text"], None, None, line, record.get("id"))
    labelled = _labelled(record["text"], entities, line, source, offset_unit, form.is_inclusive)
    return labelled._replace(identifier=record.get("id"))


def _check_has_none_of(record, key, file_format, source):
    """Raises `UserError` for a line with labels in another form."""
    if record.get(key) is not None:
        raise UserError(
            "%s: has %s, but according to its first lines the file is in the form %s: give "
            "--file_format, or write all lines in one form" % (source, key, file_format)
        )


def _lines(path, encoding, digest):
    """Yields (number, text) of the non-blank lines, or of the objects of a JSON list."""
    lines = files.stream_lines(path, encoding, digest=digest)
    for line, text in enumerate(json_lists.lines_or_entries(path, lines), start=1):
        if text.strip():
            yield line, text


def _labelled(text, entities, line, source, offset_unit, inclusive):
    to_character = _character_positions(text, offset_unit)
    spans = []
    for start, end, entity_type, mention in entities:
        first = to_character.get(start)
        last = to_character.get(end)
        is_inside = first is not None and last is not None and first < last
        if not is_inside or mention not in (None, text[first:last]):
            shown = (start, end - 1 if inclusive else end)
            raise _wrong_position(text, entity_type, mention, shown, source, inclusive)
        spans.append(Span(first, last, entity_type.strip()))
    return LabelledText(text, sorted(set(spans)), None, line)


def _character_positions(text, offset_unit):
    """Maps positions in units to positions in characters, for all borders between characters."""
    return {units: source for source, units in enumerate(_unit_positions(text, offset_unit))}


def _unit_positions(text, offset_unit) -> Sequence[int]:
    """Returns the positions of the borders between characters, in units."""
    if offset_unit == CHARACTERS:
        return range(len(text) + 1)
    sizes = itertools.chain([0], map(OFFSET_UNITS[offset_unit], text))
    return list(itertools.accumulate(sizes))


def _wrong_position(text, entity_type, mention, shown, source, inclusive):
    """Returns the `UserError` for an entity whose text is not at its position."""
    end = "the last character" if inclusive else "one past the last character"
    first, last = shown[0], shown[1] + inclusive
    message = "%s: %s %r at %d-%d, where the text (%d characters) has %r" % (
        source,
        entity_type,
        (mention or "")[:40],
        shown[0],
        shown[1],
        len(text),
        text[first:last][:40],
    )
    reason = _reason(text, mention, shown, inclusive)
    return UserError(
        "%s: %s" % (message, reason or "expected the positions of its first and %s, from 0" % end)
    )


def _reason(text, mention, shown, inclusive):
    """Explains what wrong positions seem to be, and what to do; None if nothing fits."""
    start, end = shown
    if not mention:
        return _unit_that_fits(text, start, end + inclusive)
    is_as_long = end + (not inclusive) - start == len(mention)
    if is_as_long and text.startswith(mention, start):
        return "its end is %s, as in the form %s: expected %s" % (
            ("exclusive", "entity_list", "an inclusive end")
            if inclusive
            else ("inclusive", "cluener", "an exclusive end")
        )
    for unit in OFFSET_UNITS:
        positions = _character_positions(text, unit)
        first, last = positions.get(start), positions.get(end + inclusive)
        if first is not None and last is not None and text[first:last] == mention:
            return "its positions count %s, expected characters: pass --offset_unit=%s" % (
                _NAMES_OF_UNITS[unit],
                unit,
            )
    if mention in text:
        return "expected %d-%d" % (
            text.index(mention),
            text.index(mention) + len(mention) - inclusive,
        )
    return "the text does not have it: has the text been changed?"


def _unit_that_fits(text, start, end):
    """Suggests a unit for positions past the end of a text; None if they fit in no unit."""
    if end <= len(text):
        return None
    for unit, name in _NAMES_OF_UNITS.items():
        if {start, end} <= _character_positions(text, unit).keys():
            return "expected characters: if its positions count %s, pass --offset_unit=%s" % (
                name,
                unit,
            )
    return None


def json_line(
    file_format: str,
    text: str,
    spans: Sequence[Span],
    identifier: Optional[Any] = None,
    offset_unit: str = CHARACTERS,
    line: Optional[int] = None,
) -> str:
    """Formats a text and its spans as a line of JSON; CLUENER's form is that of submissions.

    Args:
        file_format: one of `FORMATS`.
        text: str.
        spans: list of `Span`.
        identifier: value of "id"; None: no "id".
        offset_unit: unit of the positions, a key of `OFFSET_UNITS`.
        line: value of "line", for a text without an identifier; None: no "line".

    Returns:
        str, JSON without a line end.
    """
    record = {} if identifier is None else {"id": identifier}
    labels = _LABELS[file_format](text, spans, _unit_positions(text, offset_unit))
    place = {} if line is None or identifier is not None else {"line": line}
    return json.dumps(dict(record, text=text, **labels, **place), ensure_ascii=False)


def _labels_of_cluener(text, spans, in_units):
    label = {}
    for span in spans:
        mention = text[span.start : span.end]
        positions = label.setdefault(span.type, {}).setdefault(mention, [])
        positions.append([in_units[span.start], in_units[span.end] - 1])
    return {"label": label}


def _labels_of_cmeee(text, spans, in_units):
    entities = [
        {
            "start_idx": in_units[span.start],
            "end_idx": in_units[span.end] - 1,
            "type": span.type,
            "entity": text[span.start : span.end],
        }
        for span in spans
    ]
    return {"entities": entities}


def _labels_of_entity_list(text, spans, in_units):
    entities = [
        {
            "entity_index": {"begin": in_units[span.start], "end": in_units[span.end]},
            "entity_type": span.type,
            "entity": text[span.start : span.end],
        }
        for span in spans
    ]
    return {"entity_list": entities}


def _labels_of_doccano(text, spans, in_units):
    return {"label": [[in_units[span.start], in_units[span.end], span.type] for span in spans]}


_LABELS = {
    "cluener": _labels_of_cluener,
    "cmeee": _labels_of_cmeee,
    "entity_list": _labels_of_entity_list,
    "doccano": _labels_of_doccano,
}


def _parsed(text, source):
    return text_encodings.with_whole_characters(files.parse_json(text, source), text)
