"""Runs commands in processes that are forked from one that has already imported TensorFlow.

    python tests/support/forked_commands.py < cases.json

Reads a JSON list of commands, each a list of its name and arguments. Prints a line of JSON for each
command: [exit status, standard error]. For 200 commands that exit with an error, 200 imports of
TensorFlow would take most of the time.
"""

import importlib
import json
import os
import sys
import tempfile
import traceback

_ROOT = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..")
sys.path.insert(0, _ROOT)
_SECONDS = 120  # CPU time of a command, after which the kernel ends it


def run_command(words):
    """Runs a command in this process, as if it were the process's program."""
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
    for case in cases:  # commands share these imports, too
        importlib.import_module("albert_zh.commands." + case[0])
    for case in cases:
        print(json.dumps(outcome(case)), flush=True)
