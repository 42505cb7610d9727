"""The real command, from its first line to its summary: what it writes, how it resumes, what it refuses."""

import functools
import importlib.util
import json
import os
import re
import runpy
import shutil
import signal
import time
from pathlib import Path

import chex
import jax
import numpy as np
import pytest
from esco_downloads import OCCUPATION, SKILL, classification, relations, write_zip
from graphs import edges_of
from tiny_encoder import write_tiny_encoder
from training_processes import start

from uwe_jax.commands import export, index, rank, train
from uwe_jax.config import Config
from uwe_jax.evaluation import decontamination
from uwe_jax.models.checkpoint_reader import with_checksum, without_checksum
from uwe_jax.models.loading import load_encoder
from uwe_jax.models.optimiser import learning_rate_schedule
from uwe_jax.models.run_folder import load_run
from uwe_jax.runtime.config_file import read_command_line
from uwe_jax.runtime.errors import UserError
from uwe_jax.sources.edge_files import read_sample
from uwe_jax.training import loop, workdir
from uwe_jax.training.metric_writer import read_metrics
from uwe_jax.training.step_log import StepLog

read_config = functools.partial(read_command_line, settings=Config, command="train")
ROOT = Path(__file__).parents[1]
CONFIGS = [path for path in sorted((ROOT / "configs").glob("*.py")) if "uwe-jax train " in path.read_text()]


@pytest.fixture
def flags(small_run):
    return small_run


def run(flags, monkeypatch):
    """Runs the command in this process; returns its exit status."""
    from uwe_jax.runtime.command import answer_errors

    try:
        answer_errors(lambda: train.main(list(map(str, flags))))
    except SystemExit as stop:
        return stop.code
    return 0


@pytest.fixture(scope="module")
def kept(tmp_path_factory):
    """Output and folder of one finished run, shared by the tests that look at it."""
    return {"folder": tmp_path_factory.mktemp("finished") / "run"}


@pytest.fixture
def finished(flags, kept, tmp_path, monkeypatch, capsys):
    """The folder of a training that has ended, for each test its own copy, and what it wrote to the two streams."""
    workdir = tmp_path / "run"
    if "said" not in kept:
        assert run(flags, monkeypatch) == 0
        kept["said"] = [text.replace(str(workdir), "WORKDIR") for text in capsys.readouterr()]
        shutil.copytree(workdir, kept["folder"])
    else:
        shutil.copytree(kept["folder"], workdir)
    return workdir, *(text.replace("WORKDIR", str(workdir)) for text in kept["said"])


def checkpoint_bytes(workdir, step):
    """The arrays of a checkpoint, read without a template, and the checksum stored with them."""
    import orbax.checkpoint as ocp

    folder = workdir / "checkpoints" / str(step)
    arrays = ocp.StandardCheckpointer().restore((folder / "state").absolute())
    meta = json.loads((folder / "meta" / "metadata").read_text())
    return jax.tree.map(np.asarray, arrays), meta["checksum"]


def test_a_run_from_its_first_line_to_its_summary(finished):
    folder, out, err = finished
    assert re.match(r"Training \S+ \(.*M parameters\) on 549 skills with skill-job \(108 job nodes, 1,732 edges", out)
    assert "6 steps of 16 skills on 8 cpu devices" in out
    assert "Texts are truncated to the configured lengths" in err
    assert "validation MAP" in err
    assert "macro-average" in out
    assert len((folder / "skills.txt").read_text().splitlines()) == 549
    writes = importlib.util.find_spec("tensorboardX") is not None
    assert (f"Curves: tensorboard --logdir={folder / 'tensorboard'}" in err) == writes

    summary = json.loads((folder / "summary.json").read_text())
    assert 0 < summary["before"]["macro_map"] < 100
    assert 0 < summary["after"]["macro_map"] < 100
    assert summary["after"]["skill_to_job"]["targets"] == 108
    rows = read_metrics(folder / "metrics.jsonl")
    assert [row["step"] for row in rows if "loss" in row] == [1, 2, 3, 4, 5, 6]
    assert [row["step"] for row in rows if "validation" in row] == [0, 3, 6]
    assert rows[1]["loss"] == pytest.approx(rows[1]["loss/job"] + 0.5 * rows[1]["loss/alias"], rel=1e-5)
    assert (folder / "training.png").read_bytes().startswith(b"\x89PNG")
    assert json.loads((folder / "config.json").read_text())["steps"] == 6

    assert summary["against_frozen"]["map"][0] == pytest.approx(
        summary["after"]["macro_map"] - summary["before"]["macro_map"]
    )
    assert re.search(r"Macro MAP \d+\.\d, .* the frozen encoder \(95% interval .*, \d\d distinct queries\)", out)


