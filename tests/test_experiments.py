"""Transfer and ablation: grids whose cells fail, are killed, interrupted and resumed; most programs are stand-ins."""

import csv
import functools
import json
import os
import re
import shlex
import signal
import statistics
import subprocess
import sys
import time
from pathlib import Path
from unittest import mock

import pytest
from graphs import edges_of
from stand_in import score
from tiny_encoder import write_tiny_encoder

from uwe_jax.commands.ablate import ablate
from uwe_jax.commands.transfer import transfer
from uwe_jax.config import Config
from uwe_jax.curation.describe.section import Grid as Table
from uwe_jax.curation.describe.section import Section
from uwe_jax.data.sampling import BatchSampler
from uwe_jax.data.split import split_graphs
from uwe_jax.evaluation.decontamination import load_training_graphs
from uwe_jax.evaluation.options import EvaluationOptions
from uwe_jax.runtime.command import answer_errors
from uwe_jax.runtime.config_file import config_help, read_command_line
from uwe_jax.runtime.errors import UserError
from uwe_jax.runtime.options import read_options
from uwe_jax.runtime.plot import save_png
from uwe_jax.sources.edge_files import read_sample
from uwe_jax.studies import cell, experiment
from uwe_jax.studies.cell import Cell, Recipe, Stage, TrainingGraphs
from uwe_jax.studies.grid import locked, run_grid, seconds_left
from uwe_jax.studies.options import GridFlags, read_grid_options
from uwe_jax.studies.summary import Outcome, Scores, notes, read_scores, summarise

read_config = functools.partial(read_command_line, settings=Config, command="train")
ROOT = Path(__file__).parents[1]
QUICKSTART = f"--config={ROOT / 'configs/quickstart.py'}"
ABLATION = f"--config={ROOT / 'configs/ablation.py'}"


@pytest.fixture
def drawn(monkeypatch):
    """Drawing takes longer than all the rest: the paths of what would be drawn."""
    paths = []
    monkeypatch.setattr("uwe_jax.studies.experiment.plot_differences", lambda *given, **_: paths.append(given[-1]))
    return paths


@pytest.fixture(scope="session")
def two_graphs(tmp_path_factory):
    """Settings for a small source with two graphs."""
    folder = tmp_path_factory.mktemp("edges")
    for kind in ("job", "vacancy"):
        rows = [f"skill {s},{kind} {(s * 7) % 90}" for s in range(120)]
        (folder / f"skill_{kind}.csv").write_text("\n".join(["left,right", *rows]))
    return ["--config.source.source=edges", f"--config.source.path={folder}"]


def stand_ins(folder):
    """Beginnings of the commands of cells, by their names in `cell`."""

    def begins(command):
        return (sys.executable, "-S", str(ROOT / "tests/stand_in.py"), str(folder), command)

    return {"TRAIN": begins("train"), "EVALUATE": begins("evaluate")}


class Grid:
    """A command in this process, on stand-ins."""

    def __init__(self, command, config, folder, capsys):
        self.command, self.config, self.folder, self.capsys = command, config, folder, capsys
        self.out = folder / "out"

    def __call__(self, *flags, data=True):
        """Runs it; returns its exit status."""
        (self.folder / "calls").write_text("")
        given = [*self.config, *flags, f"--out={self.out}", *([f"--data={self.folder}"] if data else [])]
        try:
            with mock.patch.multiple(cell, **stand_ins(self.folder)):
                answer_errors(lambda: self.command(given))
        except SystemExit as stop:
            self.said = self.capsys.readouterr()
            return stop.code
        self.said = self.capsys.readouterr()
        return 0

    @property
    def calls(self):
        """What was run, as `train CELL` or `evaluate CELL`."""
        lines = (self.folder / "calls").read_text().splitlines()
        return [f"{line.split()[0]} {re.search(r'cells/([^/ ]+)/', line)[1]}" for line in lines]

    def order(self, orders):
        """What stand-ins shall do instead, by words of their arguments."""
        (self.folder / "orders.json").write_text(json.dumps(orders))

    def read(self, name):
        path = self.out / name
        return json.loads(path.read_text()) if name.endswith("json") else path.read_text()


