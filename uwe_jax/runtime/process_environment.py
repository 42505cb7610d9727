"""Detects, without importing JAX, whether this process was started as one of several."""

from __future__ import annotations

import importlib.util
import re
from collections.abc import Mapping, Sequence
from pathlib import Path

_FLAG = re.compile(r"--config\.distributed\.processes=(\d+)$")
# Variables with the number of processes: ours, and those of launchers that JAX supports.
NUMBERS = ("JAX_NUM_PROCESSES", "SLURM_NTASKS", "OMPI_COMM_WORLD_SIZE")
# Slurm sets the number for a batch script too; this variable, which JAX reads, is set for tasks alone.
_SLURM_TASK = "SLURM_STEP_NODELIST"


def is_one_of_several(arguments: Sequence[str], environment: Mapping[str, str]) -> bool:
    """Returns whether flags, a launcher or the host say that other processes train together with this one.

    >>> is_one_of_several(["--config.distributed.processes=2"], {})
    True
    >>> is_one_of_several([], {"SLURM_NTASKS": "4", "SLURM_STEP_NODELIST": "n1"})
    True
    """
    flags = [int(found[1]) for argument in arguments if (found := _FLAG.match(argument))]
    if flags and flags[-1]:
        return flags[-1] > 1
    for name in NUMBERS:
        if name.startswith("SLURM") and _SLURM_TASK not in environment:
            continue
        if environment.get(name, "1").isdigit() and int(environment.get(name, "1")) > 1:
            return True
    return is_tpu_host(environment)


def is_tpu_host(environment: Mapping[str, str]) -> bool:
    """Returns whether JAX may use TPU chips here: the machine may be one of several hosts, which JAX finds out."""
    if "tpu" not in (environment.get("JAX_PLATFORMS") or "tpu"):
        return False
    if importlib.util.find_spec("libtpu") is None:
        return False
    return any(Path("/dev").glob("accel[0-9]*")) or Path("/dev/vfio/0").exists()
