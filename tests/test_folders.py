"""Tests that replacing a folder is atomic, however the process ends, and leaves nothing else."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from every_line import at_every_line

from uwe_jax.runtime import folders, locks
from uwe_jax.runtime.errors import UserError
from uwe_jax.runtime.folders import replacing, restore

OLD = {"a.txt": "old", "in/b.txt": "old", "old.txt": "old"}
NEW = {"a.txt": "new", "in/b.txt": "new"}
WRITE = """
import sys, time
from pathlib import Path
from uwe_jax.runtime.folders import replacing
with replacing(Path(sys.argv[1])) as new:
    new.mkdir()
    (new / "weights").write_text("many")
    print("writing", flush=True)
    time.sleep(600)
"""
# What replaces, locks and removes. Interrupts are raised in the first alone: the others clean up less well than a kill.
REPLACES, ALL = {folders.__file__}, {folders.__file__, locks.__file__, shutil.__file__}


@pytest.fixture(autouse=True)
def without_waiting_for_the_disk(monkeypatch):
    monkeypatch.setattr(os, "fsync", lambda _: None)


def write(folder, files):
    for name, text in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)


def read(folder):
    return {path.relative_to(folder).as_posix(): path.read_text() for path in folder.rglob("*") if path.is_file()}


def replace(target, files, **options):
    with replacing(target, **options) as new:
        write(new, files)


def check_recovered(target):
    """A reader finds the complete old or new folder; the next writer leaves only its own."""
    restore(target)
    assert read(target) in (OLD, NEW)
    replace(target, {"c.txt": "third"})
    assert read(target.parent) == {f"{target.name}/c.txt": "third"}
    shutil.rmtree(target.parent)


def test_a_kill_at_any_line_leaves_the_old_folder_or_the_new_one(tmp_path):
    target, states = tmp_path / "world" / "out", tmp_path / "states"
    write(target, OLD)
    with at_every_line(lambda line: shutil.copytree(target.parent, states / str(line)), ALL):
        replace(target, NEW)
    assert read(target.parent) == {f"out/{name}": text for name, text in NEW.items()}
    found = [states / str(line) / "out" for line in range(len(list(states.iterdir())))]
    moved = [state for state in found if not state.exists()]
    assert moved  # the moment between the two renames is among them
    for state in found:
        check_recovered(state)


# An interrupt just before a block is left leaves what it opened to the end of the process.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_an_interrupt_at_any_line_leaves_the_old_folder_or_the_new_one(tmp_path):
    def interrupt(line):
        if line == at:
            raise KeyboardInterrupt

    missing = 0
    for at in range(10_000):
        target = tmp_path / str(at) / "out"
        write(target, OLD)
        try:
            with at_every_line(interrupt, REPLACES):
                replace(target, NEW)
        except KeyboardInterrupt:
            missing += not target.exists()
            # Another process finds the folder, and not the locks of this one.
            shutil.copytree(target.parent, tmp_path / "next")
            check_recovered(tmp_path / "next" / "out")
        else:
            break
    assert at > 20
    assert missing <= 2  # but for an interrupt while it is put back, it is back at once


@pytest.fixture
def started(tmp_path):
    """Starts a process that replaces a folder again and again."""
    processes = []

    def start(name):
        command = [sys.executable, "-c", WRITE, str(tmp_path / name)]
        processes.append(subprocess.Popen(command, stdout=subprocess.PIPE, text=True))
        assert processes[-1].stdout.readline() == "writing\n"
        return processes[-1]

    yield start
    for process in processes:
        process.kill()
        process.communicate()


def test_remains_of_killed_processes_are_removed_and_output_of_running_ones_is_not(tmp_path, started):
    dead, living = started("dead"), started("living")
    dead.kill()
    dead.wait()
    kept = {f".living.replacing{end}" for end in ("", ".lock")}
    assert {path.name for path in tmp_path.iterdir()} == {*kept, *(name.replace("living", "dead") for name in kept)}
    replace(tmp_path / "mine", NEW)
    assert {path.name for path in tmp_path.iterdir()} == {"mine", *kept}
    with pytest.raises(UserError, match=rf"process is writing .*/living \(process {living.pid} on .* or name an"):
        replace(tmp_path / "living", NEW, patience=0)
    assert read(tmp_path / ".living.replacing") == {"new/weights": "many"}


def test_a_block_that_raises_or_writes_nothing_leaves_the_target(tmp_path):
    write(tmp_path / "out", OLD)
    with pytest.raises(IsADirectoryError), replacing(tmp_path / "out") as new:
        write(new, {**NEW, new: ""})
    with replacing(tmp_path / "out"):
        pass
    refused = iter((None, UserError("changed meanwhile")))

    def check():
        if error := next(refused):
            raise error

    with pytest.raises(UserError, match="changed meanwhile"), replacing(tmp_path / "out", check=check) as new:
        write(new, NEW)
    assert read(tmp_path) == {f"out/{name}": "old" for name in OLD}


def test_a_folder_that_is_not_writable_is_reported(tmp_path):
    (tmp_path / "file").write_text("mine")
    inside = replacing(tmp_path / "file" / "out", advice="name another folder with --out")
    with pytest.raises(UserError, match=r"Cannot write to .*/file: .*\. Name another folder with --out\.$"), inside:
        pass


def test_a_file_is_replaced_and_a_folder_by_its_relative_name(tmp_path, monkeypatch):
    (tmp_path / "one").write_text("old")
    with replacing(tmp_path / "one") as new:
        new.write_text("new")
    assert read(tmp_path) == {"one": "new"}
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    replace(Path(), NEW)
    assert read(tmp_path / "here") == NEW
