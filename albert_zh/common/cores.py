"""Counts the processor cores that this process may use."""

import math
import os
from typing import Iterator, Optional, Tuple

# The largest hidden size at which a model's operations are too small for several threads: the
# threads would spend more time waiting for each other after each operation than they save.
WIDEST_OF_ONE_THREAD = 512

_GROUPS = "/proc/self/cgroup"  # this process's control groups, as lines NUMBER:CONTROLLERS:PATH
_MOUNT = "/sys/fs/cgroup"


def give_sessions_their_threads() -> None:
    """Gives each TensorFlow session of this process a thread pool of the size it asks for.

    By default all sessions share the pool of the first one. Call this before the first session is
    created; a value that is already set in the environment is not changed.
    """
    os.environ.setdefault("TF_OVERRIDE_GLOBAL_THREADPOOL", "1")


def num_usable() -> int:
    """Number of cores that this process may use, at least 1.

    This is the number of cores in its CPU affinity, limited by the CPU quota of its container
    (`docker --cpus`, a pod's limit): with more threads than the quota allows, all of them are
    throttled together once the quota is used up.
    """
    num_allowed = os.cpu_count() or 1
    if hasattr(os, "sched_getaffinity"):  # not available on all platforms
        num_allowed = len(os.sched_getaffinity(0))
    quota = cpu_quota()
    return num_allowed if quota is None else max(1, min(num_allowed, math.ceil(quota)))


def cpu_quota(groups: str = _GROUPS, mount: str = _MOUNT) -> Optional[float]:
    """CPU quota of this process's control groups, in cores; None without a limit.

    Args:
        groups: file that lists the process's control groups.
        mount: folder where the control groups are mounted.

    Source: the kernel documentation of control groups, version 1 (cpu.cfs_quota_us) and version 2
    (cpu.max).
    """
    try:
        with open(groups, encoding="utf-8") as handle:
            lines = handle.read().splitlines()
    except OSError:  # not on Linux, or not readable
        return None
    quotas = []
    for controller_folder, group in _cpu_groups(lines):
        for folder in _folder_and_those_above(group):
            quotas.append(_quota_of(os.path.join(mount, controller_folder, folder)))
    return min((quota for quota in quotas if quota is not None), default=None)


def _cpu_groups(lines) -> Iterator[Tuple[str, str]]:
    """Yields (controller's folder below the mount, group's path) for groups that may limit CPUs."""
    for line in lines:
        _, controllers, group = line.split(":", 2)
        if not controllers or "cpu" in controllers.split(","):  # version 2 lists no controllers
            yield controllers, group


def _folder_and_those_above(group: str) -> Iterator[str]:
    """Yields the paths of a group and its ancestors; in a container some are not mounted."""
    parts = group.strip("/").split("/")
    for length in range(len(parts), -1, -1):
        yield "/".join(parts[:length])


def _quota_of(folder: str) -> Optional[float]:
    words = _words(folder, "cpu.max") or (
        _words(folder, "cpu.cfs_quota_us") + _words(folder, "cpu.cfs_period_us")
    )
    if len(words) != 2 or words[0] in ("max", "-1"):
        return None
    return int(words[0]) / int(words[1])


def _words(folder: str, name: str) -> list:
    """Splits a control group's file into words; returns [] if the file does not exist."""
    try:
        with open(os.path.join(folder, name), encoding="utf-8") as handle:
            return handle.read().split()
    except OSError:
        return []
