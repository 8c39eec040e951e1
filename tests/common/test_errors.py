"""How commands end: exit codes, messages and output streams."""

import os
import shutil
import subprocess
import sys

import pytest

from albert_zh.common.errors import table_cell
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
        ("raise KeyboardInterrupt", 130, "stopped; it is safe to run the same command again\n"),
    ],
)
def test_ends_with_a_line_and_a_status(body, status, message):
    result = run(body)
    assert (result.returncode, result.stderr, result.stdout) == (status, message, "")


def test_a_bug_keeps_its_traceback():
    result = run("return 1 // 0")
    assert result.returncode == 1 and "ZeroDivisionError" in result.stderr


def test_warnings_for_users_are_one_line():
    result = run("from warnings import warn; warn('a.txt: twice'); warn('b', FutureWarning)")
    first, second, *_ = result.stderr.split("\n")
    assert first == "warning: a.txt: twice" and ": FutureWarning: b" in second


def test_a_cell_of_a_table_is_in_one_line():
    assert table_cell("甲\t乙\r\n丙\u2028丁 戊\u3000己") == "甲 乙 丙 丁 戊\u3000己"


def test_a_closed_pipe_is_no_error():
    result = run("print('x' * 1000000, flush=True)", after="| head -c 1; echo ${PIPESTATUS[0]}")
    assert result.stdout == "x141\n" and result.stderr == ""
    gone = "| (exec <&-; sleep 1); echo ${PIPESTATUS[0]}"  # absl writes help of any length
    result = run("return None", "--help", before="PYTHONUNBUFFERED=1", after=gone)
    assert result.stdout == "141\n" and result.stderr == ""


def test_streams_that_cannot_show_chinese_get_escapes():
    result = run("print('好')", before="PYTHONIOENCODING=ascii")
    assert (result.returncode, result.stdout) == (0, "\\u597d\n")
    assert run("print('x')", after=">&-").returncode == 0


def test_stray_words_are_taken_only_by_commands_that_want_them():
    refused = run("return None", "--", "word")
    assert refused.returncode == 2 and "unexpected argument 'word'" in refused.stderr
    assert run("print(words)", "a", "b", takes_words=True).stdout == "['a', 'b']\n"


KNOWN_FLAG = "from absl import flags; flags.DEFINE_integer('known', 0, 'help')\n"


def run_with_flag(*arguments):
    program = COMMAND % ("from absl import flags; print(flags.FLAGS.known, words)", True)
    program = program.replace("run_command(main,", KNOWN_FLAG + "run_command(main,")
    return subprocess.run(
        [sys.executable, "-c", program] + list(arguments), capture_output=True, text=True
    )


def test_unknown_flags_end_a_command():
    result = run_with_flag("--known=1", "--other=2")
    assert (result.returncode, result.stdout) == (2, "")
    assert "Unknown command line flag 'other'" in result.stderr
    assert "--ignore_unknown_flags" in result.stderr and result.stderr.count("\n") == 1
    assert run_with_flag("--noignore_unknown_flags", "--other=2").returncode == 2
    assert run_with_flag("--ignore_unknown_flags=False", "--other=2").returncode == 2


@pytest.mark.parametrize(
    "unknown",
    [
        ["--other=2"],
        ["-other", "2"],
        ["--other"],
        ["--noother"],
        ["--other", "--more=[a]", "--x=y z"],
    ],
)
@pytest.mark.parametrize("switch", ["--ignore_unknown_flags", "--ignore_unknown_flags=true"])
@pytest.mark.parametrize("is_first", [True, False])
def test_unknown_flags_are_named_and_passed_over_if_asked_for(unknown, switch, is_first):
    words = [switch] + unknown if is_first else unknown + [switch]
    result = run_with_flag(*words, "--known=1", "--", "a", "-b")
    assert (result.returncode, result.stdout) == (0, "1 ['a', '-b']\n")
    expected = [" ".join(unknown)] if len(unknown) < 3 else unknown
    assert result.stderr.splitlines() == [
        "warning: unknown flag ignored: " + flag for flag in expected
    ]


def test_mistakes_in_known_flags_are_none_to_be_passed_over(tmp_path):
    result = run_with_flag("--ignore_unknown_flags", "--known=a")
    assert result.returncode == 2 and "--known=a" in result.stderr
    flagfile = tmp_path / "flags"
    flagfile.write_text("--other=3\n--known=4\n")
    result = run_with_flag("--ignore_unknown_flags", "--flagfile=%s" % flagfile)
    assert result.stdout == "4 []\n" and "unknown flag ignored: --other=3\n" in result.stderr


@pytest.mark.parametrize("is_command", [True, False])
def test_commands_collect_no_garbage_before_they_begin(tmp_path, is_command):
    """They also stop at once on Ctrl-C. A user's program in the same folder is not affected."""
    shutil.copytree(
        os.path.join(ROOT, "albert_zh", "common"), str(tmp_path / "albert_zh" / "common")
    )
    shutil.copy(os.path.join(ROOT, "albert_zh", "__init__.py"), str(tmp_path / "albert_zh"))
    (tmp_path / "pyproject.toml").touch()  # as in a clone
    (tmp_path / "albert_zh" / "commands").mkdir()
    (tmp_path / "albert_zh" / "commands" / "show.py").write_text(
        "import gc, signal\n"
        "from albert_zh.common.errors import run_command, stop_at_once\n"
        "def show():\n"
        "    print(gc.isenabled(), signal.getsignal(signal.SIGINT) is stop_at_once)\n"
        "show()\n"
        "def main():\n"
        "    run_command(show)\n"
    )
    program = tmp_path / ("show.py" if is_command else "program.py")
    program.write_text(
        '"""Says it twice."""\n\nfrom albert_zh.commands.show import %s\n\n%s()\n'
        % (("main",) * 2 if is_command else ("show",) * 2)
    )
    done = subprocess.run([sys.executable, str(program)], capture_output=True, text=True)
    first = "False True\n" if is_command else "True False\n"
    assert done.stdout == first + "True False\n", done.stderr


