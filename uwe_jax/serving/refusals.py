"""Answers that are no answers: what a client reads where a request is not served."""

from __future__ import annotations

import json
import math
from http import HTTPStatus


class Refusal(Exception):
    """A request is not served.

    Args:
      status: of HTTP.
      detail: what was found, what was expected, the next step; without anything of the inside.
      retry_after: seconds after which it may be tried again; None where that does not help.
      close: end the connection, of which the client may still be sending.
    """

    def __init__(self, status: int, detail: str, *, retry_after: float | None = None, close: bool = False):
        super().__init__(detail)
        self.status, self.detail = status, detail
        self.headers: dict[str, str] = {}
        if retry_after is not None:
            self.headers["Retry-After"] = str(max(1, math.ceil(retry_after)))
        if status == HTTPStatus.UNAUTHORIZED:
            self.headers["WWW-Authenticate"] = "Bearer"
        if close:
            self.headers["Connection"] = "close"


def problem(detail: str, request_id: str) -> bytes:
    """The body of every refusal."""
    return json.dumps({"detail": detail, "id": request_id}).encode()
