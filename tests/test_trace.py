"""A few steps of a run are traced, whole whatever ends it."""

import gc
import gzip
import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from uwe_jax.training import trace as traces
from uwe_jax.training.trace import Trace, costliest, operations


@pytest.fixture(scope="module")
def step():
    """Takes long enough to stand out."""
    matrix = np.full((200, 200), 0.01, np.float32)
    compiled = jax.jit(lambda x: jnp.tanh(x @ x) @ x)
    jax.block_until_ready(compiled(matrix))
    return lambda: compiled(matrix)


def train(step, trace, first, last):
    for number in range(first, last):
        with trace.step(number):
            step.latest = step()
    trace.close()


def waiting(step):
    return lambda: jax.block_until_ready(getattr(step, "latest", None))


def step_numbers(folder):
    """Of the steps annotated in the traces below a folder."""
    found = []
    for path in sorted(folder.rglob("*.xplane.pb")):
        data = jax.profiler.ProfileData.from_file(str(path))
        events = [event for plane in data.planes for line in plane.lines for event in line.events]
        found += [int(dict(event.stats)["step_num"]) for event in events if event.name == traces.STEP]
    return sorted(found)


# (first, last, steps wanted, steps traced): from the second step on; a run shorter than that closes its trace.
@pytest.mark.thorough_after(1)
@pytest.mark.parametrize(
    ("first", "last", "steps", "traced"),
    [(0, 6, 2, [2, 3]), (10, 13, 5, [12, 13]), (0, 1, 3, []), (0, 6, 0, [])],
)
def test_the_steps_after_the_first_are_traced(step, tmp_path, capsys, first, last, steps, traced):
    train(step, Trace(tmp_path, first, steps, waiting(step)), first, last)
    assert step_numbers(tmp_path) == traced
    err = capsys.readouterr().err
    if traced:
        assert f"Traced {len(traced)} steps into {tmp_path}. " in err
        assert f"xprof --logdir={tmp_path} --port=6006" in err
        assert "Costliest operations" in err
        (perfetto,) = tmp_path.rglob("perfetto_trace.json.gz")
        names = {event.get("name") for event in json.loads(gzip.decompress(perfetto.read_bytes()))["traceEvents"]}
        assert traces.STEP in names
        found = operations(tmp_path)
        assert found[0].seconds > 0
    else:
        assert ("Nothing was traced" in err) == (steps > 0)
        assert not list(tmp_path.iterdir())


@pytest.mark.slow
def test_a_run_that_fails_leaves_a_whole_trace_and_the_next_can_trace(step, tmp_path):
    def run():
        trace = Trace(tmp_path / "one", 0, 3, waiting(step))
        for number in range(3):
            with trace.step(number):
                step()
                if number == 2:
                    raise RuntimeError("no number")

    with pytest.raises(RuntimeError, match="no number") as raised:
        run()
    del raised
    gc.collect()
    assert step_numbers(tmp_path / "one") == [2, 3]
    train(step, Trace(tmp_path / "two", 0, 1, waiting(step)), 0, 3)
    assert step_numbers(tmp_path / "two") == [2]


def test_a_bucket_gets_the_files_that_were_written_to_disk(step, tmp_path, monkeypatch):
    class Bucket(type(tmp_path)):
        """A path whose name is of a bucket, as of `epath.Path`."""

        def __str__(self):
            return f"gs://bucket{super().__str__()}"

        def __fspath__(self):
            return super().__str__()

    bucket = Bucket(tmp_path / "trace")
    train(step, Trace(bucket, 0, 2, waiting(step)), 0, 3)
    assert step_numbers(tmp_path / "trace") == [2, 3]
    assert any(path.name == "perfetto_trace.json.gz" for path in tmp_path.rglob("*"))


def test_processes_trace_into_folders_of_their_own(step, tmp_path, monkeypatch):
    monkeypatch.setattr(jax, "process_count", lambda: 2)
    monkeypatch.setattr(jax, "process_index", lambda: 1)
    trace = Trace(tmp_path, 0, 1, waiting(step))
    monkeypatch.undo()
    train(step, trace, 0, 2)
    assert step_numbers(tmp_path / "process-1") == [2]


def test_time_inside_another_operation_counts_once():
    events = [(0.0, 10.0, "while"), (1.0, 4.0, "dot"), (4.0, 6.0, "add"), (12.0, 13.0, "dot")]
    assert dict(traces._own_times(events[:3])) == {"while": 5.0, "dot": 3.0, "add": 2.0}
    assert sum(time for _, time in traces._own_times(events)) == 11.0
    table = costliest([traces.Operation("dot", 4, 0.006), traces.Operation("add", 2, 0.002)], steps=2)
    assert "3.00 ms per step   75%       2 x  dot" in table
    assert costliest([], 1) == ""
