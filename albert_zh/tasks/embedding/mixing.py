"""Mixes the training rows of several files, each row repeated according to its file's weight."""

import hashlib
import math
import random
import tokenize
from typing import Any, Dict, List, NamedTuple, Sequence, Tuple

from albert_zh.common.errors import UserError
from albert_zh.tasks.embedding import groups, text_files


class FurtherFile(NamedTuple):
    """A file of --more_train.

    Fields:
        path: the file.
        weight: how often each of its rows occurs per epoch.
        split: `text_files.EmbeddingSplit`.
    """

    path: str
    weight: float
    split: Any


def training_split(split: Any, options: Any, teacher_width: int) -> Tuple[Any, Dict[str, Any]]:
    """Adds the rows of --more_train and the vectors of --teacher_vectors to a training file.

    Args:
        split: `text_files.EmbeddingSplit`.
        options: the flags.
        teacher_width: the required width of a teacher's vectors.

    Returns:
        (the split, {name: value} of what changed it, for the fingerprint of the features).

    Raises:
        UserError: for invalid files.
    """
    examples, changes = list(split.examples), {}
    if options.teacher_vectors:
        examples, digest = _with_teacher(split, options, teacher_width)
        changes["teacher_vectors"] = digest
    if split.further:
        files = groups.of_files([examples] + [more.split.examples for more in split.further])
        examples = files[0]
        for more, rows in zip(split.further, files[1:]):
            examples += _taken(more, rows, options.seed)
            changes["more_train " + more.path] = [more.split.sha256, more.weight]
    return split._replace(examples=examples, further=()), changes


def further_files(
    given: Sequence[str], data_format: str, encoding: str, skip_bad_rows: bool
) -> List[FurtherFile]:
    """Reads the files of --more_train.

    Args:
        given: FILE:WEIGHT of each file.
        data_format: one of `text_files.FORMATS`.
        encoding, skip_bad_rows: as in `text_files.read_split`.

    Raises:
        UserError: for invalid files.
    """
    return [
        FurtherFile(
            path,
            weight,
            text_files.read_split(path, "train", data_format, encoding, skip_bad_rows),
        )
        for path, weight in weighted_files(given)
    ]


def _taken(more, rows, seed):
    """The rows of an additional file, repeated according to its weight."""
    taken = repeated(rows, more.weight, seed)
    if not taken:
        raise UserError(
            "--more_train=%s:%g: this uses none of its %d rows: expected a weight of %.2g or "
            "more" % (more.path, more.weight, len(rows), 1 / len(rows))
        )
    return taken


def weighted_files(given: Any) -> List[Tuple[str, float]]:
    """(file, weight) of each FILE:WEIGHT; raises `UserError` for entries of another form."""
    files = []
    for entry in given:
        path, _, weight = entry.rpartition(":")
        try:
            files.append((path, float(weight)))
        except ValueError:
            files.append((path, 0.0))
        if not path or not 0 < files[-1][1] < math.inf:
            raise UserError(
                "--more_train=%s: expected FILE:WEIGHT, a weight above 0 that is finite" % entry
            )
    return files


def repeated(examples: List[Any], weight: float, seed: int) -> List[Any]:
    """Examples repeated `weight` times; the fraction of the weight is a random share of them."""
    whole = int(weight)
    share = int(round((weight - whole) * len(examples)))
    return examples * whole + random.Random(seed).sample(examples, share)


def _with_teacher(split, options, width):
    """(examples with a teacher's vectors, digest of the file of vectors)."""
    import numpy as np

    from albert_zh.common import files

    path, digest = options.teacher_vectors, hashlib.sha256()
    vectors = _array_of(path, digest)
    last = max(example.row_id for example in split.examples)
    num_lines = sum(1 for _ in files.stream_lines(split.path, options.encoding))
    is_a_row_a_line = vectors.ndim == 2 and last <= len(vectors) <= num_lines
    if not is_a_row_a_line or vectors.dtype.kind not in "fiu":
        raise UserError(
            "--teacher_vectors=%s: an array of the shape %s and type %s, expected numbers, a row "
            "for each of the %d lines of %s"
            % (path, list(vectors.shape), vectors.dtype, num_lines, split.path)
        )
    if vectors.shape[1] != width:
        raise UserError(_misfit(options, vectors.shape[1], width))
    rows = []
    for example in split.examples:
        vector = vectors[example.row_id - 1].astype(float)
        if not np.isfinite(vector).all():
            raise UserError(
                "--teacher_vectors=%s: the vector of line %d has values that are no finite numbers"
                % (path, example.row_id)
            )
        rows.append(example._replace(teacher=tuple(vector)))
    return rows, digest.hexdigest()


def _array_of(path, digest):
    """The array of an .npy file; its bytes are added to a digest."""
    import numpy as np

    from albert_zh.common import storage

    try:
        with storage.open_binary(path) as handle:
            hashed = _Hashed(handle, digest)
            array = np.lib.format.read_array(hashed, allow_pickle=False)
            hashed.read()  # the bytes after the array
            return array
    except (ValueError, SyntaxError, tokenize.TokenError) as error:
        raise UserError(
            "--teacher_vectors=%s: no .npy file of numbers, as numpy.save writes it (%s)"
            % (path, " ".join(str(error).split()))
        ) from None


class _Hashed:
    """A file whose bytes are added to a digest as they are read."""

    def __init__(self, handle, digest):
        self._handle, self._digest = handle, digest

    def read(self, size=-1):
        """The next bytes, by default all remaining bytes."""
        content = self._handle.read(size)
        self._digest.update(content)
        return content


def _misfit(options, found, width):
    """What to do if a teacher's vectors have another width than the model's vectors."""
    cut = [name for name in ("width", "matryoshka") if options[name].value]
    remedies = ["add --projection_width=%d" % found] * (options.projection_width != found)
    remedies += ["leave out --" + name for name in cut]
    return "--teacher_vectors=%s: vectors of width %d, the model's have %d: %s" % (
        options.teacher_vectors,
        found,
        width,
        " and ".join(remedies),
    )
