"""JSON in the form in which every answer of the service has it."""

from __future__ import annotations

from typing import Any

from fastapi.responses import JSONResponse

from uwe_jax.runtime.printable import json_text


class Json(JSONResponse):
    """An answer that may also be shown by a terminal, as curl does it, and never holds NaN."""

    def render(self, content: Any) -> bytes:
        return json_text(content).encode()
