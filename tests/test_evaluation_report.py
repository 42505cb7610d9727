"""What an evaluation shows: the cells of its tables and the bars of its figure."""

import copy
import re

import pytest
from rendered import NASTY, sections, shown

from uwe_jax.evaluation import plots
from uwe_jax.evaluation.aggregate import ResultsView, group_means, macro_average
from uwe_jax.evaluation.markdown_report import markdown
from uwe_jax.evaluation.terminal import task_line, terminal_table
from uwe_jax.runtime.markdown import bold_best, escape, markdown_rows


def task(title, group, queries=10, **other):
    counts = {"queries": queries, "targets": 2000, "edges": 40}
    return {
        "title": title,
        "group": group,
        "split": "test",
        "origin": "ESCO v1.1.1 (en)",
        **counts,
        "notes": [],
        **other,
    }


def result(mean, precision=None, domain=None, **other):
    leakage = {"queries": 5, "targets": 100, "edges": 10, "domain": domain} if domain else None
    return {
        "metrics": {"map": mean, "rp@10": mean + 10 if precision is None else precision},
        "intervals": {"map": [mean - 1, mean + 1.5]},
        "long_tail": [{"relevant_for": "1", "targets": 4, "pairs": 1234, "map": mean / 2}],
        "leakage": leakage,
        **other,
    }


def model(results, **other):
    return {
        "spec": "a spec",
        "description": "an encoder",
        "seconds": {"encode": 65.0, "total": 70.0},
        "results": results,
        **other,
    }


@pytest.fixture
def results():
    """Three of WorkBench's tasks, one of them of two sets, and a task beside it; `b` is in-domain on the first."""
    return {
        "version": "0.1.0",
        "settings": {"split": "any", "language": "en"},
        "tasks": {
            "own": task("Own | space", "", split="all", notes=["3 queries left out", "2 joined"]),
            "tech": task("TECH", "skill_extraction", origin="Hub"),
            "house": task("HOUSE", "skill_extraction"),
            "j2s": task("Job2Skill", "job_to_skill", queries=1000),
            "norm": task("Titles", "job_normalisation", split="validation"),
        },
        "skipped": [{"task": "similarity", "reason": "no SkillMatch|1K"}],
        "models": {
            "a_model": model(
                {"own": result(90), "tech": result(20), "house": result(40), "j2s": result(10), "norm": result(50)},
                peak_memory_bytes=3 * 2**29,
            ),
            "b": model(
                {
                    "own": result(1),
                    "tech": result(30, 25, "zero-shot"),
                    "house": result(30, domain="zero-shot"),
                    "j2s": result(40, domain="in-domain"),
                    "norm": result(20, domain="zero-shot"),
                }
            ),
            "c": model({"own": result(1), "tech": result(60), "j2s": result(5)}, seconds={"total": 3.0}),
        },
    }  # fmt: skip


# ---- Markdown -------------------------------------------------------------------------------------------------------


def test_an_escaped_text_is_shown_unchanged():
    table = markdown_rows(("text", "number"), [[escape(text), "1"] for text in NASTY])
    assert shown(table) == ["text", "number", *(cell for text in NASTY for cell in (text, "1"))]
    for text in NASTY:
        assert shown(f"## 1. {escape(text)}") == [f"1. {text}"]


def test_escaping_keeps_a_cell_in_one_line():
    assert escape("two\nlines\t\u00a0and gaps ") == "two lines and gaps"


def test_numbers_are_aligned_to_the_right():
    assert markdown_rows(("a", "b", "c"), [["x", "1", "y"]], left=(0, 2)).splitlines() == [
        "| a | b | c |",
        "| --- | ---: | --- |",
        "| x | 1 | y |",
    ]


def test_all_values_that_round_to_the_best_are_bold():
    assert bold_best([1.004, None, 1.0, 0.9]) == ["**1.00**", "-", "**1.00**", "0.90"]
    assert bold_best([1.04, 0.96, 2.0], digits=1, competes=[True, True, False]) == ["**1.0**", "**1.0**", "2.0"]


def test_without_a_rival_nothing_is_bold():
    assert bold_best([None, 3.0]) == ["-", "3.00"]
    assert bold_best([3.0, 2.0], competes=[True, False]) == ["3.00", "2.00"]
    assert bold_best([3.0, 2.0, 3.0], competes=[False, True, True]) == ["3.00", "2.00", "**3.00**"]
    assert bold_best([]) == []


