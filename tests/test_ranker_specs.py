"""What a word on the command line means: trained checkpoints, encoders with scorers, rankers of one's own."""

import json
import re
import shutil
import sys

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from test_rankers import QUERIES, SCORERS, TARGETS, direct_scores, parts
from tiny_encoder import WORDS, write_tiny_encoder

from uwe_jax.config import (
    BatchSettings,
    Config,
    EncoderSettings,
    EvaluationSettings,
    LengthSettings,
    OptimiserSettings,
    ScorerSettings,
    SourceSettings,
)
from uwe_jax.evaluation.specs import load_ranker
from uwe_jax.models.loading import load_encoder
from uwe_jax.models.run_folder import load_run
from uwe_jax.models.uwe import LEARNED
from uwe_jax.runtime.config_file import read_command_line
from uwe_jax.runtime.errors import UserError
from uwe_jax.runtime.files import write_json
from uwe_jax.scoring.scorer_text import parse_scorer, scorer_text
from uwe_jax.scoring.scorers import block_scores
from uwe_jax.scoring.tokens import Tokens
from uwe_jax.studies.summary import read_scores
from uwe_jax.training.checkpoint import Checkpoints


@pytest.fixture(scope="module")
def encoder(tmp_path_factory):
    return write_tiny_encoder(tmp_path_factory.mktemp("encoders") / "tiny", layers=1)


@pytest.fixture(scope="module")
def cache(tmp_path_factory):
    return tmp_path_factory.mktemp("cache")


# ---- Checkpoints ----------------------------------------------------------------------------------------------------


MAPS = {1: 10.0, 2: 20.0, 3: 15.0}


def trained_params(encoder, step, learned=LEARNED):
    """Parameters as if after so many steps, with learned attention temperatures."""
    rng = np.random.default_rng(step)
    start = load_encoder(str(encoder)).params
    moved = jax.tree.map(lambda leaf: leaf + 0.1 * rng.normal(size=leaf.shape).astype(np.float32), start)
    return {"encoder": moved, "scorer": dict.fromkeys(learned, np.log(np.float32(step)))}


def write_run(folder, encoder, maps, settings, learned=LEARNED):
    """The workdir of a run that was validated where `maps` has a value."""
    checkpoints = Checkpoints(folder / "checkpoints")
    for step, value in maps.items():
        params = trained_params(encoder, step, learned)
        state = {"params": params, "opt_state": {"mu": np.zeros(3)}, "step": np.int32(step)}
        meta = {
            "encoder": {"provenance": "local folder", **load_encoder(str(encoder)).config.to_hf()},
            "validation": None if value is None else {"macro_map": value},
        }
        checkpoints.save(step, state, meta, value)
        checkpoints.wait()
    checkpoints.close()
    write_json(folder / "config.json", settings)
    return folder


@pytest.fixture(scope="module")
def settings(encoder):
    return Config(
        steps=3, encoder=EncoderSettings(name=str(encoder)), scorer=ScorerSettings(learn_tau_a=True)
    ).to_dict()


@pytest.fixture(scope="module")
def finished(encoder, settings, tmp_path_factory):
    return write_run(tmp_path_factory.mktemp("runs") / "three_steps", encoder, MAPS, settings)


@pytest.fixture
def workdir(finished, tmp_path):
    """A copy that may be broken."""
    return shutil.copytree(finished, tmp_path / "copy")


@pytest.mark.thorough
def test_the_best_checkpoint_ranks_as_its_parameters(finished, encoder, cache):
    before = sorted(finished.rglob("*"))
    ranker = load_ranker(str(finished), cache_dir=cache)
    assert sorted(finished.rglob("*")) == before
    assert ranker.name == "three_steps"
    assert re.match(r"step 2 of 3, validation MAP 20.0; .*soft,tau_a=2.0,target_tau_a=2.0$", ranker.description)
    model, _, tokeniser = parts(encoder, cache, "soft")
    params = trained_params(encoder, 2)
    scores = ranker.index(TARGETS)(QUERIES)
    np.testing.assert_allclose(scores, direct_scores(model, params, tokeniser, QUERIES, TARGETS), atol=1e-5)


def test_a_run_without_validation_is_measured_at_its_newest_checkpoint(encoder, cache, settings, tmp_path):
    older = json.loads(json.dumps(settings))
    del older["evaluation"], older["scorer"]["reduce"]  # settings that came later are at their defaults
    run = write_run(tmp_path / "run", encoder, dict.fromkeys((1, 2)), older)
    assert re.match(r"step 2 of 3; ", load_run(run, cache_dir=cache).description)


