"""Cached files, which are created again if their sources or their contents have changed."""

import contextlib
import fnmatch
import os
import shutil
import sys
from typing import Any, Iterator, List
import zlib

from albert_zh.common import files, folder_locks, output_files
from albert_zh.common.errors import UserError

MANIFEST = "fingerprint.json"
_BYTES_AT_ONCE = 1 << 20


class FileCache:
    """The files of a folder with the same fingerprint; other files in the folder stay untouched."""

    def __init__(self, folder: str, fingerprint: str) -> None:
        """Reads the list of existing files.

        Args:
            folder: path; need not exist.
            fingerprint: fingerprint of everything that the files are computed from.
        """
        self._folder = folder
        self._fingerprint = fingerprint
        self._checksums = {}  # {file name: checksum}
        self._noted_damaged = set()  # file names; files may be checked twice
        content = self._read_manifest()
        self._is_ours = content is not None and content.get("fingerprint") == fingerprint
        if content is None:
            return
        if content.get("fingerprint") == fingerprint and isinstance(content.get("files"), dict):
            self._checksums = content["files"]
        else:
            self._note(
                "%s belongs to another model, or to the same model with other settings" % folder
            )

    def path(self, name: str) -> str:
        """The path of a file."""
        return os.path.join(self._folder, name)

    def names(self, pattern: str) -> List[str]:
        """Names of the files that match a pattern such as `*.npy`."""
        return sorted(fnmatch.filter(self._checksums, pattern))

    def is_valid(self, name: str) -> bool:
        """Whether a file exists and is unchanged; prints a note on stderr if it is damaged."""
        expected, path = self._checksums.get(name), self.path(name)
        if not os.path.lexists(path) or (expected is None and not self._is_ours):
            return False
        with contextlib.suppress(OSError):
            if expected is not None and expected == _checksum(path):
                return True
        self.note_damaged(name)
        return False

    def note_damaged(self, name: str) -> None:
        """Prints a note on stderr that a file is damaged; once per file."""
        if name not in self._noted_damaged:
            self._noted_damaged.add(name)
            self._note("%s is damaged" % self.path(name))

    def forget(self, name: str) -> None:
        """Removes a file that is to be created again, after removing its manifest entry."""
        self._noted_damaged.discard(name)
        if self._checksums.pop(name, None) is not None:
            self._write_manifest()
        with contextlib.suppress(OSError):  # the next write reports the problem
            os.remove(self.path(name))

    @contextlib.contextmanager
    def writing(self, name: str) -> Iterator[str]:
        """Like `output_files.whole_file`, but replaces a link of `link_files` without following it.

        Args:
            name: name of the file.

        Yields:
            the path to write to.
        """
        if os.path.islink(self.path(name)):
            self.forget(name)
        with output_files.whole_file(self.path(name)) as partial:
            yield partial

    def add(self, *names: str) -> None:
        """Records files as complete in one step: a killed process has recorded all or none."""
        self._checksums.update({name: _checksum(self.path(name)) for name in names})
        self._write_manifest()

    def _read_manifest(self):
        """The manifest's content; None if it does not exist, {} if it is damaged."""
        path = self.path(MANIFEST)
        if not os.path.lexists(path):
            return None
        try:
            content = files.read_json(path)
        except UserError:
            content = None
        if isinstance(content, (dict, str)):  # former versions wrote the fingerprint as a str
            return content if isinstance(content, dict) else {"fingerprint": content}
        self._note("%s is damaged" % path)
        return {"fingerprint": self._fingerprint, "files": {}}

    def _write_manifest(self):
        content = {"fingerprint": self._fingerprint, "files": self._checksums}
        output_files.write_json(self.path(MANIFEST), content)

    def _note(self, problem):
        print("note: %s: rebuilding it" % problem, file=sys.stderr)


def link_files(source: str, folder: str) -> None:
    """Continues the cache of a read-only folder in another folder, without copying the files.

    Args:
        source: the read-only folder; its manifest and notes are copied, its files are linked to.
        folder: the other folder; files of an older state of the source are replaced.
    """
    with folder_locks.one_at_a_time(folder):
        for name in os.listdir(source) if _is_newer(source, folder) else ():
            target = os.path.join(folder, name)
            with contextlib.suppress(FileNotFoundError):
                os.remove(target)
            link = shutil.copyfile if name.endswith(".json") else os.symlink
            link(os.path.join(source, name), target)


def _is_newer(source, folder):
    """Whether a folder has a manifest, and the other folder has none or an older one."""
    manifests = [os.path.join(each, MANIFEST) for each in (source, folder)]
    if not all(map(os.path.exists, manifests)):
        return os.path.exists(manifests[0])
    return os.path.getmtime(manifests[0]) > os.path.getmtime(manifests[1])


def _checksum(path) -> Any:
    """[bytes, CRC-32] of a file."""
    size, crc = 0, 0
    with open(path, "rb") as content:
        for block in iter(lambda: content.read(_BYTES_AT_ONCE), b""):
            size, crc = size + len(block), zlib.crc32(block, crc)
    return [size, crc]
