"""Runs a command: parses its flags and reports user errors in one line, with exit status 2.

Every command ends with

    def main():
        run_command(run, __doc__)
"""

import contextlib
import gc
import io
import os
import re
import shlex
import signal
import sys
import threading
from types import FrameType
from typing import Any, Callable, Iterator, List, NoReturn, Optional
import unicodedata
import warnings

__all__ = [
    "EXIT_BROKEN_PIPE",
    "EXIT_INTERRUPTED",
    "EXIT_USER_ERROR",
    "Interrupted",
    "PROGRAM",
    "STOPPED",
    "UserError",
    "UserNotice",
    "checks_of_flags",
    "naming",
    "own_words",
    "parse_flags",
    "printable",
    "run_command",
    "run_program",
    "stop_at_once",
]

PROGRAM = "albert-zh"  # the console command; sys.argv[0] is then `albert-zh COMMAND`
EXIT_USER_ERROR = 2
EXIT_INTERRUPTED = 130  # 128 + SIGINT, as shells report it
EXIT_BROKEN_PIPE = 141  # 128 + SIGPIPE


_CELL_ENDS = re.compile("[\t\n\r\v\f\x1c-\x1e\x85\u2028\u2029]+")
_UNPRINTABLE = ("Cc", "Cf", "Cs", "Zl", "Zp")  # Unicode categories: control, format ...

SIGNED_FLAGS = {"null_score_diff_threshold"}  # float flags that may be negative
POSITIVE_FLAGS = set(  # float flags that must be above 0, in every command that has them
    "classifier_rate_factor distill_weight head_learning_rate intermediate_epochs layer_decay "
    "learning_rate num_train_epochs temperature".split()
)
checks_of_flags = []  # functions called with absl's FLAGS once parsed; modules append theirs
STOPPED = "stopped; it is safe to run the same command again"


def stop_at_once(number: Optional[int] = None, frame: Optional[FrameType] = None) -> NoReturn:
    """Signal handler that ends the process at once, which loses no more than a kill would.

    A KeyboardInterrupt is less reliable: libraries swallow it in places, and the command then
    continues to run.
    """
    print(STOPPED, file=sys.stderr, flush=True)
    os._exit(EXIT_INTERRUPTED)


def _is_command(path):
    """Whether a program is a script in the root that is an alias of the command of that name."""
    from albert_zh.common import package_files  # imported here, as all modules import this one

    if not path or not os.path.exists(path):
        return False
    folder, name = os.path.split(os.path.abspath(path))
    in_package = os.path.join(package_files.PACKAGE, "commands", name)
    return folder == package_files.ROOT and os.path.exists(in_package)


def prepare_imports() -> None:
    """Makes importing TensorFlow faster, and lets Ctrl-C end a command during the import."""
    from albert_zh.common import lean_import  # imported here, as all modules import this one

    lean_import.install()
    if threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGINT, stop_at_once)
        gc.disable()  # objects created by an import are never collected anyway


def _is_in_notebook():
    """Whether output goes to a Python object rather than a file, as with `%run` in a notebook."""
    streams = (sys.stdout, sys.stderr)
    return any(stream is not None and not hasattr(stream, "buffer") for stream in streams)


# A command imports this module first; other programs that import the package are not affected.
if _is_command(getattr(sys.modules["__main__"], "__file__", None)) and not _is_in_notebook():
    prepare_imports()


class UserError(ValueError):
    """A mistake that the user can correct.

    The message is one line. It names the file, line or flag, what was found, what is expected and
    how to correct it.
    """

    errno: Optional[int]  # only set if this error wraps an error of the operating system


class UserNotice(UserWarning):
    """A warning for the user of a command; other warnings are for developers."""


@contextlib.contextmanager
def naming(where: str) -> Iterator[None]:
    """Context manager that prefixes any `UserError` with `where`, such as "--flag=value"."""
    try:
        yield
    except UserError as error:
        raise UserError("%s: %s" % (where, error)) from error


class Interrupted(Exception):
    """The user interrupted the command; the message says how to resume it."""


def run_command(
    main: Callable[..., Optional[int]], takes_words: bool = False, description: Optional[str] = None
) -> NoReturn:
    """Parses the command line with absl and runs `main`, see `run_program`.

    Args:
        main: function without arguments, or one that takes the list of positional arguments.
        takes_words: whether `main` takes positional arguments; if not, they are an error.
        description: text shown above the flags in --help; by default the main module's docstring.
            Its examples are for a clone (`python COMMAND.py`); under `albert-zh COMMAND` they are
            shown with that name instead.
    """
    from absl import app

    gc.freeze()  # exempts all imported objects from garbage collection
    gc.enable()
    if description:
        sys.modules["__main__"].__doc__ = _as_started(description)  # which absl shows
    _define_ignore_unknown_flags()
    _define_short_help()
    _show_all_flags_in_help()

    def parse(argv):
        arguments = parse_flags(argv)
        if len(arguments) > 1 and not takes_words:
            raise UserError(
                "unexpected argument %r: flags are written --name=value (--help lists all flags)"
                % arguments[1]
            )
        return arguments

    def call(argv):
        return main(argv[1:]) if takes_words else main()

    run_program(lambda: app.run(call, flags_parser=parse))


