"""Huge pages for what a step allocates on a CPU."""

from __future__ import annotations

import os
import platform
import sys
from pathlib import Path

_MODE = Path("/sys/kernel/mm/transparent_hugepage/enabled")
_TUNABLE = "glibc.malloc.hugetlb=1"


def restart_with_huge_pages() -> None:
    """Starts the running command once more, under the same process id, with glibc's memory in huge pages.

    XLA's CPU client asks the system anew for the temporaries of every step. In pages of 4 KiB the half a million faults
    of a MiniLM step took an eighth of its time; in pages of 2 MiB they vanish. glibc reads the setting only when a
    process starts. Does nothing where the system gives huge pages to all or to none, without glibc, or where
    GLIBC_TUNABLES says something about them already.
    """
    tunables = os.environ.get("GLIBC_TUNABLES", "")
    if platform.libc_ver()[0] != "glibc" or "glibc.malloc.hugetlb" in tunables:
        return
    if not _MODE.exists() or "[madvise]" not in _MODE.read_text():
        return
    os.environ["GLIBC_TUNABLES"] = ":".join(filter(None, (tunables, _TUNABLE)))
    sys.stdout.flush()
    os.execv(sys.executable, [sys.executable, *sys.orig_argv[1:]])
