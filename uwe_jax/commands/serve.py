"""`uwe-jax serve`: ranks over HTTP, with a page to try it on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from uwe_jax.retrieval.options import parse_index
from uwe_jax.runtime.command import entry_point
from uwe_jax.runtime.compile_cache import keep_compiled_programs
from uwe_jax.runtime.ending import end_now
from uwe_jax.runtime.errors import UserError
from uwe_jax.runtime.files import cache_folder
from uwe_jax.runtime.logging_setup import with_times
from uwe_jax.runtime.optional_imports import install_command
from uwe_jax.runtime.options import OptionalPath, Repeated, read_options
from uwe_jax.serving.keys import VARIABLE, read_keys
from uwe_jax.serving.options import Limits, ServiceOptions

ABOUT = f"""Ranks over HTTP.

  uwe-jax serve --index skills=indexes/esco
  {VARIABLE}=$(openssl rand -hex 32) uwe-jax serve --index indexes/esco --model runs/mine --host 0.0.0.0

The page is at http://127.0.0.1:8000/, the API at /docs, counters for Prometheus at /metrics; /healthz and /readyz
report the state of the service. It listens to this machine alone unless --host says otherwise. All indexes must be of
one model."""


@dataclass(frozen=True)
class Options:
    """Options of `uwe-jax serve`.

    Attributes:
      index: [NAME=]INDEX, the folder of an index or qdrant:STORE#NAME; may be repeated, the first is the default.
      model: a run, an export, or an encoder such as all-MiniLM-L6-v2:soft; by default the model of the first index.
      host: address to listen at.
      port: 0 takes a free one.
      api_key_file: keys, one per line, of which a request must bring one; see also the environment variable above.
      allowed_host: a name under which the service may be called; may be repeated.
      trusted_proxy: an address whose X-Forwarded-For is believed; may be repeated.
      stop_after: seconds for requests in flight when the service is asked to stop.
      cache_dir: folder of encoders; by default $UWE_JAX_CACHE or the user's cache folder.
    """

    index: Repeated = ()
    model: str = ""
    host: str = ServiceOptions.host
    port: int = ServiceOptions.port
    api_key_file: OptionalPath = None
    allowed_host: Repeated = ()
    trusted_proxy: Repeated = ()
    stop_after: float = ServiceOptions.stop_after
    cache_dir: str = ""
    limits: Limits = field(default_factory=Limits)

    def service_options(self) -> ServiceOptions:
        """Returns the options of a service; raises UserError for no index, equal names, or invalid limits or keys."""
        if not self.index:
            raise UserError("--index is required. Run `uwe-jax serve --help`.")
        indexes = tuple(map(parse_index, self.index))
        if len(dict(indexes)) < len(indexes):
            raise UserError(f"--index names {', '.join(name for name, _ in indexes)}; give every index its own name.")
        return ServiceOptions(
            model=self.model,
            spaces=indexes,
            host=self.host,
            port=self.port,
            keys=read_keys(self.api_key_file),
            hosts=self.allowed_host,
            proxies=self.trusted_proxy,
            stop_after=self.stop_after,
            cache_dir=cache_folder(self.cache_dir),
            limits=self.limits,
        )


def main(arguments: Sequence[str]) -> None:
    """Serves as the command line says, until it is asked to stop."""
    asked = read_options(Options, arguments, command="serve", about=ABOUT, renamed={"space": "index"}, flat=True)
    options = asked.service_options()
    keep_compiled_programs()  # only the first start compiles
    try:
        from uwe_jax.serving.server import serve
    except ModuleNotFoundError as error:
        raise UserError(
            f"Serving needs the Python package {error.name}, which is not installed. Install it with: "
            f"{install_command('serve')}"
        ) from error
    with_times()
    if not serve(options):
        # A thread inside XLA cannot be stopped, and may crash while the interpreter shuts down around it.
        end_now(0)


run = entry_point(main, after_interrupt="Nothing was lost.")