def own_words() -> List[str]:
    """Returns the command line that starts this process's program again."""
    program, _, command = sys.argv[0].partition(" ")
    if program == PROGRAM:
        return [sys.executable, "-m", "albert_zh", command] + sys.argv[1:]
    return [sys.executable] + sys.argv


def _as_started(description):
    """Rewrites the examples in a command's description to start it the way it was started."""
    program, _, command = sys.argv[0].partition(" ")
    if program == PROGRAM:
        return description.replace("python %s.py" % command, sys.argv[0])
    return description


def run_program(main: Callable[[], Optional[int]]) -> NoReturn:
    """Runs a program and ends the process; a user error is one line and exit status 2.

    Running out of space on standard output is a user error; if the reader of a pipe has gone, the
    program ends silently. Output to a closed stream is discarded; reading closed standard input is
    a user error.

    Args:
        main: function without arguments that returns the exit status, or None for success.
    """
    signal.signal(signal.SIGINT, signal.default_int_handler)
    if _is_in_notebook():
        sys.exit(_refused_in_notebook())
    _use_safe_streams()
    warnings.formatwarning = _formatted_warning
    sys.exit(_exit_status(main))


def _formatted_warning(message, category, *place, formatted=warnings.formatwarning):
    """Formats warnings for users as one line, and other warnings with their place in the code."""
    if category in (UserWarning, UserNotice):
        return "warning: %s\n" % printable(str(message))
    return formatted(message, category, *place)


def _refused_in_notebook():
    """Prints how a notebook runs a command; removes its flags so that they can be redefined."""
    from absl import flags

    for module, defined in list(flags.FLAGS.flags_by_module_dict().items()):
        for flag in list(defined) if _is_of_project(module) else ():
            if flag.name in flags.FLAGS and not flag.allow_override:
                delattr(flags.FLAGS, flag.name)
    return _failed(
        "commands need a separate process, which %%run in a notebook does not start: use !%s"
        % " ".join(map(shlex.quote, own_words()))
    )


def _is_of_project(module):
    """Whether a module belongs to the package or scripts/, not to a virtual environment there."""
    from albert_zh.common import package_files  # imported here, as all modules import this one

    path = getattr(sys.modules.get(module), "__file__", None) or ""
    scripts = os.path.join(package_files.ROOT, "scripts")
    return path.startswith(package_files.PACKAGE + os.sep) or os.path.dirname(path) == scripts


class _StandardOutput(io.FileIO):
    """Standard output whose errors cannot be mistaken for those of a file being written."""

    def write(self, content):
        try:
            return super().write(content)
        except OSError as error:
            _discard_output(self.fileno())  # otherwise the interpreter tries again on exit
            if isinstance(error, BrokenPipeError):  # absl ignores it if it has its errno
                raise BrokenPipeError("standard output has no reader") from error
            raise UserError(
                "standard output: cannot be written (%s): send it elsewhere" % error.strerror
            ) from error


class _StandardError(io.FileIO):
    """Standard error; write errors are ignored, as there is nowhere to report them."""

    def write(self, content):
        with contextlib.suppress(OSError):
            return super().write(content)
        return len(content)


class _ClosedInput(io.RawIOBase):
    """Standard input that was closed."""

    def readable(self):
        return True

    def readinto(self, buffer):
        raise UserError("standard input is closed: name a file, or write lines into a pipe")


def _use_safe_streams():
    """Prevents tracebacks caused by Chinese text or by a full or closed stream."""
    sys.stdout = _output_stream(sys.stdout, _StandardOutput)
    sys.stderr = _output_stream(sys.stderr, _StandardError)
    if sys.stdin is None:
        sys.stdin = io.TextIOWrapper(io.BufferedReader(_ClosedInput()))


def _output_stream(stream, kind):
    if stream is None:
        return open(os.devnull, "w")  # noqa: SIM115  (for as long as the program runs)
    stream.flush()
    raw = kind(stream.fileno(), "wb", closefd=False)
    return io.TextIOWrapper(
        raw if isinstance(stream.buffer, io.RawIOBase) else io.BufferedWriter(raw),
        encoding=stream.encoding,
        errors="backslashreplace",
        line_buffering=stream.line_buffering,
        write_through=isinstance(stream.buffer, io.RawIOBase),
    )


def _discard_output(descriptor):
    """Redirects a file descriptor to the null device, so that pending output is discarded."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, descriptor)
    os.close(nowhere)


def _show_all_flags_in_help():
    """Makes --help also list the flags of the command's modules, but not those of libraries."""
    from absl import flags

    for module, defined in flags.FLAGS.flags_by_module_dict().items():
        # Libraries define their flags in modules with a dot in their name.
        if "." not in module or module.startswith("albert_zh."):
            for flag in defined:
                flags.FLAGS.register_key_flag_for_module(sys.argv[0], flag)


