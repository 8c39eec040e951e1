"""Writing files that appear whole or not at all."""

import contextlib
import json
import os
import shutil
from typing import IO, Any, Dict, Iterator

from albert_zh.common import path_rules, storage, transfer
from albert_zh.common.files import cannot_read, cannot_write
from albert_zh.common.partial_files import partial_path, remove_left_behind

# A path that is not UTF-8 has bytes that need an escape; JSON reads it as what it was.
_TEXT_SETTINGS = {"encoding": "utf-8", "newline": "\n", "errors": "backslashreplace"}


@contextlib.contextmanager
def whole_file(path: str) -> Iterator[str]:
    """Lets a file appear whole or not at all.

    Args:
        path: the file to make or replace; its folder is made if missing. A link is followed.

    Yields:
        a local path to write to: beside the file, renamed to `path` when the block ends without an
        error; for a remote file in the scratch folder, uploaded then.

    Raises:
        UserError: when the file cannot be written (read-only folder, full disk ...) or must not be,
            see `path_rules`.
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
    except BrokenPipeError:  # of what the block prints, not of the file
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
    """Waits until a file's bytes are on the disk, to survive a power cut."""
    with open(path, "rb") as handle:
        os.fsync(handle.fileno())


@contextlib.contextmanager
def atomic_write(path: str, mode: str = "w") -> Iterator[IO]:
    """Opens a file for writing that appears whole or not at all, see `whole_file`.

    Args:
        path: the file to make or replace.
        mode: "w" (UTF-8 text, `\\n` line ends) or "wb".

    Yields:
        the open file.
    """
    text_settings: Dict[str, Any] = {} if "b" in mode else _TEXT_SETTINGS
    with whole_file(path) as partial, open(partial, mode, **text_settings) as handle:
        yield handle


def write_json(path: str, value: Any) -> None:
    """Writes `value` as indented JSON, whole or not at all."""
    with atomic_write(path) as handle:
        json.dump(value, handle, ensure_ascii=False, indent=2)
        handle.write("\n")
