"""Reads and checks the labelled files of a data set, and converts them to examples."""

import collections
import hashlib
import os
from typing import Any, Dict, Iterator, List, Optional, Sequence, Tuple

from albert_zh.common.errors import UserError
from albert_zh.tasks.labelling import (
    format_detection,
    granularity_names,
    head_names,
    json_files,
    reader,
    tag_schemes,
    word_types,
)
from albert_zh.tasks.labelling.bad_rows import BadRows
from albert_zh.tasks.labelling.spans import LabelledText
from albert_zh.tasks.tables import split_files

WORD_SCHEME, ENTITY_SCHEME = "BMES", "BIO"  # defaults for files without tags
_DROPS_TYPES = "drops_types"  # key in the head of a file

Example = collections.namedtuple(
    "Example", ["guid", "text_a", "text_b", "label", "source", "granularity"], defaults=(None,)
)
Example.__doc__ = """A text as an example of a data set.

Fields:
    guid: str, ends with "-" and the line of the file.
    text_a: str.
    text_b: None.
    label: list of `Span`; None if the file has no labels.
    source: `LabelledText`.
    granularity: str, granularity of the file; None without granularities.
"""

LabelledSplit = collections.namedtuple(
    "LabelledSplit",
    "name path examples has_labels notes columns header sha256 names file_format scheme",
)
LabelledSplit.__doc__ = """A `input_examples.Split` of labelled texts.

Fields in addition to those of `Split`:
    file_format: key of `reader.FORMATS`.
    scheme: `tag_schemes.Scheme` of the file's tags; None if it has no tags.
"""


def read_split(task: Any, data_dir: str, name: str, encoding: str) -> LabelledSplit:
    """Reads a split of a data set; with granularities, its file of each granularity.

    Args:
        task: `task_forms.Task`, whose `head` has the settings.
        data_dir: folder of the data set.
        name: "train", "dev" or "test".
        encoding: encoding of the file.

    Returns:
        `LabelledSplit`.

    Raises:
        UserError: for a file that is missing or malformed.
    """
    read = [
        _read_file_of_split(task, data_dir, (name, key, granularity), encoding)
        for key, granularity in granularity_names.split_names(task, name)
    ]
    return read[0] if len(read) == 1 else _joined(read)


def _read_file_of_split(task, data_dir, names, encoding):
    """Reads one file; names: the split, its key in `Task.files`, the granularity."""
    name, key, granularity = names
    path, others = split_files.existing_path(task, data_dir, key)
    head = _head_of_file(task, path, name, encoding)
    data = read_labelled(path, encoding, head)
    if name != "test" and not data.has_labels:
        raise UserError(
            "%s: has no labels (format %s%s), expected a %s file with labels; --file_format names "
            "another format"
            % (path, data.format, format_detection.keys_in_words(path, encoding), name)
        )
    if name != "test":
        data = reader.with_labels_only(data, BadRows(head.get("skip_bad_rows", False)))
    examples = examples_of(data, name, granularity)
    if _finds_words(task):
        _check_are_words(path, examples)
    notes = ["%s ignored" % ", ".join(others)] if others else []
    return LabelledSplit(
        name,
        path,
        examples,
        data.has_labels,
        notes + ["format %s" % data.format] + list(data.notes),
        ("text_a", "label") if data.has_labels else ("text_a",),
        (),
        data.sha256,
        {},
        data.format,
        data.scheme,
    )


def _check_are_words(path, examples):
    """Raises `UserError` for spans of several types, since words are expected."""
    types = sorted({span.type for example in examples for span in example.label or ()})
    if len(types) > 1:
        raise UserError(
            "%s: its spans have the types %s: expected words, which have no type; for entities "
            "use --task_name=ner" % (path, ", ".join(types[:5]))
        )


