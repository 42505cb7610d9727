"""Tests of reading JSON files with limits, and of the errors of invalid ones."""

import os
import re

import pytest

from uwe_jax.models.exported import read_manifest
from uwe_jax.models.remote_workdir import is_workdir
from uwe_jax.runtime.command import answer_errors
from uwe_jax.runtime.errors import UserError
from uwe_jax.runtime.json_file import read_json

DEEP = b"[" * 100_000  # deeper than Python recurses; refused, not followed


def test_an_object_is_read_with_or_without_a_mark_of_its_encoding(tmp_path):
    (tmp_path / "a.json").write_bytes('{"name": "café"}'.encode("utf-8-sig"))
    assert read_json(tmp_path / "a.json", "Write it again.") == {"name": "café"}


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b'{"a": ', r"is not readable JSON: Expecting value: line 1 column 7"),
        (b'{"a": "\xff"}', r"is not readable JSON: 'utf-8' codec can't decode byte 0xff"),
        (b'{"a": ' + DEEP, r"is not readable JSON: its lists or objects are nested too deeply"),
        (b'{"a": ' + b"9" * 5000 + b"}", r"is not readable JSON: Exceeds the limit"),
        (b'["a"]', r"holds a list instead of an object"),
        (b'{"a": "' + b"b" * 100 + b'"}', r"has 109 bytes; at most 100 are allowed"),
    ],
    ids=["cut", "encoding", "deep", "long number", "list", "size"],
)
def test_an_invalid_file_is_reported(tmp_path, content, message):
    path = tmp_path / "a.json"
    path.write_bytes(content)
    with pytest.raises(UserError, match=rf"^{re.escape(str(path))} {message}.*\. Write it again\.$"):
        read_json(path, "Write it again.", most_bytes=10_000_000 if b"bbb" not in content else 100)


def test_a_file_that_cannot_be_opened_is_reported(tmp_path, monkeypatch):
    with pytest.raises(UserError, match=r"a\.json cannot be read: No such file"):
        read_json(tmp_path / "a.json", "Write it again.")
    with pytest.raises(UserError, match="is not a regular file"):
        read_json(tmp_path, "Write it again.")
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(UserError, match="pipe is not a regular file"):
        read_json(tmp_path / "pipe", "Write it again.")


def test_an_export_with_a_manifest_that_is_nested_too_deeply_is_refused(tmp_path):
    (tmp_path / "uwe_jax.json").write_bytes(b'{"format": 1, "training": ' + DEEP)
    with pytest.raises(UserError, match=r"uwe_jax\.json is not readable JSON: .* too deeply\. Export or copy it again"):
        read_manifest(tmp_path)


@pytest.mark.parametrize("content", [DEEP, b'"workdir"', b'["workdir"]'], ids=["deep", "text", "list"])
def test_a_folder_with_another_kind_of_config_is_not_a_workdir(tmp_path, content):
    (tmp_path / "config.json").write_bytes(content)
    assert not is_workdir(tmp_path)


@pytest.mark.parametrize("opened", ["folder", "denied"])
def test_a_file_that_may_not_be_opened_is_reported_by_every_command(tmp_path, monkeypatch, capsys, opened):
    def work():
        if opened == "denied":  # as for an account that is not the superuser
            raise PermissionError(13, "Permission denied", str(tmp_path))
        tmp_path.read_text()

    with pytest.raises(SystemExit) as stop:
        answer_errors(work)
    assert stop.value.code == 2
    reason = "Permission denied" if opened == "denied" else "Is a directory"
    assert f"Error: {tmp_path} cannot be opened: {reason}. " in capsys.readouterr().err
