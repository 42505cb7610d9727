"""The command starts once more where huge pages are for the asking, and only there."""

import os
import sys

import pytest

from uwe_jax.runtime import huge_pages


@pytest.fixture
def restarted(monkeypatch, tmp_path):
    """Restarts with what they were given, on a system whose mode a test writes."""
    calls = []
    monkeypatch.setattr(os, "execv", lambda *arguments: calls.append((*arguments, os.environ["GLIBC_TUNABLES"])))
    monkeypatch.setattr(huge_pages.platform, "libc_ver", lambda: ("glibc", "2.36"))
    monkeypatch.setattr(sys, "orig_argv", ["python", "-m", "uwe_jax.train", "--config=x.py"])
    monkeypatch.setattr(huge_pages, "_MODE", tmp_path / "enabled")
    (tmp_path / "enabled").write_text("always [madvise] never\n")
    monkeypatch.setenv("GLIBC_TUNABLES", "")
    return calls


def test_it_restarts_once_with_the_same_arguments(restarted):
    huge_pages.restart_with_huge_pages()
    huge_pages.restart_with_huge_pages()
    command = [sys.executable, "-m", "uwe_jax.train", "--config=x.py"]
    assert restarted == [(sys.executable, command, "glibc.malloc.hugetlb=1")]


def test_other_tunables_are_kept(restarted, monkeypatch):
    monkeypatch.setenv("GLIBC_TUNABLES", "glibc.malloc.check=0")
    huge_pages.restart_with_huge_pages()
    assert restarted[0][2] == "glibc.malloc.check=0:glibc.malloc.hugetlb=1"


def test_a_choice_of_the_user_stands(restarted, monkeypatch):
    monkeypatch.setenv("GLIBC_TUNABLES", "glibc.malloc.hugetlb=0")
    huge_pages.restart_with_huge_pages()
    assert not restarted


@pytest.mark.parametrize("mode", ["[always] madvise never", "always madvise [never]", None])
def test_systems_that_have_decided_are_left_alone(restarted, mode):
    huge_pages._MODE.unlink() if mode is None else huge_pages._MODE.write_text(mode)
    huge_pages.restart_with_huge_pages()
    assert not restarted


def test_other_c_libraries_are_left_alone(restarted, monkeypatch):
    monkeypatch.setattr(huge_pages.platform, "libc_ver", lambda: ("", ""))
    huge_pages.restart_with_huge_pages()
    assert not restarted
