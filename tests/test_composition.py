"""Mixtures of several sources: equal texts join, titles take over skills, and no edge is lost."""

import numpy as np
import pytest
from compositions import edge_weights, pairs, part
from graphs import build_graph_set, edges_of
from hypothesis import given, settings
from hypothesis import strategies as st

from uwe_jax.config import COMBINED, PartSettings, SourceSettings
from uwe_jax.data.decontamination import ExcludedTexts
from uwe_jax.data.graph import Edge
from uwe_jax.data.text import normalise
from uwe_jax.data.training_hashes import pair_hashes, text_hashes
from uwe_jax.evaluation.decontamination import load_training_composition
from uwe_jax.runtime.errors import UserError
from uwe_jax.sources.mixture.columns import columns_of
from uwe_jax.sources.mixture.compose import compose
from uwe_jax.sources.mixture.joining import joined_by_alias, with_titles

texts = st.sampled_from(["weld", "cook", "plan shifts", "bake", "drive"])
edge_lists = st.lists(st.tuples(texts, texts), min_size=1, max_size=12)


@pytest.mark.thorough
@given(st.lists(edge_lists, min_size=1, max_size=4), st.randoms())
@settings(max_examples=40, deadline=None)
def test_parts_together_are_the_graph_of_all_their_edges(listed, random):
    parts = [part(f"part {k}", skill_job=pairs(rows), skill_alias=pairs(rows[::-1])) for k, rows in enumerate(listed)]
    everything = pairs([row for rows in listed for row in rows])
    expected = build_graph_set({"job": everything, "alias": everything})
    random.shuffle(parts)
    graphs = compose(parts).graphs
    assert {kind: graph.fingerprint() for kind, graph in graphs.graphs.items()} == expected.fingerprints()
    assert graphs.fingerprints() == compose(parts[::-1]).graphs.fingerprints()


messy = st.sampled_from(["weld", " weld\n", "we  ld", "cook", "caf\u00e9", "cafe\u0301", "\U0001f600", "\uffff"])
ids = st.sampled_from(["", "u1", "u2", "weld"])
messy_edges = st.lists(st.builds(Edge, ids, messy, ids, messy, st.sampled_from(["", "r", "s"])), min_size=1, max_size=9)


@pytest.mark.thorough
@given(st.lists(st.tuples(messy_edges, st.sampled_from([0.5, 1.0, 2.0])), min_size=1, max_size=9), st.integers(0, 2))
@settings(max_examples=60, deadline=None)
def test_columns_give_what_rows_give(listed, also):
    edges = {"job": [each for each, _ in listed], "alias": [each for each, _ in listed[: also + 1]]}
    parts = [
        part(str(k), weight, skill_job=each, **({"skill_alias": each} if k <= also else {}))
        for k, (each, weight) in enumerate(listed)
    ]
    expected = build_graph_set({kind: [edge for each in some for edge in each] for kind, some in edges.items()})
    found = compose(parts)
    assert (found.graphs.skills, found.graphs.skill_ids) == (expected.skills, expected.skill_ids)
    for kind, graph in expected.graphs.items():
        own, stated = found.graphs.graphs[kind], found.statements[kind]
        assert (own.neighbours, own.neighbour_ids) == (graph.neighbours, graph.neighbour_ids)
        assert own.fingerprint() == found.graphs.graphs[kind].fingerprint()
        np.testing.assert_array_equal(own.edges.toarray(), graph.edges.toarray())
        rows = {}
        for number, some in enumerate(edges[kind]):
            for edge in some:
                pair = normalise(edge.left_text), normalise(edge.right_text)
                rows.setdefault(pair, set()).add((number, edge.relation))
        pairs = [(graph.skills[a], graph.neighbours[b]) for a, b in zip(stated.left, stated.right, strict=True)]
        relations = [found.relations[code] for code in stated.relation]
        statements = list(zip(pairs, stated.part.tolist(), relations, strict=True))
        assert sorted(statements) == sorted((pair, *each) for pair, some in rows.items() for each in some)
        assert [each[:2] for each in statements] == sorted(each[:2] for each in statements)
        largest = {pair: max(listed[number][1] for number, _ in some) for pair, some in rows.items()}
        if own.weights is not None:
            assert edge_weights(own) == largest
        for number in range(len(parts)):
            of_part = {pair for pair, some in rows.items() if number in {each for each, _ in some}}
            assert set(edge_weights(own.of_part(number))) == of_part


