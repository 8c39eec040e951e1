"""Files of sources and targets: tab-separated, .csv or JSON lines.

    split = read_split("titles/train.tsv", "train", chosen={})

A row is `source<TAB>target`, or has columns or keys of the names in `KEYS`; a file to predict may
have sources alone.
"""

import re
from typing import Any, Dict, NamedTuple, Optional

from albert_zh.common.errors import UserError
from albert_zh.tasks import input_examples
from albert_zh.tasks import rows as row_files

EXPECTED = "a source, a TAB and a target in each line, or JSON lines with source and target"
KEYS = {
    "text_a": (
        "source src text_a text content abstract body article question query input 原文 正文 内容 "
        "摘要 问题 文本"
    ).split(),
    "label": (
        "target tgt title headline summary reply response answer output 标题 题目 回复 回答 答案"
    ).split(),
}


_NAME = re.compile(r"[a-z_][a-z0-9_]*$")


class GenerationExample(NamedTuple):
    """A row: the fields of `InputExample`.

    Fields:
        guid: split and position in it.
        text_a: the source.
        text_b: None.
        label: the target; None where it is not known.
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
        name: "train", "dev" or "test"; only of a test file targets may be missing.
        chosen: {"text_a" or "label": name or position from 1} of columns that flags name.
        encoding: of the file.
        skip_bad_rows: leave rows out that don't fit (counted in the notes) rather than stop.

    Returns:
        `input_examples.Split` of `GenerationExample`.

    Raises:
        UserError: if the file is missing, empty or does not fit; names the line.
    """
    table = row_files.Table(path, encoding)
    filled, notes = row_files.filled_rows(table)
    columns, filled = _columns(path, filled, chosen, table.is_json, name == "test")
    needs_targets = name != "test" or any(
        not _is_blank(_cell(row, columns["label"])) for row in filled
    )
    examples, bad = [], []
    for row in filled:
        try:
            examples.append(_example(row, columns, needs_targets))
        except ValueError as error:
            bad.append((row.line, error))
    notes += row_files.bad_row_notes(path, bad, skip_bad_rows, EXPECTED)
    if not examples:
        raise UserError("%s has no row that fits: expected %s" % (path, EXPECTED))
    examples = [
        example._replace(guid="%s-%d" % (name, number))
        for number, example in enumerate(examples, start=1)
    ]
    return input_examples.Split(
        name, path, examples, needs_targets, notes, ("text_a", "label"), (), table.sha256()
    )


def _columns(path, rows, chosen, is_json, may_lack_targets):
    """({column: index or keys; None for a column that is not there}, rows without a header)."""
    if is_json:
        keys = {column: [chosen[column]] if column in chosen else KEYS[column] for column in KEYS}
        return keys, rows
    names = [cell.strip().lower().lstrip("\ufeff") for cell in rows[0].cells] if rows else []
    by_name = {
        column: names.index(name)
        for column, keys in KEYS.items()
        for name in reversed(keys)
        if name in names
    }
    has_header = (
        len(by_name) == len(KEYS)
        or any(c.lower() in names for c in chosen.values())
        or (may_lack_targets and "text_a" in by_name and all(map(_is_name, names)))
    )
    usual = by_name if len(by_name) == len(KEYS) else {"text_a": 0, "label": 1}
    if has_header and may_lack_targets:
        usual = {"text_a": by_name.get("text_a", 0), "label": by_name.get("label")}
    columns = {c: _index(path, chosen[c], names) if c in chosen else usual[c] for c in KEYS}
    return columns, rows[1:] if has_header else rows


def _is_name(cell):
    """Whether a cell of the first line looks like a column's name, and not like text."""
    return _NAME.match(cell) is not None or any(cell in keys for keys in KEYS.values())


def _index(path, column, names):
    if column.lower() in names:
        return names.index(column.lower())
    if column.isdigit() and int(column) > 0:
        return int(column) - 1
    raise UserError(
        "%s: no column %r in its header: expected a name of its first line or a position from 1"
        % (path, column)
    )


def _cell(row, column):
    """The text of a column (an index, or keys of a JSON object); None without it."""
    if isinstance(row.cells, dict):
        texts = [row.cells[key] for key in column if row.cells.get(key) is not None]
        return texts[0] if texts else None
    is_there = isinstance(column, int) and column < len(row.cells)
    return row.cells[column] if is_there else None


def _is_blank(text):
    return text is None or (isinstance(text, str) and not text.strip())


def _example(row, columns, needs_target):
    """The example of a row; `ValueError` says what is wrong."""
    if row.problem:
        raise ValueError(row.problem)
    source = _text(_cell(row, columns["text_a"]), "source")
    target = _cell(row, columns["label"])
    if _is_blank(target) and not needs_target:
        return GenerationExample("", source, row_id=row.line)
    if target is None and not isinstance(row.cells, dict):
        raise ValueError("it has no TAB and no target")
    return GenerationExample("", source, label=_text(target, "target"), row_id=row.line)


def _text(text, which):
    if not isinstance(text, str) or not text.strip().lstrip("\ufeff"):
        raise ValueError("its %s is empty or no text" % which)
    return " ".join(text.lstrip("\ufeff").split())
