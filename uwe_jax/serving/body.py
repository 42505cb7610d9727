"""Bounded reading of a request's body."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

from uwe_jax.serving.refusals import Refusal

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]

# A client that is still sending does not read the answer: of a body that is too large, this much is drained first.
_DRAINED_BYTES = 32 << 20
_DRAINED_SECONDS = 2.0


class Disconnected(Exception):
    """The client has disconnected."""


async def read_body(receive: Receive, declared: str, most: int, deadline: float) -> bytes:
    """Returns a body of at most `most` bytes that arrives before a deadline of `time.monotonic`.

    `declared` is the header Content-Length, or ""; it is trusted for an early refusal alone.

    Raises:
      Refusal: 413 as soon as there are more bytes, 408 if the body has not arrived in time.
      Disconnected: the client has disconnected.
    """
    body = bytearray()
    too_large = declared.isdecimal() and int(declared[:20]) > most
    try:
        async with asyncio.timeout(max(0.0, deadline - time.monotonic())):
            while not too_large:
                message = await receive()
                if message["type"] == "http.disconnect":
                    raise Disconnected
                body += message.get("body", b"")
                too_large = len(body) > most
                if not too_large and not message.get("more_body", False):
                    return bytes(body)
    except TimeoutError:
        raise Refusal(408, "The request's body did not arrive in time.", close=True) from None
    size = 0
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(_DRAINED_SECONDS):
            while size < _DRAINED_BYTES:
                message = await receive()
                size += len(message.get("body", b""))
                if not message.get("more_body", False):
                    break
    raise Refusal(413, f"The request's body is larger than {most:,} bytes. Send fewer texts at once.", close=True)


def replay(body: bytes, receive: Receive) -> Receive:
    """Returns an ASGI `receive` that gives a body that was read already, and then what follows it."""
    given = False

    async def again() -> Message:
        nonlocal given
        if given:
            return await receive()
        given = True
        return {"type": "http.request", "body": body, "more_body": False}

    return again
