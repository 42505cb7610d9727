"""Checkpoints: round trips, which ones are kept, and damage."""

import json

import numpy as np
import pytest
from jax.experimental import multihost_utils

from uwe_jax.models import checkpoint_reader
from uwe_jax.models.checkpoint_reader import CheckpointReader, checksum
from uwe_jax.runtime.errors import UserError
from uwe_jax.training import checkpoint
from uwe_jax.training.checkpoint import Checkpoints

META = {"config": {"steps": 3}, "fingerprints": {"job": "abc"}}


def state(value):
    weights = np.random.default_rng(value).normal(size=(64, 64)).astype(np.float32)
    return {"params": {"w": weights}, "step": np.int32(value), "none": {}}


def saved(folder, *values):
    """Checkpoints of steps 1, 2, ... with validation MAPs `values` (None: not validated)."""
    checkpoints = Checkpoints(folder)
    for step, value in enumerate(values, 1):
        checkpoints.save(step, state(step), META, value)
        checkpoints.wait()
    return checkpoints


def test_round_trip_is_exact(tmp_path):
    saved(tmp_path / "c", 10.0).close()
    restored = Checkpoints(tmp_path / "c").restore(state(0))
    assert restored.step == 1
    np.testing.assert_equal(restored.state, state(1))
    parts = {name: checksum(part) for name, part in state(1).items()}
    assert restored.meta == META | {"validation_map": 10.0, "checksum": checksum(state(1)), "checksums": parts}


def test_a_part_is_read_alone_and_nothing_is_written(tmp_path):
    saved(tmp_path / "c", 10.0, 30.0, None, 20.0).close()
    before = sorted(tmp_path.rglob("*"))
    checkpoints = CheckpointReader(tmp_path / "c")
    assert (checkpoints.best_step(), checkpoints.steps()) == (2, [4, 3, 2])
    np.testing.assert_equal(checkpoints.read_part("params", state(0)["params"], 2), state(2)["params"])
    assert checkpoints.read_meta(2)["config"] == META["config"]
    checkpoints.close()
    assert sorted(tmp_path.rglob("*")) == before


def test_a_part_of_another_model_is_not_read(tmp_path):
    checkpoints = saved(tmp_path / "c", 10.0)
    params = state(0)["params"]
    with pytest.raises(UserError, match="step 1 lacks 1 of the 2 arrays of its params"):
        checkpoints.read_part("params", params | {"other": params["w"]}, 1)
    with pytest.raises(UserError, match=r"step 1 cannot be read \("):
        checkpoints.read_part("params", {"w": params["w"][:5]}, 1)


def test_damage_without_a_message_is_named(tmp_path, monkeypatch):
    checkpoints = saved(tmp_path / "c", 10.0)

    def fail(*_, **__):
        raise MemoryError

    monkeypatch.setattr(checkpoints._manager, "restore", fail)
    with pytest.raises(UserError, match=r"step 1 cannot be read \(MemoryError: \)"):
        checkpoints.read_meta(1)


def test_an_empty_folder_restores_nothing(tmp_path):
    assert Checkpoints(tmp_path / "c").restore(state(0)) is None


def test_the_best_and_the_last_are_kept(tmp_path):
    checkpoints = saved(tmp_path / "c", 10.0, 30.0, None, 20.0, 15.0, None)
    assert checkpoints.best_step() == 2
    assert {2, 6} <= set(checkpoints.steps())
    assert len(checkpoints.steps()) <= 3
    np.testing.assert_equal(checkpoints.read(state(0), 2).state, state(2))


