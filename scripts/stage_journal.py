"""Records which stages of train_starter.py were started and finished, with their settings."""

import collections
import contextlib
import fcntl
import os
from typing import Iterator, List

from albert_zh.common import files, output_files, validation
from albert_zh.common.errors import UserError

STAGES = validation.record(
    others=validation.record(
        {"is_done": validation.BOOLEAN, "settings": validation.record()}, ["is_done", "settings"]
    )
)

Stage = collections.namedtuple("Stage", ["name", "settings", "make"])
Stage.__doc__ = """A stage of the training.

Fields:
    name: str, also the name of its folder.
    settings: {name: value}, everything that its result depends on, including earlier stages.
    make: function that runs the stage, or resumes it.
"""


@contextlib.contextmanager
def locked(folder: str) -> Iterator[None]:
    """Creates a folder if it does not exist, and locks it for this process.

    Raises:
        UserError: if the folder cannot be written to, or another run is using it.
    """
    try:
        os.makedirs(folder, exist_ok=True)
        lock = open(os.path.join(folder, "lock"), "w")  # noqa: SIM115  (closed below)
    except OSError as error:
        raise files.cannot_write(folder, error) from error
    with lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise UserError("%s: another run is using it" % folder) from error
        yield


class Journal:
    """A file that records which stages were started and finished, with their settings."""

    def __init__(self, path: str) -> None:
        self._path = path
        self._stages = {}
        if os.path.exists(path):
            self._stages = files.read_json(path, STAGES, "remove it to start over")
        for name, entry in self._stages.items():
            if name.endswith("records"):  # older versions included these settings
                for setting in ("arguments", "batch_size", "precision"):
                    entry["settings"].pop(setting, None)

    @property
    def has_begun(self) -> bool:
        """Whether any stage was started."""
        return bool(self._stages)

    def is_done(self, stage: Stage) -> bool:
        """Whether a stage was finished with its current settings."""
        entry = self._stages.get(stage.name, {})
        return entry.get("is_done", False) and not self.changes(stage)

    def changes(self, stage: Stage) -> List[str]:
        """Lists the differences from the settings with which a stage was started."""
        former = self._stages.get(stage.name, {"settings": stage.settings})["settings"]
        return [
            "%s is %s, was %s" % (name, stage.settings.get(name), former.get(name))
            for name in sorted(set(former) | set(stage.settings))
            if not _is_same(former.get(name), stage.settings.get(name))
        ]

    def write(self, stage: Stage, is_done: bool) -> None:
        """Records that a stage is started or finished."""
        self._stages[stage.name] = {"is_done": is_done, "settings": stage.settings}
        output_files.write_json(self._path, self._stages)


def _is_same(former, present):
    """Whether a setting is unchanged; older versions described files by number and size only."""
    return present == former or str(present).startswith("%s (sha256 " % former)
