"""Tests of the command line as a whole: overview, help, completion, and suggestions for typos."""

import contextlib
import importlib
import io
import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from uwe_jax import __version__
from uwe_jax.__main__ import NAMES, main
from uwe_jax.commands import train
from uwe_jax.runtime.command import EXIT_UNREAD
from uwe_jax.runtime.errors import UserError
from uwe_jax.runtime.printable import printable

ROOT = Path(__file__).parents[1]


def test_the_overview_lists_every_command_with_a_line(capsys):
    main([])
    out = capsys.readouterr().out
    for name, line in NAMES.items():
        assert re.search(rf"^  {name} +{re.escape(line)}$", out, re.MULTILINE)
    assert max(map(len, out.splitlines())) <= 80
    main(["--version"])
    assert capsys.readouterr().out == f"uwe-jax {__version__}\n"


@pytest.mark.parametrize("name", sorted(NAMES))
@pytest.mark.parametrize("arguments", [[], ["--help"]])
def test_every_command_describes_its_options(name, arguments, capsys, monkeypatch):
    # What a training does to its process, the process of the tests is spared.
    monkeypatch.setattr(train, "run", train.main)
    monkeypatch.setenv("COLUMNS", "80")
    if (name, arguments) == ("train", []):  # its settings fill screens
        with pytest.raises(UserError, match=r"--config is required.* Run `uwe-jax train --help`\."):
            main([name])
        return
    with contextlib.suppress(SystemExit):
        main([name, *arguments])
    out = capsys.readouterr().out
    assert f"uwe-jax {name}" in out
    assert "--" in out
    assert [line for line in out.splitlines() if len(line.rstrip()) > 80 and " " in line.strip()] == []
    assert not re.search(r"\(default:\s+(''|)\)", out)
    about = re.split("(?m)^╭|^Settings,", out)[0]
    assert re.findall(r"(?m)^ .*\n(?=\S)", about) == []  # a paragraph follows an empty line
    told = re.sub(r" \\\n +", " ", importlib.import_module(f"uwe_jax.commands.{name}").ABOUT)
    typed = re.sub(r" \\\n +", " ", about).splitlines()
    commands = [line for line in told.splitlines() if re.match(r"  .*uwe-jax (?!.*  )", line)]
    assert [line for line in commands if line not in typed] == []  # whole, when their lines are joined


@pytest.mark.parametrize(
    "arguments", [[], *([name, "--help"] for name in sorted(NAMES)), ["tag", "--no-such"]], ids=str
)
def test_output_that_is_not_read_to_its_end_ends_a_command_quietly(arguments, monkeypatch):
    monkeypatch.setattr(train, "run", train.main)
    reading, writing = os.pipe()
    os.close(reading)
    with os.fdopen(writing, "w") as closed:
        monkeypatch.setattr(sys, "stderr" if "--no-such" in arguments else "stdout", closed)
        with pytest.raises(SystemExit) as end:
            main(arguments)
    assert end.value.code == EXIT_UNREAD


def test_a_broken_connection_keeps_its_traceback(monkeypatch, tmp_path):
    def run(_):
        raise BrokenPipeError

    monkeypatch.setattr(train, "run", run)
    with (tmp_path / "out").open("w") as out:
        monkeypatch.setattr(sys, "stdout", out)
        monkeypatch.setattr(sys, "stderr", out)
        with pytest.raises(BrokenPipeError):
            main(["train"])


def test_the_help_of_train_describes_every_setting(capsys):
    train.main(["--help"])
    out = capsys.readouterr().out
    assert "quickstart" in out
    assert "--config.profile {True,False}" in out
    assert "no_profile" not in out
    for setting in ("--config.steps INT", "--config.batch.global_batch_size INT", "--config.optimiser.learning_rate"):
        assert setting in out


def test_the_help_of_evaluate_names_the_columns_of_a_task_folder(capsys):
    with contextlib.suppress(SystemExit):
        main(["evaluate", "--help"])
    told = " ".join(capsys.readouterr().out.split())
    assert "queries.csv and targets.csv (columns id, text) and relevant.csv (query_id, target_id)" in told


