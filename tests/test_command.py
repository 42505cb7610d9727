"""Tests that every command names a path that cannot be opened, and that bugs keep their traceback."""

import builtins
import errno
import functools
import io
import os
import re
from collections.abc import Callable
from pathlib import Path

import pytest
from vacancy_files import many, write_rows, write_taxonomy

import uwe_jax
from uwe_jax.commands import ablate, combine, describe, enrich, evaluate, index, rank, tag, transfer
from uwe_jax.commands.train import train
from uwe_jax.config import Config
from uwe_jax.runtime.command import answer_errors, exit_status
from uwe_jax.runtime.config_file import read_command_line

read_config = functools.partial(read_command_line, settings=Config, command="train")

CONFIGS = Path(__file__).parents[1] / "configs"
EDGES = ["--config.source.source=edges", "--config.source.path=edges"]
QUICK = [f"--config={CONFIGS / 'quickstart.py'}", *EDGES]
TASK = ["--tasks", "task", "--model", "bm25", "--offline", "--out", "out"]
TAG = ["--vacancies", "jobs", "--taxonomy", "skills.csv", "--out", "out"]

# By the file that cannot be opened and the command: who reads it, and what for.
READERS: dict[tuple[str, str], Callable[[], object]] = {
    ("titles.csv", "index"): lambda: index.main(["--model", "none", "--targets", "titles.csv", "--out", "out"]),
    ("titles.csv.gz", "index"): lambda: index.main(["--model", "none", "--targets", "titles.csv.gz", "--out", "out"]),
    ("titles.jsonl", "index"): lambda: index.main(["--model", "none", "--targets", "titles.jsonl", "--out", "out"]),
    ("titles.txt", "index"): lambda: index.main(["--model", "none", "--targets", "titles.txt", "--out", "out"]),
    ("titles.txt", "index, to remove"): lambda: index.main(["--remove", "titles.txt", "--out", "out"]),
    ("titles.csv", "rank"): lambda: rank.main(["--index", "none", "--queries", "titles.csv"]),
    ("task/queries.csv", "evaluate"): lambda: evaluate.main(TASK),
    ("task/relevant.csv", "evaluate"): lambda: evaluate.main(TASK),
    ("task/task.json", "evaluate"): lambda: evaluate.main(TASK),
    ("edges/skill_job.csv", "describe"): lambda: describe.main([*EDGES, "--out", "out"]),
    ("edges/skill_job.csv", "combine"): lambda: combine.combine([*QUICK, "--out=out"]),
    ("edges/skill_job.csv", "enrich"): lambda: enrich.main(
        [f"--config={CONFIGS / 'enrich.py'}", "--config.generator=template", *EDGES, "--config.out=out"]
    ),
    ("edges/skill_job.csv", "train"): lambda: train(read_config([*QUICK, "--config.workdir=out"])),
    ("edges/skill_job.csv", "transfer"): lambda: transfer.transfer([*QUICK, "--data=task", "--out=out"]),
    ("edges/skill_job.csv", "ablate"): lambda: ablate.ablate(
        [f"--config={CONFIGS / 'ablation.py'}", *EDGES, "--out=out"]
    ),
    ("jobs/v.jsonl", "tag"): lambda: tag.main(TAG),
    ("skills.csv", "tag"): lambda: tag.main(TAG),
    ("skills.csv", "describe"): lambda: describe.main([*EDGES, "--taxonomy", "skills.csv", "--out", "out"]),
}


