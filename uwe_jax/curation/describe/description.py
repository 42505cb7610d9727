"""Description of training graphs: measures shown one after the other, then a page, JSON and a picture."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import uwe_jax
from uwe_jax.config import Config
from uwe_jax.curation.describe import coverage, degrees, duplicates, findings, overlap, texts
from uwe_jax.curation.describe.degrees import plot_degrees
from uwe_jax.curation.describe.section import Grid, Section
from uwe_jax.data.graph_set import GraphSet
from uwe_jax.evaluation.tasks.task import TaskSources, TaskSpec
from uwe_jax.runtime.errors import UserError
from uwe_jax.runtime.files import cache_folder, json_bytes, write_together
from uwe_jax.runtime.markdown import escape
from uwe_jax.runtime.progress import report

FILES = ("describe.md", "describe.json", "degrees.png")


def describe(
    graphs: GraphSet,
    config: Config,
    out: Path,
    *,
    folders: tuple[Path, ...] = (),
    tasks: Sequence[TaskSpec] = (),
    taxonomy: Path | None = None,
    provenance: Sequence[Mapping[str, Any]] = (),
) -> dict[str, Any]:
    """Measures graphs, prints the results, and writes FILES.

    Args:
      graphs: as a training run reads them, before the split.
      config: of which encoder, lengths and source are used.
      folders: with the data of tasks and taxonomies.
      tasks: compared with the graphs.
      taxonomy: a file or folder; None takes the first one in the folders.
      provenance: counts by source, as of `Composition.counts`; shown where there are several.

    Returns:
      The content of describe.json.
    """
    cache_dir = cache_folder(config.source.cache_dir)
    # Offline: data of a task on the hub is used where an evaluation has downloaded it before.
    sources = TaskSources(folders, cache_dir, language=config.source.language, offline=True)
    sections: list[Section] = []
    found: dict[str, Any] = {
        "version": uwe_jax.__version__,
        "config": config.to_dict(),
        "fingerprints": graphs.fingerprints(),
        "skills": len(graphs.skills),
        "provenance": list(map(dict, provenance)),
    }

    def show(section: Section) -> None:
        sections.append(section)
        report(section.terminal() + "\n")

    if len({row["part"] for row in provenance}) > 1:
        show(provenance_section(provenance))
    found["graphs"] = degrees.measure(graphs)
    show(degrees.sizes_section(found["graphs"], len(graphs.skills)))
    show(degrees.degrees_section(found["graphs"]))
    try:
        language, version = config.source.language, config.source.version
        chosen = coverage.find(taxonomy, folders, language, version)
        found["taxonomy"] = coverage.measure(graphs, chosen)
    except UserError as error:
        if taxonomy is not None:
            raise
        found["taxonomy"] = {"missing": str(error)}
    show(coverage.section(found["taxonomy"]))
    found.update(texts.measure(graphs))
    show(texts.longest_section(found["longest"]))
    show(texts.strange_section(found["strange"]))
    found["duplicates"] = duplicates.measure(graphs)
    show(duplicates.section(found["duplicates"]))
    found["truncation"] = texts.truncated(graphs, config.encoder.name, config.lengths, cache_dir)
    show(texts.truncated_section(found["truncation"]))
    found["overlap"] = overlap.measure(graphs, tasks, sources)
    show(overlap.section(found["overlap"]))
    found["findings"] = findings.findings(found)
    show(Section("Findings", () if found["findings"] else ["None."], (), found["findings"]))

    page, json_file, picture = (out / name for name in FILES)
    text = _page(found, sections).encode("utf-8", "backslashreplace")
    write_together({json_file: json_bytes(found), page: text, picture: None})
    plot_degrees(graphs, picture)
    report(f"Written to {out}: {', '.join(FILES)}")
    return found


def provenance_section(provenance: Sequence[Mapping[str, Any]]) -> Section:
    """Renders the counts of `Composition.counts`."""
    counts = ("edges", "only", "skills", "neighbours")
    rows = [
        [row["part"], f"skill-{row['kind']}", f"{row['weight']:g}", *(f"{row[count]:,}" for count in counts)]
        for row in provenance
    ]
    header = ("source", "graph", "weight", "edges", "of its own", "skills", "neighbours")
    return Section("Sources", (), [Grid(header, rows, left=(0, 1))])


def _page(found: Mapping[str, Any], sections: Sequence[Section]) -> str:
    source = found["config"]["source"]
    fingerprints = [f"skill-{kind}: {value}" for kind, value in found["fingerprints"].items()]
    *measured, remarks = sections  # the findings come first on a page, and last in a terminal
    parts = [
        "# Training graphs",
        escape(f"Source: {source['source']} {source['path']}"),
        *(section.markdown() for section in (remarks, *measured)),
        "## Picture\n\n![Degrees of the nodes](degrees.png)",
        Section("Fingerprints", notes=fingerprints).markdown(),
    ]
    return "\n\n".join(parts) + "\n"
