"""The application: routes, the page, and what is answered where something does not fit."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import FileResponse
from fastapi.staticfiles import StaticFiles
from starlette.exceptions import HTTPException

from uwe_jax import __version__
from uwe_jax.serving.batching import Batcher
from uwe_jax.serving.gate import ID, INSIDE, Gate
from uwe_jax.serving.metrics import Metrics
from uwe_jax.serving.options import ServiceOptions
from uwe_jax.serving.refusals import Refusal
from uwe_jax.serving.response import Json
from uwe_jax.serving.routes import Service, api, watch

_PAGE = Path(__file__).parent / "page"
_PROBLEMS_SHOWN = 3
_DESCRIPTION = "Ranks skills, job titles and other work-related texts for any work-related text."


def make_app(options: ServiceOptions, batcher: Batcher, metrics: Metrics) -> Gate:
    """The ASGI application of a service.

    Args:
      options: of the service.
      batcher: that was started, or will be.
      metrics: to count in.
    """
    app = FastAPI(
        title="Unified Work Embeddings",
        version=__version__,
        description=_DESCRIPTION,
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,  # it would send a client to whatever host its request names
    )
    gate = Gate(app, options, metrics)
    app.state.service, app.state.gate = Service(batcher, options.limits, metrics), gate
    app.include_router(api)
    app.include_router(watch)
    for path, file in (("/", "index.html"), ("/docs", "docs.html")):
        app.add_api_route(path, _file(file), methods=["GET", "HEAD"], include_in_schema=False)
    app.mount("/page", StaticFiles(directory=_PAGE), name="page")
    answers = ((Refusal, _refused), (RequestValidationError, _misfit), (HTTPException, _http), (Exception, _inside))
    for error, answer in answers:
        app.add_exception_handler(error, answer)
    if options.keys:
        _describe_key(app)
    return gate


def _file(name: str) -> Any:
    async def page() -> FileResponse:
        return FileResponse(_PAGE / name)

    return page


def _answer(request: Request, status: int, detail: str, headers: dict[str, str] | None = None) -> Json:
    return Json({"detail": detail, "id": request.scope[ID]}, status, headers)


async def _refused(request: Request, error: Exception) -> Json:
    assert isinstance(error, Refusal)
    return _answer(request, error.status, error.detail, error.headers)


async def _http(request: Request, error: Exception) -> Json:
    assert isinstance(error, HTTPException)
    return _answer(request, error.status_code, f"{error.detail}.", dict(error.headers or {}))


async def _inside(request: Request, error: Exception) -> Json:
    # Comes to the gate as well, which writes it into the log.
    return _answer(request, INSIDE.status, INSIDE.detail)


async def _misfit(request: Request, error: Exception) -> Json:
    """What does not fit the schema, without repeating what was sent."""
    assert isinstance(error, RequestValidationError)
    problems = error.errors()
    if problems and problems[0]["type"] == "json_invalid":
        return _answer(request, 400, "The body is no valid JSON.")
    told = [
        f"{'.'.join(map(str, each['loc'][1:]))[:80] or 'body'}: {each['msg']}" for each in problems[:_PROBLEMS_SHOWN]
    ]
    more = len(problems) - len(told)
    return _answer(request, 422, "; ".join(told) + (f"; and {more} more." if more > 0 else "."))


def _describe_key(app: FastAPI) -> None:
    """Says in the schema that a key is needed."""
    plain = app.openapi

    def schema() -> dict[str, Any]:
        described = plain()
        described["components"]["securitySchemes"] = {"key": {"type": "http", "scheme": "bearer"}}
        described["security"] = [{"key": []}]
        return described

    app.openapi = schema  # type: ignore[method-assign]  # FastAPI's documented way