@pytest.fixture
def here(tmp_path, monkeypatch):
    """A folder of inputs for all commands, in which they run."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("UWE_JAX_CACHE", str(tmp_path / "cache"))
    rows = [{"id": "1", "title": "nurse"}, {"id": "2", "title": "welder"}]
    for name in ("titles.csv", "titles.csv.gz", "titles.jsonl"):
        write_rows(tmp_path / name, rows)
    (tmp_path / "titles.txt").write_text("nurse\nwelder\n")
    pairs = [{"left": skill, "right": job} for skill, job in (("care", "nurse"), ("weld", "welder"))]
    (tmp_path / "edges").mkdir()
    write_rows(tmp_path / "edges" / "skill_job.csv", pairs)
    (tmp_path / "task").mkdir()
    for name, row in (("queries", {"id": "1", "text": "nurse"}), ("targets", {"id": "1", "text": "care"})):
        write_rows(tmp_path / "task" / f"{name}.csv", [row])
    write_rows(tmp_path / "task" / "relevant.csv", [{"query_id": "1", "target_id": "1"}])
    (tmp_path / "task" / "task.json").write_text("{}")
    write_rows(tmp_path / "jobs" / "v.jsonl", many(3))
    write_taxonomy(tmp_path / "skills.csv")
    return tmp_path


@pytest.mark.parametrize(("name", "command"), READERS)
def test_a_file_that_may_not_be_read_is_named(here, monkeypatch, capsys, name, command):
    opened = io.open

    def refusing(path, *args, **kwargs):
        if not isinstance(path, int) and Path(os.fsdecode(path)).absolute() == here / name:
            raise PermissionError(errno.EACCES, "Permission denied", str(path))
        return opened(path, *args, **kwargs)

    monkeypatch.setattr(io, "open", refusing)
    monkeypatch.setattr(builtins, "open", refusing)
    with pytest.raises(SystemExit, match="2"):
        answer_errors(READERS[name, command])
    said = capsys.readouterr().err
    assert re.search(f"{name} cannot be (opened|read): Permission denied. Ask its owner for permission", said)
    assert "Traceback" not in said


DEEP = "[" * 100_000


@pytest.mark.parametrize(
    ("name", "command"),
    [
        ("edges/graphs.json", lambda: describe.main([*EDGES, "--out", "out"])),
        ("task/task.json", lambda: evaluate.main(TASK)),
        ("results.json", lambda: evaluate.main([*TASK, "--join", "results.json"])),
        ("out/tagging.json", lambda: tag.main(TAG)),
        (
            "extra_body",
            lambda: enrich.main([f"--config={CONFIGS / 'enrich.py'}", f"--config.endpoint.extra_body={DEEP}"]),
        ),
    ],
)
@pytest.mark.parametrize("content", [DEEP, '["a"]', '"a"', "null"])
def test_json_of_another_kind_is_named(here, capsys, name, command, content):
    if name != "extra_body":
        (here / name).parent.mkdir(exist_ok=True)
        (here / name).write_text(content)
    with pytest.raises(SystemExit, match="2"):
        answer_errors(command)
    assert Path(name).parts[0] in capsys.readouterr().err[:300]


@pytest.mark.parametrize(
    ("work", "message"),
    [
        (lambda: Path("edges").read_text(), "edges cannot be opened: Is a directory. Name a file."),
        (lambda: Path("titles.csv/out").mkdir(), "titles.csv/out cannot be opened: Not a directory."),
        (lambda: Path("titles.csv").mkdir(), "titles.csv cannot be opened: File exists. Remove what is in its place"),
        (lambda: Path("x" * 300).read_text(), "cannot be opened: File name too long. Name a shorter path."),
        (lambda: Path("loop").read_text(), "loop cannot be opened: Too many levels of symbolic links."),
        (
            lambda: Path("loop").resolve().read_text(),
            "loop cannot be opened: Too many levels of symbolic links. Name a path that does not link to itself.",
        ),
    ],
)
def test_a_path_of_another_kind_is_named(here, capsys, work, message):
    Path("loop").symlink_to("loop")
    with pytest.raises(SystemExit, match="2"):
        answer_errors(work)
    assert f"Error: {message}" in (said := capsys.readouterr().err) or said.endswith(f"{message}\n")


@pytest.mark.parametrize(
    "bug",
    [
        FileNotFoundError(errno.ENOENT, "No such file or directory", "made_by_us.json"),
        FileExistsError(errno.EEXIST, "File exists", "/"),
        PermissionError(errno.EPERM, "Operation not permitted"),
        PermissionError(errno.EACCES, "Permission denied", str(Path(uwe_jax.__file__).parent / "data" / "sample")),
        OSError("no number at all"),
        RuntimeError("Symlink loop"),
        ConnectionResetError(errno.ECONNRESET, "Connection reset by peer"),
        NotADirectoryError(errno.ENOTDIR, "Not a directory", 7),
    ],
)
def test_other_errors_keep_their_traceback(bug, capsys):
    def work():
        raise bug

    with pytest.raises(type(bug)) as raised:
        answer_errors(work)
    assert raised.value is bug
    assert exit_status(bug) == 1
    assert not capsys.readouterr().err
