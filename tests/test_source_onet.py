"""O*NET as a source of graphs: edges, layouts of the releases, and prepared data."""

import os
import zipfile
from pathlib import Path

import pytest
from onet_download import CONTENT_MODEL, FILES, damage, files_since_30_3, write_onet

from uwe_jax.data.graph import Edge
from uwe_jax.runtime.errors import UserError
from uwe_jax.sources.onet.release import find_release
from uwe_jax.sources.onet.source import GRAPHS, SOURCE, load_graph
from uwe_jax.sources.source import SourceEdges, SourceRequest

CHIEF, COOK, WELDER = ("11-1011.00", "Chief Executives"), ("35-1011.00", "Head Cooks"), ("51-4121.00", "Welders")
OPERATIONS, BUDGETS, MENUS = (
    ("D01", "Direct financial operations."),
    ("D02", "Manage budgets."),
    ("D03", "Plan menu options."),
)
EDGES = {
    "activity_job": [
        Edge(*OPERATIONS, *CHIEF, "activity"),
        Edge(*BUDGETS, *CHIEF, "activity"),
        Edge(*MENUS, *COOK, "activity"),
        Edge(*MENUS, *WELDER, "activity"),
    ],
    "technology_job": [
        Edge("", "AdSense Tracker", *CHIEF, "technology"),
        Edge("", "Point of sale software", *COOK, "technology"),
        Edge("", "Point of sale software", *CHIEF, "technology"),
    ],
    "tool_job": [Edge("", "Welding masks", *WELDER, "tool"), Edge("", "Bread knives", *COOK, "tool")],
    "job_title": [
        Edge(*COOK, "", "Sous Chef", "reported"),
        Edge(*CHIEF, "", "President", "alternate"),
        Edge(*COOK, "", "Executive Chef", "alternate"),
        Edge(*COOK, "", "Manager", "alternate"),
        Edge(*CHIEF, "", "Manager", "alternate"),
        Edge(*CHIEF, "", "Welders", "alternate"),
    ],
    "activity_task": [
        Edge(*OPERATIONS, "1", "Direct financial activities.", "task"),
        Edge(*BUDGETS, "1", "Direct financial activities.", "task"),
        Edge(*MENUS, "2", 'Plan "daily" menus.', "task"),
        Edge(*MENUS, "4", "Direct financial activities.", "task"),
    ],
    "activity_alias": [
        Edge(*OPERATIONS, "I1", "manage budgets.", "intermediate"),
        Edge(*MENUS, "I1", "manage budgets.", "intermediate"),
        Edge("D04", "Weld.", "I1", "manage budgets.", "intermediate"),
        Edge("I1", "manage budgets.", "4", "Guiding People", "general"),
    ],
}
EXTRA = {
    "job_alias": EDGES["job_title"],
    "job_description": [
        Edge(*CHIEF, "", "Determine policies.", "description"),
        Edge(*COOK, "", 'Lead the "line".', "description"),
        Edge(*WELDER, "", "Join metal.", "description"),
    ],
}
SAME_TITLE = "job_title: 1 title equal to that of the occupation left out"
SAME_ACTIVITY = "activity_alias: 1 work activity with the title of the one above left out"


def read(folder, *graphs, **changes) -> SourceEdges:
    request = {"setting": "source.parts.onet", "path": str(folder), "cache_dir": folder / "cache"}
    request["named"] = bool(graphs)
    return SOURCE.read(SourceRequest(**(request | {"graphs": SOURCE.choose(graphs, "source")} | changes)))


def message(folder, *graphs, **changes) -> str:
    with pytest.raises(UserError) as raised:
        read(folder, *graphs, **changes)
    return str(raised.value)


# --- the graphs


@pytest.mark.parametrize(("place", "zipped"), [("", True), ("taxonomies/onet", True), ("onet", False)])
def test_every_graph_prepared_and_read_back(tmp_path, place, zipped):
    write_onet(tmp_path / place, zipped=zipped, **CONTENT_MODEL)
    for _ in range(2):
        found = read(tmp_path)
        assert found.edges == EDGES
        assert found.origin == f"O*NET 29.3 in {tmp_path}"
        assert found.notes == (SAME_TITLE, SAME_ACTIVITY)
        assert read(tmp_path, *EXTRA).edges == EXTRA
    assert set(GRAPHS) == {*EDGES, *EXTRA} == set(SOURCE.offers)
    prepared = {path.parent.parent.name for path in (tmp_path / "cache" / "tfds").rglob("dataset_info.json")}
    assert prepared == set(GRAPHS)


def test_only_the_files_of_the_requested_graphs_are_read(tmp_path):
    write_onet(tmp_path, **{"Tools Used.txt": None, "Task Statements.txt": [("broken",)]})
    assert list(read(tmp_path, "technology_job", "activity_job").edges) == ["technology_job", "activity_job"]


