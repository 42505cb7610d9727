"""The tables of the O*NET database and the names of their files and columns over time.

Release 30.3 renamed several, gave the work activities other identifiers and dropped the tools; 18.1 to 30.2 share one
layout. See the dictionaries at https://www.onetcenter.org/dictionary/30.3/text/ and of the other releases.
"""

from __future__ import annotations

from typing import NamedTuple


class Table(NamedTuple):
    """One table of the database."""

    files: tuple[str, ...]  # names of its file over time, the oldest first
    columns: tuple[tuple[str, ...], ...]  # likewise for each column that is read

    def columns_of(self, data: bytes) -> tuple[str, ...]:
        """Returns the columns as named in the header of a whole file; the oldest name of a missing one."""
        header = data.split(b"\n", 1)[0].decode("utf-8-sig", "replace").split("\t")
        there = {name.strip().casefold() for name in header}
        return tuple(next((name for name in names if name.casefold() in there), names[0]) for names in self.columns)


_CODE = ("O*NET-SOC Code",)
_DETAILED = ("DWA ID", "DWA Element ID")
_INTERMEDIATE = ("IWA ID", "IWA Element ID")

OCCUPATIONS = Table(("Occupation Data.txt",), (_CODE, ("Title",)))
DESCRIPTIONS = Table(("Occupation Data.txt",), (_CODE, ("Title",), ("Description",)))
ALTERNATE_TITLES = Table(("Alternate Titles.txt", "Job Titles.txt"), (_CODE, ("Alternate Title", "Job Title")))
REPORTED_TITLES = Table(("Sample of Reported Titles.txt",), (_CODE, ("Reported Job Title",)))
TECHNOLOGIES = Table(("Technology Skills.txt", "Software Skills.txt"), (_CODE, ("Example", "Workplace Example")))
TOOLS = Table(("Tools Used.txt",), (_CODE, ("Example",)))
STATEMENTS = Table(("Task Statements.txt",), (("Task ID",), ("Task",)))
TASK_ACTIVITIES = Table(("Tasks to DWAs.txt",), (_CODE, ("Task ID",), _DETAILED))
# Work activities on three levels, each with the one above it. The general ones are elements of the content model.
DETAILED = Table(
    ("DWA Reference.txt", "GWAs to IWAs to DWAs.txt"), (_DETAILED, ("DWA Title", "DWA Element Name"), _INTERMEDIATE)
)
INTERMEDIATE = Table(
    ("IWA Reference.txt", "GWAs to IWAs.txt"),
    (_INTERMEDIATE, ("IWA Title", "IWA Element Name"), ("Element ID", "GWA Element ID")),
)
GENERAL = Table(("Content Model Reference.txt",), (("Element ID",), ("Element Name",)))
