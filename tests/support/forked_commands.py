"""Runs commands in processes that are forked from one that has imported TensorFlow already.

    python tests/support/forked_commands.py < cases.json

Reads a list of lists of words, each a command's name and its arguments; prints for each a line of
JSON: [exit status, standard error]. Where 200 commands are to end with an error, the import would
take most of the time.
"""

import importlib
import json
import os
import sys
import tempfile
import traceback

_ROOT = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..")
sys.path.insert(0, _ROOT)
_SECONDS = 120  # of a command; then the kernel ends it


def run_command(words):
    """Runs a command in place of this process' program."""
    import resource

    resource.setrlimit(resource.RLIMIT_CPU, (_SECONDS, _SECONDS))
    sys.argv = [os.path.join(_ROOT, words[0] + ".py")] + words[1:]
    importlib.import_module("albert_zh.commands." + words[0]).main()


def outcome(words):
    """(exit status, standard error) of a command."""
    with tempfile.TemporaryFile() as shown:
        process = os.fork()
        if not process:
            os.dup2(shown.fileno(), 2)
            os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
            status = 1
            try:
                run_command(words)
            except SystemExit as end:
                status = end.code or 0
            except BaseException:
                traceback.print_exc()
            finally:
                sys.stderr.flush()
                os._exit(status)
        _, code = os.waitpid(process, 0)
        shown.seek(0)
        status = os.WEXITSTATUS(code) if os.WIFEXITED(code) else -os.WTERMSIG(code)
        return status, shown.read().decode("utf-8", "replace")


if __name__ == "__main__":
    import tensorflow.compat.v1  # noqa: F401

    cases = json.load(sys.stdin)
    for case in cases:  # what they import they share, too
        importlib.import_module("albert_zh.commands." + case[0])
    for case in cases:
        print(json.dumps(outcome(case)), flush=True)