# ---- Averages -------------------------------------------------------------------------------------------------------


def test_sets_are_averaged_before_tasks(results):
    groups = group_means(results["tasks"], results["models"]["a_model"]["results"])
    assert groups == {
        "job_to_skill": {"map": 10, "rp@10": 20},
        "job_normalisation": {"map": 50, "rp@10": 60},
        "skill_extraction": {"map": 30, "rp@10": 40},
    }
    assert macro_average(groups) == {"map": 30, "rp@10": 40}
    assert macro_average({}) == {}


def test_averages_hold_the_metrics_that_all_have():
    rows = {"job_to_skill": {"map": 10.0, "mrr": 1.0}, "skill_to_job": {"map": 20.0}}
    assert macro_average(rows) == {"map": 15.0}


def test_tasks_are_in_the_order_of_the_paper(results):
    view = ResultsView(results)
    assert view.names == ["j2s", "norm", "tech", "house", "own"]
    assert view.in_domain == {"j2s"}


# ---- Terminal -------------------------------------------------------------------------------------------------------


def terminal_rows(text):
    return [[cell.strip() for cell in line.split("│")[1:-1]] for line in text.splitlines() if line.startswith("│")]


def test_terminal_table(results):
    text = terminal_table(results)
    counts = [["1,000", "2,000"], *[["10", "2,000"]] * 3, *[["", ""]] * 4, ["10", "2,000"]]
    names = ["Job2Skill", "Titles", "TECH", "HOUSE"]
    names += ["macro-average", "over WorkBench tasks", "zero-shot macro-average", "over WorkBench tasks", "Own | space"]
    first = [
        ["10.0 / 20.0", "40.0 / 50.0 †"],
        ["50.0 / 60.0", "20.0 / 30.0"],
        ["20.0 / 30.0", "30.0 / 25.0"],
        ["40.0 / 50.0", "30.0 / 40.0"],
        ["30.0 / 40.0", "30.0 / 37.5"],
        ["3 of 6", "3 of 6"],
        ["40.0 / 50.0", "25.0 / 31.2"],
        ["2 of 6", "2 of 6"],
        ["90.0 / 100.0", "1.0 / 11.0"],
    ]
    second = ["5.0 / 15.0", "-", "60.0 / 70.0", "-", "32.5 / 42.5", "2 of 6", "60.0 / 70.0", "1 of 6", "1.0 / 11.0"]
    assert terminal_rows(text) == [
        [name, *count, *cells]
        for columns in (first, [[cell] for cell in second])
        for name, count, cells in zip(names, counts, columns, strict=True)
    ]
    notes = text[text.index("Measured: 3 of 6 tasks; missing: ") : text.index("Skipped ")].splitlines()
    assert len(notes) == 4
    assert "\n\n" + "\n".join(f"- {escape(note)}" for note in notes) + "\n\n" in markdown(results)
    assert "Skipped similarity: no SkillMatch|1K" in text


def test_terminal_table_of_one_metric_without_leakage(results):
    only = {**results, "skipped": [], "models": {"[bold]x": model({"own": result(7), "j2s": result(8)})}}
    for entry in only["models"]["[bold]x"]["results"].values():
        del entry["metrics"]["rp@10"]
    text = terminal_table(only)
    assert "[bold]x" in text
    assert terminal_rows(text) == [
        ["Job2Skill", "1,000", "2,000", "8.0"],
        ["macro-average", "", "", "8.0"],
        ["over WorkBench tasks", "", "", "1 of 6"],
        ["Own | space", "10", "2,000", "7.0"],
    ]
    assert "†" not in text
    assert "RP@10" not in text


def test_terminal_tables_of_many_models_fit_80_columns(results):
    names = [f"model {k} with a name that is longer than a column is wide" for k in range(10)]
    many = {**results, "models": {name: model({"j2s": result(k)}) for k, name in enumerate(names)}}
    text = terminal_table(many)
    assert [cell for row in terminal_rows(text) if row[0] == "Job2Skill" for cell in row[3:]] == [
        f"{k}.0 / {k + 10}.0" for k in range(10)
    ]
    assert max(map(len, text.split("\n\n")[0].splitlines())) <= 80
    assert "…" not in text


