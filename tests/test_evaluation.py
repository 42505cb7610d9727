"""Held-out rankings equal the definition, written out with the scorer and a full argsort."""

import functools
import os
import subprocess
import sys
import textwrap

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import reference
from graphs import random_graphs
from tiny_encoder import random_params, tiny_config
from training_processes import ROOT, finish, free_port

from uwe_jax.config import EncoderSettings, EvaluationSettings, LengthSettings, ScorerSettings
from uwe_jax.data.split import TEST, VALIDATION, split_graphs
from uwe_jax.data.tokens import SpecialTokens, TokenTable
from uwe_jax.distributed import parallel
from uwe_jax.models.uwe import UweModel
from uwe_jax.ranking import target_space
from uwe_jax.ranking.encode import TextEncoder
from uwe_jax.ranking.target_space import TargetSpace
from uwe_jax.runtime.errors import UserError
from uwe_jax.training import evaluation
from uwe_jax.training.evaluation import Evaluator, against_frozen
from uwe_jax.training.report import table, verdict

SPECIAL = SpecialTokens(before=(1,), after=(2,), pad=0)
LENGTHS = LengthSettings(skill=30, job=6, vacancy=30, alias=30)


@pytest.fixture(scope="module")
def world():
    return make_world()


def make_world():
    rng = np.random.default_rng(0)
    graphs = random_graphs(rng, kinds=("job",))
    config = tiny_config()
    model = UweModel.create(config, EncoderSettings(), ScorerSettings())
    params = parallel.replicate(model.initial_params(random_params(config)))

    def table(count):
        lengths = rng.choice([0, 3, 9, 23], count)
        offsets = np.concatenate([[0], np.cumsum(lengths)])
        return TokenTable(rng.integers(3, 60, offsets[-1]).astype(np.int32), offsets, SPECIAL)

    tables = {"skill": table(len(graphs.skills)), "job": table(len(graphs.graphs["job"].neighbours))}
    return graphs, model, params, tables


@functools.cache
def compiled_encode(model):
    """One program for each length of a text."""
    return jax.jit(model.encode)


def one_by_one(model, params, table, positions, limit):
    """Token embeddings of each text on its own, without any padding."""
    encode, params = compiled_encode(model), parallel.first(params)
    out = []
    for position in positions:
        length = min(int(table.lengths[position]), limit)
        token_ids, mask = table.rows(np.array([position]), length)
        tokens = encode(params, jnp.asarray(token_ids), jnp.asarray(mask))
        out.append(np.asarray(tokens.embeddings[0], np.float64))
    return out


@pytest.mark.thorough
def test_scores_of_grouped_texts_equal_one_by_one(world):
    _, model, params, tables = world
    encode = TextEncoder(model, rows_per_device=4)
    asked = np.array([5, 0, 9, 3])
    queries = encode(params, tables["job"], asked, LENGTHS.job)
    everything = np.arange(len(tables["skill"]))
    space = TargetSpace.build(encode(params, tables["skill"], everything, LENGTHS.skill), model.scorer)
    matrix = space.scores(queries, model.scorer.temperatures)
    expected = reference.score_matrix(
        one_by_one(model, params, tables["job"], asked, LENGTHS.job),
        one_by_one(model, params, tables["skill"], everything, LENGTHS.skill),
        tau_a=model.scorer.tau_a,
        target_tau_a=model.scorer.target_tau_a,
    )
    np.testing.assert_allclose(matrix, expected, atol=1e-5)


