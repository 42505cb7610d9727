"""What every request passes before it is answered, and what every answer passes on its way out."""

from __future__ import annotations

import logging
import secrets
import time
from collections.abc import Awaitable, Callable, Mapping, MutableMapping
from typing import Any

from uwe_jax.serving.body import Disconnected, Message, Receive, read_body, replay
from uwe_jax.serving.headers import SECURITY, host_name
from uwe_jax.serving.keys import Keys
from uwe_jax.serving.metrics import Metrics
from uwe_jax.serving.options import ServiceOptions
from uwe_jax.serving.rate import TokenBuckets
from uwe_jax.serving.refusals import Refusal, problem

Scope = MutableMapping[str, Any]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]

# What the gate leaves in the scope of a request for those behind it.
ID, DEADLINE = "uwe_jax.id", "uwe_jax.deadline"

LOG = logging.getLogger(__name__)
_API = "/v1/"
_KEYED = (_API, "/metrics")
# What a page loads behind its own file: one opening is one line of the log.
_LOADED = ("/page/", "/v1/spaces", "/openapi.json")
# Answered while the service stops: who watches it must see why it refuses.
_WATCHED = ("/healthz", "/readyz", "/metrics")
INSIDE = Refusal(500, "Something went wrong inside the service. The id stands in its log.")
_GONE = 499  # in the log alone: the client went away


class Gate:
    """An ASGI application around another one.

    In this order a request is refused: with two lengths, under a foreign host name, while the service stops, where its
    client asks too often, without a key, with a body that is too large, too slow or no JSON. Errors of the application
    become an id for the client and a traceback in the log. Every answer carries headers that keep a page safe, is
    counted, and has a line in the log, without any text of the request.

    Args:
      app: what answers.
      options: of the service.
      metrics: to count in.

    Attributes:
      in_flight: requests being answered.
      stopping: set to refuse new ones.
    """

    def __init__(self, app: App, options: ServiceOptions, metrics: Metrics):
        self._app, self._metrics, self._limits = app, metrics, options.limits
        self._keys = Keys(options.keys)
        self._hosts = frozenset(options.allowed_hosts)
        self._buckets = TokenBuckets(self._limits.rate, max(1.0, 2 * self._limits.rate))
        self.in_flight = 0
        self.stopping = False

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serves what comes; see ASGI."""
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
        elif scope["type"] == "websocket":
            await send({"type": "websocket.close", "code": 1000})
        else:
            self._moved(1)
            try:
                await self._serve(scope, receive, send)
            finally:
                self._moved(-1)

    async def _serve(self, scope: Scope, receive: Receive, send: Send) -> None:
        start = time.monotonic()
        scope[ID], scope[DEADLINE] = secrets.token_hex(8), start + self._limits.deadline
        status = 0

        async def out(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                # A browser asks each time whether a file of the page has changed, and keeps no answers.
                kept = "no-store" if scope["path"].startswith(_API) else "no-cache"
                extra = {**SECURITY, "Cache-Control": kept, "X-Request-ID": scope[ID]}
                message["headers"] = [*message.get("headers", ()), *_encoded(extra)]
            await send(message)

        try:
            headers = {name.decode("latin-1").lower(): value.decode("latin-1") for name, value in scope["headers"]}
            self._check(scope, headers)
            await self._app(scope, await self._body(scope, headers, receive), out)
        except Refusal as refusal:
            await _refuse(refusal, scope[ID], out)
        except Disconnected:
            status = _GONE
        except Exception:
            LOG.exception("%s failed", scope[ID])
            if not status:
                await _refuse(INSIDE, scope[ID], out)
        finally:
            self._count(scope, status, time.monotonic() - start)

    def _check(self, scope: Scope, headers: Mapping[str, str]) -> None:
        """Raises a Refusal where a request is not served whatever its body says."""
        path: str = scope["path"]
        if "content-length" in headers and "transfer-encoding" in headers:
            # A proxy in front may believe the other one, and take what follows for a request of its own.
            raise Refusal(400, "The request has both Content-Length and Transfer-Encoding. Send one.", close=True)
        if self._hosts and host_name(headers.get("host", "")) not in self._hosts:
            raise Refusal(421, "The service is not called by this name. Start it with --allowed_host NAME.")
        if self.stopping and path not in _WATCHED:
            raise Refusal(503, "The service is stopping.", retry_after=5, close=True)
        if path.startswith(_API) and (wait := self._buckets.wait(_client(scope))):
            raise Refusal(429, f"There is a limit of {self._limits.rate:g} requests a second.", retry_after=wait)
        if (
            self._keys
            and path.startswith(_KEYED)
            and not self._keys.admits(headers.get("authorization", ""), headers.get("x-api-key", ""))
        ):
            raise Refusal(401, "An API key is needed: send it as Authorization: Bearer KEY.")

    async def _body(self, scope: Scope, headers: Mapping[str, str], receive: Receive) -> Receive:
        """The way to a body within bounds."""
        body = await read_body(receive, headers.get("content-length", ""), self._limits.body_bytes, scope[DEADLINE])
        media = headers.get("content-type", "").partition(";")[0].strip().lower()
        # A page of another site could send any other type without asking the browser's leave.
        if scope["method"] == "POST" and scope["path"].startswith(_API) and media != "application/json":
            raise Refusal(415, f"The content type is {media[:80] or 'missing'}; it must be application/json.")
        return replay(body, receive)

    def _moved(self, by: int) -> None:
        self.in_flight += by
        self._metrics.in_flight.set(self.in_flight)

    def _count(self, scope: Scope, status: int, seconds: float) -> None:
        # The path is the client's text, and there are any number of them.
        route = getattr(scope.get("route"), "path", "other")
        method = scope["method"] if scope["method"] in ("GET", "HEAD", "POST", "OPTIONS") else "other"
        self._metrics.requests.labels(route, method, str(status)).inc()
        self._metrics.seconds.labels(route).observe(seconds)
        fine = scope["path"].startswith(_LOADED) and status < 400
        level = logging.DEBUG if route in _WATCHED or fine else logging.INFO
        LOG.log(level, "%s %s %s %s %d %.1f ms", scope[ID], _client(scope), method, route, status, 1e3 * seconds)


async def _refuse(refusal: Refusal, request_id: str, send: Send) -> None:
    body = problem(refusal.detail, request_id)
    headers = {"Content-Type": "application/json", "Content-Length": str(len(body)), **refusal.headers}
    await send({"type": "http.response.start", "status": refusal.status, "headers": _encoded(headers)})
    await send({"type": "http.response.body", "body": body})


def _client(scope: Scope) -> str:
    return (scope.get("client") or ("-",))[0]


def _encoded(headers: Mapping[str, str]) -> list[tuple[bytes, bytes]]:
    return [(name.lower().encode("latin-1"), value.encode("latin-1")) for name, value in headers.items()]
