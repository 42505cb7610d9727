"""Averages of models are the weighted sum of their parameters; models that differ in more than those are refused."""

import dataclasses
import json

import jax
import numpy as np
import pytest
from test_export import write_run
from tiny_encoder import write_tiny_encoder

from uwe_jax.commands.average import main
from uwe_jax.data.training_hashes import TrainingHashes
from uwe_jax.evaluation.given_models import given_models
from uwe_jax.evaluation.model_hashes import trained_on
from uwe_jax.export.subjects import Share, parse_shares, training_record
from uwe_jax.models.folder import TRAINED_ON
from uwe_jax.models.loading import load_model
from uwe_jax.retrieval.ranker import Ranker
from uwe_jax.runtime.command import answer_errors
from uwe_jax.runtime.errors import UserError


@pytest.fixture
def encoder(tmp_path):
    folder = tmp_path / "encoder"
    folder.mkdir()
    write_tiny_encoder(folder)
    return folder


@pytest.fixture
def runs(encoder, tmp_path):
    """Two runs of one encoder, with what they were trained on."""
    folders = []
    for number in (1, 2):
        folder = write_run(tmp_path / f"run{number}", encoder, seed=number)
        hashes = np.array([7, 10 + number], np.uint64)
        TrainingHashes(hashes, hashes).write(folder / TRAINED_ON)
        folders.append(folder)
    return folders


def test_an_average_is_the_weighted_sum_of_the_models(runs, encoder, tmp_path, capsys):
    out = tmp_path / "averaged"
    main(["--model", f"{runs[0]}=1", "--model", f"{runs[1]}=0.3", "--model", f"{encoder}=-0.3", "--out", str(out)])
    one, two, published, average = (load_model(name).params for name in (*runs, encoder, out))
    expected = jax.tree.map(
        lambda a, b, c: a + np.float32(0.3) * (b - c), one["encoder"], two["encoder"], published["encoder"]
    )
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, atol=1e-6), average["encoder"], expected)
    assert average["scorer"] == one["scorer"]
    assert "averaged" in capsys.readouterr().out

    record = json.loads((out / "uwe_jax.json").read_text())
    assert record["name"] == "averaged"
    parts = record["training"]["average"]
    assert [part["weight"] for part in parts] == [1.0, 0.3, -0.3]
    assert parts[0]["fingerprint"] == load_model(runs[0]).fingerprint != record["fingerprint"]
    assert parts[1]["training"]["step"] == 7
    assert parts[2]["training"] == {}
    card = (out / "README.md").read_text()
    assert "| run2 | 0.3 | `" in card
    assert "### run1\n\nMany-to-many InfoNCE" in card

    again = f"{out}:max_sim"
    assert training_record(load_model(again), again) == record["training"]

    # Its training hashes are those of all its models, also in an average of averages.
    hashes = trained_on(str(out), tmp_path)
    assert trained_on(f"{out}:mean_pool", tmp_path).nodes.tolist() == hashes.nodes.tolist()
    assert hashes is not None
    assert hashes.nodes.tolist() == hashes.edges.tolist() == [7, 11, 12]
    main(["--model", str(out), "--model", str(runs[0]), "--out", str(tmp_path / "again"), "--name", "mine"])
    assert load_model(tmp_path / "again").name == "mine"

    # An evaluation finds the hashes of a model that is loaded already.
    for folder in (out, runs[0]):
        (given,) = given_models(Ranker(load_model(folder)))
        assert given.trained_in == str(folder)


@pytest.mark.parametrize(
    ("specs", "message"),
    [
        (["a"], "An average needs at least 2 models; got 1"),
        (["a=0.5", "b"], "--model b: 1 of the 2 models have a weight"),
        (["a=0.5", "b=x"], "'x' is not a number"),
        (["a=0.5", "b=0.4"], "add up to 0.9 instead of 1. Give the missing 0.1"),
        (["a=nan", "b=1"], "add up to nan"),
    ],
)
def test_bad_weights_are_reported(specs, message):
    with pytest.raises(UserError, match=message):
        parse_shares(specs)


def test_a_name_may_contain_an_equals_sign():
    assert parse_shares(["x=y=0.25", "z=0.75"]) == (Share("x=y", 0.25), Share("z", 0.75))


def test_a_folder_name_may_contain_equals_signs(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in ("lr=5e-5/a", "lr=0.5", "plain"):
        (tmp_path / name).mkdir(parents=True)
    half = [Share(name, 0.5) for name in ("lr=0.5", "lr=5e-5/a", "gs://b/lr=1/a", "mini:soft,logits=dot,tau_a=0.1")]
    assert parse_shares(["lr=5e-5/a", "plain"]) == (half[1], Share("plain", 0.5))
    assert parse_shares(["lr=0.5", "plain"]) == (half[0], Share("plain", 0.5))
    assert parse_shares([share.name for share in half[2:]]) == (half[2], half[3])
    assert parse_shares([f"{share.name}=0.25" for share in half]) == tuple(Share(s.name, 0.25) for s in half)
    assert parse_shares(["plain=0.5", "mini:soft=0.5"]) == (Share("plain", 0.5), Share("mini:soft", 0.5))


def test_models_of_different_architecture_or_scorer_are_refused(runs, encoder, tmp_path, capsys):
    other = tmp_path / "other"
    other.mkdir()
    write_tiny_encoder(other, width=8)
    untold = write_run(tmp_path / "untold", encoder, learn_tau_a=False)
    for models, message in (
        ((runs[0], other), "have different architectures"),
        ((runs[0], untold), "was trained with the scorer"),
    ):
        with pytest.raises(SystemExit) as stop:
            answer_errors(lambda m=models: main([*(f"--model={name}" for name in m), f"--out={tmp_path / 'out'}"]))
        assert stop.value.code == 2
        assert message in capsys.readouterr().err
        assert not (tmp_path / "out").exists()


def test_missing_training_hashes_of_one_model_are_missing_of_the_average(runs, tmp_path, capsys):
    (runs[1] / TRAINED_ON).unlink()
    main(["--model", str(runs[0]), "--model", str(runs[1]), "--out", str(tmp_path / "out")])
    assert "is not known" in capsys.readouterr().err
    assert trained_on(str(tmp_path / "out"), tmp_path) is None
    assert dataclasses.asdict(load_model(tmp_path / "out").scorer)["kind"] == "soft"
