"""Tests that an extra is asked for by a command that works from where the package was installed."""

import json
import shlex
import sys
from importlib import metadata
from types import SimpleNamespace

import pytest

from uwe_jax.runtime import optional_imports
from uwe_jax.runtime.errors import UserError
from uwe_jax.runtime.optional_imports import extra_library, install_command

GIT = {"url": "https://host/uwe.git", "vcs_info": {"vcs": "git", "requested_revision": "v1", "commit_id": "abc"}}


@pytest.mark.parametrize(
    ("origin", "expected"),
    [
        ({"url": "file:///my%20clone", "dir_info": {"editable": True}}, ["-e", "/my clone[serve]"]),
        ({"url": "file:///clone", "dir_info": {}}, ["/clone[serve]"]),
        ({"url": "file:///uwe_jax-1-py3-none-any.whl", "archive_info": {}}, ["/uwe_jax-1-py3-none-any.whl[serve]"]),
        ({"url": "https://host/uwe_jax.zip", "archive_info": {}}, ["uwe_jax[serve] @ https://host/uwe_jax.zip"]),
        (GIT, ["uwe_jax[serve] @ git+https://host/uwe.git@v1"]),
        (GIT | {"subdirectory": "py"}, ["uwe_jax[serve] @ git+https://host/uwe.git@v1#subdirectory=py"]),
        (GIT | {"vcs_info": {"vcs": "git", "commit_id": "abc"}}, ["uwe_jax[serve] @ git+https://host/uwe.git@abc"]),
    ],
)
def test_an_extra_is_installed_from_where_the_package_was(origin, expected, monkeypatch):
    found = SimpleNamespace(read_text={"direct_url.json": json.dumps(origin)}.get)
    monkeypatch.setattr(metadata, "distribution", lambda _: found)
    assert shlex.split(install_command("serve")) == [sys.executable, "-m", "pip", "install", *expected]


def test_an_extra_of_a_package_of_the_index_and_of_a_clone_that_is_not_installed(monkeypatch, tmp_path):
    monkeypatch.setattr(metadata, "distribution", lambda _: SimpleNamespace(read_text=lambda _: None))
    place = tmp_path / "uwe_jax" / "runtime" / "optional_imports.py"
    monkeypatch.setattr(optional_imports, "__file__", str(place))
    assert install_command("gcs").endswith(" -m pip install 'uwe_jax[gcs]'")
    (tmp_path / "pyproject.toml").touch()
    assert shlex.split(install_command("gcs"))[-2:] == ["-e", f"{tmp_path}[gcs]"]


def test_a_missing_library_is_named_with_the_command():
    with pytest.raises(
        UserError, match=r"^Tea needs the Python package no_such_library, .* -m pip install .*\[tea\]'$"
    ):
        extra_library("no_such_library.leaf", use="Tea", extra="tea")
