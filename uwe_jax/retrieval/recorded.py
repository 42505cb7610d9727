"""Which model a space is ranked with, where nobody says: `index` leaves a note of it in the space's folder.

`Origin` tells whether a model is the right one, wherever it lies; the note tells where it lay.
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
    """How a space was built.

    Attributes:
      model: that `load_model` takes, a path in full; "" where it is not known.
      targets: what was read from where, one for every time that targets came in.
    """

    model: str = ""
    targets: tuple[str, ...] = ()


def record(folder: Path, model: str, targets: tuple[str, ...]) -> None:
    """Leaves the note in the folder of a space; replaces an earlier one."""
    write_json(folder / _NAME, asdict(Recorded(_in_full(model), targets)))


def _in_full(model: str) -> str:
    """A model name that is valid in every working directory: a folder by its full path, with its scorer if any."""
    name, scorer = split_scorer(model)
    return absolute_name(name) + ("" if scorer is None else f":{scorer}")


def recorded(folder: Path) -> Recorded:
    """The note in the folder of a space; an empty one where there is none that can be read."""
    try:
        found = read_json(folder / _NAME, "")
        return Recorded(str(found["model"]), tuple(map(str, found["targets"])))
    except (UserError, KeyError, TypeError):
        return Recorded()


def recorded_model(places: Sequence[str]) -> str:
    """The one model that some spaces were built with.

    Raises:
      UserError: a space does not say, or they were built with several.
    """
    models = {place: recorded(Path(place).expanduser()).model for place in places}
    if unknown := [place for place, model in models.items() if not model]:
        raise UserError(f"{unknown[0]} does not say where its model was loaded from. Name the model with --model.")
    if len(set(models.values())) > 1:
        told = ", ".join(f"{place} by {model}" for place, model in models.items())
        raise UserError(f"The spaces were made by {len(set(models.values()))} models: {told}. Rank them one by one.")
    return next(iter(models.values()))
