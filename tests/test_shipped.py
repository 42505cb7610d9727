"""Models that come with the package: small, complete, and found by their names."""

import json
from importlib.resources import files

import pytest
from safetensors import safe_open

import uwe_jax
from uwe_jax.models.exported import changed, written_files
from uwe_jax.models.folder import DIFFERENCE, SHIPPED, shipped_models
from uwe_jax.models.loading import DEFAULT_MODEL, load_model
from uwe_jax.models.wheels import pinned_encoder
from uwe_jax.runtime.errors import UserError

LARGEST = 8_000_000


def test_the_default_model_is_shipped():
    assert DEFAULT_MODEL in shipped_models()
    assert files("uwe_jax.models").joinpath("shipped", DEFAULT_MODEL, DIFFERENCE).is_file()


@pytest.mark.parametrize("name", shipped_models())
def test_a_shipped_model_is_small_complete_and_has_a_card(name):
    folder = SHIPPED / name
    assert sum(path.stat().st_size for path in folder.iterdir()) <= LARGEST
    manifest = json.loads((folder / "uwe_jax.json").read_text())
    assert not changed(folder, written_files(folder, manifest))
    assert manifest["name"] == name
    assert pinned_encoder(manifest["base_model"])  # without a hub it comes from the package index
    with safe_open(folder / DIFFERENCE, framework="numpy") as tensors:
        assert all(tensors.get_tensor(name).size for name in tensors.keys())  # noqa: SIM118
    card = (folder / "README.md").read_text()
    assert "license: apache-2.0" in card
    assert "## Training" in card


def test_a_name_near_a_shipped_one_is_suggested():
    with pytest.raises(UserError, match=f"Did you mean '?{DEFAULT_MODEL}'?"):
        load_model(f"{DEFAULT_MODEL[:-1]}n")


@pytest.mark.slow
@pytest.mark.parametrize("name", shipped_models())
def test_a_shipped_model_ranks_skills(name, tmp_path):
    """Downloads the base model where it is not cached."""
    ranker = uwe_jax.load(name)
    found = ranker.rank("head chef", ["weld metal", "plan menus", "write code", "prepare meals"], top_k=2)
    assert {hit.text for hit in found} == {"plan menus", "prepare meals"}
    manifest = json.loads((SHIPPED / name / "uwe_jax.json").read_text())
    assert ranker.loaded.fingerprint == manifest["fingerprint"]