def parse_flags(argv: List[str], options: Any = None) -> List[str]:
    """Parses flags with absl; errors become `UserError`, and --help exits with status 0.

    Args:
        argv: the command line, starting with the command's name.
        options: `absl.flags.FlagValues` to fill; `FLAGS` by default.

    Returns:
        the positional arguments, preceded by the command's name.
    """
    from absl import flags

    options = flags.FLAGS if options is None else options
    arguments = _parsed(argv, options)
    _check_numbers(options)
    for check in checks_of_flags:
        check(options)
    return arguments


def _parsed(argv, options):
    from absl import flags

    try:
        return options(argv)
    except flags.UnrecognizedFlagError as error:
        if _ignores_unknown_flags(argv):
            return _parsed(_without_flag(argv, error.flagname), options)
        ways_out = "--help lists all flags, --ignore_unknown_flags skips unknown ones"
        raise UserError("%s (%s)" % (" ".join(str(error).split()), ways_out)) from error
    except flags.Error as error:
        raise UserError(" ".join(str(error).split()) + " (--help lists all flags)") from error
    except SystemExit:  # raised for --help and the like, for which absl uses status 1
        sys.exit(0)


def _define_short_help():
    """Defines -h as an alias of --help."""
    from absl import app, flags

    class ShortHelp(app.HelpFlag):
        NAME, SHORT_NAME = "h", None

    flags.DEFINE_flag(ShortHelp())


def _check_numbers(flag_values):
    """Raises `UserError` for a float flag that is NaN, infinite or, unless signed, negative."""
    for name in flag_values:
        if flag_values[name].flag_type() == "float" and flag_values[name].value is not None:
            setting, is_signed = flag_values[name].value, name in SIGNED_FLAGS
            if not (0 <= setting < float("inf") or (is_signed and abs(setting) < float("inf"))):
                raise UserError("--%s=%s: expected %s" % (name, setting, _numbers_of(name)))


def _numbers_of(name):
    """Describes the numbers that a flag accepts."""
    if name in SIGNED_FLAGS:
        return "a finite number"
    return "a number above 0" if name in POSITIVE_FLAGS else "a number, 0 or more"


def _define_ignore_unknown_flags():
    from absl import flags

    flags.DEFINE_boolean(
        "ignore_unknown_flags", False, "Warn about unknown flags instead of failing."
    )


def _ignores_unknown_flags(argv):
    """Whether --ignore_unknown_flags is set in `argv`, which parsing may not have reached yet."""
    given = [word for word in argv if re.match("--?(no)?ignore_unknown_flags(=|$)", word)]
    return bool(given) and re.search("-no|=(f|n|0)", given[-1], re.IGNORECASE) is None


def _without_flag(argv, name):
    """Removes an unknown flag and its value, if any, from a command line, and prints a warning.

    Args:
        argv: list of str, the command line.
        name: str, the flag's name without dashes.
    """
    from absl import flags

    argv = argv[:1] + flags.FLAGS.read_flags_from_files(argv[1:], force_gnu=False)
    start = next(
        at for at, word in enumerate(argv) if re.match("--?%s(=|$)" % re.escape(name), word)
    )
    end = start + 1
    if "=" not in argv[start] and end < len(argv) and not argv[end].startswith("-"):
        end += 1
    ignored = printable(" ".join(argv[start:end]))
    print("warning: unknown flag ignored: %s" % ignored, file=sys.stderr)
    return argv[:start] + argv[end:]


def _exit_status(main):
    """Runs `main`, flushes its output and returns the exit status."""
    try:
        try:
            return main()
        finally:
            sys.stdout.flush()
    except UserError as error:
        return _failed(str(error))
    except Interrupted as stop:
        print(printable(str(stop)), file=sys.stderr)
        return EXIT_INTERRUPTED
    except KeyboardInterrupt:
        print(STOPPED, file=sys.stderr)
        return EXIT_INTERRUPTED
    except BrokenPipeError:  # the reader of our output has ended, as in `... | head`
        return EXIT_BROKEN_PIPE
    except MemoryError:
        return _failed("out of memory: end other programs, or process less data at a time")
    except OSError as error:
        from albert_zh.common import system_errors

        if not system_errors.is_of_system(error):
            raise
        return _failed(_message_of(error))


def _message_of(error):
    from albert_zh.common import system_errors

    name = "%s: " % error.filename if error.filename else ""
    return "%s%s: %s" % (name, system_errors.reason(error), system_errors.advice(error))


def printable(text: str) -> str:
    """Escapes control characters and line breaks in a text from a user, such as a file name."""
    return "".join(
        char.encode("unicode_escape").decode("ascii")
        if unicodedata.category(char) in _UNPRINTABLE
        else char
        for char in text
    )


def table_cell(text: str) -> str:
    """Replaces tabs and line breaks in a text with spaces, so that it fits into a table cell."""
    return _CELL_ENDS.sub(" ", text)


def _failed(message):
    command = os.path.basename(sys.argv[0])
    print("%s: error: %s" % (command, printable(message)), file=sys.stderr)
    return EXIT_USER_ERROR
