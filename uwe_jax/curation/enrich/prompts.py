"""Prompt and template files; a user may edit a copy of them."""

from __future__ import annotations

import hashlib
import string
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from uwe_jax.runtime.errors import UserError

SHIPPED = Path(__file__).parent / "prompts"

# Placeholders of prompts, where lists have one text per line, and of templates.
PLACEHOLDERS = ("skill", "count", "language", "sentences", "titles", "aliases", "siblings")
TEMPLATE_PLACEHOLDERS = ("skill", "Skill", "title", "Title")


@dataclass(frozen=True)
class Prompt:
    """System and user message for a language model."""

    system: str
    user: str

    @property
    def hash(self) -> str:
        """SHA-256 of both messages, in hexadecimal."""
        return hashlib.sha256(f"{self.system}\0{self.user}".encode("utf-8", "surrogatepass")).hexdigest()


class PromptFiles:
    """Prompts by kind.

    Args:
      folder: with system.txt and a file per kind, such as vacancy.txt; empty: those that ship with the project.
      kinds: of graphs.

    Raises:
      UserError: a file is missing, has an unknown placeholder, or lacks $skill or $count.
    """

    def __init__(self, folder: str, kinds: Sequence[str]):
        self._system = _checked(*_content(folder, "system.txt"), PLACEHOLDERS)
        self._users = {
            kind: _checked(*_content(folder, f"{kind}.txt"), PLACEHOLDERS, ("skill", "count")) for kind in kinds
        }

    def render(self, kind: str, values: Mapping[str, object]) -> Prompt:
        """Fills the prompt of a kind with values for `PLACEHOLDERS`, some of them lists of texts."""
        texts = {
            name: ("\n".join(f"- {text}" for text in value) or "(none)") if isinstance(value, list) else str(value)
            for name, value in values.items()
        }
        return Prompt(self._system.substitute(texts).strip(), self._users[kind].substitute(texts).strip())


def read_templates(folder: str, kinds: Sequence[str]) -> dict[str, list[str]]:
    """Reads templates by kind: the lines of template_vacancy.txt and so on, except comments, which begin with #.

    Args:
      folder: as of `PromptFiles`.
      kinds: of graphs.

    Raises:
      UserError: a file is missing or empty, or a line lacks $skill or has an unknown placeholder.
    """
    lines: dict[str, list[str]] = {}
    for kind in kinds:
        path, text = _content(folder, f"template_{kind}.txt")
        lines[kind] = []
        for number, line in enumerate(text.split("\n"), 1):
            if line.strip() and not line.lstrip().startswith("#"):
                _checked(f"{path}, line {number}", line, TEMPLATE_PLACEHOLDERS, ("skill",))
                lines[kind].append(line.strip())
        if not lines[kind]:
            raise UserError(f"{path} has no template. Expected one text with $skill per line.")
    return lines


def _content(folder: str, name: str) -> tuple[Path, str]:
    path = (Path(folder).expanduser() if folder else SHIPPED) / name
    try:
        return path, path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"{path} cannot be read ({error}). Copy {SHIPPED} and edit the files of the copy.") from error


def _checked(place: Path | str, text: str, known: Sequence[str], needs: Sequence[str] = ()) -> string.Template:
    template = string.Template(text)
    listed = ", ".join(f"${name}" for name in known)
    if not template.is_valid():
        raise UserError(f"{place} has a $ without a name. Known are {listed}; write a dollar sign as $$.")
    named = template.get_identifiers()
    for name in named:
        if name not in known:
            raise UserError(f"{place} has the unknown placeholder ${name}. Known are {listed}.")
    for name in needs:
        if name.casefold() not in {each.casefold() for each in named}:
            raise UserError(f"{place} lacks ${name}, without which every text would be the same.")
    return template
