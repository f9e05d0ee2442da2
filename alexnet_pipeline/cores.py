"""The number of cores that this process may use."""

from __future__ import annotations

import math
import os
from pathlib import Path

# The limit of a container: microseconds of CPU time in each period, and the period.
CPU_LIMIT = Path("/sys/fs/cgroup/cpu.max")


def core_count() -> int:
    """The cores that this process may use, also where a container limits their time and not their number."""
    cores = len(os.sched_getaffinity(0))
    try:
        quota_us, period_us = CPU_LIMIT.read_text().split()
        return max(1, min(cores, math.ceil(int(quota_us) / int(period_us))))
    except (OSError, ValueError):  # no cgroup of version 2, or no limit: `max 100000`
        return cores
