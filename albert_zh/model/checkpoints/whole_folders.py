"""Atomic creation of folders: a folder appears complete or not at all."""

import contextlib
import os
import shutil
from typing import Iterator

import tensorflow.compat.v1 as tf

from albert_zh.common import files, partial_files, path_rules, storage, transfer
from albert_zh.common.errors import UserError


@contextlib.contextmanager
def replaced_folder(folder: str) -> Iterator[str]:
    """Creates or replaces a folder atomically: it appears complete or not at all.

    `restore_model_folder` repairs the state after a kill between the two renames.

    Args:
        folder: the folder to create or replace.

    Yields:
        path of a local folder that does not exist yet and that the caller creates: next to the
        folder, or in the scratch folder if the folder is remote.

    Raises:
        UserError: if the folder cannot be written.
    """
    folder = path_rules.output_folder(folder)
    path_rules.check_not_replaced(folder)
    draft = transfer.local_stand_in(folder)
    partial, old = partial_files.partial_path(draft), folder + ".old"
    try:
        _remove_left_behind(draft, partial)
        yield partial
        if storage.is_remote(folder):
            transfer.replace_folder(partial, folder)
            return
        restore_model_folder(folder)
        if storage.is_folder(folder):
            os.rename(folder, old)
        os.rename(partial, folder)
        shutil.rmtree(old, ignore_errors=True)
    except (OSError, tf.errors.OpError) as error:
        raise files.cannot_write(folder, error) from error
    finally:
        shutil.rmtree(partial, ignore_errors=True)


@contextlib.contextmanager
def filled_folder(folder: str, replaces_model: bool = False) -> Iterator[str]:
    """Writes files to a temporary folder first, then moves them into a new or existing folder.

    Other files of an existing folder stay; it is not touched before everything is written.

    Args:
        folder: the folder to create or to add files to.
        replaces_model: bool; whether another model in the folder may be replaced.

    Yields:
        path of an empty local folder to write to.

    Raises:
        UserError: if the folder cannot be written, or holds another model.
    """
    folder = path_rules.output_folder(folder)
    draft = transfer.local_stand_in(folder)
    partial = partial_files.partial_path(draft)
    try:
        _remove_left_behind(draft, partial)
        os.makedirs(partial)
        yield partial
        if storage.is_remote(folder):
            _check_may_be_moved(partial, folder, replaces_model)
            transfer.upload_folder(partial, folder)
            return
        if not storage.is_folder(folder):
            os.rename(partial, folder)
            return
        _check_may_be_moved(partial, folder, replaces_model)
        # The index, which makes a model visible, is moved last.
        for name in sorted(storage.names_in(partial), key=lambda name: name.endswith(".index")):
            os.replace(os.path.join(partial, name), os.path.join(folder, name))
    except (OSError, tf.errors.OpError) as error:
        raise files.cannot_write(folder, error) from error
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def _remove_left_behind(draft, partial):
    """Removes files that killed processes left behind.

    A killed process may have had this process's id: containers assign the same ids at each start.

    `draft`: the folder to create; `partial`: where this process writes it.
    """
    partial_files.remove_left_behind(draft)
    shutil.rmtree(partial, ignore_errors=True)


def _check_may_be_moved(partial, folder, replaces_model):
    """Raises `UserError` if files would replace an input, or those of another model."""
    for name in storage.names_in(partial):
        source, target = (os.path.join(place, name) for place in (partial, folder))
        path_rules.output_file(target)
        # The graph in .meta follows from the config; TensorFlow 1.15 writes it in no fixed order.
        is_new = name.endswith(".meta") or not storage.exists(target)
        if not (replaces_model or is_new or _have_same_content(source, target)):
            raise UserError(
                "%s contains another model (its %s differs): name another folder, or remove "
                "that one" % (folder, name)
            )


def _have_same_content(path, other):
    if storage.size(path) != storage.size(other):
        return False
    return storage.sha256_of_file(path) == storage.sha256_of_file(other)


def restore_model_folder(folder: str) -> None:
    """Restores the former folder if the process was killed between the two renames.

    A remote folder that was being replaced is removed, since it will be written again.
    """
    old = folder + ".old"
    if storage.is_remote(folder):
        transfer.remove_unfinished(folder)
    if storage.is_remote(folder) or not os.path.isdir(old):
        return
    if storage.is_folder(folder):
        shutil.rmtree(old)
    else:
        os.rename(old, folder)