@pytest.mark.thorough
def test_the_same_command_on_a_finished_run_answers_at_once_and_more_steps_train_on(
    finished, flags, tmp_path, monkeypatch, capsys
):
    ended = "Held-out" + finished[1].partition("Held-out")[2]
    first, rows = (
        json.loads((tmp_path / "run/summary.json").read_text()),
        read_metrics(tmp_path / "run/metrics.jsonl"),
    )
    with monkeypatch.context() as patched:
        patched.setattr(decontamination, "load_training_graphs", lambda _: pytest.fail("data was read"))
        patched.setattr(loop, "load_encoder", lambda *_: pytest.fail("an encoder was read"))
        assert run(flags, monkeypatch) == 0
    out, err = capsys.readouterr()
    assert out == ended
    assert "has finished its 6 steps" in err
    assert "--config.steps=12 trains on" in err

    assert run([*flags, "--config.steps=9"], monkeypatch) == 0
    err = capsys.readouterr().err
    rate = learning_rate_schedule(read_config(flags).optimiser, 9)
    assert "after step 6 of 9" in err
    assert f"a schedule of 6 steps so far. From here on it follows that of 9: {float(rate(6)):.2g} at step 7" in err
    longer = read_metrics(tmp_path / "run/metrics.jsonl")
    assert longer[: len(rows)] == rows
    assert [row["step"] for row in longer[len(rows) :]] == [7, 8, 9, 9]
    assert longer[len(rows)]["learning_rate"] == pytest.approx(float(rate(6)))
    summary = json.loads((tmp_path / "run/summary.json").read_text())
    assert (summary["steps"], summary["before"]) == (9, first["before"])
    assert run(flags, monkeypatch) == 2
    assert "1 settings differ: steps: 9 there, 6 now" in capsys.readouterr().err


def test_a_run_of_an_older_version_is_compared_with_the_frozen_encoder_too(finished, flags, tmp_path, monkeypatch):
    path = tmp_path / "run/summary.json"
    summary = json.loads(path.read_text())
    path.write_text(json.dumps({name: value for name, value in summary.items() if name != "against_frozen"}))
    for meta in (tmp_path / "run/checkpoints").glob("*/meta/metadata"):
        older = without_checksum(json.loads(meta.read_text()))
        assert older.pop("frozen")
        meta.write_text(json.dumps(with_checksum(older)))
    assert run(flags, monkeypatch) == 0
    again = json.loads(path.read_text())
    assert again["against_frozen"]["map"] == pytest.approx(summary["against_frozen"]["map"], abs=1e-6)


