"""Examples -> TFRecord files of features, cached with a fingerprint of all that they depend on."""

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

# The file beside a file of features that makes it valid.
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
    """Writes a split's features as TFRecord, or takes the file that is there if it is of the same.

    Records are unpadded. Beside the file is a fingerprint of everything it was made from, which
    makes it valid: it goes first and comes last.

    Args:
        split: `Split`.
        task: `Task`.
        tokenizer: `FullTokenizer`.
        max_seq_length: longest sequence.
        folder: where the file goes, as `SPLIT.tf_record`.
        settings: {name: value} that the features depend on beside the data (vocabulary ...).
        shared_as: in a folder of several runs, the task's name: the file is then called
            TASK_SPLIT-DIGEST.tf_record, so that no run takes the file of another one away.
        further: what adds columns to the records, with `columns`, {name: `task_type.Column`}, and
            `add_to(example, records)`; `settings` has what they depend on. None: nothing does.

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
    # Killed in between, a file of other settings must not pass for the one of the former ones.
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
    """Yields (records, whether text was cut) of each example."""
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
        (how many texts were cut, list of the number of records of each example, None: one each).
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


@functools.lru_cache(maxsize=None)  # of what is imported: files may be replaced during a run
def _code_version(kind):
    """Fingerprint of the code that makes features of a kind of task."""
    modules = list(_MAKE_FEATURES)
    for base in type(kind).__mro__[:-1]:
        modules.append(sys.modules[base.__module__])
        modules += base.__dict__.get("feature_modules", ())
    return _digest_of_modules(modules)