def test_task_line(results):
    own, trained = results["models"]["a_model"]["results"]["own"], results["models"]["b"]["results"]["j2s"]
    assert task_line("b", results["tasks"]["j2s"], trained, 65.2) == (
        "b on Job2Skill (1,000 queries, 2,000 targets): MAP 40.0 [39.0, 41.5], RP@10 50.0, 1 min 05 s, in-domain "
        "(5 of 1,000 queries, 100 of 2,000 targets, 10 of 40 edges in the training graphs)"
    )
    bare = {key: value for key, value in own.items() if key != "intervals"}
    assert task_line("a", results["tasks"]["own"], bare, 3) == (
        "a on Own | space (10 queries, 2,000 targets): MAP 90.0, RP@10 100.0, 3 s"
    )


# ---- results.md -----------------------------------------------------------------------------------------------------


def test_headline(results):
    page = markdown(results)
    header, *rows = sections(page)["WorkBench"]
    assert header == [
        "model",
        "Job to skill",
        "Skill to job",
        "Job normalisation",
        "Skill normalisation",
        "Skill extraction",
        "Skill similarity",
        "macro-average",
        "over tasks",
        "zero-shot macro-average",
        "over tasks",
    ]
    measured = [
        ["a_model", "10.00 / 20.00", "-", "**50.00** / **60.00**", "-", "**30.00** / **40.00**", "-",
         "**30.00** / **40.00**", "3 of 6", "**40.00** / **50.00**", "2 of 6"],
        # The best of RP@10 is another model's than the best of MAP; equal values are bold both.
        ["b", "**40.00** / **50.00** †", "-", "20.00 / 30.00", "-", "**30.00** / 32.50", "-",
         "**30.00** / 37.50", "3 of 6", "25.00 / 31.25", "2 of 6"],
        # Higher than all, over fewer sets and tasks: nothing to be compared.
        ["c", "5.00 / 15.00", "-", "-", "-", "60.00 / 70.00 (1 of 2 sets)", "-",
         "32.50 / 42.50", "2 of 6", "60.00 / 70.00", "1 of 6"],
    ]  # fmt: skip
    assert rows[:3] == measured
    none = ["-"] * 3
    assert rows[3:] == [
        ["*reported in the paper*", *[""] * 10],
        ["*UWE (109M)*", "17.9 / -", "-", "39.3 / -", *none, "40.2 / 57.7", "6 of 6", "-", "-"],
        ["*ConTeXT-match*", *none, *none, "37.6 / -", "6 of 6", "-", "-"],
        ["*Qwen3-8B*", *none, *none, "35.8 / -", "6 of 6", "-", "-"],
        ["*MPNet, frozen*", "-", "-", "32.9 / -", *none, "32.3 / -", "6 of 6", "-", "-"],
    ]


def test_notes_below_the_headline(results):
    page = markdown(results)
    assert "- Measured: 3 of 6 tasks; missing: skill to job, skill normalisation, skill similarity. " in page
    assert "over other splits or over other versions of ESCO is not comparable" in page
    assert "- Skill extraction is the mean over 2 of the paper's 3 sets and counts as one task.\n" in page
    assert "- c has no result on Titles, HOUSE; its macro-average" in page
    assert re.search(r"- † in-domain: .* 1 % or more .* in-domain for one of them: Job2Skill\.\n", page)


def test_sets_of_a_task_and_tasks_outside_workbench_have_their_own_tables(results):
    tables = sections(markdown(results))
    assert tables["The sets of skill extraction"] == [
        ["model", "TECH", "HOUSE"],
        ["a_model", "20.00 / 30.00", "**40.00** / **50.00**"],
        ["b", "30.00 / 25.00", "30.00 / 40.00"],
        ["c", "**60.00** / **70.00**", "-"],
    ]
    assert tables["Other target spaces"] == [
        ["model", r"Own \| space"],
        ["a_model", "**90.00** / **100.00**"],
        ["b", "1.00 / 11.00"],
        ["c", "1.00 / 11.00"],
    ]


def test_every_table_says_which_metrics_it_shows(results):
    results["tasks"] = {"own": results["tasks"]["own"]}
    for entry in results["models"].values():
        found = result(33, domain="in-domain")
        entry["results"] = {"own": {**found, "metrics": {"mrr": 5.0}}}
    further = markdown(results).partition("## Other target spaces")[2]
    assert further.startswith("\n\nMRR; the best measured value of a column is bold; † in-domain: the graphs")