@pytest.mark.parametrize("body", ["print('x')", "print('x', flush=True)", "print('x' * 100000)"])
@pytest.mark.parametrize("before", ["", "PYTHONUNBUFFERED=1"])
def test_full_output_is_one_line(body, before):
    result = run(body, before=before, after="> /dev/full")
    assert result.returncode == 2
    message = "-c: error: standard output: cannot be written (No space left on device)"
    assert result.stderr.startswith(message) and result.stderr.count("\n") == 1


def test_full_output_is_not_taken_for_the_file_that_is_written(tmp_path):
    body = "from albert_zh.common import output_files\n"
    body += "    with output_files.atomic_write(%r): print('x', flush=True)"
    result = run(body % str(tmp_path / "file"), after="> /dev/full")
    assert result.returncode == 2 and "error: standard output" in result.stderr
    assert not os.listdir(str(tmp_path))


@pytest.mark.parametrize("body", ["print('x')", "print('x' * 1000000)", "raise UserError('x')"])
def test_a_reader_that_is_gone_ends_it_silently(body):
    result = run(body, after="| (exec <&-; sleep 0.5); exit ${PIPESTATUS[0]}", before="sleep 0.2;")
    is_mistake = "raise" in body
    assert result.returncode == (2 if is_mistake else 141)
    assert result.stderr == ("-c: error: x\n" if is_mistake else "")


@pytest.mark.parametrize("after", [">&-", "2>&-", ">&- 2>&-", "2>/dev/full", "<&-"])
def test_closed_streams_end_nothing(after):
    assert run("print('x'); print('y', file=sys.stderr)", after=after).returncode == 0
    assert run("raise UserError('x')", after=after).returncode == 2


def test_closed_input_is_one_line():
    for body in ("input()", "sys.stdin.read()", "sys.stdin.buffer.read1(10)"):
        result = run(body, after="<&-")
        assert result.returncode == 2
        assert result.stderr.startswith("-c: error: standard input is closed")
        assert result.stderr.count("\n") == 1


@pytest.mark.parametrize("flag", ["--help", "--helpfull", "--helpshort", "--helpxml", "-h", "-?"])
def test_help_is_no_error(flag):
    result = run("return None", flag)
    assert result.returncode == 0 and "helpfull" in result.stdout and result.stderr == ""
    assert run("return None", flag, after="> /dev/full").returncode == 2


def test_names_are_shown_without_control_characters():
    result = run(r"raise UserError('a\nb\x1b[31m\x07\u202e\x85\u2028 \u3000\ud8ff\u597d')")
    shown = "-c: error: a\\nb\\x1b[31m\\x07\\u202e\\x85\\u2028 \u3000\\ud8ff\u597d\n"
    assert result.stderr == shown


def test_too_little_memory_is_one_line():
    result = run("raise MemoryError")
    assert result.returncode == 2 and result.stderr.startswith("-c: error: out of memory: ")


@pytest.mark.parametrize(
    "name, is_told", [("ENOSPC", True), ("EMFILE", True), ("EACCES", True), ("ENOENT", False)]
)
def test_what_the_system_lacks_is_one_line(name, is_told):
    result = run("import errno\n    raise OSError(errno.%s, 'reason', 'file')" % name)
    assert (result.returncode == 2) == is_told == ("Traceback" not in result.stderr)
    assert "file" in result.stderr


@pytest.mark.parametrize("number", ["nan", "inf", "-inf", "-0.5"])
def test_numbers_that_are_none_are_refused(number):
    body = "return None\nfrom absl import flags\nflags.DEFINE_float('rate', 0.1, 'A rate.')"
    result = run(body, "--rate=" + number)
    assert result.returncode == 2
    assert result.stderr == "-c: error: --rate=%s: expected a number, 0 or more\n" % number
    assert run(body, "--rate=0").returncode == 0


# Like IPython's %run: the script is the main module, and output goes to an object.
NOTEBOOK = """
import contextlib, io, os, runpy, signal, sys
sys.path[:0] = [os.path.dirname(sys.argv[2]), sys.argv[1]]
sys.argv = sys.argv[2:]
for _ in range(2):
    shown = io.StringIO()
    with contextlib.redirect_stdout(shown), contextlib.redirect_stderr(shown):
        try:
            runpy.run_path(sys.argv[0], run_name="__main__")
        except SystemExit as end:
            status = end.code
    print(status, signal.getsignal(signal.SIGINT) is signal.default_int_handler)
    print(shown.getvalue(), end="")
from absl import flags
assert "verbosity" in flags.FLAGS, "absl's own flags are left alone"
"""


@pytest.mark.parametrize(
    "command", ["build_vocab.py", "run_classifier.py", "scripts/train_starter.py"]
)
def test_a_notebook_is_shown_how_to_run_a_command(command):
    script = os.path.join(ROOT, command)
    program = [sys.executable, "-c", NOTEBOOK, ROOT, script, "--corpus=my texts.txt"]
    shown = subprocess.run(program, stdout=subprocess.PIPE, text=True, check=True).stdout
    lines = [
        "2 True",
        "%s: error: commands need a separate process, which %%run in a notebook does not start: "
        "use !%s %s '--corpus=my texts.txt'" % (os.path.basename(command), sys.executable, script),
    ]
    assert shown.splitlines() == lines * 2