@pytest.mark.thorough
def test_forty_steps_teach_a_tiny_encoder_what_held_out_nodes_need(prepared_cache, tmp_path, monkeypatch, capsys):
    edges = edges_of(read_sample()["job"])
    words = {word for edge in edges for text in (edge.left_text, edge.right_text) for word in text.lower().split()}
    encoder = write_tiny_encoder(tmp_path / "encoder", words=sorted(words), layers=1, width=64, spread=0.02)
    flags = (
        f"--config={ROOT / 'configs/quickstart.py'}",
        f"--config.encoder.name={encoder}",
        f"--config.source.cache_dir={prepared_cache}",
        f"--config.workdir={tmp_path / 'run'}",
        "--config.source.kinds=('job',)",
        "--config.batch.global_batch_size=256",
        "--config.steps=40",
        "--config.evaluation.every=40",
        "--config.evaluation.max_queries=8",
        "--config.scorer.kind=mean_pool",
        "--config.loss.tau.job=0.1",
        "--config.optimiser.learning_rate=0.05",
        "--config.encoder.dropout=0.0",
    )
    assert run(flags, monkeypatch) == 0
    assert re.search(r"Macro MAP .* points above the frozen encoder \(95% interval", capsys.readouterr().out)
    summary = json.loads((tmp_path / "run" / "summary.json").read_text())
    before, after = (summary[name]["macro_map"] for name in ("before", "after"))
    assert after > 1.6 * before > 10, (before, after)
    assert summary["against_frozen"]["map"][1] > 3, summary["against_frozen"]


@pytest.mark.slow
@pytest.mark.parametrize("kills", [1, 10])
def test_killed_runs_end_like_an_uninterrupted_one(flags, tmp_path, kills):
    straight = [*flags, f"--config.workdir={tmp_path / 'straight'}", "--config.steps=30"]
    killed = [*flags, f"--config.workdir={tmp_path / 'killed'}", "--config.steps=30"]
    began = time.perf_counter()
    output, _ = (process := start(straight)).communicate(timeout=300)
    assert process.returncode == 0, output
    whole = time.perf_counter() - began
    rng = np.random.default_rng(kills)
    metrics = tmp_path / "killed" / "metrics.jsonl"
    for kill in range(kills):
        process = start(killed)
        if kill == 0:  # certainly in the middle of training, after a checkpoint
            while process.poll() is None and len(read_metrics(metrics)) < 8:
                time.sleep(0.01)
        time.sleep(rng.uniform(0, whole) if kill else rng.uniform(0, 0.3))
        process.send_signal(signal.SIGKILL)
        process.communicate()
    output, _ = (process := start(killed)).communicate(timeout=300)
    assert process.returncode == 0, output
    expected, actual = (checkpoint_bytes(tmp_path / name, 30) for name in ("straight", "killed"))
    assert actual[1] == expected[1]
    jax.tree.map(np.testing.assert_array_equal, actual[0], expected[0])
    summaries = [json.loads((tmp_path / name / "summary.json").read_text()) for name in ("straight", "killed")]
    assert summaries[0] == summaries[1]
    steps = [
        [row["step"] for row in read_metrics(tmp_path / name / "metrics.jsonl")] for name in ("straight", "killed")
    ]
    assert steps[0] == steps[1]


@pytest.mark.slow
def test_a_run_resumes_on_another_number_of_devices(flags, tmp_path, monkeypatch, capsys):
    # One device, cut off after step 3 by a failure; then eight devices.
    process = start([*flags, "--config.optimiser.learning_rate=0.001"])
    metrics = tmp_path / "run" / "metrics.jsonl"
    while process.poll() is None and len(read_metrics(metrics)) < 6:
        time.sleep(0.01)
    process.kill()
    process.communicate()
    assert run([*flags, "--config.optimiser.learning_rate=0.001"], monkeypatch) == 0
    alone = [*flags, "--config.optimiser.learning_rate=0.001", f"--config.workdir={tmp_path / 'alone'}"]
    assert run(alone, monkeypatch) == 0
    one, two = (checkpoint_bytes(tmp_path / name, 6)[0]["params"] for name in ("run", "alone"))
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, atol=1e-4), one, two)


