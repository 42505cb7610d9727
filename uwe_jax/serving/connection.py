"""HTTP/1.1 connections with time limits."""

from __future__ import annotations

import asyncio
from typing import Any

from uvicorn.protocols.http.h11_impl import H11Protocol


class Connection(H11Protocol):
    """uvicorn's HTTP/1.1, with the time limits that it leaves to a proxy in front.

    The head of a request must arrive within `seconds` of the connection or the previous answer, so that idle or slow
    clients do not exhaust the connections; and an answer must be read within `seconds` of the connection's closing.
    A client that closes its sending side still gets its answers.
    """

    seconds: float

    def __init__(self, *args: Any, **more: Any):
        super().__init__(*args, **more)
        self._head_timeout: asyncio.TimerHandle | None = None
        self._half_closed = False

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Waits for a first request."""
        super().connection_made(transport)
        self._await_head()

    def data_received(self, data: bytes) -> None:
        """Takes received bytes."""
        super().data_received(data)
        self._await_head()

    def eof_received(self) -> bool:  # type: ignore[override]
        """Keeps the connection open for pending answers; without them it is closed."""
        self._half_closed = True
        return self._is_answering()

    def on_response_complete(self) -> None:
        """Waits for the next request, or for the client to read the last answer."""
        super().on_response_complete()
        if self._half_closed and not self._is_answering():
            self.transport.close()
        if self.transport.is_closing():
            self._abort_later()
        else:
            self._await_head()

    def connection_lost(self, exc: Exception | None) -> None:
        """Stops waiting."""
        super().connection_lost(exc)
        self._cancel()

    def timeout_keep_alive_handler(self) -> None:
        """Closes the connection, and aborts it if the client does not read the answer."""
        super().timeout_keep_alive_handler()
        self._abort_later()

    def _is_answering(self) -> bool:
        return self.cycle is not None and not self.cycle.more_body and not self.cycle.response_complete

    def _await_head(self) -> None:
        if self.cycle is not None and not self.cycle.response_complete:
            self._cancel()
        elif self._head_timeout is None:
            self._head_timeout = self.loop.call_later(self.seconds, self.timeout_keep_alive_handler)

    def _abort_later(self) -> None:
        self.loop.call_later(self.seconds, self.transport.abort)

    def _cancel(self) -> None:
        if self._head_timeout is not None:
            self._head_timeout.cancel()
            self._head_timeout = None
