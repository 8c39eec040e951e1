"""Holds back what TensorFlow's C++ side prints while it is imported.

Since 2.16 it prints lines on standard error before its level of messages (TF_CPP_MIN_LOG_LEVEL) is
known. What Python prints, a Ctrl-C's line for instance, still goes to the user.
"""

import contextlib
import io
import os
import sys

_MODULE = "tensorflow"


def install() -> None:
    """Has the next import of TensorFlow be quiet; nothing where it is imported already."""
    if _MODULE not in sys.modules:
        sys.meta_path.insert(0, _Finder())


class _Finder:
    """Finds TensorFlow as the others do, and has its loader run with standard error held back."""

    def find_spec(self, name, path=None, target=None):
        if name != _MODULE:
            return None
        spec = self._found_by_others(name, path, target)
        if spec is not None and spec.loader is not None:
            execute = spec.loader.exec_module

            def exec_module(module):
                with _held_back():
                    execute(module)

            spec.loader.exec_module = exec_module
        return spec

    def _found_by_others(self, *arguments):
        """What the other finders find; also programs ask that only want to know what is there."""
        others = [finder for finder in sys.meta_path if finder is not self]
        found = (finder.find_spec(*arguments) for finder in others if hasattr(finder, "find_spec"))
        return next((spec for spec in found if spec is not None), None)


@contextlib.contextmanager
def _held_back():
    """Sends file descriptor 2 nowhere; Python's standard error goes on where that led.

    That stream stays open: handlers of log messages that were made meanwhile write to it.
    """
    try:
        screen = os.dup(2)
    except OSError:  # closed: nothing can be printed
        yield
        return
    with contextlib.ExitStack() as stack:
        if _leads_to_screen(sys.stderr):
            sys.stderr.flush()
            for_python = io.TextIOWrapper(
                io.FileIO(screen, "w", closefd=False),
                encoding=sys.stderr.encoding,
                errors="backslashreplace",
                line_buffering=True,
            )
            stack.enter_context(contextlib.redirect_stderr(for_python))
        else:
            stack.callback(os.close, screen)
        stack.callback(os.dup2, screen, 2)
        with open(os.devnull, "wb") as nowhere:
            os.dup2(nowhere.fileno(), 2)
        yield


def _leads_to_screen(stream):
    """Whether a stream writes to file descriptor 2; not where a test or a notebook replaced it."""
    try:
        return stream is not None and stream.fileno() == 2
    except (OSError, ValueError):
        return False