@pytest.fixture
def grid(two_graphs, tmp_path, capsys, drawn):
    """Transfer between two graphs."""
    return Grid(transfer, [QUICKSTART, *two_graphs], tmp_path, capsys)


@pytest.fixture
def ablation(two_graphs, tmp_path, capsys, drawn):
    return Grid(ablate, [ABLATION, *two_graphs], tmp_path, capsys)


EVERYTHING = [
    "evaluate frozen",
    *(f"{command} {cell}" for cell in ("job-0", "vacancy-0", "all-0") for command in ("train", "evaluate")),
]


# ---- Transfer -------------------------------------------------------------------------------------------------------


def test_transfer_trains_on_each_graph_and_reports_the_gain(grid, drawn):
    assert grid() == 0
    assert grid.calls == EVERYTHING
    lines = (grid.folder / "calls").read_text().splitlines()
    assert [re.findall(r"kinds=(\(.*?\))", line)[-1] for line in lines if line.startswith("train")] == [
        "('job',)",
        "('vacancy',)",
        "('job', 'vacancy')",
    ]
    assert "--model sentence-transformers/all-MiniLM-L6-v2:soft " in lines[0]
    assert (
        "3 trainings (96 steps of 48 skills in all) and 4 evaluations (workbench; at most 1,000 queries per task"
        in grid.said.out
    )
    assert re.search(r"\[3/4\] vacancy, seed 0: evaluation; about \d+ s left", grid.said.err), grid.said.err

    content = grid.read("transfer.json")
    rows = content["rows"]
    assert list(rows) == ["frozen", "job", "vacancy", "all"]
    for name in ("job", "vacancy", "all"):
        found = rows[name]["results"]
        gain = score(f"{name}-0") - score("frozen")
        assert found["job_to_skill"]["map"]["difference"] == pytest.approx(gain)
        assert found["macro"]["map"]["difference"] == pytest.approx(gain / 2)
        assert found["job_to_skill"]["map"]["deviation"] is None
    assert rows["job"]["in_domain"] == ["job_to_skill"]
    assert content["settings"]["config"]["batch"]["global_batch_size"] == 48

    page = grid.read("transfer.md")
    gain = f"{score('job-0') - score('frozen'):+.1f}"
    assert "| trained on | Job2Skill | HOUSE\\|x | macro-average |\n| --- | ---: | ---: | ---: |" in page
    assert f"| frozen | {score('frozen'):.1f} | 20.0 |" in page
    assert f"| job | {gain} † | +0.0 |" in page
    assert page.index("## MAP") < page.index("## RP@10")
    assert "Skipped tech: no file found" in page
    assert drawn == [grid.out / "transfer.png"]
    assert "macro-average" in grid.said.out

    # The same command again has nothing to run, and ends with the same tables.
    (grid.out / "transfer.png").write_bytes(b"old")
    assert grid() == 0
    assert not (grid.out / "transfer.png").exists()  # the picture of other tables; none is drawn here
    assert grid.calls == []
    assert "Nothing is left to run" in grid.said.out
    assert grid.read("transfer.json") == content


def test_a_failed_cell_is_reported_and_alone_run_again(grid):
    grid.order({"train vacancy-0": "fail", "evaluate all-0": "kill"})
    assert grid() == 1
    assert grid.calls == [call for call in EVERYTHING if call != "evaluate vacancy-0"]
    assert "vacancy, seed 0: FAILED in its training (exit status 2" in grid.said.err
    assert re.search("The end of .*vacancy-0/log.txt.*Error: The batch was too large", grid.said.err, re.S)
    assert (
        "all, seed 0: FAILED in its evaluation (ended by SIGKILL, probably because the machine ran out" in grid.said.err
    )
    assert "2 of 4 cells failed" in grid.said.err
    page = grid.read("transfer.md")
    assert "| vacancy | failed | failed | failed |" in page
    assert "vacancy, seed 0 failed: training: exit status 2, after 0 s. Error: The batch was too large." in page

    grid.order({})
    assert grid() == 0
    assert grid.calls == ["train vacancy-0", "evaluate vacancy-0", "evaluate all-0"]
    assert "failed" not in grid.read("transfer.md")


