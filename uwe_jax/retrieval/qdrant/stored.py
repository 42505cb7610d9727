"""Layout of indexes in a Qdrant store.

An index `esco` is an alias of that name for a collection `esco--0123456789ab`, whose last part is a digest of its
content. The alias is set when all targets are there, so a collection without one is an incomplete upload, and a new
version replaces an old one atomically. The collection's metadata has, under `uwe_jax`, the format, the origin, the
number of targets and the other attributes of `Stored`, and under `uwe_jax_calibration` the content of the index's
calibration.json as a text, "" where it has none.

A point is a target, its id the position. The vector is the multi-vector of its tokens, compared by MaxSim of cosines,
or the mean of its tokens where the model's scorer pools targets. Qdrant keeps unit vectors, so the payload has the
tokens' norms (none for a text without tokens, which gets a zero vector) beside the target's id, text and further
columns (`column_0` and so on; format 1 had none).

Format 3 is written where a target has several names. Their tokens, or one mean each, follow one another in the target's
multi-vector, so that MaxSim lets a query token choose among all names, and the payload's `names` has a list of text,
role and number of vectors of each, the label first.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Mapping
from typing import Any

from uwe_jax.retrieval.qdrant.connection import Store
from uwe_jax.retrieval.store.searchable import Origin
from uwe_jax.runtime.errors import UserError
from uwe_jax.runtime.settings import from_mapping
from uwe_jax.scoring.ragged import is_pooled

FORMAT = 3
_KEY = "uwe_jax"
_NAME = re.compile(r"[A-Za-z0-9_.][A-Za-z0-9_.-]{0,199}")
_COLLECTION = re.compile(r"(?P<name>.+)--[0-9a-f]{12}")


@dataclasses.dataclass(frozen=True)
class Stored:
    """An index in a collection.

    Attributes:
      origin: the model.
      size: n, the number of targets.
      width: d.
      dtype: of the stored vectors, float32 or float16.
      digest: of the content, twelve hexadecimal digits.
      columns: names of the further columns.
      names: number of all names where a target has several, else 0.
      sketch: of all names, see `uwe_jax.retrieval.sketch`; empty of earlier uploads.
      described: whether targets have descriptions.
    """

    origin: Origin
    size: int
    width: int
    dtype: str
    digest: str
    columns: tuple[str, ...] = ()
    names: int = 0
    sketch: tuple[str, ...] = ()
    described: bool = False

    @property
    def pooled(self) -> bool:
        """Returns whether a name is one vector, the mean of its tokens."""
        return is_pooled(self.origin.scorer.kind, query=False)

    @property
    def single(self) -> bool:
        """Returns whether a target is one vector."""
        return self.pooled and not self.names

    def metadata(self) -> dict[str, Any]:
        """Returns the metadata of the collection."""
        return {_KEY: {"format": FORMAT if self.names else FORMAT - 1, **dataclasses.asdict(self)}}


def field(position: int) -> str:
    """Returns the payload field of a further column, by position: the path of a field cannot hold any name."""
    return f"column_{position}"


def names_in(payload: Mapping[str, Any]) -> list[tuple[str, str, int]]:
    """Returns text, role and number of vectors of every name of a target, the label first."""
    return [*map(tuple, payload.get("names", ()))] or [(payload["text"], "", len(payload["norms"]))]


def check_name(name: str) -> None:
    """Raises UserError for an invalid name of an index."""
    if not _NAME.fullmatch(name) or _COLLECTION.fullmatch(name):
        raise UserError(
            f"An index in Qdrant cannot be named {name!r}. Use at most 200 letters, digits, dots, underscores and "
            "hyphens."
        )


def aliases(store: Store) -> dict[str, str]:
    """Returns the collections of the store's complete indexes, by the indexes' names."""
    with store.asking() as client:
        found = {each.alias_name: each.collection_name for each in client.get_aliases().aliases}
    return {name: collection for name, collection in sorted(found.items()) if _index_of(collection) == name}


def unfinished(store: Store, name: str) -> list[str]:
    """Returns the collections of incomplete uploads of an index, and those left behind when it was replaced."""
    complete = aliases(store).get(name)
    return [each for each in collections(store) if _index_of(each) == name and each != complete]


def collections(store: Store) -> list[str]:
    """Returns the names of all collections, also those of other programs."""
    with store.asking() as client:
        return sorted(each.name for each in client.get_collections().collections)


def find(store: Store, name: str) -> tuple[str, Stored]:
    """Returns the collection of a complete index, and its metadata.

    Raises:
      UserError: there is none of that name, its upload is incomplete, or a newer version of this program made it.
    """
    known = aliases(store)
    if name in known:
        return known[name], read(store, known[name])
    if unfinished(store, name):
        raise UserError(
            f"The upload of the index {name} to Qdrant at {store.where} is incomplete. Run it again to resume."
        )
    there = f"There are: {', '.join(known)}." if known else "There are no indexes yet."
    if name in collections(store):
        raise UserError(f"The collection {name} in Qdrant at {store.where} is not an index of this program. {there}")
    raise UserError(f"There is no index {name} in Qdrant at {store.where}. {there}")


def read(store: Store, collection: str) -> Stored:
    """Reads the metadata of the index in a collection.

    Raises:
      UserError: it is not an index, or a newer version of this program made it.
    """
    with store.asking() as client:
        metadata = (client.get_collection(collection).config.metadata or {}).get(_KEY)
    if not isinstance(metadata, Mapping) or not isinstance(metadata.get("format"), int):
        raise UserError(f"The collection {collection} in Qdrant at {store.where} is not an index of this program.")
    if metadata["format"] > FORMAT:
        raise UserError(
            f"The index {collection} in Qdrant at {store.where} has format {metadata['format']}; this version of "
            f"uwe_jax reads up to {FORMAT}. Update uwe_jax, or upload the index again."
        )
    try:
        return from_mapping(Stored, {key: value for key, value in metadata.items() if key != "format"})
    except (UserError, TypeError) as error:
        raise UserError(
            f"The metadata of the collection {collection} in Qdrant at {store.where} is damaged ({error}). Upload the "
            "index again."
        ) from error


def _index_of(collection: str) -> str | None:
    matched = _COLLECTION.fullmatch(collection)
    return matched["name"] if matched else None
