"""A hunt names what is not finite first: a parameter, a text, a temperature; and leaves what replays the step."""

import json

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import linen as nn
from graphs import random_graphs
from tiny_encoder import random_params, tiny_config

from uwe_jax.config import (
    BatchSettings,
    Config,
    EncoderSettings,
    LengthSettings,
    LossSettings,
    OptimiserSettings,
    ScorerSettings,
)
from uwe_jax.data.batches import BatchBuilder
from uwe_jax.data.sampling import BatchSampler
from uwe_jax.data.tokeniser_file import TextReader
from uwe_jax.data.tokens import SpecialTokens, TokenTable
from uwe_jax.distributed import parallel
from uwe_jax.models.encoder import Encoder
from uwe_jax.models.optimiser import make_optimiser
from uwe_jax.models.uwe import UweModel
from uwe_jax.runtime.errors import UserError
from uwe_jax.runtime.kinds import SKILL
from uwe_jax.training import nan_hunt, nan_report
from uwe_jax.training.nan_hunt import NanHunt
from uwe_jax.training.nan_pieces import RESULT, Detail, Piece, SuspectStep, take_apart
from uwe_jax.training.step import TrainState, make_train_step

VOCABULARY = {f"w{number}": number for number in range(60)} | {"[CLS]": 1, "[SEP]": 2, "##s": 7}
REMEDY = "The last good checkpoint is that of step 5"
POISONED = 9  # a token id
LENGTHS = LengthSettings(skill=6, job=6, vacancy=9, alias=6)


@pytest.fixture(scope="module")
def batch():
    rng = np.random.default_rng(0)
    graphs = random_graphs(rng, kinds=("job",))

    def table(count):
        tokens = rng.integers(10, 60, 3 * count).astype(np.int32)
        return TokenTable(tokens, np.arange(count + 1) * 3, SpecialTokens((1,), (2,), 0))

    tables = {SKILL: table(len(graphs.skills)), "job": table(len(graphs.graphs["job"].neighbours))}
    sampler = BatchSampler(graphs, BatchSettings(global_batch_size=16), seed=0)
    drawn = BatchBuilder(graphs, tables, LENGTHS, sampler)(0)
    # One job of the batch, the fifth, holds the token.
    drawn["nodes"]["job"]["token_ids"][4, 2:4] = POISONED, 7
    return parallel.shard_rows(drawn)


class Light(Encoder):
    """Two modules in place of the encoder, which takes long to compile."""

    @nn.compact
    def __call__(self, token_ids, mask, *, deterministic=True):
        x = nn.Embed(60, 4, name="word")(token_ids)
        x = nn.Dropout(self.dropout)(x, deterministic)
        return jnp.tanh(nn.Dense(4, name="layer")(x @ x.swapaxes(1, 2) @ x))


def light_params():
    rng = np.random.default_rng(1)
    table, kernel = (rng.normal(size=shape).astype(np.float32) for shape in ((60, 4), (4, 4)))
    return {"word": {"embedding": table}, "layer": {"kernel": kernel, "bias": np.zeros(4, np.float32)}}


# The same in all quick tests, whose programs are then compiled once.
ENCODER = EncoderSettings(dropout=0.5)
SCORER = ScorerSettings(kind="soft_pooled", learn_tau_a=True)
LOSS = LossSettings(symmetric=False)
CHUNK = 3