def test_nothing_else_runs_if_the_frozen_encoder_fails(grid):
    grid.order({"evaluate frozen": "fail"})
    assert grid() == 1
    assert grid.calls == ["evaluate frozen"]
    assert "they are not run" in grid.said.err
    assert grid.read("transfer.json")["rows"]["job"]["cells"][0]["status"] == "pending"


@pytest.mark.thorough
def test_a_command_without_readable_results_has_failed(grid):
    grid.order({"train job-0": "nothing"})
    assert grid() == 1
    assert "exit status 0, but there is no training/checkpoints" in grid.said.err
    grid.order({})
    assert grid() == 0
    (grid.out / "cells/all-0/evaluation/results.json").write_text("{")
    assert grid() == 1
    assert "all-0/evaluation/results.json is damaged or incomplete" in grid.said.err
    assert grid() == 0
    assert grid.calls == ["evaluate all-0"]


UNFINISHED = '{"complete": false, "models": {"a": {"results": {}}}, "tasks": {}, "skipped": []}'


@pytest.mark.parametrize("broken", ["", "[]", '{"models": {}}', '{"models": {"a": {"results": {}}}}', UNFINISHED])
@pytest.mark.parametrize("path", ["evaluation/results.json", "training/summary.json"])
def test_broken_results_are_named(broken, path, tmp_path):
    (tmp_path / path).parent.mkdir()
    (tmp_path / path).write_text(broken)
    with pytest.raises(ValueError, match=f"{path} is damaged or incomplete"):
        read_scores(tmp_path)


@pytest.mark.thorough
def test_other_flags_of_the_evaluation_measure_again_without_training(grid):
    assert grid() == 0
    assert grid("--max_queries=7") == 0
    assert grid.calls == [call for call in EVERYTHING if call.startswith("evaluate")]
    assert grid("--max_queries=7", "--seeds=0,1") == 0
    assert [call for call in grid.calls if "train" in call] == ["train job-1", "train vacancy-1", "train all-1"]
    row = grid.read("transfer.json")["rows"]["job"]
    values = [score("job-0"), score("job-1")]
    assert row["results"]["job_to_skill"]["map"]["values"] == values
    assert f"± {statistics.stdev(values):.1f} †" in grid.read("transfer.md")


@pytest.mark.thorough
def test_discarded_checkpoints_are_trained_again_only_when_needed(grid):
    assert grid("--discard_checkpoints") == 0
    assert not list(grid.out.glob("cells/*/training/checkpoints"))
    assert grid() == 0
    assert grid.calls == []
    assert grid("--max_queries=7") == 0
    assert grid.calls == EVERYTHING
    # A folder that was trained in stays that grid's, checkpoints or not.
    assert grid("--config.steps=5") == 2


@pytest.mark.thorough
def test_a_folder_of_another_grid_is_refused(grid, ablation):
    grid.order({"train": "fail"})
    assert grid("--config.steps=5") == 1
    grid.order({})
    assert grid() == 0  # nothing had been trained that another config could spoil
    before = grid.read("transfer.json")
    assert grid("--config.steps=5", "--config.scorer.tau_a=0.2") == 2
    assert "2 differences: scorer.tau_a: 0.1 there, 0.2 now; steps: 32 there, 5 now). Name another" in grid.said.err
    assert grid.calls == []
    assert ablation() == 2
    assert "transfer there, ablation now" in ablation.said.err
    assert grid.read("transfer.json") == before
    (grid.out / "cells/all-0/cell.json").write_text("{")
    assert grid() == 2
    assert "cell.json is not readable JSON" in grid.said.err


def test_a_cell_of_an_edited_variant_is_not_overwritten(ablation, tmp_path):
    file = tmp_path / "mine.py"
    text = Path(ABLATION.partition("=")[2]).read_text()
    file.write_text(text)
    ablation.config[0] = f"--config={file}"
    flags = ("--variants=soft,cosine_0.3", "--seeds=0")
    assert ablation(*flags, data=False) == 0
    file.write_text(text.replace('"scorer.target_tau_a": 0.3', '"scorer.target_tau_a": 2.0'))
    assert ablation(*flags, data=False) == 2
    assert (
        "cosine_0.3-0 was trained with other settings (1 differ: scorer.target_tau_a: 0.3 there, 2.0 now"
        in ablation.said.err
    )


