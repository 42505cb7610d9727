"""Descriptions against counting one by one, their rules on texts, and the command from flags to files."""

import json
import re
import subprocess
import sys
from collections import Counter
from itertools import combinations
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from graphs import build_graph_set, random_graphs
from rendered import NASTY, sections, shown
from tiny_encoder import write_tiny_encoder

from uwe_jax.commands import describe
from uwe_jax.config import LengthSettings
from uwe_jax.curation.describe import coverage, degrees, duplicates, findings, overlap, texts
from uwe_jax.curation.describe.section import Grid, Section
from uwe_jax.data.graph import BipartiteGraph, Edge, edge_matrix
from uwe_jax.data.graph_set import GraphSet
from uwe_jax.data.ragged import run_offsets
from uwe_jax.data.tokens import SpecialTokens, Tokeniser, TokenTable
from uwe_jax.evaluation.tasks.catalogue import choose
from uwe_jax.evaluation.tasks.task import TaskContent, TaskDataMissing, TaskSources, TaskSpec
from uwe_jax.runtime.command import answer_errors
from uwe_jax.sources.taxonomy import Skill, Taxonomy

ROOT = Path(__file__).parents[1]


def edges_of(graph):
    """The edges as pairs of positions."""
    return list(zip(*(side.tolist() for side in graph.edges.nonzero()), strict=True))


def components(pairs):
    """Sets of connected nodes, grown edge by edge."""
    parts = []
    for left, right in pairs:
        ends = {("left", left), ("right", right)}
        touched = [part for part in parts if part & ends]
        parts = [part for part in parts if not part & ends] + [ends.union(*touched)]
    return parts


# ---- Degrees --------------------------------------------------------------------------------------------------------


def test_sizes_and_spreads_are_those_counted_one_by_one(rng):
    graphs = random_graphs(rng)
    found = degrees.measure(graphs)
    assert list(found) == ["job", "vacancy", "alias"]
    for kind, graph in graphs.graphs.items():
        pairs = edges_of(graph)
        parts = components(pairs)
        assert found[kind]["edges"] == len(pairs)
        assert found[kind]["parts"] == len(parts)
        assert found[kind]["largest"] == max(map(len, parts))
        for side, place, names in (("skill", 0, graph.skills), (kind, 1, graph.neighbours)):
            count = Counter(pair[place] for pair in pairs)
            spread = found[kind]["degrees"][side]
            sizes = sorted(count.values())
            assert found[kind]["nodes"][side] == len(names)
            assert found[kind]["connected"][side] == len(sizes)
            assert spread["mean"] == pytest.approx(len(pairs) / len(sizes))
            assert spread["quantiles"]["0.5"] == np.median(sizes)
            assert spread["max"] == sizes[-1]
            bounds = {"1": (1, 1), "2-5": (2, 5), "6-20": (6, 20), "21-100": (21, 100), "101+": (101, 10**9)}
            assert spread["bins"] == {
                name: sum(low <= size <= high for size in sizes) for name, (low, high) in bounds.items()
            }
            leaders = sorted(count, key=lambda node: (-count[node], node))[:10]
            assert spread["top"] == [{"text": names[node], "degree": count[node]} for node in leaders]
            assert spread["top_edges"] == sizes[-1]  # a hundredth of so few nodes is one


def test_complementary_distribution(rng):
    sizes = rng.zipf(1.7, 500).clip(max=300)
    values, shares = degrees.at_least(np.concatenate([sizes, np.zeros(9, np.int64)]))
    assert values.tolist() == sorted(set(sizes.tolist()))
    np.testing.assert_allclose(shares, [(sizes >= value).mean() for value in values])


