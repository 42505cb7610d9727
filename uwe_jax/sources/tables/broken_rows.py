"""Rows that could not be read and are left out, as long as they are few."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any

from uwe_jax.runtime.errors import UserError

_SHOWN = 5


@dataclass
class BrokenRows:
    """Rows that could not be read: all are counted, the first few are shown."""

    count: int = 0
    shown: list[str] = field(default_factory=list)

    def add(self, place: str, found: str, expected: str) -> None:
        """Notes one broken row; `place` is the file and line."""
        self.count += 1
        if len(self.shown) < _SHOWN:
            self.shown.append(f"{place}: found {found}; expected {expected}")

    def merge(self, other: BrokenRows) -> None:
        """Adds what another has noted."""
        self.count += other.count
        self.shown = [*self.shown, *other.shown][:_SHOWN]

    def error(self, source: str, rest: str) -> UserError:
        """What a user is told: how many rows of the source are broken, the first of them, and the rest."""
        rows = "1 broken row" if self.count == 1 else f"{self.count:,} broken rows"
        more = [f"and {self.count - len(self.shown):,} more"] if self.count > len(self.shown) else []
        return UserError("\n  ".join([f"{rows} in {source}:", *self.shown, *more]) + f"\n{rest}")

    def to_dict(self) -> dict[str, Any]:
        """Plain values; `BrokenRows(**values)` is the same again."""
        return asdict(self)
