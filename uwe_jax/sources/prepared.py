"""TensorFlow Datasets without TensorFlow: records written once as ArrayRecord, read back on every later run.

TFDS writes into a folder named `incomplete.*` and renames it when the last record and the description are
there, so a preparation that was killed is never taken for a whole one.
"""

from __future__ import annotations

import abc
import errno
import logging
import math
import os
import shutil
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import tensorflow_datasets as tfds
from array_record.python.array_record_module import ArrayRecordReader
from google.protobuf import json_format
from tensorflow_datasets.proto import tf_example_pb2

from uwe_jax.runtime import remote_cache
from uwe_jax.runtime.errors import UserError
from uwe_jax.runtime.locks import exclusive
from uwe_jax.runtime.process_state import held
from uwe_jax.runtime.progress import progress

LOG = logging.getLogger(__name__)
_NOT_WRITABLE = {errno.ENOSPC, errno.EDQUOT, errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOTDIR}
_BLOCK = 10_000  # records read at once: the protocol buffers of all would take ten times the memory of their texts


class RecordBuilder(tfds.core.GeneratorBasedBuilder, skip_registration=True):  # type: ignore[call-arg]
    """A TFDS builder that writes its records in the order in which they were read.

    Attributes:
      RECORDS: what one calls the records.
      MEGABYTES: that a preparation takes, generously.
      CACHE: the settings that choose its folder.
      AGAIN: what the records are prepared from when the folder is gone.
    """

    RECORDS: str
    MEGABYTES: int
    CACHE: str
    AGAIN: str

    def __init__(self, **kwargs: Any):
        try:
            super().__init__(**{"file_format": "array_record", **kwargs})
        except (json_format.ParseError, UnicodeDecodeError, AssertionError) as error:  # of a damaged dataset_info.json
            raise self.damaged(error) from error

    def damaged(self, error: Exception) -> UserError:
        """The answer where what was prepared cannot be read."""
        return UserError(
            f"The prepared {self.RECORDS} in {self.data_dir} cannot be read: {error}. Remove that folder and run "
            f"again; they are prepared anew from {self.AGAIN}."
        )

    @abc.abstractmethod
    def example(self, record: Any) -> dict[str, Any]:
        """The record as the features of TFDS have it."""

    def _generate_examples(self, records: Sequence[Any]) -> Iterator[tuple[int, dict[str, Any]]]:
        label = f"preparing {self.info.full_name}"
        for key, record in enumerate(progress(records, label=label, unit=f" {self.RECORDS}", total=len(records))):
            yield key, self.example(record)

    # TFDS announces a download and its unknown size, and says when it is done. It downloads nothing here.
    def _log_download_bytes(self) -> None:
        pass

    def _log_download_done(self) -> None:
        pass


def is_prepared(builder: RecordBuilder) -> bool:
    """Whether the builder's folder holds a finished preparation; one that lies in a bucket's cache is fetched."""
    folder = Path(builder.data_dir)
    fetched = not folder.exists() and remote_cache.find(folder)
    whole = (folder / "dataset_info.json").is_file() and (folder / "features.json").is_file()
    if fetched and whole:
        builder.info.read_from_directory(str(folder))  # the builder was made when there was nothing to read
    return whole


def prepare(builder: RecordBuilder, manual_dir: Path | None = None) -> None:
    """Writes the builder's records unless they are there. Of several processes one does so, and the others wait.

    Args:
      builder: its `data_dir` must change with its input, as a prepared folder is never compared with it.
      manual_dir: the user's files, for a builder that reads some.

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
    try:
        config = tfds.download.DownloadConfig(manual_dir=None if manual_dir is None else str(manual_dir))
        lock = folder.with_name(f".{folder.name}.lock")
        with exclusive(lock, f"preparing {folder}", patience=math.inf):
            if is_prepared(builder):
                builder.info.read_from_directory(str(folder))  # the builder was made when there was nothing to read
                return
            for left in folder.parent.glob(f"incomplete.*_{folder.name}"):  # by killed processes: the lock is held
                shutil.rmtree(left, ignore_errors=True)
            # The generator draws one bar that says more than TFDS's three.
            shown = tfds.core.utils.tqdm_utils
            with held("bars of TFDS", lambda: getattr(shown, "_active", True), tfds.display_progress_bar, False):
                builder.download_and_prepare(download_config=config)
            lock.unlink()
    except (OSError, RuntimeError) as error:
        # array_record reports a full disk as a RuntimeError with the system's words in it
        reasons = [os.strerror(code) for code in _NOT_WRITABLE]
        reason = next((reason for reason in reasons if reason in str(error)), None)
        if reason is None:
            raise
        raise UserError(
            f"Prepared {builder.RECORDS} cannot be written to {folder}: {reason}. Expected a folder that can be "
            f"written, with about {builder.MEGABYTES} MB free: make room, or set {builder.CACHE}."
        ) from error
    LOG.info(f"Prepared {builder.info.full_name} in {folder} in {time.perf_counter() - started:.1f} s")
    remote_cache.keep(folder)


def read_features(builder: RecordBuilder, split: str) -> Iterator[Any]:
    """Every record of a prepared dataset, in the order in which it was written.

    Yields:
      Of a record its features by name, as the protocol buffer `tf.train.Feature`.

    Raises:
      UserError: a record file is damaged or missing.
    """
    # Raw records and the bare protocol buffer: decoding through TFDS features takes six times as long.
    with _named_damage(builder):
        _check_counts(builder, split)
        source = builder.as_data_source(split, deserialize_method=tfds.decode.DeserializeMethod.RAW_BYTES)
        total = len(source)
    for start in range(0, total, _BLOCK):
        with _named_damage(builder):
            records = source.__getitems__(list(range(start, min(start + _BLOCK, total))))
        for record in records:
            yield tf_example_pb2.Example.FromString(record).features.feature


def _check_counts(builder: RecordBuilder, split: str) -> None:
    """Raises OSError where a record file has another number of records than dataset_info.json says.

    A file that was cut at its first 64 KiB opens without an error and has none.
    """
    info = builder.info.splits[split]
    for path, recorded in zip(info.filepaths, info.shard_lengths, strict=True):
        reader = ArrayRecordReader(str(path))
        try:
            found = reader.num_records()
        finally:
            reader.close()
        if found != recorded:
            raise OSError(f"{path.name} has {found:,} records, and dataset_info.json names {recorded:,}")


@contextmanager
def _named_damage(builder: RecordBuilder) -> Iterator[None]:
    try:
        yield
    # What array_record raises for a truncated or missing file, and TFDS for a dataset_info.json that does not fit.
    except (RuntimeError, OSError, ValueError, KeyError) as error:
        raise builder.damaged(error) from error
