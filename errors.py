"""What every command does alike: flags are parsed, a user's mistake is one line and exit status 2.

A command ends with

    if __name__ == "__main__":
        run_command(main)
"""

import gc
import os
import signal
import sys
import threading

# TensorFlow's C++ side logs device discovery as errors at import; whoever wants them sets this.
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

EXIT_USER_ERROR = 2
EXIT_INTERRUPTED = 130  # 128 + SIGINT, as shells report it
EXIT_BROKEN_PIPE = 141  # 128 + SIGPIPE


STOPPED = "stopped; the same command starts again cleanly"


def stop_at_once(number=None, frame=None):
    """Ends the process as a signal handler, where no more is lost than by a kill.

    A KeyboardInterrupt would do less: libraries swallow it in places, and the command runs on.
    """
    print(STOPPED, file=sys.stderr, flush=True)
    os._exit(EXIT_INTERRUPTED)


def _is_command(path):
    """Whether a program is one of the commands here, each of which calls `run_command`."""
    here = os.path.dirname(os.path.abspath(__file__))
    if not path or os.path.dirname(os.path.abspath(path)) != here or not os.path.exists(path):
        return False
    with open(path, "rb") as program:
        return b"\n    run_command(" in program.read()


# Commands import this file first; a program of someone else's that uses a room is left alone.
_MAIN_FILE = getattr(sys.modules["__main__"], "__file__", None)
if _is_command(_MAIN_FILE) and threading.current_thread() is threading.main_thread():
    signal.signal(signal.SIGINT, stop_at_once)  # while TensorFlow is being imported
    gc.disable()  # likewise: what an import makes stays


class UserError(ValueError):
    """A mistake that the user can mend.

    The message is one line: the file, line or flag, what was found, what is expected, the way out.
    """


class Interrupted(Exception):
    """The user stopped the command; the message says how to go on."""


def run_command(main, takes_words=False):
    """Parses the command line, runs `main` and turns user errors into one line and an exit status.

    Args:
        main: function of no arguments, or of the list of words that are no flags.
        takes_words: whether it takes them; otherwise such a word is a mistake.
    """
    from absl import app

    signal.signal(signal.SIGINT, signal.default_int_handler)
    gc.freeze()  # what was imported need not be looked through each time
    gc.enable()
    _use_printable_streams()
    _show_all_flags_in_help()

    def call(argv):
        return _exit_status((lambda: main(argv[1:])) if takes_words else main)

    def parse(argv):
        words = _parse_flags(argv)
        if len(words) > 1 and not takes_words:
            _fail(
                "unexpected argument %r: flags are written --name=value (--help lists all flags)"
                % words[1]
            )
        return words

    app.run(call, flags_parser=parse)


def _use_printable_streams():
    """Has Chinese text never end a command whose terminal cannot show it."""
    if sys.stdout is None:
        sys.stdout = open(os.devnull, "w")  # noqa: SIM115  (for as long as the command runs)
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")


def _show_all_flags_in_help():
    """Has --help list also the flags that the command's rooms define (libraries' have a dot)."""
    from absl import flags

    for module, defined in flags.FLAGS.flags_by_module_dict().items():
        if "." not in module:
            for flag in defined:
                flags.FLAGS.register_key_flag_for_module(sys.argv[0], flag)


def _parse_flags(argv):
    """absl's parser, except that a mistake is one line; returns what is no flag."""
    from absl import flags

    try:
        return flags.FLAGS(argv)
    except flags.Error as error:
        return _fail(" ".join(str(error).split()) + " (--help lists all flags)")


def _exit_status(main):
    try:
        return main()
    except UserError as error:
        return _fail(str(error))
    except Interrupted as stop:
        print(str(stop), file=sys.stderr)
        sys.exit(EXIT_INTERRUPTED)
    except KeyboardInterrupt:
        print(STOPPED, file=sys.stderr)
        sys.exit(EXIT_INTERRUPTED)
    except BrokenPipeError:  # whoever read our output has seen enough, as in `... | head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(EXIT_BROKEN_PIPE)


def _fail(message):
    command = os.path.basename(sys.argv[0])
    print("%s: error: %s" % (command, message), file=sys.stderr)
    sys.exit(EXIT_USER_ERROR)
