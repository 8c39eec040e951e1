"""The files of a data set as examples, checked: what fine-tuning reads of labelled texts."""

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

WORD_SCHEME, ENTITY_SCHEME = "BMES", "BIO"  # of files without tags
_DROPS_TYPES = "drops_types"  # key of a file's head

Example = collections.namedtuple(
    "Example", ["guid", "text_a", "text_b", "label", "source", "granularity"], defaults=(None,)
)
Example.__doc__ = """A text.

Fields:
    guid: str, ends with "-" and the line of the file.
    text_a: str.
    text_b: None.
    label: list of `Span`; None where the file has no labels.
    source: `LabelledText`.
    granularity: str, that of its file; None without granularities.
"""

LabelledSplit = collections.namedtuple(
    "LabelledSplit",
    "name path examples has_labels notes columns header sha256 names file_format scheme",
)
LabelledSplit.__doc__ = """A `input_examples.Split` of labelled texts.

Fields beside those of `Split`:
    file_format: key of `reader.FORMATS`.
    scheme: `tag_schemes.Scheme` of its tags; None where it has none.
"""


def read_split(task: Any, data_dir: str, name: str, encoding: str) -> LabelledSplit:
    """Reads a file of a data set, or its file of each granularity.

    Args:
        task: `task_forms.Task`, whose `head` says how.
        data_dir: folder.
        name: "train", "dev" or "test".
        encoding: of the file.

    Returns:
        `LabelledSplit`.

    Raises:
        UserError: for a file that is missing or does not fit.
    """
    read = [
        _read_file_of_split(task, data_dir, (name, key, granularity), encoding)
        for key, granularity in granularity_names.split_names(task, name)
    ]
    return read[0] if len(read) == 1 else _joined(read)


def _read_file_of_split(task, data_dir, names, encoding):
    """`LabelledSplit` of one file; names: of the split, in `Task.files`, of the granularity."""
    name, key, granularity = names
    path, others = split_files.existing_path(task, data_dir, key)
    head = _head_of_file(task, path, name, encoding)
    data = read_labelled(path, encoding, head)
    if name != "test" and not data.has_labels:
        raise UserError(
            "%s: has no labels (format %s%s): expected those of a %s file; --file_format names "
            "another format"
            % (path, data.format, format_detection.keys_in_words(path, encoding), name)
        )
    if name != "test":
        data = reader.with_labels_only(data, BadRows(head.get("skip_bad_rows", False)))
    examples = examples_of(data, name, granularity)
    if _finds_words(task):
        _check_are_words(path, examples)
    notes = ["%s left aside" % ", ".join(others)] if others else []
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
    """Raises `UserError` for spans of several types where words are expected."""
    types = sorted({span.type for example in examples for span in example.label or ()})
    if len(types) > 1:
        raise UserError(
            "%s: its spans have the types %s: expected words, which have none; of entities give "
            "--task_name=ner" % (path, ", ".join(types[:5]))
        )


def check_may_be_words(task: Any, train: LabelledSplit) -> None:
    """Refuses spans without types as words, unless words are what a run looks for.

    Args:
        task: `task_forms.Task` whose labels are not known.
        train: its training file, whose spans have no types.

    Raises:
        UserError: where neither the task nor a flag names words.
    """
    names_words = task.finds_words or bool(granularity_names.names(task.head))
    if not names_words and train.file_format != format_detection.SEGMENTED:
        raise UserError(
            "%s: none of its spans has a type (tags such as B and I alone), expected entities: "
            "give each a type, as in B-PER, or learn them as words with --task_name=cws"
            % train.path
        )


def _joined(splits):
    """The files of several granularities as one split, with the settings of the first."""
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
    """The format of a file: the one that a flag names, or the detected one.

    Args:
        task: `task_forms.Task`.
        path: file, or folder of the two-file form.
        name: "train", "dev" or "test".
        encoding: of the file.

    Returns:
        key of `reader.FORMATS`.

    Raises:
        UserError: for words between blanks where entities are looked for.
    """
    named = task.head.get("file_format")
    if named:
        return named
    if _finds_words(task):
        return format_detection.detect_word_format(path, encoding)
    return format_detection.detect_entity_format(path, encoding, may_lack_labels=name == "test")