@pytest.mark.parametrize(
    ("flags_added", "message"),
    [
        (["--config.batch.global_batch_size=20"], "20 must be divisible by the 8 devices; 16 or 24 would be"),
        (["--config.batch.global_batch_size=4096"], r"4096, but only \d+ skills have a training edge"),
        (["--config.batch.global_batch_sise=3"], "Did you mean batch.global_batch_size"),
        (["--config.steps=many"], "steps"),
        (["--config.scorer.kind=cosine"], "scorer.kind is 'cosine'"),
        (["--config.source.source=esco"], "source.path is empty"),
        (["--config.source.source=esco", "--config.source.path=nowhere"], "nowhere"),
        (["--config.split.validation=1e-9"], "nothing to validate on"),
        (["--config.encoder.name=./no-such-folder"], "no-such-folder"),
        (["--config.workdir=/proc/nothing"], "Cannot write to the workdir"),
        (
            ["--config.evaluation.skip=('skill_to_job','job_to_skill','skill_to_alias','alias_to_skill')"],
            "leaves none of 4 rankings",
        ),
        (["stray"], "Unexpected argument 'stray'"),
        (["--config=configs/none.py"], "--config cannot be read: .*none.py.*Shipped configs: .*quickstart"),
    ],
)
def test_bad_input_is_answered_with_a_sentence(flags, flags_added, message, monkeypatch, capsys):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    assert run([*flags, *flags_added], monkeypatch) == 2
    err = capsys.readouterr().err
    assert re.search(message, err), err
    assert "Traceback" not in err


@pytest.mark.thorough
def test_a_workdir_of_another_config_is_left_alone(flags, tmp_path, monkeypatch, capsys):
    # A run that never began owns nothing: its settings may be mended in the same folder.
    assert run([*flags, "--config.batch.global_batch_size=4096"], monkeypatch) == 2
    assert run([*flags, "--config.steps=1"], monkeypatch) == 0
    before = (tmp_path / "run" / "config.json").read_bytes()
    assert run([*flags, "--config.steps=1", "--config.seed=5"], monkeypatch) == 2
    assert "seed: 0 there, 5 now" in capsys.readouterr().err
    assert (tmp_path / "run" / "config.json").read_bytes() == before


@pytest.mark.thorough
def test_a_second_training_in_a_workdir_is_refused_and_the_first_is_whole(flags, tmp_path, monkeypatch, capsys):
    taken, statuses = StepLog.taken, []

    def another_begins(log, step, metrics):
        taken(log, step, metrics)
        if step == 2:
            statuses.append(run(flags, monkeypatch))

    with monkeypatch.context() as patched:
        patched.setattr(StepLog, "taken", another_begins)
        assert run(flags, monkeypatch) == 0
    assert statuses == [2]
    workdir = tmp_path / "run"
    assert re.search(
        rf"Error: Another process is training in {workdir} \(process {os.getpid()} on .*, since .*\)\. Wait until it "
        r"has finished and try again, or name another folder with --config\.workdir=\.\.\.\.\n",
        capsys.readouterr().err,
    )
    assert [row["step"] for row in read_metrics(workdir / "metrics.jsonl") if "loss" in row] == [1, 2, 3, 4, 5, 6]
    assert (workdir / "summary.json").is_file()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"{", "config.json is not readable JSON"),
        (b"\xff", "config.json is not readable JSON"),
        (b"[" * 100_000, "config.json is not readable JSON: .*nested too deeply"),
        (b"[]", "config.json holds a list instead of an object"),
        (b'{"steps": "6"}', "config.json: steps is '6'; it must be of type int"),
        (b'{"encoder": 1}', "config.json: encoder is 1; it must be a section"),
        (None, "config.json is not a regular file"),
    ],
)
def test_a_damaged_config_of_a_workdir_is_answered_with_a_sentence(
    flags, tmp_path, monkeypatch, capsys, content, message
):
    (tmp_path / "run/checkpoints/3").mkdir(parents=True)
    if content is None:
        (tmp_path / "run/config.json").mkdir()
    else:
        (tmp_path / "run/config.json").write_bytes(content)
    assert run(flags, monkeypatch) == 2
    err = capsys.readouterr().err
    assert re.search(message, err), err
    assert "Traceback" not in err