def test_a_dry_run_prints_the_commands_and_writes_nothing(grid):
    assert grid("--dry_run") == 0
    assert grid.calls == []
    assert not grid.out.exists()
    commands = [line for line in grid.said.out.splitlines() if "stand_in.py" in line]
    assert len(commands) == len(EVERYTHING)
    assert not any("--esco_version" in line for line in commands)
    assert grid("--dry_run", "--config.source.version=1.1.0") == 0
    evaluations = [line for line in grid.said.out.splitlines() if " --model " in line]
    assert all("--esco_version 1.1.0" in line for line in evaluations)
    assert len(evaluations) == 4


def test_a_cell_whose_rankings_are_all_skipped_measures_those_of_skills(grid):
    assert grid("--dry_run", "--config.evaluation.skip=('skill_to_job', 'job_to_skill')") == 0
    job, vacancy, both = (line for line in grid.said.out.splitlines() if " train " in line and "stand_in.py" in line)
    assert job.count("evaluation.skip") == 2, "of the command line, and of the cell"
    assert "--config.evaluation.skip=('skill_to_job',)" in shlex.split(job)
    assert vacancy.count("evaluation.skip") == both.count("evaluation.skip") == 1


def test_one_graph_is_compared_with_the_frozen_encoder_alone(grid):
    assert grid("--config.source.kinds=('vacancy',)") == 0
    assert grid.calls == ["evaluate frozen", "train vacancy-0", "evaluate vacancy-0"]
    assert "The source has one graph, skill-vacancy" in grid.said.err


def test_skills_of_a_graph_are_those_of_a_training_on_it_alone():
    graphs = TrainingGraphs.read(read_config([QUICKSTART]))
    for kind, skills in graphs.skills.items():
        config = read_config([QUICKSTART, f"--config.source.kinds=('{kind}',)"])
        splits = split_graphs(load_training_graphs(config.source), config.split.validation, config.split.test)
        assert len(BatchSampler(splits.train, config.batch, 0).skills) == skills


# ---- Ablation -------------------------------------------------------------------------------------------------------


def test_ablation_compares_variants_over_seeds(ablation):
    ablation.order({"train max_sim-1": "fail"})
    assert ablation("--variants=max_sim,soft", "--seeds=0,1,2") == 1
    assert ablation.calls[:3] == ["evaluate frozen", "train soft-0", "evaluate soft-0"]
    assert len(ablation.calls) == 1 + 2 * 5 + 1
    rows = ablation.read("ablation.json")["rows"]
    assert list(rows) == ["frozen", "soft", "max_sim"]
    soft = [score(f"soft-{seed}") for seed in range(3)]
    sim = [score(f"max_sim-{seed}") for seed in (0, 2)]
    found = rows["max_sim"]["results"]["job_to_skill"]["map"]
    assert found["mean"] == pytest.approx(statistics.fmean(sim))
    assert found["deviation"] == pytest.approx(statistics.stdev(sim))
    assert found["difference"] == pytest.approx(statistics.fmean(sim) - statistics.fmean(soft))
    assert rows["max_sim"]["held_out"]["macro"]["map"]["values"] == sim
    page = ablation.read("ablation.md").replace("\\_", "_")
    assert f"| soft | {statistics.fmean(soft):.1f} ± {statistics.stdev(soft):.1f} |" in page
    assert (
        f"| max_sim (1 of 3 failed) | {found['mean']:.1f} ± {found['deviation']:.1f} ({found['difference']:+.1f}) |"
        in page
    )
    assert "frozen" not in page[page.index("## MAP on held-out nodes of the training graphs") :]


def test_without_data_variants_are_compared_on_held_out_nodes(ablation):
    assert ablation("--seeds=4", "--variants=soft,paper", data=False) == 0
    assert ablation.calls == ["train soft-4", "train paper-4"]
    page = ablation.read("ablation.md")
    assert f"| soft | {score('soft-4'):.1f} | {score('soft-4'):.1f} |" in page
    assert "frozen" not in page


