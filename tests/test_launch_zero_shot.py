"""launch/zero_shot.sh: writes each result once, resumes after a failure, other encoders, missing files."""

import functools
import importlib
import os
import shlex
import subprocess
from pathlib import Path

import pytest

from uwe_jax.config import Config
from uwe_jax.runtime.config_file import read_command_line, split_arguments
from uwe_jax.runtime.options import read_options

SCRIPT = Path(__file__).parents[1] / "launch" / "zero_shot.sh"
RESULTS = (
    "first_run/summary.json",
    "first",
    "occupations.npz",
    "titles.npz",
    "spans",
    "sentences.npz",
    "vacancies.npz",
    "taught_run/summary.json",
    "taught",
    "taught_again_run/summary.json",
    "export",
)


@pytest.fixture
def recipe(tmp_path):
    """Runs the script with a stand-in for Python that records its arguments and writes what the command would."""
    for file in ("esco/zip", "onet/zip", "usajobs/table", "skillskape/train.csv", "skillspan/train.json"):
        path = tmp_path / "downloads" / file
        path.parent.mkdir(parents=True)
        path.touch()
    python = tmp_path / "python"
    python.write_text(
        "#!/usr/bin/env bash\n"
        '[ "$1" = -c ] && exit 0\n'
        f'printf "%q " "$@" >> "{tmp_path}/calls"; echo >> "{tmp_path}/calls"\n'
        f'[ "$(wc -l < "{tmp_path}/calls")" != "${{FAILS_AT:-0}}" ] || exit 2\n'
        'out=$(sed -E "s/.*--(out|config.workdir)[ =]([^ ]*).*/\\2/" <<<"$*")\n'
        'if [ "$2" = uwe_jax.train ]; then mkdir -p "$out"; out=$out/summary.json; fi\n'
        'touch "$out"\n'
    )
    python.chmod(0o755)

    def run(*arguments, **env):
        env = {**os.environ, "PYTHON": str(python), **env}
        arguments = arguments or (tmp_path / "downloads", tmp_path / "made")
        done = subprocess.run([SCRIPT, *arguments], env=env, capture_output=True, text=True, timeout=60)
        calls = tmp_path / "calls"
        return done, [shlex.split(line) for line in calls.read_text().splitlines()] if calls.exists() else []

    return run


def test_it_writes_each_result_once_and_resumes_after_a_failure(recipe, tmp_path):
    done, calls = recipe(FAILS_AT="5")
    assert (done.returncode, len(calls)) == (2, 5)
    done, calls = recipe()
    assert done.returncode == 0, done.stderr
    assert len(calls) == len(RESULTS) + 1  # the fifth again, the others once
    assert all((tmp_path / "made" / result).exists() for result in RESULTS)
    assert len(recipe()[1]) == len(calls), "a finished recipe has nothing left to do"


def test_each_training_continues_the_one_before_and_reads_all_scores(recipe, tmp_path):
    _, calls = recipe()
    scores = {f"{tmp_path}/made/{result}" for result in RESULTS if result.endswith(".npz")}
    for variant, before in ((":taught", "first"), (":taught_again", "taught")):
        call = next(call for call in calls if any(argument.endswith(variant) for argument in call))
        assert f"--config.encoder.name={tmp_path}/made/{before}" in call
        (paths,) = (argument for argument in call if argument.startswith("--config.loss.distillation.path="))
        assert set(paths.partition("=")[2].split(",")) == scores


def test_it_takes_another_encoder_and_settings(recipe):
    _, calls = recipe(ENCODER="all-mpnet-base-v2", SETTINGS="--config.encoder.dtype=bfloat16 --config.seed=1")
    first, *taught = (call for call in calls if "uwe_jax.train" in call)
    assert "--config.encoder.name=all-mpnet-base-v2" in first
    assert not any("--config.encoder.name=all-mpnet-base-v2" in each for each in taught)
    for training in (first, *taught):
        assert {"--config.encoder.dtype=bfloat16", "--config.seed=1"} <= set(training)


def test_it_reports_missing_files_before_anything_runs(recipe, tmp_path):
    (tmp_path / "downloads" / "skillspan" / "train.json").unlink()
    done, calls = recipe()
    assert done.returncode == 2
    assert f"no skillspan/train.json in {tmp_path}/downloads" in done.stderr
    done, calls = recipe(tmp_path, tmp_path, tmp_path)
    assert done.returncode == 2
    assert "3 arguments" in done.stderr
    (tmp_path / "downloads" / "skillspan" / "train.json").touch()
    done, calls = recipe(tmp_path / "downloads", tmp_path / "a,b")
    assert done.returncode == 2
    assert "a,b has a comma" in done.stderr
    assert not calls


def test_each_of_its_commands_is_understood(recipe):
    read_config = functools.partial(read_command_line, settings=Config, command="train")
    _, calls = recipe()
    for _, module, *arguments in calls:
        if module == "uwe_jax.train":
            read_config(arguments)
        else:
            command, *arguments = arguments
            of_config, others = split_arguments(arguments)
            options = importlib.import_module(f"uwe_jax.commands.{command}").Options
            read_options(options, others, command=command, about="")
            if of_config:
                read_config(of_config)
