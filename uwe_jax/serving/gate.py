"""ASGI gate: checks before a request is answered; headers, metrics and a log line for every answer."""

from __future__ import annotations

import logging
import secrets
import time

from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import ClientDisconnect, Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from uwe_jax.serving.body import read_body, replay
from uwe_jax.serving.keys import admits
from uwe_jax.serving.metrics import Metrics
from uwe_jax.serving.options import ServiceOptions
from uwe_jax.serving.rate import TokenBuckets
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
    client's rate, without a key, with a body that is too large, too slow or not JSON. Errors of the application become
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
        self._count_in_flight(1)
        try:
            await self._serve(scope, receive, send)
        finally:
            self._count_in_flight(-1)

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
            await self._app(scope, replay(await self._body(request), receive), out)
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
            raise Refusal(421, "The host name is not allowed. Start the service with --allowed_host NAME.")
        if self.stopping and path not in _MONITORED:
            raise Refusal(503, "The service is stopping.", retry_after=5, close=True)
        if path.startswith(_API) and (wait := self._buckets.wait(_client(scope))):
            raise Refusal(429, f"More than {self._limits.rate:g} requests per second.", retry_after=wait)
        given = headers.get("authorization", ""), headers.get("x-api-key", "")
        if self._keys and path.startswith(_KEYED) and not admits(self._keys, *given):
            raise Refusal(401, "An API key is required: send it as Authorization: Bearer KEY.")

    async def _body(self, request: Request) -> bytes:
        body = await read_body(request, self._limits.max_body_bytes, request.scope[DEADLINE])
        media = request.headers.get("content-type", "").partition(";")[0].strip().lower()
        # A page of another site could send any other type without a preflight request of the browser.
        if request.method == "POST" and request.scope["path"].startswith(_API) and media != "application/json":
            raise Refusal(415, f"The content type is {media[:80] or 'missing'}; it must be application/json.")
        return body

    def _count_in_flight(self, change: int) -> None:
        self.in_flight += change
        self._metrics.in_flight.set(self.in_flight)

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