def test_a_workdir_from_before_a_setting_existed_is_resumed(finished, flags, tmp_path, monkeypatch, capsys):
    path = tmp_path / "run" / "config.json"
    older = json.loads(path.read_text())
    assert older["batch"].pop("positives") == "all"
    path.write_text(json.dumps(older))
    assert run(flags, monkeypatch) == 0
    path.write_text(json.dumps(older))
    assert run([*flags, "--config.batch.positives=sampled"], monkeypatch) == 2
    assert "batch.positives: 'all' there, 'sampled' now" in capsys.readouterr().err


@pytest.mark.slow
def test_parts_apart_train_on_the_graphs_of_one_at_a_time(flags, tmp_path, monkeypatch):
    for kind in ("job", "alias"):
        (tmp_path / kind).mkdir()
        rows = [f"{kind} skill {s},{kind} {s % 40}" for s in range(120)]
        (tmp_path / kind / f"skill_{kind}.csv").write_text("\n".join(["left,right", *rows]))
    config = tmp_path / "config.py"
    parts = {kind: {"source": "edges", "path": str(tmp_path / kind)} for kind in ("job", "alias")}
    config.write_text(
        "from uwe_jax.config import combine\n"
        "from configs.quickstart import get_config as quickstart\n"
        "def get_config():\n"
        "    config = quickstart()\n"
        "    config.source.source = 'combined'\n"
        f"    config.source.parts = combine(**{parts!r})\n"
        "    config.batch.sources = 'homogeneous'\n"
        "    return config\n"
    )
    monkeypatch.syspath_prepend(str(ROOT))
    assert run([f"--config={config}", *flags[1:]], monkeypatch) == 0
    rows = [row for row in read_metrics(tmp_path / "run" / "metrics.jsonl") if "loss" in row]
    graphs = [{name for name in row if name.startswith("loss/")} for row in rows]
    assert len(graphs) == 6
    assert sorted(map(sorted, graphs)) == [["loss/alias"]] * 3 + [["loss/job"]] * 3


@pytest.mark.thorough
def test_what_is_measured_and_loaded_is_interpolated_with_the_pretrained_weights(
    flags, sample_encoder, prepared_cache, tmp_path, monkeypatch
):
    assert run([*flags, "--config.encoder.wise_ft_alpha=0.0"], monkeypatch) == 0
    summary = json.loads((tmp_path / "run" / "summary.json").read_text())
    assert summary["after"] == summary["before"]  # the training went on beneath, all of it blended away

    path = tmp_path / "run" / "config.json"
    config = json.loads(path.read_text())
    pretrained = load_encoder(str(sample_encoder)).params
    loaded = {}
    for alpha in (0.0, 0.75, 1.0):
        config["encoder"]["wise_ft_alpha"] = alpha
        path.write_text(json.dumps(config))
        loaded[alpha] = load_run(tmp_path / "run", cache_dir=prepared_cache)
    assert "WiSE-FT alpha 0.75" in loaded[0.75].description
    chex.assert_trees_all_equal(loaded[0.0].params["encoder"], pretrained)
    quarter = jax.tree.map(lambda one, other: 0.75 * one + 0.25 * other, loaded[1.0].params["encoder"], pretrained)
    chex.assert_trees_all_close(loaded[0.75].params["encoder"], quarter, atol=1e-6)
    moved = jax.tree.map(lambda one, other: np.abs(one - other).max(), loaded[1.0].params["encoder"], pretrained)
    assert max(jax.tree.leaves(moved)) > 1e-3

    # A config.json in the words of a former version.
    del config["encoder"]["wise_ft_alpha"]
    config["encoder"]["pretrained_share"] = 0.25
    config["source"]["keep_out"] = config["source"].pop("decontaminate")
    config["batch"]["encode_chunk_size"] = config["batch"].pop("mini_batch_size")
    config["batch"]["parts"] = {"mixed": "together"}[config["batch"].pop("sources")]
    path.write_text(json.dumps(config))
    former = load_run(tmp_path / "run", cache_dir=prepared_cache)
    chex.assert_trees_all_equal(former.params, loaded[0.75].params)
    assert former.description == loaded[0.75].description


