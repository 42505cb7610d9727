"""A connection that holds its place only while something comes or goes on it."""

from __future__ import annotations

import asyncio
from typing import Any

from uvicorn.protocols.http.h11_impl import H11Protocol


class Connection(H11Protocol):
    """uvicorn's HTTP/1.1, with the bounds that it leaves to a proxy in front.

    The head of a request must have come `seconds` after the connection or the answer before it, so that clients which
    send nothing, or a letter now and then, do not keep others out for ever; and an answer must have been taken
    `seconds` after the connection was to be closed. A client that closes its sending side still gets its answers.
    """

    seconds: float

    def __init__(self, *args: Any, **more: Any):
        super().__init__(*args, **more)
        self._too_late: asyncio.TimerHandle | None = None
        self._ended = False  # the client sends nothing more

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Waits for a first request."""
        super().connection_made(transport)
        self._await_head()

    def data_received(self, data: bytes) -> None:
        """Takes what came."""
        super().data_received(data)
        self._await_head()

    def eof_received(self) -> bool:  # type: ignore[override]
        """Keeps the connection open for answers that are due; without them it is closed."""
        self._ended = True
        return self._is_answering()

    def on_response_complete(self) -> None:
        """Waits for the next request, or for the client to take the last answer."""
        super().on_response_complete()
        if self._ended and not self._is_answering():
            self.transport.close()
        if self.transport.is_closing():
            self._abort_later()
        else:
            self._await_head()

    def connection_lost(self, exc: Exception | None) -> None:
        """Waits for nothing any more."""
        super().connection_lost(exc)
        self._cancel()

    def timeout_keep_alive_handler(self) -> None:
        """Closes, and does not wait for ever for a client that takes nothing."""
        super().timeout_keep_alive_handler()
        self._abort_later()

    def _is_answering(self) -> bool:
        """Whether a request has come to its end and its answer has not."""
        return self.cycle is not None and not self.cycle.more_body and not self.cycle.response_complete

    def _await_head(self) -> None:
        if self.cycle is not None and not self.cycle.response_complete:
            self._cancel()
        elif self._too_late is None:
            self._too_late = self.loop.call_later(self.seconds, self.timeout_keep_alive_handler)

    def _abort_later(self) -> None:
        self.loop.call_later(self.seconds, self.transport.abort)

    def _cancel(self) -> None:
        if self._too_late is not None:
            self._too_late.cancel()
            self._too_late = None


def bounded(seconds: float) -> type[Connection]:
    """The protocol of connections that wait for so many seconds."""
    return type("BoundedConnection", (Connection,), {"seconds": seconds})
