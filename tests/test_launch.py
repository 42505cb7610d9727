"""launch/local.sh: starts a killed run again, leaves alone one that ended well or on bad input, passes signals on."""

import os
import signal
import subprocess
import time
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[1] / "launch" / "local.sh"


@pytest.fixture
def local(tmp_path):
    """Starts the script with a stand-in for Python that records its arguments and does the next of `outcomes`."""

    def start(*outcomes, **env):
        python = tmp_path / "python"
        python.write_text(
            "#!/usr/bin/env bash\n"
            '[ "$1" = -c ] && exit 0\n'
            f'echo "$@" >> "{tmp_path}/calls"\n'
            f"outcomes=({' '.join(map(str, outcomes))})\n"
            f'outcome=${{outcomes[$(($(wc -l < "{tmp_path}/calls") - 1))]}}\n'
            '[ "$outcome" = wait ] || exit "$outcome"\n'
            # As training does it: what it has is saved first, and that takes its time.
            f'trap "touch {tmp_path}/asked; sleep 0.3; touch {tmp_path}/saved; exit 75" TERM\n'
            'trap "exit 130" INT\n'
            f'echo $$ > "{tmp_path}/waits"; while :; do sleep 0.02; done\n'
        )
        python.chmod(0o755)
        env = {**os.environ, "PYTHON": str(python), "ATTEMPTS": "3", "PAUSE": "0", **env}
        return subprocess.Popen([SCRIPT, "--config=x.py"], env=env, stderr=subprocess.PIPE, text=True)

    return start


def wait_for(path):
    deadline = time.monotonic() + 20
    while not path.exists():
        assert time.monotonic() < deadline, f"no {path}"
        time.sleep(0.01)


@pytest.mark.parametrize(
    ("statuses", "calls", "ends_with"),
    [
        ((0,), 1, 0),
        ((137, 1, 0), 3, 0),
        ((2,), 1, 2),
        ((130,), 1, 130),
        ((137, 137, 137), 3, 1),
        ((75, 75, 137, 75, 75, 1, 0), 7, 0),  # 75 does not count
        ((75, 137, 137, 75, 137), 5, 1),
    ],
)
def test_restarts(local, tmp_path, statuses, calls, ends_with):
    process = local(*statuses)
    _, errors = process.communicate(timeout=30)
    assert process.returncode == ends_with, errors
    lines = (tmp_path / "calls").read_text().splitlines()
    assert lines == ["-m uwe_jax.train --config=x.py"] * calls


@pytest.mark.parametrize(("signals", "ends_with"), [([signal.SIGTERM] * 2, 75), ([signal.SIGINT], 130)])
def test_signals_go_on_to_the_training_and_end_it(local, tmp_path, signals, ends_with):
    process = local("wait", 0)
    wait_for(tmp_path / "waits")
    for number in signals:
        process.send_signal(number)
        if number == signal.SIGTERM:
            wait_for(tmp_path / "asked")
    _, errors = process.communicate(timeout=20)
    assert process.returncode == ends_with, errors
    assert (tmp_path / "saved").exists() == (ends_with == 75), "it has to be waited for"
    assert len((tmp_path / "calls").read_text().splitlines()) == 1


def test_a_paused_training_is_waited_for(local, tmp_path):
    process = local("wait", 0)
    wait_for(tmp_path / "waits")
    time.sleep(0.2)
    training = int((tmp_path / "waits").read_text())
    os.kill(training, signal.SIGSTOP)
    with pytest.raises(subprocess.TimeoutExpired):
        process.wait(timeout=1)
    os.kill(training, signal.SIGCONT)
    process.send_signal(signal.SIGTERM)
    _, errors = process.communicate(timeout=20)
    assert (process.returncode, errors) == (75, "")
    assert len((tmp_path / "calls").read_text().splitlines()) == 1


def test_sigterm_between_two_attempts(local, tmp_path):
    process = local(137, 0, PAUSE="60")
    wait_for(tmp_path / "calls")
    time.sleep(0.2)
    process.send_signal(signal.SIGTERM)
    process.communicate(timeout=20)
    assert process.returncode in (75, 137)  # 137 where it came before the pause
    assert len((tmp_path / "calls").read_text().splitlines()) == 1