@pytest.mark.slow
def test_other_graphs_are_not_resumed_on(flags, tmp_path, monkeypatch, capsys):
    edges = tmp_path / "edges"
    edges.mkdir()
    rows = [f"skill {s},job {s % 40}" for s in range(200)]
    (edges / "skill_job.csv").write_text("\n".join(["left,right", *rows]))
    flags = [
        *(flag for flag in flags if "source.kinds" not in flag),
        "--config.source.source=edges",
        f"--config.source.path={edges}",
        "--config.steps=3",
        "--config.lengths.job=8",
    ]
    assert run(flags, monkeypatch) == 0
    trained_on = (tmp_path / "run" / "trained_on.npz").read_bytes()
    (edges / "skill_job.csv").write_text("\n".join(["left,right", *rows, *(f"skill {s},job 9" for s in range(9))]))
    assert run([*flags, "--config.steps=6"], monkeypatch) == 2
    assert "trained with other data: skill-job differ" in capsys.readouterr().err
    assert (tmp_path / "run" / "trained_on.npz").read_bytes() == trained_on


@pytest.mark.thorough
def test_another_export_is_not_resumed_from(flags, sample_encoder, tmp_path, monkeypatch, capsys):
    first = tmp_path / "first"
    export.main([f"--model={sample_encoder}", f"--out={first}"])
    flags = [*flags, f"--config.encoder.name={first}", "--config.encoder.wise_ft_alpha=0.5", "--config.steps=3"]
    assert run(flags, monkeypatch) == 0
    manifest = json.loads((first / "uwe_jax.json").read_text())
    (first / "uwe_jax.json").write_text(json.dumps({**manifest, "fingerprint": "another"}))
    assert run([*flags, "--config.steps=6"], monkeypatch) == 2
    assert "(encoder.wise_ft_alpha is 0.5); that name now means another" in capsys.readouterr().err


@pytest.mark.thorough
@pytest.mark.parametrize("test", [0.0, 0.1])
def test_a_last_run_trains_on_validation_nodes_too(flags, test, prepared_cache, tmp_path, monkeypatch, capsys):
    flags = [*flags, "--config.split.validation=0", f"--config.split.test={test}"]
    assert run(flags, monkeypatch) == 0
    out, err = capsys.readouterr()
    assert "nothing chooses the checkpoint, so the last step is the model" in err
    assert ("Trained on all nodes: none was held out" in out) == (test == 0)
    assert ("Held-out test nodes against the full target space, percent (step 6)" in out) == (test > 0)
    workdir = tmp_path / "run"
    summary = json.loads((workdir / "summary.json").read_text())
    assert (summary["step"], summary["held_out"]) == (6, "test" if test else "none")
    assert bool(summary["before"]) == bool(summary["after"]) == (test > 0)
    rows = read_metrics(workdir / "metrics.jsonl")
    assert [row["step"] for row in rows] == [1, 2, 3, 4, 5, 6]
    used = re.search(r"([\d,]+) edges, ([\d,]+) of them for training", out)
    assert (used[1] == used[2]) == (test == 0)

    # It resumes from its checkpoint of step 3, and ends as it did.
    whole = checkpoint_bytes(workdir, 6)
    shutil.rmtree(workdir / "checkpoints" / "6")
    assert run(flags, monkeypatch) == 0
    assert "Resuming" in capsys.readouterr().err
    jax.tree.map(np.testing.assert_array_equal, checkpoint_bytes(workdir, 6)[0], whole[0])
    assert json.loads((workdir / "summary.json").read_text()) == summary
    assert [row["step"] for row in read_metrics(workdir / "metrics.jsonl")] == [1, 2, 3, 4, 5, 6]

    # What uses a model uses the last step.
    assert load_run(workdir, cache_dir=prepared_cache).training["step"] == 6
    capsys.readouterr()
    cache = ["--cache_dir", str(prepared_cache)]
    (tmp_path / "targets.txt").write_text("care for patients\nwrite code\n")
    space = ["--targets", str(tmp_path / "targets.txt"), "--out", str(tmp_path / "space")]
    index.main(["--model", str(workdir), *space, *cache])
    rank.main(["nurse", "--index", str(tmp_path / "space"), "--json", *cache])
    assert len(json.loads(capsys.readouterr().out.splitlines()[-1])["hits"]["space"]) == 2
    export.main(["--model", str(workdir), "--out", str(tmp_path / "exported"), *cache])
    card = (tmp_path / "exported" / "README.md").read_text()
    assert "step 6 of 6" in card
    assert ("## Results" in card) == (test > 0)


