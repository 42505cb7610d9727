"""Memory of this process."""

from __future__ import annotations

import contextlib
import ctypes
import os
import sys

_TRIM_THRESHOLD, _MMAP_MAX, _ARENA_MAX = -1, -4, -8  # glibc's malloc.h
_NEVER = -1


def process_peak() -> int | None:
    """Returns the most memory, in bytes, that was resident so far; None where the system does not say."""
    try:
        import resource
    except ImportError:  # Windows
        return None
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit


def keep_freed_memory() -> None:
    """Makes malloc keep what is freed, where it is glibc's: to be called before JAX starts threads.

    Else it returns the temporaries of every step on a CPU to the system, and a fifth of the next step goes into page
    faults for new ones. Huge pages avoid them as well, and need mappings of their own.
    """
    if "hugetlb" in os.environ.get("GLIBC_TUNABLES", ""):
        return
    with contextlib.suppress(OSError, AttributeError):
        library = ctypes.CDLL(None)
        for option, value in ((_ARENA_MAX, 1), (_MMAP_MAX, 0), (_TRIM_THRESHOLD, _NEVER)):
            library.mallopt(option, value)


def gibibytes(size: float) -> str:
    """Formats bytes for people.

    >>> gibibytes(45 * 2**30), gibibytes(3.21 * 2**30), gibibytes(2**19)
    ('45.0 GiB', '3.2 GiB', '0.5 MiB')
    """
    return f"{size / 2**30:.1f} GiB" if size >= 2**30 / 10 else f"{size / 2**20:.1f} MiB"
