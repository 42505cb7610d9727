"""Injects faults into trainings, and compares the results of two of them."""

import contextlib
import http.server
import json
import os
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import jax
import numpy as np
import pytest
from training_processes import saved_state

from uwe_jax.training.metric_writer import read_metrics

_OF_THE_MACHINE = ("_per_second", "_seconds", "_bytes")  # ends of names in metrics.jsonl that differ between runs


def assert_equal_ends(actual: Path, expected: Path, *, saved_alike: bool = True) -> None:
    """The last checkpoint bit for bit, summary, and every line of the metrics once: two workdirs of one config.

    Args:
      saved_alike: whether both saved after the same steps, and so keep checkpoints of the same steps.
    """
    kept = [sorted(path.name for path in (run / "checkpoints").iterdir()) for run in (actual, expected)]
    assert kept[0] == kept[1] or not saved_alike, kept
    steps = json.loads((expected / "config.json").read_text())["steps"]
    jax.tree.map(np.testing.assert_array_equal, saved_state(actual, steps), saved_state(expected, steps))
    summaries = [json.loads((run / "summary.json").read_text()) for run in (actual, expected)]
    assert summaries[0] == summaries[1], summaries
    assert _lines(actual) == _lines(expected), (_lines(actual), _lines(expected))


def _lines(workdir: Path) -> list[dict]:
    rows = read_metrics(workdir / "metrics.jsonl")
    return [{name: row[name] for name in row if not name.endswith(_OF_THE_MACHINE)} for row in rows]


def newest(workdir: Path) -> int:
    """Returns the step of the newest complete checkpoint, or 0."""
    folders = (workdir / "checkpoints").glob("[0-9]*")
    return max((int(folder.name) for folder in folders if folder.name.isdigit()), default=0)


def being_written(workdir: Path) -> set[tuple[str, int]]:
    """Returns the partial checkpoints: being written, or left by a killed process."""
    found = set()
    for folder in (workdir / "checkpoints").glob("*-tmp"):
        try:
            found.add((folder.name, folder.stat().st_ino))
        except FileNotFoundError:  # finished in between
            continue
    return found


def wait_until(condition: Callable[[], object], process: subprocess.Popen, seconds: float = 120) -> bool:
    """Returns whether the condition became true before the process ended."""
    last = time.monotonic() + seconds
    while process.poll() is None:
        if condition():
            return True
        assert time.monotonic() < last, f"nothing happened within {seconds} seconds"
        time.sleep(0.005)
    return False


def takes_signals(process: subprocess.Popen) -> bool:
    """Returns whether the process has a handler for SIGTERM, according to Linux."""
    caught = next(
        line for line in Path(f"/proc/{process.pid}/status").read_text().splitlines() if line.startswith("SigCgt")
    )
    return bool(int(caught.split()[1], 16) >> (signal.SIGTERM - 1) & 1)


def child_of(process: subprocess.Popen) -> int:
    """Returns the training process of its supervisor."""
    return int(Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()[0])


def read_until(process: subprocess.Popen, text: str) -> str:
    """Returns the output so far, once it has a text or the process has ended."""
    output = b""
    while text.encode() not in output and (more := os.read(process.stdout.fileno(), 2**16)):
        output += more
    return output.decode(errors="replace")


@contextlib.contextmanager
def mounted(folder: Path, source: Sequence[str], options: str = "") -> Iterator[Callable[[str], None]]:
    """A file system of its own in a folder; skips the test where none can be mounted.

    Args:
      source: the arguments of mount that name it.

    Yields:
      What mounts it again with other options.
    """
    folder.mkdir(exist_ok=True)

    def mount(*arguments: str) -> None:
        done = subprocess.run(["mount", *arguments, str(folder)], capture_output=True, text=True, check=False)
        if done.returncode:
            pytest.skip(f"no file system can be mounted here: {done.stderr.strip()}")

    try:
        mount(*(("-o", options) if options else ()), *source)
    except FileNotFoundError:
        pytest.skip("there is no mount here")
    try:
        yield lambda changed: mount("-o", f"remount,{changed}")
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=True)


def fill(folder: Path, *, but: int = 0) -> Path:
    """Fills a disk except for some bytes; returns the file that fills it."""
    ballast = folder / f"ballast-{time.monotonic_ns()}"
    usage = os.statvfs(folder)
    with ballast.open("wb", buffering=0) as file, contextlib.suppress(OSError):  # others write meanwhile
        while file.tell() < usage.f_bavail * usage.f_frsize - but or not but:
            file.write(bytes(4096))
    return ballast


@contextlib.contextmanager
def hub_silent_from(moment: str) -> Iterator[str]:
    """The address of a model hub that takes connections and answers none, or none from those for weights on."""

    class Handler(http.server.BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self):
            if moment == "the start" or "/api/" in self.path or self.path.endswith("model.safetensors"):
                over.wait()
                self.close_connection = True
                return
            self.send_response(200)
            for name, value in {"X-Repo-Commit": "a" * 40, "ETag": '"config"', "Content-Length": "2"}.items():
                self.send_header(name, value)
            self.end_headers()
            if self.command == "GET":
                self.wfile.write(b"{}")

        do_HEAD = do_GET

        def log_message(self, *_):
            pass

    over = threading.Event()
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        over.set()
        server.shutdown()
        server.server_close()