def test_empty_lists_and_texts_are_named():
    with pytest.raises(UserError, match=r"skill-job graph is empty: its source has 0 edges"):
        columns_of("job", [])
    with pytest.raises(UserError, match=r"Edge 2 of the skill-job graph has an empty text: skill ' ', job 'welder'"):
        columns_of("job", pairs([("weld", "welder"), (" ", "welder")]))


def test_an_edge_has_the_largest_weight_of_the_parts_that_state_it():
    one = part("one", 2.0, skill_job=pairs([("weld", "welder"), ("cook", "chef")], "essential"))
    other = part("other", 0.5, skill_job=pairs([("weld", "welder"), ("bake", "baker")], "given"))
    for parts in ([one, other], [other, one]):
        composition = compose(parts)
        expected = {("weld", "welder"): 2.0, ("cook", "chef"): 2.0, ("bake", "baker"): 0.5}
        assert edge_weights(composition.graphs.graphs["job"]) == expected
    counts = {row["part"]: (row["edges"], row["only"], row["skills"]) for row in composition.counts()}
    assert counts == {"one": (2, 1, 2), "other": (2, 1, 2)}


def test_equal_weights_are_removed():
    rows = pairs([("weld", "welder")])
    plain = compose([part(skill_job=rows)]).graphs
    assert plain.graphs["job"].weights is None
    assert compose([part(weight=3.0, skill_job=rows)]).graphs.fingerprints() == plain.fingerprints()


def test_weights_are_part_of_the_fingerprint():
    rows = [pairs([("weld", "welder")]), pairs([("cook", "chef")])]
    prints = {
        compose([part("a", 1.0, skill_job=rows[0]), part("b", weight, skill_job=rows[1])])
        .graphs.graphs["job"]
        .fingerprint()
        for weight in (1.0, 0.5, 0.25)
    }
    assert len(prints) == 3


def test_provenance_is_part_of_the_fingerprint_of_a_mixture():
    rows = [("weld", "welder"), ("cook", "chef")]

    def prints(*split):
        graphs = compose([part(name, skill_job=pairs(each)) for name, each in zip("ab", split, strict=False)]).graphs
        return graphs.fingerprints()["job"], graphs.graphs["job"].fingerprint()

    found = [prints(rows), prints(rows[:1], rows[1:]), prints(rows[1:], rows[:1]), prints(rows, rows[1:])]
    assert len({whole for whole, _ in found}) == 4
    assert {plain for _, plain in found} == {found[0][0]}


def test_a_source_without_an_edge_has_no_batches():
    one, two = part("one", skill_job=pairs([("weld", "welder")])), part("two", skill_alias=pairs([("weld", "w")]))
    composition = compose([two, one], ["job"])
    assert [info.name for info in composition.parts] == list(composition.graphs.part_weights) == ["one"]
    assert composition.counts()[0]["part"] == "one"
    assert composition.notes == ("two is left out: it has no edge here",)


def test_titles_take_over_the_skills_of_their_job():
    jobs = [
        Edge("", "weld", "1", "welder", "essential"),
        Edge("", "cut metal", "1", "welder", "optional"),
        Edge("", "cook", "2", "chef", "essential"),
    ]
    titles = [
        Edge("1", "welder", "", "spot welder", "alternative"),
        Edge("1", "welder", "", "metal joiner", "reported"),
        Edge("2", "chef", "", "metal joiner", "alternative"),  # a title of two jobs
        Edge("3", "pilot", "", "captain", "alternative"),  # of a job without a skill
    ]
    columns = with_titles(columns_of("job", jobs), columns_of("title", titles))
    stated = {(edge.left_text, edge.right_text, edge.relation) for edge in edges_of(columns)}
    skills = {"1": [("weld", "essential"), ("cut metal", "optional")], "2": [("cook", "essential")], "3": []}
    expected = {(edge.left_text, edge.right_text, edge.relation) for edge in jobs} | {
        (skill, title.right_text, f"{relation}, {title.relation}")
        for title in titles
        for skill, relation in skills[title.left_id]
    }
    assert stated == expected


