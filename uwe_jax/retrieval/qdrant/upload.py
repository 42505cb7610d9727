"""Uploading an index to a Qdrant store: in batches, and resumed where an earlier upload of the same index stopped."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from typing import Any

import numpy as np

from uwe_jax.ranking.ragged import RaggedTokens
from uwe_jax.retrieval.qdrant.connection import Store, library
from uwe_jax.retrieval.qdrant.stored import Stored, aliases, collections, field
from uwe_jax.retrieval.store.stored_targets import Index
from uwe_jax.runtime.errors import UserError
from uwe_jax.runtime.progress import progress
from uwe_jax.sources.tables.problems import shorten

# Numbers in one request: about 20 bytes each as JSON, under the 32 MiB that a server accepts by default.
_BATCH_NUMBERS = 1 << 20
_IDS_AT_ONCE = 10_000
MOST_NUMBERS = 1 << 20  # of one point, by a server: MAX_MULTIVECTOR_FLATTENED_LEN of its source
_HASHED_ROWS = 1 << 16


def content_digest(tokens: RaggedTokens, texts: Sequence[str], ids: Sequence[str], *parts: str) -> str:
    """Returns twelve hexadecimal digits that change with any token, text, id or further part."""
    digest = hashlib.sha256(json.dumps(parts).encode())
    for identity, text in zip(ids, texts, strict=True):
        digest.update(json.dumps([identity, text]).encode())
    digest.update(np.ascontiguousarray(tokens.offsets))
    for start in range(0, len(tokens.flat), _HASHED_ROWS):
        digest.update(np.ascontiguousarray(tokens.flat[start : start + _HASHED_ROWS], np.float32))
    return digest.hexdigest()[:12]


def norms_of(flat: np.ndarray) -> np.ndarray:
    """Returns |e| of every row, float32."""
    return np.linalg.norm(flat.astype(np.float32), axis=1)


def upload(store: Store, collection: str, stored: Stored, space: Index, tokens: RaggedTokens) -> None:
    """Uploads all targets to a collection, which is created unless an interrupted upload has done so.

    Args:
      tokens: of the names; the index's property would copy them again.

    Raises:
      UserError: a target has more names than a server takes, it stopped answering, or does not have all targets at the
        end.
    """
    models = library().models
    lengths = np.diff(tokens.offsets).tolist()
    if space.starts is not None:
        tokens = RaggedTokens(tokens.flat, np.append(tokens.offsets[space.starts], tokens.offsets[-1]))
    longest = int(tokens.lengths.argmax())
    if (numbers := int(tokens.lengths[longest]) * tokens.width) > MOST_NUMBERS and not store.embedded:
        raise UserError(
            f"The names of {shorten(space.ids[longest])} have {numbers:,} numbers, {tokens.lengths[longest]:,} tokens "
            f"of width {tokens.width}; a Qdrant server takes at most {MOST_NUMBERS:,} per target. Build the index with "
            "fewer names of it, or with a smaller --max-tokens."
        )
    with store.asking() as client:
        if client.collection_exists(collection):
            present = _present(client, collection, stored.size)
        else:
            multi = models.MultiVectorConfig(comparator=models.MultiVectorComparator.MAX_SIM)
            vectors = models.VectorParams(
                size=stored.width,
                distance=models.Distance.COSINE,
                datatype=models.Datatype(stored.dtype),
                multivector_config=None if stored.single else multi,
            )
            client.create_collection(collection, vectors_config=vectors, metadata=stored.metadata())
            present = np.zeros(stored.size, bool)
        for at in range(0 if store.embedded else len(space.columns)):  # embedded mode has no payload indexes
            client.create_payload_index(collection, field(at), models.PayloadSchemaType.KEYWORD, wait=True)
        chunks = tokens.chunks(max(1, _BATCH_NUMBERS // tokens.width))
        runs = [(start, stop) for start, stop in chunks if not present[start:stop].all()]
        for start, stop in progress(runs, label="Uploading", unit="batch"):
            points = []
            for at in (start + np.flatnonzero(~present[start:stop])).tolist():
                rows = tokens.part(at, at + 1).flat.astype(np.float32)
                payload = {"id": space.ids[at], "text": space.texts[at], "norms": norms_of(rows).tolist()}
                if stored.names:
                    sizes = lengths[space.name_rows(at)]
                    payload["names"] = [[*name, size] for name, size in zip(space.names_of(at), sizes, strict=True)]
                payload |= {field(k): values[at] for k, values in enumerate(space.columns.values())}
                rows = rows if len(rows) else np.zeros((1, stored.width), np.float32)
                vector = (rows[0] if stored.single else rows).tolist()
                points.append(models.PointStruct(id=at, vector=vector, payload=payload))
            client.upsert(collection, points, wait=True)
        there = client.count(collection, exact=True).count
    if there != stored.size:
        raise UserError(
            f"Qdrant at {store.where} has {there} of {stored.size} targets after the upload. Run it again to resume."
        )


def to_replace(store: Store, name: str) -> str | None:
    """Returns the collection that an index will replace; None where there is none.

    Raises:
      UserError: another program's collection has the name.
    """
    if name in collections(store):
        raise UserError(
            f"Qdrant at {store.where} has a collection {name} of another program. Give the index another name."
        )
    return aliases(store).get(name)


def switch(store: Store, name: str, before: str | None, collection: str) -> None:
    """Points an alias at another collection atomically, and deletes the former one."""
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
    """Returns a mask of the targets that a collection has, bool [n]."""
    present = np.zeros(size, bool)
    offset = None
    while True:
        points, offset = client.scroll(
            collection, limit=_IDS_AT_ONCE, offset=offset, with_payload=False, with_vectors=False
        )
        present[[point.id for point in points]] = True
        if offset is None:
            return present
