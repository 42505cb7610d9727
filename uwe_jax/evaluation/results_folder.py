"""The files of one evaluation: never beside those of another, and marked as long as they are not all there."""

from __future__ import annotations

import contextlib
from pathlib import Path

from uwe_jax.evaluation.aggregate import Results
from uwe_jax.runtime.errors import UserError
from uwe_jax.runtime.files import write_atomically, write_json
from uwe_jax.runtime.json_file import read_json


class ResultsFolder:
    """Writes results.json, results.md and results.png, and has room for rankings.

    As long as results.json says `"complete": false`, other files may be missing or behind it. The first write of an
    evaluation marks the earlier one so, removes its files and then begins with its own, so a kill at any moment leaves
    files of one evaluation.
    """

    def __init__(self, folder: Path):
        self._folder = folder
        self._json, self._page, self._picture = (folder / f"results.{end}" for end in ("json", "md", "png"))
        self._rankings = folder / "rankings"
        self._begun = False

    def rankings(self, results: Results) -> Path:
        """The folder of rankings, where none of an earlier evaluation is left."""
        self._begin(results)
        return self._rankings

    def write(self, results: Results) -> None:
        """Writes what is measured so far."""
        from uwe_jax.evaluation.markdown_report import markdown

        self._begin(results)
        write_json(self._json, results)
        write_atomically(self._page, markdown(results).encode())

    def finish(self, results: Results) -> None:
        """Writes all files of an evaluation that has come to its end, and sets its `complete`."""
        from uwe_jax.evaluation.markdown_report import markdown
        from uwe_jax.evaluation.plots import plot

        self._begin(results)
        results["complete"] = True
        plot(results, self._picture)
        write_atomically(self._page, markdown(results).encode())
        write_json(self._json, results)  # last: it says that the others are there

    def _begin(self, results: Results) -> None:
        if self._begun:
            return
        if self._json.exists():
            try:
                write_json(self._json, {**read_json(self._json, ""), "complete": False})
            except UserError:  # of another program, or damaged
                self._json.unlink()
            for end in ("jsonl", "md"):
                for path in self._rankings.glob(f"*/*.{end}"):
                    path.unlink()
            for folder in (*self._rankings.glob("*/"), self._rankings):
                with contextlib.suppress(OSError):  # it is not there, or holds files of the user
                    folder.rmdir()
        for path in (self._page, self._picture):
            path.unlink(missing_ok=True)
        write_json(self._json, results)
        self._begun = True
