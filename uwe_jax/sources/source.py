"""What a source of training graphs is: which graphs it offers, and a function that reads them."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from uwe_jax.data.graph import Edge
from uwe_jax.runtime.errors import UserError
from uwe_jax.sources.mixture.columns import EdgeColumns

# The kind of a graph between jobs, on the left, and further titles of them. No model is trained on it as it is: a
# title takes over the skills of its job.
TITLE = "title"


@dataclass(frozen=True)
class SourceRequest:
    """What a configuration asks of a source.

    Attributes:
      setting: where in the configuration it stands, such as source.parts.onet, for messages.
      path: folder of the downloads; empty for a source that needs none.
      graphs: wanted, of what the source offers; never empty.
      named: the user named these graphs, so that each has to be there; else they are those that the source usually has.
      cache_dir: prepared data goes into its folder tfds.
      relations: of ESCO's skill-job graph: essential, optional or both.
      language: code of the labels' language.
      version: of the source, such as 1.1.1; empty takes the newest there is.
    """

    setting: str
    path: str
    graphs: tuple[str, ...]
    cache_dir: Path
    named: bool = True
    relations: str = "both"
    language: str = "en"
    version: str = ""

    def folder(self, what: str) -> Path:
        """The folder of the downloads.

        Raises:
          UserError: none is named; with `what` it should hold.
        """
        if not self.path:
            raise UserError(f"{self.setting}.path is empty. Expected {what}: set {self.setting}.path.")
        return Path(self.path).expanduser()


@dataclass(frozen=True)
class SourceEdges:
    """What a source gave.

    Attributes:
      origin: what was read from where, such as O*NET 29.3 in downloads.
      edges: by name of the graph, in the order asked for. In a graph of kind title the left side is a job.
      notes: phrases on what was left out, with their numbers.
    """

    origin: str
    edges: dict[str, list[Edge]] | dict[str, EdgeColumns]
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Source:
    """A place that graphs come from.

    Attributes:
      offers: kind of every graph by its name; kinds are job, vacancy, alias and `TITLE`.
      read: reads the graphs that a request names.
      default: graphs that are read where a configuration names none; empty means all.
      jobs: graphs of other kinds than job that have a job in the place of a skill. Where their kind is alias, the right
        side is further titles of it.
      reads: by setting of relations, language and version: the graphs for which it is read.
    """

    offers: Mapping[str, str]
    read: Callable[[SourceRequest], SourceEdges]
    default: tuple[str, ...] = ()
    jobs: frozenset[str] = frozenset()
    reads: Mapping[str, Collection[str]] = field(default_factory=dict)

    def choose(self, names: tuple[str, ...], setting: str) -> tuple[str, ...]:
        """The graphs of some names, or those that are read where there is none.

        Raises:
          UserError: it does not offer one of them.
        """
        for name in names:
            if name not in self.offers:
                near = difflib.get_close_matches(name, self.offers, 1)
                hint = f" Did you mean {near[0]}?" if near else ""
                raise UserError(
                    f"{setting}.graphs holds {name!r}, which this source does not offer.{hint} It offers "
                    f"{', '.join(self.offers)}."
                )
        return names or self.default or tuple(self.offers)