def test_variants_with_identical_trainings_are_left_out(ablation):
    assert ablation("--dry_run", "--seeds=0", "--config.source.kinds=('job',)", data=False) == 0
    assert (
        "no_distractors is left out: with these graphs and overrides it trains exactly like soft" in ablation.said.err
    )
    alike = ("mean_pool", "max_sim", "soft_pooled", "cosine_0.3")
    others = ("query_side", "target_side", "one_directional")
    flags = (f"--variants={','.join(('soft', *alike, *others))}", "--config.scorer.kind=max_sim")
    assert ablation("--dry_run", "--seeds=0", *flags, data=False) == 0
    # Temperatures that MaxSim does not read make no other variant.
    for name in alike:
        assert f"{name} is left out" in ablation.said.err
    for name in others:
        assert f"{name} is left out" not in ablation.said.err
    # MaxSim has sides, but what else a variant of soft changes is not read.
    assert ablation("--dry_run", "--seeds=0", "--variants=soft,paper", flags[1], data=False) == 2
    assert "scorer.logits is 'dot', but scorer.kind is 'max_sim'" in ablation.said.err
    assert ablation("--dry_run", "--seeds=0", "--config.scorer.reduce=sum", data=False) == 2
    assert "scorer.reduce is 'sum', but scorer.kind is 'mean_pool'" in ablation.said.err


def test_the_macro_average_is_over_the_tasks_that_all_cells_have(tmp_path):
    def scores(**task_map):
        tasks = {name: {"title": name, "group": groups[name]} for name in task_map}
        return Outcome("done", Scores({name: {"map": value} for name, value in task_map.items()}, {}, tasks))

    groups = {"j2s": "job_to_skill", "tech": "skill_extraction", "house": "skill_extraction", "own": ""}
    cells = [Cell(name, seed, tmp_path, ()) for name, seed in (("frozen", None), ("soft", 0), ("soft", 1))]
    whole = scores(j2s=10.0, tech=40.0, house=20.0, own=90.0)
    outcomes = [whole, scores(j2s=20.0, tech=60.0), scores(j2s=40.0, tech=60.0, house=1.0)]

    def summary(outcomes):
        return summarise(cells, outcomes, {"frozen": "", "soft": ""}, "frozen")

    alone, found = summary([whole]), summary(outcomes)
    assert alone["rows"]["frozen"]["results"]["macro"]["map"]["mean"] == 20.0
    assert alone["not_in_macro"] == []
    assert found["not_in_macro"] == ["house"]  # `own` is beside WorkBench
    assert found["rows"]["frozen"]["results"]["macro"]["map"]["mean"] == 25.0
    soft = found["rows"]["soft"]["results"]
    assert soft["macro"]["map"]["values"] == [40.0, 50.0]
    assert soft["macro"]["map"]["difference"] == 20.0
    assert soft["house"]["map"]["values"] == [1.0]
    assert notes(found) == ["The macro-average excludes tasks that only some of the models have a result on: house."]


def test_a_table_of_many_tasks_is_split_at_80_columns():
    header = ["variant", *(f"A long name of task {k}" for k in range(12))]
    row = ["max_sim (1 of 3 failed)", *(f"{k}.1 ± 0.1 (+1.2)" for k in range(12))]
    lines = Section("MAP", grids=[Table(header, [row])]).terminal().splitlines()
    assert max(map(len, lines)) <= 80
    for text in row[1:]:
        assert sum(f" {text} " in line for line in lines) == 1


def test_every_shipped_variant_differs_from_all_others():
    variants = {}
    exec(compile(Path(ABLATION.partition("=")[2]).read_text(), "ablation.py", "exec"), variants)
    names = list(variants["VARIANTS"])
    assert {"soft", "mean_pool", "max_sim", "soft_pooled"} <= set(names)
    configs = [read_config([f"{ABLATION}:{name}", "--config.workdir=x"]) for name in names]
    assert len({repr(config) for config in configs}) == len(names)
    for default in (ABLATION, QUICKSTART):
        assert configs[names.index("soft")] == read_config([default, "--config.workdir=x"])
    assert configs[names.index("paper")].scorer.logits == "dot"
    assert not configs[names.index("one_directional")].loss.symmetric
    assert configs[names.index("single_positive")].batch.positives == "sampled"
    assert "quickstart " in config_help(Config, "train", "")


