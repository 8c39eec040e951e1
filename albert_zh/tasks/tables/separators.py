"""Whether another mark than a file's delimiter separates its columns."""

import collections
import re
from typing import Any, Optional

MOST = 0.9  # share of lines that a mark cuts into equally many cells, so that it may separate them
_FASTTEXT = re.compile(r"__label__\S+ ")  # its files: the label, then words with blanks between
_ABOUT_FASTTEXT = (
    "its lines are fastText's: write them as text<tab>label, sed -E "
    "':a;s/^(__label__\\S+) +__label__(\\S+)/\\1|\\2/;ta;s/^__label__(\\S+) +(.*)/\\2\\t\\1/'"
)
_SEPARATORS = ("\t", "_!_", "||", ",", ";", "，", "；", "|", " ")  # that users put between columns


def other_separator(table: Any, rows: Any) -> Optional[str]:
    """What to do where another mark than the file's delimiter seems to separate; None if none."""
    if table.is_json:
        return None
    lines = [table.delimiter.join(row.cells).strip() for row in rows]
    if sum(map(bool, map(_FASTTEXT.match, lines))) >= MOST * len(lines):
        return _ABOUT_FASTTEXT
    widths = collections.Counter(len(row.cells) for row in rows)
    usual, num_usual = widths.most_common(1)[0]  # commas of quoted texts separate nothing
    if usual > 1 and num_usual >= MOST * len(rows):
        return None
    marks = [mark for mark in _SEPARATORS if _may_separate(lines, mark)]
    if not marks:
        return None
    # Full-width marks are punctuation of the texts rather.
    mark = max(marks, key=lambda m: (_has_labels(lines, m), m < "\x7f"))
    way_out = "put %s there" % ("tabs" if table.delimiter == "\t" else "commas")
    if mark == "," and not table.path.endswith(".csv"):
        way_out += ", or name the file .csv"
    observation = "most lines have %r as often"
    if max(len(row.cells) for row in rows) == 1:
        lines_meant = "each line" if len(rows) > 1 else "line %d" % rows[0].line
        observation = lines_meant + " has one column and %r in it"
    return "%s: if that separates columns, %s" % (observation % mark, way_out)


def expected_instead(expected: str, table: Any, rows: Any, bad: Any) -> str:
    """What rows are expected to be; with `other_separator` where most of them are bad."""
    mark = other_separator(table, rows) if 2 * len(bad) > len(rows) else None
    return "%s (%s)" % (expected, mark) if mark else expected


def _may_separate(lines, mark):
    """Whether a mark cuts most lines into equally many cells, or labels off their texts."""
    num_cut = sum(mark in line for line in lines)
    is_usual = mark != " " and _share_of_usual_count(lines, mark) >= MOST
    return num_cut >= MOST * len(lines) and (is_usual or mark == " " or _has_labels(lines, mark))


def _has_labels(lines, mark):
    """Whether what stands before the first or behind the last of a mark are a few values."""
    ends = [line.split(mark)[end] for end in (0, -1) for line in lines]
    counts = [len(set(ends[: len(lines)])), len(set(ends[len(lines) :]))]
    return any(2 <= count <= len(lines) / 2 for count in counts)


def _share_of_usual_count(lines, mark):
    """The share of lines that a mark cuts into the usual number of cells; 0 if that is one."""
    counts = collections.Counter(line.count(mark) for line in lines)
    usual, num_lines = counts.most_common(1)[0]
    return num_lines / len(lines) if usual else 0


def one_line(text: str) -> str:
    """A text in one cell of one line."""
    return text if text.isprintable() else " ".join(text.split())
