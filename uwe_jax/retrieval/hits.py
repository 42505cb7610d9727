"""Hits as lists that print as tables, in a terminal and in a notebook."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from rich.table import Table

from uwe_jax.retrieval.calibration import RAW_SCORE, Calibration
from uwe_jax.retrieval.store.columns import DESCRIPTION
from uwe_jax.retrieval.store.searchable import Hit
from uwe_jax.runtime.text_table import html_table, render_table
from uwe_jax.sources.tables.problems import shorten

_SHOWN = 100  # hits of a list that is printed
_TITLE = 50  # characters of a query and an index in the title, which has at most 80


class Hits(list[Hit]):
    """The hits of one query, best first; prints as a table, also in a notebook.

    Attributes:
      query: its text.
      calibration: that the probabilities are from; None where they are None.
      total: number of targets that were ranked, of which these are the best; 0 where it is unknown.
      none: where there were hits and none reached a threshold: a sentence that says so; else "".
    """

    def __init__(
        self,
        hits: Iterable[Hit] = (),
        query: str = "",
        calibration: Calibration | None = None,
        none: str = "",
        total: int = 0,
    ):
        super().__init__(hits)
        self.query, self.calibration, self.none, self.total = query, calibration, none, total

    def _with(self, hits: Iterable[Hit], none: str) -> Hits:
        return Hits(hits, self.query, self.calibration, none, self.total)

    @property
    def note(self) -> str:
        """Returns what raw scores mean, in a sentence, where hits have no probabilities; else ""."""
        return RAW_SCORE if self and self.calibration is None else ""

    @property
    def best_of(self) -> str:
        """Returns how many these are of how many.

        >>> Hits([Hit("1", "weld", 0.5)], total=60).best_of
        'the best of 60'
        """
        if not self.total:
            return ""
        count = len(self)
        if count == self.total:
            return f"all {count:,}"
        return f"the {f'{count:,} ' if count > 1 else ''}best of {self.total:,}"

    def reaching(self, min_score: float | None = None, min_probability: float | None = None) -> Hits:
        """Returns the hits of at least a score and at least a probability, which all hits must have.

        >>> hits = Hits([Hit("1", "weld", 0.5)], "cook")
        >>> len(hits.reaching(0.5)), hits.reaching(0.6).none
        (1, "0 of 1 hits reach score 0.6; the best, 'weld', has 0.5000.")
        """
        kept = self
        for name, least in (("score", min_score), ("probability", min_probability)):
            if least is None or not kept:
                continue
            reached = [hit for hit in kept if getattr(hit, name) >= least]
            none = "" if reached else kept._below(name, least)
            kept = self._with(reached, none)
        return kept

    def without(self, none: str) -> Hits:
        """Returns no hits, and why."""
        return self._with((), none)

    def _below(self, name: str, least: float) -> str:
        best = max(self, key=lambda hit: getattr(hit, name))
        nearest = f"the best, {shorten(best.text)}, has {getattr(best, name):.4f}."
        text = f"0 of {len(self)} hits reach {name} {least:g}; {nearest}"
        if name == "score" or self.calibration is None:
            return text
        wrong = self.calibration.at(least).none_wrong
        return f"{text} Of such answers to held-out queries {wrong:.0%} were wrong: the query had a right target."

    def __getitem__(self, at: Any) -> Any:
        found = super().__getitem__(at)
        return self._with(found, self.none) if isinstance(at, slice) else found

    def __repr__(self) -> str:
        return render_table(self.table(most=_SHOWN)) + self._more() if self else self.none or "[]"

    def _repr_html_(self) -> str:
        return html_table(self.table(most=_SHOWN)) + self._more()

    def _more(self) -> str:
        more = f"\n... and {len(self) - _SHOWN:,} more" if len(self) > _SHOWN else ""
        return f"{more}\n{self.note}" if self.note else more

    def table(self, place: str = "", most: int | None = None, show: Sequence[str] | None = None) -> Table:
        """Returns a table of rank, score, text, the name that matched where it is another one, ids and further columns.

        Ids that are the texts are left out, as is what words in common add where that is nothing.

        Args:
          place: name of the index, for the title.
          most: hits to show; None shows all.
          show: further columns to show; None shows all.
        """
        most_letters = max(_TITLE - len(place), _TITLE // 2)
        title = self.query if len(self.query) <= most_letters else f"{self.query[:most_letters]}..."
        parts = (f'"{title}" in {place}' if place else title, self.best_of)
        table = Table(title=": ".join(filter(None, parts)))
        table.add_column("", justify="right")
        table.add_column("score", justify="right")
        if calibrated := any(hit.probability is not None for hit in self):
            table.add_column("probability", justify="right")
        if by_words := any(hit.words for hit in self):
            table.add_column("of words", justify="right")
        ids = ["id"] if any(hit.id != hit.text for hit in self) else []
        names = list(dict.fromkeys(name for hit in self for name in hit.columns)) if show is None else show
        matched = ["matched"] if any(hit.name or hit.exact for hit in self) else []
        for name in ("target", *matched, *ids, *names):
            table.add_column(name, overflow="fold")
        for number, hit in enumerate(self[:most], 1):
            notes = [*(["description"] if hit.role == DESCRIPTION else []), *(["exact name"] if hit.exact else [])]
            more = [f"{hit.name} ({', '.join(notes)})".strip() if notes else hit.name] if matched else []
            more += ([hit.id] if ids else []) + [hit.columns.get(name, "") for name in names]
            part = [f"{hit.probability or 0:.2f}"] if calibrated else []
            part += [f"{hit.words:.4f}"] if by_words else []
            table.add_row(str(number), f"{hit.score:.4f}", *part, hit.text, *more)
        return table


class Rankings(list[Hits]):
    """The hits of several queries: a list that prints as one table below the other."""

    def __repr__(self) -> str:
        return "\n".join(map(repr, self)) or "[]"

    def _repr_html_(self) -> str:
        return "".join(hits._repr_html_() for hits in self)
