"""Compiled programs kept between processes: what was compiled once is read in milliseconds."""

from __future__ import annotations

import hashlib
import os
import platform
import sys
from pathlib import Path

from uwe_jax.runtime.files import cache_folder

_CPU_INFO = Path("/proc/cpuinfo")
# Beyond this, JAX takes away what was not used for longest.
_MOST_BYTES = 2 * 2**30


def keep_compiled_programs(folder: Path | None = None) -> Path | None:
    """Makes JAX keep what it compiles in this process, and in those that it starts, and read what was kept.

    A command calls it once, before it imports jax, which reads its settings then. A JAX_COMPILATION_CACHE_DIR that is
    set stands, and JAX_ENABLE_COMPILATION_CACHE=false keeps nothing.

    Args:
      folder: where programs are kept; None takes `compiled` in the cache folder. Each kind of processor has a folder
        of its own below: machines that share a home cannot always run each other's programs.

    Returns:
      The folder with this processor's programs; None where nothing was changed: jax was imported before, the user's own
      settings stand, or the folder cannot be written.
    """
    if "jax" in sys.modules or "JAX_COMPILATION_CACHE_DIR" in os.environ:
        return None
    own = (folder or cache_folder() / "compiled") / _processor()
    try:
        own.mkdir(parents=True, exist_ok=True)
    except OSError:
        return None
    if not os.access(own, os.W_OK):
        return None
    os.environ["JAX_COMPILATION_CACHE_DIR"] = str(own)
    # Ranking takes dozens of small programs, each of which JAX would think too quickly compiled to be kept.
    os.environ.setdefault("JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS", "0")
    os.environ.setdefault("JAX_COMPILATION_CACHE_MAX_SIZE", str(_MOST_BYTES))
    return own


def _processor() -> str:
    """Changes with the instructions that the processor knows."""
    known = platform.machine()
    if _CPU_INFO.exists():
        lines = _CPU_INFO.read_text().splitlines()
        known += next((line for line in lines if line.startswith(("flags", "Features"))), "")
    return hashlib.sha256(known.encode()).hexdigest()[:12]
