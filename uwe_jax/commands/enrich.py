"""`uwe-jax enrich --config=configs/enrich.py`: new texts for skills that have few, as edges to train on.

The same command on the same folder goes on where it stopped, and asks nothing twice. Without arguments it says how it
is called.
"""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Sequence

if __name__ == "__main__":  # an importer's environment is its own
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")  # XLA's notes on how it compiles are not the user's concern

from uwe_jax.curation.enrich.run import enrich
from uwe_jax.curation.enrich.settings import EnrichmentSettings
from uwe_jax.runtime.command import answer_errors, read_command_line, shipped_configs
from uwe_jax.runtime.errors import UserError

_SHOWN = 2  # prompts of each kind that a dry run shows
EXIT_FAILED = 1
_LISTED = "\n".join(f"  {path}  {summary}" for path, summary in shipped_configs("enrich"))
USAGE = f"""uwe-jax enrich --config=FILE [--config.key=value ...] [--dry_run[=N]]

{_LISTED}

For example, a language model behind a server of your own, and without any:
  uwe-jax enrich --config=configs/enrich.py --config.endpoint.base_url=http://localhost:8000/v1 \\
      --config.endpoint.model=MODEL
  uwe-jax enrich --config=configs/enrich.py --config.generator=template

--dry_run shows the first {_SHOWN} prompts of each kind and the estimate, asks nothing and writes nothing; --dry_run=N
shows N of each, --dry_run=0 all. Exit status: 0 when everything is answered or a budget is spent, 1 when some requests
got no answer, 2 on bad input or without a server, 130 after Ctrl-C."""


def main(arguments: Sequence[str]) -> bool:
    """Enriches as the command line says; returns whether every request that was asked has got an answer.

    Raises:
      UserError: for anything that the user can mend.
    """
    if not arguments or {"-h", "--help"} & set(arguments):
        print(USAGE)
        return True
    shown, rest = None, []
    for argument in arguments:
        if not argument.startswith("--dry_run"):
            rest.append(argument)
        elif asked := re.fullmatch(r"--dry_run(?:=(\d+))?", argument):
            shown = int(asked[1]) if asked[1] else _SHOWN
        else:
            raise UserError(f"Command line: {argument}; expected --dry_run or --dry_run=N.")
    return enrich(read_command_line(rest, EnrichmentSettings, "enrich"), shown)


def _work() -> None:
    if not main(sys.argv[1:]):
        sys.exit(EXIT_FAILED)


if __name__ == "__main__":
    answer_errors(
        _work,
        after_full_disk="every answer before is kept, and the same command goes on from there.",
        after_interrupt="Every answer is kept; the same command goes on from there.",
    )