def test_jobs_with_the_same_name_keep_their_own_titles():
    jobs = [Edge("", "bake", "o1", "chef"), Edge("", "cook", "o2", "chef")]
    for job, skill in (("o1", "bake"), ("o2", "cook")):
        graph = compose([part(skill_job=jobs, job_title=[Edge(job, "chef", "", "head chef")])]).graphs.graphs["job"]
        assert set(edge_weights(graph)) == {("bake", "chef"), ("cook", "chef"), (skill, "head chef")}
        assert graph.neighbour_ids == ("o1", "head chef")


def test_titles_alone_are_an_error():
    with pytest.raises(UserError, match=r"further titles of jobs, and no skills .* such as skill_job"):
        compose([part(job_title=pairs([("welder", "spot welder")]))])


def test_titles_stay_within_their_source():
    jobs = part("a", skill_job=pairs([("weld", "welder")]))
    titles = part("b", skill_job=pairs([("cook", "chef")]), job_title=pairs([("welder", "spot welder")]))
    assert compose([jobs, titles]).graphs.graphs["job"].neighbours == ("chef", "welder")


def test_aliases_join_only_on_request_and_only_where_one_skill_has_them():
    taxonomy = part(
        "taxonomy", skill_alias=pairs([("Python (language)", "python"), ("welding", "weld"), ("joining", "weld")])
    )
    other = part("other", skill_job=pairs([("Python", "coder"), ("weld", "welder"), ("WELDING", "welder")]))
    apart = compose([taxonomy, other]).graphs
    assert {"Python", "weld", "WELDING", "Python (language)"} <= set(apart.skills)
    joined = compose([taxonomy, other], join_aliases=True)
    assert edge_weights(joined.graphs.graphs["job"]).keys() == {
        ("Python (language)", "coder"),
        ("weld", "welder"),  # two skills have this alias
        ("welding", "welder"),
    }
    assert any("2 skills joined another one" in note for note in joined.notes)


def test_skills_join_without_the_alias_graph_and_not_by_job_titles():
    taxonomy = part("taxonomy", skill_alias=pairs([("welding", "weld")]), job_alias=pairs([("welder", "joiner")]))
    other = part("other", skill_job=pairs([("weld", "fitter"), ("joiner", "fitter")]))
    graphs = compose([taxonomy, other], ["job"], join_aliases=True).graphs
    with pytest.raises(UserError, match=r"join_aliases is True, but other has no graph of aliases .* graphs of 'job'"):
        compose([other], join_aliases=True)
    assert list(graphs.graphs) == ["job"]
    assert set(edge_weights(graphs.graphs["job"])) == {("welding", "fitter"), ("joiner", "fitter")}


def test_a_skill_with_aliases_joins_no_other():
    becomes = joined_by_alias(["a", "b"], np.array([0, 1]), ["b", "c"], np.array([0, 1]))
    assert becomes.tolist() == [0, 1]


def kept_out(job=(), vacancy=(), related=()):
    queries = {kind: np.unique(text_hashes(each)) for kind, each in (("job", job), ("vacancy", vacancy)) if each}
    hashes = [pair_hashes(text_hashes([a]), text_hashes([b])) for a, b in related]
    return ExcludedTexts(
        queries, np.unique(np.concatenate(hashes)) if hashes else np.empty(0, np.uint64), ("a task (test)",)
    )


