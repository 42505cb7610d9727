"""Declarations of datasets on the Hugging Face hub: the repository, and the columns to read."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from uwe_jax.runtime.errors import UserError


class DataMissing(UserError):
    """A dataset is neither prepared nor available from the hub. The text is one line: what was tried, what to do."""


@dataclass(frozen=True)
class HubDataset:
    """A dataset of the hub, and its columns to read."""

    repo: str  # such as TechWolf/SkillMatch-1K
    columns: Mapping[str, str]  # wanted, each with its kind: text, texts (a list of them) or int

    @property
    def page(self) -> str:
        return f"https://huggingface.co/datasets/{self.repo}"
