"""Updates the paths in a virtual environment whose folder was moved or copied.

    .venv/bin/python scripts/relocate_environment.py .venv

Rewrites bin/activate* and the first lines of the programs in bin/; links and binaries are not
changed. Prints the old path, or nothing if there is nothing to do.
"""

import glob
import os
import re
import shlex
import shutil
import sys
from typing import Optional

# Longer paths, and paths with a blank, cannot be used after #!.
_LONGEST_PLAIN = 120
# The two forms in which pip writes the interpreter of a program: after #!, or as a command of sh.
_HEADER = (
    rb"#!(?:/bin/sh\n'''exec' )?[\"']?%s(/bin/[^\s\"']+)[\"']?([^\n\"]*?)"
    rb"(?: \"\$0\" \"\$@\")?\n(?:' '''\n)?"
)
_FOR_SH = b"#!/bin/sh\n'''exec' \"%s\"%s \"$0\" \"$@\"\n' '''\n"


def recorded_place(activate: str) -> Optional[str]:
    """Returns the folder written in a `bin/activate`; None if the script determines it itself."""
    match = re.search(r"^(?:.*\s)?VIRTUAL_ENV=([\"']?/.*)$", activate, re.MULTILINE)
    return match and shlex.split(match.group(1))[0]


def relocated_activate(content: bytes, old: str, new: str) -> bytes:
    """Returns an activation script with the new path, quoted for any shell."""
    spellings = ['"%s"' % old, "'%s'" % old, shlex.quote(old)]
    quoted = os.fsencode("'%s'" % new.replace("'", "'\"'\"'"))
    return re.sub(
        b"|".join(re.escape(os.fsencode(text)) for text in spellings), lambda _: quoted, content
    )


def relocated_program(content: bytes, old: str, new: str) -> bytes:
    """Returns a program with the new interpreter path, if its first lines name the old one."""
    match = re.match(_HEADER % re.escape(os.fsencode(old)), content)
    if match is None:
        return content
    interpreter, arguments = os.fsencode(new) + match.group(1), match.group(2)
    is_plain = len(interpreter) <= _LONGEST_PLAIN and not re.search(rb"\s", interpreter)
    header = b"#!%s%s\n" if is_plain else _FOR_SH
    return header % (interpreter, arguments) + content[match.end() :]


def relocate(folder: str) -> Optional[str]:
    """Rewrites all files that name the old path; bin/activate, which records it, comes last.

    Returns:
        the old path, or None if there is nothing to do.
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
    """Replaces a file if its content changes; not in place, as it may be a link to uv's cache."""
    if changed != content:
        with open(path + ".new", "wb") as stream:
            stream.write(changed)
        shutil.copymode(path, path + ".new")
        os.replace(path + ".new", path)


def main() -> int:
    """Prints the old path; returns the exit status."""
    if len(sys.argv) != 2 or sys.argv[1] in ("-h", "--help"):
        print(__doc__.strip())
        return 0 if len(sys.argv) == 2 else 2
    try:
        print(relocate(sys.argv[1]) or "")
    except OSError as error:
        print(
            "relocate_environment.py: error: %s: %s: make it writable: the programs next to it "
            "contain the old path of this environment" % (error.filename, error.strerror),
            file=sys.stderr,
        )
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
