"""Finds the columns or keys of a file that hold its sources and targets.

    form, rows = form_of("titles/train.tsv", rows, chosen={}, is_json=False, may_lack_targets=False)
    form.cell(rows[0], "text_a")

Both are named by a header (`KEYS`) or by flags; other tables must have two columns. An ambiguous
file is rejected: the user has to decide what the model should generate.
"""

from collections import OrderedDict
import re
from typing import Any, Dict, List, NamedTuple, Optional, Tuple

from albert_zh.common.errors import UserError
from albert_zh.tasks.tables.label_rules import shortened
from albert_zh.tasks.tables.named_columns import NOT_TEXTS

KEYS = {
    "text_a": (
        "source src text_a text content abstract abst body article question query input "
        "instruction 原文 正文 内容 摘要 问题 文本 新闻内容 文章内容"
    ).split(),
    "label": (
        "target tgt title headline summary reply response answer output 标题 题目 回复 回答 答案 "
        "新闻标题 文章标题"
    ).split(),
}
_WHICH = {"text_a": "source", "label": "target"}
_FLAGS = {"text_a": "--text_column", "label": "--label_column"}
_INSTRUCTIONS = ("instruction", "input")  # JSON keys of an instruction and its input
_UNMISTAKABLE = ("source", "src", "target", "tgt")
_NAME = re.compile(r"[a-z_][a-z0-9_]*$")


class Form(NamedTuple):
    """The columns of the sources and targets of a file.

    Fields:
        columns: {"text_a" or "label": index of a column, keys of a JSON object, or None for a
            missing column}.
        width: the maximum number of cells in a row; None for any number.
        unused: names of columns that are neither.
    """

    columns: Dict[str, Any]
    width: Optional[int] = None
    unused: Tuple[str, ...] = ()

    def cell(self, row: Any, which: str) -> Optional[str]:
        """The text of a row in a column; None if it has none.

        Raises:
            ValueError: if several keys of a JSON object could be meant.
        """
        column = self.columns[which]
        if isinstance(row.cells, dict):
            there = [key for key in column or () if row.cells.get(key) is not None]
            if sorted(there, reverse=True) == list(_INSTRUCTIONS):
                return _joined([row.cells[key] for key in _INSTRUCTIONS])
            return row.cells[_only(there, which)] if there else None
        is_there = column is not None and column < len(row.cells)
        return row.cells[column] if is_there else None

    def check_width(self, row: Any) -> None:
        """Raises `ValueError` for a row with more cells than the file has columns."""
        if self.width is not None and any(row.cells[self.width :]):
            raise ValueError(
                "it has %d columns, expected %d (or name two by --text_column and --label_column)"
                % (len(row.cells), self.width)
            )


def _joined(texts):
    """An instruction and its input as one text; the first value that is not a text, if any."""
    wrong = [text for text in texts if not isinstance(text, str)]
    return wrong[0] if wrong else " ".join(filter(None, texts))


def form_of(
    path: str, rows: List[Any], chosen: Dict[str, str], is_json: bool, may_lack_targets: bool
) -> Tuple[Form, List[Any]]:
    """(`Form` of a file, its rows without a header).

    Args:
        path: the file.
        rows: `rows.Row`s.
        chosen: {"text_a" or "label": name or position from 1} of columns that flags name.
        is_json: whether rows are JSON objects.
        may_lack_targets: whether the file may have sources without targets.

    Raises:
        UserError: for a first line that names columns, but not the required ones.
    """
    if is_json:
        return _form_of_json(path, rows, chosen, may_lack_targets), rows
    names = [cell.strip().lower().lstrip("\ufeff") for cell in rows[0].cells] if rows else []
    is_chosen = any(name.lower() in names for name in chosen.values())
    has_header = is_chosen or any(name in names for keys in KEYS.values() for name in keys)
    try:
        columns = {which: _chosen_index(names, name) for which, name in chosen.items()}
        _check_are_two(columns)
        if not has_header:
            width = None if chosen else len(KEYS)
            return Form(_without_header(names, columns, may_lack_targets), width), rows
        has_names_alone = is_chosen or all(map(_is_name, names))
        columns = _of_header(names, columns, may_lack_targets and has_names_alone)
    except ValueError as error:
        line = rows[0].line if rows else 1
        raise UserError("%s, line %d: %s" % (path, line, error)) from error
    unused = [name for index, name in enumerate(names) if index not in columns.values()]
    return Form(columns, len(names), _without_ids(unused)), rows[1:]


def _check_are_two(columns):
    if len(set(columns.values())) < len(columns):
        raise ValueError("--text_column and --label_column name the same column: name two")


