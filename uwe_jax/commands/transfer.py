"""`uwe-jax transfer`: measures what training on each graph alone contributes to each task."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from uwe_jax.config import Config
from uwe_jax.evaluation.tasks.catalogue import choose
from uwe_jax.runtime.command import entry_point
from uwe_jax.runtime.config_file import read_command_line
from uwe_jax.runtime.errors import UserError
from uwe_jax.runtime.kinds import SKILL
from uwe_jax.runtime.options import FilePath
from uwe_jax.studies.cell import FROZEN, Recipe, TrainingGraphs
from uwe_jax.studies.experiment import Experiment
from uwe_jax.studies.options import ABOUT_END, GridFlags, read_grid_options

LOG = logging.getLogger(__name__)
ALL = "all"
ABOUT = f"""Trains on each graph of the source alone and on all of them, and measures what each contributes.

All trainings have the same steps and batch size. Measures every model and the frozen encoder on every task. Writes
transfer.json, transfer.md and transfer.png: rows are training graphs, columns are tasks, cells are gains in MAP over
the frozen encoder.

With the ESCO zips in downloads/:
  uwe-jax transfer --config=quickstart --data downloads
  uwe-jax transfer --config=esco_minilm --config.source.path=downloads --data downloads --seeds=0,1,2

{ABOUT_END}"""


@dataclass(frozen=True)
class Flags(GridFlags):
    """Options of `uwe-jax transfer`."""

    out: FilePath = Path("runs/transfer")


def transfer(arguments: Sequence[str]) -> None:
    """Runs the grid of a command line."""
    flags, options = read_grid_options(Flags, arguments, command="transfer", about=ABOUT)
    if not options.data:
        raise UserError("--data is required: transfer is measured on tasks. Name the folder that holds their data.")
    config = read_command_line(flags, Config, "train")
    choose(options.tasks)  # reports a wrong name before hours of training
    graphs = TrainingGraphs.read(config, alone=True)
    sources: dict[str, tuple[str, ...]] = {kind: (kind,) for kind in graphs.skills}
    if len(sources) > 1:
        sources[ALL] = tuple(graphs.skills)
    else:
        LOG.warning(
            f"The source has one graph, skill-{next(iter(sources))}: it is compared with the frozen encoder alone."
        )
    recipe = Recipe(options, graphs.fingerprints)
    trained = [
        recipe.trained(name, seed, (*flags, f"--config.source.kinds={kinds}", *_measured(kinds, config)))
        for seed in options.seeds
        for name, kinds in sources.items()
    ]
    trained_on = {name: f"trained on skill-{' and skill-'.join(kinds)}" for name, kinds in sources.items()}
    Experiment(
        name="transfer",
        title="Transfer between training graphs",
        options=options,
        config=config,
        graphs=graphs.fingerprints,
        cells=[recipe.frozen(config), *trained],
        descriptions={FROZEN: "as published, under the same scorer", **trained_on},
        baseline=FROZEN,
        intro=[
            "Rows: the graphs trained on, alone or all together, with the same number of steps and the same batch "
            "size. Cells: percentage points gained over the frozen encoder under the same scorer, whose own row holds "
            "its scores in percent; ± is the standard deviation over seeds.",
        ],
        first="trained on",
        difference="gain over the frozen encoder",
        relative=True,
        sections=("results",),
    ).carry_out()


def _measured(kinds: Sequence[str], config: Config) -> list[str]:
    """Returns a flag that takes the rankings of skills out of evaluation.skip, where it leaves none of these graphs."""
    skip = set(config.evaluation.skip)
    if not skip >= {each for kind in kinds for each in (f"{SKILL}_to_{kind}", f"{kind}_to_{SKILL}")}:
        return []
    return [f"--config.evaluation.skip={tuple(sorted(skip - {f'{kind}_to_{SKILL}' for kind in kinds}))}"]


run = entry_point(transfer, after_interrupt="Finished cells are kept. Re-run the same command to resume.")
