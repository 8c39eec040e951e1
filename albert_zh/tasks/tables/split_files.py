"""Finds the files of a task's splits."""

import collections
import os
import re
from typing import Any, List, Optional, Sequence, Tuple

from albert_zh.common import files, storage
from albert_zh.common.errors import UserError
from albert_zh.tasks import registry
from albert_zh.tasks.tables.label_rules import shortened

ENDINGS = (".csv", ".tsv", ".txt", ".json", ".jsonl")
AUGMENTED = "train_aug"  # data_augmentation.py writes this file next to train.*, same extension
MADE_OF = ".made_of.json"  # next to it: the digest of the training file it was generated from
# What an edition adds to a name: train-v2.0.json, train-zen-v1.0.json, PAWS-X's dev_2k.tsv and
# OCNLI's train.50k.json. If there are several sizes, the largest is used.
_EDITION = re.compile(r"([-_.]([a-z]+[-_.])?v\d+(\.\d+)*|[-_.](?P<thousands>\d+)k)(?=\.[a-z]+$)")
# Words for a split, in file names that differ only in that word.
_WORDS = {"train": "train|training", "dev": "dev|valid|val|validation", "test": "test"}
# Files written by models, possibly into the folder with their data.
_WRITTEN = re.compile("predictions|results|^label_test.txt$")
_PACKED = (".gz", ".tgz", ".bz2", ".xz", ".zip", ".rar", ".7z", ".tar")
_WORKBOOKS = (".xlsx", ".xls", ".ods", ".numbers", ".et")


def split_path(task: Any, data_dir: str, name: str) -> Tuple[Optional[str], List[str]]:
    """(path of a split's file or None, names of other files that could be meant).

    If a task has several usual names and none of them exists, the name of a data set may precede a
    usual name, and an edition may follow it: data_cmrc2018_dev.json, cnews.val.txt, dev-v2.0.json.
    If train has no such name either, the file may be one of several whose names differ only in the
    split: msra_train_bio.txt, msra_test_bio.txt.
    """
    path, others = _usual_file(task, data_dir, name)
    if path or isinstance(task.files.get(name, ""), str) or _usual_file(task, data_dir, "train")[0]:
        return path, others
    return file_of_split(data_dir, _names_of_one_form(task, data_dir, name))


def _usual_file(task, folder, name):
    """Like `split_path`, but without looking for names that only differ in the split."""
    names = task.files.get(name, ())
    if isinstance(names, str):
        return file_of_split(folder, (names,))
    path, others = file_of_split(folder, names)
    return (path, others) if path else file_of_split(folder, _names_alike(folder, names))


def _names_of_one_form(task, folder, name):
    """The files of a split, if only one name pattern is shared by train and another split."""
    endings = _endings(task)
    forms = collections.defaultdict(lambda: collections.defaultdict(list))
    for entry in _entries(folder):
        if os.path.splitext(entry.lower())[1] not in endings or not _is_file(folder, entry):
            continue
        for split, words in _WORDS.items():
            found = re.match(r"(|.*[-_.])(%s)([-_.].*|)$" % words, entry.lower())
            if found:
                forms[found.group(1), found.group(3)][split].append(entry)
    shared = [
        of_splits for of_splits in forms.values() if "train" in of_splits and len(of_splits) > 1
    ]
    return shared[0].get(name, []) if len(shared) == 1 else []


def _endings(task):
    """The extensions of the usual names of a training file, "" for a name without extension."""
    names = task.files.get("train", ())
    return {os.path.splitext(usual)[1] for usual in ((names,) if isinstance(names, str) else names)}


def _is_file(folder, entry):
    return storage.is_file(storage.joined(folder, entry))


def _names_alike(folder, names):
    """The files of a folder whose names end with one of `names`, see `split_path`; best first."""
    ends = [re.compile(r"(^|.*[-_.])%s$" % re.escape(name.lower())) for name in names]
    ranks = {}
    for entry in _entries(folder):
        edition = _EDITION.search(entry.lower())
        thousands = int(edition.group("thousands") or 0) if edition else 0
        plain = _EDITION.sub("", entry.lower())
        rank = next((rank for rank, end in enumerate(ends) if end.match(plain)), None)
        if rank is not None and _is_file(folder, entry):
            ranks[entry] = rank, -thousands
    return sorted(ranks, key=ranks.get)


