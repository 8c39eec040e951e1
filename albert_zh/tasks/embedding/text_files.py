"""Reads the training and evaluation files of sentence embeddings as examples.

    split = read_split("faq/train.tsv", "train", "positives")

Formats: `scored` (two texts and a number), `pairs` (two texts, which are scored later),
`positives` (an anchor, a positive, and any number of negatives; for example an FAQ file
`question<TAB>entry`), `margins` (an anchor, a positive, a negative, and the similarity of the
positive minus that of the negative), `texts` (one text per line). Tables are tab-separated, .csv or
JSON lines; keys and headers may be those of common data sets.
"""

import collections
import itertools
import math
import re
from typing import Any, Dict, List, NamedTuple, Optional, Sequence, Tuple

from albert_zh.common import storage, validation
from albert_zh.common.errors import UserError
from albert_zh.common.wording import counted
from albert_zh.tasks import task_forms
from albert_zh.tasks.embedding import file_columns, groups, positive_checks, retrieval_files
from albert_zh.tasks.tables import rows as row_files
from albert_zh.tasks.tables import running_numbers
from albert_zh.tasks.tables.separators import expected_instead

FORMATS = ("scored", "pairs", "positives", "margins", "texts")
# Scores of inference labels: a contradiction is less similar than an unrelated text.
NAMED_SCORES = {"contradiction": 0.0, "neutral": 1.0, "entailment": 2.0}
# Minimum number of columns of rows that start with an id.
_FEWEST_WITH_ID = {"scored": 4, "pairs": 3, "positives": 3, "margins": 5}
# Indices of columns without a header; a slice means all further columns.
_USUAL_COLUMNS = {"text_a": [0], "text_b": [1], "score": [2], "negatives": [slice(2, None)]}
_COLUMNS_OF_MARGINS = {"text_a": [0], "text_b": [1], "negatives": [2], "margin": [3]}
_LARGEST_MARGIN = 2.0  # difference of two cosines
_ID_NAME = re.compile(r"(.*[-_ ])?[a-z]{0,3}id$")
_NO_IDS = (
    "expected texts: replace the ids with the texts from other files, or write corpus.jsonl, "
    "queries.jsonl and qrels/train.tsv with the header query-id, corpus-id, score"
)


class EmbeddingExample(NamedTuple):
    """A row of a file: the fields of `InputExample`, and fields that only embeddings have.

    Fields:
        guid: split and position in it.
        text_a: the text, anchor or query; for a corpus entry, its text.
        text_b: the other text; "" for a single text.
        label: the score, 1.0 for positives; None for a single text.
        row_id: line of the file.
        negatives: the negatives of text_a.
        target: the score, scaled so that the file's lowest score is 0 and its highest is 1.
        group: equal for rows whose texts are positives of one another.
        negative_groups: for each negative the group to which it belongs, or `groups.NO_GROUP`.
        is_entry: whether the example is an entry of the searched corpus rather than a row.
        teacher: a teacher's vector for text_a, or ().
        margin: the similarity of text_b minus that of the negative, according to a teacher.
    """

    guid: str
    text_a: str
    text_b: str
    label: Optional[float]
    row_id: Any = None
    negatives: Tuple[str, ...] = ()
    target: float = 1.0
    group: int = 0
    negative_groups: Tuple[int, ...] = ()
    is_entry: bool = False
    teacher: Tuple[float, ...] = ()
    margin: float = 0.0


EmbeddingSplit = collections.namedtuple(
    "EmbeddingSplit",
    "name path examples has_labels notes columns header sha256 names further",
    defaults=((),),
)
EmbeddingSplit.__doc__ = """A `input_examples.Split` of `EmbeddingExample`s.

Fields in addition to those of `Split`:
    further: list of `mixing.FurtherFile`, the additional training files.
"""