def test_differences_are_to_the_first_model(results):
    assert "Differences" not in markdown(results)
    models = results["models"]
    models["b"]["results"]["own"]["difference"] = {"to": "a_model", "map": [-89.0, -90.004, -0.004]}
    models["b"]["results"]["j2s"]["difference"] = {"to": "a_model", "map": [3.0, -0.001, 31.456]}
    models["c"]["results"]["own"]["difference"] = {"to": "a_model", "map": [1.0, 0.0, 2.0]}
    page = markdown(results)
    assert "in brackets the 95 % interval of the paired bootstrap, bold where it excludes 0." in page
    assert sections(page)["Differences to a_model"] == [
        ["task", "b", "c"],
        ["Job2Skill", "+3.00 [+0.00, +31.46]", "-"],
        [r"Own \| space", "**-89.00 [-90.00, +0.00]**", "+1.00 [+0.00, +2.00]"],
    ]


def test_other_target_spaces_do_not_change_the_headline(results):
    other = copy.deepcopy(results)
    for entry in other["models"].values():
        entry["results"]["own"] = result(33, domain="in-domain")
    assert sections(markdown(other))["WorkBench"] == sections(markdown(results))["WorkBench"]


def test_stored_averages_of_joined_results_do_not_matter(results):
    joined = copy.deepcopy(results)
    for entry in joined["models"].values():
        entry |= {"macro": {"map": 99.0}, "groups": {"job_to_skill": {"map": 99.0}}}
    assert markdown(joined) == markdown(results)
    assert terminal_table(joined) == terminal_table(results)


def test_one_model_without_leakage(results):
    del results["models"]["b"], results["models"]["c"]
    page = markdown(results)
    tables = sections(page)
    assert "**" not in page
    assert "†" not in page
    assert tables["WorkBench"][0][-2:] == ["macro-average", "over tasks"]
    assert tables["WorkBench"][1][-2:] == ["30.00 / 40.00", "3 of 6"]
    assert "Leakage" not in tables
    assert "No training graphs are known, so nothing was counted: a_model." in page


def test_results_outside_workbench_only(results):
    results["tasks"] = {"own": results["tasks"]["own"]}
    for entry in results["models"].values():
        entry["results"] = {"own": entry["results"]["own"]}
    page = markdown(results)
    assert "WorkBench" not in sections(page)
    assert "40.2" not in page
    assert terminal_rows(terminal_table(results)) == [
        ["Own | space", "10", "2,000", "90.0 / 100.0", "1.0 / 11.0"],
        ["Own | space", "10", "2,000", "1.0 / 11.0"],
    ]


def test_the_best_of_ten_models_is_bold(results):
    results["models"] = {f"m{k}": model({"j2s": result(k), "tech": result(-k)}) for k in range(10)}
    _, *rows = sections(markdown(results))["WorkBench"]
    bold = [row[0] for row in rows if row[1].startswith("**")]
    assert bold == ["m9"]
    assert [row[0] for row in rows if row[5].startswith("**")] == ["m0"]


def test_tables_of_tasks_metrics_tail_leakage_and_models(results):
    del results["models"]["c"]["results"]["j2s"]["intervals"]
    tables = sections(markdown(results))
    assert tables["Tasks"][0] == ["task", "WorkBench task", "queries", "targets", "edges", "split", "origin", "notes"]
    assert tables["Tasks"][1] == ["Job2Skill", "Job to skill", "1,000", "2,000", "40", "test", "ESCO v1.1.1 (en)", ""]
    assert tables["Tasks"][-1][1:] == [
        "-", "10", "2,000", "40", "all", "ESCO v1.1.1 (en)", "3 queries left out; 2 joined"
    ]  # fmt: skip
    assert tables["c"] == [
        ["task", "MAP", "RP@10"],
        ["Job2Skill", "5.00", "15.00"],
        ["TECH", "60.00 [59.00, 61.50]", "70.00"],
        [r"Own \| space", "1.00 [0.00, 2.50]", "11.00"],
    ]
    assert tables["Long tail"][:3] == [
        ["task", "right answer to so many queries", "pairs", "a_model", "b", "c"],
        ["Job2Skill", "1", "1,234", "5.00", "**20.00**", "2.50"],
        ["Titles", "1", "1,234", "**25.00**", "10.00", "-"],
    ]
    assert tables["Leakage"] == [
        ["model", "task", "domain", "queries", "targets", "edges"],
        ["b", "Job2Skill", "**in-domain**", "5 (0.50 %)", "100 (5.00 %)", "10 (25.00 %)"],
        ["b", "Titles", "zero-shot", "5 (50.00 %)", "100 (5.00 %)", "10 (25.00 %)"],
        ["b", "TECH", "zero-shot", "5 (50.00 %)", "100 (5.00 %)", "10 (25.00 %)"],
        ["b", "HOUSE", "zero-shot", "5 (50.00 %)", "100 (5.00 %)", "10 (25.00 %)"],
    ]
    assert tables["Skipped"] == [["task", "reason"], ["similarity", r"no SkillMatch\|1K"]]
    assert tables["Models"] == [
        ["model", "given as", "what it is", "encoding", "in all", "peak memory"],
        ["a_model", "a spec", "an encoder", "1 min 05 s", "1 min 10 s", "1.5 GiB"],
        ["b", "a spec", "an encoder", "1 min 05 s", "1 min 10 s", "-"],
        ["c", "a spec", "an encoder", "-", "3 s", "-"],
    ]


