"""Facts about the machine that a benchmark ran on: versions, devices, processor and date."""

from __future__ import annotations

import importlib.metadata
import importlib.util
import os
import platform
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import jax
import jaxlib

import uwe_jax


def cpu_threads() -> int:
    """Returns the number of processors that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _cpu_model() -> str:
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.exists() else []
    named = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(named, "") or platform.processor() or platform.machine()


def facts(dtype: str | None = None) -> dict[str, Any]:
    """Returns the facts for a table's header and its JSON; `dtype` is that of the matrix products, if there are any."""
    device = jax.local_devices()[0]
    return {
        "uwe_jax": uwe_jax.__version__,
        "jax": jax.__version__,
        "jaxlib": jaxlib.__version__,
        "torch": importlib.metadata.version("torch") if importlib.util.find_spec("torch") else None,
        "python": platform.python_version(),
        "platform": device.platform,
        "device": device.device_kind,
        "devices": jax.local_device_count(),
        "cpu": _cpu_model(),
        "cpu_threads": cpu_threads(),
        "load_before": os.getloadavg()[0] if hasattr(os, "getloadavg") else None,
        "xla_flags": os.environ.get("XLA_FLAGS", ""),
        "dtype": dtype,
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
    }


def header(facts: dict[str, Any]) -> tuple[str, str]:
    """Renders the facts: a sentence on the machine, and one on the versions."""
    load = facts["load_before"]
    busy = f", load average {load:.2f} before" if load is not None else ""
    torch = f", torch {facts['torch']}" if facts["torch"] else ", no torch"
    dtype = f", {facts['dtype']}" if facts["dtype"] else ""
    return (
        f"{facts['devices']} x {facts['device']} ({facts['platform']}){dtype}; CPU {facts['cpu']}, "
        f"{facts['cpu_threads']} threads{busy}",
        f"uwe_jax {facts['uwe_jax']}, jax {facts['jax']}, jaxlib {facts['jaxlib']}{torch}, python {facts['python']}; "
        f"{facts['date']}",
    )
