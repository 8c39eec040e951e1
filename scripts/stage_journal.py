"""Which stages of train_starter.py were begun and done, with which settings."""

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
Stage.__doc__ = """A step on the way to the model.

Fields:
    name: str, also of its folder.
    settings: {name: value}, all that its result depends on, former stages included.
    make: function that does it, or the rest of it.
"""


@contextlib.contextmanager
def locked(folder: str) -> Iterator[None]:
    """Makes a folder if it is not there and has it for this process alone.

    Raises:
        UserError: if it cannot be written to, or another run is at work in it.
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
            raise UserError("%s: another run is at work in it" % folder) from error
        yield


class Journal:
    """Which stages were begun and done with which settings; kept in a file."""

    def __init__(self, path: str) -> None:
        self._path = path
        self._stages = {}
        if os.path.exists(path):
            self._stages = files.read_json(path, STAGES, "remove it to start over")
        for name, entry in self._stages.items():
            if name.endswith("records"):  # which depended on these formerly
                for setting in ("arguments", "batch_size", "precision"):
                    entry["settings"].pop(setting, None)

    @property
    def has_begun(self) -> bool:
        """Whether any stage was begun."""
        return bool(self._stages)

    def is_done(self, stage: Stage) -> bool:
        """Whether a stage was done with its present settings."""
        entry = self._stages.get(stage.name, {})
        return entry.get("is_done", False) and not self.changes(stage)

    def changes(self, stage: Stage) -> List[str]:
        """What differs from the settings that a stage was begun with."""
        former = self._stages.get(stage.name, {"settings": stage.settings})["settings"]
        return [
            "%s is %s, was %s" % (name, stage.settings.get(name), former.get(name))
            for name in sorted(set(former) | set(stage.settings))
            if not _is_same(former.get(name), stage.settings.get(name))
        ]

    def write(self, stage: Stage, is_done: bool) -> None:
        """Notes that a stage is begun or done."""
        self._stages[stage.name] = {"is_done": is_done, "settings": stage.settings}
        output_files.write_json(self._path, self._stages)


def _is_same(former, present):
    """Whether a setting is as it was; formerly files had only number and size."""
    return present == former or str(present).startswith("%s (sha256 " % former)
