"""The step is compiled once, ahead, and refused with both numbers and the two knobs where it cannot fit."""

from types import SimpleNamespace

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import monitoring

from uwe_jax.config import BatchSettings, Config
from uwe_jax.distributed import parallel
from uwe_jax.runtime.errors import UserError
from uwe_jax.training import fit, step_log
from uwe_jax.training.fit import CompiledStep, Room, host_memory, knobs, memory_errors_as_sentence, planned, room
from uwe_jax.training.metric_writer import MetricWriter
from uwe_jax.training.step_log import StepLog

GIB = 2**30
SETTINGS = BatchSettings(global_batch_size=512)


class Counted:
    """A step that counts how often it is traced; `size` decides on what it needs."""

    def __init__(self, size=4):
        self.traces = 0
        self.parallel = parallel.parallel(lambda state, batch: self.step(state, batch, size), donate=(0,))

    def step(self, state, batch, size):
        self.traces += 1
        total = sum(parallel.mean_over_devices(leaf.sum()) for leaf in jax.tree.leaves(batch))
        table = jnp.sort(jnp.exp(jnp.arange(size, dtype=jnp.float32)[:, None] * jnp.ones((1, size)) + total), axis=1)
        return state + table[0].mean(), {"loss": total, "gradient_norm": total}


@pytest.fixture
def compiled():
    """How many programs JAX has compiled, or read from its cache on disk, since the list was emptied."""
    found = []

    def listener(name, seconds, **_):
        if name.endswith("backend_compile_duration"):
            found.append(seconds)

    monitoring.register_event_duration_secs_listener(listener)
    yield found
    monitoring.unregister_event_duration_listener(listener)


def state_and_batch(rows=16):
    return parallel.replicate(np.float32(1.0)), parallel.shard_rows({"x": np.ones((rows, 2), np.float32)})


def test_it_is_compiled_ahead_and_never_again(compiled, capsys):
    counted = Counted()
    step = CompiledStep(counted.parallel, SETTINGS)
    state, batch = state_and_batch()
    compiled.clear()
    step.prepare(state, batch)
    assert (counted.traces, len(compiled)) == (1, 1)
    assert "Compiled the step in" in capsys.readouterr().err
    for _ in range(3):
        state, metrics = step(state, batch)
    assert (counted.traces, len(compiled)) == (1, 1)
    np.testing.assert_allclose(metrics["loss"], np.full(8, 4.0))

    # A batch of other graphs, as parts that are drawn apart give them, is another program.
    other = {"y": batch["x"]}
    for _ in range(2):
        state, _ = step(state, other)
        state, _ = step(state, batch)
    assert (counted.traces, len(compiled)) == (2, 2)
    assert "Compiled the step in" in capsys.readouterr().err


def test_what_it_says_are_the_compilers_numbers(capsys, monkeypatch):
    counted = Counted(size=3000)
    state, batch = state_and_batch()
    plan = planned(counted.parallel.lower(state, batch).compile())
    assert plan.temporary >= 3000 * 3000 * 4
    monkeypatch.setattr(fit, "room", lambda: Room(5 * GIB, 4 * GIB, is_host=False))
    step = CompiledStep(counted.parallel, SETTINGS)
    step.prepare(state, batch)
    err = capsys.readouterr().err
    assert f"needs {plan.total / 2**20:.1f} MiB per device" in err
    assert "a device has 5.0 GiB." in err
    assert "Warning" not in err
    facts = step.facts()
    assert facts["planned_bytes"] == plan.total
    assert facts["compile_seconds"] > 0
    assert set(step.facts()) == {"process_peak_bytes"}  # what compiling took is said once


def test_a_step_that_cannot_fit_is_refused_before_it_runs():
    # 15 TiB a device.
    counted = Counted(size=2_000_000)
    state, batch = state_and_batch()
    step = CompiledStep(counted.parallel, SETTINGS)
    for ask in (step.prepare, step):
        with pytest.raises(
            UserError, match=r"it needs \d{5}\.\d GiB per device .*, but a device has [\d.]+ [MG]"
        ) as refused:
            ask(state, batch)
    assert "mini_batch_size=32 " in str(refused.value)
    assert "global_batch_size=256 " in str(refused.value)