def test_queries_and_pairs_of_an_evaluation_are_excluded():
    one = part(
        skill_job=pairs([("weld", "Welder"), ("weld", "fitter"), ("You weld pipes.", "fitter"), ("cook", "chef")]),
        skill_vacancy=pairs([("weld", "You  weld PIPES."), ("welder", "We seek a welder.")]),
        skill_alias=pairs([("weld", "welding"), ("weld", "joining")]),
    )
    held = kept_out(job=["welder"], vacancy=["You weld pipes."], related=[("joining", "weld")])
    composition = compose([one], excluded=held)
    edges = {kind: set(edge_weights(graph)) for kind, graph in composition.graphs.graphs.items()}
    assert edges == {
        "job": {("weld", "fitter"), ("cook", "chef")},  # a sentence goes wherever it stands
        "vacancy": {("welder", "We seek a welder.")},  # a skill may have the name of a job that is asked for
        "alias": {("weld", "welding")},
    }
    assert "2 texts of skill-job excluded" in composition.notes[0]
    assert any("1 edge of skill-alias excluded" in note for note in composition.notes)


def test_job_queries_are_excluded_from_all_graphs_with_jobs():
    rows = [("welder", "fitter"), ("chef", "WELDER"), ("chef", "cook")]
    of_jobs = part(job_alias=pairs(rows), job_description=pairs(rows))
    of_skills = part("two", skill_alias=pairs(rows))
    graphs = compose([of_jobs], excluded=kept_out(job=["welder"])).graphs.graphs
    assert set(edge_weights(graphs["alias"])) == {("chef", "cook")}
    assert set(edge_weights(graphs["vacancy"])) == {("chef", "WELDER"), ("chef", "cook")}  # on the right a sentence
    graphs = compose([of_jobs, of_skills], excluded=kept_out(job=["welder"])).graphs.graphs
    assert set(edge_weights(graphs["alias"])) == set(rows)


def test_excluding_all_edges_is_an_error():
    with pytest.raises(UserError, match=r"Nothing is left of skill-job: all of its 1 edges .*a task \(test\)"):
        compose([part(skill_job=pairs([("weld", "welder")]))], excluded=kept_out(job=["welder"]))


# ---- Through the settings ------------------------------------------------------------------------------------------


def write_edges(folder, rows):
    folder.mkdir()
    (folder / "skill_job.csv").write_text("left,right\n" + "".join(f"{a},{b}\n" for a, b in rows))
    return str(folder)


def test_parts_of_a_configuration(tmp_path, capsys):
    one = write_edges(tmp_path / "one", [("weld", "welder")])
    two = write_edges(tmp_path / "two", [("weld", "fitter")])
    parts = {
        "mine": PartSettings(source="edges", path=one, weight=2.0),
        "yours": PartSettings(source="edges", path=two),
        "nobodys": PartSettings(source="edges", path=str(tmp_path / "nowhere"), weight=0.0),
    }
    composition = load_training_composition(SourceSettings(source=COMBINED, parts=parts))
    assert edge_weights(composition.graphs.graphs["job"]) == {("weld", "welder"): 2.0, ("weld", "fitter"): 1.0}
    assert [info.name for info in composition.parts] == ["mine", "yours"]
    assert f"Read {one} and {two}: 1 skill; skill-job 2 edges" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"source": COMBINED}, "source.parts is empty"),
        ({"source": COMBINED, "parts": {"a": PartSettings(weight=0.0)}}, "All 1 source.parts have weight 0"),
        (
            {"source": COMBINED, "parts": {"onett": PartSettings()}},
            "source.parts.onett.source is 'onett'; it must be one of",
        ),
        (
            {"source": COMBINED, "parts": {"a": PartSettings(source="edges", graphs=("skil_job",))}},
            "source.parts.a.graphs holds 'skil_job', which this source does not offer. Did you mean 'skill_job'?",
        ),
        ({"source": COMBINED, "parts": {"a": PartSettings(source="edges")}}, "source.parts.a.path is empty"),
    ],
)
def test_wrong_parts(settings, said):
    with pytest.raises(UserError, match=r".") as raised:
        load_training_composition(SourceSettings(**settings))
    assert said in str(raised.value)
