"""Detects whether another mark than the expected delimiter separates a file's columns."""

import collections
import re
from typing import Any, Optional

MOST = 0.9  # a mark may be a separator if it splits this share of lines into equally many cells
_FASTTEXT = re.compile(r"__label__\S+ ")  # fastText files: the label, then words between blanks
_ABOUT_FASTTEXT = (
    "its lines are fastText's: write them as text<tab>label, sed -E "
    "':a;s/^(__label__\\S+) +__label__(\\S+)/\\1|\\2/;ta;s/^__label__(\\S+) +(.*)/\\2\\t\\1/'"
)
_SEPARATORS = ("\t", "_!_", "||", ",", ";", "，", "；", "|", " ")  # used between columns


def other_separator(table: Any, rows: Any) -> Optional[str]:
    """Advice if another mark than the file's delimiter seems to separate columns; or None."""
    if table.is_json:
        return None
    lines = [table.delimiter.join(row.cells).strip() for row in rows]
    if sum(map(bool, map(_FASTTEXT.match, lines))) >= MOST * len(lines):
        return _ABOUT_FASTTEXT
    widths = collections.Counter(len(row.cells) for row in rows)
    usual, num_usual = widths.most_common(1)[0]  # commas in quoted texts do not separate
    if usual > 1 and num_usual >= MOST * len(rows):
        return None
    marks = [mark for mark in _SEPARATORS if _may_separate(lines, mark)]
    if not marks:
        return None
    # Full-width marks are more likely to be punctuation of the texts.
    mark = max(marks, key=lambda m: (_has_labels(lines, m), m < "\x7f"))
    way_out = "put %s there" % ("tabs" if table.delimiter == "\t" else "commas")
    if mark == "," and not table.path.endswith(".csv"):
        way_out += ", or name the file .csv"
    observation = "most lines contain %r equally often"
    if max(len(row.cells) for row in rows) == 1:
        lines_meant = "each line" if len(rows) > 1 else "line %d" % rows[0].line
        observation = lines_meant + " has one column and %r in it"
    return "%s: if that separates columns, %s" % (observation % mark, way_out)


def expected_instead(expected: str, table: Any, rows: Any, bad: Any) -> str:
    """The description of valid rows, plus `other_separator` if most rows are malformed."""
    mark = other_separator(table, rows) if 2 * len(bad) > len(rows) else None
    return "%s (%s)" % (expected, mark) if mark else expected


def _may_separate(lines, mark):
    """Whether a mark splits most lines into equally many cells, or into labels and texts."""
    num_cut = sum(mark in line for line in lines)
    is_usual = mark != " " and _share_of_usual_count(lines, mark) >= MOST
    return num_cut >= MOST * len(lines) and (is_usual or mark == " " or _has_labels(lines, mark))


def _has_labels(lines, mark):
    """Whether the parts before the first or after the last mark of a line have few values."""
    ends = [line.split(mark)[end] for end in (0, -1) for line in lines]
    counts = [len(set(ends[: len(lines)])), len(set(ends[len(lines) :]))]
    return any(2 <= count <= len(lines) / 2 for count in counts)


def _share_of_usual_count(lines, mark):
    """The share of lines that a mark splits into the usual number of cells; 0 if it is one."""
    counts = collections.Counter(line.count(mark) for line in lines)
    usual, num_lines = counts.most_common(1)[0]
    return num_lines / len(lines) if usual else 0


def one_line(text: str) -> str:
    """A text as one line, for one cell."""
    return text if text.isprintable() else " ".join(text.split())
