"""Record in an index folder of the model and the targets that it was built from.

`Origin` identifies the right model wherever it is; the record says where it was loaded from.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from uwe_jax.models.loading import split_scorer
from uwe_jax.models.resolve import absolute_name
from uwe_jax.runtime.errors import UserError
from uwe_jax.runtime.files import write_json
from uwe_jax.runtime.json_file import read_json

_NAME = "index.json"


@dataclass(frozen=True)
class Recorded:
    """The sources of an index.

    Attributes:
      model: as of `load_model`, an absolute path; "" where it is unknown.
      targets: the source of every set of targets that was added.
    """

    model: str = ""
    targets: tuple[str, ...] = ()


def record(folder: Path, model: str, targets: tuple[str, ...]) -> None:
    """Writes the record of an index, with the model's folder as an absolute path; replaces an earlier one."""
    name, scorer = split_scorer(model)
    full = absolute_name(name) + ("" if scorer is None else f":{scorer}")
    write_json(folder / _NAME, asdict(Recorded(full, targets)))


def recorded(folder: Path) -> Recorded:
    """Reads the record of an index; an empty one where none can be read."""
    try:
        found = read_json(folder / _NAME, "")
        return Recorded(str(found["model"]), tuple(map(str, found["targets"])))
    except (UserError, KeyError, TypeError):
        return Recorded()


def recorded_model(places: Sequence[str]) -> str:
    """Returns the model that all indexes were built with.

    Raises:
      UserError: an index has no record of it, or they were built with several.
    """
    models = {place: recorded(Path(place).expanduser()).model for place in places}
    if unknown := [place for place, model in models.items() if not model]:
        raise UserError(f"{unknown[0]} does not say where its model was loaded from. Name the model with --model.")
    if len(set(models.values())) > 1:
        which = ", ".join(f"{place} by {model}" for place, model in models.items())
        number = len(set(models.values()))
        raise UserError(f"The indexes were built with {number} models: {which}. Rank them separately.")
    return next(iter(models.values()))
