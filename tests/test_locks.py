"""Tests of file locks that name their holder."""

import errno
import math
import os
import socket
import subprocess
import sys
import threading
import time

import filelock
import pytest

from uwe_jax.runtime import locks
from uwe_jax.runtime.errors import UserError
from uwe_jax.runtime.locks import exclusive

HOLD = """
import sys, time
from pathlib import Path
from uwe_jax.runtime.locks import exclusive
with exclusive(Path(sys.argv[1]), "training in runs/theirs"):
    print("held", flush=True)
    time.sleep(600)
"""


@pytest.fixture
def lock(tmp_path):
    return tmp_path / "run" / ".lock"


@pytest.fixture
def other(lock):
    with subprocess.Popen([sys.executable, "-c", HOLD, str(lock)], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout.readline() == "held\n"
        yield process
        process.kill()


def test_the_second_process_names_the_holder_and_a_killed_one_does_not_block(lock, other):
    message = (
        rf"^Another process is training in runs/theirs \(process {other.pid} on {socket.gethostname()}, since 20.*\)\. "
        r"Wait until it has finished and try again, or name another folder\.$"
    )
    with pytest.raises(UserError, match=message), exclusive(lock, "training here", advice="name another folder"):
        pass
    other.kill()
    other.wait()
    assert b"theirs" in lock.read_bytes()
    with exclusive(lock, "training here"):
        assert lock.read_bytes().startswith(b'{"pid": %d, ' % os.getpid())
    assert lock.read_bytes() == b""


def test_the_lock_is_released_by_an_error_inside(lock):
    with pytest.raises(KeyError), exclusive(lock, "failing"):
        raise KeyError
    with exclusive(lock, "trying again"):
        pass


def test_a_child_that_inherits_the_lock_keeps_it(lock):
    with exclusive(lock, "starting a child") as file:
        child = subprocess.Popen(["sleep", "600"], pass_fds=[file])
    try:
        with pytest.raises(UserError, match="Another process is next"), exclusive(lock, "next"):
            pass
    finally:
        child.kill()
        child.wait()
    with exclusive(lock, "next"):
        pass


def test_a_patient_process_waits_and_reports_it(lock, monkeypatch):
    monkeypatch.setattr(locks, "QUIET", 0.0)
    told, held = [], exclusive(lock, "writing")
    held.__enter__()

    def until_it_is_waited_for(message):
        told.append(message)
        held.__exit__(None, None, None)

    monkeypatch.setattr(locks.LOG, "info", until_it_is_waited_for)
    with exclusive(lock, "waiting", patience=math.inf):
        pass
    assert [message.rpartition(".")[0].rpartition(". ")[2] for message in told] == ["Waiting for it"]
    with exclusive(lock, "writing"):
        start = time.monotonic()
        with pytest.raises(UserError, match="Another process is writing"), exclusive(lock, "waiting", patience=0.1):
            pass
        assert time.monotonic() - start >= 0.1


def test_a_lock_whose_file_is_removed_by_its_holder_is_not_held_by_two(lock):
    order = []

    def wait():
        with exclusive(lock, "waiting", patience=math.inf):
            order.append("waited")
            with pytest.raises(UserError), exclusive(lock, "third"):
                pass

    with exclusive(lock, "removing"):
        thread = threading.Thread(target=wait)
        thread.start()
        time.sleep(0.1)
        lock.unlink()
    thread.join()
    assert order == ["waited"]


@pytest.mark.parametrize(
    "note", ['{"pid": ', '{"pid": 1}', "[" * 4096, '{"pid": [], "doing": 1, "host": 1, "since": 1}']
)
def test_an_unreadable_note_names_no_holder(lock, note):
    with exclusive(lock, "holding"):
        lock.write_text(note)
        with pytest.raises(UserError, match=r"^Another process is next\. Wait"), exclusive(lock, "next"):
            pass


def test_control_characters_of_a_note_are_not_printed(lock):
    with exclusive(lock, "hold\x1b[31m\u202eing"), pytest.raises(UserError, match=r"hold\[31ming \("):
        locks._locked(lock, "next", 0, "")


def test_a_file_system_without_locks_is_reported(lock, monkeypatch, capsys):
    def without(*_, **__):
        raise OSError(errno.ENOSYS, os.strerror(errno.ENOSYS))

    monkeypatch.setattr(filelock, "lock_descriptor", without)
    with exclusive(lock, "training"):
        assert "has no locks (Function not implemented)" in capsys.readouterr().err
