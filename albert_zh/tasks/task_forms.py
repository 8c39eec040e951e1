"""The form of a task's files: columns, labels, and the known names of columns."""

import collections
import re
import sys
from typing import Any, List, Sequence

SEPARATOR = "|"  # the default separator between the labels of a multi-label row
# Known names of columns in a header, or of keys in JSON lines; case does not matter.
KEYS = {
    "text_a": (
        "text_a text sentence title text1 text_1 sentence1 sentence_1 sentence_a sent1 question "
        "question1 question_1 query query1 query_1 q1 s1 content review review_body comment "
        "comments body document utterance tweet message premise 文本 句子 标题 内容 正文 评论 评价 "
        "问题 问句 语句 原文 文章 微博内容 微博中文内容 文本一 文本1 句子一 句子1 问题一 问题1"
    ).split(),
    "text_b": (
        "text_b text2 text_2 sentence2 sentence_2 sentence_b sent2 question2 question_2 query2 "
        "query_2 q2 s2 hypothesis hypo 文本二 文本2 句子二 句子2 问题二 问题2"
    ).split(),
    "label": (
        "label labels class category target score similarity gold_label sentiment emotion intent "
        "rating star stars tag tags is_duplicate 标签 类别 分类 情感 情绪 意图 主题 类型 评分 星级 "
        "标记 相似度 情感倾向"
    ).split(),
}
# The flags that choose the columns: by name in a header, by key, or by position from 1.
COLUMN_FLAGS = collections.OrderedDict(
    [("text_a", "text_column"), ("text_b", "text_b_column"), ("label", "label_column")]
)
Task = collections.namedtuple(
    "Task",
    "files columns labels keys aliases examples_of is_left_out objective separator header chosen "
    "head annotator finds_words",
    defaults=({}, {}, None, None, "single_label", SEPARATOR, None, {}, {}, None, False),
)
Task.__doc__ = """A task: the form of a data set. The built-in tasks are in `datasets.TASKS`.

Fields:
    files: {split: name of its file, or several names, best first}.
    columns: the columns of a row, in order: "text_a", "text_b", "label", None for unused.
    labels: the possible labels, class 0 first; None: the labels in the training file.
    keys: {column: its names in a header or in JSON lines} in addition to `KEYS`.
    aliases: {other spelling of a label: label}.
    examples_of: function of a record {key: value} -> list of {column: value}, for records that are
        not plain rows.
    is_left_out: function of a record -> bool, whether it is skipped.
    objective: name of its kind, see `registry`.
    separator: the separator between the labels of a multi-label row.
    header: own data only: the header of the training file, a tuple; () for none.
    chosen: {column: its name or position} as chosen by the flags in `COLUMN_FLAGS`.
    head: `Settings.head` of the run or model, for kinds whose features or scores depend on it.
    annotator: `slots.dictionaries.Annotator` of a model with dictionaries, or None.
    finds_words: labelling only: whether the spans are words, which have no type.
"""
PAIR = ("text_a", "text_b", "label")
# Labels, in lower case, which say that the two texts of a pair mean the same.
SAME_MEANING = frozenset(
    "1 true yes y same similar duplicate paraphrase equivalent entailment "
    "是 相同 相似 同义 匹配 一致".split()
)
_LIKE_A_NAME = re.compile(
    r".{0,6}(问题|问句|标准问|相似问|内容|标题|文本|句子|答案|回复|摘要|正文|quer(y|ies)|questions?|texts?|"
    r"titles?|answers?|sentences?)[ _-]?\w{0,2}$",
    re.I,
)


def note_of_first_row(cells: Sequence[str], names: str) -> List[str]:
    """A note if the first row of a file without a known header looks like a header.

    Args:
        cells: the cells of that row.
        names: names that its columns could have, for the note.
    """
    if not all(_LIKE_A_NAME.match(cell.strip()) for cell in cells):
        return []
    return [taken_for_row(cells, names)]


def taken_for_row(cells: Sequence[str], names: str) -> str:
    """A note that row 1 is read like any other row; same arguments as `note_of_first_row`."""
    return "line 1 is treated as a row (%s): if it is a header, name its columns %s" % (
        " | ".join(cells),
        names,
    )


def say_header(place: str, line: str, header: Sequence[str] = (), done: str = "predicted") -> None:
    """Prints a note to standard error if the first line of input texts looks like a header.

    Args:
        place: file and line, for the note.
        line: the line, with tabs between cells.
        header: the header of the training file.
        done: what is done with each line, for the note.
    """
    cells = [cell.strip().lower() for cell in line.split("\t")]
    names = {name.lower() for name in header}.union(*KEYS.values())
    if names.issuperset(cells):
        print(
            "note: %s looks like a header (%s), but is %s like any other line: remove it if it is "
            "one (tail -n +2)" % (place, " | ".join(cells), done),
            file=sys.stderr,
        )


def counted_from_one(names: Sequence[str]) -> List[str]:
    """Renumbers names that count from 0, such as sent0 and sent1, to count from 1.

    Args:
        names: names of columns or keys, in lower case.
    """
    renamed = {}
    for name in names:
        stem = name[:-1]
        if name == stem + "0" and stem + "1" in names and stem + "2" not in names:
            renamed.update({name: stem + "1", stem + "1": stem + "2"})
    return [renamed.get(name, name) for name in names]


def columns_of_same_meaning(labels: Sequence[str]) -> List[int]:
    """Indices of the labels which say that the two texts of a pair mean the same."""
    return [number for number, label in enumerate(labels) if label.lower() in SAME_MEANING]


def is_pair(task: Any) -> bool:
    """Whether the task's examples have two texts."""
    return "text_b" in task.columns
