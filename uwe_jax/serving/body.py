"""Bounded reading of a request's body."""

from __future__ import annotations

import asyncio
import contextlib
import time

from starlette.requests import ClientDisconnect, Request
from starlette.types import Message, Receive

from uwe_jax.serving.refusals import Refusal

# A client that is still sending does not read the answer: of a body that is too large, this much is drained first.
_DRAINED_BYTES = 32 << 20
_DRAINED_SECONDS = 2.0


async def read_body(request: Request, most: int, deadline: float) -> bytes:
    """Returns a body of at most `most` bytes that arrives before a deadline of `time.monotonic`.

    The header Content-Length is trusted for an early refusal alone.

    Raises:
      Refusal: 413 as soon as there are more bytes, 408 if the body has not arrived in time.
      ClientDisconnect: the client has disconnected.
    """
    body, stream, declared = bytearray(), request.stream(), request.headers.get("content-length", "")
    if not declared.isdecimal() or int(declared[:20]) <= most:
        try:
            async with asyncio.timeout(max(0.0, deadline - time.monotonic())):
                async for part in stream:
                    body += part
                    if len(body) > most:
                        break
                else:
                    return bytes(body)
        except TimeoutError:
            raise Refusal(408, "The request's body did not arrive in time.", close=True) from None
    size = 0
    with contextlib.suppress(TimeoutError, ClientDisconnect):
        async with asyncio.timeout(_DRAINED_SECONDS):
            async for part in stream:
                size += len(part)
                if size >= _DRAINED_BYTES:
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
