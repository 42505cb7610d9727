"""TensorFlow Datasets without TensorFlow: records are written once as ArrayRecord, and read on every later run.

TFDS writes into a folder named `incomplete.*` and renames it at the end, so an interrupted preparation is not mistaken
for a complete one.
"""

from __future__ import annotations

import errno
import logging
import math
import os
import shutil
import time
from collections.abc import Iterable, Iterator
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
_BLOCK = 10_000  # records per read: protocol buffers take ten times the memory of their texts


class RecordBuilder(tfds.core.GeneratorBasedBuilder, skip_registration=True):  # type: ignore[call-arg]
    """A TFDS builder that writes its records in the order in which they were read."""

    RECORDS: str  # name of the records in messages
    MEGABYTES: int  # upper bound of the size of a preparation
    CACHE: str  # the settings that choose its folder
    AGAIN: str  # the source from which the records are re-created

    def __init__(self, **kwargs: Any):
        try:
            super().__init__(**{"file_format": "array_record", **kwargs})
        except (json_format.ParseError, UnicodeDecodeError, AssertionError) as error:  # of a damaged dataset_info.json
            raise self.damaged(error) from error

    @classmethod
    def get_builder_config(cls, name: str, version: object = None) -> tfds.core.BuilderConfig:
        """Returns a configuration of any name: they are not listed beforehand."""
        del version
        return tfds.core.BuilderConfig(name=name)

    def damaged(self, error: Exception) -> UserError:
        """Returns the error for prepared records that cannot be read."""
        return UserError(
            f"The prepared {self.RECORDS} in {self.data_dir} cannot be read: {error}. Remove that folder and run "
            f"again; they are prepared again from {self.AGAIN}."
        )

    def _generate_examples(self, records: Iterable[dict[str, Any]], total: int) -> Iterator[tuple[int, dict[str, Any]]]:
        label = f"preparing {self.info.full_name}"
        return enumerate(progress(records, label=label, unit=f" {self.RECORDS}", total=total))

    # TFDS would announce a download, but nothing is downloaded here.
    def _log_download_bytes(self) -> None:
        pass

    def _log_download_done(self) -> None:
        pass


def is_prepared(builder: RecordBuilder) -> bool:
    """Returns whether the builder's folder has a complete preparation; one in a bucket's cache is fetched."""
    folder = Path(builder.data_dir)
    fetched = not folder.exists() and remote_cache.find(folder)
    complete = (folder / "dataset_info.json").is_file() and (folder / "features.json").is_file()
    if fetched and complete:
        builder.info.read_from_directory(str(folder))  # which was missing when the builder was created
    return complete


def prepare(builder: RecordBuilder) -> None:
    """Writes the builder's records unless they exist. One of several processes does so while the others wait.

    Args:
      builder: its `data_dir` must change with its input, which is not compared with a prepared folder.

    Raises:
      UserError: the input is bad, the folder cannot be written, or exists without a preparation.
    """
    if is_prepared(builder):
        return
    folder = Path(builder.data_dir)
    if folder.exists():
        raise UserError(
            f"{folder} exists but its preparation is incomplete: dataset_info.json or features.json is missing. "
            "Remove that folder and run again."
        )
    started = time.perf_counter()
    try:
        lock = folder.with_name(f".{folder.name}.lock")
        with exclusive(lock, f"preparing {folder}", patience=math.inf):
            if is_prepared(builder):
                builder.info.read_from_directory(str(folder))
                return
            for left in folder.parent.glob(f"incomplete.*_{folder.name}"):  # by killed processes: the lock is held
                shutil.rmtree(left, ignore_errors=True)
            # The generator shows one progress bar instead of TFDS's three.
            shown = tfds.core.utils.tqdm_utils
            with held("bars of TFDS", lambda: getattr(shown, "_active", True), tfds.display_progress_bar, False):
                builder.download_and_prepare()
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
    """Yields the features by name of each record, as protocol buffers `tf.train.Feature`, in the order of writing.

    Raises:
      UserError: a record file is damaged or missing.
    """
    try:
        _check_counts(builder, split)
        # Decoding the protocol buffers through TFDS features takes six times as long.
        source = builder.as_data_source(split, deserialize_method=tfds.decode.DeserializeMethod.RAW_BYTES)
        total = len(source)
        for start in range(0, total, _BLOCK):
            for record in source.__getitems__(list(range(start, min(start + _BLOCK, total)))):
                yield tf_example_pb2.Example.FromString(record).features.feature
    # Raised by array_record for truncated or missing files, and by TFDS for a dataset_info.json that does not fit.
    except (RuntimeError, OSError, ValueError, KeyError) as error:
        raise builder.damaged(error) from error


def _check_counts(builder: RecordBuilder, split: str) -> None:
    """Raises OSError if a record file has another number of records than dataset_info.json says.

    A file that is truncated to its first 64 KiB opens without an error and has none.
    """
    info = builder.info.splits[split]
    for path, recorded in zip(info.filepaths, info.shard_lengths, strict=True):
        reader = ArrayRecordReader(str(path))
        try:
            found = reader.num_records()
        finally:
            reader.close()
        if found != recorded:
            raise OSError(f"{path.name} has {found:,} records, but dataset_info.json says {recorded:,}")
