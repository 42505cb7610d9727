"""The interface of a source of training graphs: the graphs it offers, and a function that reads them."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from uwe_jax.data.graph import Edge
from uwe_jax.runtime.errors import UserError
from uwe_jax.runtime.settings import did_you_mean
from uwe_jax.sources.mixture.columns import EdgeColumns

# The kind of a graph of jobs, on the left, and their further titles. It is not trained on directly: a title takes over
# the skills of its job.
TITLE = "title"


@dataclass(frozen=True)
class SourceRequest:
    """The settings of a source."""

    setting: str  # its place in the configuration, such as source.parts.onet, for messages
    path: str  # folder of the downloads; empty for a source that needs none
    graphs: tuple[str, ...]  # wanted, of those the source offers; never empty
    cache_dir: Path  # prepared data goes into its folder tfds
    named: bool = True  # whether the user named the graphs, so that each must be found; else they are the default ones
    relations: str = "both"  # of ESCO's skill-job graph: essential, optional or both
    language: str = "en"  # code of the labels' language
    version: str = ""  # of the source, such as 1.1.1; empty takes the newest
    names: tuple[str, ...] = ()  # kinds of node whose further names are wanted, of `Source.names`

    def folder(self, what: str) -> Path:
        """Returns the folder of the downloads; UserError with the expected content, `what`, if none is set."""
        if not self.path:
            raise UserError(f"{self.setting}.path is empty. Expected {what}: set {self.setting}.path.")
        return Path(self.path).expanduser()


@dataclass(frozen=True)
class SourceEdges:
    """The graphs read from a source."""

    origin: str  # what was read from where, such as O*NET 29.3 in downloads
    edges: dict[str, list[Edge]] | dict[str, EdgeColumns]  # by name of the graph, in the order of the request
    notes: tuple[str, ...] = ()  # phrases on what was left out, with numbers
    # By kind of node of the request: a node's label on the left, a further name of it on the right.
    names: Mapping[str, Sequence[list[Edge] | EdgeColumns]] = field(default_factory=dict)


@dataclass(frozen=True)
class Source:
    """A source of graphs."""

    offers: Mapping[str, str]  # kind of every graph by its name: job, vacancy, alias or `TITLE`
    read: Callable[[SourceRequest], SourceEdges]
    default: tuple[str, ...] = ()  # graphs that are read if a configuration names none; empty means all
    jobs: frozenset[str] = frozenset()  # graphs of kind vacancy or alias (further titles) with jobs in place of skills
    reads: Mapping[str, Collection[str]] = field(default_factory=dict)  # graphs by setting (relations, language, ...)
    names: tuple[str, ...] = ()  # kinds of node, skill or job, of which it knows further names

    def choose(self, names: tuple[str, ...], setting: str) -> tuple[str, ...]:
        """Returns the named graphs, or the default ones if none is named; UserError for one it does not offer."""
        for name in names:
            if name not in self.offers:
                raise UserError(
                    f"{setting}.graphs holds {name!r}, which this source does not offer."
                    f"{did_you_mean(name, self.offers)} It offers {', '.join(self.offers)}."
                )
        return names or self.default or tuple(self.offers)
