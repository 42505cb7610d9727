"""launch/local.sh: starts a killed run again, and leaves a run alone that ended well or on bad input."""

import os
import subprocess
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[1] / "launch" / "local.sh"


@pytest.mark.parametrize(
    ("statuses", "calls", "ends_with"),
    [((0,), 1, 0), ((137, 1, 0), 3, 0), ((2,), 1, 2), ((130,), 1, 130), ((137, 137, 137), 3, 1)],
)
def test_restarts(tmp_path, statuses, calls, ends_with):
    # A stand-in for Python that records its arguments and ends with the next status.
    python = tmp_path / "python"
    python.write_text(
        "#!/usr/bin/env bash\n"
        '[ "$1" = -c ] && exit 0\n'
        f'echo "$@" >> "{tmp_path}/calls"\n'
        f"statuses=({' '.join(map(str, statuses))})\n"
        f'exit "${{statuses[$(($(wc -l < "{tmp_path}/calls") - 1))]}}"\n'
    )
    python.chmod(0o755)
    env = {**os.environ, "PYTHON": str(python), "ATTEMPTS": "3", "PAUSE": "0"}
    done = subprocess.run([SCRIPT, "--config=x.py"], env=env, capture_output=True, text=True, check=False)
    assert done.returncode == ends_with, done.stderr
    lines = (tmp_path / "calls").read_text().splitlines()
    assert lines == ["-m uwe_jax.train --config=x.py"] * calls