def read_split(
    path: str, name: str, data_format: str, encoding: str = "utf-8", skip_bad_rows: bool = False
) -> EmbeddingSplit:
    """Reads a file.

    Args:
        path: the file.
        name: "train", "dev" or "test".
        data_format: one of `FORMATS`.
        encoding: character encoding of the file.
        skip_bad_rows: skip malformed rows (and count them in the notes) instead of failing.

    Returns:
        `EmbeddingSplit`.

    Raises:
        UserError: if the file is missing, empty or malformed; the message names the line.
    """
    table = row_files.Table(path, encoding)
    filled, notes = row_files.filled_rows(table)
    expected = _expected_rows(data_format, name, filled)
    if not filled:
        raise UserError("%s is empty: expected %s" % (path, expected))
    sha256 = table.sha256()
    is_of_right_pairs = data_format in ("pairs", "positives")
    if is_of_right_pairs and retrieval_files.is_qrels(filled[0].cells):
        found, bad, digests = retrieval_files.rows_of_qrels(path, filled, encoding)
        sha256 = storage.sha256_of_all([sha256] + digests)
        examples = [EmbeddingExample("", query, entry, 1.0, line) for line, query, entry in found]
    else:
        examples, bad, further_notes = _examples_of_rows(path, filled, data_format, table.delimiter)
        notes += further_notes
    if data_format == "positives":
        notes += positive_checks.notes_of_wrong_texts(path, examples)
        notes += positive_checks.notes_of_joined_texts(examples)
    elif data_format == "pairs":
        notes += positive_checks.notes_of_pairs(path, examples)
        examples = [example._replace(negatives=()) for example in examples]
    is_table = data_format != "texts" and not table.is_json
    if is_table and any(e.row_id == filled[0].line for e in examples):
        notes += file_columns.notes_of_first_row(filled[0].cells)
    wanted = expected_instead(expected, table, filled, bad)
    notes += row_files.bad_row_notes(path, bad, skip_bad_rows, wanted)
    if not examples:
        raise UserError("%s has no valid row: expected %s" % (path, expected))
    if all(e.text_a.isdigit() and e.text_b.isdigit() for e in examples):
        raise UserError("%s: its texts are numbers, as ids are: %s" % (path, _NO_IDS))
    if name not in ("dev", "test"):  # dev and test keep duplicates
        examples, num_double = _once(examples)
        double = counted(num_double, "row occurs twice and is", "rows occur twice and are")
        notes += ["%s used once" % double] * bool(num_double)
    named = [e._replace(guid="%s-%d" % (name, i)) for i, e in enumerate(examples, start=1)]
    examples = groups.of_file(_with_targets(named))
    return EmbeddingSplit(name, path, examples, True, notes, (), (), sha256, {})


def _examples_of_rows(path, filled, data_format, delimiter):
    """(examples, [(line, what is wrong)], notes) of the rows of a table."""
    notes: List[str] = []
    if data_format == "texts":
        columns, filled = _column_of_texts(path, filled, delimiter)
        notes = [] if columns else _note_of_tabs(filled)
    else:
        columns, filled, notes = _columns(path, filled, data_format)
    if data_format == "positives":
        notes += positive_checks.notes_of_labels(path, _labels_of(filled, columns))
    elif data_format == "pairs":
        notes += positive_checks.notes_of_unread_labels(_labels_of(filled, columns))
    examples: List[EmbeddingExample] = []
    bad: List[Tuple[int, Exception]] = []
    for row in filled:
        try:
            examples += _examples(row, columns, data_format)
        except ValueError as error:
            bad.append((row.line, error))
    return examples, bad, notes


def _labels_of(rows, columns):
    """The values of rows in the column or key of a score or label."""
    records = [_of_record(row.cells, "positives") for row in rows if isinstance(row.cells, dict)]
    if columns is not _USUAL_COLUMNS:  # named columns
        records += [_of_cells(row.cells, columns, "positives") for row in rows if not row.problem]
    return [_first(texts, "score") for texts in records]


_EXPECTED = {
    "scored": "rows of text<tab>text<tab>number, a column that a header names score",
    "pairs": "rows of text<tab>text; labels after them are ignored",
    "positives": "rows of text<tab>positive, optionally <tab>negatives",
    "margins": "rows of text<tab>positive<tab>negative<tab>margin; without margins, "
    "--scoring_classifier_dir computes them",
    "texts": "one text per line",
}
# The flag with which to read a file of positive pairs, which have no scores.
_WITHOUT_SCORES = {
    "train": "; for positive pairs without numbers use --objective=infonce",
    "dev": "; for positive pairs without numbers use --dev_format=positives",
}
_TEXTS_ALONE = "; for single texts use --objective=simcse"


def _expected_rows(data_format, name, filled):
    """The expected form of rows, with alternatives for the rows that the file has."""
    expected = _EXPECTED[data_format]
    if data_format == "scored":
        expected += _WITHOUT_SCORES["train" if name == "train" else "dev"]
    if name == "train" and data_format != "texts" and filled:
        is_of_texts = all(isinstance(row.cells, list) and len(row.cells) == 1 for row in filled)
        expected += _TEXTS_ALONE if is_of_texts else ""
    return expected


