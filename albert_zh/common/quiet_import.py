"""Suppresses the output of TensorFlow's C++ side while TensorFlow is imported.

Since 2.16 it prints lines on standard error before it reads its log level (TF_CPP_MIN_LOG_LEVEL).
The output of Python code, such as the message on Ctrl-C, is still shown.
"""

import contextlib
import io
import os
import sys

_MODULE = "tensorflow"


def install() -> None:
    """Makes the next import of TensorFlow quiet; no effect if it is already imported."""
    if _MODULE not in sys.modules:
        sys.meta_path.insert(0, _Finder())


class _Finder:
    """Finds TensorFlow through the other finders and loads it with standard error suppressed."""

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
        """The other finders' spec; also requested by programs that only check what is installed."""
        others = [finder for finder in sys.meta_path if finder is not self]
        found = (finder.find_spec(*arguments) for finder in others if hasattr(finder, "find_spec"))
        return next((spec for spec in found if spec is not None), None)


@contextlib.contextmanager
def _held_back():
    """Redirects file descriptor 2 to the null device; Python's own stderr keeps its destination.

    The replacement stream stays open, since log handlers created during the import write to it.
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
    """Whether a stream writes to file descriptor 2; False if a test or notebook replaced it."""
    try:
        return stream is not None and stream.fileno() == 2
    except (OSError, ValueError):
        return False