def test_nodes_and_graphs_without_an_edge():
    skills = ("a", "b", "c")
    empty = BipartiteGraph("job", skills, ("x",), edge_matrix(np.array([], int), np.array([], int), (3, 1)))
    sizes = degrees.measure(GraphSet(skills, {"job": empty}))["job"]
    assert (sizes["edges"], sizes["parts"], sizes["largest"]) == (0, 0, 0)
    one = BipartiteGraph("job", skills, ("x", "y"), edge_matrix(np.array([1]), np.array([0]), (3, 2)))
    sizes = degrees.measure(GraphSet(skills, {"job": one}))["job"]
    assert (sizes["connected"], sizes["parts"], sizes["largest"]) == ({"skill": 1, "job": 1}, 1, 2)


# ---- Texts ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "kind", "expected"),
    [
        ("caf\ufffd manager", "job", ["replacement"]),
        ("cafÃ© manager", "job", ["mojibake"]),
        ("the companyâ€™s goals", "vacancy", ["mojibake"]),
        ("at 20 Â°C or more", "skill", ["mojibake"]),
        ("soft\u00adware", "skill", ["invisible"]),
        ("bell\x07", "skill", ["invisible"]),
        ("icon \ue000 here", "skill", ["invisible"]),
        ("<b>Java</b> developer", "job", ["html"]),
        ("R&amp;D", "skill", ["html"]),
        ("the driver&#39;s mate", "job", ["html"]),
        ("UNK", "skill", ["placeholder"]),
        ("n/a", "alias", ["placeholder"]),
        ("see https://example.org", "vacancy", ["address"]),
        ("mail hr@example.org", "vacancy", ["address"]),
        ("R", "skill", ["one_character"]),
        ("7", "skill", ["one_character", "few_letters"]),
        ("12-3456", "job", ["few_letters"]),
        ("SENIOR WELDER II", "job", ["capitals"]),
        ("----- duties", "job", ["repeats"]),
        ("sales sales sales", "job", ["repeats"]),
        ("word " * 31, "job", ["repeats", "long"]),
        (" ".join(f"w{chr(97 + k % 26)}{chr(97 + k // 26)}" for k in range(60)), "vacancy", []),
        (" ".join(f"w{chr(97 + k % 26)}{chr(97 + k // 26)}" for k in range(60)), "skill", ["long"]),
        # None of these is strange.
        ("C++", "skill", []),
        (".NET", "skill", []),
        ("C#", "skill", []),
        ("SQL", "skill", []),
        ("naïve Bayes", "skill", []),
        ("„groß“ schreiben", "alias", []),
        ("vector<int> and List<String>", "skill", []),
        ("R&D; more", "skill", []),
        ("Python 3", "skill", []),
        ("carrying 10000 parcels", "job", []),
        ("प्रबंधन कौशल", "skill", []),
        ("\u0645\u06cc\u200c\u062e\u0648\u0631\u0645", "skill", []),
    ],
)
def test_rules_find_strange_texts(text, kind, expected):
    assert texts.reasons(text, kind) == expected


def test_strange_texts_are_counted_with_examples():
    listed = [f"good {chr(97 + k)}" for k in range(20)] + ["&amp; a", "&amp; b", "Ã© &lt;"]
    found = texts.strange(listed, "job")
    assert (found["any"], found["looked_at"], found["of"]) == (3, 23, 23)
    assert found["found"]["html"] == {"count": 3, "examples": listed[20:]}
    assert found["found"]["mojibake"]["count"] == 1
    assert list(found["found"]) == ["mojibake", "html"]


def test_a_sample_is_reported():
    listed = ["<br>"] * 40
    found = texts.strange(listed, "job", most=10)
    assert (found["looked_at"], found["of"], found["found"]["html"]["count"]) == (10, 40, 10)
    assert "A random sample of 10 of 40 job texts was examined" in texts.strange_section({"job": found}).terminal()


def test_the_longest_texts():
    found = texts.longest(["aa", "cccc", "b", "dddd"])
    assert [top["text"] for top in found["texts"]] == ["cccc", "dddd", "aa", "b"]
    assert (found["median"], found["most"]) == (3.0, 4)


# ---- Duplicates -----------------------------------------------------------------------------------------------------


