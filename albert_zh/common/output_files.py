"""Writes files atomically: a file appears complete or not at all."""

import contextlib
import json
import os
import shutil
from typing import IO, Any, Dict, Iterator

from albert_zh.common import path_rules, storage, transfer
from albert_zh.common.files import cannot_read, cannot_write
from albert_zh.common.partial_files import partial_path, remove_left_behind

# Bytes of a path that are not UTF-8 are escaped; a JSON reader restores the original path.
_TEXT_SETTINGS = {"encoding": "utf-8", "newline": "\n", "errors": "backslashreplace"}


@contextlib.contextmanager
def whole_file(path: str) -> Iterator[str]:
    """Context manager that writes a file atomically: it appears complete or not at all.

    Args:
        path: the file to create or replace; its folder is created if missing. Links are followed.

    Yields:
        a local path to write to. It is in the folder of the file and is renamed to `path` when the
        block ends without an error; for a remote file it is in the scratch folder and is uploaded
        then.

    Raises:
        UserError: if the file cannot be written (read-only folder, full disk ...) or must not be
            written, see `path_rules`.
    """
    target = path_rules.output_file(path)
    is_remote = storage.is_remote(target)
    partial = partial_path(transfer.local_stand_in(target))
    remove_left_behind(transfer.local_stand_in(target))
    try:
        os.makedirs(os.path.dirname(partial), exist_ok=True)
        yield partial
        if is_remote:
            transfer.upload(partial, target)
        else:
            sync(partial)
            os.replace(partial, target)
    except BrokenPipeError:  # caused by output that the block prints, not by the file
        raise
    except OSError as error:
        raise cannot_write(path, error) from error
    finally:
        with contextlib.suppress(OSError):
            os.remove(partial)


def copy_file(source: str, target: str) -> None:
    """Copies a file, local or remote, to a local path."""
    try:
        if storage.is_remote(source):
            transfer.download(source, target)
        else:
            shutil.copyfile(source, target)
    except OSError as error:
        if error.filename == target:
            raise
        raise cannot_read(source, error) from error


def sync(path: str) -> None:
    """Waits until a file's content is on disk, so that it survives a power failure."""
    with open(path, "rb") as handle:
        os.fsync(handle.fileno())


@contextlib.contextmanager
def atomic_write(path: str, mode: str = "w") -> Iterator[IO]:
    """Opens a file for atomic writing, see `whole_file`.

    Args:
        path: the file to create or replace.
        mode: "w" (UTF-8 text, `\\n` line ends) or "wb".

    Yields:
        the open file.
    """
    text_settings: Dict[str, Any] = {} if "b" in mode else _TEXT_SETTINGS
    with whole_file(path) as partial, open(partial, mode, **text_settings) as handle:
        yield handle


def write_json(path: str, value: Any) -> None:
    """Writes `value` as indented JSON, atomically."""
    with atomic_write(path) as handle:
        json.dump(value, handle, ensure_ascii=False, indent=2)
        handle.write("\n")