@pytest.mark.thorough_after(4)
@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["rnk"], "Did you mean 'rank'?"),
        (["train", "--config=quickstrt"], "Did you mean 'quickstart'?"),
        (["train", "--config=quickstart", "--config.evaluate_every=3"], "Did you mean evaluation.every?"),
        (["train", "--config=quickstart", "--config.batch.size=3"], "Did you mean batch.global_batch_size?"),
        (["train", "--config=quickstart", "--config.scorer.kind=sotf"], "Did you mean 'soft'?"),
        (["rank", "--indx", "x"], "--index"),
        (["rank", "--ind\x1b[2J\u202eex", "x"], r"--ind\x1b[2J\u202eex"),
        (["rank", "--top-k", "\x9b2J", "x"], r"\x9b2J"),
    ],
)
def test_a_typo_is_answered_with_a_suggestion(arguments, message):
    found = subprocess.run([sys.executable, "-m", "uwe_jax", *arguments], capture_output=True, text=True, check=False)
    assert found.returncode == 2
    assert message in found.stderr
    assert found.stderr == printable(found.stderr)
    assert "Traceback" not in found.stderr


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--versoin"], "no option '--versoin'. Did you mean '--version'?"),
        (["index", "--dtype", "flaot16"], "--dtype is 'flaot16'; it must be one of .* Did you mean 'float16'?"),
        (["index", "--dtype=flaot16"], "Did you mean 'float16'?"),
        (["index", "--max-tokens", "abc"], "--max-tokens is 'abc'; it must be a whole number."),
        (["teach", "--weights", "1,.5,1"], "--weights is '1,.5,1'; it must be whole numbers with commas between."),
        (
            ["index", "--model", "m", "--out", "x", "--targets", "occ.csvv"],
            "There is no occ.csvv. Did you mean 'occ.csv'?",
        ),
        (["rank", "nurse", "--index", "indexes/ocs"], "There is no folder indexes/ocs. Did you mean 'indexes/occ'?"),
        (["evaluate", "--model", "bm25", "--tasks", "mytsk"], "There is no task 'mytsk'. Did you mean 'mytask'?"),
        (["evaluate", "--model", "bm25", "--tasks", "./mytsk"], "/mytsk does not exist. Did you mean "),
        (["evaluate", "--model", "bm25", "--data", "indxes"], "is not a folder. Did you mean 'indexes'?"),
    ],
)
def test_a_typo_of_what_is_on_disk_or_of_an_option_is_answered_at_once(
    arguments, message, tmp_path, monkeypatch, capsys
):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "indexes" / "occ").mkdir(parents=True)
    (tmp_path / "mytask").mkdir()
    (tmp_path / "occ.csv").write_text("title\nnurse\n")
    with pytest.raises(SystemExit) as end:
        main(arguments)
    assert end.value.code == 2
    err = capsys.readouterr().err
    assert all(part in err for part in message.split(".* ")), err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--confg=quickstart"], "Unknown option --confg. Did you mean '--config'?"),
        (["--config=quickstart", "--steps=3"], "Unknown option --steps. Did you mean '--config.steps'?"),
        (["--config=quickstrt"], "--config cannot be read: there is no file quickstrt. Did you mean 'quickstart'?"),
        (["--config=quickstart", "--config.steps=abc"], "config.steps is 'abc'; it must be a whole number."),
        (["--config=quickstart", "--config.profile=abc"], "config.profile is 'abc'; it must be true or false."),
        (["--config=quickstart", "--config.optimiser.learning_rate=a: b"], "rate is 'a: b'; it must be a number."),
    ],
)
def test_a_typo_in_the_settings_of_a_training_is_answered_in_its_words(arguments, message):
    with pytest.raises(UserError) as caught:
        train.main(arguments)
    assert message in str(caught.value)
    assert "Errno" not in str(caught.value)


@pytest.fixture(scope="module")
def completion(tmp_path_factory):
    """Returns the completions that bash offers for the last word of a command line."""
    out = io.StringIO()
    with contextlib.redirect_stdout(out):
        main(["--print-completion", "bash"])
    script = tmp_path_factory.mktemp("completion") / "uwe-jax.bash"
    script.write_text(out.getvalue())

    def complete(*typed):
        call = (
            f'source {script}; function=$(complete -p uwe-jax | sed "s/.*-F \\([^ ]*\\).*/\\1/"); '
            'COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); $function; printf "%s\\n" "${COMPREPLY[@]}"'
        )
        found = subprocess.run(
            ["bash", "-c", call, "bash", "uwe-jax", *typed], capture_output=True, text=True, check=True
        )
        assert not found.stderr
        return found.stdout.split()

    return complete


@pytest.mark.thorough_after(3)
@pytest.mark.parametrize(
    ("typed", "expected"),
    [
        (("",), set(NAMES)),
        (("tr",), {"train", "transfer"}),
        (("rank", "--ind"), {"--index"}),
        (("evaluate", "--split", "te"), {"test"}),
        (("train", "--config.batch.glo"), {"--config.batch.global-batch-size"}),
        (("benchmark", ""), {"scoring", "rank", "training", "pipeline"}),
    ],
)
def test_a_shell_completes_commands_options_and_settings(completion, typed, expected):
    assert expected <= set(completion(*typed))


@pytest.mark.thorough_after(3)
@pytest.mark.parametrize("name", ["train", "index", "serve", "transfer", "enrich", "teach"])
def test_a_shell_completes_every_option_of_the_help(completion, name, capsys, monkeypatch):
    monkeypatch.setattr(train, "run", train.main)
    with contextlib.suppress(SystemExit):
        main([name, "--help"])
    told = set(re.findall(r"^[│|]? *(--[a-z][\w.-]+)", capsys.readouterr().out, re.MULTILINE))
    assert told
    assert {flag.replace("_", "-") for flag in told} <= set(completion(name, "--"))


def test_completion_of_another_shell_is_refused(capsys):
    with pytest.raises(SystemExit, match="2"):
        main(["--print-completion", "csh"])
    assert "must be one of bash, zsh, fish" in capsys.readouterr().err


def test_every_file_of_the_package_is_installed_with_it():
    declared = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]["package-data"]
    installed = {
        path
        for package, patterns in declared.items()
        for pattern in patterns
        for path in ROOT.joinpath(*package.split(".")).glob(pattern)
    }
    inside = {path for path in (ROOT / "uwe_jax").rglob("*") if path.is_file() and "__pycache__" not in path.parts}
    assert {path for path in inside - installed if path.suffix != ".py"} == set()
