"""Libraries of the package's extras: importing them where they are used, and the command that installs them."""

from __future__ import annotations

import importlib
import json
import shlex
import sys
from importlib import metadata
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit
from urllib.request import url2pathname

from uwe_jax.runtime.errors import UserError


def install_command(extra: str) -> str:
    """Returns the pip command that adds an extra to this installation, from where it was installed.

    That is a folder (a clone), an archive, a repository, or the package index, as direct_url.json of the installed
    distribution (PEP 610) says; without it, the clone that the package is imported from, if any.
    """
    try:
        origin = json.loads(metadata.distribution("uwe_jax").read_text("direct_url.json") or "{}")
    except metadata.PackageNotFoundError:
        origin = {}
    clone = Path(__file__).resolve().parents[2]
    if not origin and (clone / "pyproject.toml").is_file():
        origin = {"url": clone.as_uri(), "dir_info": {"editable": True}}
    url = origin.get("url", "")
    what = [f"uwe_jax[{extra}]"]
    if url.startswith("file:") and "vcs_info" not in origin:
        editable = origin.get("dir_info", {}).get("editable", False)
        what = [*["-e"][:editable], f"{url2pathname(urlsplit(url).path)}[{extra}]"]
    elif url:
        vcs = origin.get("vcs_info", {})
        revision = vcs.get("requested_revision") or vcs.get("commit_id")
        url = f"{vcs['vcs']}+{url}@{revision}" if vcs else url
        folder = f"#subdirectory={origin['subdirectory']}" if "subdirectory" in origin else ""
        what = [f"uwe_jax[{extra}] @ {url}{folder}"]
    return shlex.join([sys.executable, "-m", "pip", "install", *what])


def extra_library(module: str, *, use: str, extra: str, otherwise: str = "") -> Any:
    """Imports a module of an extra.

    Args:
      module: dotted name of a library's module, or of a module of this package that imports libraries of the extra.
      use: subject of the error message: what needs the module.
      extra: name of the extra.
      otherwise: end of the error message: how to do without the module.

    Raises:
      UserError: it is not installed. Errors of an installed library's own imports are not changed.
    """
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError as error:
        name = (error.name or module).split(".")[0]
        if module.split(".")[0] not in (name, "uwe_jax"):
            raise
        raise UserError(
            f"{use} needs the Python package {name}, which is not installed. Install it with: {install_command(extra)}"
            f"{otherwise}"
        ) from error
