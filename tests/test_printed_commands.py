"""Commands that programs print, help texts show and documents name: every one of them exists and takes its flags."""

import argparse
import ast
import functools
import importlib
import re
import shlex
from pathlib import Path
from unittest import mock

import pytest

from uwe_jax.config import Config, SourceSettings
from uwe_jax.curation.enrich.settings import EnrichmentSettings
from uwe_jax.runtime.command import read_config
from uwe_jax.runtime.settings import check_setting_name
from uwe_jax.training.report import next_commands

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "uwe_jax"
COMMANDS = {path.stem for path in PACKAGE.glob("*.py") if 'if __name__ == "__main__"' in path.read_text()}
# Stand for any name.
ANY = {"flag", "config.key"}


def texts(path):
    """The texts of a document, or of a module; what an f-string fills in is X, but for names of its constants."""
    if path.suffix == ".md":
        return [path.read_text()]
    tree = ast.parse(path.read_text())
    constants = {
        node.targets[0].id: node.value.value
        for node in tree.body
        if isinstance(node, ast.Assign)
        and isinstance(node.value, ast.Constant)
        and isinstance(node.targets[0], ast.Name)
    }

    def filled(part):
        if isinstance(part, ast.Constant):
            return str(part.value)
        return str(constants.get(getattr(part.value, "id", ""), "X"))

    found, inside = [], set()
    for node in ast.walk(tree):
        if isinstance(node, ast.JoinedStr):
            found.append("".join(map(filled, node.values)))
            inside |= set(map(id, ast.walk(node)))
        elif isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in inside:
            found.append(node.value)
    return found


def commands(path):
    """(command, its flags and what follows up to the end of the line) wherever `python -m uwe_jax.X` stands."""
    for text in texts(path):
        joined = re.sub(r"\\\n\s*", " ", text)
        yield from re.findall(r"python -m uwe_jax\.(\w+)([^\n`#|]*)", joined)


class Parsing(Exception):
    """Comes instead of the work of a command, with its parser."""


def instead_of_parsing(parser, *_):
    raise Parsing(parser)


@functools.cache
def flags_of(command):
    module = importlib.import_module(f"uwe_jax.{command}")
    flags = {"help", "config"}
    if command in ("train", "enrich"):  # whose flags are settings, but for one
        return flags | ({"dry_run"} if command == "enrich" else set())
    with mock.patch.object(argparse.ArgumentParser, "parse_known_args", instead_of_parsing):
        try:
            (getattr(module, "main", None) or getattr(module, command))(["--config=configs/quickstart.py"])
        except Parsing as seen:
            parsers = list(seen.args)
    for parser in parsers:
        flags |= {option.removeprefix("--") for option in parser._option_string_actions}
        for action in parser._actions:
            if isinstance(action, argparse._SubParsersAction):
                parsers.extend(action.choices.values())
    return flags


FILES = [
    path
    for pattern in ("uwe_jax/**/*.py", "configs/*.py", "README.md", "docs/*.md", "launch/**/*.md")
    for path in sorted(ROOT.glob(pattern))
    if "python -m uwe_jax." in path.read_text() or "_PROGRAM" in path.read_text()
]


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_commands_and_flags_that_are_named_exist(path):
    for command, rest in commands(path):
        assert command in COMMANDS or command == "X", f"python -m uwe_jax.{command}"
        for flag, setting in re.findall(r"(?:^|[\s[])--(\w+)((?:\.\w+)*)", rest):
            if flag + setting in ANY or command == "X":
                continue
            assert flag in flags_of(command), f"python -m uwe_jax.{command} --{flag}"
            if setting and "source.parts." not in setting:
                check_setting_name(EnrichmentSettings if command == "enrich" else Config, setting[1:])


SOURCES = [
    SourceSettings("sample"),
    SourceSettings("esco", path="my downloads/esco", language="de", version="1.2.0", kinds=("job", "alias")),
    SourceSettings("esco", path="gs://bucket/esco"),
    SourceSettings("edges", path="~/graphs", cache_dir="cache"),
]


def words(line):
    module, *arguments = shlex.split(line.removeprefix("python -m uwe_jax."))
    return module, arguments


@pytest.mark.parametrize("source", SOURCES, ids=lambda source: f"{source.source} {source.path}")
def test_the_last_commands_of_a_training_are_read_by_their_programs(source, monkeypatch):
    monkeypatch.chdir(ROOT)
    lines = next_commands(Config(source=source, workdir="runs/my run")).splitlines()
    read = [words(line) for line in lines if line.startswith("python")]
    assert [module for module, _ in read[:3]] == ["index", "rank", "export"]
    for module, arguments in read[:3]:
        importlib.import_module(f"uwe_jax.{module}")._options(arguments)
    index = importlib.import_module("uwe_jax.commands.index")._options(read[0][1])
    assert index.model == "runs/my run"
    if source.version:
        assert (str(index.targets), index.language, index.version) == ("my downloads/esco", "de", "1.2.0")
    trainings = [read_config(arguments) for _, arguments in read[3:]]
    assert len(trainings) == 1 + (source.source == "sample")
    if source.source != "sample":
        assert trainings[0].source == source
        assert trainings[0].encoder.name == "sentence-transformers/all-mpnet-base-v2"


def test_a_combined_training_goes_on_with_the_same_parts(monkeypatch):
    monkeypatch.chdir(ROOT)
    given = [
        "--config=configs/combined.py",
        "--config.source.path=my downloads",
        "--config.source.parts.onet.weight=0.5",
    ]
    run = read_config([*given, "--config.workdir=runs/first"])
    *_, last = next_commands(run, [*given, "--config.workdir=runs/first"]).splitlines()
    module, arguments = words(last)
    following = read_config(arguments)
    assert module == "train"
    assert (following.source, following.batch) == (run.source, run.batch)
    assert (following.encoder.name, following.workdir) == ("sentence-transformers/all-mpnet-base-v2", "runs/mpnet")
    # Called from Python there is no file to name.
    assert "uwe_jax.commands.train" not in next_commands(run, ["-q", "tests"])
