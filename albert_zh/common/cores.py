"""The processor cores that this process may use."""

import math
import os
from typing import Iterator, Optional, Tuple

# The largest hidden size of a model whose operations are too small for several threads: these wait
# longer for each other at an operation's end than they gain.
WIDEST_OF_ONE_THREAD = 512

_GROUPS = "/proc/self/cgroup"  # this process's control groups, lines NUMBER:CONTROLLERS:PATH
_MOUNT = "/sys/fs/cgroup"


def give_sessions_their_threads() -> None:
    """Has each TensorFlow session of this process its own threads, as many as it asks for.

    By default all have those of the first one. To be called before the first session; a value that
    the environment has already is kept.
    """
    os.environ.setdefault("TF_OVERRIDE_GLOBAL_THREADPOOL", "1")


def num_usable() -> int:
    """How many cores this process may run on, at least 1.

    Those of its affinity, within the share of time that its container has (`docker --cpus`, a pod's
    limit): more threads than that are stopped together when the share is used up.
    """
    num_allowed = os.cpu_count() or 1
    if hasattr(os, "sched_getaffinity"):  # not everywhere
        num_allowed = len(os.sched_getaffinity(0))
    quota = cpu_quota()
    return num_allowed if quota is None else max(1, min(num_allowed, math.ceil(quota)))


def cpu_quota(groups: str = _GROUPS, mount: str = _MOUNT) -> Optional[float]:
    """How many cores' time the process's control groups give it; None without a limit.

    Args:
        groups: file that lists the process's groups.
        mount: folder where the control groups are mounted.

    Source: the kernel's documents on control groups, version 1 (cpu.cfs_quota_us) and 2 (cpu.max).
    """
    try:
        with open(groups, encoding="utf-8") as handle:
            lines = handle.read().splitlines()
    except OSError:  # not Linux, or hidden
        return None
    quotas = []
    for controller_folder, group in _cpu_groups(lines):
        for folder in _folder_and_those_above(group):
            quotas.append(_quota_of(os.path.join(mount, controller_folder, folder)))
    return min((quota for quota in quotas if quota is not None), default=None)


def _cpu_groups(lines) -> Iterator[Tuple[str, str]]:
    """Yields (folder of the controller below the mount, path of the group) that may limit cores."""
    for line in lines:
        _, controllers, group = line.split(":", 2)
        if not controllers or "cpu" in controllers.split(","):  # version 2 names none
            yield controllers, group


def _folder_and_those_above(group: str) -> Iterator[str]:
    """Yields a group's path and those that hold it; in a container some are not mounted."""
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
    """The words of a group's file; none where there is no such file."""
    try:
        with open(os.path.join(folder, name), encoding="utf-8") as handle:
            return handle.read().split()
    except OSError:
        return []
