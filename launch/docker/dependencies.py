"""Prints what a project depends on, one requirement a line: `python dependencies.py pyproject.toml [EXTRA,EXTRA]`.

So that an image can install the dependencies before the sources, which change more often.
"""

import re
import sys
import tomllib
from pathlib import Path


def dependencies(pyproject: Path, extras: str = "") -> list[str]:
    """Requirements of the project in `pyproject`, and of the extras that are named, separated by commas.

    Raises:
      SystemExit: there is no such extra.
    """
    project = tomllib.loads(pyproject.read_text())["project"]
    found = list(project["dependencies"])
    for extra in filter(None, extras.split(",")):
        if extra not in project["optional-dependencies"]:
            raise SystemExit(f"No extra {extra!r}; there are {', '.join(project['optional-dependencies'])}.")
        for requirement in project["optional-dependencies"][extra]:
            # An extra may name others of the project itself, which no index is to be asked for.
            if inner := re.fullmatch(rf"{project['name']}\[(.+)\]", requirement):
                found += dependencies(pyproject, inner[1].replace(" ", ""))[len(project["dependencies"]) :]
            else:
                found.append(requirement)
    return found


if __name__ == "__main__":
    print("\n".join(dependencies(Path(sys.argv[1]), *sys.argv[2:])))
