"""Edges as TensorFlow Datasets: one example per edge."""

from __future__ import annotations

import abc
import functools
from collections.abc import Iterator, Sequence
from pathlib import Path

import tensorflow_datasets as tfds

from uwe_jax.data.graph import Edge
from uwe_jax.runtime.errors import UserError
from uwe_jax.sources.prepared import RecordBuilder, prepare, read_features

_SPLIT = "train"  # TFDS needs a name; nodes are held out later


class EdgeBuilder(RecordBuilder, skip_registration=True):  # type: ignore[call-arg]
    """A TFDS builder with one example per edge; each source derives from it."""

    RECORDS = "edges"
    MEGABYTES = 100
    CACHE = "source.cache_dir or $UWE_JAX_CACHE"
    AGAIN = "your files"

    @abc.abstractmethod
    def read_edges(self, manual_dir: Path) -> list[Edge]:
        """Reads every edge of this configuration from the user's files."""

    def keep_notes(self, notes: Sequence[str]) -> None:
        """Saves phrases on what was left out with the edges, for `read_notes`."""
        self.info.metadata["notes"] = list(notes)

    def example(self, record: Edge) -> dict[str, str]:
        return record._asdict()

    def _info(self) -> tfds.core.DatasetInfo:
        features = {field: tfds.features.Text() for field in Edge._fields}
        return tfds.core.DatasetInfo(
            builder=self,
            description=self.__doc__,
            features=tfds.features.FeaturesDict(features),
            metadata=tfds.core.MetadataDict(),
            disable_shuffling=True,  # the order of the user's files
        )

    def _split_generators(self, dl_manager: tfds.download.DownloadManager) -> dict[str, Iterator]:
        # Everything is read before the first record is written: bad input leaves no files.
        edges = self.read_edges(Path(dl_manager.manual_dir))
        if not edges:
            raise UserError(
                f"{self.info.full_name} is empty: the files in {dl_manager.manual_dir} give 0 edges. "
                "Expected at least one: check that they are the ones you mean, or leave this graph out of "
                "source.graphs."
            )
        return {_SPLIT: self._generate_examples(edges)}


def prepare_edges(builder: EdgeBuilder, manual_dir: Path) -> None:
    """Writes the builder's edges from the user's files, unless they exist; see `prepare`."""
    prepare(builder, manual_dir)


def read_prepared(builder: EdgeBuilder) -> list[Edge]:
    """Returns the edges of a prepared dataset, in the order in which they were written; see `read_features`."""
    decode = functools.cache(bytes.decode)  # a label occurs in many edges: it is decoded and stored once
    return [
        Edge(*(decode(feature[field].bytes_list.value[0]) for field in Edge._fields))
        for feature in read_features(builder, _SPLIT)
    ]


def read_notes(builder: EdgeBuilder) -> tuple[str, ...]:
    """Returns the notes that `keep_notes` saved when the dataset was prepared."""
    return tuple(builder.info.metadata.get("notes", ()))