def test_every_level_joins_what_the_levels_before_it_join(rng):
    words = ["Manage", "manage", "budget", "budgets", "the-team", "the team", "gas", "C", "C++"]
    listed = sorted({" ".join(rng.choice(words, rng.integers(1, 4))) for _ in range(120)})
    found, keys = duplicates.near_equal(listed)
    assert keys == list(map(duplicates.spelling, listed))
    makes = [duplicates.spelling]
    for key_of in (duplicates.singular, duplicates.sorted_words):
        makes.append(lambda text, before=makes[-1], key_of=key_of: key_of(before(text)))
    joined_before = set()
    for name, key_of in zip(duplicates.LEVELS, makes, strict=True):
        joined = {(a, b) for a, b in combinations(listed, 2) if key_of(a) == key_of(b)}
        assert joined_before <= joined
        first = {text for k, text in enumerate(listed) if not any((other, text) in joined for other in listed[:k])}
        assert found[name]["surplus"] == len(listed) - len(first)
        for group in found[name]["examples"]:
            assert len(group) > 1
            assert set(combinations(group, 2)) <= joined - joined_before
        joined_before = joined


def test_texts_of_two_kinds_and_edges_of_a_text_with_itself():
    graphs = build_graph_set(
        {
            "job": [Edge("", "Welding", "", "welder"), Edge("", "nursing", "", "nurse"), Edge("", "C", "", "C++")],
            "alias": [
                Edge("", "Welding", "", "welding"),
                Edge("", "nursing", "", "welding"),
                Edge("", "C", "", "nurse"),
            ],
        }
    )
    found = duplicates.measure(graphs)
    assert found["loops"] == {"job": 0, "alias": 1}
    assert found["between"] == [
        {"kinds": ["skill", "alias"], "texts": 1, "examples": ["Welding"]},
        {"kinds": ["job", "alias"], "texts": 1, "examples": ["nurse"]},
    ]
    assert found["within"]["skill"]["levels"]["order"]["surplus"] == 0


# ---- Taxonomy -------------------------------------------------------------------------------------------------------


def test_coverage_by_id_and_by_label():
    graphs = build_graph_set(
        {
            "job": [Edge("uri:1", "old name", "", f"job {k}") for k in range(5)]
            + [Edge("", "Plan Shifts", "", "chef")],
            "alias": [Edge("", "own skill", "", "haute cuisine"), Edge("uri:1", "old name", "", "older name")],
        }
    )
    skills = (
        Skill("uri:1", "new name"),
        Skill("uri:2", "plan shifts"),
        Skill("uri:3", "haute cuisine"),
        Skill("", "craft", ("something", "Own Skill")),
    )
    found = coverage.measure(graphs, Taxonomy("mine", skills))
    assert (found["skills"], found["nodes"], found["uncovered"]) == (4, 2, 2)
    assert found["edges"] == {"job": {"1": 2, "5": 1}, "alias": {"1": 1, "5": 0}, "any": {"1": 2, "5": 1}}
    assert found["examples"] == ["haute cuisine", "craft"]
    assert (found["as_neighbour"], found["as_alias"]) == (1, 1)
    assert (found["foreign"], found["foreign_examples"]) == (1, ["own skill"])


# ---- Tokens ---------------------------------------------------------------------------------------------------------


class WordTokeniser(Tokeniser):
    """A token per word, and two special ones."""

    special = SpecialTokens((1,), (2,), 0)
    _reader = SimpleNamespace(unknown=None)

    def __init__(self, folder, cache_dir):
        pass

    def table(self, listed, *, label):
        offsets = run_offsets(np.array([len(text.split()) for text in listed]))
        return TokenTable(np.zeros(offsets[-1], np.int32), offsets, self.special)


