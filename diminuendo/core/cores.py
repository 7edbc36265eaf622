"""How many processors this process may use: its affinity, and the CPU quota of its control groups.

A container with a quota of two CPUs on a machine of sixty-four still sees sixty-four; as many threads would mostly wait
for each other. Files: https://docs.kernel.org/admin-guide/cgroup-v2.html (``cpu.max``), and ``cpu.cfs_quota_us`` and
``cpu.cfs_period_us`` of version 1.
"""

from __future__ import annotations

import math
import os
from collections.abc import Iterator
from pathlib import Path

CGROUPS = Path("/sys/fs/cgroup")
OWN_GROUPS = Path("/proc/self/cgroup")


def available_cores() -> int:
    """Processors that this process may use, at least 1; a quota of 1.5 CPUs counts as 2."""
    allowed = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    quotas = [math.ceil(quota) for quota in _quotas()]
    return max(1, min([allowed, *quotas]))


def available_physical_cores() -> int:
    """Of those, at most as many as there are cores of their own: two processors of one core share its arithmetic."""
    import psutil

    return min(available_cores(), psutil.cpu_count(logical=False) or available_cores())


def _quotas(cgroups: Path | None = None, own: Path | None = None) -> Iterator[float]:
    """CPUs that each control group above this process allows, if it sets a limit."""
    cgroups, own = cgroups or CGROUPS, own or OWN_GROUPS
    try:
        lines = own.read_text().splitlines()
    except OSError:  # not Linux
        return
    for line in lines:
        _, controllers, path = line.split(":", 2)
        if controllers and "cpu" not in controllers.split(","):
            continue
        root = cgroups if not controllers else cgroups / "cpu"
        group = root / path.lstrip("/")
        # In a container the path may be the host's, where only the root is mounted.
        for folder in dict.fromkeys([group, *group.parents, root]):
            if (folder == root or root in folder.parents) and (quota := _quota(folder)) is not None:
                yield quota


def _quota(folder: Path) -> float | None:
    try:
        if (folder / "cpu.max").exists():
            quota, period = (folder / "cpu.max").read_text().split()
        else:
            quota = (folder / "cpu.cfs_quota_us").read_text()
            period = (folder / "cpu.cfs_period_us").read_text()
        return float(quota) / float(period) if float(quota) > 0 else None
    except (OSError, ValueError, ZeroDivisionError):  # "max", or no such file
        return None