def _form_of_json(path, rows, chosen, may_lack_targets):
    """The `Form` of JSON objects."""
    try:
        _check_are_two(chosen)
    except ValueError as error:
        raise UserError("%s: %s" % (path, error)) from error
    records = [row.cells for row in rows if isinstance(row.cells, dict)]
    names = list(OrderedDict.fromkeys(name for record in records for name in record))
    rest = [name for name in names if name not in chosen.values()]
    keys = {which: [name] for which, name in chosen.items()}
    for which in [which for which in KEYS if which not in chosen]:
        is_needed = which == "text_a" or not may_lack_targets
        left = _left_by_flag(rest, is_needed) if chosen else []
        keys[which] = [name for name in KEYS[which] if name in rest] or left
    if records and not keys["text_a"]:
        raise UserError(
            "%s has no source: it has the keys %s: name the texts source and target, or by "
            "--text_column=KEY --label_column=KEY" % (path, shortened(", ".join(names), 200))
        )
    used = [name for of_text in keys.values() for name in of_text]
    return Form(keys, unused=_without_ids(name for name in names if name not in used))


def _without_header(names, columns, may_lack_targets):
    """`Form.columns` of a table without a header, some of which flags name."""
    missing = [which for which in KEYS if which not in columns]
    if len(missing) != 1:
        return columns or {"text_a": 0, "label": 1}
    if may_lack_targets and len(names) == 1 and missing == ["text_a"]:
        return {"text_a": 0, "label": None}
    width = max([index for index, name in enumerate(names, start=1) if name] + [len(KEYS)])
    left = [index for index in range(width) if index not in columns.values()]
    if len(left) == 1:
        return dict(columns, **{missing[0]: left[0]})
    if may_lack_targets and missing == ["label"]:
        return dict(columns, label=None)
    raise ValueError(
        "it has %d columns, of which a flag names only one: name the %s, too, by %s"
        % (width, _WHICH[missing[0]], _FLAGS[missing[0]])
    )


def _of_header(names, columns, may_lack_targets):
    """`Form.columns` by the names of a header, in addition to columns that flags name."""
    rest = [None if index in columns.values() else name for index, name in enumerate(names)]
    found = dict(columns)
    for which in [which for which in KEYS if which not in columns]:
        is_needed = which == "text_a" or not may_lack_targets
        left = _left_by_flag(rest, is_needed) if columns else []
        usual = [name for name in KEYS[which] if name in rest] or left
        is_there = usual or is_needed
        found[which] = _usual_index(rest, usual, which) if is_there else None
    return found


def _left_by_flag(rest, is_needed):
    """[the only name that is left if a flag names the other text], or [] if it is not unique.

    Args:
        rest: names of the columns that the flag does not name, and None for the others.
        is_needed: whether any name is allowed, not only one of `KEYS`.
    """
    names = _without_ids(rest)
    is_text = is_needed or any(name in keys for name in names for keys in KEYS.values())
    return list(names) if len(names) == 1 and is_text else []


def _without_ids(names):
    return tuple(name for name in names if name and name not in NOT_TEXTS)


def _chosen_index(names, column):
    """The index of a column that a flag names."""
    if column.lower() in names:
        return _index(names, column.lower())
    if column.isdigit() and int(column) > 0:
        return int(column) - 1
    raise ValueError(
        "no column %r in its header: expected a name of the first line or a position from 1"
        % column
    )


def _usual_index(names, usual, which):
    """Index of a header's column for sources or targets; `names`: None for columns of flags."""
    if usual:
        return _index(names, _only(usual, which))
    found = ", ".join([name for name in names if name][:5])
    raise ValueError(
        "found the columns %s, none of which is a known name of a %s (%s, ...): name it by %s, "
        "or both columns by their positions"
        % (found, _WHICH[which], ", ".join(KEYS[which][:4]), _FLAGS[which])
    )


def _index(names, name):
    if names.count(name) > 1:
        raise ValueError("found the column %s twice: name one by its position" % name)
    return names.index(name)


def _only(names, which):
    """The one of several names that is meant; raises `ValueError` if it is ambiguous."""
    if len(names) > 1 and names[0] not in _UNMISTAKABLE:
        raise ValueError(
            "%s may each be the %s: name one of them by %s"
            % (" and ".join(names), _WHICH[which], _FLAGS[which])
        )
    return names[0]


def _is_name(cell):
    """Whether a cell of the first line looks like the name of a column rather than a text."""
    return _NAME.match(cell) is not None or any(cell in keys for keys in KEYS.values())
