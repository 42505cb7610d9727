"""Uploading a space to a Qdrant store: in batches, from where an earlier upload of the same space stopped."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from uwe_jax.ranking.ragged import RaggedTokens
from uwe_jax.retrieval.qdrant.connection import Store, library
from uwe_jax.retrieval.qdrant.embedded import write_ahead
from uwe_jax.retrieval.qdrant.filters import field
from uwe_jax.retrieval.qdrant.stored import Stored, aliases, collections, read, schema
from uwe_jax.runtime.errors import UserError
from uwe_jax.runtime.progress import progress

# Numbers in one request: about 20 bytes each as JSON, under the 32 MiB that a server takes unless it is told otherwise.
_BATCH_NUMBERS = 1 << 20
_IDS_AT_ONCE = 10_000
_HASHED_ROWS = 1 << 16


def content_digest(tokens: RaggedTokens, texts: Sequence[str], ids: Sequence[str], *parts: str) -> str:
    """Twelve hexadecimal digits that change with any token, text, id or further part."""
    digest = hashlib.sha256(json.dumps(parts).encode())
    for identity, text in zip(ids, texts, strict=True):
        digest.update(json.dumps([identity, text]).encode())
    digest.update(np.ascontiguousarray(tokens.offsets))
    for start in range(0, len(tokens.flat), _HASHED_ROWS):
        digest.update(np.ascontiguousarray(tokens.flat[start : start + _HASHED_ROWS], np.float32))
    return digest.hexdigest()[:12]


def norms_of(flat: np.ndarray) -> np.ndarray:
    """|e| of every row, float32."""
    return np.linalg.norm(flat.astype(np.float32), axis=1)


def upload(
    store: Store,
    collection: str,
    stored: Stored,
    tokens: RaggedTokens,
    texts: Sequence[str],
    ids: Sequence[str],
    columns: Mapping[str, Sequence[str]],
    *,
    on_disk: bool,
    shards: int | None,
    bar: bool,
) -> None:
    """Puts all targets into a collection, which is made unless it is there from an upload that stopped.

    Args:
      tokens: n targets' token embeddings, or their means where `stored.pooled`.
      texts: n.
      ids: n.
      columns: n values each.
      on_disk: the server keeps vectors on its disk and in no more memory than it has to spare.
      shards: parts that a cluster spreads over its nodes; None leaves their number to it.
      bar: shows progress.

    Raises:
      UserError: the server stopped answering, or has not all targets at the end.
    """
    with store.asking() as client:
        if client.collection_exists(collection):
            present = _present(client, collection, stored.size)
        else:
            client.create_collection(
                collection,
                vectors_config=schema(stored, on_disk=on_disk),
                metadata=stored.metadata(),
                shard_number=shards,
                on_disk_payload=on_disk or None,
            )
            present = np.zeros(stored.size, bool)
        for at in range(0 if store.embedded else len(columns)):  # embedded mode warns that it has no indexes
            client.create_payload_index(collection, field(at), library().models.PayloadSchemaType.KEYWORD, wait=True)
        runs = _missing(tokens, present)
        with write_ahead(client, collection):
            for start, stop in progress(runs, label="Uploading", unit="batch", total=len(runs)) if bar else runs:
                batch = start + np.flatnonzero(~present[start:stop])
                points = [_point(k, tokens, texts, ids, columns, stored) for k in batch.tolist()]
                client.upsert(collection, points, wait=True)
        there = client.count(collection, exact=True).count
    if there != stored.size:
        raise UserError(
            f"Qdrant at {store.where} has {there} of {stored.size} targets after the upload. Run it again: it goes on "
            "where it stopped."
        )


def to_replace(store: Store, name: str, stored: Stored, *, replace: bool) -> str | None:
    """The collection whose place a space will take; None where there is none.

    Raises:
      UserError: another program's collection has the name, or another model's space and `replace` is not set.
    """
    if name in collections(store):
        raise UserError(
            f"Qdrant at {store.where} has a collection {name} of another program. Give the space another name."
        )
    before = aliases(store).get(name)
    if before is None or replace:
        return before
    there = read(store, before).origin
    if there.fingerprint != stored.origin.fingerprint:
        raise UserError(
            f"The space {name} in Qdrant at {store.where} was made by {there.model} ({there.fingerprint}), and this "
            f"one by {stored.origin.model} ({stored.origin.fingerprint}). Give another name, or replace it "
            "(replace=True)."
        )
    return before


def switch(store: Store, name: str, before: str | None, collection: str) -> None:
    """Lets a name mean another collection, in one step, and deletes the one it meant."""
    models = library().models
    steps: list[Any] = []
    if before:
        steps.append(models.DeleteAliasOperation(delete_alias=models.DeleteAlias(alias_name=name)))
    create = models.CreateAlias(collection_name=collection, alias_name=name)
    steps.append(models.CreateAliasOperation(create_alias=create))
    with store.asking() as client:
        client.update_collection_aliases(steps)
        if before:
            client.delete_collection(before)


def _present(client: Any, collection: str, size: int) -> np.ndarray:
    """Which of the targets a collection has, bool [n]."""
    present = np.zeros(size, bool)
    offset = None
    while True:
        points, offset = client.scroll(
            collection, limit=_IDS_AT_ONCE, offset=offset, with_payload=False, with_vectors=False
        )
        present[[point.id for point in points]] = True
        if offset is None:
            return present


def _missing(tokens: RaggedTokens, present: np.ndarray) -> list[tuple[int, int]]:
    """Runs (start, stop) of targets, some of which are missing, as many as one request takes."""
    runs = tokens.chunks(max(1, _BATCH_NUMBERS // tokens.width))
    return [(start, stop) for start, stop in runs if not present[start:stop].all()]


def _point(
    at: int,
    tokens: RaggedTokens,
    texts: Sequence[str],
    ids: Sequence[str],
    columns: Mapping[str, Sequence[str]],
    stored: Stored,
) -> Any:
    rows = tokens.part(at, at + 1).flat.astype(np.float32)
    norms = norms_of(rows)
    if not len(rows):
        rows = np.zeros((1, stored.width), np.float32)
    return library().models.PointStruct(
        id=at,
        vector=(rows[0] if stored.pooled else rows).tolist(),
        payload={"id": str(ids[at]), "text": str(texts[at]), "norms": norms.tolist()}
        | {field(k): values[at] for k, values in enumerate(columns.values())},
    )