def test_map_equals_the_definition(world):
    graphs, model, params, tables = world
    splits = split_graphs(graphs, 0.3, 0.2)
    evaluator = Evaluator(model, tables, LENGTHS, EvaluationSettings(texts_per_device=4))
    tasks = {"validation": (splits.tasks(VALIDATION), 0), "test": (splits.tasks(TEST), 2)}
    results, by_query = evaluator.evaluate(params, tasks, label="now")
    assert len(by_query["test"]["job_to_skill"]) == 2
    assert results["test"]["job_to_skill"]["queries"] == 2
    for ranking in splits.tasks(VALIDATION):
        query, target = (tables[kind] for kind in (ranking.query_kind, ranking.target_kind))
        limits = {"skill": LENGTHS.skill, "job": LENGTHS.job}
        scores = reference.score_matrix(
            one_by_one(model, params, query, ranking.query_ids, limits[ranking.query_kind]),
            one_by_one(model, params, target, np.arange(len(target)), limits[ranking.target_kind]),
            tau_a=model.scorer.tau_a,
            target_tau_a=model.scorer.target_tau_a,
        )
        precisions = []
        for k, row in enumerate(scores):
            order = np.argsort(-row, kind="stable")
            ranks = np.flatnonzero(np.isin(order, ranking.relevant[[k]].indices)) + 1
            precisions.append(np.mean(np.arange(1, len(ranks) + 1) / ranks))
        measured = results["validation"][ranking.direction]
        assert measured["map"] == pytest.approx(100 * np.mean(precisions), abs=0.01)
        np.testing.assert_allclose(by_query["validation"][ranking.direction], 100 * np.array(precisions), atol=0.01)
        assert measured["targets"] == len(target)
    macro = np.mean([results["validation"][d]["map"] for d in ("skill_to_job", "job_to_skill")])
    assert results["validation"]["macro_map"] == pytest.approx(macro)


def test_processes_share_queries_and_their_ranks_are_those_of_one(world, monkeypatch):
    graphs, model, params, tables = world
    monkeypatch.setattr(target_space, "_SIDED_QUERY_TOKENS", 40)  # several chunks, of few queries each
    evaluator = Evaluator(model, tables, LENGTHS, EvaluationSettings(texts_per_device=4))
    evaluator._encode = TextEncoder(model, 4)  # whole in each: what they exchange is only patched for ranks
    tasks = {"validation": (split_graphs(graphs, 0.3, 0.2).tasks(VALIDATION), 0)}

    def ranks_of(process, processes):
        """Of every ranking, what one of so many processes gives to the others."""
        given = []
        with monkeypatch.context() as patched:
            patched.setattr(evaluation.jax, "process_count", lambda: processes)
            patched.setattr(evaluation.jax, "process_index", lambda: process)
            patched.setattr(parallel, "sum_over_processes", lambda own: given.append(own) or np.ones_like(own))
            evaluator.evaluate(params, tasks, label="now")
        return given

    for whole, first, second in zip(ranks_of(0, 1), ranks_of(0, 2), ranks_of(1, 2), strict=True):
        assert (whole > 0).all()
        np.testing.assert_array_equal(first + second, whole)
        assert 0 < np.count_nonzero(first) < len(whole)
        assert np.count_nonzero(first) + np.count_nonzero(second) == len(whole)


@pytest.mark.slow
def test_two_processes_evaluate_like_one_and_hear_requests_meanwhile():
    """For real: one is slower than failure detection takes, and is asked to stop before its ranks are exchanged."""
    script = """
        import json, os, signal, sys, time
        sys.path.insert(0, "tests")
        from uwe_jax.config import DistributedSettings
        from uwe_jax.distributed.interruption import Interruption
        from uwe_jax.distributed.joining import joined
        from uwe_jax.ranking import target_space
        import jax
        target_space._SIDED_QUERY_TOKENS = 40
        processes, index, port = map(int, sys.argv[1:])
        settings = DistributedSettings(f"127.0.0.1:{port}", processes, index, timeout_seconds=3)
        with joined(settings if processes > 1 else DistributedSettings()), Interruption.watched() as stop:
            import test_evaluation as held_out
            graphs, model, params, tables = held_out.make_world()
            evaluator = held_out.Evaluator(model, tables, held_out.LENGTHS, held_out.EvaluationSettings())
            tasks = {"test": (held_out.split_graphs(graphs, 0.3, 0.2).tasks(held_out.TEST), 0)}
            stop.requested()
            rank = evaluator._rank
            def slow(*args):
                time.sleep(5)
                os.kill(os.getpid(), signal.SIGTERM)
                evaluator._rank = rank
                return rank(*args)
            if index:
                evaluator._rank = slow
            print("RESULT", json.dumps(evaluator.evaluate(params, tasks, label="now")))
            asked = 0
            while processes > 1 and not stop.requested():
                asked += 1
                time.sleep(0.1)
            print("ASKED", asked)
        """

    def finished(processes):
        port = free_port()
        started = [
            subprocess.Popen(
                [sys.executable, "-c", textwrap.dedent(script), *map(str, (processes, index, port))],
                cwd=ROOT,
                env={**os.environ, "JAX_PLATFORMS": "cpu", "XLA_FLAGS": ""},
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
            )
            for index in range(processes)
        ]
        try:
            ended = finish(started, seconds=120)
        finally:
            for process in started:
                process.kill()
        assert [status for status, _ in ended] == [0] * processes, ended
        return [[line for line in output.splitlines() if line.startswith(("RESULT", "ASKED"))] for _, output in ended]

    (alone,), (first, second) = finished(1), finished(2)
    assert len(alone) == 2
    assert first == second
    assert first[0] == alone[0]


