"""Selects TensorFlow's memory allocator on CPUs and returns freed memory to the system."""

import ctypes
import gc
import os

_M_ARENA_MAX = -8  # of glibc's malloc.h
_MORE_MEMORY_THAN_THERE_IS = 1 << 24  # MiB; without a number TensorFlow stops at 64 GiB


def choose_allocator(plain: bool) -> None:
    """Lets TensorFlow reuse the memory of freed tensors, unless `plain` is set.

    By default TensorFlow allocates each tensor with the C library, which returns large arrays to
    the system at once and fragments memory if sizes vary: both time and memory are lost. Small
    allocations stay with the C library, but with one heap per two cores: it would create one per
    thread, and threads cannot use free memory of other heaps. This applies to the whole process and
    must be called before its first session; environment variables that are already set are kept.

    Args:
        plain: whether to keep TensorFlow's defaults (`--plain`).
    """
    c_library = ctypes.CDLL(None)
    if not plain and "MALLOC_ARENA_MAX" not in os.environ and hasattr(c_library, "mallopt"):
        c_library.mallopt(_M_ARENA_MAX, max(1, len(os.sched_getaffinity(0)) // 2))
    os.environ.setdefault("TF_CPU_ALLOCATOR_USE_BFC", "false" if plain else "true")
    os.environ.setdefault("TF_CPU_BFC_MEM_LIMIT_IN_MB", str(_MORE_MEMORY_THAN_THERE_IS))


def give_back_freed() -> None:
    """Frees unused graphs and returns the free memory of glibc's heaps to the system."""
    gc.collect()
    c_library = ctypes.CDLL(None)
    if hasattr(c_library, "malloc_trim"):
        c_library.malloc_trim(0)