def check_may_be_words(task: Any, train: LabelledSplit) -> None:
    """Refuses to treat spans without types as words, unless the run is a word segmentation.

    Args:
        task: `task_forms.Task` whose labels are not known yet.
        train: training file of the task, whose spans have no types.

    Raises:
        UserError: if neither the task, a flag nor the file's format indicates words.
    """
    names_words = task.finds_words or bool(granularity_names.names(task.head))
    if not names_words and train.file_format != format_detection.SEGMENTED:
        raise UserError(
            "%s: none of its spans has a type (only tags such as B and I), expected entities: "
            "give each a type, as in B-PER, or learn them as words with --task_name=cws"
            % train.path
        )


def _joined(splits):
    """Joins the files of several granularities to one split, with the settings of the first."""
    names = [os.path.basename(split.path) for split in splits]
    digests = "".join(split.sha256 for split in splits).encode()
    return splits[0]._replace(
        path=" + ".join([splits[0].path] + names[1:]),
        examples=[example for split in splits for example in split.examples],
        has_labels=all(split.has_labels for split in splits),
        notes=["%s: %s" % (name, n) for name, split in zip(names, splits) for n in split.notes],
        sha256=hashlib.sha256(digests).hexdigest(),
    )


def format_of(task: Any, path: str, name: str, encoding: str) -> str:
    """Returns the format of a file: the one that a flag names, or else the detected one.

    Args:
        task: `task_forms.Task`.
        path: file, or folder in the format of two files.
        name: "train", "dev" or "test".
        encoding: encoding of the file.

    Returns:
        key of `reader.FORMATS`.

    Raises:
        UserError: if a file of an entity task only has words between blanks.
    """
    named = task.head.get("file_format")
    if named:
        return named
    if _finds_words(task):
        return format_detection.detect_word_format(path, encoding)
    return format_detection.detect_entity_format(path, encoding, may_lack_labels=name == "test")


def _head_of_file(task, path, name, encoding):
    """Returns `Task.head` with the file's format and whether its parts of speech are dropped."""
    file_format = format_of(task, path, name, encoding)
    drops_types = _finds_words(task) and file_format in word_types.FORMATS
    return dict(task.head, file_format=file_format, **{_DROPS_TYPES: drops_types})


def format_of_texts(task: Any, path: str, encoding: str) -> str:
    """Returns the format of a file whose labels do not matter, like `format_of` for a test file.

    Unless the task is word segmentation, plain texts, one per line, are recognized even if a flag
    names another format.
    """
    if not _finds_words(task) and format_detection.is_plain_text(path, encoding):
        return format_detection.UNLABELLED
    return format_of(task, path, "test", encoding)


def _finds_words(task):
    """Whether the task's spans are words, by its labels, or by its name if it has no labels yet."""
    if task.head.get("form") in head_names.SPAN_HEADS:
        return False
    if task.labels:
        return types_of_tags(task.labels) == [""]
    return task.finds_words or bool(granularity_names.names(task.head))


def read_labelled(path: str, encoding: str, head: Dict[str, Any]) -> reader.LabelledFile:
    """Reads a file according to the settings, and handles overlapping entities.

    Args:
        path: file, or folder in the format of two files.
        encoding: encoding of the file.
        head: settings as `LabellingFlags.head` returns them.
    """
    skips = head.get("skip_bad_rows", False)
    data = reader.read_file(
        path,
        head.get("file_format"),
        encoding,
        head.get("original_reader", False),
        head.get("offset_unit") or json_files.CHARACTERS,
        BadRows(skips),
    )
    if head.get(_DROPS_TYPES) and word_types.have_parts_of_speech(data.texts):
        texts = [word_types.words_alone(text) for text in data.texts]
        data = data._replace(texts=texts, notes=data.notes + [word_types.NOTE])
    if head.get("form") in head_names.SPAN_HEADS:
        return data
    if head.get("overlaps") == reader.LONGEST:
        return reader.keep_longest(data)
    return reader.without_overlaps(data, BadRows(skips))