def prepared(folder, *, encoder=ENCODER, chunk=CHUNK, poison=None, light=True, real_step=False, scorer=SCORER):
    """A hunt around a step, or around one that only says NaN; its state replicated; and the model."""
    config = Config(
        encoder=encoder,
        scorer=scorer,
        loss=LOSS,
        batch=BatchSettings(global_batch_size=16, encode_chunk_size=chunk),
        seed=3,
    )
    model = UweModel.create(tiny_config(layers=1), encoder, scorer)
    if light:
        model = UweModel(Light(tiny_config(), dropout=encoder.dropout), scorer)
    params = model.initial_params(light_params() if light else random_params(tiny_config(layers=1)))
    params = jax.tree.map(np.array, params)
    if poison:
        poison(params)
    optimiser = make_optimiser(OptimiserSettings(warmup_fraction=0.0), 10)
    nan = dict.fromkeys(("loss", "gradient_norm"), jnp.full(8, jnp.nan))
    step = make_train_step(model, config.loss, optimiser, 3, chunk) if real_step else lambda state, batch: (state, nan)
    hunt = NanHunt(step, config, model, folder, lambda: TextReader(list, lambda: VOCABULARY, 0), lambda: REMEDY)
    return hunt, parallel.replicate(TrainState.create(params, optimiser)), model


def hunted(folder, batch, **options):
    """The sentence of the error, report.txt and report.json."""
    hunt, state, _ = prepared(folder, **options)
    with pytest.raises(UserError, match=REMEDY) as raised:
        hunt(state, batch)
    told = str(raised.value)
    assert str(folder / "step-1") in told
    report = (folder / "step-1" / "report.txt").read_text()
    return told, report, json.loads((folder / "step-1" / "report.json").read_text())


def bad(report):
    return {piece["name"]: piece["bad"] for piece in report["pieces"]}


def test_a_poisoned_parameter_is_named(batch, tmp_path, capsys):
    def poison(params):
        params["encoder"]["layer"]["kernel"][3, 2] = np.nan

    told, text, report = hunted(tmp_path, batch, poison=poison)
    assert "Step 1 has loss nan" in told
    assert "The first that is not finite: parameters: encoder/layer/kernel, 1 of 16 values; row 3." in told
    assert "the update of an earlier one" in told
    assert "encoder/layer/kernel" in text
    assert bad(report)["parameters"] == 1
    # All 32 texts go through it; what comes before it in the encoder is finite.
    encoder = next(piece for piece in report["pieces"] if piece["name"] == "encoder")
    assert [detail["name"] for detail in encoder["details"]] == ["layer", "layer"]
    assert encoder["bad"] == encoder["of"] == 32
    assert "taking it apart" in capsys.readouterr().err


def test_a_poisoned_text_is_named_and_the_line_too(batch, tmp_path):
    def poison(params):
        params["encoder"]["word"]["embedding"][POISONED] = 1e30  # finite, until it is multiplied

    told, text, report = hunted(tmp_path, batch, poison=poison)
    assert bad(report)["parameters"] == 0
    assert "encoder: layer, 1 of 16 texts; job " in told
    assert " w9s" in told  # its tokens, written out without the special ones
    encoder = next(piece for piece in report["pieces"] if piece["name"] == "encoder")
    assert [(detail["kind"], detail["rows"]) for detail in encoder["details"]] == [("job", [4])]
    assert "(inf) encountered in" in told
    assert "(row 4)" in text
    assert bad(report)["gradient"] > 0


def with_canned_pieces(monkeypatch):
    pieces = [Piece("loss", 1, 2, "values", (Detail("loss/job", 1, 1, note="inf"),), "loss nan")]
    monkeypatch.setattr(nan_hunt, "take_apart", lambda step: (pieces, {}))
    monkeypatch.setattr(nan_hunt, "first_primitive", lambda *_: "Nowhere.")


@pytest.mark.parametrize("learned", [False, True])
def test_what_is_written_is_all_that_the_step_is_a_function_of(batch, tmp_path, monkeypatch, learned):
    with_canned_pieces(monkeypatch)
    scorer = ScorerSettings(kind="soft_pooled", learn_tau_a=learned)
    _, _, report = hunted(tmp_path, batch, scorer=scorer)
    assert report["inputs"] == ["batch.npz", "params.npz"]
    _, state, model = prepared(tmp_path, scorer=scorer)
    read = nan_report.read_step(tmp_path / "step-1", model)
    chex.assert_trees_all_equal(read.params, state.params)
    chex.assert_trees_all_equal(read.batch, batch)
    assert (read.settings, read.number, read.seed, read.chunk) == (LOSS, 0, 3, CHUNK)


