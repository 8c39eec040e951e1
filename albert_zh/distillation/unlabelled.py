"""Reads texts without labels from files that the user names."""

import collections
import fnmatch
import hashlib
from typing import Any, Iterable, List, NamedTuple, Sequence

from albert_zh.common import files, storage
from albert_zh.common.errors import UserError, naming
from albert_zh.common.wording import counted
from albert_zh.tasks.tables import text_groups

_MARKS_OF_PATTERNS = "*?["
_REPLACED = "\ufffd"  # replaces bytes that cannot be decoded


class Unlabelled(NamedTuple):
    """The unlabelled texts that were read.

    Fields:
        examples: examples without labels and without duplicates.
        sha256: digest of the files.
        lines: messages for the user.
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
    """Reads files of texts in the format of the task's test file; labels are dropped.

    Args:
        patterns: file names, or patterns of them.
        kind: the kind of task.
        task: `task_forms.Task`.
        encoding: encoding of the files.
        labelled: training rows, whose texts are skipped in the files.
        held_out: dev and test rows, whose texts are reported if the files contain them.
        flag: name of the flag that named the files.
        is_symmetric: whether swapped pairs count as the same pair.

    Raises:
        UserError: if a file does not exist, or the files contain no new text.
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
                raise UserError("%s: changed while it was being read: start again" % path)
        for example, problem in rows:
            if has_bad_bytes and example and _REPLACED in _joined(example):
                counts["bytes that are no %s text" % (encoding or "utf-8").upper()] += 1
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
    lines = ["unlabelled: %s of %s" % (counted(len(examples), "row"), counted(len(paths), "file"))]
    lines += ["note: %s" % note for note in _about_skipped(counts)]
    lines += _about_held_out(examples, {_row(example) for example in held_out})
    return Unlabelled(examples, digest.hexdigest(), lines)


def is_pattern(path: str) -> bool:
    """Whether a flag's value is a file name pattern; the path of an existing file never is."""
    return any(mark in path for mark in _MARKS_OF_PATTERNS) and not storage.exists(path)


def fits(pattern: str, path: str) -> bool:
    """Whether a pattern matches a path, which need not exist yet.

    Args:
        pattern: pattern as in `storage.matching`.
        path: path of a file or folder.
    """
    return _fit(storage.normalized(pattern).split("/"), storage.normalized(path).split("/"))


def _fit(patterns, names):
    """Whether patterns match path components; `**` matches any number of components."""
    if not patterns or not names:
        return not names and set(patterns) <= {"**"}
    if patterns[0] == "**":
        return _fit(patterns[1:], names) or _fit(patterns, names[1:])
    return fnmatch.fnmatchcase(names[0], patterns[0]) and _fit(patterns[1:], names[1:])


def _rows_of(path, kind, task, encoding):
    """(rows of a file, whether some of its bytes cannot be decoded)."""
    files.check_is_text(path, encoding)
    rows = list(kind.distillation.open_unlabelled(kind, task, path, encoding))
    return rows, not files.is_decodable(path, encoding)


def _why_left_out(example, problem, seen):
    """Returns why a row is skipped, as a note counts it; None if it is used."""
    if example and not _joined(example).strip():
        return "blank"
    if problem or not example.text_a.strip():
        return "invalid"
    return "repeated, or in train" if _key(example) in seen else None


def _about_skipped(counts):
    """Returns a note for each reason why rows were skipped."""
    return [
        "%s skipped: %s" % (counted(counts[why], "row was", "rows were"), why)
        for why in sorted(counts)
    ]


def _about_held_out(examples, held_out_rows):
    """Returns a list with the warning for unlabelled texts that are in dev or test, if any."""
    count = held_out_rows and sum(_row(example) in held_out_rows for example in examples)
    if not count:
        return []
    return [
        "warning: %d of the unlabelled rows are in dev or test, too: the scores there are not "
        "scores of unseen texts" % count
    ]


def _no_text(given, counts, first_problem):
    found = ["%s (%s)" % (counted(counts[what], "row"), what) for what in sorted(counts)]
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
    """Returns a row's normalized texts (`text_groups.normalized`), sorted."""
    return tuple(sorted(text_groups.texts_of_row(example)))


def _joined(example):
    return example.text_a + (example.text_b or "")


def _key(example):
    """Returns what identifies a row: its texts and, if it has one, its granularity."""
    return example.text_a, example.text_b, getattr(example, "granularity", None)
