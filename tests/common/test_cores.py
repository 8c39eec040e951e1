"""How many cores a process may use: affinity, and the quota of its control groups."""

import os

import pytest

from albert_zh.common import cores

IN_A_CONTAINER = "12:cpu,cpuacct:/docker/1f2e\n5:memory:/docker/1f2e\n0::/\n"


def quota_of(folder, groups, files):
    """Returns the quota of a process in these groups if the mount has these files."""
    for name, text in files.items():
        path = folder / "mount" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    (folder / "groups").write_text(groups)
    return cores.cpu_quota(str(folder / "groups"), str(folder / "mount"))


@pytest.mark.parametrize(
    "groups, files, expected",
    [
        ("0::/\n", {"cpu.max": "150000 100000\n"}, 1.5),
        ("0::/\n", {"cpu.max": "max 100000\n"}, None),
        # The smallest quota of a group and its parent groups applies.
        (
            "0::/pods/one\n",
            {"pods/one/cpu.max": "max 100000\n", "pods/cpu.max": "400000 100000\n"},
            4.0,
        ),
        # Version 1; in a container, the folder of the group is the root of the mount.
        (
            IN_A_CONTAINER,
            {"cpu,cpuacct/cpu.cfs_quota_us": "50000\n", "cpu,cpuacct/cpu.cfs_period_us": "100000"},
            0.5,
        ),
        (
            IN_A_CONTAINER,
            {"cpu,cpuacct/cpu.cfs_quota_us": "-1\n", "cpu,cpuacct/cpu.cfs_period_us": "100000\n"},
            None,
        ),
        ("5:cpuset:/\n4:memory:/\n", {"cpuset/cpu.max": "100000 100000\n"}, None),
        ("0::/\n", {}, None),
    ],
)
def test_quota_of_the_control_groups(tmp_path, groups, files, expected):
    assert quota_of(tmp_path, groups, files) == expected


def test_without_control_groups_there_is_no_quota(tmp_path):
    assert cores.cpu_quota(str(tmp_path / "missing")) is None


@pytest.mark.parametrize("quota, expected", [(None, 6), (0.5, 1), (2.0, 2), (2.5, 3), (9.0, 6)])
def test_cores_are_those_of_affinity_within_the_quota(monkeypatch, quota, expected):
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: set(range(6)), raising=False)
    monkeypatch.setattr(cores, "cpu_quota", lambda: quota)
    assert cores.num_usable() == expected