def test_a_run_whose_held_out_nodes_were_chosen_otherwise_is_not_resumed(
    finished, flags, tmp_path, monkeypatch, capsys
):
    before = workdir.SPLIT_BY
    monkeypatch.setattr(workdir, "SPLIT_BY", "a later rule")
    metrics = (tmp_path / "run" / "metrics.jsonl").read_bytes()
    assert run([*flags, "--config.steps=9"], monkeypatch) == 2
    err = capsys.readouterr().err
    assert f"held-out nodes were chosen by {before}" in err
    assert "Start over with another --config.workdir" in err
    assert (tmp_path / "run" / "metrics.jsonl").read_bytes() == metrics


@pytest.mark.thorough
def test_a_nan_stops_the_run_and_names_the_step(flags, tmp_path, monkeypatch, capsys):
    assert run([*flags, "--config.optimiser.learning_rate=1e30", "--config.optimiser.clip_norm=0"], monkeypatch) == 2
    err = capsys.readouterr().err
    assert re.search(r"Step \d+ has loss (nan|inf).*lower --config.optimiser.learning_rate", err, re.S), err


def test_the_help_lists_the_shipped_configs(monkeypatch, capsys):
    assert run(["--help"], monkeypatch) == 0
    out = " ".join(capsys.readouterr().out.split())
    assert all(path.stem in out for path in CONFIGS)
    assert "two cores, under four minutes" in out


def test_each_source_of_the_zero_shot_config_can_be_trained_on_alone():
    path = f"--config={ROOT / 'configs/zero_shot_minilm.py'}"
    whole = read_config([path])
    alone = [read_config([f"{path}:{name}"]) for name in ("skillskape", "onet", "descriptions", "usajobs", "skillspan")]
    parts = [name for config in alone for name in config.source.parts]
    assert sorted(parts) == sorted(whole.source.parts)
    assert len({config.workdir for config in (whole, *alone)}) == 6
    with pytest.raises(UserError, match="no source 'melo' to train on alone; there are skillskape, onet"):
        read_config([f"{path}:melo"])


def test_the_mixtures_of_the_zero_shot_config_add_to_all_of_it():
    path = f"--config={ROOT / 'configs/zero_shot_minilm.py'}"
    variants = ("", ":job_names", ":taught", ":taught_again")
    whole, names, taught, again = (read_config([f"{path}{variant}"]) for variant in variants)
    assert set(names.source.parts) - set(whole.source.parts) == {"esco_job_alias"}
    assert set(whole.source.parts) < set(names.source.parts)
    assert taught.source.parts == names.source.parts
    assert again.source.parts == names.source.parts
    assert set(taught.loss.distillation.path.split(",")) == set(again.loss.distillation.path.split(","))
    assert not names.loss.distillation.path


