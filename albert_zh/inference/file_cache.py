"""Files that are made from something else and kept: made again when that or their bytes changed."""

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
    """The files of a folder that belong to one fingerprint; others in the folder are left alone."""

    def __init__(self, folder: str, fingerprint: str) -> None:
        """Reads which files are there.

        Args:
            folder: path; need not exist.
            fingerprint: of everything that the files are made from.
        """
        self._folder = folder
        self._fingerprint = fingerprint
        self._checksums = {}  # of each file, by its name
        self._noted_damaged = set()  # names; a file is asked for as it is and as a former state
        content = self._read_manifest()
        self._is_ours = content is not None and content.get("fingerprint") == fingerprint
        if content is None:
            return
        if content.get("fingerprint") == fingerprint and isinstance(content.get("files"), dict):
            self._checksums = content["files"]
        else:
            self._note("%s is of another model, or of other settings of it" % folder)

    def path(self, name: str) -> str:
        """The path of a file."""
        return os.path.join(self._folder, name)

    def names(self, pattern: str) -> List[str]:
        """Names of the files that fit a pattern such as `*.npy`."""
        return sorted(fnmatch.filter(self._checksums, pattern))

    def is_valid(self, name: str) -> bool:
        """Whether a file is there as it was added; a damaged one is noted on stderr."""
        expected, path = self._checksums.get(name), self.path(name)
        if not os.path.lexists(path) or (expected is None and not self._is_ours):
            return False
        with contextlib.suppress(OSError):
            if expected is not None and expected == _checksum(path):
                return True
        self.note_damaged(name)
        return False

    def note_damaged(self, name: str) -> None:
        """Notes on stderr that a file cannot be used as it is; once for each file."""
        if name not in self._noted_damaged:
            self._noted_damaged.add(name)
            self._note("%s is damaged" % self.path(name))

    def forget(self, name: str) -> None:
        """Removes a file that is to be made again, and the manifest's entry before."""
        self._noted_damaged.discard(name)
        if self._checksums.pop(name, None) is not None:
            self._write_manifest()
        with contextlib.suppress(OSError):  # writing it again says what is wrong
            os.remove(self.path(name))

    @contextlib.contextmanager
    def writing(self, name: str) -> Iterator[str]:
        """As `output_files.whole_file`; a link of `link_files` is replaced, not followed.

        Args:
            name: of the file.

        Yields:
            the path to write to.
        """
        if os.path.islink(self.path(name)):
            self.forget(name)
        with output_files.whole_file(self.path(name)) as partial:
            yield partial

    def add(self, *names: str) -> None:
        """Notes that files are complete, all at once: a killed process has noted all or none."""
        self._checksums.update({name: _checksum(self.path(name)) for name in names})
        self._write_manifest()

    def _read_manifest(self):
        """Its content; None if it does not exist, {} if it is damaged."""
        path = self.path(MANIFEST)
        if not os.path.lexists(path):
            return None
        try:
            content = files.read_json(path)
        except UserError:
            content = None
        if isinstance(content, (dict, str)):  # a str is the whole fingerprint of former versions
            return content if isinstance(content, dict) else {"fingerprint": content}
        self._note("%s is damaged" % path)
        return {"fingerprint": self._fingerprint, "files": {}}

    def _write_manifest(self):
        content = {"fingerprint": self._fingerprint, "files": self._checksums}
        output_files.write_json(self.path(MANIFEST), content)

    def _note(self, problem):
        print("note: %s: made again" % problem, file=sys.stderr)


def link_files(source: str, folder: str) -> None:
    """Lets a cache in a folder that can only be read go on in another one, without copies.

    Args:
        source: the folder; its manifest and other notes are copied, its files linked to.
        folder: the other one; what it has of an older state of the source is replaced.
    """
    with folder_locks.one_at_a_time(folder):
        for name in os.listdir(source) if _is_newer(source, folder) else ():
            target = os.path.join(folder, name)
            with contextlib.suppress(FileNotFoundError):
                os.remove(target)
            link = shutil.copyfile if name.endswith(".json") else os.symlink
            link(os.path.join(source, name), target)


def _is_newer(source, folder):
    """Whether a folder has a manifest, and the other one none or an older one."""
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
