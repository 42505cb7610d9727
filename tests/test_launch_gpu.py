"""launch/: several processes on one machine, and Slurm, with stand-ins for what the scripts start."""

import os
import re
import signal
import subprocess
import time
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PROCESSES = ROOT / "launch" / "processes.sh"
SLURM = ROOT / "launch" / "slurm.sh"

# Instead of Python: answers what the scripts ask, and trains by PLAN_K, or PLAN_K_ATTEMPT, of process K: seconds and
# status. SIGTERM and SIGINT are answered as training does, unless STUBBORN names the process.
PYTHON = r"""#!/usr/bin/env bash
case "$*" in
  *"import socket"*) echo 4711; exit ;;
  *read_command_line*) printf '%s\n' "a warning" "$WORKDIR"; exit ;;
  *"import uwe_jax"*) [[ "${BROKEN_NODE:-none}" != "${SLURM_PROCID:-0}" ]]; exit ;;
esac
k=${SLURM_PROCID:-${*: -1}}
k=${k##*=}
attempt=$(find . -name "start.$k.*" | wc -l)
echo "$*" >"start.$k.$attempt"
if [[ ${STUBBORN:-none} == "$k" ]]; then trap '' TERM; else trap 'echo saved; exit 75' TERM; fi
trap 'exit 130' INT
echo "${CUDA_VISIBLE_DEVICES:-all} ${JAX_LOCAL_DEVICE_IDS:-own} ${SRUN_CPUS_PER_TASK:-any}" >"devices.$k"
echo "out of $k"
echo "err of $k" >&2
plan=PLAN_${k}_$attempt
[[ -v $plan ]] || plan=PLAN_$k
read -r seconds status <<<"${!plan:-0 0}"
# No subshell: bash can lose a SIGINT that arrives while one is forked.
now() { local t=$EPOCHREALTIME; micros=${t//[.,]/}; }
now
end=$((micros + seconds * 1000000))
while now && ((micros < end)); do sleep 0.05; done
exit "$status"
"""

# Instead of srun: a process for each task, and the highest status of all. With PREEMPT every process of a step of
# training gets SIGTERM once all have started, as from Slurm; UNSHARED is the node that does not see the workdir.
SRUN = r"""#!/usr/bin/env bash
tasks=$SLURM_NTASKS
echo "$*" >>srun.calls
while [[ $1 == --* ]]; do
  [[ $1 == --ntasks=* ]] && tasks=${1#*=}
  shift
done
training=$([[ $4 == task ]] && echo yes)
pids=() status=0
for ((k = 0; k < tasks; k++)); do
  command=("$@")
  [[ -z $training && ${UNSHARED:-none} == "$k" ]] && command=("${@:1:5}" /nowhere/token)
  SLURM_PROCID=$k setsid "${command[@]}" &
  pids+=($!)
done
if [[ -n $training && -v PREEMPT ]]; then
  until (($(find . -name 'devices.*' | wc -l) == tasks)); do sleep 0.02; done
  for pid in "${pids[@]}"; do kill -TERM -- "-$pid"; done
fi
for pid in "${pids[@]}"; do
  ended=0
  wait "$pid" || ended=$?
  ((ended <= status)) || status=$ended
done
exit "$status"
"""

SCONTROL = r"""#!/usr/bin/env bash
echo "$*" >>scontrol.calls
[[ $1 == show ]] && echo "   JobState=${STATE:-RUNNING} Reason=None"
[[ $1 != requeue ]] || exit "${REQUEUE:-0}"
"""


@pytest.fixture
def launch(tmp_path):
    """Starts a script in an empty folder, with the stand-ins on the PATH and further variables."""
    for name, text in {"python": PYTHON, "srun": SRUN, "scontrol": SCONTROL}.items():
        (tmp_path / name).write_text(text)
        (tmp_path / name).chmod(0o755)

    def start(script: Path, *arguments: str, **variables: object) -> subprocess.Popen:
        # A copy: processes.sh goes to the top of its project, which the calls are to be recorded in.
        copy = tmp_path / "launch" / script.name
        copy.parent.mkdir(exist_ok=True)
        copy.write_bytes(script.read_bytes())
        clean = {key: value for key, value in os.environ.items() if not key.startswith(("SLURM_", "JAX_", "CUDA_"))}
        env = clean | {"PATH": f"{tmp_path}:{os.environ['PATH']}", "PAUSE": "0", "WORKDIR": "runs/x"}
        env |= {key: str(value) for key, value in variables.items()}
        return subprocess.Popen(
            ["bash", copy, *arguments], env=env, cwd=tmp_path, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE
        )

    def run(script: Path, *arguments: str, **variables: object) -> tuple[int, str, str]:
        process = start(script, *arguments, **variables)
        output, errors = process.communicate(timeout=30)
        return process.returncode, output, errors

    run.start = start
    run.folder = tmp_path
    return run


