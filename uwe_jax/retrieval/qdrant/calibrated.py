"""The calibration of an index in Qdrant, in the metadata of its collection."""

from __future__ import annotations

import json

from uwe_jax.retrieval.calibration import Calibration, calibration_from, content_of
from uwe_jax.retrieval.qdrant.connection import Store
from uwe_jax.retrieval.qdrant.stored import Stored
from uwe_jax.runtime.errors import UserError

_CALIBRATION = "uwe_jax_calibration"


def read_calibration_of(store: Store, collection: str) -> Calibration | None:
    """Reads the calibration of the index in a collection; None where it has none.

    Raises:
      UserError: it is damaged, or of a newer format.
    """
    with store.asking() as client:
        text = (client.get_collection(collection).config.metadata or {}).get(_CALIBRATION)
    if not text:
        return None
    where, remedy = f"The calibration of {collection} in Qdrant at {store.where}", "Upload the index again."
    try:
        return calibration_from(json.loads(text), where, remedy)
    except (ValueError, AttributeError) as error:
        raise UserError(f"{where} is damaged ({error}). {remedy}") from error


def write_calibration_of(store: Store, collection: str, stored: Stored, calibration: Calibration | None) -> None:
    """Stores the calibration of the index in a collection in place of an earlier one, where that differs."""
    if calibration == read_calibration_of(store, collection):
        return
    with store.asking() as client:
        text = json.dumps(content_of(calibration)) if calibration else ""
        client.update_collection(collection, metadata={**stored.metadata(), _CALIBRATION: text})