def test_a_checkpoint_saved_in_haste_is_there_while_its_validation_is_added(tmp_path, monkeypatch):
    checkpoints = saved(tmp_path / "c", None)
    before = {path: path.stat().st_mtime_ns for path in (tmp_path / "c/1/state").rglob("*")}

    def killed_after(files):
        left = iter(range(files))

        def replace(file, value):
            if next(left, None) is None:
                raise KeyboardInterrupt
            checkpoint_reader.replace_json(file, value)

        return replace

    for files in (0, 1):  # of the two that are replaced
        monkeypatch.setattr(checkpoint, "replace_json", killed_after(files))
        with pytest.raises(KeyboardInterrupt):
            checkpoints.save(1, state(1), META | {"validation": 40.0}, 40.0)
        again = Checkpoints(tmp_path / "c")
        assert again.restore(state(0)).meta.get("validation") is None  # which is therefore measured again
        again.close()
    monkeypatch.undo()

    checkpoints.save(1, state(1), META | {"validation": 40.0}, 40.0)
    assert {path: path.stat().st_mtime_ns for path in (tmp_path / "c/1/state").rglob("*")} == before
    for reader in (checkpoints, Checkpoints(tmp_path / "c")):
        assert reader.best_step() == 1
        restored = reader.restore(state(0))
        np.testing.assert_equal(restored.state, state(1))
        assert restored.meta["validation"] == 40.0
    checkpoints.save(2, state(2), META, 30.0)
    checkpoints.save(3, state(3), META, 20.0)
    checkpoints.save(4, state(4), META, 10.0)
    checkpoints.wait()
    assert (checkpoints.best_step(), checkpoints.steps()) == (1, [4, 3, 1])


def test_saving_leaves_the_count_of_questions_to_the_processes(tmp_path, monkeypatch):
    """JAX finds the step where processes stop from the numbers that they asked with; Orbax would ask with its own."""
    monkeypatch.setattr(multihost_utils, "reached_preemption_sync_point", lambda _: pytest.fail("asked"))
    saved(tmp_path / "c", 10.0).close()


