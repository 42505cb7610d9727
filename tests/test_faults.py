"""Tests that training survives kills, SIGTERM, disk errors, damaged files, clock changes and silent hubs."""

import itertools
import os
import re
import shutil
import signal
import subprocess
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from faults import (
    assert_equal_ends,
    being_written,
    child_of,
    fill,
    hub_silent_from,
    mounted,
    newest,
    read_until,
    takes_signals,
    wait_until,
)
from training_processes import finish, several, start

from uwe_jax.training.metric_writer import read_metrics

pytestmark = pytest.mark.slow

STEPS, STEPS_OF_KILLED_RUNS = 12, 72
KILLS = 50
LANES = 2  # runs that are killed side by side


@pytest.fixture
def flags(small_run):
    """Flags of a run that saves at every step and evaluates now and then."""
    return [*small_run, f"--config.steps={STEPS}", "--config.evaluation.every=4", "--config.checkpoint_every=1"]


@pytest.fixture(scope="module")
def undisturbed_runs(tmp_path_factory):
    return tmp_path_factory.mktemp("undisturbed")


@pytest.fixture
def undisturbed(flags, undisturbed_runs):
    """The workdir of an uninterrupted run, trained once."""
    workdir = undisturbed_runs / "one"
    if not (workdir / "summary.json").exists():
        completed(flags, workdir)
    return workdir


def into(flags, workdir):
    return [*flags, f"--config.workdir={workdir}"]


def completed(flags, workdir, **how):
    """Runs the command to its end; returns its output."""
    ((status, output),) = finish([start(into(flags, workdir), **how)])
    assert status == 0, output
    return output


def refused(flags, workdir, **how):
    """Runs a command that must exit with status 2; returns its output."""
    ((status, output),) = finish([start(into(flags, workdir), **how)])
    assert_a_sentence(status, output)
    return output


def assert_a_sentence(status, output, noise=False):
    """Status and sentence, and nothing but it unless threads of libraries may add noise of their own."""
    assert status == 2, output
    assert re.search(r"^Error: \w", output, re.MULTILINE), output
    assert noise or "Traceback" not in output, output


def kill_again_and_again(flags, workdir, kills, seed, life):
    """Kills processes of one run; returns how many of them were writing a checkpoint."""
    rng = np.random.default_rng(seed)
    moments = itertools.cycle(["any", "training", "writing"])
    hit = in_a_write = 0
    for _ in range(3 * kills):
        before, left_over = newest(workdir), being_written(workdir)
        process = start(into(flags, workdir))
        moment = next(moments)
        if moment == "any" or before == STEPS_OF_KILLED_RUNS:
            time.sleep(rng.uniform(0, life))
        elif moment == "training":
            wait_until(lambda before=before: newest(workdir) > before, process)
            time.sleep(rng.uniform(0, 0.5))
        else:
            wait_until(lambda left_over=left_over: being_written(workdir) - left_over, process)
            time.sleep(rng.uniform(0, 0.1))
        process.send_signal(signal.SIGKILL)
        output, _ = process.communicate()
        assert process.returncode in (-signal.SIGKILL, 0), output
        assert "Traceback" not in output, output
        hit += process.returncode != 0
        in_a_write += process.returncode != 0 and bool(being_written(workdir) - left_over)
        if hit == kills:
            break
    assert hit == kills
    return in_a_write


