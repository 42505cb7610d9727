"""What a hunt for a NaN found, as a sentence, as a table, and as files to replay it from."""

from __future__ import annotations

import dataclasses
import io
import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import jax
import numpy as np
from rich.table import Table

from uwe_jax.config import Config
from uwe_jax.distributed import parallel
from uwe_jax.models.uwe import UweModel
from uwe_jax.runtime.files import write_json
from uwe_jax.runtime.text_table import render_table
from uwe_jax.training.nan_pieces import Detail, Piece, SuspectStep

# Above this the parameters are not written: the checkpoint before leads to the same step.
_MOST_PARAMETER_BYTES = 512 * 2**20
_DETAILS, _TEXTS = 8, 5
_SPECIAL = re.compile(r"\[.*\]|<.*>")


class TextsOf:
    """Texts of a batch by kind and row, from their token ids.

    Args:
      batch: split over devices.
      vocabulary: token ids by token.
    """

    def __init__(self, batch: Any, vocabulary: dict[str, int]):
        self._nodes = batch["nodes"]
        self._token = {number: token for token, number in vocabulary.items()}

    def __call__(self, kind: str, row: int) -> str:
        ids, mask = (np.asarray(self._nodes[kind][name]) for name in ("token_ids", "mask"))
        real = ids.reshape(-1, ids.shape[-1])[row][mask.reshape(-1, mask.shape[-1])[row]]
        tokens = [self._token.get(int(number), f"<{number}>") for number in real]
        words = " ".join(token for token in tokens if not _SPECIAL.fullmatch(token))
        return words.replace(" ##", "")


def first_culprit(pieces: Sequence[Piece]) -> tuple[Piece, Detail] | None:
    """The first piece that holds a value that is not finite, and its first part; None where all are finite."""
    piece = next((piece for piece in pieces if piece.details), None)
    return None if piece is None else (piece, piece.details[0])


def sentence(pieces: Sequence[Piece], texts: TextsOf) -> str:
    """The first culprit in one sentence."""
    found = first_culprit(pieces)
    if found is None:
        return (
            "Taken apart, every piece of the step is finite: it depends on how the whole is compiled, or a device errs."
        )
    piece, detail = found
    return f"The first that is not finite: {piece.name}: {_told(piece, detail, texts, 1)}."


def _told(piece: Piece, detail: Detail, texts: TextsOf, most: int) -> str:
    parts = [f"{detail.name}, {detail.bad:,} of {detail.of:,} {piece.unit}"]
    if detail.kind:
        named = [f'"{texts(detail.kind, row)[:60]}" (row {row})' for row in detail.rows[:most]]
        parts.append(f"{detail.kind} {', '.join(named)}{', ...' if detail.bad > most else ''}")
    elif detail.rows:
        rows = ", ".join(map(str, detail.rows[:5]))
        parts.append(f"row{'s'[: len(detail.rows) > 1]} {rows}{', ...' if len(detail.rows) > 5 else ''}")
    return "; ".join([*parts, detail.note] if detail.note else parts)


def _distinct(piece: Piece, texts: TextsOf) -> list[str]:
    """The first parts of a piece; texts that several of them concern are named once."""
    lines, named = [], set()
    for detail in piece.details[:_DETAILS]:
        again = bool(detail.kind) and (detail.kind, detail.rows) in named
        named.add((detail.kind, detail.rows))
        short = f"{detail.name}, {detail.bad:,} of {detail.of:,} {piece.unit}; the same of {detail.kind}"
        lines.append(short if again else _told(piece, detail, texts, _TEXTS))
    return lines


def table(pieces: Sequence[Piece], texts: TextsOf, title: str) -> str:
    """All pieces in their order, with the parts and the texts concerned."""
    lines = Table(title=title, title_justify="left", title_style="bold")
    lines.add_column("piece")
    lines.add_column("not finite", justify="right")
    lines.add_column("of", justify="right")
    lines.add_column("where")
    for piece in pieces:
        where = [f"- {told}" for told in _distinct(piece, texts)]
        where += [f"- and {len(piece.details) - _DETAILS} more"] * (len(piece.details) > _DETAILS)
        told = "\n".join([*([piece.note] if piece.note else []), *where])
        lines.add_row(piece.name, f"{piece.bad:,}", f"{piece.of:,} {piece.unit}", told)
    return render_table(lines, width=140)


def _flat(tree: Any) -> dict[str, np.ndarray]:
    """Leaves by their path, as they lie in an npz file."""
    leaves = jax.tree_util.tree_leaves_with_path(tree)
    return {jax.tree_util.keystr(path, simple=True, separator="/"): np.asarray(leaf) for path, leaf in leaves}


def _unflat(path: Path) -> dict[str, Any]:
    """The tree of dictionaries that `_flat` was given; those without any leaf are missing."""
    tree: dict[str, Any] = {}
    with np.load(io.BytesIO(path.read_bytes())) as arrays:
        for name in arrays:
            *above, last = name.split("/")
            node = tree
            for part in above:
                node = node.setdefault(part, {})
            node[last] = arrays[name]
    return tree


def read_step(folder: Path, model: UweModel) -> SuspectStep:
    """The step that a hunt reported on, to take it apart again on as many devices.

    Args:
      folder: of the report, with its params.npz.
      model: as it was trained.
    """
    report = json.loads((folder / "report.json").read_text(encoding="utf-8"))
    config = Config.from_dict(report["config"])
    params = parallel.replicate({"scorer": {}, **_unflat(folder / "params.npz")})
    batch = _unflat(folder / "batch.npz")
    chunk = config.batch.encode_chunk_size
    return SuspectStep(model, config.loss, params, report["next_batch"], batch, config.seed, chunk)


def write_inputs(folder: Path, step: SuspectStep) -> list[str]:
    """Writes what the step is a function of: batch.npz, and params.npz by the first process unless it is large.

    Returns:
      The names of the files.
    """
    folder.mkdir(parents=True, exist_ok=True)
    files = {"batch.npz": step.batch}
    if jax.process_index() == 0:
        params = jax.tree.map(np.asarray, parallel.first(step.params))
        if sum(leaf.nbytes for leaf in jax.tree.leaves(params)) <= _MOST_PARAMETER_BYTES:
            files["params.npz"] = params
    for name, tree in files.items():
        buffer = io.BytesIO()
        np.savez(buffer, **_flat(tree))  # type: ignore[arg-type]  # of its keywords one is a flag
        (folder / name).write_bytes(buffer.getvalue())
    return list(files)


def write_report(folder: Path, report: str, pieces: Sequence[Piece], about: dict[str, Any]) -> None:
    """Writes report.txt, and report.json with everything in it as values."""
    values = {**about, "pieces": [dataclasses.asdict(piece) for piece in pieces]}
    (folder / "report.txt").write_text(report + "\n", encoding="utf-8")
    write_json(folder / "report.json", values)