def flip(folder):
    """Flips a bit in the middle of the largest file of a checkpoint."""
    largest = max((p for p in folder.rglob("*") if p.is_file()), key=lambda p: p.stat().st_size)
    content = bytearray(largest.read_bytes())
    content[len(content) // 2] ^= 1
    largest.write_bytes(bytes(content))


def truncate(folder):
    for path in folder.rglob("*"):
        if path.is_file() and path.stat().st_size > 100:
            path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


@pytest.mark.parametrize("damage", [flip, truncate])
def test_a_damaged_checkpoint_is_said_and_passed_over(tmp_path, capsys, damage):
    checkpoints = saved(tmp_path / "c", 10.0, 20.0)
    damage(tmp_path / "c" / "2" / "state")
    restored = checkpoints.restore(state(0))
    assert restored.step == 1
    np.testing.assert_equal(restored.state, state(1))
    assert "checkpoint of step 2" in capsys.readouterr().err
    checkpoints.quarantine_after(1)
    assert checkpoints.steps() == [1]
    (aside,) = (tmp_path / "damaged_checkpoints").iterdir()
    assert (aside / "state").is_dir()
    checkpoints.save(2, state(2), META, None)  # the step is taken again
    checkpoints.wait()
    np.testing.assert_equal(checkpoints.restore(state(0)).state, state(2))


def test_the_next_best_takes_the_place_of_a_damaged_best_one(tmp_path, capsys):
    checkpoints = saved(tmp_path / "c", 10.0, 30.0, 20.0, 15.0)
    assert (checkpoints.best_step(), checkpoints.steps()) == (2, [4, 3, 2])
    flip(tmp_path / "c" / "2" / "state")
    assert checkpoints.read_best(state(0), current=4).step == 3
    assert "checkpoint of step 2" in (said := capsys.readouterr().err)
    assert "the next best is used" in said
    assert checkpoints.best_step() == 3
    assert [path.name.partition("-")[0] for path in (tmp_path / "damaged_checkpoints").iterdir()] == ["2"]
    assert checkpoints.read_best(state(0), current=3) is None
    flip(tmp_path / "c" / "3" / "state")
    assert checkpoints.read_best(state(0), current=4) is None
    checkpoints.close()


@pytest.mark.thorough_after(3)
@pytest.mark.parametrize(
    ("step", "content"),
    [
        (2, b'{"validation_map": 0.0}'),  # the best one with a flipped bit, and another one
        (3, b'{"validation_map": 90.0}'),
        (2, b'{"validation_lap": 30.0}'),
        (2, b'{"validation_map": NaN}'),
        (2, b'{"validation_map": "30"}'),
        (2, b'{"validation_map": 30'),
        (2, b"\xff"),
        (2, b"[" * 100_000),
        (2, None),
    ],
)
def test_damaged_metrics_change_neither_the_best_checkpoint_nor_what_is_kept(tmp_path, step, content):
    saved(tmp_path / "c", 10.0, 30.0, 20.0).close()
    metrics = tmp_path / "c" / str(step) / "metrics" / "metrics"
    assert json.loads(metrics.read_bytes()) == {"validation_map": {2: 30.0, 3: 20.0}[step]}
    if content is None:
        metrics.unlink()
    else:
        metrics.write_bytes(content)
    for opened in (CheckpointReader, Checkpoints):
        checkpoints = opened(tmp_path / "c")
        assert checkpoints.best_step() == 2
        assert checkpoints.read(state(0), 2).step == 2
        checkpoints.close()
    checkpoints = Checkpoints(tmp_path / "c")
    for later in (4, 5):
        checkpoints.save(later, state(later), META, 15.0)
    checkpoints.wait()
    assert (checkpoints.best_step(), checkpoints.steps()) == (2, [5, 4, 2])
    checkpoints.close()


def test_the_validation_of_a_checkpoint_from_before_its_meta_object_had_the_map(tmp_path):
    saved(tmp_path / "c", 10.0, 30.0, 20.0).close()
    for path in (tmp_path / "c").glob("*/meta/metadata"):
        meta = checkpoint_reader.without_checksum(json.loads(path.read_bytes()))
        validation = {"macro_map": meta.pop("validation_map"), "macro_mrr": 1.0}
        path.write_text(json.dumps(checkpoint_reader.with_checksum(meta | {"validation": validation})))
    (tmp_path / "c/2/metrics/metrics").write_text('{"validation_map": 0.0}')
    assert CheckpointReader(tmp_path / "c").best_step() == 2


def test_a_best_checkpoint_with_a_damaged_meta_object_is_not_passed_over_in_silence(tmp_path):
    saved(tmp_path / "c", 10.0, 30.0, 20.0).close()
    path = tmp_path / "c/2/meta/metadata"
    path.write_bytes(path.read_bytes().replace(b"abc", b"abd"))
    checkpoints = CheckpointReader(tmp_path / "c")
    assert checkpoints.best_step() == 2
    with pytest.raises(UserError, match="step 2 is damaged: its meta object is not the one that was saved"):
        checkpoints.read_meta(2)
    path.write_text("[]")
    with pytest.raises(UserError, match="step 2 is damaged: its meta object is not the one that was saved"):
        checkpoints.read_meta(2)


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_a_validation_that_is_no_number_costs_no_checkpoint(tmp_path, value):
    checkpoints = saved(tmp_path / "c", 30.0, 20.0)
    with pytest.raises(UserError, match=r"MAP of step 3 is (nan|inf).* good checkpoint .* is that of step 2"):
        checkpoints.save(3, state(3), META, value)
    assert (checkpoints.best_step(), checkpoints.steps()) == (1, [2, 1])
    checkpoints.close()


def test_a_changed_value_that_reads_well_is_noticed(tmp_path, monkeypatch, capsys):
    for module in (checkpoint, checkpoint_reader):
        monkeypatch.setattr(module, "checksum", lambda _: 0)
    saved(tmp_path / "c", 10.0)
    monkeypatch.undo()
    with pytest.raises(UserError, match=r"No checkpoint in .* can be read: .*step 1 .*bytes differ"):
        Checkpoints(tmp_path / "c").restore(state(0))
    with pytest.raises(UserError, match="step 1 is damaged: its bytes differ"):
        Checkpoints(tmp_path / "c").read_part("params", state(0)["params"], 1)


def test_a_full_disk_names_the_room_and_the_last_good_step(tmp_path, monkeypatch):
    checkpoints = saved(tmp_path / "c", 10.0)
    monkeypatch.setattr(checkpoint.shutil, "disk_usage", lambda _: type("Usage", (), {"free": 3 * 2**10})())
    with pytest.raises(
        UserError, match=r": 3.1 kB are free, a checkpoint needs .* last good checkpoint .* is that of step 1"
    ):
        checkpoints.save(2, state(2), META, None)
    assert checkpoints.steps() == [1]