def test_every_cell_of_the_picture_has_a_number_or_a_reason(tmp_path, monkeypatch):
    def cell(difference):
        return {"map": {"mean": 1.0, "deviation": None, "difference": difference}}

    figures = []
    monkeypatch.setattr(experiment, "save_png", lambda figure, path: figures.append(figure))
    rows = {
        "frozen": {"status": "done", "results": {"a": cell(0.0), "macro": cell(0.0)}},
        "job": {"status": "done", "results": {"a": cell(-2.5), "macro": cell(1.25)}},
        "alias": {"status": "failed", "results": {}},
        "all": {"status": "done", "results": {"a": cell(0.25)}},
    }
    for row in rows.values():
        row |= {"cells": [{"status": row["status"], "seed": 0}], "in_domain": ["a"]}
    summary = {"baseline": "frozen", "tasks": {"a": {"title": "Job$2$Skill"}}, "rows": rows}

    def plot(rows):
        experiment.plot_differences(summary, "results", rows, tmp_path / "x.png", title="Gain")

    plot(["job", "alias", "all"])
    axes = figures[0].axes[0]
    (shown,) = axes.images
    texts = [text.get_text() for text in axes.texts]
    assert texts == ["-2.5†", "+1.2", "failed", "failed", "+0.2†", "not measured"]
    assert [label.get_text() for label in axes.get_xticklabels()] == [
        "Job$2$Skill\n(frozen 1.0)",
        "macro-average\n(frozen 1.0)",
    ]
    assert shown.get_clim() == (-2.5, 2.5)  # no change is white
    assert sum(patch.get_hatch() == "///" for patch in axes.patches) == 3
    save_png(figures[0], tmp_path / "x.png")
    assert (tmp_path / "x.png").read_bytes().startswith(b"\x89PNG")

    plot([])
    for row in rows.values():
        row["results"] = {}
    plot(["job"])
    assert len(figures) == 1  # an empty picture says nothing


# ---- Bad input ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("command", "flags", "message"),
    [
        (transfer, [QUICKSTART], "--data is required"),
        (transfer, ["--data=."], "--config=FILE has to come first"),
        (transfer, [QUICKSTART, "--data=nowhere"], "--data nowhere is not a folder"),
        (transfer, [QUICKSTART, "--data=.", "--tasks=job_to_skil"], "job_to_skill"),
        (transfer, [QUICKSTART, "--data=.", "--config.steps=0"], "steps is 0"),
        (transfer, [QUICKSTART, "--data=.", "--config.seed=3"], "use --seeds instead"),
        (transfer, [QUICKSTART, "--data=.", "--config.workdir=x"], "use --out instead"),
        (transfer, [QUICKSTART, "--data=.", "--tasks="], "--tasks is empty"),
        (transfer, [QUICKSTART, "--data=.", "--seeds=a"], "whole numbers with commas between"),
        (transfer, [QUICKSTART, "--data=.", "--max_queries=-1"], "--max-queries is -1"),
        (transfer, [QUICKSTART, "--data=.", "--out=/proc/nothing"], "Cannot write to /proc/nothing"),
        (transfer, [QUICKSTART, "--data=.", "--taks=x"], "Unrecognized options: --taks"),
        (
            transfer,
            [QUICKSTART, "--data=.", "--config.batch.global_batch_size=400"],
            r"alone skill-vacancy cannot fill.*skill-job 433, skill-vacancy 397.*at most 397, or leave vacancy out",
        ),
        (ablate, [ABLATION, "--config.batch.global_batch_size=4096"], "4096, but only"),
        (ablate, [ABLATION, "--variants=maxsim"], "no variant 'maxsim'. It has soft, mean_pool"),
        (ablate, [f"{ABLATION}:max_sim"], "Give --config=.*ablation.py and --variants=max_sim"),
        (ablate, [QUICKSTART], "quickstart.py has no VARIANTS"),
        (ablate, ["--config=configs/none.py"], "--config cannot be read"),
    ],
)
def test_bad_input_is_reported(command, flags, message, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit) as stop:
        answer_errors(lambda: command(flags))
    assert stop.value.code == 2
    err = capsys.readouterr().err
    assert re.search(message, err, re.S), err
    assert not (tmp_path / "calls").exists()
    assert not (tmp_path / "runs").exists()