def stream(task: Any, path: str, encoding: str, types: Sequence[str]) -> Tuple[List[str], Iterator]:
    """Reads a file for prediction as a stream, in constant memory.

    Args:
        task: `task_forms.Task`.
        path: file, or folder in the format of two files.
        encoding: encoding of the file.
        types: the types of the model.

    Returns:
        (notes, iterator of `Example`).

    Raises:
        UserError: for a malformed text; the whole file is read once to check it.
    """
    head = _head_of_file(task, path, "test", encoding)
    bad_rows, notes = BadRows(head.get("skip_bad_rows", False)), []
    for _ in _streamed_examples(path, encoding, head, types, (bad_rows, notes)):
        pass
    again = _streamed_examples(path, encoding, head, types, (BadRows(True), []))
    found = "format %s" % head["file_format"]
    if head["file_format"] == format_detection.SEGMENTED and not task.head.get("file_format"):
        found += ": spaces are read as word boundaries; for plain texts add --file_format=text"
    return [found] + notes + bad_rows.notes(), again


def _streamed_examples(path, encoding, head, types, remarkable):
    """Yields the `Example`s of a file; remarkable: its `BadRows`, and a list to add notes to."""
    bad_rows, notes = remarkable
    num_left_out = 0
    texts = reader.stream_file(
        path,
        head["file_format"],
        encoding,
        head.get("offset_unit") or json_files.CHARACTERS,
        bad_rows,
        head.get("original_reader", False),
        notes,
    )
    for text in texts:
        with bad_rows.row():
            example = _streamed(path, text, head, types)
            num_left_out += len(text.spans or ()) - len(example.label or ())
            yield example
    notes += reader.notes_of_overlaps(num_left_out)


def _streamed(path, text, head, types):
    """Converts a text to an `Example`, with the checks of files that are read as a whole."""
    text = word_types.words_alone(text) if head.get(_DROPS_TYPES) else text
    data = reader.LabelledFile(path, None, [text], None, True, [], "")
    reader.check_types(types, data)
    if head.get("form") not in head_names.SPAN_HEADS:
        if head.get("overlaps") == reader.LONGEST:
            text = reader.without_shorter(text)
        reader.check_flat(path, text)
    return Example("test-%d" % text.line, text.text, None, text.spans, text)


def examples_of(
    data: reader.LabelledFile, name: str, granularity: Optional[str] = None
) -> List[Example]:
    """Converts the texts of a file to examples of a split."""
    return [
        Example("%s-%d" % (name, text.line), text.text, None, text.spans, text, granularity)
        for text in data.texts
    ]


def source_of(example: Any) -> LabelledText:
    """Returns the `LabelledText` of an example, also of one that does not come from a file."""
    source = getattr(example, "source", None)
    return source or LabelledText(example.text_a, None, None, 1)


def check_types(types: Sequence[str], split: Any) -> None:
    """Raises `UserError` for types that the model does not know.

    Args:
        types: the types of the model.
        split: `LabelledSplit`, or `LabelledFile`.
    """
    texts = getattr(split, "texts", None)
    if texts is None:
        texts = [example.source for example in split.examples]
    data = reader.LabelledFile(split.path, None, texts, None, True, [], "")
    reader.check_types(types, data)


def labels_of(types: Sequence[str], scheme: tag_schemes.Scheme) -> Tuple[str, ...]:
    """Returns the tags of types, by id; a segmentation has no tag O."""
    return tuple(tag_schemes.all_tags(scheme, types, has_outside=list(types) != [""]))


def scheme_of(split: LabelledSplit, types: Sequence[str], name: Optional[str]) -> Any:
    """Returns the `Scheme` to learn: the named one, or else the file's, or else the default."""
    if name is None and split.scheme is not None:
        return split.scheme
    return tag_schemes.SCHEMES[name or (WORD_SCHEME if list(types) == [""] else ENTITY_SCHEME)]


def types_of_tags(tags: Sequence[str]) -> List[str]:
    """Returns the sorted types of tags; [""] for the tags of a segmentation."""
    return sorted({tag_schemes.split_tag(tag)[1] for tag in tags if tag != tag_schemes.OUTSIDE_TAG})