def names_with_word(folder: str, words: Sequence[str]) -> List[str]:
    """The names in a folder that contain one of `words`, such as dev.all.bmes, my_val.json.gz."""
    word = re.compile(r"(^|[-_.])(%s)\d*([-_.]|$)" % "|".join(words))
    return [entry for entry in _entries(folder) if word.search(entry.lower())]


def _entries(folder):
    """The names in a folder that may be data files, sorted."""
    try:
        there = storage.names_in(folder) if storage.is_folder(folder) else []
    except OSError as error:
        raise files.cannot_read("--data_dir=%s" % folder, error) from error
    return [entry for entry in there if not entry.startswith(".") and not _WRITTEN.search(entry)]


def check_folder(data_dir: str) -> None:
    """Raises `UserError` if the folder does not exist."""
    if not storage.is_folder(data_dir):
        raise UserError("--data_dir=%s: no such folder" % data_dir)


def existing_path(task: Any, data_dir: str, name: str) -> Tuple[str, List[str]]:
    """Like `split_path`, but raises `UserError` if there is no file."""
    check_folder(data_dir)
    path, others = split_path(task, data_dir, name)
    if path is None:
        names = task.files.get(name, ("%s.csv" % name,))
        names = (names,) if isinstance(names, str) else names
        raise UserError(
            "%s: no such file%s (%s)"
            % (
                storage.joined(data_dir, names[0]),
                ", nor %s" % ", ".join(names[1:6]) if len(names) > 1 else "",
                _about_folder(task, data_dir, name),
            )
        )
    return path, others


def _about_folder(task, folder, name):
    """What a folder without the required file contains, and what to do about it."""
    try:
        there = [entry for entry in storage.names_in(folder) if not entry.startswith(".")]
    except OSError as error:  # its files seem not to exist
        raise files.cannot_read("--data_dir=%s" % folder, error) from error
    if not there:
        return "the folder is empty"
    way_out = ""
    for entry in there:
        if entry.lower().endswith(_WORKBOOKS):
            way_out = ": save %s as %s" % (entry, _saved_table(task, name))
            break
        is_of_split = len(there) == 1 or re.search(_WORDS.get(name, name), entry.lower())
        if is_of_split and entry.lower().endswith(_PACKED):
            way_out = ": unpack %s first" % entry
            break
    if all(storage.is_folder(storage.joined(folder, entry)) for entry in there):
        way_out = ": only folders: name with --data_dir the one that has the files"
        if name == "train" and task.columns is None and registry.rules_of(task).has_classes:
            way_out += (
                "; if each is a class, write its texts into train.tsv, one per line, each "
                "followed by a tab and the class"
            )
    endings = ENDINGS + tuple(filter(None, _endings(task)))
    tables_there = [entry for entry in there if entry.endswith(endings)]
    if not way_out and name == "train" and task.columns is None and len(tables_there) == 1:
        way_out = ": for that file alone --data_dir=%s" % os.path.join(folder, tables_there[0])
    return "there: %s%s" % (shortened(", ".join(there), 200), way_out)


def _saved_table(task, name):
    """The format and name under which a workbook has to be saved for a task."""
    names = task.files.get(name, ("%s.csv" % name,))
    names = (names,) if isinstance(names, str) else names
    of_csv = next((file for file in names if file.endswith(".csv")), None)
    return "CSV UTF-8, named %s" % of_csv if of_csv else "UTF-8 text, named %s" % names[0]


def check_is_table(path: str) -> None:
    """Raises `UserError` for a file whose name shows that it is not a text table."""
    if path.lower().endswith(_WORKBOOKS):
        raise UserError("%s: a workbook: save it as CSV UTF-8, named .csv" % path)


def file_of_split(folder: str, names: Sequence[str]) -> Tuple[Optional[str], List[str]]:
    """The first of some file names that exists, and the other names that exist too.

    Args:
        folder: the folder to search.
        names: file names, best first.

    Returns:
        (path or None, list of the other names).

    Raises:
        UserError: if remote storage denies the request.
    """
    there = [name for name in names if _is_there(storage.joined(folder, name))]
    return (storage.joined(folder, there[0]) if there else None), there[1:]


def _is_there(path):
    try:
        return storage.exists(path)
    except OSError as error:  # a bucket that cannot be listed
        raise files.cannot_read(path, error) from error
