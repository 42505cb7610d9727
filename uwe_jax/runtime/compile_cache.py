"""Cache of compiled programs on disk, shared by processes."""

from __future__ import annotations

import hashlib
import os
import platform
import sys
from pathlib import Path

from uwe_jax.runtime.files import cache_folder

_CPU_INFO = Path("/proc/cpuinfo")
_MOST_BYTES = 2 * 2**30  # beyond this, JAX removes the least recently used programs


def keep_compiled_programs() -> Path | None:
    """Turns on JAX's compilation cache for this process and its children; to be called before jax is imported.

    JAX_COMPILATION_CACHE_DIR and JAX_ENABLE_COMPILATION_CACHE of the user take precedence. Each kind of processor has a
    subfolder of `compiled` in the cache folder: machines that share a home directory cannot always run each other's
    programs.

    Returns:
      The subfolder; None if nothing was changed: jax was imported already, the user has settings, or the folder is not
      writable.
    """
    if "jax" in sys.modules or "JAX_COMPILATION_CACHE_DIR" in os.environ:
        return None
    own = cache_folder() / "compiled" / _processor()
    try:
        own.mkdir(parents=True, exist_ok=True)
    except OSError:
        return None
    if not os.access(own, os.W_OK):
        return None
    os.environ["JAX_COMPILATION_CACHE_DIR"] = str(own)
    # Ranking compiles dozens of small programs, which JAX would consider too fast to compile to be kept.
    os.environ.setdefault("JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS", "0")
    os.environ.setdefault("JAX_COMPILATION_CACHE_MAX_SIZE", str(_MOST_BYTES))
    return own


def _processor() -> str:
    """Hashes the instruction set of the processor."""
    known = platform.machine()
    if _CPU_INFO.exists():
        lines = _CPU_INFO.read_text().splitlines()
        known += next((line for line in lines if line.startswith(("flags", "Features"))), "")
    return hashlib.sha256(known.encode()).hexdigest()[:12]
