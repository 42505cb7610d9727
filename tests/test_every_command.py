"""Every command once, in an empty folder: those that rank, train and serve as the installed `uwe-jax`."""

import contextlib
import json
import os
import re
import subprocess
import sysconfig
import urllib.request
from pathlib import Path

import pytest

from uwe_jax.__main__ import NAMES, main

PROGRAM = Path(sysconfig.get_path("scripts"), "uwe-jax")
LOADING = {"average", "calibrate", "export", "index", "rank", "serve", "teach", "train"}
INSTALLED = {"rank", "serve", "train"}  # a start of each takes seconds


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("empty")


@pytest.fixture(scope="module")
def call(folder, sample_encoder):
    """Runs one command line; its standard output. The environment has what a user's shell has."""
    # And what makes the suite's programs fast to compile.
    names = ("PATH", "HOME", "PYTHONPATH", "XLA_FLAGS", *(name for name in os.environ if name.startswith("JAX_")))
    environment = {name: os.environ[name] for name in names if name in os.environ}
    environment["XLA_FLAGS"] += " --xla_force_host_platform_device_count=1"
    environment |= {"UWE_JAX_CACHE": str(folder / "cache"), "HF_HUB_OFFLINE": "1", "ENCODER": str(sample_encoder)}
    called = []

    def run(*arguments):
        called.append(arguments[0])
        done = subprocess.run(
            [str(PROGRAM), *arguments], cwd=folder, env=environment, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    run.called, run.environment = called, environment
    return run


SMALL = (
    "--config.workdir=runs/first",
    *("--config.steps=1", "--config.evaluation.every=1", "--config.batch.global_batch_size=8"),
    *("--config.source.kinds=('job',)", "--config.evaluation.texts_per_device=16"),
    *("--config.evaluation.max_queries=8", "--config.evaluation.max_test_queries=8"),
)


@pytest.mark.thorough
@pytest.mark.skipif(not PROGRAM.exists(), reason="the package is not installed")
def test_models_are_made_and_used_from_an_empty_folder(folder, call, sample_encoder, monkeypatch, capsys):
    monkeypatch.chdir(folder)
    monkeypatch.setenv("UWE_JAX_CACHE", call.environment["UWE_JAX_CACHE"])
    done = []

    def here(*arguments):
        done.append(arguments[0])
        main(arguments)
        return capsys.readouterr().out

    encoder = f"--config.encoder.name={sample_encoder}"
    (folder / "skills.csv").write_text("id,label,family\n1,drive forklift,logistics\n2,plan menus,food\n")
    assert "drive forklift" in call("rank", f"--model={sample_encoder}:soft", "--targets=skills.csv", "forklift driver")
    call("train", "--config=quickstart", encoder, *SMALL)
    assert json.loads((folder / "runs/first/summary.json").read_text())
    here("index", "--model=runs/first", "--targets=skills.csv", "--out=indexes/skills")
    (folder / "pairs.csv").write_text("query,target_id\n" + "".join(f"driver {k},1\n" for k in range(60)))
    assert "ECE" in here("calibrate", "--index=indexes/skills", "--pairs=pairs.csv")
    (folder / "jobs.csv").write_text("title,description\ndriver,You drive a forklift.\n")
    assert "1 query" in here("teach", "--model=runs/first", "--queries=jobs.csv", "--targets=skills.csv", "--out=t.npz")
    hits = here("rank", "--index=indexes/skills", "--where=family=logistics", "--json", "head chef")
    assert [hit["id"] for hit in json.loads(hits)["hits"]["skills"]] == ["1"]
    here("export", "--model=runs/first", "--out=exported")
    here("average", "--model=runs/first", "--model=runs/first", "--out=averaged")
    sizes = [(folder / name / "model.safetensors").stat().st_size for name in ("exported", "averaged")]
    assert sizes[0] == sizes[1]
    with subprocess.Popen(
        [str(PROGRAM), "serve", "--index=indexes/skills", "--port=0"],
        cwd=folder,
        env=call.environment,
        stderr=subprocess.PIPE,
        text=True,
    ) as service:
        call.called.append("serve")
        # A port that was free a moment ago may be taken by now; the service names the one it has, where it listens.
        named = (re.search(r"Listening at (http://\S+)", line) for line in service.stderr)
        address = next(found[1] for found in named if found)
        with urllib.request.urlopen(address, timeout=300) as page:
            assert b"<html" in page.read()
        service.terminate()
        assert service.wait(60) == 0, service.stderr.read()
    assert (set(call.called), {*call.called, *done}) == (INSTALLED, LOADING)


def test_every_other_command_works_from_an_empty_folder(sample_encoder, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("UWE_JAX_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("ENCODER", str(sample_encoder))
    encoder = f"--config.encoder.name={sample_encoder}"
    Path("skills.csv").write_text("id,label,family\n1,drive forklift,logistics\n2,plan menus,food\n")
    Path("jobs.csv").write_text("title,description\nDriver,You drive a forklift in our warehouse every day.\n")
    task = Path("task")
    task.mkdir()
    (task / "queries.csv").write_text("id,text\nq,forklift driver\n")
    (task / "targets.csv").write_text("id,text\n1,drive forklift\n2,plan menus\n")
    (task / "relevant.csv").write_text("query_id,target_id\nq,1\n")
    planned = (encoder, "--dry_run", "--tasks=task", "--data=.")
    lines = [
        ("combine", "--config=quickstart", "--out=graphs"),
        ("describe", "--config=quickstart", encoder, "--out=described"),
        ("tag", "--vacancies=jobs.csv", "--taxonomy=skills.csv", "--out=tagged"),
        ("evaluate", "--model=bm25", "--data=.", "--tasks=task", "--out=evaluated"),
        ("transfer", "--config=quickstart", *planned),
        ("ablate", "--config=ablation", *planned),
        ("enrich", "--config=enrich", "--dry_run=1"),
        ("benchmark", "scoring", "--help"),
    ]
    for line in lines:
        with contextlib.suppress(SystemExit) if line[-1] == "--help" else contextlib.nullcontext():
            main(line)
        assert capsys.readouterr().out, line
    assert json.loads(Path("evaluated/results.json").read_text())["complete"]
    assert {name for name, *_ in lines} | LOADING == set(NAMES)
