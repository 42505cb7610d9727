"""Tensors of a folder, read one at a time: from one safetensors file, or from shards that an index names."""

from __future__ import annotations

import contextlib
import reprlib
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import ml_dtypes  # noqa: F401  # registers bfloat16 with numpy
import numpy as np
from safetensors import SafetensorError, safe_open

from uwe_jax.models.folder import INDEX, WEIGHTS
from uwe_jax.runtime.errors import UserError
from uwe_jax.runtime.json_file import read_json

_REMEDY = "Download it again."


class Tensors(NamedTuple):
    """Shapes by name, and a function that reads a tensor by its name."""

    shapes: Mapping[str, tuple[int, ...]]
    read: Callable[[str], np.ndarray]


@contextlib.contextmanager
def open_tensors(folder: Path) -> Iterator[Tensors]:
    """Opens the weights of a folder; raises UserError if a file is missing, damaged or not where the index says.

    The error of what is done with the tensors names the file, too.
    """
    path = folder / WEIGHTS
    try:
        files = [WEIGHTS] if path.is_file() else shard_files(folder) or [WEIGHTS]
        with contextlib.ExitStack() as stack:
            where: dict[str, Any] = {}  # the open file of each tensor
            for name in files:
                path = folder / name
                shard = stack.enter_context(safe_open(path, framework="numpy"))
                where |= dict.fromkeys(shard.keys(), shard)
            path = folder / (INDEX if len(files) > 1 else files[0])
            shapes = {name: tuple(shard.get_slice(name).get_shape()) for name, shard in where.items()}
            yield Tensors(shapes, lambda name: where[name].get_tensor(name))
    except (OSError, SafetensorError) as error:
        raise UserError(f"{path} is damaged or cannot be read: {error}. {_REMEDY}") from error
    except UserError as error:
        raise UserError(f"{path}: {error}" if str(path) not in str(error) else str(error)) from error


def shard_files(folder: Path) -> list[str]:
    """Names the files of sharded weights in a folder, from their index; none without one."""
    path = folder / INDEX
    if not path.is_file():
        return []
    placed = read_json(path, _REMEDY).get("weight_map")
    names = placed.values() if isinstance(placed, dict) else [placed]
    for name in names:
        if not isinstance(name, str) or Path(name).name != name:
            raise UserError(f"{path} places weights in {reprlib.repr(name)}; it must name files beside it. {_REMEDY}")
    return sorted(set(names))
