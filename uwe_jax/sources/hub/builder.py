"""TFDS builder for one split of a dataset of the hub: one example per row."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import tensorflow_datasets as tfds

from uwe_jax.sources.prepared import RecordBuilder, is_prepared, read_features

if TYPE_CHECKING:
    from uwe_jax.sources.hub.dataset import HubDataset

# By kind of a column: the feature of TFDS, and the value of its protocol buffer.
_FEATURES = {
    "text": tfds.features.Text,
    "texts": lambda: tfds.features.Sequence(tfds.features.Text()),
    "int": lambda: tfds.features.Scalar(np.int64),
    "ints": lambda: tfds.features.Sequence(tfds.features.Scalar(np.int64)),
    "float": lambda: tfds.features.Scalar(np.float32),
    "id": tfds.features.Text,
    "json": tfds.features.Text,
}
_VALUES = {
    **dict.fromkeys(("text", "id", "json"), lambda feature: feature.bytes_list.value[0].decode()),
    "texts": lambda feature: [text.decode() for text in feature.bytes_list.value],
    "int": lambda feature: feature.int64_list.value[0],
    "ints": lambda feature: [*feature.int64_list.value],
    "float": lambda feature: feature.float_list.value[0],
}


class HubRows(RecordBuilder, skip_registration=True):  # type: ignore[call-arg]
    """Rows of a dataset that its authors publish on the Hugging Face hub."""

    # Raise it whenever the same files give other rows; else rows prepared by the former code would be read.
    VERSION = tfds.core.Version("1.0.0")
    RECORDS = "rows"
    MEGABYTES = 20
    CACHE = "$UWE_JAX_CACHE"
    AGAIN = "the hub"

    def __init__(
        self, dataset: HubDataset, split: str, revision: str, data_dir: Path, rows: Sequence[dict[str, Any]] = ()
    ):
        """Takes a split of a commit (`revision`), the folder of all prepared datasets, and rows to write, if any."""
        self.revision = revision
        self._dataset = dataset
        self._split = split
        self._rows = rows
        super().__init__(config=_config(dataset, split), data_dir=str(data_dir / f"{_family(dataset)}{revision}"))

    def rows(self) -> list[dict[str, Any]]:
        """Reads the prepared rows, in the order in which they were written; see `read_features`."""
        kinds = self._dataset.columns.items()
        return [
            {name: _VALUES[kind](features[name]) for name, kind in kinds}
            for features in read_features(self, self._split)
        ]

    def _info(self) -> tfds.core.DatasetInfo:
        features = {name: _FEATURES[kind]() for name, kind in self._dataset.columns.items()}
        return tfds.core.DatasetInfo(
            builder=self,
            description=self.__doc__,
            homepage=f"{self._dataset.page}/tree/{self.revision}",
            features=tfds.features.FeaturesDict(features),
            disable_shuffling=True,  # the order of the files is that of the queries
        )

    def _split_generators(self, dl_manager: tfds.download.DownloadManager) -> dict[str, Iterator]:
        return {self._split: self._generate_examples(self._rows, len(self._rows))}


def find_prepared(dataset: HubDataset, split: str, data_dir: Path) -> HubRows | None:
    """Returns the split as it was prepared last; None if it never was."""
    folders = data_dir.glob(f"{_family(dataset)}*/hub_rows/{_config(dataset, split)}/{HubRows.VERSION}")
    for folder in sorted(folders, key=lambda folder: folder.stat().st_mtime_ns, reverse=True):
        builder = HubRows(dataset, split, folder.parents[2].name.removeprefix(_family(dataset)), data_dir)
        if is_prepared(builder):
            return builder
    return None


def _family(dataset: HubDataset) -> str:
    """Returns the common start of the folders of all commits; the hub allows no double hyphen in names."""
    return f"hub--{dataset.repo.replace('/', '--')}--"


def _config(dataset: HubDataset, split: str) -> str:
    # Other columns or rows are another configuration.
    told = repr(sorted(dataset.columns.items())) + (repr(dataset.at_least) if dataset.at_least else "")
    digest = hashlib.sha256(told.encode()).hexdigest()[:8]
    table = f"{dataset.table.replace('/', '--')}-" if dataset.table else ""
    return f"{dataset.repo.replace('/', '--')}-{table}{split}-{digest}"
