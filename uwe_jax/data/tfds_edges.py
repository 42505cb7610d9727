"""Edges as TensorFlow Datasets, without TensorFlow: written once as ArrayRecord, read back on every run.

TFDS writes into a folder named `incomplete.*` and renames it when the last record and the description are
there, so a preparation that was killed is never taken for a whole one.
"""

from __future__ import annotations

import abc
import errno
import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import tensorflow_datasets as tfds
from tensorflow_datasets.proto import tf_example_pb2

from uwe_jax.base.errors import UserError
from uwe_jax.base.progress import progress, say
from uwe_jax.data.graph import Edge

_SPLIT = "train"  # TFDS needs a name; training and held-out nodes are told apart later, by node
_NOT_WRITABLE = {errno.ENOSPC, errno.EDQUOT, errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOTDIR}


class EdgeBuilder(tfds.core.GeneratorBasedBuilder, skip_registration=True):  # type: ignore[call-arg]
    """A TFDS builder with one example per edge. A source derives from it and says how its edges are read."""

    def __init__(self, **kwargs: Any):
        super().__init__(**{"file_format": "array_record", **kwargs})

    @abc.abstractmethod
    def read_edges(self, manual_dir: Path) -> list[Edge]:
        """Reads every edge of this configuration from the user's files."""

    def _info(self) -> tfds.core.DatasetInfo:
        features = {field: tfds.features.Text() for field in Edge._fields}
        return tfds.core.DatasetInfo(
            builder=self,
            description=self.__doc__,
            features=tfds.features.FeaturesDict(features),
            disable_shuffling=True,  # the order of the user's files; batches are drawn elsewhere
        )

    def _split_generators(self, dl_manager: tfds.download.DownloadManager) -> dict[str, Iterator]:
        # Everything is read before the first record is written: bad input leaves nothing behind.
        edges = self.read_edges(Path(dl_manager.manual_dir))
        if not edges:
            raise UserError(
                f"{self.info.full_name} is empty: the files in {dl_manager.manual_dir} give 0 edges. "
                "Expected at least one: check that they are the ones you mean, or leave this graph out of "
                "source.kinds."
            )
        return {_SPLIT: self._generate_examples(edges)}

    def _generate_examples(self, edges: list[Edge]) -> Iterator[tuple[int, dict[str, str]]]:
        label = f"preparing {self.info.full_name}"
        for key, edge in enumerate(progress(edges, label=label, unit=" edges", total=len(edges))):
            yield key, edge._asdict()

    # TFDS announces a download and its unknown size, and says when it is done. Nothing is downloaded here.
    def _log_download_bytes(self) -> None:
        pass

    def _log_download_done(self) -> None:
        pass


def is_prepared(builder: EdgeBuilder) -> bool:
    """Whether the builder's folder holds a finished preparation."""
    folder = Path(builder.data_dir)
    return (folder / "dataset_info.json").is_file() and (folder / "features.json").is_file()


def prepare_edges(builder: EdgeBuilder, manual_dir: Path) -> None:
    """Writes the builder's edges unless they are there. Two processes may do so at the same time.

    Args:
      builder: its `data_dir` must change with its input, as a prepared folder is never compared with the
        files.
      manual_dir: the user's files.

    Raises:
      UserError: the input is bad, the folder cannot be written or is there without a preparation.
    """
    if is_prepared(builder):
        return
    folder = Path(builder.data_dir)
    if folder.exists():
        raise UserError(
            f"{folder} is there but holds no finished preparation: dataset_info.json or features.json is "
            "missing. Remove that folder and run again."
        )
    started = time.perf_counter()
    tfds.disable_progress_bar()  # the generator draws one bar that says more than TFDS's three
    try:
        builder.download_and_prepare(download_config=tfds.download.DownloadConfig(manual_dir=str(manual_dir)))
    except (OSError, RuntimeError) as error:
        if is_prepared(builder):
            return  # another process was first, and the rename found its folder
        # array_record reports a full disk as a RuntimeError with the system's words in it
        reasons = [os.strerror(code) for code in _NOT_WRITABLE]
        reason = next((reason for reason in reasons if reason in str(error)), None)
        if reason is None:
            raise
        raise UserError(
            f"Prepared edges cannot be written to {folder}: {reason}. Expected a folder that can be written, "
            "with about 100 MB free: make room, or set source.cache_dir or $UWE_JAX_CACHE."
        ) from error
    finally:
        tfds.enable_progress_bar()
    say(f"Prepared {builder.info.full_name} in {folder} in {time.perf_counter() - started:.1f} s")


def read_prepared(builder: EdgeBuilder) -> list[Edge]:
    """Every edge of a prepared dataset, in the order in which it was written.

    Raises:
      UserError: a record file is damaged or missing.
    """
    # Raw records and the bare protocol buffer: decoding through TFDS features takes six times as long.
    try:
        source = builder.as_data_source(_SPLIT, deserialize_method=tfds.decode.DeserializeMethod.RAW_BYTES)
        records = source.__getitems__(list(range(len(source))))
    except (RuntimeError, OSError) as error:  # what array_record raises for a truncated or missing file
        raise UserError(
            f"The prepared edges in {builder.data_dir} cannot be read: {error}. Remove that folder and run "
            "again; they are prepared anew from your files."
        ) from error
    return [_edge(record) for record in records]


def _edge(record: bytes) -> Edge:
    feature = tf_example_pb2.Example.FromString(record).features.feature
    return Edge(*(feature[field].bytes_list.value[0].decode() for field in Edge._fields))
