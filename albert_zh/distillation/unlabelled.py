"""Texts without labels, of files that the user names."""

import collections
import fnmatch
import hashlib
from typing import Any, Iterable, List, NamedTuple, Sequence

from albert_zh.common import files, storage
from albert_zh.common.errors import UserError, naming
from albert_zh.tasks.tables import text_groups

_MARKS_OF_PATTERNS = "*?["
_REPLACED = "\ufffd"  # what stands for bytes that could not be read


class Unlabelled(NamedTuple):
    """What was read.

    Fields:
        examples: without labels, each text once.
        sha256: digest of the files.
        lines: for the user.
    """

    examples: List[Any]
    sha256: str
    lines: List[str]


def read_unlabelled(
    patterns: Sequence[str],
    kind: Any,
    task: Any,
    encoding: str,
    labelled: Sequence[Any],
    held_out: Iterable[Any],
    flag: str = "unlabelled_file",
    is_symmetric: bool = False,
) -> Unlabelled:
    """Reads files of texts, in the form of the task's test file; labels are dropped.

    Args:
        patterns: file names, or patterns of them.
        kind: the kind of task.
        task: `task_forms.Task`.
        encoding: of the files.
        labelled: training rows: the same texts are left out.
        held_out: dev and test rows: the same texts are reported.
        flag: that named the files.
        is_symmetric: whether a pair the other way round is the same.

    Raises:
        UserError: if there is no such file, or no text in it.
    """
    paths = _paths(patterns, flag)
    seen = {_key(example) for example in labelled}
    examples, counts, digest = [], collections.Counter(), hashlib.sha256()
    first_problem = ""
    for path in paths:
        sha256 = storage.sha256_of_file(path)
        digest.update(sha256.encode())
        with naming("--" + flag):
            rows, has_bad_bytes = _rows_of(path, kind, task, encoding)
            if storage.sha256_of_file(path) != sha256:
                raise UserError("%s: was changed while it was read: start again" % path)
        for example, problem in rows:
            if has_bad_bytes and example and _REPLACED in _joined(example):
                counts["with bytes that are no %s text" % (encoding or "utf-8").upper()] += 1
                continue
            why = _why_left_out(example, problem, seen)
            if why:
                counts[why] += 1
                first_problem = first_problem or problem or ""
                continue
            seen.add(_key(example))
            if is_symmetric:
                seen.add(_key(example._replace(text_a=example.text_b, text_b=example.text_a)))
            examples.append(example._replace(label=None, guid="unlabelled-%d" % len(examples)))
    if not examples:
        raise _no_text("--%s=%s" % (flag, ",".join(patterns)), counts, first_problem)
    lines = ["unlabelled: %d rows of %d files" % (len(examples), len(paths))]
    lines += ["note: %d rows %s are left out" % (counts[what], what) for what in sorted(counts)]
    lines += _about_held_out(examples, {_row(example) for example in held_out})
    return Unlabelled(examples, digest.hexdigest(), lines)


def is_pattern(path: str) -> bool:
    """Whether what a flag names is a pattern of names; what is there is a name."""
    return any(mark in path for mark in _MARKS_OF_PATTERNS) and not storage.exists(path)


def fits(pattern: str, path: str) -> bool:
    """Whether a pattern fits a path, which need not be there yet.

    Args:
        pattern: as of `storage.matching`.
        path: of a file or folder.
    """
    return _fit(storage.normalized(pattern).split("/"), storage.normalized(path).split("/"))


def _fit(patterns, names):
    """Whether patterns of names fit names, `**` any number of them."""
    if not patterns or not names:
        return not names and set(patterns) <= {"**"}
    if patterns[0] == "**":
        return _fit(patterns[1:], names) or _fit(patterns, names[1:])
    return fnmatch.fnmatchcase(names[0], patterns[0]) and _fit(patterns[1:], names[1:])


def _rows_of(path, kind, task, encoding):
    """(rows of a file, whether some of its bytes are not of its encoding)."""
    files.check_is_text(path, encoding)
    rows = list(kind.distillation.open_unlabelled(kind, task, path, encoding))
    return rows, not files.is_decodable(path, encoding)


def _why_left_out(example, problem, seen):
    """What is counted of a row that is not learnt from; None of another one."""
    if example and not _joined(example).strip():
        return "that are blank"
    if problem or not example.text_a.strip():
        return "that do not fit"
    return "repeated, or in train," if _key(example) in seen else None


def _about_held_out(examples, held_out_rows):
    """The warning for texts of dev or test among the unlabelled ones, a list."""
    count = held_out_rows and sum(_row(example) in held_out_rows for example in examples)
    if not count:
        return []
    return [
        "warning: %d of the unlabelled rows are in dev or test, too: their figures are not those "
        "of new texts" % count
    ]


def _no_text(given, counts, first_problem):
    found = ["%d rows %s" % (counts[what], what.rstrip(",")) for what in sorted(counts)]
    found += ["the first: " + first_problem] if first_problem else []
    return UserError(
        "%s: no new text in it: found %s: expected texts in the form of the test file"
        % (given, ", ".join(found) or "no rows")
    )


def _paths(patterns, flag):
    paths = []
    for pattern in patterns:
        named = storage.matching(pattern) or [pattern]
        others = [path for path in named if not storage.is_file(path)]
        if others:
            found = "a folder" if storage.exists(others[0]) else "no such file"
            raise UserError(
                "--%s=%s: %s: expected files of texts, or patterns of them"
                % (flag, others[0], found)
            )
        paths += named
    return paths


def _row(example):
    """A row's texts in any order, without what is only a matter of writing."""
    return tuple(sorted(text_groups.texts_of_row(example)))


def _joined(example):
    return example.text_a + (example.text_b or "")


def _key(example):
    """What makes rows the same: the texts, and the granularity of those that have one."""
    return example.text_a, example.text_b, getattr(example, "granularity", None)
