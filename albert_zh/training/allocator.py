"""Which memory allocator TensorFlow uses on CPUs, and what goes back to the system."""

import ctypes
import gc
import os

_M_ARENA_MAX = -8  # of glibc's malloc.h
_MORE_MEMORY_THAN_THERE_IS = 1 << 24  # MiB; without a number TensorFlow stops at 64 GiB


def choose_allocator(plain: bool) -> None:
    """Lets TensorFlow keep the memory of tensors for later ones, unless all is to be plain.

    By default each tensor is asked of the C library, which gives large arrays back to the system
    at once and loses memory between arrays of many sizes: more time and memory. What is small stays
    with the C library, but in one heap for two cores: it would make one for each thread, and what
    is free in one is of no use to the others. For this process, and before its first session; what
    the environment says already is left as it is.

    Args:
        plain: whether all is to be plain.
    """
    c_library = ctypes.CDLL(None)
    if not plain and "MALLOC_ARENA_MAX" not in os.environ and hasattr(c_library, "mallopt"):
        c_library.mallopt(_M_ARENA_MAX, max(1, len(os.sched_getaffinity(0)) // 2))
    os.environ.setdefault("TF_CPU_ALLOCATOR_USE_BFC", "false" if plain else "true")
    os.environ.setdefault("TF_CPU_BFC_MEM_LIMIT_IN_MB", str(_MORE_MEMORY_THAN_THERE_IS))


def give_back_freed() -> None:
    """Frees graphs that are in use no more, and returns to the system what glibc's heaps keep."""
    gc.collect()
    c_library = ctypes.CDLL(None)
    if hasattr(c_library, "malloc_trim"):
        c_library.malloc_trim(0)
