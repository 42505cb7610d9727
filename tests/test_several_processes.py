"""Several processes of one training, for real, over loopback: what they end with, and how they stop."""

import json
import os
import signal
import subprocess
import sys
import textwrap
import time

import jax
import numpy as np
import pytest
from test_train import run
from training_processes import ROOT, finish, free_port, saved_state, several, start

from uwe_jax.training.metric_writer import read_metrics


def wait_for_steps(workdir, steps, processes):
    """Returns when so many steps are on record, or one of the processes has ended."""
    while len(read_metrics(workdir / "metrics.jsonl")) < steps and all(each.poll() is None for each in processes):
        time.sleep(0.05)


def run_twice(script, *arguments):
    """Outputs of a script, given a port, its index and the arguments, in two processes that end with status 0."""
    port = free_port()
    started = [
        subprocess.Popen(
            [sys.executable, "-c", textwrap.dedent(script), str(port), str(index), *map(str, arguments)],
            cwd=ROOT,
            env={**os.environ, "JAX_PLATFORMS": "cpu", "XLA_FLAGS": ""},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        for index in range(2)
    ]
    try:
        ended = finish(started, seconds=60)
    finally:
        for process in started:
            process.kill()
    assert [status for status, _ in ended] == [0, 0], ended
    return [output for _, output in ended]


def assert_equal_parameters(one, other):
    """Equal but for the order in which devices are summed over.

    The bias of the attention's keys has no gradient but rounding, which Adam blows up to whole steps.
    """
    for (path, a), b in zip(
        jax.tree_util.tree_leaves_with_path(one["params"]), jax.tree.leaves(other["params"]), strict=True
    ):
        name = jax.tree_util.keystr(path)
        if "['key']['bias']" not in name:
            np.testing.assert_allclose(a, b, atol=1e-5, err_msg=name)


@pytest.fixture
def flags(small_run):
    """Steps that rounding does not blow up."""
    return [*small_run, "--config.optimiser.learning_rate=0.001"]


@pytest.mark.slow  # a minute of processor time
def test_two_processes_end_like_one(flags, tmp_path, monkeypatch):
    together, alone = tmp_path / "together", tmp_path / "alone"
    with several([*flags, f"--config.workdir={together}"], 2, devices=4) as started:
        assert run([*flags, f"--config.workdir={alone}"], monkeypatch) == 0
        first, second = finish(started)
    assert (first[0], second[0]) == (0, 0), first[1] + second[1]
    assert "2 processes train together on 8 devices" in first[1]
    assert "macro-average" in first[1]
    # One of them speaks; Gloo's own lines aside.
    assert not [line for line in second[1].splitlines() if line and "[Gloo]" not in line], second[1]
    assert_equal_parameters(saved_state(together, 6), saved_state(alone, 6))
    written = {path.parent.name for path in (together / "checkpoints/6/state").glob("ocdbt.process_*/manifest.ocdbt")}
    assert written == {"ocdbt.process_0", "ocdbt.process_1"}
    summaries = [json.loads((folder / "summary.json").read_text()) for folder in (together, alone)]
    assert summaries[0]["before"] == summaries[1]["before"]
    rows = [read_metrics(folder / "metrics.jsonl") for folder in (together, alone)]
    assert [row["step"] for row in rows[0]] == [row["step"] for row in rows[1]]


@pytest.mark.slow
def test_another_number_of_processes_goes_on(flags, tmp_path):
    alone = tmp_path / "alone"
    long = [*flags, "--config.steps=40", "--config.evaluation.every=20", "--config.checkpoint_every=100"]
    ((status, output),) = finish([start([*long, f"--config.workdir={alone}"], devices=4)])
    assert status == 0, output
    for processes, devices in ((2, 2), (4, 1)):
        with several(long, processes, devices=devices) as started:
            wait_for_steps(tmp_path / "run", 6 * processes, started)
            started[-1].send_signal(signal.SIGTERM)  # any of them: they agree on the step
            ended = finish(started)
        assert [status for status, _ in ended] == [75] * processes, ended
        assert "Re-run the same command to resume" in ended[0][1]
    ((status, output),) = finish([start(long, devices=2)])
    assert status == 0, output
    assert "Resuming" in output
    assert_equal_parameters(saved_state(tmp_path / "run", 40), saved_state(alone, 40))


@pytest.mark.slow
@pytest.mark.parametrize("lost", [0, 1])
def test_a_lost_process_ends_the_other_with_a_sentence(flags, tmp_path, lost):
    with several([*flags, "--config.steps=100000"], 2) as started:
        wait_for_steps(tmp_path / "run", 5, started)
        started[lost].send_signal(signal.SIGKILL)
        began = time.monotonic()
        status, output = finish([started[1 - lost]], seconds=120)[0]
    assert status == 75, output
    assert time.monotonic() - began < 60  # the timeout is 10 seconds
    sentence = "the first process, at 127.0.0.1" if lost == 0 else "process 1 has sent no heartbeat"
    assert sentence in output or "the first process does not answer" in output
    assert "Re-run the same command to resume from the last checkpoint" in output


@pytest.mark.slow
def test_what_one_process_cannot_read_none_goes_on_from(tmp_path):
    """A shared file system that shows one of them something else, or a bucket that once gives it no answer."""
    script = """
        import sys
        from pathlib import Path
        import jax, numpy as np
        port, index, folder = int(sys.argv[1]), int(sys.argv[2]), Path(sys.argv[3])
        jax.distributed.initialize(f"127.0.0.1:{port}", 2, index, cluster_detection_method="deactivate")
        from uwe_jax.training.checkpoint import Checkpoints
        state = lambda step: {"w": np.full((64, 64), step, np.float32)}
        checkpoints = Checkpoints(folder)
        for step in (1, 2):
            checkpoints.save(step, state(step), {"validation": None}, None)
            checkpoints.wait()
        read = checkpoints._reader.restore
        def cannot(step, **more):
            if step == 2 and index == 1:
                raise OSError("no answer")
            return read(step, **more)
        checkpoints._reader.restore = cannot
        restored = checkpoints.restore(state(0))
        checkpoints._reader.restore = read
        assert restored.step == 1 and (restored.state["w"] == 1).all()
        checkpoints.quarantine_after(1)
        checkpoints.save(2, state(3), {"validation": None}, None)
        checkpoints.wait()
        checkpoints.save(2, state(3), {"validation": 5.0}, 5.0)
        assert checkpoints.best_step() == 2 and checkpoints.read_meta(2)["validation"] == 5.0
        checkpoints.close()
        """
    ended = run_twice(script, tmp_path / "c")
    assert "Process 1 cannot read the checkpoint of step 2. Trying the previous one." in ended[0]


@pytest.mark.slow
def test_without_pmap_processes_compute_the_same():
    run_twice(
        """
        import sys
        import jax, numpy as np
        port, index = int(sys.argv[1]), int(sys.argv[2])
        jax.config.update("jax_num_cpu_devices", 2)
        jax.distributed.initialize(f"127.0.0.1:{port}", 2, index, cluster_detection_method="deactivate")
        from uwe_jax.distributed import parallel
        def step(state, whole, rows):
            mean = parallel.mean_over_devices(rows.sum())
            every = parallel.gather(rows)
            matrix = parallel.exchange(rows[:, None] * every[None, :])
            return {"step": state["step"] + 1, "w": state["w"] + mean * whole}, (every, matrix)
        whole, rows = np.arange(3.0, dtype=np.float32), np.arange(4.0, dtype=np.float32) + 10 * index
        results = []
        for pmap in (True, False):
            parallel.PMAP = pmap
            program = parallel.parallel(step, donate=(0,), in_axes=(0, None, 0))
            before = state = parallel.replicate({"step": np.int32(0), "w": np.ones(3, np.float32)})
            program.lower(state, whole, parallel.shard_rows(rows)).compile()
            for _ in range(2):
                state, others = program(state, whole, parallel.shard_rows(rows))
            assert before["w"].is_deleted() and state["w"].is_fully_addressable
            assert int(parallel.first(state)["step"]) == 2
            results.append([np.asarray(leaf) for leaf in jax.tree.leaves((state, others))])
        assert [each.shape for each in results[0]] == [(2,), (2, 3), (2, 8), (2, 2, 8)]
        for left, right in zip(*results, strict=True):
            np.testing.assert_array_equal(left, right)
        """
    )


@pytest.mark.slow
def test_bad_input_of_one_process_ends_all_of_them(flags):
    with several(flags, 2, last=["--config.encoder.name=./no-such-folder"]) as started:
        (first, second) = finish(started, seconds=120)
    assert (first[0], second[0]) == (2, 2), first[1] + second[1]
    assert "process 1 ended: " in first[1]
    assert "no-such-folder" in first[1]
    assert "no-such-folder" in second[1]