def test_further_titles_are_names_of_jobs_on_request(tmp_path):
    write_onet(tmp_path)
    found = read(tmp_path, "activity_job", names=("job",))
    assert list(found.edges) == ["activity_job"]
    assert found.names == {"job": [EXTRA["job_alias"]]}
    assert not read(tmp_path, "activity_job").names
    write_onet(tmp_path, **{"Alternate Titles.txt": None})
    text = message(tmp_path, "activity_job", names=("job",))
    assert "source.parts.onet.names asks for names of jobs, but O*NET 29.3 in" in text
    assert "has no file 'Alternate Titles.txt'" in text


def test_titles_are_kept_in_full_and_reported_ones_are_not_listed_twice(tmp_path):
    changes = {
        "Alternate Titles.txt": [
            *FILES["Alternate Titles.txt"],
            (CHIEF[0], "CEO (Chief Executive Officer)", "CEO", "08"),
            (COOK[0], "sous chef", "n/a", "08"),
        ]
    }
    write_onet(tmp_path, **changes)
    edges = read(tmp_path, "job_title").edges["job_title"]
    assert [edge for edge in edges if edge not in EDGES["job_title"]] == [
        Edge(*CHIEF, "", "CEO (Chief Executive Officer)", "alternate")
    ]


# --- releases


def test_the_layout_since_30_3_gives_the_same_graphs_but_for_the_tools(tmp_path):
    write_onet(tmp_path, "30_3", files=files_since_30_3())
    found = read(tmp_path)
    assert found.edges == {graph: edges for graph, edges in EDGES.items() if graph != "tool_job"}
    assert found.notes == ("tool_job left out: there is no file 'Tools Used.txt'", SAME_TITLE, SAME_ACTIVITY)
    assert found.origin == f"O*NET 30.3 in {tmp_path}"
    text = message(tmp_path, "tool_job", "job_title")
    assert "source.parts.onet.graphs holds tool_job, but O*NET 30.3 in" in text
    assert "has no file 'Tools Used.txt'. It has the files of activity_job, technology_job, job_title," in text
    assert "or set source.parts.onet.version to a release that has the others" in text
    write_onet(tmp_path)  # an older one beside it
    assert read(tmp_path, "tool_job", version="29.3").edges == {"tool_job": EDGES["tool_job"]}
    assert read(tmp_path).origin == f"O*NET 30.3 in {tmp_path}"


def test_files_that_add_to_a_graph_may_be_missing(tmp_path):
    write_onet(tmp_path, **{"Sample of Reported Titles.txt": None})
    found = read(tmp_path, "job_title", "activity_alias")
    assert found.edges["job_title"] == EDGES["job_title"][1:]
    assert found.edges["activity_alias"] == EDGES["activity_alias"][:-1]
    assert found.notes == (
        "job_title: no Sample of Reported Titles.txt, so only alternate titles",
        SAME_TITLE,
        "activity_alias: no Content Model Reference.txt, so intermediate work activities have no general one",
        SAME_ACTIVITY,
    )


def test_a_missing_version_is_reported_with_the_available_ones(tmp_path):
    write_onet(tmp_path, "29_3")
    write_onet(tmp_path / "old", "25_0", zipped=False)
    expected = f"source.parts.onet.version is '28.0', but {tmp_path} holds O*NET 25.0, 29.3. Expected one of these"
    assert expected in message(tmp_path, version="28.0")
    assert "version is 'new', but" in message(tmp_path, version="new")
    assert find_release(tmp_path, "v25.0").version == (25, 0)


# --- bad input


def test_a_folder_without_onet_is_reported_with_the_download(tmp_path):
    assert "source.parts.onet.path is empty. Expected the folder of O*NET's text files" in message(tmp_path, path="")
    assert "does not exist. Expected the folder of O*NET's text files" in message(tmp_path, path=f"{tmp_path}/nowhere")
    text = message(tmp_path)
    assert "holds no O*NET database, a zip or folder with 'Occupation Data.txt'. Get it from https://" in text
    write_onet(tmp_path, **{name: None for name in FILES if name != "Occupation Data.txt"})
    assert "has no file 'Tasks to DWAs.txt' and no file 'DWA Reference.txt' or 'GWAs to" in message(tmp_path)
    assert "It has the files of job_description:" in message(tmp_path)


