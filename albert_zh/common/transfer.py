"""Copies files to and from remote storage, and manages the scratch folder for local copies.

transfer.upload("/tmp/x", "gs://bucket/x")
with open(transfer.local_copy("gs://bucket/x"), "rb") as handle: ...
"""

import contextlib
import errno
import hashlib
import os
import posixpath
import stat
import tempfile
from typing import Any, Callable, Set

from albert_zh.common import partial_files, storage

_tidied_folders: Set[str] = set()  # remote folders in which this process has removed partial files
SCRATCH_VARIABLE = "ALBERT_ZH_SCRATCH"  # environment variable that names the scratch folder


def _write_blocks(path, content):
    """Writes an open local file to a remote one, even if it is empty."""
    with storage.gfile().GFile(path, "wb") as handle:
        handle.write(b"")
        for block in iter(lambda: content.read(storage.BLOCK_BYTES), b""):
            handle.write(block)


def upload(source: str, target: str) -> None:
    """Writes a local file to remote storage under a partial name and then renames it.

    Raises:
        StorageError: if the file cannot be written; no partial file is left behind.
    """
    partial = partial_files.partial_path(target)
    storage.make_folders(posixpath.dirname(target))
    _remove_left_behind_in(posixpath.dirname(target))
    try:
        with storage.explained(target), open(source, "rb") as content:
            _write_blocks(partial, content)
        if storage.size(partial) != os.path.getsize(source):
            raise storage.StorageError(
                errno.EIO, "was not written completely", target, storage.TRY_AGAIN
            )
        storage.rename(partial, target)
    except BaseException:
        with contextlib.suppress(OSError):
            storage.remove(partial)
        raise


def _remove_left_behind_in(folder):
    """Removes what uploads of killed processes left; once for each folder, as it is listed."""
    if folder not in _tidied_folders:
        _tidied_folders.add(folder)
        with contextlib.suppress(OSError):  # without the right to list, files may be written
            for name in filter(partial_files.is_left_behind, storage.names_in(folder)):
                path = posixpath.join(folder, name)
                (storage.remove_tree if storage.is_folder(path) else storage.remove)(path)


def download(source: str, target: str, progress: Callable[[int], Any] = lambda size: None) -> None:
    """Copies a remote file to a local one, which appears complete or not at all."""
    partial = partial_files.partial_path(target)
    partial_files.remove_left_behind(target)
    try:
        with storage.open_binary(source) as content, open(partial, "wb") as handle:
            for block in iter(lambda: content.read(storage.BLOCK_BYTES), b""):
                handle.write(block)
                progress(len(block))
        os.replace(partial, target)
    finally:
        with contextlib.suppress(OSError):
            os.remove(partial)


def scratch_folder(path: str) -> str:
    """Returns the local folder for temporary files of a remote path; creates it if missing.

    The folder is always the same for the same path and user, so that files of a killed run are
    found again. It is created below the folder that the environment variable ALBERT_ZH_SCRATCH
    names, or below the system's folder for temporary files.
    """
    root = os.environ.get(SCRATCH_VARIABLE) or os.path.join(
        tempfile.gettempdir(), "albert_zh-%d" % (os.getuid() if hasattr(os, "getuid") else 0)
    )
    os.makedirs(root, mode=0o700, exist_ok=True)
    status = os.stat(root)
    if hasattr(os, "getuid") and (status.st_uid != os.getuid() or not stat.S_ISDIR(status.st_mode)):
        raise storage.StorageError(
            errno.EACCES,
            "belongs to another user",
            root,
            "name a folder with %s" % SCRATCH_VARIABLE,
        )
    name = hashlib.sha256(storage.normalized(path).encode("utf-8", "surrogateescape")).hexdigest()[
        :16
    ]
    folder = os.path.join(root, name)
    os.makedirs(folder, exist_ok=True)
    return folder


def local_copy(path: str) -> str:
    """Returns a local copy of a remote file, for libraries that can only read local files.

    A local path is returned unchanged. The copy is cached in the scratch folder and downloaded
    again when the size or modification time of the remote file changes.
    """
    if not storage.is_remote(path):
        return path
    digest = hashlib.sha256(storage.fingerprint(path).encode()).hexdigest()[:8]
    scratch = scratch_folder(posixpath.dirname(path))
    os.makedirs(os.path.join(scratch, digest), exist_ok=True)
    target = os.path.join(scratch, digest, posixpath.basename(path))
    if not os.path.exists(target):
        for name in os.listdir(scratch):  # a killed run may have begun with an older version
            partial_files.remove_left_behind_in(os.path.join(scratch, name))
        download(path, target)
    return target


def upload_folder(source: str, target: str) -> None:
    """Writes all files below a local folder to a remote one.

    Args:
        source: local folder.
        target: remote folder; its other files are not changed.
    """
    for name in _names_below(source):
        upload(os.path.join(source, name), posixpath.join(target, name))


def replace_folder(source: str, target: str) -> None:
    """Replaces the files of a remote folder with those of a local folder.

    All files are uploaded under another name first. The files that make a model visible are removed
    first and renamed last, so that no reader sees a mixture of old and new files.

    Args:
        source: local folder.
        target: remote folder to create or replace.
    """
    partial = partial_files.partial_path(target)
    names = _names_below(source)
    try:
        upload_folder(source, partial)
        former = storage.files_below(target) if storage.is_folder(target) else []
        for path in sorted(former, key=lambda path: not _makes_visible(path)):
            storage.remove(path)
        for name in names:
            storage.make_folders(posixpath.dirname(posixpath.join(target, name)))
            storage.rename(posixpath.join(partial, name), posixpath.join(target, name))
    finally:
        with contextlib.suppress(OSError):
            storage.remove_tree(partial)


def remove_unfinished(folder: str) -> None:
    """Removes what a killed `replace_folder` left: partial uploads and an incomplete folder."""
    above, name = posixpath.split(folder)
    if not storage.is_folder(above):
        return
    names = storage.names_in(above)
    for draft in names:
        if draft.startswith(name + ".partial-"):
            storage.remove_tree(posixpath.join(above, draft))
    if name in names and not any(map(_makes_visible, storage.files_below(folder))):
        storage.remove_tree(folder)


def _names_below(folder):
    """Relative paths of all files below a folder; those that make a model visible come last."""
    names = [
        os.path.relpath(os.path.join(place, name), folder)
        for place, _, found in os.walk(folder)
        for name in found
    ]
    return sorted(sorted(names), key=_makes_visible)


def _makes_visible(name):
    return name.endswith((".index", "saved_model.pb"))


def local_stand_in(path: str) -> str:
    """Returns a local path unchanged, and for a remote path the path of its local draft."""
    if not storage.is_remote(path):
        return path
    return os.path.join(scratch_folder(os.path.dirname(path)), os.path.basename(path))


def move_file(source: str, target: str) -> None:
    """Renames a local file, or uploads and removes it if the target is remote."""
    if storage.is_remote(target):
        upload(source, target)
        os.remove(source)
    else:
        os.replace(source, target)
