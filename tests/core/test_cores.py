import os

import pytest

from diminuendo.core import cores


@pytest.fixture
def machine(tmp_path, monkeypatch):
    """A machine of sixteen processors with control groups of its own; returns what writes a file of theirs."""
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(16)), raising=False)
    monkeypatch.setattr(cores, "CGROUPS", tmp_path / "cgroup")
    monkeypatch.setattr(cores, "OWN_GROUPS", tmp_path / "own")

    def write(own: str, **files: str) -> None:
        (tmp_path / "own").write_text(own)
        for name, text in files.items():
            path = tmp_path / "cgroup" / name.replace("__", "/").replace("_DOT_", ".")
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)

    return write


def test_without_control_groups_it_is_the_affinity(machine):
    assert cores.available_cores() == 16


@pytest.mark.parametrize(
    ("text", "expected"),
    [("200000 100000\n", 2), ("150000 100000\n", 2), ("50000 100000\n", 1), ("max 100000\n", 16), ("garbage", 16)],
)
def test_a_quota_of_version_2(machine, text, expected):
    machine("0::/\n", cpu_DOT_max=text)
    assert cores.available_cores() == expected


def test_the_smallest_quota_of_all_groups_above_counts(machine):
    machine("0::/a/b\n", a__cpu_DOT_max="300000 100000\n", a__b__cpu_DOT_max="800000 100000\n")
    assert cores.available_cores() == 3


def test_in_a_container_the_path_is_the_hosts_and_the_root_is_ours(machine):
    machine("0::/docker/0123\n", cpu_DOT_max="400000 100000\n")
    assert cores.available_cores() == 4


def test_a_quota_of_version_1(machine):
    files = {"cpu__x__cpu_DOT_cfs_quota_us": "250000\n", "cpu__x__cpu_DOT_cfs_period_us": "100000\n"}
    machine("5:memory:/y\n4:cpu,cpuacct:/x\n", **files)
    assert cores.available_cores() == 3
    machine("4:cpu,cpuacct:/x\n", **files | {"cpu__x__cpu_DOT_cfs_quota_us": "-1\n"})
    assert cores.available_cores() == 16


@pytest.mark.parametrize(("physical", "expected"), [(8, 3), (2, 2), (None, 3)])  # None: psutil cannot tell
def test_no_more_than_the_cores_that_do_arithmetic(machine, monkeypatch, physical, expected):
    machine("0::/\n", cpu_DOT_max="300000 100000\n")
    monkeypatch.setattr("psutil.cpu_count", lambda logical: physical)
    assert cores.available_physical_cores() == expected
