"""Unpacks zip archives from the Internet safely."""

import os
import re
import shutil
import stat
import struct
import zipfile
import zlib

from albert_zh.common import validation
from albert_zh.common.errors import UserError
from albert_zh.common.output_files import atomic_write
from downloading import free_bytes, full_disk_named, megabytes, no_space

MAX_MEMBERS = 10000
MAX_UNPACKED_BYTES = 20 << 30
# Zero-filled variables compress well, text by a factor of about 3; small archives are no danger.
MAX_RATIO = 100
ALWAYS_ALLOWED_BYTES = 100 << 20
_LONGEST_NAME = 200  # bytes; file systems allow 255, and temporary names are longer

# Errors that Python raises for damaged archives.
_BROKEN = (zipfile.BadZipFile, zlib.error, struct.error, EOFError, ValueError, OSError)
_COMPRESSIONS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
_JUNK = re.compile(r"(^|/)(__MACOSX/|\.DS_Store$|\._)")


def check_is_zip(head: bytes, source: str) -> None:
    """Raises `UserError` if a file, by its first bytes, is not a zip archive."""
    if not head.startswith(b"PK\x03\x04"):
        raise UserError(
            "%s: not a zip archive, it begins with %r: perhaps an error page of a proxy, or a "
            "wrong address" % (source, head[:40])
        )


def unpack(archive: str, folder: str, source: str) -> None:
    """Unpacks a zip archive into a new folder, without the archive's top folder if there is one.

    Args:
        archive: the zip file.
        folder: the folder to create.
        source: name of the archive in error messages.

    Raises:
        NoSpace: no space on the disk; the archive may be intact.
        UserError: if the archive is broken, would unpack to an absurd size, or has members that are
            not plain files inside `folder`.
    """
    try:
        with zipfile.ZipFile(archive) as opened:
            # `is_dir` fails for an empty name.
            members = [info for info in opened.infolist() if not info.filename.endswith("/")]
            size = _checked_size(members, os.path.getsize(archive), source)
            paths = _paths_inside(members, source)
            if size > free_bytes(folder):
                raise no_space(folder, _to_unpack(size))
            with full_disk_named(folder, _to_unpack(size)):
                _write_members(opened, zip(members, paths), folder)
    except UserError:
        raise
    except RuntimeError as error:  # NotImplementedError too: encrypted, or unusual compression
        raise UserError("%s: zip archive that cannot be read: %s" % (source, error)) from error
    except _BROKEN as error:
        raise UserError(
            "%s: broken zip archive (%s): download it again" % (source, error)
        ) from error


def _write_members(opened, places, folder):
    for info, path in places:
        if path is not None:
            with opened.open(info) as member, atomic_write(
                os.path.join(folder, path), "wb"
            ) as target:
                shutil.copyfileobj(member, target, 1 << 20)


def _checked_size(members, archive_bytes, source):
    """Returns the unpacked size of all members; raises `UserError` if it is absurdly large."""
    unpacked = sum(member.file_size for member in members)
    allowed = min(MAX_UNPACKED_BYTES, max(ALWAYS_ALLOWED_BYTES, MAX_RATIO * archive_bytes))
    if unpacked > allowed or len(members) > MAX_MEMBERS:
        raise UserError(
            "%s: refused: its %d bytes would unpack to %d bytes in %d files"
            % (source, archive_bytes, unpacked, len(members))
        )
    return unpacked


def _to_unpack(size):
    return "%s to unpack" % megabytes(size)


def _paths_inside(members, source):
    """Returns each member's path below the target folder; None for junk that macOS adds."""
    if any(member.compress_type not in _COMPRESSIONS for member in members):
        raise UserError("%s: refused: packed in an unusual way" % source)
    path_components = [_path_components(member, source) for member in members]
    kept = [names for names in path_components if names is not None]
    if not kept:
        raise UserError("%s: this archive contains no files" % source)
    has_top = all(len(names) > 1 and names[0] == kept[0][0] for names in kept)
    paths = [names and os.path.join(*names[has_top:]) for names in path_components]
    if len({tuple(names) for names in kept}) < len(kept):
        raise UserError("%s: refused: two files in it have the same name" % source)
    folders = {tuple(names[:depth]) for names in kept for depth in range(1, len(names))}
    for names in kept:
        if tuple(names) in folders:
            raise UserError(
                "%s: refused: its member %r is a file and a folder" % (source, "/".join(names))
            )
    return paths


def _path_components(member, source):
    """Splits a member's path into names; returns None for junk, raises `UserError` if unsafe."""
    name = member.filename.replace("\\", "/")
    if _JUNK.search(name):
        return None
    components = [component for component in name.split("/") if component not in ("", ".")]
    if (
        not components
        or max(len(os.fsencode(component)) for component in components) > _LONGEST_NAME
    ):
        raise UserError(
            "%s: refused: its member %s has no name, or one of over %d bytes"
            % (source, validation.shown(name), _LONGEST_NAME)
        )
    kind = stat.S_IFMT(member.external_attr >> 16)
    is_plain = kind in (0, stat.S_IFREG)
    if name.startswith("/") or re.match("[A-Za-z]:", name) or ".." in components or not is_plain:
        raise UserError(
            "%s: refused: its member %r is a link or leaves the target folder" % (source, name)
        )
    return components
