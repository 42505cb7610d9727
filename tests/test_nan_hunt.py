"""A hunt names the operation that first gives a NaN, and dumps what the step is a function of."""

import json
import re

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
from uwe_jax.data.tokens import SpecialTokens, TokenTable
from uwe_jax.distributed import parallel
from uwe_jax.models.encoder import Encoder
from uwe_jax.models.optimiser import make_optimiser
from uwe_jax.models.uwe import UweModel
from uwe_jax.runtime.errors import UserError
from uwe_jax.runtime.kinds import SKILL
from uwe_jax.training.nan_hunt import NanHunt
from uwe_jax.training.step import TrainState, make_train_step

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
    drawn = parallel.shard_rows(BatchBuilder(graphs, tables, LENGTHS, sampler, devices=8, counted=1)(0))
    # One job of the batch, the fifth, holds the token.
    start = drawn["nodes"]["job"]["starts"][2, 0]
    drawn["packed"]["token_ids"].flat[start + 2 : start + 4] = POISONED, 7
    return drawn


class Light(Encoder):
    """Two modules in place of the encoder, which takes long to compile."""

    @nn.compact
    def __call__(self, token_ids, segments, *, deterministic=True):
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


def prepared(folder, *, poison=None, light=True, chunk=CHUNK, broken=True):
    """A hunt around the step, or around one that only says NaN; and its state, replicated."""
    config = Config(
        encoder=ENCODER,
        scorer=SCORER,
        loss=LOSS,
        batch=BatchSettings(global_batch_size=16, mini_batch_size=chunk),
        seed=3,
    )
    model = UweModel.create(tiny_config(layers=1), ENCODER, SCORER)
    if light:
        model = UweModel(Light(tiny_config(), dropout=ENCODER.dropout), SCORER)
    params = model.initial_params(light_params() if light else random_params(tiny_config(layers=1)))
    params = jax.tree.map(np.array, params)
    if poison:
        poison(params)
    optimiser = make_optimiser(OptimiserSettings(warmup_fraction=0.0), 10)
    nan = dict.fromkeys(("loss", "gradient_norm"), jnp.full(8, jnp.nan))
    step = (lambda state, batch: (state, nan)) if broken else make_train_step(model, LOSS, optimiser, 3, chunk)
    hunt = NanHunt(step, config, model, chunk, folder, lambda: REMEDY)
    return hunt, parallel.replicate(TrainState.create(params, optimiser))


def hunted(folder, batch, **options):
    """The sentence of the error."""
    hunt, state = prepared(folder, **options)
    with pytest.raises(UserError, match=REMEDY) as raised:
        hunt(state, batch)
    return str(raised.value)


def test_a_parameter_that_is_not_finite_is_named_and_the_step_dumped(batch, tmp_path):
    def poison(params):
        params["encoder"]["layer"]["kernel"][3, 2] = np.nan

    told = hunted(tmp_path, batch, poison=poison)
    assert told.startswith("Step 1 has loss nan and gradient norm nan. Parameter encoder/layer/kernel was not finite")
    assert "before it: 1 of 16 values." in told
    assert f"dumped into {tmp_path / 'step-1'}" in told
    with np.load(tmp_path / "step-1" / "params.npz") as dumped:
        assert np.isnan(dumped["encoder/layer/kernel"][3, 2])
    with np.load(tmp_path / "step-1" / "batch.npz") as dumped:
        np.testing.assert_array_equal(dumped["packed/token_ids"], batch["packed"]["token_ids"])
    report = json.loads((tmp_path / "step-1" / "step.json").read_text())
    assert (report["step"], report["metrics"]["loss"], report["config"]["seed"]) == (1, "nan", 3)


@pytest.mark.slow
@pytest.mark.parametrize("chunk", [0, pytest.param(CHUNK, marks=pytest.mark.slow)])
def test_a_text_that_overflows_is_found_in_the_encoder(batch, tmp_path, chunk):
    def poison(params):
        params["encoder"]["word"]["embedding"][POISONED] = 1e30  # finite, until it is multiplied

    told = hunted(tmp_path, batch, poison=poison, chunk=chunk)
    assert "Invalid value (nan) encountered in " in told
    assert re.search(r"called from uwe_jax/(models|distributed)/\w+\.py, line \d+: ", told)


@pytest.mark.slow
def test_a_temperature_that_overflows_is_found_in_the_scores(batch, tmp_path):
    def poison(params):
        params["scorer"]["log_tau_a"] = np.array(-200.0, np.float32)

    told = hunted(tmp_path, batch, poison=poison, chunk=0)
    assert re.search(r"called from uwe_jax/scoring/\w+\.py, line \d+: ", told)


@pytest.mark.thorough
def test_a_finite_step_passes_and_one_that_is_finite_again_says_so(batch, tmp_path, capsys):
    hunt, state = prepared(tmp_path, broken=False, chunk=0)
    after, _ = hunt(state, batch)
    assert int(after.step[0]) == 1
    assert not list(tmp_path.iterdir())
    assert "a copy of the state takes" in capsys.readouterr().err
    assert "Computed again, its gradient has no NaN" in hunted(tmp_path, batch, chunk=0)


def test_a_folder_that_cannot_be_written_hides_nothing(batch, tmp_path):
    (tmp_path / "nan").write_text("in the way")
    told = hunted(tmp_path / "nan", batch, chunk=0)
    assert "could not be dumped" in told
    assert "has no NaN" in told


@pytest.mark.slow
def test_in_the_real_encoder_and_step_the_operation_is_found(batch, tmp_path):
    def poison(params):
        params["encoder"]["embeddings"]["word"]["embedding"][POISONED] = 3e38

    told = hunted(tmp_path, batch, poison=poison, light=False, broken=False, chunk=0)
    assert "called from uwe_jax/models/encoder.py, line " in told
