"""Writes the files of one evaluation, never mixed with those of an earlier one."""

from __future__ import annotations

import contextlib
import itertools
import re
from pathlib import Path

from uwe_jax.evaluation.aggregate import Results
from uwe_jax.evaluation.markdown_report import markdown
from uwe_jax.evaluation.plots import plot
from uwe_jax.runtime.errors import UserError
from uwe_jax.runtime.files import write_atomically, write_json
from uwe_jax.runtime.json_file import read_json

# Rankings and runs, and their folders, the innermost first.
_FILES = ("rankings/*/*.jsonl", "rankings/*/*.md", "runs/*/*.trec")
_FOLDERS = ("rankings/*/", "runs/*/", "rankings", "runs")


class ResultsFolder:
    """Writes results.json, results.md and results.png of the same, changing results, and holds rankings.

    As long as results.json says `"complete": false`, other files may be missing or older. The first write marks an
    earlier evaluation as incomplete and removes its files, so a kill at any moment leaves files of one evaluation.
    """

    def __init__(self, folder: Path, results: Results):
        self._results = results
        self._json, self._page, self._picture = (folder / f"results.{end}" for end in ("json", "md", "png"))
        self._folder = folder
        self._begun = False

    def of_model(self, kind: str, model: str) -> Path:
        """Returns the folder for the rankings or runs of a model, without those of an earlier evaluation."""
        self._begin()
        return self._folder / kind / (re.sub(r"[^\w.-]+", "_", model).strip("._") or "model")

    def write(self) -> None:
        """Writes the results so far; if they are complete, the picture as well."""
        self._begin()
        if self._results["complete"]:
            plot(self._results, self._picture)
        write_atomically(self._page, markdown(self._results).encode())
        write_json(self._json, self._results)  # last: it says whether the others are complete

    def _begin(self) -> None:
        if self._begun:
            return
        if self._json.exists():
            try:
                write_json(self._json, {**read_json(self._json, ""), "complete": False})
            except UserError:  # of another program, or damaged
                self._json.unlink()
            for path in itertools.chain.from_iterable(map(self._folder.glob, _FILES)):
                path.unlink()
            for folder in itertools.chain.from_iterable(map(self._folder.glob, _FOLDERS)):
                with contextlib.suppress(OSError):  # it holds files of the user
                    folder.rmdir()
        for path in (self._page, self._picture):
            path.unlink(missing_ok=True)
        write_json(self._json, {**self._results, "complete": False})
        self._begun = True
