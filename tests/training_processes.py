"""The training command in processes of its own: one, or several of one training over loopback."""

import contextlib
import os
import socket
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import jax
import numpy as np
import orbax.checkpoint as ocp

ROOT = Path(__file__).parents[1]


def free_port() -> int:
    """A port that nobody listens on."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


def start(
    flags: Sequence[str], *, devices: int = 1, environment: Mapping[str, str] | None = None
) -> subprocess.Popen[str]:
    """The command in a process of its own, on so many CPU devices; its output is one pipe."""
    options = f"{os.environ['XLA_FLAGS']} --xla_force_host_platform_device_count={devices}"  # the last one counts
    return subprocess.Popen(
        [sys.executable, "-m", "uwe_jax.train", *map(str, flags)],
        cwd=ROOT,
        env={**os.environ, "JAX_PLATFORMS": "cpu", "XLA_FLAGS": options, **(environment or {})},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


@contextlib.contextmanager
def several(
    flags: Sequence[str], processes: int, *, devices: int = 1, last: Sequence[str] = ()
) -> Iterator[list[subprocess.Popen[str]]]:
    """The processes of one training, in their order; those that are left at the end are killed.

    `last` are flags that the last one alone is given.
    """
    address = f"127.0.0.1:{free_port()}"
    started = []
    try:
        for process in range(processes):
            own = (f"coordinator={address}", f"processes={processes}", f"process={process}", "timeout_seconds=10")
            more = last if process == processes - 1 else ()
            started.append(start([*flags, *(f"--config.distributed.{each}" for each in own), *more], devices=devices))
        yield started
    finally:
        for process in started:
            process.kill()
            process.wait()
            if process.stdout:
                process.stdout.close()


def finish(started: Sequence[subprocess.Popen[str]], *, seconds: float = 300) -> list[tuple[int, str]]:
    """Exit status and output of every process."""
    outputs = [process.communicate(timeout=seconds)[0] for process in started]
    return [(process.returncode, output) for process, output in zip(started, outputs, strict=True)]


def saved_state(workdir: Path, step: int) -> dict:
    """The state of a checkpoint as host arrays, on whatever devices of however many processes it was saved."""
    folder = (workdir / "checkpoints" / str(step) / "state").absolute()
    with ocp.PyTreeCheckpointer() as reader:
        saved = reader.metadata(folder).item_metadata.tree
        arguments = jax.tree.map(lambda _: ocp.RestoreArgs(restore_type=np.ndarray), saved)
        return reader.restore(folder, args=ocp.args.PyTreeRestore(restore_args=arguments))
