"""Finding the other processes, noticing that one is gone, and being asked to stop; without starting any."""

import contextlib
import errno
import http.server
import os
import re
import signal
import subprocess
import sys
import textwrap
import threading
import time

import pytest
from training_processes import ROOT, free_port

from uwe_jax.config import DistributedSettings
from uwe_jax.distributed import heartbeat, interruption, joining
from uwe_jax.distributed.interruption import Interruption
from uwe_jax.runtime import supervisor
from uwe_jax.runtime import supervisor as surroundings
from uwe_jax.runtime.errors import Stopped, UserError
from uwe_jax.runtime.remote_errors import Unreachable
from uwe_jax.runtime.supervisor import is_one_of_several


@pytest.mark.parametrize(
    ("arguments", "environment", "several"),
    [
        ([], {}, False),
        (["--config.distributed.processes=3"], {}, True),
        (["--config.distributed.processes=1"], {"JAX_NUM_PROCESSES": "2"}, False),
        (["--config.distributed.processes=0"], {"JAX_NUM_PROCESSES": "2"}, True),
        ([], {"SLURM_NTASKS": "2", "SLURM_PROCID": "0"}, False),  # a batch script
        ([], {"SLURM_NTASKS": "2", "SLURM_STEP_NODELIST": "n1"}, True),
        ([], {"SLURM_NTASKS": "1", "SLURM_STEP_NODELIST": "n1"}, False),
        ([], {"OMPI_COMM_WORLD_SIZE": "2"}, True),
    ],
)
def test_one_of_several_is_known_before_jax_is_there(arguments, environment, several):
    assert is_one_of_several(arguments, environment) == several


def test_a_tpu_host_whose_chips_are_left_alone_is_no_tpu_host(monkeypatch):
    monkeypatch.setattr(surroundings.importlib.util, "find_spec", lambda _: "libtpu")
    monkeypatch.setattr(surroundings.Path, "exists", lambda _: True)
    assert is_one_of_several([], {})
    assert is_one_of_several([], {"JAX_PLATFORMS": "tpu,cpu"})
    assert not is_one_of_several([], {"JAX_PLATFORMS": "cpu"})


@pytest.mark.parametrize(
    ("raised", "answered", "sentence"),
    [
        (ValueError("coordinator_address should be defined."), UserError, "Set distributed.coordinator"),
        (RuntimeError("DEADLINE_EXCEEDED: late\nand more"), Unreachable, "other: DEADLINE_EXCEEDED: late Expected"),
    ],
)
def test_processes_that_do_not_meet_are_said(monkeypatch, raised, answered, sentence):
    def fail(**_):
        raise raised

    monkeypatch.setattr(joining.jax.distributed, "initialize", fail)
    with pytest.raises(UserError, match=sentence) as caught:
        joining._join(DistributedSettings(), {})
    assert type(caught.value) is answered


def test_the_settings_of_several_processes_come_from_flags_and_variables():
    flags = DistributedSettings(coordinator="10.0.0.2:8476", processes=2, process=1)
    variables = {"JAX_COORDINATOR_ADDRESS": "10.0.0.2:8476", "JAX_NUM_PROCESSES": "2", "JAX_PROCESS_ID": "1"}
    expected = {"coordinator_address": "10.0.0.2:8476", "num_processes": 2, "process_id": 1}
    assert joining._explicit(flags, {}) == joining._explicit(DistributedSettings(), variables) == expected
    assert joining._explicit(DistributedSettings(), {}) == {}
    # A launcher's own variables say the rest.
    assert joining._explicit(DistributedSettings(), {"JAX_COORDINATOR_ADDRESS": "a:1", "SLURM_NTASKS": "2"}) == {}


@pytest.mark.parametrize(
    ("settings", "environment", "message"),
    [
        ({"processes": 2}, {}, r"coordinator \(now not given\), distributed.processes \(now 2\)"),
        ({"coordinator": "a:1"}, {}, "distributed.processes .now not given"),
        ({"coordinator": "a:1", "processes": 2, "process": 2}, {}, "process is 2, but there are 2 processes"),
        ({"coordinator": "nowhere", "processes": 2, "process": 0}, {}, "'nowhere'; it must be HOST:PORT"),
        ({"coordinator": "a:1"}, {"JAX_NUM_PROCESSES": "two"}, "JAX_NUM_PROCESSES is 'two'"),
    ],
)
def test_half_of_the_settings_is_answered_with_a_sentence(settings, environment, message):
    with pytest.raises(UserError, match=message):
        joining._explicit(DistributedSettings(**settings), environment)


