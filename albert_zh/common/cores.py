"""The processor cores that this process may use."""

import os

# The largest hidden size of a model whose operations are too small for several threads: these wait
# longer for each other at an operation's end than they gain.
WIDEST_OF_ONE_THREAD = 512


def give_sessions_their_threads() -> None:
    """Has each TensorFlow session of this process its own threads, as many as it asks for.

    By default all have those of the first one. To be called before the first session; a value that
    the environment has already is kept.
    """
    os.environ.setdefault("TF_OVERRIDE_GLOBAL_THREADPOOL", "1")


def num_usable() -> int:
    """How many cores this process may run on, at least 1."""
    if hasattr(os, "sched_getaffinity"):  # not everywhere
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
