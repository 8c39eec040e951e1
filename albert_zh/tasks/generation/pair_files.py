"""Reads files of sources and targets: tab-separated, .csv or JSON lines.

    split = read_split("titles/train.tsv", "train", chosen={})

A row is `source<TAB>target`, or has columns or keys with the names in `pair_columns.KEYS`; a file
to predict may have sources only.
"""

from typing import Any, Dict, NamedTuple, Optional

from albert_zh.common.errors import UserError
from albert_zh.tasks import input_examples, task_forms
from albert_zh.tasks.generation.pair_columns import form_of
from albert_zh.tasks.tables import rows as row_files
from albert_zh.tasks.tables.label_rules import shortened
from albert_zh.tasks.tables.separators import expected_instead

EXPECTED = "a source, a TAB and a target in each line, or JSON lines with source and target"


class GenerationExample(NamedTuple):
    """A row, with the fields of `InputExample`.

    Fields:
        guid: split and position in it.
        text_a: the source.
        text_b: None.
        label: the target; None if it is unknown.
        row_id: line of the file.
    """

    guid: str
    text_a: str
    text_b: Optional[str] = None
    label: Optional[str] = None
    row_id: Any = None


def read_split(
    path: str,
    name: str,
    chosen: Dict[str, str],
    encoding: str = "utf-8",
    skip_bad_rows: bool = False,
) -> input_examples.Split:
    """Reads a file.

    Args:
        path: the file.
        name: "train", "dev" or "test"; only in a test file targets may be missing.
        chosen: {"text_a" or "label": name or position from 1} of columns that flags name.
        encoding: character encoding of the file.
        skip_bad_rows: skip malformed rows (and count them in the notes) instead of failing.

    Returns:
        `input_examples.Split` of `GenerationExample`.

    Raises:
        UserError: if the file is missing, empty or malformed; the message names the line.
    """
    table = row_files.Table(path, encoding)
    filled, notes = row_files.filled_rows(table)
    form, filled = form_of(path, filled, chosen, table.is_json, name == "test")
    needs_targets = name != "test" or any(_has_target(row, form) for row in filled)
    examples, bad = [], []
    for row in filled:
        try:
            examples.append(_example(row, form, needs_targets))
        except ValueError as error:
            bad.append((row.line, error))
    if filled and filled[0].line == 1 and not table.is_json:
        notes += task_forms.note_of_first_row(filled[0].cells, "source, target")
    if form.unused:
        notes.append("columns that are not used: %s" % shortened(", ".join(form.unused)))
    wanted = expected_instead(EXPECTED, table, filled, bad)
    notes += row_files.bad_row_notes(path, bad, skip_bad_rows, wanted)
    if not examples:
        raise UserError("%s has no valid row: expected %s" % (path, EXPECTED))
    examples = [
        example._replace(guid="%s-%d" % (name, number))
        for number, example in enumerate(examples, start=1)
    ]
    return input_examples.Split(
        name, path, examples, needs_targets, notes, ("text_a", "label"), (), table.sha256()
    )


def _has_target(row, form):
    if row.problem:
        return False
    try:
        return not _is_blank(form.cell(row, "label"))
    except ValueError:  # reported by `_example`
        return True


def _is_blank(text):
    return text is None or (isinstance(text, str) and not text.strip())


def _example(row, form, needs_target):
    """The example of a row; raises `ValueError` if the row is malformed."""
    if row.problem:
        raise ValueError(row.problem)
    form.check_width(row)
    source = _text(form.cell(row, "text_a"), "source")
    target = form.cell(row, "label")
    if _is_blank(target) and not needs_target:
        return GenerationExample("", source, row_id=row.line)
    if target is None and not isinstance(row.cells, dict):
        raise ValueError("it has no TAB and no target")
    return GenerationExample("", source, label=_text(target, "target"), row_id=row.line)


def _text(text, which):
    if not isinstance(text, str) or not text.strip().lstrip("\ufeff"):
        raise ValueError("its %s is empty or no text" % which)
    return " ".join(text.lstrip("\ufeff").split())
