"""The server: listening, and stopping without losing a request."""

from __future__ import annotations

import asyncio
import errno
import logging
import socket
import time
from collections.abc import Callable
from types import FrameType
from typing import Any

import uvicorn
from uvicorn.protocols.http.h11_impl import H11Protocol

from uwe_jax.runtime.errors import UserError
from uwe_jax.serving.app import make_app
from uwe_jax.serving.batching import Batcher
from uwe_jax.serving.gate import Gate
from uwe_jax.serving.metrics import Metrics
from uwe_jax.serving.options import VARIABLE, ServiceOptions, is_loopback
from uwe_jax.serving.tasks import ServedModel, load_served

LOG = logging.getLogger(__name__)
_LOADING_SECONDS = 10.0  # for a model that is being loaded when the service stops


class Connection(H11Protocol):
    """uvicorn's HTTP/1.1, aborted if no request begins, or no answer is read, between two checks `seconds` apart.

    A client that closes its sending side still gets its answers.
    """

    seconds: float
    _half_closed = False

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Begins the checks."""
        super().connection_made(transport)
        self.loop.call_later(self.seconds, self._check, None)

    def eof_received(self) -> bool:  # type: ignore[override]
        """Keeps the connection open for pending answers; without them it is closed."""
        self._half_closed = True
        return self._is_answering()

    def on_response_complete(self) -> None:
        """Begins the next request, if one has been sent already."""
        super().on_response_complete()
        if self._half_closed and not self._is_answering():
            self.transport.close()

    def _is_answering(self) -> bool:
        return self.cycle is not None and not self.cycle.more_body and not self.cycle.response_complete

    def _check(self, before: Any) -> None:
        if self.cycle is before:
            self.transport.abort()
        else:
            self.loop.call_later(self.seconds, self._check, self.cycle)


class Server(uvicorn.Server):
    """A uvicorn server that, asked to stop, answers the requests in flight and refuses new ones."""

    def __init__(self, config: uvicorn.Config, gate: Gate, stop_after: float):
        super().__init__(config)
        self._gate, self._stop_after = gate, stop_after
        self._until = 0.0

    def stop(self) -> None:
        """Refuses new requests; the server ends when the others are answered."""
        if not self._gate.stopping:
            LOG.info("Stopping: %d requests are in flight", self._gate.in_flight)
            self._until = time.monotonic() + self._stop_after
            self._gate.stopping = True

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Stops the server at a first signal; a second one does not wait."""
        if self._gate.stopping:
            self.should_exit = self.force_exit = True
        self.stop()

    async def on_tick(self, counter: int) -> bool:
        """Called ten times per second; returns whether to end."""
        if self._gate.stopping and (not self._gate.in_flight or time.monotonic() >= self._until):
            self.should_exit = True
        return await super().on_tick(counter)


def serve(
    options: ServiceOptions,
    *,
    load: Callable[[ServiceOptions], ServedModel] = load_served,
    listening: Callable[[Server, int], object] = lambda server, port: None,
) -> bool:
    """Answers requests until the process is asked to stop.

    `listening` is called with the server and its port once connections are accepted.

    Returns whether the model's thread has ended; otherwise it is still inside a computation. Raises UserError if the
    address is invalid or in use, or the model or an index cannot be loaded.
    """
    metrics = Metrics()
    with _listen(options) as sock:
        port = sock.getsockname()[1]
        batcher = Batcher(lambda: load(options), options.limits, metrics, lambda: server.stop())
        gate = make_app(options, batcher, metrics)
        config = uvicorn.Config(
            gate,
            loop="asyncio",
            # Longer than the deadline, so that late requests get their refusal first.
            http=type("BoundedConnection", (Connection,), {"seconds": 1.5 * options.limits.deadline}),
            ws="none",
            lifespan="off",
            log_config=None,
            access_log=False,
            server_header=False,
            proxy_headers=bool(options.trusted_proxy),
            forwarded_allow_ips=list(options.trusted_proxy) or None,
            limit_concurrency=options.limits.max_connections,
            timeout_graceful_shutdown=1,
        )
        server = Server(config, gate, options.stop_after)
        _announce(options, port)
        batcher.start()
        listening(server, port)
        server.run(sockets=[sock])
    ended = batcher.stop(_LOADING_SECONDS)
    if batcher.failure:
        raise batcher.failure
    LOG.info("Stopped")
    return ended


def _listen(options: ServiceOptions) -> socket.socket:
    host = options.host.strip("[]")
    try:
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        return socket.create_server((host, options.port), family=family, backlog=1024)
    except (OSError, OverflowError) as error:
        if isinstance(error, OSError) and error.errno == errno.EADDRINUSE:
            raise UserError(f"Port {options.port} on {host} is in use; choose another with --port.") from error
        raise UserError(
            f"Cannot listen at {options.host} port {options.port} ({error}). Name another --host or --port; --port 0 "
            "takes a free one."
        ) from error


def _announce(options: ServiceOptions, port: int) -> None:
    host = options.host.strip("[]")
    shown = f"[{host}]" if ":" in host else host
    LOG.info("Listening at http://%s:%d (loading; /readyz reports when it is ready)", shown, port)
    key = f' -H "Authorization: Bearer ${VARIABLE}"' if options.keys else ""
    body = """-H 'Content-Type: application/json' -d '{"queries": ["a query"], "top_k": 3}'"""
    LOG.info("When it is ready: curl 'http://%s:%d/v1/rank'%s %s", shown, port, key, body)
    if not is_loopback(host) and not options.keys:
        LOG.warning(
            "WARNING: %s can be reached from other machines, and no API key is required. Give --api-key-file, or "
            "listen at 127.0.0.1.",
            shown,
        )
