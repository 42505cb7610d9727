"""The FastAPI application: routes, the page, and answers to errors."""

from __future__ import annotations

import functools
from pathlib import Path

from fastapi import FastAPI, Request, Security
from fastapi.exceptions import RequestValidationError
from fastapi.responses import FileResponse
from fastapi.security import HTTPBearer
from fastapi.staticfiles import StaticFiles
from starlette.exceptions import HTTPException

from uwe_jax import __version__
from uwe_jax.serving.batching import Batcher
from uwe_jax.serving.gate import ID, INSIDE, Gate
from uwe_jax.serving.metrics import Metrics
from uwe_jax.serving.options import ServiceOptions
from uwe_jax.serving.refusals import Json, Refusal
from uwe_jax.serving.routes import Service, api, watch

_PAGE = Path(__file__).parent / "page"
_PROBLEMS_SHOWN = 3


def make_app(options: ServiceOptions, batcher: Batcher, metrics: Metrics) -> Gate:
    """Returns the ASGI application of a service."""
    app = FastAPI(
        title="Unified Work Embeddings",
        version=__version__,
        description="Ranks skills, job titles and other work-related texts for any work-related text.",
        docs_url=None,
        redoc_url=None,
        # For the schema alone; the gate checks the key.
        dependencies=[Security(HTTPBearer(scheme_name="key", auto_error=False))] if options.keys else [],
        redirect_slashes=False,  # it would send a client to whatever host its request names
    )
    gate = Gate(app, options, metrics)
    app.state.service, app.state.gate = Service(batcher, options.limits, metrics), gate
    app.include_router(api)
    app.include_router(watch)
    for path, file in (("/", "index.html"), ("/docs", "docs.html")):
        page = functools.partial(_file, file)
        app.add_api_route(path, page, methods=["GET", "HEAD"], include_in_schema=False)
    app.mount("/page", StaticFiles(directory=_PAGE), name="page")
    for error in (Refusal, RequestValidationError, HTTPException, Exception):
        app.add_exception_handler(error, _answer)
    return gate


async def _file(name: str) -> FileResponse:
    return FileResponse(_PAGE / name)


async def _answer(request: Request, error: Exception) -> Json:
    """Answers an error; an unexpected one reaches the gate as well, which logs it."""
    if isinstance(error, RequestValidationError):
        error = _misfit(error)
    elif isinstance(error, HTTPException):
        error = Refusal(error.status_code, f"{error.detail}.", headers=error.headers)
    return (error if isinstance(error, Refusal) else INSIDE).answer(request.scope[ID])


def _misfit(error: RequestValidationError) -> Refusal:
    """Describes what does not fit the schema, without repeating values that were sent."""
    problems = error.errors()
    if problems and problems[0]["type"] == "json_invalid":
        return Refusal(400, "The body is not valid JSON.")
    shown = [
        f"{'.'.join(map(str, each['loc'][1:]))[:80] or 'body'}: {each['msg']}" for each in problems[:_PROBLEMS_SHOWN]
    ]
    more = len(problems) - len(shown)
    return Refusal(422, "; ".join(shown) + (f"; and {more} more." if more > 0 else "."))
