"""`uwe-jax enrich`: generates new texts for skills that have few, as edges to train on."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass

from uwe_jax.curation.enrich.run import enrich
from uwe_jax.curation.enrich.settings import EnrichmentSettings
from uwe_jax.runtime.command import EXIT_FAILED, entry_point
from uwe_jax.runtime.config_file import read_command_line, split_arguments
from uwe_jax.runtime.options import OptionalInt, at_least, read_options

ABOUT = """Generates vacancy sentences, job titles and aliases for skills that have few.

By a language model behind a server of your own, or by templates:
  uwe-jax enrich --config=enrich --config.endpoint.base_url=http://localhost:8000/v1 --config.endpoint.model=MODEL
  uwe-jax enrich --config=enrich --config.generator=template

Re-run the same command on the same folder to resume: no request is sent twice. Exit status: 0 when everything is
answered or a budget is spent, 1 when some requests got no answer, 2 on bad input or without a server, 130 on Ctrl-C."""


@dataclass(frozen=True)
class Options:
    """Options of `uwe-jax enrich`, besides --config and its overrides --config.key=value.

    Attributes:
      dry_run: show this many prompts of each kind (0: all) and the estimate; send and write nothing.
    """

    dry_run: OptionalInt = None

    def __post_init__(self) -> None:
        at_least(0, dry_run=self.dry_run)


def main(arguments: Sequence[str]) -> None:
    """Enriches as the command line says; exits with `EXIT_FAILED` where a request got no answer."""
    config, others = split_arguments(arguments)
    # A dry run without a number shows two prompts of each kind.
    others = ["--dry-run=2" if argument in ("--dry-run", "--dry_run") else argument for argument in others]
    options = read_options(Options, others, command="enrich", about=ABOUT, help_if_empty=not config)
    if not enrich(read_command_line(config, EnrichmentSettings, "enrich"), options.dry_run):
        sys.exit(EXIT_FAILED)


run = entry_point(
    main,
    after_full_disk="every earlier answer is kept. Re-run the same command to resume.",
    after_interrupt="Every answer is kept. Re-run the same command to resume.",
)