def test_names_do_not_break_the_page(results):
    name = NASTY[0]
    results["models"] = {name: results["models"]["a_model"]}
    results["tasks"]["own"] |= {"title": NASTY[2], "origin": NASTY[1], "notes": [NASTY[3], NASTY[4]]}
    texts = shown(markdown(results))
    # A row in four tables (headline, sets, further, models), a heading, a column of the long tail.
    assert texts.count(name) == 6
    assert texts.count(NASTY[2]) == 4
    assert NASTY[1] in texts
    assert f"{NASTY[3]}; {NASTY[4]}" in texts


# ---- results.png ----------------------------------------------------------------------------------------------------


def drawn(results, monkeypatch, tmp_path):
    """The figure that would be written."""
    figures = []
    monkeypatch.setattr(plots, "save_png", lambda figure, path: figures.append(figure))
    plots.plot(results, tmp_path / "results.png")
    return figures[0]


def test_bars_whiskers_and_hatches(results, monkeypatch, tmp_path):
    (axes,) = drawn(results, monkeypatch, tmp_path).axes
    order = ["j2s", "norm", "tech", "house", "own"]
    expected = [
        (entry["results"][name], name)
        for name in order
        for entry in results["models"].values()
        if name in entry["results"]
    ]
    assert [bar.get_width() for bar in axes.patches] == [found["metrics"]["map"] for found, _ in expected]
    assert [bool(bar.get_hatch()) for bar in axes.patches] == [
        bool(found["leakage"]) and found["leakage"]["domain"] == "in-domain" for found, _ in expected
    ]
    whiskers = [lines.get_segments()[0][:, 0].tolist() for lines in axes.collections]
    assert whiskers == [found["intervals"]["map"] for found, _ in expected]
    centres = [bar.get_y() + bar.get_height() / 2 for bar in axes.patches]
    assert centres == sorted(centres)
    assert [round(centre) for centre in centres] == [order.index(name) for _, name in expected]
    bounds = [edge for bar in axes.patches for edge in (bar.get_y(), bar.get_y() + bar.get_height())]
    assert bounds == sorted(bounds)
    assert [label.get_text() for label in axes.get_yticklabels()][-1] == "Own | space\n10 queries"
    assert [text.get_text() for text in axes.texts].count(" not measured") == 2


def test_many_bars_are_drawn_in_two_columns(results, monkeypatch, tmp_path):
    results["tasks"] = {f"t{k}": task(f"Task {k} of a rather long title, $x$ and $y$", "") for k in range(9)}
    results["models"] = {
        f"m{k}": model({name: result(5 * t + k) for t, name in enumerate(results["tasks"], 1)}) for k in range(8)
    }
    figure = drawn(results, monkeypatch, tmp_path)
    left, right = figure.axes
    assert (len(left.patches), len(right.patches)) == (5 * 8, 4 * 8)
    assert left.get_xlim() == right.get_xlim()
    assert not any(text.get_parse_math() for text in [*left.get_yticklabels(), *figure.legends[0].get_texts()])


def test_png_is_written(results, tmp_path):
    for entry in results["models"]["b"]["results"].values():
        del entry["intervals"]
    # matplotlib would warn of control characters, in words that hold them.
    results["models"] = {"$b_$\x1b[2J": results["models"]["b"]}
    results["tasks"]["own"]["title"] += "\x1b[2J"
    plots.plot(results, tmp_path / "new" / "results.png")
    assert (tmp_path / "new" / "results.png").read_bytes().startswith(b"\x89PNG")
    assert [path.name for path in (tmp_path / "new").iterdir()] == ["results.png"]