@pytest.mark.parametrize("path", CONFIGS, ids=lambda path: path.stem)
def test_every_config_says_its_command(path):
    docstring = runpy.run_path(str(path))["__doc__"]
    for word in ("Command:", "Hardware:", "Time:", "Metric:"):
        assert word in docstring


def _slow_unless(path):
    """The paper's settings (bfloat16, dropout, raw dot products) are tried more often than the others."""
    marks = pytest.mark.thorough if path.stem == "uwe_mpnet" else pytest.mark.slow
    return pytest.param(path, marks=marks, id=path.stem)


@pytest.mark.parametrize("path", [_slow_unless(path) for path in CONFIGS])
def test_every_config_takes_a_step(path, sample_encoder, prepared_cache, tmp_path, monkeypatch):
    edges = tmp_path / "edges"
    edges.mkdir()
    for kind in ("job", "vacancy", "alias"):
        rows = [f"skill {s},{kind} {(s * 7) % 190}" for s in range(240)]
        (edges / f"skill_{kind}.csv").write_text("\n".join(["left,right", *rows]))
    flags = [
        f"--config={path}",
        f"--config.encoder.name={sample_encoder}",
        f"--config.source.cache_dir={prepared_cache}",
        f"--config.workdir={tmp_path / 'run'}",
        "--config.source.source=edges",
        f"--config.source.path={edges}",
        "--config.batch.global_batch_size=8",
        "--config.split.validation=0.1",
        "--config.steps=1",
        *(f"--config.lengths.{kind}=8" for kind in ("skill", "job", "vacancy", "alias")),
        "--config.evaluation.max_queries=4",
        "--config.evaluation.max_test_queries=4",
        "--config.evaluation.texts_per_device=16",
    ]
    assert run(flags, monkeypatch) == 0


@pytest.mark.slow  # a training with a tokeniser of its own
def test_the_multilingual_config_trains_on_the_zips_of_its_languages(tmp_path, monkeypatch):
    """By an encoder with a tokeniser of XLM-R's kind."""
    numbered = ((SKILL, "skill"), (OCCUPATION, "job"))
    skills, jobs = ([(f"{base}{k}", f"{kind} {k}") for k in range(40)] for base, kind in numbered)
    edges = [(job, "essential", skill) for (job, _), (skill, _) in zip(jobs, skills, strict=True)]
    folder = tmp_path / "esco"
    write_zip(folder, "1.1.1", "", relations(edges))
    for code in ("en", "de", "fr", "es", "nl"):
        named = ([(uri, f"{code} {label}", f"{label} {code}") for uri, label in each] for each in (skills, jobs))
        write_zip(folder, "1.1.1", code, classification(*named, language=code))
    flags = [
        f"--config={ROOT / 'configs/esco_multilingual.py'}",
        f"--config.encoder.name={write_tiny_encoder(tmp_path / 'encoder', 'xlm-roberta', layers=1)}",
        f"--config.source.path={folder}",
        f"--config.source.cache_dir={tmp_path / 'cache'}",
        f"--config.workdir={tmp_path / 'run'}",
        "--config.batch.global_batch_size=16",
        "--config.steps=2",
        "--config.split.validation=0.2",
        "--config.split.test=0.2",
        "--config.evaluation.texts_per_device=16",
        "--config.evaluation.skip=('skill_to_alias', 'job_to_skill')",
    ]
    assert run(flags, monkeypatch) == 0
    summary = json.loads((tmp_path / "run" / "summary.json").read_text())
    assert (summary["step"], summary["after"]["skill_to_job"]["targets"]) == (2, 40)
    # Every skill has a label in each further language, and an alternative label in all of them.
    assert summary["after"]["alias_to_skill"]["targets"] == 40
    config = json.loads((tmp_path / "run" / "config.json").read_text())
    assert config["source"]["language"] == "en,de,fr,es,nl"