def test_truncated_texts_are_counted(monkeypatch, tmp_path):
    monkeypatch.setattr(texts, "Tokeniser", WordTokeniser)
    encoder = SimpleNamespace(folder=tmp_path)
    monkeypatch.setattr("uwe_jax.models.resolve.resolve_encoder", lambda name, cache_dir: encoder)
    graphs = build_graph_set({"job": [Edge("", "plan", "", "w " * k + str(k)) for k in range(1, 11)]})
    found = texts.truncated(graphs, "./encoder", LengthSettings(job=6), tmp_path)["kinds"]
    # A job has 4 to 13 tokens.
    assert (found["job"]["cut"], found["job"]["most"], found["job"]["quantiles"]["0.5"]) == (7, 13, 8)
    assert (found["skill"]["cut"], found["skill"]["looked_at"]) == (0, 1)
    monkeypatch.setattr(texts, "MOST_TOKENISED", 4)
    sampled = texts.truncated(graphs, "./encoder", LengthSettings(), tmp_path)
    assert (sampled["kinds"]["job"]["looked_at"], sampled["kinds"]["job"]["of"]) == (4, 10)
    assert "A random sample of 4 of 10 job texts was examined" in texts.truncated_section(sampled).terminal()


def test_texts_with_unknown_tokens_are_a_finding(tmp_path):
    encoder = write_tiny_encoder(tmp_path / "encoder")
    graphs = build_graph_set({"job": [Edge("", "write code", "", "\u533b\u751f"), Edge("", "write code", "", "nurse")]})
    found = texts.truncated(graphs, str(encoder), LengthSettings(), tmp_path / "cache")
    expected = "1 of 2 job texts (50.0 %) has tokens that the encoder's tokeniser does not know"
    assert any(each.startswith(expected) for each in findings.findings(description(graphs, truncation=found)))


# ---- Overlap --------------------------------------------------------------------------------------------------------


def task_spec(name, load, splits=("validation", "test")):
    return TaskSpec(name, name.title(), "", ("vacancy", "skill"), splits, load, "nowhere")


def test_every_half_of_every_task_is_looked_up(tmp_path):
    graphs = build_graph_set(
        {
            "vacancy": [Edge("", "welding", "", "We weld."), Edge("", "planning", "", "We plan.")],
            "alias": [Edge("", "welding", "", "We weld.")],
        }
    )

    def load(sources, split):
        if split == "test":
            raise TaskDataMissing("No file.")
        pairs = [("we WELD.", ["welding"]), ("We cook.", ["cooking"]), ("We plan.", ["cooking", "planning"])]
        targets = ["welding", "planning", "cooking", "more"]
        return TaskContent(pairs, targets, "")

    found = overlap.measure(graphs, [task_spec("ours", load)], TaskSources((), tmp_path))
    (task,) = found["tasks"]
    assert (task["queries"], task["targets"], task["edges"]) == (3, 4, 4)
    assert task["leakage"] == {"queries": 2, "targets": 2, "edges": 2, "domain": "in-domain"}
    assert task["by_graph"] == {"vacancy": 2, "alias": 1}
    assert task["shared_queries"] == ["we WELD.", "We plan."]
    assert found["missing"] == [{"title": "Ours", "split": "test", "reason": "No file."}]
    section = overlap.section(found)
    assert "| Ours | validation | 2 of 3 | 2 of 4 | 2 of 4 | 50.0 % | in-domain |" in section.markdown()
    assert "| Ours | validation | 2 vacancy, 1 alias |" in section.markdown()
    assert "Not compared (data not found): Ours (test)." in section.terminal()


# ---- Findings -------------------------------------------------------------------------------------------------------


def description(graphs, **changes):
    """A description without what needs files."""
    nothing = {"truncation": {"missing": ""}, "overlap": {"tasks": [], "missing": []}, "taxonomy": {"missing": ""}}
    measured = {"graphs": degrees.measure(graphs), "duplicates": duplicates.measure(graphs), **texts.measure(graphs)}
    return {"skills": len(graphs.skills), **measured, **nothing, **changes}


