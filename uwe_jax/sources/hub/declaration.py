"""Declarations of datasets on the Hugging Face hub: which repository, and which of its columns are read."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from uwe_jax.runtime.errors import UserError

COLUMN_KINDS = ("text", "texts", "int")


class DataMissing(UserError):
    """A dataset is not prepared and the hub does not give it. The text is one line: what was tried, what to do."""


@dataclass(frozen=True)
class HubDataset:
    """A dataset of the hub, and what is read of it.

    Attributes:
      repo: such as TechWolf/SkillMatch-1K.
      columns: wanted, each with its kind: text, texts (a list of them) or int. Others are left out.

    Raises:
      ValueError: another kind.
    """

    repo: str
    columns: Mapping[str, str]

    def __post_init__(self) -> None:
        if not set(self.columns.values()) <= set(COLUMN_KINDS):
            raise ValueError(f"columns of {self.repo} are {dict(self.columns)}, their kinds must be of {COLUMN_KINDS}")

    @property
    def page(self) -> str:
        """Where a person finds it."""
        return f"https://huggingface.co/datasets/{self.repo}"
