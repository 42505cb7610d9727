"""`uwe-jax serve`: ranks over HTTP, with a page to try it on."""

from __future__ import annotations

from collections.abc import Sequence

from uwe_jax.runtime.command import end_now, entry_point
from uwe_jax.runtime.compile_cache import keep_compiled_programs
from uwe_jax.runtime.errors import UserError
from uwe_jax.runtime.logging_setup import with_times
from uwe_jax.runtime.optional_imports import extra_library
from uwe_jax.runtime.options import read_options
from uwe_jax.serving.options import VARIABLE, ServiceOptions

ABOUT = f"""Ranks over HTTP.

Needs the extra serve, in a clone: pip install '.[serve]'

  uwe-jax serve --index skills=indexes/esco
  {VARIABLE}=$(openssl rand -hex 32) uwe-jax serve --index indexes/esco --model runs/mine --host 0.0.0.0

The page is at http://127.0.0.1:8000/, the API at /docs, counters for Prometheus at /metrics; /healthz and /readyz
report the state of the service. It listens to this machine alone unless --host says otherwise. All indexes must be of
one model."""


def main(arguments: Sequence[str]) -> None:
    """Serves as the command line says, until it is asked to stop."""
    options = read_options(ServiceOptions, arguments, command="serve", about=ABOUT, renamed={"space": "index"})
    if not options.index:
        raise UserError("--index is required. Run `uwe-jax serve --help`.")
    keep_compiled_programs()  # only the first start compiles
    server = extra_library("uwe_jax.serving.server", use="Serving", extra="serve")
    with_times()
    if not server.serve(options):
        # A thread inside XLA cannot be stopped, and may crash while the interpreter shuts down around it.
        end_now(0)


run = entry_point(main, after_interrupt="Nothing was lost.")