def test_scores_that_are_no_numbers_end_with_a_sentence(world):
    graphs, model, params, tables = world
    evaluator = Evaluator(model, tables, LENGTHS, EvaluationSettings(texts_per_device=4))
    broken = jax.tree.map(lambda leaf: leaf * np.nan, params)
    tasks = {"validation": (split_graphs(graphs, 0.3, 0.2).tasks(VALIDATION), 0)}
    with pytest.raises(UserError, match=r"job texts have embeddings that are not finite.*learning_rate"):
        evaluator.evaluate(broken, tasks, label="now")


def test_what_training_gained_is_of_the_same_queries(world):
    tasks = split_graphs(world[0], 0.3, 0.2).tasks(VALIDATION)
    frozen = {task.direction: [10.0 * k for k in range(len(task.query_ids[:4]))] for task in tasks}
    trained = {direction: [value + 5.0 for value in values] for direction, values in frozen.items()}
    found = against_frozen(trained, frozen, tasks, 4)
    assert found == {"map": [5.0, 5.0, 5.0], "queries": sum(map(len, frozen.values()))}
    del trained["skill_to_job"]  # left out by evaluation.skip
    assert against_frozen(trained, frozen, tasks, 4)["queries"] == len(frozen["job_to_skill"])


@pytest.mark.parametrize(
    ("points", "queries", "held_out", "told"),
    [
        (
            [5.31, 3.9, 6.8],
            1312,
            "test",
            "5.3 points above the frozen encoder (95% interval 3.9 to 6.8, 1,312 distinct queries).",
        ),
        (
            [-2.1, -3.14, -1.0],
            20,
            "test",
            "2.1 points worse than the frozen encoder (95% interval -3.1 to -1.0, 20 distinct queries).",
        ),
        (
            [0.3, -1.0, 1.6],
            245,
            "test",
            "0.3 points above the frozen encoder (95% interval -1.0 to 1.6, 245 distinct queries): no conclusion.",
        ),
        ([9.0, 8.0, 10.0], 7, "test", "9.0 points above the frozen encoder; 7 distinct queries: no conclusion."),
        (
            [5.0, 4.0, 6.0],
            99,
            "validation",
            "5.0 points above the frozen encoder (95% interval 4.0 to 6.0, 99 distinct queries). The checkpoint was "
            "chosen on the same nodes, which flatters it.",
        ),
    ],
)
def test_the_verdict_says_what_the_interval_says(points, queries, held_out, told):
    summary = {"after": {"macro_map": 35.5}, "against_frozen": {"map": points, "queries": queries}}
    assert verdict(summary | {"held_out": held_out}) == f"Macro MAP 35.5, {told}"


def test_the_table_of_a_run_fits_80_columns():
    def results(value):
        one = {"queries": 1_000, "targets": 100_000, "map": value, "rp@10": value}
        kinds = ("job", "vacancy", "alias")
        directions = {name: one for kind in kinds for name in (f"skill_to_{kind}", f"{kind}_to_skill")}
        return directions | {"macro_map": value, "macro_rp@10": value}

    lines = table(results(0.0), results(100.0), "Held-out test nodes, percent").splitlines()
    assert max(map(len, lines)) <= 80
    assert [line.split("│")[4:6] for line in lines if "macro" in line] == [[" 0.0 → 100.0 (+100.0) ", " 0.0 → 100.0 "]]
