"""`uwe-jax ablate`: measures variants of a config over several seeds."""

from __future__ import annotations

import logging
import runpy
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from uwe_jax.config import Config
from uwe_jax.evaluation.tasks.catalogue import choose
from uwe_jax.runtime.command import entry_point
from uwe_jax.runtime.config_file import config_path, read_command_line
from uwe_jax.runtime.errors import UserError
from uwe_jax.runtime.options import FilePath, NameList, NumberList
from uwe_jax.studies.cell import FROZEN, Recipe, TrainingGraphs
from uwe_jax.studies.experiment import Experiment
from uwe_jax.studies.options import ABOUT_END, GridFlags, read_grid_options
from uwe_jax.training.unread_settings import read_values

LOG = logging.getLogger(__name__)
ABOUT = f"""Trains every variant of a config file over several seeds and measures all of them.

The file has VARIANTS, a dict of descriptions by variant, and get_config(variant); the first variant is the baseline.
Writes ablation.json, ablation.md and ablation.png. Without --data, variants are compared on held-out nodes of the
training graphs alone.

  uwe-jax ablate --config=ablation
  uwe-jax ablate --config=ablation --data downloads --variants=soft,mean_pool,max_sim --seeds=0,1,2,3,4
  uwe-jax ablate --config=ablation --config.steps=300 --config.source.source=esco \\
      --config.source.path=downloads --data downloads --out=runs/ablation_esco

{ABOUT_END}"""


@dataclass(frozen=True)
class Flags(GridFlags):
    """Options of `uwe-jax ablate`.

    Attributes:
      variants: of the config file's VARIANTS; by default all.
    """

    out: FilePath = Path("runs/ablation")
    seeds: NumberList = (0, 1, 2)
    variants: NameList = ()


def ablate(arguments: Sequence[str]) -> None:
    """Runs the grid of a command line."""
    (file, *overrides), options = read_grid_options(Flags, arguments, command="ablate", about=ABOUT)
    default, chosen = _variants(file.removeprefix("--config="), options.variants)
    flags = {name: (f"{file}:{name}", *overrides) for name in {default: "", **chosen}}
    config = read_command_line(flags[default], Config, "train")
    if options.data:
        choose(options.tasks)  # reports a wrong name before hours of training
    graphs = TrainingGraphs.read(config)
    chosen = _distinct(
        chosen, {name: read_command_line(flags[name], Config, "train") for name in chosen}, list(graphs.skills)
    )
    recipe = Recipe(options, graphs.fingerprints)
    frozen = [recipe.frozen(config)] if options.data else []
    trained = [recipe.trained(name, seed, flags[name]) for seed in options.seeds for name in chosen]
    descriptions = {FROZEN: f"the encoder as published, scored like {default}"} if frozen else {}
    Experiment(
        name="ablation",
        title="Ablation",
        options=options,
        config=config,
        graphs=graphs.fingerprints,
        cells=[*frozen, *trained],
        descriptions={**descriptions, **chosen},
        baseline=default,
        intro=[
            f"Cells: percent, mean ± standard deviation over seeds (difference to {default} in points).",
            *(f"{name}: {text}." for name, text in {**descriptions, **chosen}.items()),
        ],
        first="variant",
        difference=f"difference to {default}",
        relative=False,
    ).carry_out()


def _variants(path: str, wanted: Sequence[str]) -> tuple[str, dict[str, str]]:
    """Returns the file's first variant, and the descriptions of the chosen ones, in the file's order."""
    if ":" in Path(path).name:
        file, _, variant = path.rpartition(":")
        raise UserError(f"--config={path} names a variant. Give --config={file} and --variants={variant}.")
    if not Path(path).is_file():
        read_command_line((f"--config={path}",), Config, "train")  # says what is wrong with it
    found: Any = runpy.run_path(config_path(path)).get("VARIANTS")
    if not isinstance(found, Mapping) or not found:
        raise UserError(
            f"{path} has no VARIANTS. The config of an ablation needs VARIANTS, a dict of descriptions by variant, and "
            "get_config(variant); see configs/ablation.py."
        )
    for name in wanted:
        if name not in found:
            raise UserError(f"--variants: {path} has no variant {name!r}. It has {', '.join(found)}.")
    return next(iter(found)), {name: text for name, text in found.items() if name in (wanted or found)}


def _distinct(variants: Mapping[str, str], configs: Mapping[str, Config], kinds: Sequence[str]) -> dict[str, str]:
    """Drops variants that, with these overrides and graphs, train exactly like an earlier one."""
    seen: dict[str, str] = {}
    kept = {}
    for name, text in variants.items():
        settings = read_values(configs[name], kinds)
        del settings["workdir"]
        first = seen.setdefault(repr(settings), name)
        if first == name:
            kept[name] = text
        else:
            LOG.warning(f"{name} is left out: with these graphs and overrides it trains exactly like {first}.")
    return kept


run = entry_point(ablate, after_interrupt="Finished cells are kept. Re-run the same command to resume.")
