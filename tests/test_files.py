"""Tests of atomic writing and of the cache folder."""

import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
from every_line import at_every_line

from uwe_jax.runtime import files
from uwe_jax.runtime.errors import UserError
from uwe_jax.runtime.files import cache_folder, write_atomically, write_json, write_together
from uwe_jax.runtime.plot import plot_training
from uwe_jax.training.metric_writer import MetricWriter, read_metrics


def test_a_failed_write_leaves_the_old_file_and_nothing_else(tmp_path, monkeypatch):
    path = tmp_path / "summary.json"
    write_json(path, {"a": 1})

    def fail(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", fail)
    with pytest.raises(OSError, match="No space left"):
        write_atomically(path, b"half")
    assert [p.name for p in tmp_path.iterdir()] == ["summary.json"]
    assert path.read_text() == '{\n  "a": 1\n}\n'


def test_a_kill_at_any_line_leaves_files_of_one_result(tmp_path):
    result, page, picture = (tmp_path / name for name in ("a.json", "a.md", "a.png"))
    states = {}

    def look(line):
        states[line] = {path.name: path.read_text() for path in tmp_path.glob("[!.]*")}

    write_together({result: b"old", page: b"old"})
    picture.write_text("old")
    with at_every_line(look, {files.__file__}):
        write_together({result: b"new", page: b"new", picture: None})
    assert all(state["a.json"] == kind for state in states.values() for kind in state.values())
    assert {state["a.json"] for state in states.values()} == {"old", "new"}
    assert {path.name: path.read_text() for path in tmp_path.iterdir()} == {"a.json": "new", "a.md": "new"}


def test_a_disk_that_is_full_at_the_second_file_leaves_both_old_ones(tmp_path, monkeypatch):
    both = {tmp_path / name: b"old" for name in ("a.json", "a.md")}
    write_together(both)
    calls = []

    def fail(_):
        if calls:
            raise OSError(28, "No space left on device")
        calls.append(1)

    monkeypatch.setattr("os.fsync", fail)
    with pytest.raises(OSError, match="No space left"):
        write_together(dict.fromkeys(both, b"new"))
    assert {path: path.read_bytes() for path in tmp_path.iterdir()} == both


def test_the_cache_is_chosen_by_setting_then_variable_then_user(tmp_path, monkeypatch):
    monkeypatch.setenv("UWE_JAX_CACHE", str(tmp_path))
    assert cache_folder("/data/cache") == Path("/data/cache")
    assert cache_folder() == tmp_path
    monkeypatch.delenv("UWE_JAX_CACHE")
    assert cache_folder().name == "uwe_jax"


def test_metrics_after_the_restored_step_are_rewritten(tmp_path):
    writer = MetricWriter(tmp_path)
    for step in (1, 2, 3):
        writer.write(step, {"loss": float(step)})
    writer.close()
    with (tmp_path / "metrics.jsonl").open("a") as file:
        file.write('{"step": 4, "los')  # cut short by a kill
    MetricWriter(tmp_path, resume_step=2).close()
    assert [row["step"] for row in read_metrics(tmp_path / "metrics.jsonl")] == [1, 2]
    for validated in (True, False):  # a run that was cut off between this line and its checkpoint writes it again
        writer = MetricWriter(tmp_path, resume_step=2, validated=validated)
        writer.write(2, {"validation": {"macro_map": 1.0}})
        writer.close()
        rows = read_metrics(tmp_path / "metrics.jsonl")
        assert [(row["step"], "loss" in row) for row in rows] == [(1, True), (2, True), (2, False)]
    MetricWriter(tmp_path).close()
    assert read_metrics(tmp_path / "metrics.jsonl") == []


class Service(SimpleNamespace):
    """Stands in for the library of Weights & Biases; keeps what it is given."""

    Error = ValueError
    Settings = dict

    def init(self, **about):
        if about["project"] == "refused":
            raise self.Error("No API key configured.")
        self.runs.append(about)
        return SimpleNamespace(log=self.log, finish=lambda: self.logged.append("finished"))

    def log(self, values, step):
        if values == {"loss": 3.0}:
            raise ConnectionError("gone")
        self.logged.append((step, values))


def test_weights_and_biases_gets_the_same_numbers(tmp_path, monkeypatch, capsys):
    service = Service(runs=[], logged=[])
    monkeypatch.setitem(sys.modules, "wandb", service)
    MetricWriter(tmp_path).close()
    assert not service.runs
    for resume in (0, 2, 0):
        writer = MetricWriter(tmp_path, resume_step=resume, project="jobs", config={"seed": 1})
        writer.write(resume + 1, {"loss": 1.0, "validation": {"macro_map": 2.0}})
        writer.close()
    values = {"loss": 1.0, "validation/macro_map": 2.0}
    assert service.logged == [each for step in (1, 3, 1) for each in ((step, values), "finished")]
    new, resumed, over = service.runs
    assert new == resumed
    assert {**new, "id": over["id"]} == over
    assert new["id"] != over["id"]
    assert (new["project"], new["name"], new["config"]) == ("jobs", tmp_path.name, {"seed": 1})

    writer = MetricWriter(tmp_path, project="jobs")
    writer.write(1, {"loss": 3.0})
    writer.write(2, {"loss": 4.0})
    writer.close()
    assert "Weights & Biases accepts no more values (gone); metrics.jsonl is still written" in capsys.readouterr().err
    assert [row["loss"] for row in read_metrics(tmp_path / "metrics.jsonl")] == [3.0, 4.0]
    with pytest.raises(
        UserError, match=r"refuses the run: No API key configured\. Log in with `wandb login`, set WANDB"
    ):
        MetricWriter(tmp_path, project="refused")
    monkeypatch.setitem(sys.modules, "wandb", None)
    with pytest.raises(UserError, match=r"--config.wandb=jobs needs .* wandb, .* pip install .*\[wandb\]"):
        MetricWriter(tmp_path, project="jobs")


@pytest.mark.slow
def test_weights_and_biases_itself_takes_them_offline(tmp_path):
    pytest.importorskip("wandb")
    script = (
        "import pathlib, sys; from uwe_jax.training.metric_writer import MetricWriter\n"
        "writer = MetricWriter(pathlib.Path(sys.argv[1]), project='jobs', config={'seed': 1})\n"
        "writer.write(1, {'loss': 1.5, 'validation': {'macro_map': 2.0}}); writer.close()"
    )
    environment = {**os.environ, "WANDB_MODE": "offline"}
    subprocess.run([sys.executable, "-c", script, str(tmp_path)], check=True, env=environment)
    (record,) = tmp_path.glob("wandb/offline-run-*/*.wandb")
    assert b"validation/macro_map" in record.read_bytes()


DAMAGE = [b"{'step': 2}", b'{"step": 2, "\xff": 1}', b"[" * 100_000, b'{"loss": 2.0}', b'[{"step": 2}]', b"\x00\x0b"]


@pytest.mark.parametrize("damage", DAMAGE)
def test_a_damaged_line_of_the_metrics_loses_no_other_line(tmp_path, capsys, damage):
    path = tmp_path / "metrics.jsonl"
    path.write_bytes(b'{"step": 1, "loss": 1.0}\n' + damage + b'\n{"step": 3, "loss": 3.0}\n{"step": 4, "lo')
    assert [row["step"] for row in read_metrics(path)] == [1, 3]
    assert capsys.readouterr().err == ""
    MetricWriter(tmp_path, resume_step=3).close()
    assert f"{path}: dropped 1 damaged of 3 lines (line 2)." in capsys.readouterr().err
    assert path.read_text() == '{"step": 1, "loss": 1.0}\n{"step": 3, "loss": 3.0}\n'


def test_unreadable_metrics_are_reported(tmp_path):
    (tmp_path / "metrics.jsonl").mkdir()
    with pytest.raises(UserError, match=r"metrics.jsonl cannot be read: Is a directory\. Make it readable"):
        MetricWriter(tmp_path, resume_step=3)


def test_a_validation_with_a_damaged_name_is_drawn_without_it(tmp_path):
    rows = [{"step": step, "validation": {"macro_map": 1.0, "skill_to_job": {"map": 1.0}}} for step in (1, 2)]
    rows += [{"step": 3, "validation": {"macro_mbp": 1.0, "skill_to_job": {}}}, {"step": 4, "validation": {}}]
    plot_training(rows, tmp_path / "training.png")
    assert (tmp_path / "training.png").is_file()
