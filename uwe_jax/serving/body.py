"""Reading the body of a request within bounds."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

from uwe_jax.serving.refusals import Refusal

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]

# A client that is still sending reads no answer: so much of what is too much is taken and forgotten first.
_FORGOTTEN_BYTES = 32 << 20
_FORGOTTEN_SECONDS = 2.0


class Disconnected(Exception):
    """The client has gone."""


async def read_body(receive: Receive, declared: str, most: int, deadline: float) -> bytes:
    """The whole body.

    Args:
      receive: of ASGI.
      declared: the header Content-Length; empty where there is none. It is not believed beyond an early refusal.
      most: bytes.
      deadline: of `time.monotonic`.

    Raises:
      Refusal: 413 as soon as there are more bytes, 408 where the body has not come in time.
      Disconnected: the client went away.
    """
    if declared.isdecimal() and int(declared[:20]) > most:
        await _forget(receive)
        raise _too_large(most)
    parts: list[bytes] = []
    size = 0
    try:
        async with asyncio.timeout(max(0.0, deadline - time.monotonic())):
            while True:
                message = await receive()
                if message["type"] == "http.disconnect":
                    raise Disconnected
                part = message.get("body", b"")
                size += len(part)
                if size > most:
                    break
                parts.append(part)
                if not message.get("more_body", False):
                    return b"".join(parts)
    except TimeoutError:
        raise Refusal(408, "The request's body did not arrive in time.", close=True) from None
    await _forget(receive)
    raise _too_large(most)


def replay(body: bytes, receive: Receive) -> Receive:
    """An ASGI `receive` that gives a body that was read, and then what comes after it."""
    given = False

    async def again() -> Message:
        nonlocal given
        if given:
            return await receive()
        given = True
        return {"type": "http.request", "body": body, "more_body": False}

    return again


async def _forget(receive: Receive) -> None:
    """Takes what is still coming, within bounds."""
    size = 0
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(_FORGOTTEN_SECONDS):
            while size < _FORGOTTEN_BYTES:
                message = await receive()
                size += len(message.get("body", b""))
                if not message.get("more_body", False):
                    return


def _too_large(most: int) -> Refusal:
    return Refusal(413, f"The request's body is larger than {most:,} bytes. Send fewer texts at once.", close=True)
