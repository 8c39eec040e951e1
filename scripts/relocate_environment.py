"""Has a virtual environment whose folder was moved or copied name its new place.

    .venv/bin/python scripts/relocate_environment.py .venv

Rewrites bin/activate* and the first lines of the programs in bin/; links and binaries stay. Prints
the old place, or nothing where there is nothing to do.
"""

import glob
import os
import re
import shlex
import shutil
import sys
from typing import Optional

# Longer paths, and those with a blank, cannot stand behind #!.
_LONGEST_PLAIN = 120
# The two forms in which pip names the interpreter of a program: behind #!, or for sh.
_HEADER = (
    rb"#!(?:/bin/sh\n'''exec' )?[\"']?%s(/bin/[^\s\"']+)[\"']?([^\n\"]*?)"
    rb"(?: \"\$0\" \"\$@\")?\n(?:' '''\n)?"
)
_FOR_SH = b"#!/bin/sh\n'''exec' \"%s\"%s \"$0\" \"$@\"\n' '''\n"


def recorded_place(activate: str) -> Optional[str]:
    """The folder that a script `bin/activate` was written for; None where it finds that out."""
    match = re.search(r"^(?:.*\s)?VIRTUAL_ENV=([\"']?/.*)$", activate, re.MULTILINE)
    return match and shlex.split(match.group(1))[0]


def relocated_activate(content: bytes, old: str, new: str) -> bytes:
    """An activation script, with the new place quoted for any shell."""
    spellings = ['"%s"' % old, "'%s'" % old, shlex.quote(old)]
    quoted = os.fsencode("'%s'" % new.replace("'", "'\"'\"'"))
    return re.sub(
        b"|".join(re.escape(os.fsencode(text)) for text in spellings), lambda _: quoted, content
    )


def relocated_program(content: bytes, old: str, new: str) -> bytes:
    """A program; unchanged unless its first lines name an interpreter in the old place."""
    match = re.match(_HEADER % re.escape(os.fsencode(old)), content)
    if match is None:
        return content
    interpreter, arguments = os.fsencode(new) + match.group(1), match.group(2)
    is_plain = len(interpreter) <= _LONGEST_PLAIN and not re.search(rb"\s", interpreter)
    header = b"#!%s%s\n" if is_plain else _FOR_SH
    return header % (interpreter, arguments) + content[match.end() :]


def relocate(folder: str) -> Optional[str]:
    """Rewrites what names another place; bin/activate last, by which that is seen.

    Returns:
        the old place, or None where nothing names one.
    """
    new = os.path.realpath(folder)
    activate = os.path.join(new, "bin", "activate")
    old = recorded_place(os.fsdecode(_read(activate)))
    if old is None or old in (new, os.path.abspath(folder)):
        return None
    paths = glob.glob(os.path.join(glob.escape(new), "bin", "*"))
    for path in sorted(paths, key=lambda path: path == activate):
        if os.path.isfile(path) and not os.path.islink(path):
            is_activation = os.path.basename(path).startswith("activate")
            change = relocated_activate if is_activation else relocated_program
            content = _read(path)
            _replace(path, content, change(content, old, new))
    return old


def _read(path):
    with open(path, "rb") as stream:
        return stream.read()


def _replace(path, content, changed):
    """Replaces a file whose content changes; it may be a hard link into uv's cache."""
    if changed != content:
        with open(path + ".new", "wb") as stream:
            stream.write(changed)
        shutil.copymode(path, path + ".new")
        os.replace(path + ".new", path)


def main() -> int:
    """Prints the old place; returns the exit status."""
    if len(sys.argv) != 2 or sys.argv[1] in ("-h", "--help"):
        print(__doc__.strip())
        return 0 if len(sys.argv) == 2 else 2
    try:
        print(relocate(sys.argv[1]) or "")
    except OSError as error:
        print(
            "relocate_environment.py: error: %s: %s: make it writable: the programs beside it name "
            "the old place of this environment" % (error.filename, error.strerror),
            file=sys.stderr,
        )
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