def _columns(path, rows, data_format):
    """({column: its indices}, rows without header and ids, notes); usual columns for JSON."""
    usual = _COLUMNS_OF_MARGINS if data_format == "margins" else _USUAL_COLUMNS
    first = rows[0]
    if isinstance(first.cells, dict):
        records = [row.cells for row in rows if isinstance(row.cells, dict)]
        return usual, rows, file_columns.notes_of_unused_keys(records)
    names = _names(first.cells)
    by_name = file_columns.columns_of(names)
    if "text_a" in by_name and "text_b" in by_name:
        wrong = by_name.get("negatives", [])
        used = list(itertools.chain(*by_name.values()))
        by_name["negatives"] = file_columns.numbered_texts(wrong, len(names))
        return by_name, rows[1:], file_columns.notes_of_unused(first.cells, used)
    if len(names) > 1 and all(map(_ID_NAME.match, names[:2])):
        raise UserError("%s, line 1: a header of ids (%s): %s" % (path, ", ".join(names), _NO_IDS))
    by_order = file_columns.columns_beside_score(names)
    texts = [by_order[column][0] for column in ("text_a", "text_b") if by_order]
    if texts and not any(_are_ids(rows, column) for column in texts):
        named = tuple(first.cells[column] for column in texts)
        return by_order, rows[1:], ["texts are read from the columns %s and %s" % named]
    return (usual, *_without_ids(path, rows, _FEWEST_WITH_ID[data_format]))


def _are_ids(rows, column):
    """Whether a column with a header contains ids, according to its name or its cells."""
    cells = [row.cells[column] for row in rows if not row.problem and column < len(row.cells)]
    return bool(_ID_NAME.match(cells[0].strip().lower())) or running_numbers.are_ids(cells[1:])


def _without_ids(path, rows, fewest_columns):
    """(rows without a first column of ids, notes); `UserError` if there is a header above."""
    good = [row.cells for row in rows if not row.problem]
    is_headed = not running_numbers.are_ids([cells[0] for cells in good])
    if not running_numbers.are_ids([cells[0] for cells in good[is_headed:]]):
        return rows, []
    if is_headed or min(map(len, good)) < fewest_columns:
        raise UserError(
            "%s: column 1 has a different number in each row: an id? Name the columns in line 1, "
            "as id, text_a, text_b (and what follows: negative, score)" % path
        )
    rows = [row if row.problem else row._replace(cells=row.cells[1:]) for row in rows]
    return rows, ["column 1 has a different number in each row: it is ignored as an id"]


def _column_of_texts(path, rows, delimiter):
    """Like `_columns`, for a file of single texts; {} if a whole line, with tabs, is one text."""
    if delimiter != "," and not path.endswith(".tsv"):
        return {}, rows
    names = _names(rows[0].cells)
    name = file_columns.name_of_single_texts(names)
    if name is not None:
        return {"text_a": [names.index(name)]}, rows[1:]
    return ({"text_a": [slice(None)]} if delimiter == "," else {}), rows


def _note_of_tabs(rows):
    """A list with a note if many lines in a file of single texts contain tabs."""
    count = sum(isinstance(row.cells, list) and len(row.cells) > 1 for row in rows)
    if 2 * count < len(rows) or not count:
        return []
    return [
        "%d of %d lines have tabs, but each line is treated as one text: of a table, keep only "
        "the column of texts, or name it in the header of a .tsv file, as text_a"
        % (count, len(rows))
    ]


def _names(cells):
    """The cells of a header, normalized for comparison with `file_columns.KEYS`."""
    return task_forms.counted_from_one([cell.strip().lower().lstrip("\ufeff") for cell in cells])


def _examples(row, columns, data_format):
    """The examples of a row; raises `ValueError` if the row is malformed."""
    if row.problem:
        raise ValueError(row.problem)
    if isinstance(row.cells, dict):
        texts = _of_record(row.cells, data_format)
    elif not columns:
        texts = {"text_a": ["\t".join(row.cells).strip()]}
    else:
        texts = _of_cells(row.cells, columns, data_format)
    return _of_texts(texts, data_format, row.line)


def _of_record(record, data_format):
    """{column: list of texts} of a JSON object."""
    if "_id" in record:
        return {"text_a": [retrieval_files.text_of_record(record)]}
    if data_format == "texts":
        return {"text_a": _listed(record.get(file_columns.name_of_single_texts(record)))}
    names = list(record)
    columns = file_columns.columns_of(names).items()
    return {
        column: [text for index in indices for text in _listed(record[names[index]])]
        for column, indices in columns
    }


def _listed(content):
    """A JSON value as a list of values; [] for null."""
    content = content if isinstance(content, list) else [content]
    return [value for value in content if value is not None]


def _of_cells(cells, columns, data_format):
    texts: Dict[str, List[str]] = {}
    for column, indices in columns.items():
        for index in indices:
            at = index if isinstance(index, slice) else slice(index, index + 1)
            texts.setdefault(column, []).extend(cells[at])
    if data_format == "scored":
        texts.pop("negatives", None)
    return texts


