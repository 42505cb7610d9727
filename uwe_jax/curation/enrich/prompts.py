"""The files that requests and templates are made of; a user may edit a copy of them."""

from __future__ import annotations

import hashlib
import string
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from uwe_jax.runtime.errors import UserError

SHIPPED = Path(__file__).parent / "prompts"

# What a prompt may name; the texts of a list stand one a line.
PLACEHOLDERS = ("skill", "count", "language", "sentences", "titles", "aliases", "siblings")
# What a line of templates may name.
TEMPLATE_PLACEHOLDERS = ("skill", "Skill", "title", "Title")

_NONE = "(none)"


@dataclass(frozen=True)
class Prompt:
    """What a language model is told: a system message, and the user's."""

    system: str
    user: str

    @property
    def hash(self) -> str:
        """SHA-256 of both, in hexadecimal."""
        return hashlib.sha256(f"{self.system}\0{self.user}".encode("utf-8", "surrogatepass")).hexdigest()


class PromptFiles:
    """The prompts of some kinds.

    Args:
      folder: with system.txt and a file per kind, such as vacancy.txt; empty: those that ship with the project.
      kinds: that are asked for.

    Raises:
      UserError: a file is missing, names what there is not, or does not name the skill.
    """

    def __init__(self, folder: str, kinds: Sequence[str]):
        self._system = _read(folder, "system.txt", PLACEHOLDERS, needs=())
        self._users = {kind: _read(folder, f"{kind}.txt", PLACEHOLDERS, needs=("skill", "count")) for kind in kinds}

    def render(self, kind: str, values: Mapping[str, object]) -> Prompt:
        """The prompt of a kind.

        Args:
          kind: one of those that were read.
          values: for each of `PLACEHOLDERS`, lists of texts included.
        """
        texts = {name: _listed(value) if isinstance(value, list) else str(value) for name, value in values.items()}
        return Prompt(self._system.substitute(texts).strip(), self._users[kind].substitute(texts).strip())


class TemplateFiles:
    """Sentences with gaps, by kind: the lines of template_vacancy.txt and so on; a line that begins with # is none.

    Args:
      folder: as of `PromptFiles`.
      kinds: that are wanted.

    Raises:
      UserError: a file is missing or empty, or a line does not name the skill, or names what there is not.
    """

    def __init__(self, folder: str, kinds: Sequence[str]):
        self.lines: dict[str, list[str]] = {}
        for kind in kinds:
            path, text = _content(folder, f"template_{kind}.txt")
            self.lines[kind] = []
            for number, line in enumerate(text.split("\n"), 1):
                if line.strip() and not line.lstrip().startswith("#"):
                    _checked(line, f"{path}, line {number}", TEMPLATE_PLACEHOLDERS, needs=("skill",))
                    self.lines[kind].append(line.strip())
            if not self.lines[kind]:
                raise UserError(f"{path} holds no template. Expected a text with $skill in it on every line.")


def _content(folder: str, name: str) -> tuple[Path, str]:
    path = (Path(folder).expanduser() if folder else SHIPPED) / name
    try:
        return path, path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"{path} cannot be read ({error}). Copy {SHIPPED} and edit the files of the copy.") from error


def _read(folder: str, name: str, known: Sequence[str], needs: Sequence[str]) -> string.Template:
    path, text = _content(folder, name)
    return _checked(text, str(path), known, needs)


def _checked(text: str, place: str, known: Sequence[str], needs: Sequence[str]) -> string.Template:
    template = string.Template(text)
    listed = ", ".join(f"${name}" for name in known)
    if not template.is_valid():
        raise UserError(f"{place} has a $ that begins no name. There are {listed}; a dollar sign itself is $$.")
    named = template.get_identifiers()
    for name in named:
        if name not in known:
            raise UserError(f"{place} names ${name}, which there is not. There are {listed}.")
    for name in needs:
        if name.casefold() not in {each.casefold() for each in named}:
            raise UserError(f"{place} does not name ${name}, without which every text would be the same.")
    return template


def _listed(texts: list[str]) -> str:
    return "\n".join(f"- {text}" for text in texts) or _NONE
