"""The hidden folder in which a long run saves its progress, so that it can be resumed.

    with work_folder("my/records.tfrecord", manifest, resume=True) as folder:
        if not folder.is_finished("00000001"):
            ...  # any process: write files under folder.path, then
            folder.finish("00000001", {"counts": ...})

The folder is created next to the output (for remote output in the scratch folder) and removed at
the end of the block, even after an error. It is preserved if the run is interrupted or killed: the
same run continues there with `resume`. Its manifest lists the settings and inputs of the run; a run
with any other settings or inputs does not use the folder.
"""

import contextlib
import errno
import json
import os
import shutil
import sys
import time
from typing import Any, Dict, Iterator

from albert_zh.common import (
    files,
    folder_locks,
    output_files,
    path_rules,
    storage,
    transfer,
    validation,
)
from albert_zh.common.errors import Interrupted, UserError, printable
from albert_zh.common.folder_locks import fcntl

_SHOWN_SETTING = 200  # characters of a setting in an error
_MANIFEST = "manifest.json"
_MANIFEST_KIND = validation.record(others=validation.record())
_START_OVER = "leave --resume out to start over"
_NO_SPACE = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
_SECONDS_TO_WAIT = 10  # for the processes of a run that was killed


class Unfinished(UserError):
    """An error after which the same run can be resumed."""


@contextlib.contextmanager
def work_folder(
    output: str, manifest: Dict[str, Dict[str, Any]], resume: bool
) -> Iterator["WorkFolder"]:
    """Creates the folder of a run, or reuses the folder of an interrupted run.

    Args:
        output: the file that the run creates.
        manifest: the settings and inputs of the run, as JSON values.
        resume: whether to continue an interrupted run; otherwise the run starts over.

    Yields:
        `WorkFolder`.

    Raises:
        UserError: if another process works on that output, the folder cannot be created or, with
            `resume`, belongs to a run with other settings or inputs.
        Interrupted: instead of a KeyboardInterrupt, if a part of the run is finished.
    """
    target = transfer.local_stand_in(path_rules.output_file(output))
    path = os.path.join(os.path.dirname(target), ".%s.unfinished" % os.path.basename(target))
    if storage.is_remote(output):
        print("unfinished work of %s: %s" % (output, path), file=sys.stderr)
    try:
        with _locked(path, output):
            _prepare(path, manifest, resume)
            yield from _kept_if_stopped(WorkFolder(path, manifest), output)
    except OSError as error:
        raise files.cannot_write(output, error) from error


def _kept_if_stopped(folder, output):
    """Yields the folder and removes it, unless the run can be resumed and has finished parts."""
    try:
        yield folder
    except (KeyboardInterrupt, Unfinished) as error:
        if not folder.num_finished():
            _remove(folder.path)
            raise
        if isinstance(error, Unfinished):
            raise
        raise Interrupted(
            "stopped; the same command with --resume continues from here, without it starts over"
        ) from error
    except BaseException as error:
        number = getattr(error, "errno", None)
        if number in _NO_SPACE and folder.num_finished():
            raise Unfinished(
                "%s: cannot be written (%s): free space; the same command with --resume continues "
                "from here" % (output, os.strerror(number))
            ) from error
        _remove(folder.path)
        raise
    _remove(folder.path)


def _remove(path):
    """Removes the folder, the manifest first, so that a partially removed folder is not reused."""
    with contextlib.suppress(FileNotFoundError):
        os.remove(os.path.join(path, _MANIFEST))
    shutil.rmtree(path)


class WorkFolder:
    """Stores the results of the finished parts of a run.

    Attributes:
        path: str, path of the folder.
        manifest: the settings and inputs of the run.
    """

    def __init__(self, path: str, manifest: Dict[str, Dict[str, Any]]) -> None:
        self.path, self.manifest = path, manifest

    def finish(self, name: str, result: Any) -> None:
        """Marks a part as finished and stores its result, a JSON value."""
        with output_files.atomic_write(self._file(name)) as handle:
            json.dump(result, handle, ensure_ascii=False)

    def is_finished(self, name: str) -> bool:
        return os.path.exists(self._file(name))

    def result(self, name: str, kind: validation.Kind) -> Any:
        """Returns what `finish` stored; raises `UserError` if not of the `validation.Kind`."""
        return files.read_json(self._file(name), kind, _START_OVER)

    def num_finished(self) -> int:
        return sum(name.endswith(".done") for name in os.listdir(self.path))

    def _file(self, name):
        return os.path.join(self.path, name + ".done")


@contextlib.contextmanager
def _locked(path, output):
    """Creates the folder and locks it for this process and its child processes."""
    if fcntl is None:
        os.makedirs(path, exist_ok=True)
        yield
        return
    lock = folder_locks.open_locked_folder(path, lambda descriptor: _lock(descriptor, output))
    try:
        yield
    finally:
        os.close(lock)


def _lock(lock, output):
    deadline = time.time() + _SECONDS_TO_WAIT
    while True:
        try:
            return fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            if time.time() > deadline:
                raise UserError(
                    "%s: another process is writing it: wait for it or choose another output"
                    % output
                ) from error
        time.sleep(0.2)


def _prepare(path, manifest, resume):
    """Empties the folder or, with `resume`, checks that it belongs to this run."""
    manifest_file = os.path.join(path, _MANIFEST)
    has_begun = os.path.exists(manifest_file)
    if has_begun and resume:
        former = files.read_json(manifest_file, _MANIFEST_KIND, _START_OVER)
        _check_same(former, manifest, path)
        return
    if os.listdir(path):
        print("starting over (--resume would continue the interrupted run)", file=sys.stderr)
        for name in sorted(os.listdir(path), key=_MANIFEST.__ne__):  # the manifest first, as above
            os.remove(os.path.join(path, name))
    try:
        output_files.write_json(manifest_file, manifest)
    except BaseException:
        _remove(path)
        raise


def _check_same(before, now, path):
    """Raises `UserError` for the first setting or input that has changed."""
    for section in sorted(set(before) | set(now)):
        old, new = before.get(section, {}), now.get(section, {})
        for name in sorted(set(old) | set(new)):
            if old.get(name) != new.get(name):
                then, present = (
                    validation.shortened(printable(str(values.get(name))), _SHOWN_SETTING)
                    for values in (old, new)
                )
                raise UserError(
                    "--resume: %s %s was %s when %s was begun and is %s now: %s"
                    % (section, validation.printed_name(name), then, path, present, _START_OVER)
                )