def _of_texts(texts, data_format, line):
    """The examples from {column: list of texts}."""
    anchors = _texts(texts, "text_a", "first")
    if data_format == "texts":
        if len(texts["text_a"]) > 1:
            raise ValueError(
                "it has %d columns, and no header names the one of texts" % len(texts["text_a"])
            )
        return [EmbeddingExample("", anchors[0], "", None, line)]
    others = _texts(texts, "text_b", "second")
    if len(anchors) > 1 and data_format != "positives":
        raise ValueError("it has %d first texts, expected one" % len(anchors))
    if data_format == "scored":
        score = _score(texts)
        return [EmbeddingExample("", anchors[0], other, score, line) for other in others]
    wrong = [text for text in texts.get("negatives", ()) if str(text).strip()]
    negatives = tuple(_text(text, "negative") for text in wrong)
    if data_format != "pairs" and set(negatives) & set(others):
        raise ValueError("a positive is also among the negatives")
    margin = _margin(texts, negatives) if data_format == "margins" else 0.0
    return [
        EmbeddingExample("", anchor, other, 1.0, line, negatives, margin=margin)
        for anchor, other in itertools.product(anchors, others)
    ]


def _texts(texts, column, which):
    """The texts of a column that are not empty, at least one."""
    filled = [text for text in texts.get(column) or () if str(text).strip()]
    return [_text(text, which) for text in filled or [""]]


def _text(text, which):
    if not isinstance(text or "", str):
        raise ValueError("the %s text is not a string: %s" % (which, validation.shown(text)))
    if not (text or "").strip():
        raise ValueError("the %s text is empty" % which)
    return text.strip().lstrip("\ufeff")


def _first(texts, column):
    """The first value of a column; None if there is none."""
    return (texts.get(column) or [None])[0]


def _score(texts):
    name = str(_first(texts, "score")).strip()
    return NAMED_SCORES[name] if name in NAMED_SCORES else _number(texts, "score")


def _margin(texts, negatives):
    if len(negatives) != 1:
        raise ValueError("it has %d negatives, expected one" % len(negatives))
    margin = _number(texts, "margin")
    if abs(margin) > _LARGEST_MARGIN:
        raise ValueError(
            "the margin %g is not a difference of cosines, which is -2 to 2: scale the teacher's "
            "scores to 0 to 1" % margin
        )
    return margin


def _number(texts, name):
    """The score or margin of a row as a number."""
    cell = _first(texts, name)
    if cell is None:
        raise ValueError("it has no %s" % name)
    try:
        number = float(cell)
    except (TypeError, ValueError):
        number = math.nan
    if not math.isfinite(number):
        raise ValueError("the %s %s is not a number" % (name, validation.shown(cell)))
    return number


def _once(examples: Sequence[EmbeddingExample]) -> Tuple[List[EmbeddingExample], int]:
    """(the examples without duplicates, number of duplicates)."""
    first: Dict[Any, EmbeddingExample] = {}
    for example in examples:
        key = (example.text_a, example.text_b, example.label, example.negatives, example.margin)
        first.setdefault(key, example)
    return list(first.values()), len(examples) - len(first)


def _with_targets(examples):
    """Examples with their scores scaled from the file's range to 0 to 1."""
    scores = [example.label for example in examples if example.label is not None]
    lowest, highest = min(scores, default=0.0), max(scores, default=0.0)
    if lowest == highest:
        return examples
    return [e._replace(target=(e.label - lowest) / (highest - lowest)) for e in examples]


def read_entries(
    path: str, encoding: str = "utf-8", skip_bad_rows: bool = False
) -> Tuple[List[str], List[str]]:
    """The texts of a corpus to search: one text per line, or JSON lines as in C-MTEB.

    Args:
        path: the file.
        encoding, skip_bad_rows: as in `read_split`.

    Returns:
        (the texts without duplicates, notes on what was skipped, which name the file).

    Raises:
        UserError: as in `read_split`.
    """
    return read_corpus(path, encoding, skip_bad_rows)[:2]


def read_corpus(
    path: str, encoding: str = "utf-8", skip_bad_rows: bool = False
) -> Tuple[List[str], List[str], str]:
    """Like `read_entries`, but also returns the digest of the bytes that were read."""
    split = read_split(path, "corpus", "texts", encoding, skip_bad_rows)
    texts = list(dict.fromkeys(example.text_a for example in split.examples))
    return texts, named_notes(split), split.sha256


def named_notes(split: EmbeddingSplit) -> List[str]:
    """The notes on a split's file and its additional training files, with the file names."""
    splits = [split] + [more.split for more in split.further]
    return ["%s: %s" % (one.path, note) for one in splits for note in one.notes]