def _head_of_file(task, path, name, encoding):
    """`Task.head` with the format of a file, and whether its words lose their parts of speech."""
    file_format = format_of(task, path, name, encoding)
    drops_types = _finds_words(task) and file_format in word_types.FORMATS
    return dict(task.head, file_format=file_format, **{_DROPS_TYPES: drops_types})


def format_of_texts(task: Any, path: str, encoding: str) -> str:
    """The format of a file whose labels do not matter, as `format_of` a test file.

    Plain texts, one a line, are such a file whatever format a flag names for the others.
    """
    if not _finds_words(task) and format_detection.is_plain_text(path, encoding):
        return format_detection.UNLABELLED
    return format_of(task, path, "test", encoding)


def _finds_words(task):
    """Whether the task's spans are words: as its labels say, before they are known its name."""
    if task.head.get("form") in head_names.SPAN_HEADS:
        return False
    if task.labels:
        return types_of_tags(task.labels) == [""]
    return task.finds_words or bool(granularity_names.names(task.head))


def read_labelled(path: str, encoding: str, head: Dict[str, Any]) -> reader.LabelledFile:
    """Reads a file as the settings say, and deals with overlapping entities.

    Args:
        path: file, or folder of the two-file form.
        encoding: of the file.
        head: as of `LabellingFlags.head`.
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
    """The texts of a file that is only predicted, of which none is kept.

    Args:
        task: `task_forms.Task`.
        path: file, or folder of the two-file form.
        encoding: of the file.
        types: those of the model.

    Returns:
        (notes, iterator of `Example`).

    Raises:
        UserError: for a text that does not fit: the file is read once before.
    """
    head = _head_of_file(task, path, "test", encoding)
    bad_rows, notes = BadRows(head.get("skip_bad_rows", False)), []
    for _ in _streamed_examples(path, encoding, head, types, (bad_rows, notes)):
        pass
    again = _streamed_examples(path, encoding, head, types, (BadRows(True), []))
    found = "format %s" % head["file_format"]
    if head["file_format"] == format_detection.SEGMENTED and not task.head.get("file_format"):
        found += ": blanks are taken for borders of words; of plain texts: --file_format=text"
    return [found] + notes + bad_rows.notes(), again


def _streamed_examples(path, encoding, head, types, remarkable):
    """Yields the `Example`s of a file; remarkable: its `BadRows` and a list that gets notes."""
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
    """The `Example` of a text, checked as those of files that are read whole."""
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
    """The texts of a file as examples of a split."""
    return [
        Example("%s-%d" % (name, text.line), text.text, None, text.spans, text, granularity)
        for text in data.texts
    ]


def source_of(example: Any) -> LabelledText:
    """The `LabelledText` of an example, or of a text that was typed in."""
    source = getattr(example, "source", None)
    return source or LabelledText(example.text_a, None, None, 1)


def check_types(types: Sequence[str], split: Any) -> None:
    """Raises `UserError` for types that the model does not know.

    Args:
        types: those of the model.
        split: `LabelledSplit`, or `LabelledFile`.
    """
    texts = getattr(split, "texts", None)
    if texts is None:
        texts = [example.source for example in split.examples]
    data = reader.LabelledFile(split.path, None, texts, None, True, [], "")
    reader.check_types(types, data)


def labels_of(types: Sequence[str], scheme: tag_schemes.Scheme) -> Tuple[str, ...]:
    """The tags of types, by id; those of words have no O."""
    return tuple(tag_schemes.all_tags(scheme, types, has_outside=list(types) != [""]))


def scheme_of(split: LabelledSplit, types: Sequence[str], name: Optional[str]) -> Any:
    """The `Scheme` that is learnt: the one that is named, the file's, or the usual one."""
    if name is None and split.scheme is not None:
        return split.scheme
    return tag_schemes.SCHEMES[name or (WORD_SCHEME if list(types) == [""] else ENTITY_SCHEME)]


def types_of_tags(tags: Sequence[str]) -> List[str]:
    """The types of tags, sorted; [""] for those of words."""
    return sorted({tag_schemes.split_tag(tag)[1] for tag in tags if tag != tag_schemes.OUTSIDE_TAG})