def test_a_tight_step_is_warned_of_and_copies_count(monkeypatch, capsys):
    counted = Counted(size=3000)
    state, batch = state_and_batch()
    total = planned(counted.parallel.lower(state, batch).compile()).total
    monkeypatch.setattr(fit, "room", lambda: Room(GIB, int(total * 1.05), is_host=True))
    CompiledStep(counted.parallel, SETTINGS).prepare(state, batch)
    err = capsys.readouterr().err
    assert "Warning: that is 9" in err
    assert "a device has 1.0 GiB, its share of this machine's 8.0 GiB" in err
    large = parallel.replicate(np.zeros(total // 4, np.float32))
    monkeypatch.setattr(fit, "room", lambda: Room(int(total * 2.5), total, is_host=False))
    with pytest.raises(UserError, match="for a copy of the state"):
        CompiledStep(counted.parallel, SETTINGS, copies=1).prepare(large, batch)


@pytest.mark.parametrize(
    ("chunk", "size", "devices", "expected"),
    [
        (0, 2048, 8, ["mini_batch_size=64 ", "global_batch_size=1024 "]),
        (0, 64, 8, ["mini_batch_size=4 ", "global_batch_size=32 "]),
        (64, 2048, 8, ["mini_batch_size=32 (texts that a device encodes at once, now 64", "global_batch_size=1024 "]),
        (0, 24, 8, ["mini_batch_size=1 ", "global_batch_size=8 "]),
        (1, 8, 8, ["cannot be smaller on so many devices"]),
    ],
)
def test_knobs_name_values_that_can_be_typed(chunk, size, devices, expected):
    told = knobs(BatchSettings(global_batch_size=size, mini_batch_size=chunk), devices)
    assert all(part in told for part in expected), told
    assert ("mini_batch_size=" in told) == ("mini_batch_size=" in expected[0])


@pytest.mark.parametrize(
    ("message", "renamed"),
    [
        ("RESOURCE_EXHAUSTED: Out of memory allocating 7200000000 bytes.", True),
        (
            "RESOURCE_EXHAUSTED: XLA:TPU compile permanent error. Ran out of memory in memory space hbm. Used 20.1G",
            True,
        ),
        ("INTERNAL: Mosaic failed to compile TPU kernel", False),
    ],
)
def test_only_errors_of_memory_become_the_sentence(message, renamed):
    class Refusing:
        def lower(self, *_):
            raise jax.errors.JaxRuntimeError(message)

        __call__ = lower

    error = UserError if renamed else jax.errors.JaxRuntimeError
    with pytest.raises(error, match=message[:30]) as raised:
        CompiledStep(Refusing(), SETTINGS).prepare(*state_and_batch())
    assert ("global_batch_size=256" in str(raised.value)) == renamed
    with pytest.raises(error), memory_errors_as_sentence(SETTINGS):
        raise jax.errors.JaxRuntimeError(message)


class Rows(MetricWriter):
    """Keeps what is written."""

    def __init__(self):
        self.rows = []

    def write(self, step, values):
        self.rows.append(values)


def test_a_result_that_ran_out_of_memory_is_noticed_where_it_is_waited_for(monkeypatch):
    def lost(_):
        raise jax.errors.JaxRuntimeError("RESOURCE_EXHAUSTED: Out of memory while trying to allocate 9 bytes.")

    log = StepLog(Config(), Rows(), lambda step: 0.0, 0, remedy=str)
    log.taken(1, {"loss": jnp.ones(1)})
    monkeypatch.setattr(step_log, "np", SimpleNamespace(asarray=lost))
    with pytest.raises(UserError, match=r"ran out of memory .*mini_batch_size="):
        log.settle()
    log.close()


def test_facts_stand_in_the_lines_of_metrics_and_the_error_names_the_hunt():
    counted = Counted()
    step = CompiledStep(counted.parallel, SETTINGS)
    state, batch = state_and_batch()
    step.prepare(state, batch)
    writer = Rows()
    log = StepLog(Config(steps=3, log_every=1), writer, lambda step: 0.0, 0, lambda: "None saved.", step.facts)
    for number in (1, 2):
        state, metrics = step(state, batch)
        log.taken(number, metrics)
    log.settle()
    assert [("compile_seconds" in row, "planned_bytes" in row) for row in writer.rows] == [(True, True), (False, False)]
    assert all(row["process_peak_bytes"] > 2**20 for row in writer.rows)
    log.taken(3, {"loss": jnp.full(8, jnp.nan), "gradient_norm": jnp.ones(8)})
    with pytest.raises(UserError, match=r"Step 3 has loss nan .*None saved.*--config.nan_hunt=True"):
        log.settle()


def test_the_tightest_control_group_counts(tmp_path, monkeypatch):
    whole = host_memory()
    assert whole[0] >= whole[1] > 0
    own = tmp_path / "groups" / "job" / "step"
    own.mkdir(parents=True)
    (own / "memory.max").write_text("max\n")
    (own / "memory.current").write_text("5\n")
    (own.parent / "memory.max").write_text(f"{2**20}\n")
    (own.parent / "memory.current").write_text(f"{2**18}\n")
    (tmp_path / "cgroup").write_text("12:pids:/other\n0::/job/step\n")
    monkeypatch.setattr(fit, "_CONTROL_GROUPS", tmp_path / "groups")
    monkeypatch.setattr(fit, "_OWN_GROUPS", tmp_path / "cgroup")
    assert host_memory() == (2**20, 2**20 - 2**18)
    assert room() == Room(2**17, (2**20 - 2**18) // 8, is_host=True)


def test_an_accelerator_tells_of_its_fullest_device(monkeypatch):
    class Device:
        platform = "gpu"

        def __init__(self, in_use, peak):
            self.stats = {"bytes_limit": 10 * GIB, "bytes_in_use": in_use, "peak_bytes_in_use": peak}

        def memory_stats(self):
            return self.stats

    devices = [Device(GIB, 2 * GIB), Device(3 * GIB, 4 * GIB)]
    monkeypatch.setattr(jax, "local_devices", lambda: devices)
    assert room().total == 10 * GIB
    assert fit.peak() == {"device_peak_bytes": 4 * GIB}
