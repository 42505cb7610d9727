"""Joining the processes of one training: `jax.distributed` from flags, the environment, or what JAX finds by itself."""

from __future__ import annotations

import atexit
import contextlib
import logging
import os
import re
import threading
from collections.abc import Iterator, Mapping
from typing import Any

import jax

from uwe_jax.config import DistributedSettings
from uwe_jax.distributed.heartbeat import Heartbeat
from uwe_jax.runtime import progress, supervisor
from uwe_jax.runtime.command import EXIT_AGAIN, end_now, exit_status
from uwe_jax.runtime.errors import Stopped, UserError
from uwe_jax.runtime.remote_errors import Unreachable
from uwe_jax.runtime.supervisor import NUMBERS, is_one_of_several

LOG = logging.getLogger(__name__)

# JAX's own timeout is so many times ours: it is the second line, for a process whose heartbeat thread hangs.
_JAX_WAITS_LONGER = 2
_START_SECONDS = 300  # for all processes to join: machines of one training do not start at the same moment
_LOSS = re.compile(
    "(UNKNOWN|INTERNAL|UNAVAILABLE|DEADLINE_EXCEEDED|ABORTED|CANCELLED|FAILED_PRECONDITION): |Connection (closed|reset)"
)
_FLUSH_SECONDS = 10.0  # for an error to be printed


def is_first() -> bool:
    """Returns whether this is the process that writes logs, metrics and summaries."""
    return jax.process_index() == 0


@contextlib.contextmanager
def joined(settings: DistributedSettings) -> Iterator[None]:
    """Joins the other processes of the training, if there are any, and exits with them at the end.

    Inside, `jax.devices()` are those of all processes, only the first process logs, and each of them exits with a
    sentence soon after another one is lost. Must run before anything else asks JAX for devices.

    Raises UserError if the settings contradict each other, or a process does not join in time.
    """
    found = _explicit(settings, os.environ)
    if not found and not is_one_of_several([], os.environ):
        yield
        return
    _join(settings, found)
    if jax.process_count() == 1:  # a TPU host of its own
        yield
        return
    index, count = jax.process_index(), jax.process_count()
    if index:
        progress.be_silent()
    LOG.info(f"{count} processes train together on {jax.device_count()} devices.")
    client, address = _client()
    supervisor.tell(address, index, count)
    heartbeat = Heartbeat(client, index, count, settings.timeout_seconds)
    try:
        yield
    except Stopped:
        _exit_together(heartbeat, EXIT_AGAIN)  # all processes stop at the same step
        raise
    except BaseException as error:
        if _may_follow_a_loss(error):
            heartbeat.wait_for_detection()
        heartbeat.failed(error)
        _exit_alone(exit_status(error))
        raise
    _exit_together(heartbeat, 0)


def _may_follow_a_loss(error: BaseException | None) -> bool:
    """Classifies an error as a possible failure of a collective after another process was lost.

    Decided by the messages, down to the first cause: the same failure is a JaxRuntimeError where a program runs, and
    a ValueError where JAX starts one.

    >>> _may_follow_a_loss(ValueError("UNKNOWN: Gloo AllGather failed: Connection closed by peer"))
    True
    >>> _may_follow_a_loss(jax.errors.JaxRuntimeError("RESOURCE_EXHAUSTED: Out of memory"))
    False
    """
    while error is not None:
        if _LOSS.search(str(error)):
            return True
        error = error.__cause__ or error.__context__
    return False


def _exit_together(heartbeat: Heartbeat, status: int) -> None:
    """Waits until the other processes have finished too."""
    heartbeat.finish()
    try:
        jax.distributed.shutdown()
    except RuntimeError as error:
        # One of them was lost or late, which does not change what was finished.
        LOG.warning(f"Not all processes finished together: {str(error).partition(chr(10))[0][:300]}")
        atexit.register(end_now, status)


def _exit_alone(status: int) -> None:
    """Exits without waiting for the others, which have the report and would wait for this process."""
    atexit.register(end_now, status)
    # Python joins threads first, and those of a save in progress may wait for the other processes.
    watchdog = threading.Timer(_FLUSH_SECONDS, end_now, [status])
    watchdog.daemon = True
    watchdog.start()


def _explicit(settings: DistributedSettings, environment: Mapping[str, str]) -> dict[str, Any]:
    """Reads the process topology from flags or environment variables; empty where neither gives one.

    Raises UserError if they give only a part of it, or numbers that contradict each other.
    """
    address = settings.coordinator or environment.get("JAX_COORDINATOR_ADDRESS", "")
    processes = settings.processes or _number(environment, "JAX_NUM_PROCESSES", 0)
    process = settings.process if settings.process >= 0 else _number(environment, "JAX_PROCESS_ID", -1)
    if not address and process < 0 and processes < 2:
        return {}
    if address and not processes and process < 0 and any(name in environment for name in NUMBERS[1:]):
        return {}  # the launcher has the rest, and JAX reads the address itself
    if not address or not processes or process < 0:
        raise UserError(
            f"Several processes need three settings: distributed.coordinator (now {address or 'not given'}), "
            f"distributed.processes (now {processes or 'not given'}) and distributed.process (now "
            f"{'not given' if process < 0 else process}), as flags --config.distributed.* or as "
            "JAX_COORDINATOR_ADDRESS, JAX_NUM_PROCESSES and JAX_PROCESS_ID. Slurm, Open MPI and TPU hosts need none "
            "of them."
        )
    host, _, port = address.rpartition(":")
    if not host or not port.isdigit():
        raise UserError(f"distributed.coordinator is {address!r}; it must be HOST:PORT, such as 10.0.0.2:8476.")
    if process >= processes:
        raise UserError(
            f"distributed.process is {process}, but there are {processes} processes; they count from 0 to "
            f"{processes - 1}."
        )
    return {"coordinator_address": address, "num_processes": processes, "process_id": process}


def _number(environment: Mapping[str, str], name: str, default: int) -> int:
    text = environment.get(name, "")
    if text and not text.isdigit():
        raise UserError(f"{name} is {text!r}; it must be a number.")
    return int(text) if text else default


def _join(settings: DistributedSettings, found: dict[str, Any]) -> None:
    if found:
        # Otherwise JAX also detects a cluster, and gives each of its processes a single GPU.
        found = {**found, "cluster_detection_method": "deactivate"}
    try:
        jax.distributed.initialize(
            **found,
            initialization_timeout=_START_SECONDS,
            heartbeat_timeout_seconds=settings.timeout_seconds * _JAX_WAITS_LONGER,
            shutdown_timeout_seconds=_START_SECONDS,
        )
    except ValueError as error:
        raise UserError(
            f"This process was started as one of several, but JAX cannot find the other processes: {error} Set "
            "distributed.coordinator, distributed.processes and distributed.process, as flags --config.distributed.*"
        ) from error
    except RuntimeError as error:
        first_line = str(error).partition("\n")[0][:300]
        raise Unreachable(  # a machine may still be starting
            f"The processes of this training did not find each other: {first_line} Expected "
            f"{found.get('num_processes', 'as many processes as the launcher started')}, all of which can reach "
            f"{found.get('coordinator_address', 'the first one')}, within {_START_SECONDS} seconds."
        ) from error


def _client() -> tuple[Any, str]:
    """Returns JAX's connection to its coordination service, and the service's address.

    JAX has no public access to either; Orbax and other libraries of its authors read the same attribute.
    """
    from jax._src.distributed import global_state

    return global_state.client, str(global_state.coordinator_address)
