"""How commands end."""

import os
import shutil
import subprocess
import sys

import pytest

from workspace import ROOT

COMMAND = (
    """
import sys
sys.path.insert(0, %r)
from errors import Interrupted, UserError, run_command

def main(words=()):
    %%s

run_command(main, takes_words=%%s)
"""
    % ROOT
)


def run(body, *arguments, takes_words=False, before="", after=""):
    program = COMMAND % (body, takes_words)
    return subprocess.run(
        "%s '%s' -c \"$PROGRAM\" %s %s" % (before, sys.executable, " ".join(arguments), after),
        shell=True,
        executable="/bin/bash",
        env={"PROGRAM": program, "PATH": "/usr/bin:/bin"},
        capture_output=True,
        text=True,
    )


@pytest.mark.parametrize(
    "body, status, message",
    [
        ("return None", 0, ""),
        ("raise UserError('x.txt, line 3: bad')", 2, "-c: error: x.txt, line 3: bad\n"),
        ("raise Interrupted('stopped at step 3')", 130, "stopped at step 3\n"),
        ("raise KeyboardInterrupt", 130, "stopped; the same command starts again cleanly\n"),
    ],
)
def test_ends_with_a_line_and_a_status(body, status, message):
    result = run(body)
    assert (result.returncode, result.stderr, result.stdout) == (status, message, "")


def test_a_bug_keeps_its_traceback():
    result = run("return 1 // 0")
    assert result.returncode == 1 and "ZeroDivisionError" in result.stderr


def test_a_closed_pipe_is_no_error():
    result = run("print('x' * 1000000, flush=True)", after="| head -c 1; echo ${PIPESTATUS[0]}")
    assert result.stdout == "x141\n" and result.stderr == ""


def test_streams_that_cannot_show_chinese_get_escapes():
    result = run("print('好')", before="PYTHONIOENCODING=ascii")
    assert (result.returncode, result.stdout) == (0, "\\u597d\n")
    assert run("print('x')", after=">&-").returncode == 0


def test_stray_words_are_taken_only_by_commands_that_want_them():
    refused = run("return None", "--", "word")
    assert refused.returncode == 2 and "unexpected argument 'word'" in refused.stderr
    assert run("print(words)", "a", "b", takes_words=True).stdout == "['a', 'b']\n"


@pytest.mark.parametrize("is_command", [True, False])
def test_commands_collect_no_garbage_before_they_begin(tmp_path, is_command):
    """And stop at once. A program of one's own that lies beside them is left alone."""
    shutil.copy(os.path.join(ROOT, "errors.py"), str(tmp_path))
    begin = "    run_command(show)\n" if is_command else "    show()\n"
    (tmp_path / "program.py").write_text(
        "import gc, signal\n"
        "from errors import run_command, stop_at_once\n"
        "def show():\n"
        "    print(gc.isenabled(), signal.getsignal(signal.SIGINT) is stop_at_once)\n"
        "show()\n"
        "if __name__ == '__main__':\n" + begin
    )
    command = [sys.executable, str(tmp_path / "program.py")]
    done = subprocess.run(command, capture_output=True, text=True)
    first = "False True\n" if is_command else "True False\n"
    assert done.stdout == first + "True False\n"
