"""Edges as TensorFlow Datasets: one example per edge."""

from __future__ import annotations

import functools
import hashlib
from collections.abc import Callable, Collection, Iterator, Sequence
from pathlib import Path

import tensorflow_datasets as tfds

from uwe_jax.data.graph import Edge
from uwe_jax.runtime.errors import UserError
from uwe_jax.sources.prepared import RecordBuilder, prepare, read_features

_SPLIT = "train"  # TFDS needs a name; nodes are held out later

# Edges, and a phrase with a number per reason why rows gave no edge.
Found = tuple[Collection[Edge], Sequence[str]]


class EdgeBuilder(RecordBuilder, skip_registration=True):  # type: ignore[call-arg]
    """The edges of one graph of a source."""

    RECORDS = "edges"
    MEGABYTES = 100
    CACHE = "source.cache_dir or $UWE_JAX_CACHE"
    AGAIN = "your files"

    def __init__(
        self,
        source: str,
        graph: str,
        data_dir: Path,
        read: Callable[[], Found],
        folder: Path,
        *,
        check: str = "they are the ones you mean",
        version: str = "1.0.0",
    ):
        """Takes what names the dataset, and how it is read.

        Args:
          graph: name of the configuration.
          data_dir: must change with the content of the user's files.
          read: called where nothing is prepared.
          folder: of the user's files, for messages.
          check: what the user is to check where there is no edge.
          version: to be raised whenever the same files give other edges, or outdated prepared data would be read.
        """
        self.name, self.VERSION = source, tfds.core.Version(version)
        self._read, self._folder, self._check = read, folder, check
        super().__init__(config=graph, data_dir=str(data_dir))

    def keep_notes(self, notes: Sequence[str]) -> None:
        """Saves phrases on what was left out with the edges, for `read_notes`."""
        self.info.metadata["notes"] = list(notes)

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
        edges, notes = self._read()
        if not edges:
            raise UserError(
                f"{self.info.full_name} is empty: the files in {self._folder} give 0 edges. Expected at least one: "
                f"check that {self._check}, or leave this graph out of source.graphs."
            )
        self.keep_notes(notes)
        return {_SPLIT: self._generate_examples((edge._asdict() for edge in edges), len(edges))}


def load_edges(
    source: str, graph: str, key: str, read: Callable[[], Found], folder: Path, cache_dir: Path
) -> tuple[list[Edge], tuple[str, ...]]:
    """Loads the edges of one graph, prepared on first use in the folder tfds of `cache_dir`, and their notes.

    Args:
      source: name of the dataset.
      graph: name of its configuration.
      key: version and digest of the files: edges prepared from other files are never read.
      read: reads the files in `folder`.

    Raises:
      UserError: as `read` and `prepare`, or there is no edge.
    """
    builder = EdgeBuilder(source, graph, cache_dir / "tfds" / f"{source}-{key}", read, folder)
    prepare(builder)
    return read_prepared(builder), read_notes(builder)


def load_file_edges(
    source: str, graph: str, path: Path, read: Callable[[Path], Found], cache_dir: Path, *, further: str = ""
) -> tuple[list[Edge], tuple[str, ...]]:
    """Loads the edges of a source that is one file without a version; `further` is a digest of other input."""
    digest = hashlib.sha256(path.read_bytes() + further.encode()).hexdigest()[:16]
    return load_edges(source, graph, f"unknown-{digest}", lambda: read(path), path.parent, cache_dir)


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
