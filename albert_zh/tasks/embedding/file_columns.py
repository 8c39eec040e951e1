"""Finds the table columns or JSON keys that hold a row's texts, its negatives and its score.

columns_of(["标准问", "相似问1", "相似问2"])  # {"text_a": [1, 2], "text_b": [0]}
"""

import functools
import itertools
import re
from typing import Any, Container, Dict, List, Optional, Sequence, Tuple

from albert_zh.tasks import task_forms
from albert_zh.tasks.tables import named_columns
from albert_zh.tasks.tables.label_rules import shortened

_SIMILAR = ["相似问", "相似问题", "相似问法"]
_ENTRIES = ["标准问", "标准问题"]  # entries of an FAQ, next to similar questions
# Names of columns that a row may have several times, with numbers (相似问1, negative_2).
_SEVERAL = {
    "text_a": ["anchor", "origin", "用户问", "用户问题", *_SIMILAR],
    "text_b": "positive positives pos passage entry entailment answer reply response 标准问 "
    "标准问题 答案 回答 回复 答复 解答 正例 正样本".split(),
    "negatives": "negative negatives neg negs hard_neg hard_negs hard_negative hard_negatives "
    "contradiction 负例 负样本 难负例".split(),
}
KEYS = {
    "text_a": task_forms.KEYS["text_a"]
    + ["anchor", "origin", "query", "用户问", "用户问题", *_SIMILAR],
    "text_b": task_forms.KEYS["text_b"] + _SEVERAL["text_b"],
    "negatives": _SEVERAL["negatives"],
    "score": task_forms.KEYS["label"] + "similarity is_best 分数 得分 相关性 相关度".split(),
    "margin": ["margin"] + task_forms.KEYS["label"],
}
_TEXTS = ("text_a", "text_b")
_KNOWN_TEXTS = frozenset(itertools.chain(*(KEYS[column] for column in _TEXTS)))
_NUMBERED = re.compile(r"(.*?)[_ -]?\d+$")


def columns_of(names: Sequence[str]) -> Dict[str, List[int]]:
    """The positions of each column in a list of names.

    Args:
        names: names of a header, in lower case, or the keys of an object.

    Returns:
        {column: positions}: several positions for numbered texts and for negatives; columns that
        are not among the names are missing.
    """
    return {column: list(indices) for column, indices in _columns_of(tuple(names))}


@functools.lru_cache(maxsize=1024)  # files of JSON lines have few kinds of objects
def _columns_of(names):
    """`columns_of`, as a tuple of (column, positions)."""
    found = {column: _indices(names, column) for column in KEYS}
    found.update((column, [names.index(name)]) for column, name in _answered(names).items())
    similar = [index for index, name in enumerate(names) if _stem(name) in _SIMILAR]
    if similar and found["text_a"] and not found["text_b"] and found["text_a"][0] not in similar:
        found.update(text_a=similar, text_b=found["text_a"])
    return tuple((column, tuple(indices)) for column, indices in found.items() if indices)


def columns_beside_score(names: Sequence[str]) -> Dict[str, List[int]]:
    """The columns of a header with a score and two texts whose names are unknown.

    Args:
        names: names of the header, in lower case.

    Returns:
        the same as `columns_of`, with the texts in their order; {} for any other header.
    """
    known = columns_of(names)
    if len(names) != 3 or "score" not in known or set(known) - {"score", "margin"}:
        return {}
    texts = [index for index in range(len(names)) if index not in known["score"]]
    return {"text_a": texts[:1], "text_b": texts[1:], "score": known["score"]}


def _indices(names, column):
    """The positions of a column's names."""
    several = _SEVERAL.get(column, ())
    if column == "negatives":
        return [index for index, name in enumerate(names) if _stem(name) in several]
    known = next((name for name in KEYS[column] if name in names), None)
    stems = [_stem(name) for name in names]
    stem = (
        next((stem for stem in stems if stem in several), None) if known is None else _stem(known)
    )
    if stem in several:
        return [index for index, other in enumerate(stems) if other == stem]
    return [] if known is None else [names.index(known)]


def _stem(name):
    """A name without its number."""
    numbered = _NUMBERED.match(name)
    return numbered.group(1) if numbered else name


def _answered(names):
    """{column: name} of a question and the text that answers it, such as query and title."""
    if any(name in names for name in KEYS["text_b"]):
        return {}
    question = next((name for name in named_columns.QUESTIONS if name in names), None)
    beside = [name for name in named_columns.BESIDE_QUESTIONS if name in names]
    return {"text_a": question, "text_b": beside[0]} if question and beside else {}


def notes_of_unused(names: Sequence[str], used: Any, what: str = "columns") -> List[str]:
    """A list with the note on columns or keys that are not read; empty if all are read.

    Args:
        names: names of all columns or keys.
        used: positions of the names that are read.
        what: what the names are, in words.
    """
    unused = [name for index, name in enumerate(names) if index not in used]
    return ["%s that are not used: %s" % (what, shortened(", ".join(unused)))] * bool(unused)


def notes_of_unused_keys(records: Sequence[Dict[str, Any]]) -> List[str]:
    """A list with the note on keys that are not read from any of the JSON objects."""
    used: Dict[str, bool] = {}
    for record in records:
        names = list(record)
        read = set(itertools.chain(*columns_of(names).values()))
        for index, name in enumerate(names):
            used[name] = used.get(name, False) or index in read
    return notes_of_unused(
        list(used), [i for i, is_used in enumerate(used.values()) if is_used], "keys"
    )


def notes_of_first_row(cells: Sequence[str]) -> List[str]:
    """A list with a note if the first row of a table is read as texts but may be a header."""
    names = [cell.strip().lower() for cell in cells[: len(_TEXTS)]]
    if _KNOWN_TEXTS.intersection(names):
        return [task_forms.taken_for_row(cells, ", ".join(_TEXTS))]
    return task_forms.note_of_first_row(cells, ", ".join(_TEXTS))


def name_of_single_texts(names: Container[str]) -> Optional[str]:
    """The one of some names that denotes the texts in a file of single texts; or None."""
    known = (*_ENTRIES, *KEYS["text_a"], *KEYS["text_b"])
    return next((name for name in known if name in names), None)


def numbered_texts(indices: Sequence[int], width: int) -> Tuple[Any, ...]:
    """Positions of negatives, and all cells beyond the header if its last column is a negative."""
    beyond = (slice(width, None),) if indices and indices[-1] == width - 1 else ()
    return (*indices, *beyond)