@pytest.mark.thorough
def test_a_run_saved_before_there_were_sides_ranks_from_the_querys(encoder, cache, settings, tmp_path):
    older = json.loads(json.dumps(settings))
    for name in ("side", "target_tau_a", "target_weight"):
        del older["scorer"][name]
    ranker = load_ranker(str(write_run(tmp_path / "run", encoder, {2: None}, older, LEARNED[:1])), cache_dir=cache)
    assert ranker.description.endswith("soft,tau_a=2.0,side=query")
    model, _, tokeniser = parts(encoder, cache, "soft,side=query")
    expected = direct_scores(model, trained_params(encoder, 2, LEARNED[:1]), tokeniser, QUERIES, TARGETS)
    np.testing.assert_allclose(ranker.index(TARGETS)(QUERIES), expected, atol=1e-5)


def test_a_trained_model_ranks_as_the_parameters_in_memory(encoder, cache, tmp_path, monkeypatch):
    """Also from another working directory than the one that its encoder was named from."""
    from uwe_jax.commands.train import train

    states, save = {}, Checkpoints.save

    def saved(self, step, state, *rest):
        states[step] = jax.tree.map(np.array, state.params)
        save(self, step, state, *rest)

    monkeypatch.setattr(Checkpoints, "save", saved)
    config = Config(
        workdir=str(tmp_path / "training"),
        steps=2,
        encoder=EncoderSettings(name=encoder.name),
        source=SourceSettings(kinds=("job",), cache_dir=str(cache)),
        lengths=LengthSettings(skill=8, job=8),
        batch=BatchSettings(global_batch_size=8),
        scorer=ScorerSettings(kind="mean_pool"),  # compiles the fewest programs
        optimiser=OptimiserSettings(learning_rate=0.01),
        evaluation=EvaluationSettings(max_queries=4, max_test_queries=4, texts_per_device=16, skip=("skill_to_job",)),
    )
    monkeypatch.chdir(encoder.parent)
    train(config)
    monkeypatch.chdir(tmp_path)
    assert set(read_scores(tmp_path).held_out) == {"job_to_skill", "macro"}  # what a grid reads of a training
    ranker = load_ranker(str(tmp_path / "training"), cache_dir=cache)
    assert ranker.description.startswith("step 2 of 2, validation MAP ")
    model, frozen, tokeniser = parts(encoder, cache)
    scores = ranker.index(TARGETS)(QUERIES)
    expected, untrained = (direct_scores(model, each, tokeniser, QUERIES, TARGETS) for each in (states[2], frozen))
    np.testing.assert_allclose(scores, expected, atol=1e-5)
    assert np.abs(scores - untrained).max() > 1e-3


