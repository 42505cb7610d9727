"""Kills processes at every file operation of changes of a space, and looks at what is left. A script without jax.

    python killed_writer.py FOLDER

FOLDER holds two spaces, `there` and `more`; others are made beside them. Prints how many processes were killed.
"""

import itertools
import os
import resource
import shutil
import signal
import sys
from collections.abc import Callable
from pathlib import Path

from uwe_jax.retrieval.store.folder import append, compact, load_index, remove, verify
from uwe_jax.runtime.errors import UserError

os.fsync = lambda file: None  # a kill loses nothing that was written, and waiting for the disk takes most of the time
WRITES = {"os.mkdir", "os.rename", "os.remove"}


def state(folder: Path) -> list | None:
    """All that a space says, None where there is none."""
    try:
        space = load_index(folder)
    except UserError:
        return None
    verify(folder)
    tokens = space.tokens
    rows = [tokens.part(k, k + 1).flat.tobytes() for k in range(len(tokens))]
    return list(zip(space.ids, space.texts, rows, strict=True))


def in_child(work: Callable[[], object]) -> bool:
    """Whether a process that does some work was killed."""
    child = os.fork()
    if not child:
        try:
            work()
        finally:
            os._exit(0)
    return os.WIFSIGNALED(os.waitpid(child, 0)[1])


def killed_at(moment: int, folder: Path, change: Callable[[Path], object]) -> bool:
    """Kills a change before the file operation of that number; false where it has fewer."""

    def work() -> None:
        left = moment

        def hook(event: str, arguments: tuple) -> None:
            nonlocal left
            written = event in WRITES or (event == "open" and arguments[2] & (os.O_WRONLY | os.O_RDWR | os.O_CREAT))
            if written and str(folder) in str(arguments[:2]):
                left -= 1
                if left < 0:
                    os.kill(os.getpid(), signal.SIGKILL)

        sys.addaudithook(hook)
        change(folder)

    return in_child(work)


def killed_within(size: int, folder: Path, change: Callable[[Path], object]) -> bool:
    """Kills a change once a file of it has that many bytes; false where none becomes so large."""

    def work() -> None:
        signal.signal(signal.SIGXFSZ, signal.SIG_DFL)
        resource.setrlimit(resource.RLIMIT_FSIZE, (size, size))
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        change(folder)

    return in_child(work)


def main(folder: Path) -> None:
    there, more = folder / "there", load_index(folder / "more")
    changes: dict[str, Callable[[Path], object]] = {
        "save": lambda path: more.save(path),
        "first save": lambda path: more.save(path),
        "append": lambda path: append(path, more),
        "remove": lambda path: remove(path, ["t1", "t2"]),
        "compact": compact,
    }
    kills = 0
    for name, change in changes.items():

        def fresh(path: Path, name: str = name) -> Path:
            shutil.rmtree(path, ignore_errors=True)
            if name != "first save":
                shutil.copytree(there, path)
            return path

        before = state(fresh(folder / "changed"))
        change(folder / "changed")
        after = state(folder / "changed")
        for kill, numbers in ((killed_at, itertools.count()), (killed_within, (0, 100, 1000))):
            for number in numbers:
                path = fresh(folder / "killed")
                if not kill(number, path, change):
                    assert state(path) == after, (name, number)
                    break
                kills += 1
                assert state(path) in (before, after), (name, number)
                change(path)
                assert state(path) == after, (name, number)
                compact(path)
                assert state(path) == after, (name, number)
                names = sorted(each.name for each in path.rglob("*") if each.name != "space.lock")
                assert len(names) == 3, (name, number, names)  # the manifest, the folder of segments, a segment
    assert "jax" not in sys.modules
    print(kills)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