def test_a_temperature_that_overflows_is_named(batch, tmp_path):
    def poison(params):
        params["scorer"]["log_tau_a"] = np.array(-200.0, np.float32)

    told, _, report = hunted(tmp_path, batch, poison=poison)
    assert "The first that is not finite: tau_a: tau_a, 1 of 1 values; 0." in told
    assert bad(report)["encoder"] == bad(report)["parameters"] == bad(report)[RESULT] == 0
    assert next(p for p in report["pieces"] if p["name"] == "tau_a")["note"] == "tau_a 0, scorer/log_tau_a -200"
    assert bad(report)["loss"] > 0
    assert "uwe_jax/scoring/" in told


def assert_pieces_are_of_the_step(batch, folder, **options):
    hunt, state, model = prepared(folder, real_step=True, **options)
    suspect = SuspectStep(model, LOSS, hunt._copy(state.params), 0, batch, 3, options.get("chunk", CHUNK))
    before = jax.device_get(state)
    after, metrics = hunt(state, batch)
    pieces = {piece.name: piece for piece in take_apart(suspect)[0]}
    assert pieces["gradient norm"].note == f"norm {float(metrics['gradient_norm'][0]):.6g}"
    loss = float(pieces["loss"].note.split(", ")[0].removeprefix("loss "))
    assert loss == pytest.approx(float(metrics["loss"][0]), rel=1e-5)
    assert not any(piece.bad for piece in pieces.values())
    assert not list(folder.iterdir())
    assert int(after.step[0]) == int(before.step[0]) + 1


def test_the_pieces_are_those_of_the_step(batch, tmp_path, capsys):
    """The gradient's norm of the pieces is that of the step itself, dropout masks included."""
    assert_pieces_are_of_the_step(batch, tmp_path)
    assert "a copy of the state takes" in capsys.readouterr().err


@pytest.mark.slow
def test_without_caching_the_pieces_are_those_of_the_step(batch, tmp_path):
    assert_pieces_are_of_the_step(batch, tmp_path, chunk=0)


@pytest.mark.slow
@pytest.mark.parametrize("chunk", [0, 3])
def test_in_the_real_encoder_the_first_module_is_named(batch, tmp_path, chunk):
    def poison(params):
        params["encoder"]["embeddings"]["word"]["embedding"][POISONED] = 3e38

    settings = EncoderSettings(remat=True)
    options = {"chunk": chunk, "encoder": settings, "light": False, "real_step": True}
    told, _, report = hunted(tmp_path, batch, poison=poison, **options)
    assert "encoder: embeddings/norm, 1 of 16 texts; job " in told
    encoder = next(piece for piece in report["pieces"] if piece["name"] == "encoder")
    assert {tuple(detail["rows"]) for detail in encoder["details"]} == {(4,)}
    assert "layer_0/attention/query" in [detail["name"] for detail in encoder["details"]]
    assert "uwe_jax/models/layers.py, line " in told


def test_a_folder_that_cannot_be_written_hides_nothing(batch, tmp_path, monkeypatch, capsys):
    with_canned_pieces(monkeypatch)
    (tmp_path / "nan").write_text("in the way")
    hunt, state, _ = prepared(tmp_path / "nan")
    with pytest.raises(UserError, match=r"loss: loss/job.*No report could be written to .*could not be written"):
        hunt(state, batch)
    assert "loss/job" in capsys.readouterr().err


def test_a_step_that_is_finite_in_pieces_says_so(batch):
    told = nan_report.sentence([Piece("loss", 0, 2, "values")], nan_report.TextsOf(batch, VOCABULARY))
    assert "every piece of the step is finite" in told
