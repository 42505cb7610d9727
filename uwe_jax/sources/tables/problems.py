"""Broken input: the first few places are shown, all of them are counted."""

from __future__ import annotations

from typing import NoReturn

from uwe_jax.runtime.errors import UserError

_SHOWN = 5


class Problems:
    """Collects what is wrong with the rows of a source, so that a user sees more than the first mistake.

    Args:
      source: the folder or file that is read, as the user knows it.
    """

    def __init__(self, source: str):
        self._source = source
        self._shown: list[str] = []
        self.count = 0

    def add(self, place: str, found: str, expected: str) -> None:
        """Notes one broken row; `place` is the file and line."""
        self.count += 1
        if len(self._shown) < _SHOWN:
            self._shown.append(f"  {place}: found {found}; expected {expected}")

    def check(self) -> None:
        """Raises UserError if anything was added."""
        if self.count:
            self._stop()

    def _stop(self) -> NoReturn:
        rows = "1 broken row" if self.count == 1 else f"{self.count} broken rows"
        more = [f"  and {self.count - len(self._shown)} more"] if self.count > len(self._shown) else []
        raise UserError(
            "\n".join(
                [
                    f"{rows} in {self._source}:",
                    *self._shown,
                    *more,
                    "Nothing was read. Correct these rows and run again.",
                ]
            )
        )


def shorten(text: str, length: int = 60) -> str:
    """`text` quoted for a message, cut where it is long."""
    return repr(text if len(text) <= length else text[:length] + "...")