@pytest.mark.parametrize(
    ("graph", "name", "rows", "expected"),
    [
        (
            "tool_job",
            "Tools Used.txt",
            [("O*NET-SOC Code", "Name")],
            r"Tools Used\.txt has no column 'Example'; expected the columns O\*NET-SOC Code, Example",
        ),
        (
            "technology_job",
            "Technology Skills.txt",
            [*FILES["Technology Skills.txt"], (CHIEF[0], " ", "", "", "", "")],
            r"1 broken row in (.|\n)*Technology Skills\.txt, line 5: found no Example; expected a value",
        ),
        (
            "activity_alias",
            "IWA Reference.txt",
            [*FILES["IWA Reference.txt"], *[("4",)] * 7],
            r"7 broken rows in (.|\n)*IWA Reference\.txt, line 3: found 1 fields(.|\n)*and 2 more",
        ),
        (
            "job_title",
            "Occupation Data.txt",
            [("Title", "O*NET-SOC Code"), COOK[::-1]],
            r"3 of 6 rows of Alternate Titles\.txt in .* have codes that its other files do not define",
        ),
        (
            "activity_alias",
            "DWA Reference.txt",
            [*FILES["DWA Reference.txt"], ("4", "I9", "D05", "Fly.")],
            r"1 of 5 rows of DWA Reference\.txt in .* are not of one release",
        ),
        (
            "activity_job",
            "DWA Reference.txt",
            [*FILES["DWA Reference.txt"], ("4", "I1", "D01", "Fly.")],
            r"DWA Reference\.txt in .*: 'D01' has two texts, 'Direct financial operations.' and 'Fly.'",
        ),
        (
            "activity_task",
            "Tasks to DWAs.txt",
            [*FILES["Tasks to DWAs.txt"], (CHIEF[0], "99", "D01", "")],
            r"1 of 5 rows of Tasks to DWAs\.txt in .* download them again from https://",
        ),
    ],
)
def test_broken_files_are_reported_and_leave_nothing_prepared(tmp_path, graph, name, rows, expected):
    write_onet(tmp_path, **{name: rows})
    with pytest.raises(UserError, match=expected):
        read(tmp_path, graph)
    assert not list((tmp_path / "cache").rglob("dataset_info.json"))
    assert not list((tmp_path / "cache").rglob("incomplete*"))


def test_a_few_rows_of_unknown_codes_are_counted(tmp_path):
    tools = FILES["Tools Used.txt"]
    write_onet(tmp_path, **{"Tools Used.txt": [*tools, *tools[1:] * 5, ("99-9999.00", "Rope", "", "")]})
    found = read(tmp_path, "tool_job")
    assert "tool_job: 1 of 13 rows of Tools Used.txt with codes that the release lacks left out" in found.notes
    assert len(found.edges["tool_job"]) == 12


def test_damaged_zips_are_refused_if_named_as_onet(tmp_path):
    path = write_onet(tmp_path)
    damage(path, "Tools Used.txt")
    assert f"{path} ({path.stat().st_size:,} bytes) is damaged in 'Tools Used.txt': " in message(tmp_path, "tool_job")
    assert read(tmp_path, "technology_job").edges
    path.write_bytes(path.read_bytes()[:500])
    assert f"{path} (500 bytes) is damaged: File is not a zip file. Download it again" in message(tmp_path)
    path.rename(tmp_path / "sales.zip")
    write_onet(tmp_path / "onet")
    assert read(tmp_path, "tool_job").edges


# --- prepared data


def test_changed_files_are_prepared_again(tmp_path):
    path = write_onet(tmp_path)
    assert read(tmp_path, "tool_job").edges["tool_job"][1].left_text == "Bread knives"
    with zipfile.ZipFile(path) as archive:
        archive.extractall(tmp_path / "unzipped")
    release = find_release(tmp_path / "unzipped")
    tables = GRAPHS["tool_job"].needs
    assert release.digest(tables) == find_release(tmp_path).digest(tables)  # the same content, zipped or not
    rows = [FILES["Tools Used.txt"][0], (COOK[0], "BREAD KNIVES", "52151702", "Domestic knives")]
    write_onet(tmp_path, **{"Tools Used.txt": rows})
    assert read(tmp_path, "tool_job").edges["tool_job"] == [Edge("", "BREAD KNIVES", *COOK, "tool")]


def test_prepared_edges_share_the_texts_that_they_repeat(tmp_path):
    write_onet(tmp_path)
    edges, _ = load_graph(find_release(tmp_path), "technology_job", tmp_path / "cache")
    assert edges[0].right_text is edges[2].right_text
    assert edges[1].left_text is edges[2].left_text


# --- the real thing


@pytest.mark.slow
def test_real_release(tmp_path):
    """O*NET 29.3 in the folder that UWE_JAX_DATA_DIR names."""
    folder = os.environ.get("UWE_JAX_DATA_DIR")
    if not folder:
        pytest.skip("UWE_JAX_DATA_DIR does not name a folder with O*NET 29.3")
    release = find_release(Path(folder), "29.3")
    counts = {}
    for graph in GRAPHS:
        edges, _ = load_graph(release, graph, tmp_path)
        assert load_graph(release, graph, tmp_path)[0] == edges
        lefts, rights = {edge.left_text for edge in edges}, {edge.right_text for edge in edges}
        counts[graph] = (len(edges), len(lefts), len(rights))
    assert counts == {
        "activity_job": (17_806, 2_082, 923),
        "technology_job": (32_681, 8_775, 923),
        "tool_job": (41_662, 18_105, 902),
        "job_title": (56_555, 1_016, 46_057),
        "activity_task": (23_233, 2_082, 17_238),
        "activity_alias": (2_034, 2_034, 321),
    }
