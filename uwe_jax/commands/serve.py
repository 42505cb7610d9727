"""`uwe-jax serve --space ...`: ranks over HTTP, with a page to try it on.

Without a flag it says how it is called.
"""

from __future__ import annotations

import os

from uwe_jax.runtime.huge_pages import restart_with_huge_pages

if __name__ == "__main__":
    restart_with_huge_pages()  # as train does; before the imports that take seconds
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")  # XLA's notes on how it compiles are not the user's concern

import sys
from collections.abc import Sequence
from dataclasses import fields
from pathlib import Path

from uwe_jax.runtime.arguments import Parser
from uwe_jax.runtime.command import answer_errors
from uwe_jax.runtime.compile_cache import keep_compiled_programs
from uwe_jax.runtime.errors import UserError
from uwe_jax.runtime.files import cache_folder
from uwe_jax.serving.keys import VARIABLE, read_keys
from uwe_jax.serving.options import Limits, ServiceOptions, parse_space

_PROGRAM = "uwe-jax serve"
USAGE = f"""uwe-jax serve --space [NAME=]SPACE [--space ...] [--model MODEL] [--flag value ...]

A space is a folder that uwe-jax index has written, or qdrant:STORE#NAME. The model is the one that the first
space was built with, unless --model names the folder of a training run or of an export, or an encoder such as
all-MiniLM-L6-v2:soft. All spaces must be of one model.

For example:
  uwe-jax serve --space skills=spaces/esco
  {VARIABLE}=$(openssl rand -hex 32) uwe-jax serve --space spaces/esco --model runs/mine --host 0.0.0.0

The page is at http://127.0.0.1:8000/, the API at /docs, counters for Prometheus at /metrics; /healthz and /readyz tell
how the service is. It listens to this machine alone unless --host says otherwise.

--help lists all flags."""

_LIMITS = {
    "body_bytes": "of a request",
    "queries": "texts of a request",
    "characters": "of a text",
    "vacancy_characters": "of a vacancy, which is cut into sentences",
    "top_k": "targets of a query",
    "waiting": "texts that wait for the model; requests beyond them are refused with 503",
    "batch": "texts of several requests that are ranked together",
    "batch_wait": "seconds that a batch waits for more of them, under load",
    "deadline": "seconds from a request to its answer; later ones are refused with 504",
    "connections": "open at once",
    "rate": "requests a second of one client; more are refused with 429; 0 is no limit",
}


def _parser() -> Parser:
    parser = Parser.explained(USAGE)
    add = parser.add_argument
    add("--model", default="", help="a model as above (default: the one that the first space was built with)")
    add(
        "--space",
        action="append",
        default=[],
        help="a space as above; repeat the flag for several, the first is the default",
    )
    add("--host", default=ServiceOptions.host, help=f"address to listen at (default: {ServiceOptions.host})")
    add("--port", type=int, default=ServiceOptions.port, help=f"0 takes a free one (default: {ServiceOptions.port})")
    add("--api_key_file", type=Path, help=f"keys, one a line, of which a request must bring one; also in ${VARIABLE}")
    add("--allowed_host", action="append", default=[], help="a name under which it may be called; repeat for several")
    add("--trusted_proxy", action="append", default=[], help="an address whose X-Forwarded-For is believed")
    add(
        "--stop_after",
        type=float,
        default=ServiceOptions.stop_after,
        help=f"seconds for what is in flight when it is told to stop (default: {ServiceOptions.stop_after:g})",
    )
    add("--cache_dir", default="", help="encoders (default: $UWE_JAX_CACHE or the user's cache)")
    limits = parser.add_argument_group("limits")
    for field in fields(Limits):
        limits.add_argument(
            f"--max_{field.name}" if field.name not in ("batch_wait", "deadline", "rate") else f"--{field.name}",
            dest=field.name,
            type=type(field.default),
            default=field.default,
            help=f"{_LIMITS[field.name]} (default: {field.default:g})",
        )
    return parser


def _options(arguments: Sequence[str]) -> ServiceOptions:
    chosen = vars(_parser().parse_args(arguments))
    if not chosen["space"]:
        raise UserError(f"Command line: no --space. `{_PROGRAM}` alone says how it is called.")
    spaces = tuple(parse_space(text) for text in chosen["space"])
    if len(dict(spaces)) < len(spaces):
        raise UserError(f"--space names {', '.join(name for name, _ in spaces)}; give every space a name of its own.")
    return ServiceOptions(
        model=chosen["model"],
        spaces=spaces,
        host=chosen["host"],
        port=chosen["port"],
        keys=read_keys(chosen["api_key_file"]),
        hosts=tuple(chosen["allowed_host"]),
        proxies=tuple(chosen["trusted_proxy"]),
        stop_after=chosen["stop_after"],
        cache_dir=cache_folder(chosen["cache_dir"]),
        limits=Limits(**{field.name: chosen[field.name] for field in fields(Limits)}),
    )


def main(arguments: Sequence[str]) -> None:
    """Serves as the command line says, until it is told to stop.

    Raises:
      UserError: for anything that the user can mend.
    """
    if not arguments:
        print(USAGE)
        return
    options = _options(arguments)
    keep_compiled_programs()  # so that only the first start compiles all that it needs
    try:
        from uwe_jax.serving.log import write_log
        from uwe_jax.serving.server import serve
    except ModuleNotFoundError as error:
        raise UserError(
            f"Serving needs the Python package {error.name}, which is not installed. Install it with "
            "pip install 'uwe_jax[serve]'."
        ) from error
    write_log()
    if not serve(options):
        # A thread inside XLA cannot be told to stop, and may crash while the interpreter ends around it.
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(0)


if __name__ == "__main__":
    answer_errors(lambda: main(sys.argv[1:]), after_interrupt="Nothing was lost.")
