"""Tests of the log lines and progress bars of commands, and that a library import configures no logging."""

import logging
import os
import subprocess
import sys
import warnings

import pytest
from tiny_encoder import write_tiny_encoder

from uwe_jax.__main__ import main
from uwe_jax.runtime import logging_setup
from uwe_jax.runtime.logging_setup import shown
from uwe_jax.runtime.progress import progress, without_bars


@pytest.fixture
def rank(tmp_path, capsys, monkeypatch):
    """Runs `uwe-jax rank` on a tiny encoder, and returns its lines on standard output and error."""
    encoder = write_tiny_encoder(tmp_path / "encoder", layers=1)
    (tmp_path / "skills.txt").write_text("write code\ncare for patients\n")

    def ranked(*flags):
        main(["rank", "--model", f"{encoder}:soft", "--targets", str(tmp_path / "skills.txt"), *flags, "write code"])
        out, err = capsys.readouterr()
        return out.splitlines(), err.splitlines()

    monkeypatch.setenv("UWE_JAX_CACHE", str(tmp_path / "cache"))
    return ranked


def test_a_command_says_a_line_about_what_it_made_and_its_result(rank):
    read, made, meaning = rank()[1]
    assert read.endswith("skills.txt: one text per line, columns 'text', 2 rows")
    assert made.startswith("Encoded 2 targets. Their index is kept in ")
    out, err = rank()
    assert err == [read, meaning]
    assert meaning.startswith("skills: Scores order the targets of one query")
    assert "write code" in "".join(out)
    assert (out, []) == rank("--quiet")


def test_verbose_shows_where_an_encoder_is_looked_for(rank):
    assert any("local folder" in line for line in rank("--verbose")[1])


def state():
    root, own = logging.getLogger(), logging.getLogger("uwe_jax")
    return root.level, root.handlers[:], own.level, own.handlers[:], warnings.filters[:], dict(os.environ)


@pytest.mark.parametrize("flag", ["--verbose", "--quiet"])
def test_a_command_leaves_logging_warnings_and_the_environment_as_they_were(flag):
    before = state()
    with pytest.raises(SystemExit):
        main([flag, "rank", "--no-such-option"])
    assert state() == before


def test_records_of_other_libraries_are_shown_with_verbose_and_their_errors_always(capsys, monkeypatch):
    monkeypatch.setattr(logging.getLogger(), "handlers", [])
    other = logging.getLogger("other.library")
    for level in (logging.DEBUG, logging.INFO, logging.WARNING):
        with shown(level):
            other.warning("looked up at %s", level)
            other.error("broke at %s", level)
    assert capsys.readouterr().err.splitlines() == ["looked up at 10", "broke at 10", "broke at 20", "broke at 30"]


def test_of_several_processes_the_others_write_errors_alone(capsys, monkeypatch):
    monkeypatch.setattr(logging_setup, "is_silent", lambda: True)
    log = logging.getLogger("uwe_jax.test")
    log.warning("said by the first process")
    log.error("broken here")
    assert capsys.readouterr().err == "broken here\n"


def test_bars_are_drawn_on_terminals_alone_and_not_with_quiet(capsys, monkeypatch):
    def drawn():
        assert list(progress([1, 2], label="Reading", unit="row")) == [1, 2]
        return "Reading" in capsys.readouterr().err

    assert not drawn()
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    assert drawn()
    with shown(logging.WARNING):
        assert without_bars()
        assert not drawn()


@pytest.mark.thorough
def test_as_a_library_the_package_configures_no_log_and_prints_nothing(tmp_path):
    encoder = write_tiny_encoder(tmp_path / "encoder", layers=1)
    program = f"""
import logging, uwe_jax
ranker = uwe_jax.load({str(encoder)!r} + ":soft")
ranker.encode_targets(["write code"])
own = logging.getLogger("uwe_jax")
print(logging.getLogger().handlers, own.level, [type(each).__name__ for each in own.handlers])
"""
    environment = {**os.environ, "UWE_JAX_CACHE": str(tmp_path / "cache")}
    command = [sys.executable, "-c", program]
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
    assert (done.stdout, done.stderr) == ("[] 0 ['NullHandler']\n", "")
