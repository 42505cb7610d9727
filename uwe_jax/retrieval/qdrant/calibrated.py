"""The calibration of an index in Qdrant, in the metadata of its collection."""

from __future__ import annotations

import json

from uwe_jax.retrieval.calibration import Calibration, calibration_in, content_of
from uwe_jax.retrieval.qdrant.connection import Store
from uwe_jax.retrieval.qdrant.stored import Stored

_CALIBRATION = "uwe_jax_calibration"


def read_calibration_of(store: Store, collection: str) -> Calibration | None:
    """Reads the calibration of the index in a collection; None where it has none.

    Raises:
      UserError: it is damaged, or of a newer format.
    """
    with store.asking() as client:
        text = (client.get_collection(collection).config.metadata or {}).get(_CALIBRATION)
    where = f"The calibration of {collection} in Qdrant at {store.where}"
    return calibration_in(json.loads(text), where, "Upload the index again.") if text else None


def write_calibration_of(store: Store, collection: str, stored: Stored, calibration: Calibration | None) -> None:
    """Stores the calibration of the index in a collection in place of an earlier one."""
    with store.asking() as client:
        text = json.dumps(content_of(calibration)) if calibration else ""
        client.update_collection(collection, metadata={**stored.metadata(), _CALIBRATION: text})
