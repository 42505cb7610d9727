"""launch/tpu/babysit.sh: through preemptions, lost machines and crashes to the end of a command, and where it stops."""

import signal

import pytest
from tpu_land import TRAIN


def babysit(tpu, *arguments, **kwargs):
    return tpu.run("babysit", "--accelerator=v5litepod-8", "--spot", *arguments, *TRAIN, **kwargs)


def test_babysit_through_a_preemption(tpu):
    tpu.outcomes("preempt", "0")
    output = babysit(tpu, "--delete-when-done", "--attempts=1")
    assert "uwe-1 is lost (LOST SUSPENDED)" in output
    assert "Nothing is left of uwe-1" in output
    changes = [name for name in tpu.changing() if "queued" in name]
    assert changes == ["queued-resources create", "queued-resources delete"] * 2
    assert len(tpu.trained()) == 2
    assert "step 2" in (tpu.folder / "uwe-1-logs/worker-0.log").read_text()


def test_babysit_when_the_vm_is_gone_or_the_request_suspended(tpu):
    tpu.outcomes("vanish", "0")
    tpu.scenario(grants=["PROVISIONING SUSPENDED SUSPENDED"])
    output = babysit(tpu, "--attempts=1")
    assert len(tpu.calls("queued-resources create")) == 3
    assert "Done." in output
    assert "billed" in output.split("Done.")[1]


def test_babysit_repeats_75_without_counting_and_crashes_with(tpu):
    tpu.outcomes("75", "75", "137", "0")
    output = babysit(tpu, "--attempts=2")
    assert len(tpu.trained()) == 4
    assert "status 137: attempt 1 of 2" in output
    assert len(tpu.calls("queued-resources create")) == 1


@pytest.mark.parametrize("status", [2, 130])
def test_babysit_stops_where_somebody_has_to_act(tpu, status):
    tpu.outcomes(str(status))
    output = babysit(tpu, "--delete-when-done", status=status)
    assert len(tpu.trained()) == 1
    assert "launch/tpu/delete.sh" in output  # it still costs
    assert not tpu.calls("queued-resources delete")


def test_babysit_gives_up(tpu):
    tpu.outcomes("1", "1", "1")
    output = babysit(tpu, "--attempts=2", "--delete-always", status=1)
    assert "Gave up after 2 attempts" in output
    assert len(tpu.trained()) == 2
    assert tpu.calls("queued-resources delete")


@pytest.mark.thorough
def test_babysit_ends_the_others_when_one_worker_crashed(tpu):
    tpu.outcomes("wait 137", "0")
    tpu.scenario(workers=2)
    output = babysit(tpu, "--grace=0")
    assert "A worker ended with status 137" in output
    assert "status 137: attempt 1" in output
    assert len(tpu.trained()) == 4


@pytest.mark.parametrize("moment", ["at once", "while it pauses"])
def test_babysit_goes_on_watching(tpu, moment):
    tpu.outcomes("wait", "0")
    tpu.ready()
    tpu.run("run", *TRAIN)
    tpu.wait_for("waits-0")
    first = tpu.start("babysit", *TRAIN, PAUSE="60")  # which nobody waits for
    with first.stdout:
        assert any("watching that one" in line for line in first.stdout)
        if moment == "while it pauses":
            assert any("running: step 1" in line for line in first.stdout)
        first.send_signal(signal.SIGTERM)
        assert any("The same command watches again" in line for line in first.stdout)
        assert first.wait(timeout=20) == 130
    assert len(tpu.trained()) == 1
    assert "running" in tpu.run("status")


def test_babysit_does_not_take_silence_for_a_loss(tpu):
    tpu.ready()
    tpu.scenario(queued=["ACTIVE"], describe=["could not resolve tpu.googleapis.com"] * 3)
    output = babysit(tpu)
    assert "Google Cloud did not say how uwe-1 is" in output
    assert not tpu.calls("queued-resources delete", "queued-resources create")


def test_babysit_replaces_a_vm_that_does_not_answer(tpu):
    tpu.ready()
    tpu.outcomes("wait", "0")
    tpu.run("run", *TRAIN)
    tpu.wait_for("waits-0")
    tpu.scenario(queued=["ACTIVE"], ssh=[0, *[255] * 4])
    output = babysit(tpu)
    assert "was READY but did not answer, and was deleted: attempt 1" in output
    assert len(tpu.calls("queued-resources create")) == 1


def test_babysit_and_requests_that_fail(tpu):
    tpu.scenario(create=["UNAVAILABLE: later"], grants=["FAILED"])
    output = babysit(tpu, "--attempts=4")
    assert "could not be created: attempt 1 of 4" in output
    assert "no capacity in this zone" in output
    assert "Done." in output
    tpu.scenario(create=["Quota limit has been exceeded"])
    tpu.run("delete", "--yes")
    babysit(tpu, status=2)


def test_babysit_wants_a_bucket(tpu):
    assert "gs://" in tpu.run("babysit", "--", "python", "-m", "uwe_jax.train", status=2)
    assert not tpu.changing()
