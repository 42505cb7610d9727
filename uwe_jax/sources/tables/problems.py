"""Broken input: the first few places are shown, all of them are counted."""

from __future__ import annotations

from uwe_jax.sources.tables.broken_rows import BrokenRows


class Problems(BrokenRows):
    """Collects what is wrong with the rows of a source of which nothing is read unless all of it is.

    Args:
      source: the folder or file that is read, as the user knows it.
    """

    def __init__(self, source: str):
        super().__init__()
        self._source = source

    def check(self) -> None:
        """Raises UserError if anything was added."""
        if self.count:
            raise self.error(self._source, "Nothing was read. Correct these rows and run again.")


def shorten(text: str, length: int = 60) -> str:
    """`text` quoted for a message, cut where it is long."""
    return repr(text if len(text) <= length else text[:length] + "...")
