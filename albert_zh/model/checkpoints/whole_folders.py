"""Folders that appear whole or not at all."""

import contextlib
import os
import shutil
from typing import Iterator

import tensorflow.compat.v1 as tf

from albert_zh.common import files, partial_files, path_rules, storage, transfer
from albert_zh.common.errors import UserError


@contextlib.contextmanager
def replaced_folder(folder: str) -> Iterator[str]:
    """Lets a folder appear whole, in place of the one that is there, or not at all.

    `restore_model_folder` mends what a kill between the two renames left.

    Args:
        folder: the folder to make or replace.

    Yields:
        path of a local folder that does not exist yet, to be made: beside it, or in the scratch
        folder where it is remote.

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
    """Fills a folder aside: a new one appears whole, into one that is there the files are moved.

    Other files of a folder that is there stay; nothing of it is touched before all is written.

    Args:
        folder: the folder to make or to add to.
        replaces_model: bool; whether a model that is there may give way to another one.

    Yields:
        path of an empty local folder to write to.

    Raises:
        UserError: when it cannot be written, or holds another model.
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
        # What makes a model visible is written last.
        for name in sorted(storage.names_in(partial), key=lambda name: name.endswith(".index")):
            os.replace(os.path.join(partial, name), os.path.join(folder, name))
    except (OSError, tf.errors.OpError) as error:
        raise files.cannot_write(folder, error) from error
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def _remove_left_behind(draft, partial):
    """Removes what killed processes left.

    One of them may have had this process's number: a container gives the same ones at each start.

    `draft`: what is made; `partial`: where this process makes it.
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
                "%s holds another model (its %s differs): name another folder, or remove that one"
                % (folder, name)
            )


def _have_same_content(path, other):
    if storage.size(path) != storage.size(other):
        return False
    return storage.sha256_of_file(path) == storage.sha256_of_file(other)


def restore_model_folder(folder: str) -> None:
    """Puts the former folder back where a kill struck between the two renames.

    A remote one that was being replaced is removed: it is made again.
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
