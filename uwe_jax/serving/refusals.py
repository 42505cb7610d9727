"""Responses of the service: JSON, and refusals of requests that are not served."""

from __future__ import annotations

import math
from collections.abc import Mapping
from http import HTTPStatus
from typing import Any

from fastapi.responses import JSONResponse

from uwe_jax.runtime.printable import json_text


class Json(JSONResponse):
    """JSON without NaN, which a terminal can show safely, for example after curl."""

    def render(self, content: Any) -> bytes:
        return json_text(content).encode()


class Refusal(Exception):
    """A request is not served.

    Args:
      status: of HTTP.
      detail: what was found, what was expected and the next step, without any internals.
      retry_after: seconds after which to try again; None where that does not help.
      close: end the connection, because the client may still be sending.
      headers: further headers of the response.
    """

    def __init__(
        self,
        status: int,
        detail: str,
        *,
        retry_after: float | None = None,
        close: bool = False,
        headers: Mapping[str, str] | None = None,
    ):
        super().__init__(detail)
        self.status, self.detail, self.headers = status, detail, dict(headers or {})
        if retry_after is not None:
            self.headers["Retry-After"] = str(max(1, math.ceil(retry_after)))
        if status == HTTPStatus.UNAUTHORIZED:
            self.headers["WWW-Authenticate"] = "Bearer"
        if close:
            self.headers["Connection"] = "close"

    def answer(self, request_id: str) -> Json:
        """Returns the response."""
        return Json({"detail": self.detail, "id": request_id}, self.status, self.headers)
