"""Which columns or keys of a file are its sources and targets.

    form, rows = form_of("titles/train.tsv", rows, chosen={}, is_json=False, may_lack_targets=False)
    form.cell(rows[0], "text_a")

A header names both of them (`KEYS`), or the flags do; other tables have two columns. Where a file
can be read in two ways it is refused: what a model is to write is its user's choice.
"""

from collections import OrderedDict
import re
from typing import Any, Dict, List, NamedTuple, Optional, Tuple

from albert_zh.common.errors import UserError
from albert_zh.tasks.named_columns import NOT_TEXTS

KEYS = {
    "text_a": (
        "source src text_a text content abstract body article question query input instruction "
        "原文 正文 内容 摘要 问题 文本 新闻内容 文章内容"
    ).split(),
    "label": (
        "target tgt title headline summary reply response answer output 标题 题目 回复 回答 答案 "
        "新闻标题 文章标题"
    ).split(),
}
_WHICH = {"text_a": "source", "label": "target"}
_FLAGS = {"text_a": "--text_column", "label": "--label_column"}
_INSTRUCTIONS = ("instruction", "input")  # JSON's keys of an instruction and what it is about
_UNMISTAKABLE = ("source", "src", "target", "tgt")
_NAME = re.compile(r"[a-z_][a-z0-9_]*$")


class Form(NamedTuple):
    """Where the sources and targets of a file stand.

    Fields:
        columns: {"text_a" or "label": index of a column, keys of a JSON object, or None for a
            column that is not there}.
        width: the most cells of a row; None for any number.
        unused: names of columns that are neither.
    """

    columns: Dict[str, Any]
    width: Optional[int] = None
    unused: Tuple[str, ...] = ()

    def cell(self, row: Any, which: str) -> Optional[str]:
        """The text of a row in a column; None without it.

        Raises:
            ValueError: if several keys of a JSON object may be meant.
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
        """Raises `ValueError` for a row of more cells than the file has columns."""
        if self.width is not None and any(row.cells[self.width :]):
            raise ValueError(
                "it has %d columns, expected %d (or name two by --text_column and --label_column)"
                % (len(row.cells), self.width)
            )


def _joined(texts):
    """An instruction and what it is about as one text; what is no text goes on as it is."""
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
        may_lack_targets: whether the file may have sources alone.

    Raises:
        UserError: for a first line that names columns, but not those that are needed.
    """
    if is_json:
        keys = {which: [chosen[which]] if which in chosen else KEYS[which] for which in KEYS}
        return Form(keys, unused=_unused_keys(rows, keys)), rows
    names = [cell.strip().lower().lstrip("\ufeff") for cell in rows[0].cells] if rows else []
    usual = {which: [name for name in KEYS[which] if name in names] for which in KEYS}
    is_chosen = any(name.lower() in names for name in chosen.values())
    has_header = is_chosen or any(usual.values())
    try:
        columns = {which: _chosen_index(names, name) for which, name in chosen.items()}
        if len(set(columns.values())) < len(columns):
            raise ValueError("--text_column and --label_column name the same column: name two")
        if not has_header:
            width = None if chosen else len(KEYS)
            return Form({"text_a": 0, "label": 1, **columns}, width), rows
        has_names_alone = is_chosen or all(map(_is_name, names))
        needed = ["text_a"] if may_lack_targets and has_names_alone else list(KEYS)
        for which in [which for which in KEYS if which not in columns]:
            is_there = usual[which] or which in needed
            columns[which] = _usual_index(names, usual, which) if is_there else None
    except ValueError as error:
        line = rows[0].line if rows else 1
        raise UserError("%s, line %d: %s" % (path, line, error)) from error
    unused = [name for index, name in enumerate(names) if index not in columns.values()]
    return Form(columns, len(names), _without_ids(unused)), rows[1:]


def _unused_keys(rows, keys):
    """Names of the keys of JSON objects that are neither sources nor targets."""
    records = [row.cells for row in rows if isinstance(row.cells, dict)]
    names = OrderedDict.fromkeys(name for record in records for name in record)
    return _without_ids(name for name in names if name not in keys["text_a"] + keys["label"])


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
    """The index of a header's column for sources or targets."""
    if usual[which]:
        return _index(names, _only(usual[which], which))
    raise ValueError(
        "found the columns %s, none with the name of a %s (%s, ...): name it by %s, or both "
        "columns by their positions"
        % (", ".join(names[:5]), _WHICH[which], ", ".join(KEYS[which][:4]), _FLAGS[which])
    )


def _index(names, name):
    if names.count(name) > 1:
        raise ValueError("found the column %s twice: name one by its position" % name)
    return names.index(name)


def _only(names, which):
    """The one of several names that is meant; `ValueError` if that is not certain."""
    if len(names) > 1 and names[0] not in _UNMISTAKABLE:
        raise ValueError(
            "%s may each be the %s: name one of them by %s"
            % (" and ".join(names), _WHICH[which], _FLAGS[which])
        )
    return names[0]


def _is_name(cell):
    """Whether a cell of the first line looks like a column's name, and not like text."""
    return _NAME.match(cell) is not None or any(cell in keys for keys in KEYS.values())