def plain_graphs(count=60, per_skill=3):
    """Every skill has some jobs of its own, in letters that no rule finds strange."""
    name = [chr(97 + k // 26) + chr(97 + k % 26) + "x" for k in range(count * per_skill)]
    return [Edge("", f"skill {name[k // per_skill]}", "", f"job {name[k]}") for k in range(count * per_skill)]


def test_plain_graphs_give_no_findings():
    assert findings.findings(description(build_graph_set({"job": plain_graphs()}))) == []


@pytest.mark.parametrize(
    ("edges", "expected"),
    [
        ({"job": plain_graphs(per_skill=1)}, r"100\.0 % of the skills with an edge in skill-job have exactly one"),
        ({"alias": [Edge("", "skill aax", "", "other")]}, r"Only 1\.7 % of all skills have an edge in skill-alias"),
        (
            {
                "job": plain_graphs()
                + [Edge("", f"skill {chr(97 + k // 26)}{chr(97 + k % 26)}x", "", "hub") for k in range(20)]
            },
            r"The job 'hub' has an edge with",
        ),
        ({"job": [*plain_graphs(), Edge("", "skill aax", "", "caf\ufffd")]}, r"1 job text, of 181, .*U\+FFFD"),
        (
            {"job": plain_graphs() + [Edge("", "skill aax", "", f"{k}") for k in range(10, 15)]},
            r"5 job texts, .*no letter",
        ),
        (
            {"job": plain_graphs() + [Edge("", "skill aax", "", f"Job A{c}X") for c in "ABCDEF"]},
            r"6 of 186 job texts \(3\.2 %\) differ from another node",
        ),
        (
            {"alias": [Edge("", f"skill a{c}x", "", f"Skill A{c.upper()}X") for c in "abcdef"]},
            "of the edges of skill-alias join a text with",
        ),
        (
            {"alias": [Edge("", f"skill a{c}x", "", "same") for c in "ab"]},
            r"1 of 1 aliases \(100\.0 %\) belong to several",
        ),
    ],
)
def test_each_rule_reports_its_case(edges, expected):
    graphs = build_graph_set({"job": plain_graphs(), **edges})
    sentences = findings.findings(description(graphs))
    assert any(re.search(expected, sentence) for sentence in sentences), sentences


def test_leakage_truncation_and_uncovered_skills_are_findings():
    row = {"title": "Tech", "split": "test", "query_kind": "vacancy", "queries": 75, "edges": 131}
    leak = {**row, "leakage": {"queries": 28, "edges": 1, "domain": "zero-shot"}, "shared_queries": ["We weld."]}
    jobs = {**row, "title": "Jobs", "query_kind": "job", "leakage": {"queries": 9, "edges": 1, "domain": "zero-shot"}}
    whole = {**jobs, "title": "Whole", "leakage": {"queries": 9, "edges": 130, "domain": "in-domain"}}
    cut = {"limit": 64, "looked_at": 100, "of": 100, "cut": 12, "quantiles": {"0.99": 81}, "most": 90, "unknown": []}
    found = description(
        build_graph_set({"job": plain_graphs()}),
        overlap={"tasks": [leak, jobs, whole], "missing": []},
        truncation={"encoder": "e", "kinds": {"vacancy": cut, "job": {**cut, "cut": 4}}},
        taxonomy={"origin": "mine", "skills": 1000, "uncovered": 101},
    )
    assert findings.findings(found) == [
        "Training on these graphs makes Whole (test) in-domain: their scores are not zero-shot results.",
        "28 of 75 sentences of Tech (test) are texts of the graphs, such as 'We weld.'.",
        "1 of 131 query-target edges of Jobs (test) are in the graphs.",
        "12.0 % of the vacancy texts are truncated at 64 tokens; lengths.vacancy = 88 would truncate at most 1 %.",
        "101 of the 1,000 skills of mine (10.1 %) have no edge.",
    ]


# ---- Page and command -----------------------------------------------------------------------------------------------


def test_texts_are_shown_as_they_are():
    section = Section(
        "Texts",
        ["Intro *all*."],
        [
            Grid(("text", "n"), [[text, "1"] for text in NASTY[:2]]),
            Grid(("more",), [[text] for text in NASTY[2:]], page_only=True),
        ],
        ["a_b"],
    )
    read = shown(section.markdown())
    assert [text for text in read if text in NASTY] == NASTY
    assert "Intro *all*." in read
    printed = section.terminal()
    assert all(text in printed for text in NASTY[:2])
    assert NASTY[2] not in printed


@pytest.mark.parametrize("left", [(0,), (0, 1, 9), tuple(range(10))])
def test_wide_tables_are_split_and_lose_nothing(left):
    header = [f"heading of column {k}" for k in range(10)]
    row = [f"{k}23,456,789" for k in range(9)] + ["many words " * 18 + "one-word-of-eighty-characters" * 3]
    text = Grid(header, [row, row], left).terminal()
    lines = text.splitlines()
    assert all(len(line) <= 80 and line[-1] in "┓┃┩│┘" for line in lines)
    assert all(cell in text for cell in row[:-1])
    last = "".join(line.split("│")[-2].strip() for line in lines if line[0] == "│" and "23,456,789 │\n" not in line)
    assert "".join(row[-1].split()) in "".join(last.split())


@pytest.fixture
def folder(tmp_path):
    """Two edge files, a list of labels, and a task of one's own."""
    graphs = tmp_path / "graphs"
    graphs.mkdir()
    rows = [f"{edge.left_text},{edge.right_text}" for edge in plain_graphs(20)]
    (graphs / "skill_job.csv").write_text("\n".join(["left,right", *rows, "skill aax,caf\u00c3\u00a9 &amp; $5|6"]))
    (graphs / "skill_alias.csv").write_text('left,right\nskill aax,alpha\nskill abx,"a < b, c"\n')
    (tmp_path / "labels.txt").write_text("Skill AAX\nunheard of\n")
    task = tmp_path / "mytask"
    task.mkdir()
    (task / "queries.csv").write_text("id,text\nq1,job aax\nq2,other\n")
    (task / "targets.csv").write_text("id,text\nt1,skill aax\nt2,skill zzz\n")
    (task / "relevant.csv").write_text("query_id,target_id\nq1,t1\nq2,t2\n")
    return tmp_path


def run(*flags):
    """Runs the command in this process; returns its exit status."""
    try:
        answer_errors(lambda: describe.main([str(flag) for flag in flags]))
    except SystemExit as stop:
        return stop.code
    return 0


def test_the_command_from_files_to_page(folder, capsys, monkeypatch):
    out = folder / "out"
    flags = ("--config.source.source=edges", f"--config.source.path={folder / 'graphs'}", "--tasks", folder / "mytask")
    encoder = f"--config.encoder.name={folder / 'no_encoder'}"
    cache = f"--config.source.cache_dir={folder / 'cache'}"
    assert run(*flags, encoder, cache, "--taxonomy", folder / "labels.txt", "--out", out) == 0
    printed = capsys.readouterr().out
    found = json.loads((out / "describe.json").read_text())
    assert found["graphs"]["job"]["edges"] == 61
    assert found["taxonomy"]["uncovered"] == 1
    assert found["overlap"]["tasks"][0]["leakage"]["edges"] == 1
    assert set(found["fingerprints"]) == {"job", "alias"}
    assert [row["kind"] for row in found["provenance"]] == ["job", "alias"]
    assert (out / "degrees.png").read_bytes()[:4] == b"\x89PNG"

    page = (out / "describe.md").read_text()
    tables = sections(page)
    assert tables["Nodes and edges"][1][:3] == ["skill-job", "61", "20"]
    assert tables["Overlap with ranking tasks"][1][:3] == ["mytask", "all", "1 of 2"]
    assert any("'caf\u00c3\u00a9 &amp; $5|6'" in text for text in shown(page))
    # Without the encoder, the reason is reported and everything else is there.
    for text in (page.replace("\\", ""), printed):
        assert "Not counted: the encoder's tokeniser is not available." in text
    # The findings come first on the page and last in the terminal.
    titles = re.findall("^## (.*)", page, re.MULTILINE)
    assert titles[0] == "Findings"
    shown_titles = [title for title in titles if f"{title}\n{'-' * len(title)}\n" in printed]
    assert sorted(shown_titles, key=printed.index)[-1] == "Findings"
    assert len(shown_titles) == 9
    for sentence in found["findings"]:
        assert f"- {sentence}" in printed

    # Interrupted while it draws, a second description leaves no picture of the first one.
    def interrupt(graphs, path):
        raise KeyboardInterrupt

    monkeypatch.setattr("uwe_jax.curation.describe.description.plot_degrees", interrupt)
    assert run(*flags, encoder, cache, "--out", out) == 130
    assert json.loads((out / "describe.json").read_text())["taxonomy"] != found["taxonomy"]
    assert sorted(path.name for path in out.iterdir()) == ["describe.json", "describe.md"]


def test_several_sources_are_listed(folder, capsys, monkeypatch):
    monkeypatch.setattr("uwe_jax.curation.describe.description.plot_degrees", lambda *_: None)
    monkeypatch.setattr(texts, "truncated", lambda *_: {"encoder": "", "missing": "None asked for."})
    row = {"kind": "job", "weight": 2.0, "edges": 1000, "only": 7, "skills": 3, "neighbours": 4}
    graphs = build_graph_set({"job": plain_graphs(20)})
    config = describe.read_command_line([f"--config={describe.defaults.__file__}"], describe.Config, "train")
    given = [{"part": "onet", **row}, {"part": "esco", **row}]
    found = describe.describe(graphs, config, folder / "out", provenance=given)
    assert found["provenance"] == given
    table = sections((folder / "out" / "describe.md").read_text())["Sources"]
    assert table[1] == ["onet", "skill-job", "2", "1,000", "7", "3", "4"]
    assert "No taxonomy to compare with." in capsys.readouterr().out


@pytest.mark.parametrize(
    ("flags", "expected"),
    [
        (("--data", "{}/nowhere"), "--data {}/nowhere is not a folder"),
        (("--tasks", "job_to_skil"), "Did you mean 'job_to_skill'?"),
        (("--taxonomy", "{}/nowhere.txt"), "{}/nowhere.txt does not exist"),
        (("--config.source.path={}/nowhere",), "{}/nowhere does not exist"),
        (("--config.source.pth=x",), "Did you mean source.path?"),
        (("--outt", "x"), "outt"),
        (("--out", "{}/labels.txt"), "Cannot write to {}/labels.txt"),
        (("--config=nowhere.py",), "nowhere.py"),
    ],
)
def test_bad_input_gives_an_error_message(folder, capsys, flags, expected):
    given = ("--config.source.source=edges", f"--config.source.path={folder / 'graphs'}", "--out", folder / "out")
    config = [flag for flag in flags if flag.startswith("--config=")]
    others = [flag.format(folder) for flag in flags if flag not in config]
    assert run(*config, *given, *others) == 2
    assert expected.format(folder) in capsys.readouterr().err


def test_without_arguments_the_help_is_shown(capsys):
    assert run() == 0
    assert "uwe-jax describe --config.source.source=edges" in capsys.readouterr().out


def test_every_task_of_the_catalogue_is_named_where_there_is_no_data(tmp_path):
    found = overlap.measure(
        build_graph_set({"job": plain_graphs(4)}), choose(("all",)), TaskSources((), tmp_path, offline=True)
    )
    assert found["tasks"] == []
    assert len(found["missing"]) == sum(len(spec.splits) for spec in choose(("all",)))


@pytest.mark.thorough
def test_it_starts_without_jax():
    heavy = ("jax", "torch", "transformers", "matplotlib.figure", "tensorflow_datasets")
    code = f"import sys, uwe_jax.commands.describe; print([name for name in {heavy} if name in sys.modules])"
    answer = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT)
    assert answer.stdout.strip() == "[]"
