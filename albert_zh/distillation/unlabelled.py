"""Texts without labels, of files that the user names."""

import collections
import glob
import hashlib
from typing import Any, Iterable, List, NamedTuple, Sequence

from albert_zh.common import storage
from albert_zh.common.errors import UserError


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
) -> Unlabelled:
    """Reads files of texts, in the form of the task's test file; labels are dropped.

    Args:
        patterns: file names, or patterns of them.
        kind: the kind of task.
        task: `task_forms.Task`.
        encoding: of the files.
        labelled: training rows: the same texts are left out.
        held_out: dev and test rows: the same texts are reported.

    Raises:
        UserError: if there is no such file, or no text in it.
    """
    paths = _paths(patterns)
    seen = {_texts(example) for example in labelled}
    held_out_texts = {_texts(example) for example in held_out}
    examples, counts, digest = [], collections.Counter(), hashlib.sha256()
    for path in paths:
        digest.update(storage.sha256_of_file(path).encode())
        for example, problem in kind.distillation.open_unlabelled(kind, task, path, encoding):
            if problem or not example.text_a.strip():
                counts["that do not fit"] += 1
                continue
            if _texts(example) in seen:
                counts["repeated, or in train,"] += 1
                continue
            seen.add(_texts(example))
            examples.append(example._replace(label=None, guid="unlabelled-%d" % len(examples)))
    if not examples:
        raise UserError("--unlabelled_file=%s: no new text in it" % ",".join(patterns))
    lines = ["unlabelled: %d rows of %d files" % (len(examples), len(paths))]
    lines += ["note: %d rows %s are left out" % (counts[what], what) for what in sorted(counts)]
    num_held_out = sum(_texts(example) in held_out_texts for example in examples)
    if num_held_out:
        lines.append(
            "warning: %d of the unlabelled rows are in dev or test, too: their figures are not "
            "those of new texts" % num_held_out
        )
    return Unlabelled(examples, digest.hexdigest(), lines)


def _paths(patterns):
    paths = []
    for pattern in patterns:
        is_name = pattern and not glob.has_magic(pattern)
        named = storage.matching(pattern) or ([pattern] if is_name else [])
        if not named:
            raise UserError("--unlabelled_file=%s: no file matches" % pattern)
        paths += named
    return paths


def _texts(example):
    return example.text_a, example.text_b
