"""`uwe-jax combine`: merges the graphs of a config's sources into one folder."""

from __future__ import annotations

import logging
import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from uwe_jax.config import Config
from uwe_jax.curation.describe.description import provenance_section
from uwe_jax.evaluation.decontamination import load_training_composition
from uwe_jax.runtime.command import entry_point
from uwe_jax.runtime.config_file import read_command_line, split_arguments
from uwe_jax.runtime.options import FilePath, read_options
from uwe_jax.runtime.progress import report
from uwe_jax.sources.mixture.saved import check_free, save

LOG = logging.getLogger(__name__)
ABOUT = """Merges the graphs of a config's sources over one list of skills.

Writes edge files with the provenance and weight of every edge, and graphs.json with fingerprints and counts. A training
run takes the folder as it is: --config.source.source=edges --config.source.path=FOLDER.

With ESCO's, O*NET's and the other downloads in one folder:
  uwe-jax combine --config=combined --config.source.path=downloads --out graphs/combined
  uwe-jax combine --config=combined --config.source.path=downloads --config.source.parts.usajobs.weight=0 \\
      --out graphs/without_usajobs"""


@dataclass(frozen=True)
class Options:
    """Options of `uwe-jax combine`, besides --config and its overrides --config.key=value.

    Attributes:
      out: folder of the graphs.
    """

    out: FilePath = Path("graphs/combined")


def combine(arguments: Sequence[str]) -> None:
    """Combines the sources of a command line."""
    config_arguments, others = split_arguments(arguments)
    out = read_options(Options, others, command="combine", about=ABOUT, help_if_empty=not config_arguments).out
    config = read_command_line(config_arguments, Config, "train")
    check_free(out)
    composition = load_training_composition(config.source)
    save(composition, out, config.to_dict()["source"])
    report(provenance_section(composition.counts()).terminal())
    LOG.info(f"Written to {out}: {', '.join(sorted(path.name for path in out.iterdir()))}")
    path = shlex.quote(str(out))
    report(f"\nNext:\nuwe-jax describe --config.source.source=edges --config.source.path={path}")


run = entry_point(
    combine,
    after_full_disk="nothing partial was kept.",
    after_interrupt="Nothing partial was kept; prepared sources are reused the next time.",
)