def test_a_run_killed_at_fifty_moments_ends_like_one_that_was_not(flags, tmp_path):
    flags = [*flags, f"--config.steps={STEPS_OF_KILLED_RUNS}", "--config.evaluation.every=12"]
    began = time.monotonic()
    completed(flags, tmp_path / "undisturbed")
    life = time.monotonic() - began
    workdirs = [tmp_path / f"killed-{lane}" for lane in range(LANES)]
    with ThreadPoolExecutor(LANES) as pool:
        lanes = [
            pool.submit(kill_again_and_again, flags, workdir, -(-KILLS // LANES), seed, life / 2)
            for seed, workdir in enumerate(workdirs)
        ]
        in_a_write = sum(lane.result() for lane in lanes)
        print(f"{KILLS} processes killed, {in_a_write} of them in the middle of writing a checkpoint")
        assert in_a_write >= KILLS // 10
        list(pool.map(lambda workdir: completed(flags, workdir), workdirs))
    for workdir in workdirs:
        assert_equal_ends(workdir, tmp_path / "undisturbed")


def ask_to_stop_again_and_again(flags, workdir, times, seed, life):
    """Sends SIGTERM to processes of one run, to every other one twice."""
    rng = np.random.default_rng(seed)
    statuses = []
    for number in range(times):
        process = start(into(flags, workdir))
        wait_until(lambda process=process: takes_signals(process), process)
        time.sleep(rng.uniform(0, life))
        process.send_signal(signal.SIGTERM)
        if number % 2:
            time.sleep(rng.uniform(0, 1))
            process.send_signal(signal.SIGTERM)
        ((status, output),) = finish([process], seconds=120)
        statuses.append(status)
        assert status in (75, 0), output
        assert "Traceback" not in output, output
        assert status == 0 or "same command" in output, output
    return statuses


def test_a_run_asked_to_stop_at_random_moments_ends_like_one_that_was_not(flags, undisturbed, tmp_path):
    # Saving is left to the request.
    flags = [*flags, "--config.checkpoint_every=100"]
    began = time.monotonic()
    completed(flags, tmp_path / "again")
    life = time.monotonic() - began
    workdirs = [tmp_path / f"stopped-{lane}" for lane in range(LANES)]
    with ThreadPoolExecutor(LANES) as pool:
        lanes = [
            pool.submit(ask_to_stop_again_and_again, flags, workdir, 6, seed, life)
            for seed, workdir in enumerate(workdirs)
        ]
        statuses = [status for lane in lanes for status in lane.result()]
        print(f"asked to stop: {statuses}")
        assert 75 in statuses
        list(pool.map(lambda workdir: completed(flags, workdir), workdirs))
    for workdir in (tmp_path / "again", *workdirs):
        assert_equal_ends(workdir, undisturbed, saved_alike=False)


def test_an_interrupted_evaluation_is_repeated(flags, undisturbed, tmp_path):
    workdir = tmp_path / "run"
    process = start(flags)
    seen = read_until(process, "Step 4: encoding")
    process.send_signal(signal.SIGTERM)
    ((status, output),) = finish([process])
    assert status == 75, seen + output
    assert "that of step 4. Re-run the same command to resume" in output
    rows = [row for row in read_metrics(workdir / "metrics.jsonl") if row["step"] == 4]
    assert len(rows) == 1
    assert "loss" in rows[0]  # and no validation
    completed(flags, workdir)
    assert_equal_ends(workdir, undisturbed)


@pytest.fixture
def interrupted(flags, undisturbed_runs, tmp_path):
    """A copy of the workdir of a run that was killed right after its checkpoint of step 8, which it had validated."""
    workdir = undisturbed_runs / "killed"
    if not workdir.exists():
        process = start(into(flags, workdir))
        wait_until(lambda: newest(workdir) >= 8, process)
        process.send_signal(signal.SIGKILL)
        process.communicate()
        for later in range(9, newest(workdir) + 1):
            shutil.rmtree(workdir / "checkpoints" / str(later))
    return shutil.copytree(workdir, tmp_path / "run")


def cut_short(path):
    os.truncate(path, path.stat().st_size // 2)


def flip_a_bit(path):
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(bytes(content))


def largest_in(folder):
    return max((path for path in folder.rglob("*") if path.is_file()), key=lambda path: path.stat().st_size)


@pytest.mark.parametrize(
    ("part", "damage"),
    [
        ("state/ocdbt.process_0/d", flip_a_bit),
        ("state/ocdbt.process_0/d", cut_short),
        ("state/manifest.ocdbt", cut_short),
        ("state/_METADATA", flip_a_bit),
        ("meta/metadata", flip_a_bit),
    ],
)
def test_a_damaged_checkpoint_costs_the_steps_since_the_one_before(flags, interrupted, undisturbed, part, damage):
    path = interrupted / "checkpoints/8" / part
    damage(largest_in(path) if path.is_dir() else path)
    output = completed(flags, interrupted)
    assert re.search("checkpoint of step 8 (cannot be read|is damaged)", output), output
    assert f"Moved the checkpoint of step 8 to {interrupted}/damaged_checkpoints/8-" in output
    assert f"after step 7 of {STEPS}" in output
    assert_equal_ends(interrupted, undisturbed)


@pytest.mark.parametrize("damage", [flip_a_bit, cut_short])
def test_damaged_metrics_of_a_checkpoint_cost_nothing(flags, interrupted, undisturbed, damage):
    damage(interrupted / "checkpoints/8/metrics/metrics")
    assert f"after step 8 of {STEPS}" in completed(flags, interrupted)
    assert_equal_ends(interrupted, undisturbed)


def test_a_full_disk_is_reported_and_nothing_is_lost(flags, undisturbed, tmp_path):
    with mounted(tmp_path / "disk", ["-t", "tmpfs", "tmpfs"], "size=4m"):
        disk = tmp_path / "disk"
        workdir = disk / "run"

        ballast = fill(disk)
        assert f"Cannot write to the workdir {workdir}: No space left on device" in refused(flags, workdir)

        ballast.unlink()
        ballast = fill(disk, but=200_000)  # for small files
        output = refused(flags, workdir)
        assert re.search(r"Cannot save a checkpoint: [\d.]+ kB are free, a checkpoint needs [\d.]+ kB", output), output
        assert "No checkpoint was saved yet" in output

        # In the middle of writing a checkpoint, then of metrics.jsonl.
        for more, begun in ((1, lambda: newest(workdir) and being_written(workdir)), (100, lambda: rows(workdir) > 10)):
            ballast.unlink()
            process = start(into([*flags, f"--config.checkpoint_every={more}"], workdir))
            assert wait_until(begun, process), finish([process])
            ballast = fill(disk)
            ((status, output),) = finish([process])
            assert_a_sentence(status, output, noise=True)
            # The latter where the disk was already full when the next save began.
            assert re.search("No space left on device|Cannot save a checkpoint: .* are free", output), output
            if more == 1:
                assert f"The last good checkpoint in {workdir}/checkpoints is that of step" in output

        ballast.unlink()
        assert "Resuming" in completed(flags, workdir)
        assert_equal_ends(workdir, undisturbed)


def rows(workdir):
    return len(read_metrics(workdir / "metrics.jsonl"))


def test_a_read_only_disk_is_reported_before_training(flags, tmp_path):
    with mounted(tmp_path / "disk", ["-t", "tmpfs", "tmpfs"]) as remount:
        (tmp_path / "disk" / "begun" / "checkpoints").mkdir(parents=True)
        remount("ro")
        for name in ("new", "begun"):
            output = refused(flags, tmp_path / "disk" / name)
            assert "Read-only file system" in output
            assert f"Cannot write to the workdir {tmp_path / 'disk' / name}" in output
            assert "Step 0" not in output


def test_a_disk_that_turns_read_only_is_reported_and_nothing_is_lost(flags, undisturbed, tmp_path):
    image = tmp_path / "image"
    with image.open("wb") as file:
        file.truncate(32 * 2**20)
    made = subprocess.run(["mkfs.ext4", "-q", "-F", str(image)], capture_output=True, text=True, check=False)
    if made.returncode:
        pytest.skip(f"no ext4 can be made here: {made.stderr}")
    workdir = tmp_path / "disk" / "run"
    with mounted(tmp_path / "disk", [str(image)], "loop") as remount:
        process = start(into(flags, workdir))
        assert wait_until(lambda: newest(workdir) >= 5, process), finish([process])
        os.sync()
        remount("abort")  # what the kernel does when the disk beneath fails
        ((status, output),) = finish([process])
        assert_a_sentence(status, output, noise=True)
        assert re.search("Read-only file system|Input/output error", output), output
    subprocess.run(["fsck.ext4", "-fy", str(image)], capture_output=True, check=False)
    with mounted(tmp_path / "disk", [str(image)], "loop"):
        assert "Resuming" in completed(flags, workdir)
        assert_equal_ends(workdir, undisturbed)


@pytest.mark.parametrize("jump", [3600, -86400])
def test_a_clock_that_jumps_changes_nothing(flags, undisturbed, tmp_path, jump):
    workdir, wrong_by = tmp_path / "run", tmp_path / "seconds"
    wrong_by.write_text("0")
    how = {"environment": {"PYTHONPATH": str(Path(__file__).parent / "jumping_clock"), "CLOCK_WRONG_BY": str(wrong_by)}}
    process = start(flags, **how)
    assert wait_until(lambda: newest(workdir) >= 3, process), finish([process])
    wrong_by.write_text(str(jump))
    assert wait_until(lambda: newest(workdir) >= 6, process), finish([process])
    process.send_signal(signal.SIGKILL)
    process.communicate()
    wrong_by.write_text(str(-2 * 86400))  # before all that was saved
    assert "Resuming" in completed(flags, workdir, **how)
    assert_equal_ends(workdir, undisturbed)


@pytest.mark.parametrize("silent_from", ["the start", "the weights"])
def test_a_hub_that_does_not_answer_ends_the_command_in_bounded_time(flags, tmp_path, silent_from):
    with hub_silent_from(silent_from) as address:
        environment = {
            "HF_ENDPOINT": address,
            "HF_HOME": str(tmp_path / "hub"),
            "HF_HUB_OFFLINE": "0",
            "HF_HUB_DOWNLOAD_TIMEOUT": "2",  # seconds, of which the hub's client waits several times as many
        }
        named = [*flags, "--config.encoder.name=someone/never-answered"]
        began = time.monotonic()
        output = refused(named, tmp_path / "run", environment=environment)
    assert "No encoder 'someone/never-answered' was found" in output
    assert ("no answer within 8 seconds" if silent_from == "the start" else "timed out") in output
    assert time.monotonic() - began < 120  # of which imports take the most on a busy machine


def test_two_processes_resume_after_either_is_killed_or_freezes(flags, tmp_path):
    flags = [*flags, "--config.steps=48", "--config.evaluation.every=24"]
    with several(into(flags, tmp_path / "undisturbed"), 2) as started:
        assert [status for status, _ in finish(started)] == [0, 0]
    workdir = tmp_path / "run"
    for lost, number in ((1, signal.SIGKILL), (0, signal.SIGKILL), (1, signal.SIGSTOP), (0, signal.SIGSTOP)):
        before = newest(workdir)
        with several(flags, 2) as started:
            assert wait_until(lambda before=before: newest(workdir) > before + 2, started[0]), finish(started)
            os.kill(child_of(started[lost]), number)
            began = time.monotonic()
            ((status, output),) = finish([started[1 - lost]], seconds=120)
            took = time.monotonic() - began
            assert status == 75, (lost, number, output)
            assert took < 60, (lost, number, output)  # the timeout is 10 seconds
            assert "Re-run the same command to resume from the last checkpoint" in output, (lost, number, output)
            if number == signal.SIGSTOP:  # who wakes up finds itself alone; JAX may be quicker than we are to end it
                os.kill(child_of(started[lost]), signal.SIGCONT)
            ((status, output),) = finish([started[lost]], seconds=120)
            assert status in ((75, 134) if number == signal.SIGSTOP else (137,)), (lost, output)
    with several(flags, 2) as started:
        ended = finish(started)
    assert [status for status, _ in ended] == [0, 0], ended
    assert "Resuming" in ended[0][1]
    assert_equal_ends(workdir, tmp_path / "undisturbed")
