"""Memory of the process."""

import os
import platform
import subprocess
import sys

import pytest

FAULTS = """
import resource, threading, numpy as np
{}
def faults():
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    np.ones(64 * 2**17)  # 64 MiB in pages of 4 KiB
    found.append(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
found = []
for _ in range(3):
    thread = threading.Thread(target=faults)
    thread.start()
    thread.join()
print(found[-1])
"""
KEEP = "from uwe_jax.runtime.memory import keep_freed_memory; keep_freed_memory()"


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="the settings are those of glibc's malloc")
@pytest.mark.parametrize(("first", "tunables", "kept"), [(KEEP, "", True), ("", "", False)])
def test_freed_memory_is_used_again_without_page_faults(first, tunables, kept):
    # NumPy asks for huge pages of its own.
    environment = os.environ | {"GLIBC_TUNABLES": tunables, "NUMPY_MADVISE_HUGEPAGE": "0"}
    done = subprocess.run(
        [sys.executable, "-c", FAULTS.format(first)], capture_output=True, text=True, check=True, env=environment
    )
    assert (int(done.stdout) < 1000) == kept