@pytest.mark.parametrize(
    ("argument", "message"),
    [
        (f"{ABLATION}:maxsim", "There is no variant 'maxsim'. Did you mean max_sim?"),
        (f"{QUICKSTART}:soft", "the config file has no variants; remove the colon"),
    ],
)
def test_a_wrong_variant_of_a_config_is_named(argument, message):
    with pytest.raises(UserError, match=message):
        read_config([argument])


# ---- Interruptions --------------------------------------------------------------------------------------------------


def start(grid, interrupts="default_int_handler"):
    """Transfer in a process of its own, until its child waits in the training on vacancies; returns both processes.

    Args:
      interrupts: what SIGINT does in it, of `signal`; a shell has it ignored by what runs in the background.
    """
    grid.order({"train vacancy-0": "wait"})
    script = (
        f"import signal\nsignal.signal(signal.SIGINT, signal.{interrupts})\n"
        "import sys\nfrom uwe_jax.runtime.command import answer_errors\nfrom uwe_jax.studies import cell\n"
        "from uwe_jax.commands.transfer import transfer\n"
        f"vars(cell).update({stand_ins(grid.folder)!r})\n"
        "try:\n    answer_errors(lambda: transfer(sys.argv[1:]))\n"
        "finally:\n    assert 'jax' not in sys.modules, 'devices belong to the cells'\n"
    )
    flags = [*grid.config, f"--out={grid.out}", f"--data={grid.folder}"]
    process = subprocess.Popen(
        [sys.executable, "-c", script, *flags],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    waiting = grid.folder / "waiting"
    while not waiting.exists() or not waiting.read_text():
        assert process.poll() is None, process.communicate()[0]
        time.sleep(0.02)
    return process, int(waiting.read_text())


def is_running(pid):
    try:
        return "Z" not in Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except FileNotFoundError:
        return False


@pytest.mark.thorough
@pytest.mark.parametrize(
    ("number", "status", "interrupts"),
    [
        (signal.SIGINT, 130, "default_int_handler"),
        (signal.SIGTERM, 143, "default_int_handler"),
        (signal.SIGTERM, 143, "SIG_IGN"),
    ],
)
def test_an_interrupted_grid_ends_its_child_and_resumes(grid, number, status, interrupts):
    process, child = start(grid, interrupts)
    process.send_signal(number)
    output, _ = process.communicate(timeout=60)
    assert process.returncode == status, output
    assert "Traceback" not in output
    assert not is_running(child)
    assert (grid.folder / "interrupts").read_text() == "x"  # asked to end once
    assert "| vacancy | pending | pending | pending |" in grid.read("transfer.md")
    grid.order({})
    assert grid() == 0
    assert grid.calls == EVERYTHING[3:]


@pytest.mark.thorough
def test_a_child_that_outlives_its_grid_keeps_the_folder_locked(grid):
    process, child = start(grid)
    process.kill()
    process.communicate()
    grid.order({})
    assert is_running(child)
    assert grid() == 2
    assert f"Another process is working in {grid.out} (process {process.pid} on " in grid.said.err
    os.kill(child, signal.SIGKILL)
    while is_running(child):
        time.sleep(0.02)
    assert grid() == 0
    assert grid.calls == EVERYTHING[3:]


def test_the_estimate_uses_the_mean_of_each_stage(tmp_path):
    training, evaluation = (Stage(name, (), {}, f"{name}.done") for name in ("training", "evaluation"))
    cells = [Cell(str(k), k, tmp_path / str(k), (training, evaluation)) for k in range(4)]
    assert seconds_left(cells) is None
    for each, seconds in zip(cells[:2], (10.0, 20.0), strict=True):
        each.note(training, done=True, seconds=seconds)
        (each.folder / "training.done").touch()
    assert seconds_left(cells) is None
    cells[0].note(evaluation, done=True, seconds=4.0)
    (cells[0].folder / "evaluation.done").touch()
    assert seconds_left(cells) == pytest.approx(2 * 15 + 3 * 4)
    assert seconds_left(cells, 3) == pytest.approx(15 + 4)  # what failed before is not run again at once


# ---- The real commands ----------------------------------------------------------------------------------------------


@pytest.fixture
def real(tmp_path, monkeypatch):
    """Flags of a small grid on the sample's job titles: a tiny encoder, and a task of twenty of the pairs."""
    edges = edges_of(read_sample(("job",))["job"])
    words = sorted({word for edge in edges for word in f"{edge.left_text} {edge.right_text}".split()})
    write_tiny_encoder(tmp_path / "encoder", words=tuple(words), width=16, layers=1)
    task = tmp_path / "mytask"
    task.mkdir()
    chosen = edges[::40]
    skills = sorted({edge.left_text for edge in chosen})
    jobs = sorted({edge.right_text for edge in chosen})
    for name, header, rows in (
        ("queries", ("id", "text"), [(f"q{k}", text) for k, text in enumerate(jobs)]),
        ("targets", ("id", "text"), [(f"t{k}", text) for k, text in enumerate(skills)]),
        (
            "relevant",
            ("query_id", "target_id"),
            [(f"q{jobs.index(edge.right_text)}", f"t{skills.index(edge.left_text)}") for edge in chosen],
        ),
    ):
        with (task / f"{name}.csv").open("w", newline="") as file:
            csv.writer(file).writerows([header, *rows])
    monkeypatch.setenv("XLA_FLAGS", f"{os.environ['XLA_FLAGS']} --xla_force_host_platform_device_count=1")
    return [
        QUICKSTART,
        f"--config.encoder.name={tmp_path / 'encoder'}",
        f"--config.source.cache_dir={tmp_path / 'cache'}",
        "--config.source.kinds=('job',)",
        "--config.scorer.kind=mean_pool",  # compiles the fewest programs
        "--config.batch.global_batch_size=16",
        "--config.steps=2",
        "--config.evaluation.max_queries=8",
        "--config.evaluation.max_test_queries=8",
        "--config.evaluation.skip=('skill_to_job',)",
        f"--tasks={task}",
        f"--data={tmp_path}",
        f"--out={tmp_path / 'out'}",
    ]


@pytest.mark.slow
def test_a_real_evaluation_in_a_process_of_its_own(real, tmp_path):
    flags, options = read_grid_options(GridFlags, real, command="transfer", about="")
    config = read_config(flags)
    recipe = Recipe(options, {})
    with locked(options.out) as lock:
        (outcome,) = run_grid([recipe.frozen(config)], options.out, lock)
    assert outcome.status == "done", (options.out / "cells/frozen/log.txt").read_text()
    (found,) = outcome.scores.results.values()
    assert 0 < found["map"] < 100
    assert list(outcome.scores.tasks) == ["mytask"]
    # The commands of a trained cell are those that the real programs take.
    training, evaluation = recipe.trained("job", 3, flags).stages
    assert read_config(training.command[3:]).seed == 3
    chosen = read_options(EvaluationOptions, evaluation.command[4:], command="evaluate", about="")
    assert chosen.model == (str(options.out / "cells/job-3/training"),)


@pytest.mark.slow  # four processes that start JAX
def test_a_real_grid(real, tmp_path, monkeypatch, capsys):
    monkeypatch.delenv("JAX_COMPILATION_CACHE_DIR")
    transfer(real)
    content = json.loads((tmp_path / "out/transfer.json").read_text())
    (name,) = content["tasks"]
    trained = content["rows"]["job"]
    assert trained["results"][name]["map"]["difference"] != 0
    assert trained["in_domain"] == [name]
    assert set(trained["held_out"]) == {"job_to_skill", "macro"}
    assert any((tmp_path / "out/compiled").iterdir())  # compiled programs are shared by the cells
    transfer(real)
    assert "Nothing is left to run" in capsys.readouterr().out