def recorded(folder: Path, pattern: str) -> list[str]:
    return [path.read_text().strip() for path in sorted(folder.glob(pattern))]


# ---- launch/processes.sh --------------------------------------------------------------------------------------------


def test_processes_join_over_loopback(launch):
    status, output, errors = launch(PROCESSES, "3", "--config=x.py", "--config.name=a b", GPUS="4,5,7")
    assert status == 0, errors
    flags = "--config.distributed.coordinator=127.0.0.1:4711 --config.distributed.processes=3"
    assert recorded(launch.folder, "start.*") == [
        f"-m uwe_jax.train --config=x.py --config.name=a b {flags} --config.distributed.process={k}" for k in range(3)
    ]
    assert recorded(launch.folder, "devices.*") == ["4 own any", "5 own any", "7 own any"]
    # The first process writes as it would alone.
    assert sorted(output.splitlines()) == sorted(
        ["out of 0", "[1] out of 1", "[1] err of 1", "[2] out of 2", "[2] err of 2"]
    )
    assert errors.splitlines() == ["err of 0"]


@pytest.mark.parametrize(
    ("ends", "verdict"),
    [
        ((0, 0), 0),
        ((75, 2), 2),
        ((2, 130), 2),
        ((75, 130), 130),
        ((137, 75), 75),
        ((0, 75), 75),
        ((0, 9, 1), 9),
        ((75, 1), 1),
    ],
)
def test_verdict_over_processes(launch, ends, verdict):
    plans = {f"PLAN_{k}": f"0 {status}" for k, status in enumerate(ends)}
    assert launch(PROCESSES, str(len(ends)), "--config=x.py", **plans)[0] == verdict


def test_processes_left_alone_are_ended(launch):
    status, output, errors = launch(PROCESSES, "2", "--config=x.py", PLAN_0="60 0", PLAN_1="0 137", GRACE=1)
    assert status == 75, errors
    assert "saved" in output
    assert "Process 1 ended with status 137; the others have 1 seconds to notice." in errors
    assert "SIGKILL" not in errors


def test_a_process_that_does_not_end_is_killed(launch):
    plans = {"PLAN_0": "60 0", "PLAN_1": "1 1", "STUBBORN": 0}  # whose trap is set by then
    status, _, errors = launch(PROCESSES, "2", "--config=x.py", GRACE=0, **plans)
    assert status == 1, errors  # that of the crash, not of the kill that it led to
    assert errors.index("SIGTERM") < errors.index("SIGKILL")


@pytest.mark.parametrize(("sent", "verdict"), [(signal.SIGTERM, 75), (signal.SIGINT, 130)])
def test_signals_are_passed_on(launch, sent, verdict):
    process = launch.start(PROCESSES, "2", "--config=x.py", PLAN_0="60 0", PLAN_1="60 0")
    deadline = time.monotonic() + 20
    while len(recorded(launch.folder, "devices.*")) < 2 and time.monotonic() < deadline:
        time.sleep(0.02)
    process.send_signal(sent)
    process.communicate(timeout=20)
    assert process.returncode == verdict


@pytest.mark.parametrize(
    ("arguments", "variables", "complaint"),
    [
        ((), {}, "number of processes"),
        (("two", "--config=x.py"), {}, "'two'"),
        (("0", "--config=x.py"), {}, "'0'"),
        (("2",), {}, "What is to be trained"),
        (("2", "--config=x.py"), {"GPUS": "0,1,2"}, "names 3 GPUs for 2 processes"),
        (("2", "--config=x.py"), {"BROKEN_NODE": 0}, "uwe_jax is not installed"),
    ],
)
def test_processes_refused(launch, arguments, variables, complaint):
    status, _, errors = launch(PROCESSES, *arguments, **variables)
    assert status == 2
    assert complaint in errors
    assert not recorded(launch.folder, "start.*")


# ---- launch/slurm.sh ------------------------------------------------------------------------------------------------

TWO_NODES = {"SLURM_JOB_ID": 77, "SLURM_JOB_NUM_NODES": 2, "SLURM_NTASKS": 2}


def test_slurm_asks_for_what_the_script_relies_on():
    asked = set(re.findall(r"^#SBATCH (\S+)", SLURM.read_text(), re.MULTILINE))
    assert {"--requeue", "--open-mode=append", "--ntasks-per-node=1"} <= asked
    # To the tasks, not to the batch shell alone (B:), which waits for them.
    assert any(re.fullmatch(r"--signal=TERM@\d{3,}", flag) for flag in asked)


