"""ASGI gate: checks before a request is answered; headers, metrics and a log line for every answer."""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
import logging
import secrets
import time
from collections import OrderedDict
from collections.abc import Callable

from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import ClientDisconnect, Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from uwe_jax.serving.metrics import Metrics
from uwe_jax.serving.options import ServiceOptions, admits
from uwe_jax.serving.refusals import Refusal

ID, DEADLINE = "uwe_jax.id", "uwe_jax.deadline"  # keys that the gate adds to the scope of a request

LOG = logging.getLogger(__name__)
_API = "/v1/"
_KEYED = (_API, "/metrics")
# Loaded by a page after its own file, and logged only where it fails: opening a page is one line of the log.
_LOADED = ("/page/", "/v1/indexes", "/openapi.json")
_MONITORED = ("/healthz", "/readyz", "/metrics")  # answered also while the service stops
INSIDE = Refusal(500, "Internal error. See the service's log for this id.")
_DISCONNECTED = 499  # in the log alone
# A client that is still sending does not read the answer: of a body that is too large, this much is drained first.
_DRAINED_BYTES = 32 << 20
_DRAINED_SECONDS = 2.0
_MOST_CLIENTS = 10_000  # whose rate is counted
# The page uses files of this service only: no inline script or style, nothing from elsewhere, not inside a frame.
_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; base-uri 'none'; "
    "form-action 'none'; frame-ancestors 'none'"
)
_SECURITY = {
    "Content-Security-Policy": _POLICY,
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=()",
}


class Gate:
    """An ASGI application around another one.

    A request is refused, in this order: with two lengths, under a foreign host name, while the service stops, above the
    client's rate, without a key, with a body that is too large or too slow. Errors of the application become
    an id for the client and a traceback in the log. Every answer gets security headers, is counted, and is logged in
    one line without any text of the request. `in_flight` counts the requests being answered; setting `stopping` refuses
    new ones.
    """

    def __init__(self, app: ASGIApp, options: ServiceOptions, metrics: Metrics):
        self._app, self._metrics, self._limits = app, metrics, options.limits
        self._keys = options.keys
        self._hosts = frozenset(options.allowed_hosts)
        self._buckets = TokenBuckets(self._limits.rate, max(1.0, 2 * self._limits.rate))
        self.in_flight = 0
        self.stopping = False

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serves an HTTP request; see ASGI."""
        self.in_flight += 1
        try:
            with self._metrics.in_flight.track_inprogress():
                await self._serve(scope, receive, send)
        finally:
            self.in_flight -= 1

    async def _serve(self, scope: Scope, receive: Receive, send: Send) -> None:
        start = time.monotonic()
        scope[ID], scope[DEADLINE] = secrets.token_hex(8), start + self._limits.deadline
        status = 0

        async def out(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                # A browser revalidates files of the page each time, and keeps no answers.
                caching = "no-store" if scope["path"].startswith(_API) else "no-cache"
                headers = MutableHeaders(scope=message)
                headers.update({**_SECURITY, "Cache-Control": caching, "X-Request-ID": scope[ID]})
            await send(message)

        try:
            request = Request(scope, receive)
            self._check(scope, request.headers)
            body = await read_body(request, self._limits.max_body_bytes, scope[DEADLINE])
            await self._app(scope, replay(body, receive), out)
        except Refusal as refusal:
            await refusal.answer(scope[ID])(scope, receive, out)
        except ClientDisconnect:
            status = _DISCONNECTED
        except Exception:
            LOG.exception("%s failed", scope[ID])
            if not status:
                await INSIDE.answer(scope[ID])(scope, receive, out)
        finally:
            self._record(scope, status, time.monotonic() - start)

    def _check(self, scope: Scope, headers: Headers) -> None:
        """Raises a Refusal if a request is not served whatever its body is."""
        path: str = scope["path"]
        if "content-length" in headers and "transfer-encoding" in headers:
            # Request smuggling: a proxy in front may read the other header and see another request in the rest.
            raise Refusal(400, "The request has both Content-Length and Transfer-Encoding. Send one.", close=True)
        if self._hosts and host_name(headers.get("host", "")) not in self._hosts:
            raise Refusal(421, "The host name is not allowed. Start the service with --allowed-host NAME.")
        if self.stopping and path not in _MONITORED:
            raise Refusal(503, "The service is stopping.", retry_after=5, close=True)
        if path.startswith(_API) and (wait := self._buckets.wait(_client(scope))):
            raise Refusal(429, f"More than {self._limits.rate:g} requests per second.", retry_after=wait)
        given = headers.get("authorization", ""), headers.get("x-api-key", "")
        if self._keys and path.startswith(_KEYED) and not admits(self._keys, *given):
            raise Refusal(401, "An API key is required: send it as Authorization: Bearer KEY.")

    def _record(self, scope: Scope, status: int, seconds: float) -> None:
        # Not the path, which is the client's text and would make any number of labels.
        route = getattr(scope.get("route"), "path", "other")
        method = scope["method"] if scope["method"] in ("GET", "HEAD", "POST", "OPTIONS") else "other"
        self._metrics.requests.labels(route, method, str(status)).inc()
        self._metrics.seconds.labels(route).observe(seconds)
        fine = scope["path"].startswith(_LOADED) and status < 400
        level = logging.DEBUG if route in _MONITORED or fine else logging.INFO
        LOG.log(level, "%s %s %s %s %d %.1f ms", scope[ID], _client(scope), method, route, status, 1e3 * seconds)


def _client(scope: Scope) -> str:
    return (scope.get("client") or ("-",))[0]


def host_name(header: str) -> str:
    """Returns the name in a Host header, in lower case and without the port.

    >>> host_name("Localhost:8000"), host_name("[::1]:8000"), host_name("::1")
    ('localhost', '::1', '::1')
    """
    if header.startswith("["):
        return header[1:].partition("]")[0].lower()
    return (header if header.count(":") > 1 else header.partition(":")[0]).lower()


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
    first: list[Message] = [{"type": "http.request", "body": body, "more_body": False}]

    async def again() -> Message:
        return first.pop() if first else await receive()

    return again


class TokenBuckets:
    """A token bucket per client: each request takes a token, and tokens are refilled at a steady rate.

    Args:
      rate: tokens per second; 0 for no limit.
      burst: tokens of a full bucket.
      clock: seconds, monotonic.
    """

    def __init__(self, rate: float, burst: float, clock: Callable[[], float] = time.monotonic):
        self._rate, self._burst, self._clock = rate, burst, clock
        self._left: OrderedDict[str, tuple[float, float]] = OrderedDict()

    def wait(self, client: str) -> float:
        """Takes a token of a client; returns 0, or the seconds until there is one."""
        if not self._rate:
            return 0.0
        now, key = self._clock(), network(client)
        tokens, since = self._left.pop(key, (self._burst, now))
        tokens = min(self._burst, tokens + (now - since) * self._rate)
        short = max(0.0, 1.0 - tokens)
        self._left[key] = (tokens if short else tokens - 1.0, now)
        if len(self._left) > _MOST_CLIENTS:  # the longest idle client has the fullest bucket
            self._left.popitem(last=False)
        return short / self._rate


def network(client: str) -> str:
    """Returns what counts as one client: an IPv4 address, or the /64 network of an IPv6 address.

    >>> network("192.0.2.7"), network("2001:db8::1") == network("2001:db8::2")
    ('192.0.2.7', True)
    """
    try:
        address = ipaddress.ip_address(client.partition("%")[0])
    except ValueError:
        return client
    if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped is None:
        return str(ipaddress.ip_network((address, 64), strict=False))
    return str(address)
