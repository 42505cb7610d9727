"""Results of a benchmark: facts about the machine and rows of numbers, as tables and as JSON."""

from __future__ import annotations

import importlib.metadata
import importlib.util
import os
import platform
import textwrap
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple

import jax

import uwe_jax
from uwe_jax.runtime.options import OptionalPath
from uwe_jax.runtime.text_table import narrow_tables

Row = dict[str, Any]
_UNITS = ((1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k"))
_WIDTH = 80


@dataclass(frozen=True, kw_only=True)
class BenchmarkOptions:
    """Options of every benchmark."""

    seed: int = 0
    out: OptionalPath = None  # JSON file of all numbers; by default benchmark_MODE.json

    def settings(self) -> Row:
        """Returns every option but `out` by name, as JSON values."""
        return {name: value for name, value in asdict(self).items() if name != "out"}


class Column(NamedTuple):
    """A column of the tables: its title, its key in the rows, and its format."""

    title: str
    key: str
    show: Callable[[Any], str] = str


@dataclass(frozen=True)
class Outcome:
    """A finished benchmark."""

    title: str
    facts: Row  # from `facts`
    settings: Row  # every option by name
    labels: tuple[Column, ...]  # which name the rows; in every table
    columns: tuple[Column, ...]  # spread over tables of 80 characters
    rows: list[Row]  # all numbers, as JSON values
    notes: list[str]  # on how it was measured

    def text(self) -> str:
        """Renders facts, tables and notes, at most 80 characters wide."""
        columns = (*self.labels, *self.columns)
        cells = [
            ["" if (value := row.get(key)) is None else show(value) for _, key, show in columns] for row in self.rows
        ]
        tables = narrow_tables([column.title for column in columns], cells, range(len(self.labels)))
        notes = [textwrap.fill(f"- {note}", _WIDTH, subsequent_indent="  ") for note in self.notes]
        about = [textwrap.fill(line, _WIDTH) for line in (*_header(self.facts), "", self.title)]
        return "\n".join([*about, tables, *notes])

    def to_dict(self) -> Row:
        """Returns the whole outcome as JSON values."""
        return {name: getattr(self, name) for name in ("facts", "settings", "rows", "notes")}


def cpu_threads() -> int:
    """Returns the number of processors that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _cpu_model() -> str:
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.exists() else []
    named = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(named, "") or platform.processor() or platform.machine()


def facts(dtype: str | None = None) -> Row:
    """Returns the facts for a table's header and its JSON; `dtype` is that of the matrix products, if there are any."""
    device = jax.local_devices()[0]
    return {
        "uwe_jax": uwe_jax.__version__,
        "jax": jax.__version__,
        "jaxlib": importlib.metadata.version("jaxlib"),
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


def _header(facts: Row) -> tuple[str, str]:
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


# Formats of columns.
whole = "{:,}".format


def significant(value: float) -> str:
    """Formats three significant digits, without an exponent.

    >>> significant(0.01234), significant(12.34), significant(12345.6), significant(0)
    ('0.0123', '12.3', '12,346', '0.00')
    """
    if abs(value) >= 99.95:
        return f"{value:,.0f}"
    return f"{value:#.3g}" if abs(value) >= 1e-4 or not value else f"{value:.1e}"


def scaled(value: float) -> str:
    """Formats with a decimal prefix.

    >>> scaled(1.234e11), scaled(12.0)
    ('123 G', '12.0')
    """
    size, prefix = next(((size, prefix) for size, prefix in _UNITS if value >= size), (1.0, ""))
    return f"{significant(value / size)} {prefix}".rstrip()


def in_mebibytes(value: float) -> str:
    """Formats bytes in MiB, without the unit."""
    return significant(value / 2**20)


def peak(value: Mapping[str, int | bool]) -> str:
    """Formats a `measure.Peak` in MiB, without the unit.

    >>> peak({"bytes": 3 * 2**20, "bound": True})
    '≤ 3.00'
    """
    return ("≤ " if value["bound"] else "") + in_mebibytes(value["bytes"])


def milliseconds(seconds: Mapping[str, float]) -> str:
    """Formats `measure.spread` in ms: the median, and the fastest and the slowest run.

    >>> milliseconds({"median": 0.0123, "low": 0.0119, "high": 0.025})
    '12.3 (11.9..25.0)'
    """
    median, low, high = (significant(1e3 * seconds[key]) for key in ("median", "low", "high"))
    return f"{median} ({low}..{high})"


def times(value: float) -> str:
    """Formats a ratio."""
    return f"{significant(value)} x"
