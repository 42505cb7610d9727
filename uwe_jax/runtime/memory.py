"""Memory of this process."""

from __future__ import annotations

import sys


def process_peak() -> int | None:
    """Returns the most memory, in bytes, that was resident so far; None where the system does not say."""
    try:
        import resource
    except ImportError:  # Windows
        return None
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit


def gibibytes(size: float) -> str:
    """Formats bytes for people.

    >>> gibibytes(45 * 2**30), gibibytes(3.21 * 2**30), gibibytes(2**19)
    ('45.0 GiB', '3.2 GiB', '0.5 MiB')
    """
    return f"{size / 2**30:.1f} GiB" if size >= 2**30 / 10 else f"{size / 2**20:.1f} MiB"