class Service:
    """What stands in for JAX's coordination service: a table of values."""

    def __init__(self):
        self.values = {}

    def key_value_set(self, key, value, allow_overwrite=False):
        self.values[key] = value

    def key_value_dir_get(self, prefix):
        if self.values is None:
            raise RuntimeError("UNAVAILABLE")
        return [(key, value) for key, value in self.values.items() if key.startswith(prefix)]


@pytest.fixture
def ends(monkeypatch):
    """Statuses with which a heartbeat would have ended this process; waiting for one returns it."""
    ended = []
    monkeypatch.setattr("os._exit", ended.append)

    def wait(seconds=10):
        last = time.monotonic() + seconds
        while not ended and time.monotonic() < last:
            time.sleep(0.01)
        return ended[:1]

    return wait


@pytest.mark.thorough
def test_a_process_without_a_heartbeat_is_lost(ends, capsys):
    service = Service()
    beating = threading.Event()

    def beat():
        for count in range(10**6):
            if beating.wait(0.02):
                return
            service.values["uwe_jax/alive/0"] = str(count)

    threading.Thread(target=beat, daemon=True).start()
    watch = heartbeat.Heartbeat(service, 1, 2, timeout_seconds=0.5)
    assert ends(1.5) == []  # alive, however long it takes
    beating.set()
    assert ends() == [75]
    watch.finish()
    assert "Process 1 of 2 stops: process 0 has sent no heartbeat" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (UserError("fix me"), 2),
        (OSError(errno.ENOSPC, "No space left on device"), 2),
        (Unreachable("the bucket does not answer"), 75),
        (KeyboardInterrupt("Ctrl-C"), 130),
        (RuntimeError("a bug"), 75),
    ],
)
def test_what_ended_one_process_is_said_by_the_others(ends, capsys, error, status):
    service = Service()
    failing = heartbeat.Heartbeat(service, 1, 2, timeout_seconds=60)
    watch = heartbeat.Heartbeat(service, 0, 2, timeout_seconds=1)
    failing.failed(error)
    assert ends() == [status]
    watch.finish()
    assert f"process 1 ended: {error}" in capsys.readouterr().err


def test_a_service_that_is_gone_is_the_first_process_that_is_lost(ends, capsys):
    service = Service()
    service.values = None
    watch = heartbeat.Heartbeat(service, 1, 2, timeout_seconds=1)
    assert ends() == [75]
    watch.finish()
    assert "the first process no longer answers" in capsys.readouterr().err


def test_a_process_that_has_finished_is_not_lost(ends):
    service = Service()
    finished = heartbeat.Heartbeat(service, 1, 2, timeout_seconds=0.2)
    watch = heartbeat.Heartbeat(service, 0, 2, timeout_seconds=0.2)
    finished.finish()
    assert ends(1) == []
    watch.finish()


@pytest.fixture
def joined(monkeypatch):
    """This process as the second of two; returns what it would have been left with, or at exit."""
    left, at_exit, service = [], [], Service()
    monkeypatch.setattr(joining, "_join", lambda *_: None)
    monkeypatch.setattr(joining, "_client", lambda: (service, "127.0.0.1:1"))
    monkeypatch.setattr(joining.progress, "be_silent", lambda: None)
    monkeypatch.setattr(joining.jax, "process_count", lambda: 2)
    monkeypatch.setattr(joining.jax, "process_index", lambda: 1)
    monkeypatch.setattr(joining.jax.distributed, "shutdown", lambda: None)
    register = joining.atexit.register  # which other libraries call as well

    def note(function, *args):
        at_exit.extend(args) if function is joining.end_now else register(function, *args)

    monkeypatch.setattr(joining.atexit, "register", note)
    monkeypatch.setattr(joining, "_FLUSH_SECONDS", 0.05)
    monkeypatch.setattr("os._exit", left.append)
    return left, at_exit