def test_slurm_trains_once_on_every_task(launch):
    status, _, errors = launch(SLURM, "--config=x.py", "--config.name=a b", **TWO_NODES, SLURM_CPUS_PER_TASK=6)
    assert status == 0, errors
    assert recorded(launch.folder, "start.*") == ["-m uwe_jax.train --config=x.py --config.name=a b"] * 2
    assert recorded(launch.folder, "devices.*") == ["all own 6"] * 2
    assert not (launch.folder / "scontrol.calls").exists()
    assert not any((launch.folder / "runs" / "x").iterdir()), "what the check wrote is gone"


@pytest.mark.parametrize(
    ("plans", "verdict", "attempts", "requeued"),
    [
        ({"PLAN_0": "0 75", "PLAN_1": "0 75"}, 75, 1, True),
        ({"PLAN_0": "0 75", "PLAN_1": "0 75", "STATE": "CANCELLED"}, 75, 1, False),
        ({"PLAN_0": "0 75", "PLAN_1": "0 75", "REQUEUE": 1}, 75, 1, True),
        ({"PLAN_0": "0 75", "PLAN_1": "0 2"}, 2, 1, False),  # srun alone would end with 75
        ({"PLAN_0": "0 75", "PLAN_1": "0 130"}, 130, 1, False),
        ({"PLAN_0_0": "0 137", "PLAN_1_0": "0 75"}, 0, 2, False),
        ({"PLAN_0": "0 1", "PLAN_1": "0 75", "ATTEMPTS": 2}, 1, 2, False),  # a crash, not a stop
        ({"PLAN_0": "0 1", "ATTEMPTS": 2}, 1, 2, False),
    ],
)
def test_slurm_by_exit_status(launch, plans, verdict, attempts, requeued):
    status, _, errors = launch(SLURM, "--config=x.py", **TWO_NODES, **plans)
    assert status == verdict, errors
    assert len(recorded(launch.folder, "start.0.*")) == attempts
    calls = "".join(recorded(launch.folder, "scontrol.calls")).splitlines()
    assert ("requeue 77" in calls) is requeued
    assert ("submit the same command again" in errors) is ("REQUEUE" in plans)


def test_slurm_time_limit(launch):
    plans = {"PLAN_0": "60 0", "PLAN_1": "60 0", "PREEMPT": 1}
    status, output, errors = launch(SLURM, "--config=x.py", **TWO_NODES, **plans)
    assert (status, output.count("saved")) == (75, 2), errors
    assert "requeue 77" in recorded(launch.folder, "scontrol.calls")[0]


@pytest.mark.parametrize(("tasks", "gpus", "devices"), [(2, 4, "0,1,2,3"), (8, 4, "own"), (2, 1, "own"), (6, 0, "own")])
def test_slurm_gives_tasks_their_gpus(launch, tasks, gpus, devices):
    variables = TWO_NODES | {"SLURM_NTASKS": tasks} | ({"SLURM_GPUS_ON_NODE": gpus} if gpus else {})
    assert launch(SLURM, "--config=x.py", **variables)[0] == 0
    assert recorded(launch.folder, "devices.*") == [f"all {devices} any"] * tasks


@pytest.mark.parametrize(
    ("variables", "complaint"),
    [
        ({}, "Submit it: sbatch"),
        (TWO_NODES | {"SLURM_NTASKS": 3}, "3 tasks cannot be spread evenly over 2 nodes"),
        (TWO_NODES | {"SLURM_NTASKS": 4, "SLURM_GPUS_ON_NODE": 8}, "2 tasks on a node of 8 GPUs"),
        (TWO_NODES | {"SLURM_GPUS_PER_TASK": 1, "SLURM_GPUS_ON_NODE": 1}, "--gpus-per-node instead"),
        (TWO_NODES | {"UNSHARED": 1}, "the workdir has to be shared"),
        (TWO_NODES | {"BROKEN_NODE": 1}, "python cannot import uwe_jax"),
        (TWO_NODES | {"WORKDIR": "/proc/no"}, "Nothing can be written to the workdir /proc/no"),
    ],
)
def test_slurm_refused(launch, variables, complaint):
    status, _, errors = launch(SLURM, "--config=x.py", **variables)
    assert status == 2, errors
    assert complaint in errors
    assert not recorded(launch.folder, "start.*")


def test_slurm_leaves_a_bucket_alone(launch):
    status, _, errors = launch(SLURM, "--config=x.py", **TWO_NODES, WORKDIR="gs://bucket/run", UNSHARED="none")
    assert status == 0, errors
    assert not (launch.folder / "gs:").exists()


@pytest.mark.parametrize("script", [PROCESSES, SLURM])
def test_help(launch, script):
    status, output, _ = launch(script, "--help")
    assert status == 0
    assert f"launch/{script.name} " in output
    assert not re.search("^(#|set )", output, re.MULTILINE)
