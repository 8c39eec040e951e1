"""Writes examples to TFRecord files of features, cached with a fingerprint of their inputs."""

import functools
import hashlib
import json
import os
import sys
from typing import Any, Dict, Optional

import tensorflow.compat.v1 as tf

from albert_zh.common import files, output_files, storage, text_encodings, validation
from albert_zh.common.errors import UserError
from albert_zh.common.messages import say
from albert_zh.common.progress import progress_bar
from albert_zh.corpus import tfrecords
from albert_zh.tasks import feature_records, registry
from albert_zh.text import (
    encoding,
    sentencepiece_models,
    tokenization,
    unicode_text,
    vocabulary_files,
    word_memory,
)

# The JSON file that marks a file of features as valid; it is stored next to it.
_FEATURE_STAMP = validation.record(
    {
        "fingerprint": validation.record(),
        "bytes": validation.integer(0),
        "num_cut": validation.integer(0),
        "rows_of_examples": validation.or_none(validation.list_of(validation.integer(1))),
    },
    ["fingerprint", "bytes", "num_cut"],
)


def feature_file(
    split: Any,
    task: Any,
    tokenizer: Any,
    max_seq_length: int,
    folder: str,
    settings: Dict[str, Any],
    shared_as: Optional[str] = None,
    further: Any = None,
) -> feature_records.FeatureFile:
    """Writes a split's features as TFRecord, or reuses the existing file if it is still valid.

    Records are unpadded. A JSON file next to it holds a fingerprint of everything that the features
    depend on. It marks the features as valid, so it is deleted first and written last.

    Args:
        split: `Split`.
        task: `Task`.
        tokenizer: `FullTokenizer`.
        max_seq_length: longest sequence.
        folder: the folder in which the file is written as `SPLIT.tf_record`.
        settings: {name: value} of what the features depend on besides the data (vocabulary ...).
        shared_as: the task's name if several runs share the folder: the file is then called
            TASK_SPLIT-DIGEST.tf_record, so that no run overwrites the file of another run.
        further: an object that adds columns to the records, with `columns`, {name:
            `task_type.Column`}, and `add_to(example, records)`; `settings` contains what these
            columns depend on. None: no columns are added.

    Returns:
        `FeatureFile`.
    """
    fingerprint = dict(
        settings,
        max_seq_length=max_seq_length,
        data=split.sha256,
        num_examples=len(split.examples),
        labels=list(task.labels),
        objective=[task.objective, task.separator],
        code=_code_version(registry.type_of(task)),
    )
    name = split.name
    if shared_as:
        name = "%s_%s-%s" % (shared_as, name, _digest(fingerprint))
    path = os.path.join(folder, name + ".tf_record")
    made = feature_records.FeatureFile(path, 0, 0, task, None, further.columns if further else {})
    cached = _cached_features(made, fingerprint)
    if cached:
        return cached
    # If the run is killed while writing, the new file must not pass for one of the old settings.
    if storage.exists(path + ".json"):
        storage.remove(path + ".json")
    records = _records(split, task, tokenizer, max_seq_length, further)
    num_cut, counts = _write_features(path, records, feature_records.columns_of(made))
    about = {"fingerprint": fingerprint, "bytes": storage.size(path), "num_cut": num_cut}
    if counts is not None:
        about["rows_of_examples"] = counts
    output_files.write_json(path + ".json", about)
    return _with_counts(made, about)


def _with_counts(feature_file, about):
    counts = about.get("rows_of_examples")
    num_records = sum(counts) if counts else about["fingerprint"]["num_examples"]
    return feature_file._replace(
        num_examples=num_records, num_cut=about["num_cut"], rows_of_examples=counts
    )


def _digest(fingerprint):
    return hashlib.sha256(json.dumps(fingerprint, sort_keys=True).encode()).hexdigest()[:12]


def _cached_features(feature_file, fingerprint):
    path = feature_file.path
    if not storage.exists(path):
        return None
    try:
        about = files.read_json(path + ".json", _FEATURE_STAMP)
    except UserError:
        about = {"bytes": None, "fingerprint": {}}
    is_whole = about["bytes"] == storage.size(path) and tfrecords.is_whole(path)
    if is_whole and about["fingerprint"] == fingerprint:
        return _with_counts(feature_file, about)
    former = about["fingerprint"]
    changed = [name for name in fingerprint if former.get(name) != fingerprint[name]]
    reason = "other " + ", ".join(changed) if is_whole else "unfinished"
    say("rebuilding the cached features %s: they are stale (%s)", path, reason)
    return None


def _records(split, task, tokenizer, max_seq_length, further):
    """Yields (records, whether text was truncated) for each example."""
    kind = registry.type_of(task)
    bar = progress_bar(
        "features of %s" % os.path.basename(split.path),
        len(split.examples),
        "row",
        iterable=split.examples,
        leave=False,
    )
    for example in bar:
        records, was_cut = kind.features(task, example, tokenizer, max_seq_length)
        if further is not None:
            further.add_to(example, records)
        yield records, was_cut


def _write_features(path, records_of_examples, columns):
    """Writes the records.

    Returns:
        (how many texts were truncated, list of the number of records of each example; None if each
        example has one record).
    """
    num_cut, counts = 0, []
    with output_files.whole_file(path) as partial, tf.python_io.TFRecordWriter(partial) as writer:
        for records, was_cut in records_of_examples:
            num_cut += was_cut
            counts.append(len(records))
            for record in records:
                writer.write(feature_records.serialized(record, columns))
    return num_cut, None if set(counts) <= {1} else counts


_MAKE_FEATURES = (
    encoding,
    tokenization,
    sentencepiece_models,
    unicode_text,
    vocabulary_files,
    word_memory,
    feature_records,
    files,
    text_encodings,
)


def _digest_of_modules(modules):
    digest = hashlib.sha256()
    for module in modules:
        digest.update(files.read_bytes(module.__file__))
    digest.update(files.read_bytes(__file__))
    return digest.hexdigest()[:16]


@functools.lru_cache(maxsize=None)  # the imported code: files may be replaced during a run
def _code_version(kind):
    """Fingerprint of the code that creates the features of a kind of task."""
    modules = list(_MAKE_FEATURES)
    for base in type(kind).__mro__[:-1]:
        modules.append(sys.modules[base.__module__])
        modules += base.__dict__.get("feature_modules", ())
    return _digest_of_modules(modules)
