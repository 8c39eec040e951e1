"""The rows that are trained on: of several files, each as often as its weight says."""

import random
from typing import Any, Dict, List, Tuple

from albert_zh.common.errors import UserError
from albert_zh.tasks.embedding import text_files


def training_split(split: Any, options: Any, data_format: str) -> Tuple[Any, Dict[str, Any]]:
    """A training file's rows with those of --more_train and the vectors of --teacher_vectors.

    Args:
        split: `input_examples.Split`.
        options: the flags.
        data_format: one of `text_files.FORMATS`.

    Returns:
        (the split, {name: value} of what changed it, for the features' fingerprint).
    """
    examples, changes = list(split.examples), {}
    if options.teacher_vectors:
        examples, digest = _with_teacher(split, options)
        changes["teacher_vectors"] = digest
    for path, weight in weighted_files(options.more_train or ()):
        more = text_files.read_split(
            path, "train", data_format, options.encoding, options.skip_bad_rows
        )
        first_group = 1 + max(example.group for example in examples)
        taken = repeated(more.examples, weight, options.seed)
        examples += [example._replace(group=example.group + first_group) for example in taken]
        changes["more_train " + path] = [more.sha256, weight]
    return split._replace(examples=examples), changes


def weighted_files(given: Any) -> List[Tuple[str, float]]:
    """(file, weight) of each FILE:WEIGHT; raises `UserError` for others."""
    files = []
    for entry in given:
        path, _, weight = entry.rpartition(":")
        try:
            files.append((path, float(weight)))
        except ValueError:
            files.append((path, 0.0))
        if not path or not files[-1][1] > 0:
            raise UserError("--more_train=%s: expected FILE:WEIGHT, a weight above 0" % entry)
    return files


def repeated(examples: List[Any], weight: float, seed: int) -> List[Any]:
    """Examples as often as a weight says; of its fraction a random share of them."""
    whole = int(weight)
    share = int(round((weight - whole) * len(examples)))
    return examples * whole + random.Random(seed).sample(examples, share)


def _with_teacher(split, options):
    """(examples with their teacher's vectors, digest of the file)."""
    import numpy as np

    from albert_zh.common import storage

    path = options.teacher_vectors
    try:
        vectors = np.load(path, allow_pickle=False)
    except ValueError as error:
        raise UserError(
            "--teacher_vectors=%s: no .npy file of numbers (%s)" % (path, error)
        ) from None
    width = options.projection_width or options.width
    last = max(example.row_id for example in split.examples)
    if vectors.ndim != 2 or len(vectors) < last:
        raise UserError(
            "--teacher_vectors=%s: an array of the shape %s, expected a row for each of the %d "
            "lines of %s" % (path, list(vectors.shape), last, split.path)
        )
    if width is not None and vectors.shape[1] != width:
        raise UserError(
            "--teacher_vectors=%s: vectors of width %d, the model's have %d: add "
            "--projection_width=%d" % (path, vectors.shape[1], width, vectors.shape[1])
        )
    rows = [
        example._replace(teacher=tuple(vectors[example.row_id - 1].astype(float)))
        for example in split.examples
    ]
    return rows, storage.sha256_of_file(path)