def damage(path):
    """Flips a bit in the middle of the largest file."""
    largest = max((p for p in path.rglob("*") if p.is_file()), key=lambda p: p.stat().st_size)
    content = bytearray(largest.read_bytes())
    content[len(content) // 2] ^= 1
    largest.write_bytes(bytes(content))


def change(path, **values):
    write_json(path, {**json.loads(path.read_text()), **values})


@pytest.mark.parametrize(
    ("break_it", "message"),
    [
        (shutil.rmtree, "has no config.json"),
        (lambda run: (run / "config.json").unlink(), "has no config.json"),
        (lambda run: (run / "config.json").write_text("{"), "config.json is not readable JSON"),
        (lambda run: (run / "config.json").write_text("[]"), "config.json holds a list instead of an object"),
        (lambda run: change(run / "config.json", encoder=3), "config.json: encoder is 3; it must be a section"),
        (lambda run: change(run / "config.json", speed=3), "config.json: Unknown setting speed"),
        (lambda run: change(run / "config.json", steps="many"), "config.json: steps is 'many'"),
        (lambda run: shutil.rmtree(run / "checkpoints"), "no finished checkpoint in"),
        (lambda run: [shutil.rmtree(step) for step in (run / "checkpoints").iterdir()], "no finished checkpoint in"),
        (
            lambda run: [damage(step / "state") for step in (run / "checkpoints").iterdir()],
            r"checkpoint of step \d (cannot be read|is damaged)",
        ),
    ],
)
def test_a_broken_workdir_is_reported(workdir, cache, break_it, message):
    break_it(workdir)
    with pytest.raises(UserError, match=message):
        load_run(workdir, cache_dir=cache)


def test_a_replaced_encoder_is_noticed(workdir, cache, tmp_path):
    other = write_tiny_encoder(tmp_path / "other", words=WORDS[:3], layers=1)
    change(workdir / "config.json", encoder={"name": str(other)})
    with pytest.raises(UserError, match="was trained from another encoder than the one that is now in"):
        load_run(workdir, cache_dir=cache)


# ---- Specs ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("text", [*SCORERS, "max_sim,reduce=sum", "soft_pooled,tau_a=0.2"])
def test_the_text_of_a_scorer_round_trips(text):
    assert scorer_text(parse_scorer(text)) == text


@pytest.mark.thorough
def test_the_papers_formula_is_one_switch_away(rng):
    paper = parse_scorer("soft,side=query,logits=dot,tau_a=0.1")
    for config in ("uwe_mpnet", "ablation:paper"):
        assert read_command_line([f"--config={config}"], Config, "train").scorer == paper
    q, y = rng.normal(size=(3, 8)), rng.normal(size=(5, 8))
    blocks = (Tokens(jnp.asarray(x[None], jnp.float32), jnp.ones((1, len(x)), bool)) for x in (q, y))
    dots = np.exp(q @ y.T / 0.1 - (q @ y.T / 0.1).max(axis=1, keepdims=True))
    cosines = q @ y.T / np.linalg.norm(q, axis=1)[:, None] / np.linalg.norm(y, axis=1)
    score = (dots / dots.sum(axis=1, keepdims=True) * cosines).sum(axis=1).mean()
    assert float(block_scores(*blocks, paper.temperatures, paper).forward[0, 0]) == pytest.approx(score, abs=1e-5)


@pytest.fixture
def own_module(tmp_path, monkeypatch):
    """A user's own rankers, as a module that can be imported."""
    (tmp_path / "own_rankers.py").write_text(
        """
class Lengths:
    name = "lengths"
    def __init__(self, power=1):
        self.power = power
    def index(self, targets):
        import numpy as np
        return lambda queries: np.array([[-abs(len(q) - len(t)) ** self.power for t in targets] for q in queries])

class Needy(Lengths):
    def __init__(self, power):
        self.power = power

class Nameless:
    def index(self, targets): ...

class box:
    squared = Lengths(2)

def make():
    return Lengths(3)
"""
    )
    (tmp_path / "broken_ranker.py").write_text("import no_such_package")
    monkeypatch.syspath_prepend(tmp_path)
    yield
    for name in ("own_rankers", "broken_ranker"):
        sys.modules.pop(name, None)


@pytest.mark.parametrize(("attribute", "power"), [("Lengths", 1), ("box.squared", 2), ("make", 3)])
def test_a_custom_ranker_is_found(own_module, cache, attribute, power):
    ranker = load_ranker(f"own_rankers:{attribute}", cache_dir=cache)
    assert ranker.name == "lengths"
    assert ranker.index(["nurse", "cook"])(["abc"]).tolist() == [[-(2**power), -1]]


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ("no_such_module:Thing", "cannot be imported.*No module named 'no_such_module'.*A model is one of"),
        ("broken_ranker:Thing", "cannot be imported.*No module named 'no_such_package'"),
        ("own_rankers:Thing", "has no 'Thing'. It has Lengths, Needy, Nameless, box, make"),
        ("own_rankers:Needy", "requires arguments .*missing a required argument: 'power'"),
        ("own_rankers:Nameless", "is a Nameless without name; a ranker has a name and"),
        ("own_rankers:box.squared.power", "is a int without name and index"),
        ("ENCODER:softer", r"no scorer 'softer'.*Did you mean 'soft'\?$"),
        ("bert:sotf", r"cannot be imported.*Did you mean 'soft'\?"),
        ("bm2", r"no model of this name\. Did you mean 'bm25'\?$"),
        ("all-MiniLM-L6v2", r"no folder all-MiniLM-L6v2.*Did you mean 'all-MiniLM-L6-v2'\?$"),
        ("ENCODER:soft,tau=3", "'tau=3' is not an option of soft, which takes logits=..., tau_a=..., reduce=..."),
        ("ENCODER:mean_pool,tau_a=3", "'tau_a=3' is not an option of mean_pool, which takes no option"),
        ("ENCODER:soft,tau_a=low", "tau_a is 'low'; it must be a number"),
        ("ENCODER:soft,logits=cos", "scorer.logits is 'cos'"),
        ("RUN:soft", "a trained model has its own scorer"),
        ("no-such-encoder", "No encoder 'no-such-encoder' was found.*A model is one of"),
        ("", "A model is one of"),
    ],
)
def test_a_spec_that_is_not_a_ranker_is_reported(own_module, finished, encoder, cache, monkeypatch, spec, message):
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    spec = spec.replace("ENCODER", str(encoder)).replace("RUN", str(finished))
    with pytest.raises(UserError, match=f"(?s){message}"):
        load_ranker(spec, cache_dir=cache)