TWO = DistributedSettings(coordinator="127.0.0.1:1", processes=2, process=1)


@pytest.mark.parametrize(("error", "status"), [(UserError("fix me"), 2), (Unreachable("no answer"), 1)])
def test_who_ends_with_an_error_waits_for_no_thread(joined, error, status):
    left, at_exit = joined
    with pytest.raises(UserError, match=str(error)), joining.joined(TWO):
        raise error
    last = time.monotonic() + 10
    while not left and time.monotonic() < last:
        time.sleep(0.01)
    assert left == at_exit == [status]


@pytest.mark.parametrize(
    ("message", "waits"),
    [("UNKNOWN: Gloo AllGather failed: Connection closed by peer", 1), ("RESOURCE_EXHAUSTED: Out of memory", 0)],
)
def test_only_an_error_that_another_process_may_have_caused_waits_for_detection(joined, monkeypatch, message, waits):
    waited = []
    monkeypatch.setattr(heartbeat.Heartbeat, "wait_for_detection", lambda self: waited.append(self))
    monkeypatch.setattr(joining, "_exit_alone", lambda _: None)
    with pytest.raises(UserError), joining.joined(TWO):  # noqa: PT012
        try:
            raise ValueError(message)
        except ValueError as error:
            raise UserError("cannot be read") from error
    assert len(waited) == waits


@pytest.mark.parametrize("status", [0, 75])
def test_a_process_lost_at_the_end_takes_nothing_away(joined, monkeypatch, status):
    left, at_exit = joined

    def fail():
        raise RuntimeError("DEADLINE_EXCEEDED: Barrier timed out.")

    monkeypatch.setattr(joining.jax.distributed, "shutdown", fail)
    if status:
        with pytest.raises(Stopped, match="asked"), joining.joined(TWO):
            raise Stopped("asked")
    else:
        with joining.joined(TWO):
            pass
    assert (left, at_exit) == ([], [status])


def test_who_has_parted_is_left_in_peace(ends):
    service = Service()
    watch = heartbeat.Heartbeat(service, 1, 2, timeout_seconds=0.2)
    watch.finish()
    service.values = None
    assert ends(0.5) == []


@pytest.mark.parametrize(
    ("note", "status", "sentence"),
    [
        ("supervisor.tell('127.0.0.1:{port}', 1, 2)", 75, "Process 1 of 2 was ended because the first process"),
        ("supervisor.tell('127.0.0.1:{port}', 0, 2)", 134, "ended by SIGABRT"),
        ("pass", 134, "ended by SIGABRT"),
        ("os.kill(os.getpid(), 15)", 75, "Stopped by SIGTERM; nothing was unsaved"),
    ],
)
def test_a_killed_process_is_explained_by_its_parent(note, status, sentence):
    script = f"""
        import os, sys
        from uwe_jax.runtime import supervisor
        from uwe_jax.runtime.command import end_on_request
        end_on_request()
        supervisor.supervise()
        {note.format(port=free_port())}
        os.abort()
        """
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(script), "--config.distributed.processes=2"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == status
    assert re.search(sentence, done.stderr)


def test_a_parent_passes_signals_on_and_ends_as_its_child_does():
    script = """
        import os, re, signal, sys, time
        from pathlib import Path
        from uwe_jax.runtime import supervisor
        supervisor.supervise()
        signal.signal(signal.SIGTERM, lambda *_: sys.exit(7))
        parent = Path(f"/proc/{os.getppid()}/status")
        while parent.exists() and not int(re.search("SigCgt:.*", parent.read_text())[0].split()[1], 16) >> 14 & 1:
            time.sleep(0.01)  # until SIGTERM has a handler there
        print("ready", flush=True)
        while True:
            time.sleep(0.1)  # a signal just before one long sleep would be handled after it
        """
    process = subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(script), "--config.distributed.processes=2"],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    process.terminate()
    process.communicate(timeout=30)
    assert process.returncode == 7


