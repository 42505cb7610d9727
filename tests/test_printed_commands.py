"""Tests that all commands and flags that are printed, in help texts or in documents exist."""

import ast
import contextlib
import functools
import importlib
import io
import re
import shlex
import shutil
from pathlib import Path

import pytest

from uwe_jax.__main__ import NAMES
from uwe_jax.config import Config
from uwe_jax.curation.enrich.settings import EnrichmentSettings
from uwe_jax.runtime.command import answer_errors
from uwe_jax.runtime.config_file import read_command_line
from uwe_jax.runtime.settings import current_path
from uwe_jax.training import report
from uwe_jax.training.report import next_commands

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "uwe_jax"
# Stand for any name.
ANY = {"flag", "config.key"}


def texts(path):
    """Yields the texts of a document or module; placeholders of f-strings are X, but for names of constants."""
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
    """Yields command and rest of the line wherever a text has `uwe-jax COMMAND`."""
    for text in texts(path):
        joined = re.sub(r"\\\n\s*", " ", text)
        yield from re.findall(r"uwe-jax (\w+)([^\n`#|]*)", joined)


@functools.cache
def flags_of(command):
    """Returns the options in the help of a command, with underscores."""
    module = importlib.import_module(f"uwe_jax.commands.{command}")
    main = getattr(module, "main", None) or getattr(module, command)
    out = io.StringIO()
    for asked in [[mode, "--help"] for mode in module._MODES] if command == "benchmark" else [["--help"]]:
        with contextlib.redirect_stdout(out), contextlib.suppress(SystemExit):
            main(asked)
    return {"help", "config"} | {flag.replace("-", "_") for flag in re.findall(r"--([a-z][\w.-]*)", out.getvalue())}


FILES = [
    path
    for pattern in ("uwe_jax/**/*.py", "configs/*.py", "README.md", "docs/*.md", "launch/**/*.md")
    for path in sorted(ROOT.glob(pattern))
    if "uwe-jax " in path.read_text()
]


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_commands_and_flags_that_are_named_exist(path):
    for command, rest in commands(path):
        assert command in NAMES or command in ("X", "COMMAND"), f"uwe-jax {command}"
        for flag, setting in re.findall(r"(?:^|[\s[])--([\w-]+)((?:\.\w+)*)", rest):
            if flag + setting in ANY or command in ("X", "COMMAND"):
                continue
            named = flag.replace("-", "_")
            assert named in flags_of(command) or f"{named}{setting}" in flags_of(command), f"uwe-jax {command} --{flag}"
            if flag == "config" and setting and "source.parts." not in setting:
                settings = EnrichmentSettings if command == "enrich" else Config
                assert current_path(settings, setting[1:], None)[0] == setting[1:]  # no former name


def test_flags_are_spelled_as_in_the_help():
    known = set().union(*map(flags_of, NAMES))
    spelled_twice = {PACKAGE / "runtime" / "options.py", PACKAGE / "commands" / "enrich.py"}
    for pattern in ("uwe_jax/**/*.py", "README.md", "docs/*.md"):
        for path in ROOT.glob(pattern):
            named = re.findall(r"(?<![\w-])--([a-z][\w-]*_[\w-]*)(?!\w|\.\w)", path.read_text())
            wrong = {name for name in named if name.replace("-", "_") in known}
            assert not wrong or path in spelled_twice, f"{path.name}: {wrong}"


def next_lines(output):
    """Returns the commands under every "Next:" of an output."""
    return re.findall(r"^(?:uwe-jax|python) .*", "".join(output.split("Next:\n")[1:]), re.MULTILINE)


def words(line):
    module, *arguments = shlex.split(line.removeprefix("uwe-jax "))
    return module, arguments


@pytest.mark.slow  # two trainings; tests/test_every_command.py runs the commands themselves
def test_every_next_line_works_when_typed(small_run, sample_encoder, prepared_cache, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("UWE_JAX_CACHE", str(tmp_path / "no cache"))
    monkeypatch.setattr(report, "LARGER", str(shutil.copytree(sample_encoder, tmp_path / "larger")))
    # All that print one; another would have to be added here.
    printing = {str(path.relative_to(PACKAGE)) for path in PACKAGE.rglob("*.py") if "Next:" in path.read_text()}
    assert printing == {
        *("commands/combine.py", "commands/evaluate.py", "export/export.py"),
        *("retrieval/indexing.py", "training/report.py"),
    }
    quick = ("--config.workdir=my run", "--config.steps=1", "--config.evaluation.every=1")
    quick += ("--config.source.kinds=('job',)", "--config.evaluation.skip=('job_to_skill',)")
    to_type = [
        f"uwe-jax train {shlex.join([*small_run, *quick])}",
        f"uwe-jax combine {small_run[0]} {shlex.quote(small_run[4])} --out='my graphs'",
    ]
    typed = []
    while to_type:
        line = to_type.pop(0)
        command, arguments = words(line)
        if command == "python":
            exec(arguments[1])
            assert "another target" in capsys.readouterr().out
            continue
        module = importlib.import_module(f"uwe_jax.commands.{command}")
        answer_errors(lambda: (getattr(module, "main", None) or getattr(module, command))(arguments))  # noqa: B023
        said = capsys.readouterr()
        typed.append(line)
        to_type += [each for each in next_lines(said.out + said.err) if each not in [*typed, *to_type]]
    assert sorted(words(line)[0] for line in typed) == [
        *("combine", "describe", "export", "export", "index", "index", "rank", "rank", "train", "train")
    ]
    # The index has the run's name, and the query is of its targets.
    skill = Path("my run/skills.txt").read_text().splitlines()[0]
    ranked = ["--index", "indexes/my run", "--cache-dir", str(prepared_cache), skill]
    assert next(words(line)[1] for line in typed if words(line)[0] == "rank") == ranked
    assert Path("runs/mpnet/summary.json").is_file()
    assert Path("exported/uwe_jax.json").is_file()


def test_a_combined_training_goes_on_with_the_same_parts(monkeypatch, tmp_path):
    monkeypatch.chdir(ROOT)
    given = [
        "--config=configs/combined.py",
        "--config.source.path=my downloads",
        "--config.source.parts.onet.weight=0.5",
    ]
    run = read_command_line([*given, "--config.workdir=runs/first"], Config, "train")
    skills = tmp_path / "skills.txt"
    skills.write_text("- kitchen's pass\nb\n")
    _, rank, *_, last = next_commands(run, [*given, "--config.workdir=runs/first"], skills).splitlines()
    assert words(rank) == ("rank", ["--index", "indexes/first", "--", "- kitchen's pass"])
    module, arguments = words(last)
    following = read_command_line(arguments, Config, "train")
    assert module == "train"
    assert (following.source, following.batch) == (run.source, run.batch)
    assert (following.encoder.name, following.workdir) == ("sentence-transformers/all-mpnet-base-v2", "runs/mpnet")
    # Called from Python there is no file to name.
    assert "uwe-jax train" not in next_commands(run, ["-q", "tests"], skills)
