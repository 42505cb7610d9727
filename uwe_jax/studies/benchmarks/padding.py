"""Batches with padding, as they were without packing: what packed ones are compared with."""

from __future__ import annotations

import numpy as np

from uwe_jax.data.batches import Batch


def padded_nodes(batch: Batch) -> dict[str, dict[str, np.ndarray]]:
    """Unpacks the texts of a batch of one process into padded rows for each kind of node."""
    packed = batch["packed"]["token_ids"].ravel()

    def padded(starts: np.ndarray, mask: np.ndarray) -> dict[str, np.ndarray]:
        token_ids = np.zeros(mask.shape, np.int32)
        text, column = np.nonzero(mask)
        token_ids[mask] = packed[starts[text] + column]
        return {"token_ids": token_ids, "mask": mask}

    return {kind: padded(**texts) for kind, texts in batch["nodes"].items()}


def padded_batch(batch: Batch, devices: int) -> Batch:
    """Gives every text of a batch a place as long as the most tokens of its kind, padding included.

    Rows have the same length as before and hold several such places where they fit, so that the same program encodes
    them; it computes as many tokens as it would with one text per row of its kind's length.

    Args:
      batch: of one process.
      devices: which must divide the rows.
    """
    length = batch["packed"]["token_ids"].shape[1]
    rows: dict[str, list[np.ndarray]] = {"token_ids": [], "segments": []}
    nodes = {}
    number = 0
    for kind, texts in padded_nodes(batch).items():
        count, own = texts["mask"].shape
        per_row = length // own
        start = sum(map(len, rows["segments"])) * length
        order = np.arange(count)
        nodes[kind] = {
            "starts": (start + order // per_row * length + order % per_row * own).astype(np.int32),
            "mask": texts["mask"],
        }
        segments = np.where(texts["mask"], number + 1 + order[:, None], 0).astype(np.int32)
        number += count
        for name, cells in (("token_ids", texts["token_ids"]), ("segments", segments)):
            filled = np.pad(cells, ((0, -count % per_row), (0, 0))).reshape(-1, per_row * own)
            rows[name].append(np.pad(filled, ((0, 0), (0, length - per_row * own))))
    packed = {name: np.concatenate(parts) for name, parts in rows.items()}
    missing = -len(packed["segments"]) % devices
    return batch | {"nodes": nodes, "packed": {name: np.pad(x, ((0, missing), (0, 0))) for name, x in packed.items()}}
