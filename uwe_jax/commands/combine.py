"""`uwe-jax combine --config=... --out=...`: writes the graphs that a configuration trains on as a folder.

Without arguments it says how it is called.
"""

from __future__ import annotations

import shlex
import sys
from collections.abc import Sequence
from pathlib import Path

from uwe_jax.runtime.arguments import Parser
from uwe_jax.runtime.command import answer_errors, read_config
from uwe_jax.runtime.progress import report, say
from uwe_jax.sources.catalogue import load_composition
from uwe_jax.sources.mixture.parts import Composition
from uwe_jax.sources.mixture.saved import check_free, save

_PROGRAM = "uwe-jax combine"
USAGE = f"""{_PROGRAM} --config=FILE [--config.key=value ...] --out=FOLDER

Reads the sources of a config, merges their graphs over one list of skills, and writes edge files with the provenance
and weight of every edge, and graphs.json with fingerprints and counts. A training run takes the folder as it is:
--config.source.source=edges --config.source.path=FOLDER.

For example, with ESCO's, O*NET's and the other downloads in one folder:
  {_PROGRAM} --config=configs/combined.py --config.source.path=downloads --out=graphs/combined
  {_PROGRAM} --config=configs/combined.py --config.source.path=downloads --config.source.parts.usajobs.weight=0 \\
      --out=graphs/without_usajobs"""


def combine(arguments: Sequence[str]) -> None:
    """Combines what a command line asks for.

    Raises:
      UserError: for anything that the user can mend.
    """
    if not arguments or {"-h", "--help"} & set(arguments):
        print(USAGE)
        return
    parser = Parser(prog=_PROGRAM, usage=USAGE, add_help=False)
    parser.add_argument("--out", type=Path, default=Path("graphs/combined"))
    chosen, config_arguments = parser.parse_known_args(arguments)
    out = chosen.out.expanduser()
    config = read_config(config_arguments)
    check_free(out)
    composition = load_composition(config.source)
    save(composition, out, config.to_dict()["source"])
    report(_table(composition))
    say(f"Written to {out}: {', '.join(sorted(path.name for path in out.iterdir()))}")
    path = shlex.quote(str(out))
    report(f"\nNext:\n  uwe-jax describe --config.source.source=edges --config.source.path={path}")


def _table(composition: Composition) -> str:
    header = ("part", "kind", "weight", "edges", "of its own", "skills", "neighbours")
    rows = [
        (
            str(row["part"]),
            f"skill-{row['kind']}",
            f"{row['weight']:g}",
            *(f"{row[name]:,}" for name in ("edges", "only", "skills", "neighbours")),
        )
        for row in composition.counts()
    ]
    widths = [max(map(len, column)) for column in zip(header, *rows, strict=True)]

    def line(cells: Sequence[str]) -> str:
        names = [cell.ljust(width) for cell, width in zip(cells[:2], widths[:2], strict=True)]
        return "  ".join([*names, *(cell.rjust(width) for cell, width in zip(cells[2:], widths[2:], strict=True))])

    return "\n".join(map(line, (header, *rows)))


if __name__ == "__main__":
    answer_errors(
        lambda: combine(sys.argv[1:]),
        after_full_disk="nothing half-written was kept.",
        after_interrupt="Nothing half-written was kept; what was prepared is read faster the next time.",
    )
