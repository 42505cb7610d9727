"""Facts about the machine that a benchmark ran on: versions, devices, processor and date."""

from __future__ import annotations

import importlib.metadata
import os
import platform
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import jax

import uwe_jax


def cpu_threads() -> int:
    """Returns the number of processors that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _cpu_model() -> str:
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.exists() else []
    named = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(named, "") or platform.processor() or platform.machine()


def _version(package: str) -> str | None:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None


def facts(dtype: str | None = None) -> dict[str, Any]:
    """Returns the facts for a table's header and its JSON; `dtype` is that of the matrix products, if there are any."""
    device = jax.local_devices()[0]
    return {
        "uwe_jax": uwe_jax.__version__,
        "jax": jax.__version__,
        "jaxlib": _version("jaxlib"),
        "torch": _version("torch"),
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


def header(facts: dict[str, Any]) -> str:
    """Renders the facts in two lines."""
    load = facts["load_before"]
    busy = f", load average {load:.2f} before" if load is not None else ""
    torch = f", torch {facts['torch']}" if facts["torch"] else ", no torch"
    dtype = f", {facts['dtype']}" if facts["dtype"] else ""
    return (
        f"{facts['devices']} x {facts['device']} ({facts['platform']}){dtype}; CPU {facts['cpu']}, "
        f"{facts['cpu_threads']} threads{busy}\n"
        f"uwe_jax {facts['uwe_jax']}, jax {facts['jax']}, jaxlib {facts['jaxlib']}{torch}, python {facts['python']}; "
        f"{facts['date']}"
    )
