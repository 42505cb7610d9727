"""A stand-in for Google Cloud, and calls of the scripts of `launch/tpu` in it."""

import contextlib
import os
import shutil
import signal
import subprocess
import time
from pathlib import Path

ROOT = Path(__file__).parents[1]
TRAIN = ("--", "python", "-m", "uwe_jax.train", "--config=configs/x.py", "--config.workdir=gs://bucket/a run")
# Commands that only look.
READING = {
    "auth list",
    "config get-value",
    "services list",
    "queued-resources describe",
    "tpu-vm describe",
    "tpu-vm list",
}
# What a worker has: uv that makes an environment with a python that trains, unless a file says it has no such Python.
UV = r"""#!/usr/bin/env bash
echo "$@" >>"$STAND_IN/uv-calls"
[[ $1 == venv ]] || exit 0
version= folder=${!#}
while (($#)); do [[ $1 != --python ]] || version=$2; shift; done
[[ ! -e $STAND_IN/no-python-$version ]] || exit 1
[[ $version == *.*.* ]] || version=$version.99
mkdir -p "$folder/bin"
echo "$version" >"$folder/version"
cp "$STAND_IN/python" "$folder/bin/python"
"""
# The next line of `outcomes` says what training does, with a word for each worker: a status to end with, `wait` for
# SIGTERM, `preempt` or `vanish` the TPU VM.
PYTHON = r"""#!/usr/bin/env bash
case $1/$2 in
  -c/*platform*) echo "$(<"${0%/*}/../version")"; exit 0 ;;
  -c/*) exit 0 ;;
esac
echo "worker $WORKER: $*" >>"$STAND_IN/trained"
echo >>"$STAND_IN/attempts-$WORKER"
mapfile -t attempts <"$STAND_IN/attempts-$WORKER"
mapfile -t outcomes <"$STAND_IN/outcomes"
read -ra words <<<"${outcomes[${#attempts[@]} - 1]}"
echo "step ${#attempts[@]}"
outcome=${words[$WORKER]:-${words[0]}}
case $outcome in
  wait) trap 'exit 75' TERM; echo $$ >>"$STAND_IN/waiting"
    echo >"$STAND_IN/waits-$WORKER"
    while :; do sleep 0.05; done ;;
  preempt) echo >"$STAND_IN/preempted"; exit 143 ;;
  vanish) echo >"$STAND_IN/vanished"; exit 143 ;;
esac
exit "$outcome"
"""


def commit_launch(folder):
    """A checkout in the folder, of one commit with the launch scripts, which need nothing else of the project."""
    shutil.copytree(ROOT / "launch", folder / "launch")
    env = {**os.environ, "GIT_CONFIG_GLOBAL": "/dev/null", "GIT_CONFIG_SYSTEM": "/dev/null"}
    identity = ("-c", "user.name=t", "-c", "user.email=t@example.org")
    for command in (("init", "-q"), ("add", "."), (*identity, "commit", "-q", "-m", "launch")):
        subprocess.run(["git", "-C", folder, *command], env=env, check=True)
    return folder


class TpuLand:
    """A stand-in cloud, and calls of the scripts in it."""

    def __init__(self, checkout, folder):
        self.checkout, self.folder = checkout, folder
        (folder / "bin").mkdir()
        (folder / "tools").mkdir()
        (folder / "bin/gcloud").symlink_to(ROOT / "tests/stand_in_gcloud.sh")
        hostname = "#!/bin/sh\necho w-$WORKER\n"
        for path, text in (("python", PYTHON), ("tools/uv", UV), ("tools/hostname", hostname)):
            (folder / path).write_text(text)
            (folder / path).chmod(0o755)
        self.outcomes("0")
        self.env = {
            **os.environ, "PATH": f"{folder}/bin:{os.environ['PATH']}", "STAND_IN": str(folder), "PAUSE": "0",
            "RETRIES": "4", "PROJECT": "p", "ZONE": "z", "NAME": "uwe-1", "PYTHON_VERSION": "3.11.7",
        }  # fmt: skip
        for name in ("ACCELERATOR", "SPOT", "DRY_RUN", "ATTEMPTS", "GRACE"):
            self.env.pop(name, None)

    def scenario(self, **what):
        """Files of the stand-in: of a list the lines, of anything else the text."""
        for name, value in what.items():
            lines = value if isinstance(value, list) else [value]
            (self.folder / name).write_text("".join(f"{line}\n" for line in lines))

    def outcomes(self, *lines):
        self.scenario(outcomes=list(lines))

    def start(self, script, *arguments, **env):
        command = [self.checkout / f"launch/tpu/{script}.sh", *arguments]
        env = {**self.env, **env}
        return subprocess.Popen(
            command, env=env, cwd=self.folder, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT, text=True,
        )  # fmt: skip

    def run(self, script, *arguments, status=0, **env):
        """Output of a script, standard output and error together."""
        process = self.start(script, *arguments, **env)
        output, _ = process.communicate(timeout=60)
        assert process.returncode == status, output
        return output

    def ready(self, **scenario):
        """A TPU VM that is there and set up, and a new record of calls."""
        self.scenario(queued=["ACTIVE"], **scenario)
        self.run("setup")
        (self.folder / "calls").unlink()

    def calls(self, *names):
        """Arguments of the calls so far; of those commands alone, if any are named."""
        path = self.folder / "calls"
        found = [call.split("\n") for call in path.read_text().split("\n\n")[:-1]] if path.exists() else []
        return [call for call in found if not names or self.name(call) in names]

    @staticmethod
    def name(call):
        words = [word for word in call if not word.startswith("--")]
        return " ".join(words[2:4] if words[:2] == ["compute", "tpus"] else words[:2])

    def changing(self):
        return [name for call in self.calls() if (name := self.name(call)) not in READING]

    def trained(self):
        path = self.folder / "trained"
        return path.read_text().splitlines() if path.exists() else []

    def wait_for(self, name):
        deadline = time.monotonic() + 20
        while not (self.folder / name).exists():
            assert time.monotonic() < deadline, f"no {name}"
            time.sleep(0.01)


@contextlib.contextmanager
def tpu_land(checkout, folder):
    """A `TpuLand` in an empty folder; what was started there ends with it."""
    try:
        yield TpuLand(checkout, folder)
    finally:
        # Trainings that wait outlive their connection, as they should, and here also the machine that they ran on.
        waiting = folder / "waiting"
        for pid in waiting.read_text().split() if waiting.exists() else ():
            with contextlib.suppress(ProcessLookupError):
                os.kill(int(pid), signal.SIGKILL)