def test_a_parent_whose_child_is_gone_passes_nothing_on(monkeypatch):
    reader, writer = os.pipe()
    os.close(writer)
    handlers = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}
    monkeypatch.setattr(supervisor.os, "waitpid", lambda *_: (1, signal.SIGKILL))
    monkeypatch.setattr(supervisor.os, "kill", lambda *_: pytest.fail("another process may have the number by now"))
    try:
        assert supervisor._watch(1, reader) == 137
        signal.raise_signal(signal.SIGTERM)
    finally:
        for number, handler in handlers.items():
            signal.signal(number, handler)


def test_a_request_before_training_is_not_an_end_like_a_crash():
    script = """
        import time
        from uwe_jax.runtime.command import end_on_request
        end_on_request()
        print("ready", flush=True)
        time.sleep(60)
        """
    process = subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(script)],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    process.terminate()
    _, said = process.communicate(timeout=30)
    assert process.returncode == 75
    assert "Re-run the same command to resume" in said
    assert "    end_on_request()\n" in (ROOT / "uwe_jax/commands/train.py").read_text()


def test_several_processes_count_their_questions_from_one(monkeypatch):
    """JAX answers a request from before the first question at number 1, whatever steps were taken before."""
    asked = []
    monkeypatch.setattr(interruption.jax, "process_count", lambda: 2)
    monkeypatch.setattr(
        interruption.multihost_utils, "reached_preemption_sync_point", lambda n: asked.append(n) or n == 2
    )
    stop = Interruption()
    assert [stop.requested(), stop.requested(), stop.requested()] == [False, True, False]
    assert asked == [1, 2, 3]


def test_a_request_during_the_last_save_is_heard_after_it():
    def save(stop):
        with stop.later():
            assert not stop.requested()
            os.kill(os.getpid(), signal.SIGTERM)

    with Interruption.watched() as stop, pytest.raises(Stopped, match="nothing was unsaved"):
        save(stop)


def test_a_request_waits_for_what_has_to_be_saved():
    def work(stop):
        with stop.later():
            assert not stop.requested()
            os.kill(os.getpid(), signal.SIGTERM)
            assert stop.requested()
            with stop.at_once():
                pytest.fail("what takes long is not begun")

    with Interruption.watched() as stop:
        with pytest.raises(Stopped, match="Asked to stop"):
            work(stop)
        with pytest.raises(Stopped, match="nothing was unsaved"):
            os.kill(os.getpid(), signal.SIGTERM)
    assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL


def test_what_takes_long_is_left_at_once():
    def long_work():
        os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(60)

    with pytest.raises(Stopped), Interruption.watched() as stop, stop.later(), stop.at_once():
        long_work()


class Metadata(http.server.BaseHTTPRequestHandler):
    """Google's metadata server, with one notice."""

    def do_GET(self):
        assert self.headers["Metadata-Flavor"] == "Google"
        calm = {"maintenance-event": "NONE", "preempted": "FALSE"}
        value = {**calm, **self.server.notices}[self.path.rpartition("/")[2]]
        self.send_response(200)
        self.end_headers()
        self.wfile.write(value.encode())

    def log_message(self, *_):
        pass


@pytest.fixture
def metadata(monkeypatch):
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Metadata)
    server.notices = {}
    threading.Thread(target=server.serve_forever, daemon=True).start()
    monkeypatch.setenv("GCE_METADATA_HOST", f"127.0.0.1:{server.server_port}")
    yield server
    server.shutdown()
    server.server_close()


@pytest.mark.parametrize("notice", [{"maintenance-event": "TERMINATE_ON_HOST_MAINTENANCE"}, {"preempted": "TRUE"}])
def test_a_notice_of_maintenance_is_a_request_to_stop(metadata, monkeypatch, notice):
    monkeypatch.setattr(interruption, "PAUSE_SECONDS", 0.05)
    host = os.environ["GCE_METADATA_HOST"]
    with contextlib.suppress(Stopped), Interruption.watched() as stop, stop.later():
        assert interruption.notice(host) is None
        assert not stop.requested()
        metadata.notices = notice
        last = time.monotonic() + 10
        while not stop.requested() and time.monotonic() < last:
            time.sleep(0.01)
        assert stop.requested()


def test_a_metadata_server_that_does_not_answer_gives_no_notice():
    assert interruption.notice(f"127.0.0.1:{free_port()}") is None
