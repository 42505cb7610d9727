"""The embedded sample: a small labour market, so that everything runs without a download."""

from __future__ import annotations

from importlib import resources

from uwe_jax.sources.edge_files import read_edge_folder
from uwe_jax.sources.mixture.columns import EdgeColumns


def read_sample(kinds: tuple[str, ...] | None = None) -> dict[str, EdgeColumns]:
    """The edges of the sample by kind: job, vacancy and alias. See `read_edge_folder`."""
    with resources.as_file(resources.files("uwe_jax.sources") / "sample") as folder:
        return read_edge_folder(folder, kinds)
