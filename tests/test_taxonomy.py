"""The taxonomy to tag with: ESCO as downloaded, or a user's own list."""

import json

import pytest
from esco_downloads import SKILL, SKILLS, classification, write_release, write_zip
from vacancy_files import TAXONOMY, write_rows, write_taxonomy

from uwe_jax.curation.describe import coverage
from uwe_jax.evaluation.tasks.esco_tasks import find_esco, read_skill_normalisation
from uwe_jax.evaluation.tasks.task import TaskDataMissing, TaskSources
from uwe_jax.retrieval.texts_in import read_targets
from uwe_jax.runtime.errors import UserError
from uwe_jax.sources.esco.release import find_release
from uwe_jax.sources.skillspan.source import SOURCE as SKILLSPAN
from uwe_jax.sources.source import SourceRequest
from uwe_jax.sources.taxonomy import Skill, find_taxonomy, read_taxonomy
from uwe_jax.sources.vacancies.source import SOURCE as VACANCIES


def test_esco_is_found_in_the_folders_of_a_folder(tmp_path):
    write_release(tmp_path / "downloads" / "esco")
    taxonomy = read_taxonomy(tmp_path)
    assert taxonomy.skills[0] == Skill(SKILL + "1", "weld metal", ("join metal", "metal joining", "Weld Metal"))
    assert [skill.label for skill in taxonomy.skills] == ["weld metal", "plan shifts", "haute cuisine"]
    assert "ESCO v1.1.1 (en)" in taxonomy.origin


def test_esco_is_read_from_the_zip_of_a_language_alone(tmp_path):
    write_release(tmp_path / "esco")
    english = next((tmp_path / "esco").glob("* en *.zip"))
    write_zip(tmp_path / "esco", "1.2", "en", classification([(SKILL + "9", "fly", "")]))  # beside it, not read
    assert [skill.label for skill in read_taxonomy(english).skills] == ["weld metal", "plan shifts", "haute cuisine"]
    assert read_targets(english).ids == tuple(skill.id for skill in read_taxonomy(english).skills)
    relations = next((tmp_path / "esco").glob("*classification -  -*.zip"))
    with pytest.raises(UserError, match=r"holds no taxonomy.* Expected the folder of the ESCO zips, the zip of a lang"):
        read_taxonomy(relations)


def test_esco_in_another_language_is_named_by_all_that_look_for_it(tmp_path):
    german = [(SKILL + "1", "Metall schweißen", "")]
    write_zip(tmp_path / "esco", "1.1.1", "de", classification(german, [], language="de"))
    there = "Found ESCO v1.1.1 in de"
    for other in ("sales", "skills", "skills_of_ours"):  # no files of ESCO
        (tmp_path / "esco" / f"{other}.csv").write_text("a\n")
    write_rows(tmp_path / "vacancies" / "v.csv")
    (tmp_path / "train.json").write_text('{"tokens": ["a"], "tags_skill": []}')
    request = SourceRequest("source", str(tmp_path), ("skill_vacancy",), tmp_path / "cache")
    sources = TaskSources((tmp_path,), tmp_path / "cache", flags=("--languages ", "--esco-version "))
    for look, flag in (
        (lambda: read_taxonomy(tmp_path), "--language de"),
        (lambda: read_taxonomy(tmp_path, language="DE", version="1.2"), "--esco-version 1.1.1"),
        (lambda: read_taxonomy(tmp_path, language="en,de", version="1.2"), "--language de --esco-version 1.1.1"),
        (lambda: coverage.find(None, (tmp_path,), "en", ""), "--config.source.language=de"),
        (lambda: read_targets(tmp_path), "--language de"),
        (lambda: read_targets(tmp_path, language="de", version="1.2"), "--version 1.1.1"),
        (lambda: read_targets(next((tmp_path / "esco").glob("*.zip")), language="fr"), "--language de"),
        (lambda: find_esco(sources, ("skills",)), "--languages de"),
        (lambda: find_release(tmp_path, ("skill_alias",)), "--config.source.language=de"),
        (
            lambda: find_release(tmp_path, ("skill_alias",), setting="source.parts.a"),
            "--config.source.parts.a.language=de",
        ),
        (lambda: VACANCIES.read(request), "--config.source.language=de"),
        (lambda: SKILLSPAN.read(request), "--config.source.language=de"),
    ):
        with pytest.raises((UserError, TaskDataMissing), match=f"{there}; choose this with {flag}[.]"):
            look()
    # No flag can be named where the command has none, and none helps where files are missing.
    for given, roles, end in (
        (TaskSources((tmp_path,), tmp_path), ("skills",), " in de. Download"),
        (sources, ("skills", "relations"), ": occupations_de.csv, skills_de.csv. Download"),
    ):
        with pytest.raises(TaskDataMissing, match=f"Found ESCO v1.1.1{end}"):
            find_esco(given, roles)
    write_zip(tmp_path / "esco", "1.2", "fr", classification([(SKILL + "1", "souder", "")], [], language="fr"))
    with pytest.raises(UserError, match=r"Found ESCO v1.1.1 in de; v1.2 in fr; choose one with --language de[.]"):
        read_taxonomy(tmp_path)
    (tmp_path / "esco" / "ESCO dataset - v1.2 - classification - fr - csv.zip").unlink()
    for language in ("de", "DE", " De "):
        assert [skill.label for skill in read_taxonomy(tmp_path, language=language).skills] == ["Metall schweißen"]
        assert read_targets(tmp_path, language=language).texts == ("Metall schweißen",)
        assert find_release(tmp_path, ("skill_alias",), language).language == "de"
    sources = TaskSources((tmp_path,), tmp_path / "cache", language="DE")
    assert str(find_esco(sources, ("skills",))) == "ESCO v1.1.1 (de)"


def test_every_command_has_the_names_of_several_languages(tmp_path):
    write_release(tmp_path)
    german = [(SKILL + "1", "Metall schwei\u00dfen", ""), *SKILLS[1:]]
    write_zip(tmp_path, "1.1.1", "de", classification(german, language="de"))
    first = read_taxonomy(tmp_path, language="en,de").skills[0]
    assert (first.label, first.aliases[-1]) == ("weld metal", "Metall schwei\u00dfen")
    targets = read_targets(tmp_path, language="de,en")
    assert targets.texts[0] == "Metall schwei\u00dfen"
    assert "weld metal" in [name.text for name in targets.names[0]]
    content = read_skill_normalisation(TaskSources((tmp_path,), tmp_path / "cache", language="en,de"), "test")
    assert ("Metall schwei\u00dfen", ["weld metal"]) in content.pairs


def test_vacancies_with_esco_in_another_language_use_their_own_skills_with_a_warning(tmp_path, capsys):
    write_zip(tmp_path, "1.1.1", "de", classification(language="de"))
    write_rows(tmp_path / "v.csv", [{"title": "Chef", "description": "You cook.", "skills": "cook"}])
    assert VACANCIES.read(SourceRequest("source", str(tmp_path), ("skill_job",), tmp_path / "cache")).edges["skill_job"]
    assert "are tagged with their own skills alone. Found ESCO v1.1.1 in de; " in capsys.readouterr().err


@pytest.mark.parametrize("name", ["mine.csv", "mine.tsv", "mine.jsonl", "mine.csv.gz", "mine.parquet"])
def test_a_users_file_in_every_format(tmp_path, name):
    assert read_taxonomy(write_taxonomy(tmp_path / name)).skills == TAXONOMY.skills


def test_a_file_called_taxonomy_comes_before_esco(tmp_path):
    write_release(tmp_path)
    write_taxonomy(tmp_path / "mine" / "taxonomy.jsonl")
    assert read_taxonomy(tmp_path).skills == TAXONOMY.skills
    write_taxonomy(tmp_path / "taxonomy.csv")
    with pytest.raises(UserError, match=r"holds 2 taxonomies: taxonomy.csv, mine/taxonomy.jsonl"):
        read_taxonomy(tmp_path)


def test_the_id_zero_is_an_id(tmp_path):
    (tmp_path / "skills.jsonl").write_text('{"id": 0, "label": "cook"}\n{"id": null, "label": "bake"}\n')
    assert [skill.id for skill in read_taxonomy(tmp_path / "skills.jsonl").skills] == ["0", ""]


def test_one_label_per_line(tmp_path):
    path = tmp_path / "skills.txt"
    path.write_text("weld metal\n\n  plan   shifts \nweld metal\n", encoding="utf-8-sig")
    assert read_taxonomy(path).skills == (Skill("", "weld metal"), Skill("", "plan shifts"))
    path.write_bytes("Pflege für Ältere".encode("latin-1"))
    with pytest.raises(UserError, match="UTF-8"):
        read_taxonomy(path)


def test_the_portals_own_csv_and_lists_of_aliases(tmp_path):
    rows = [{"conceptUri": "u1", "preferredLabel": "plan shifts", "altLabels": "schedule staff\nmake rosters"}]
    assert read_taxonomy(write_rows(tmp_path / "skills_en.csv", rows)).skills[0].aliases == (
        "schedule staff",
        "make rosters",
    )
    lists = [
        {"skill": "plan, test and ship", "alias": ["ship; fast"]},
        {"skill": "plan, test and ship", "alias": ["b"]},
    ]
    assert read_taxonomy(write_rows(tmp_path / "own.jsonl", lists)).skills == (
        Skill("", "plan, test and ship", ("ship; fast", "b")),
    )


def test_missing_or_broken_taxonomies_are_reported(tmp_path):
    assert find_taxonomy(tmp_path) is None
    with pytest.raises(UserError, match=r"holds no taxonomy. Expected the folder of the ESCO zips"):
        read_taxonomy(tmp_path)
    with pytest.raises(UserError, match="does not exist"):
        read_taxonomy(tmp_path / "nowhere")
    with pytest.raises(UserError, match=r"no column 'label'; expected the columns label. Its columns: 'a', 'b'"):
        read_taxonomy(write_rows(tmp_path / "a.csv", [{"a": 1, "b": 2}]))
    path = tmp_path / "b.jsonl"
    path.write_text("\n".join(json.dumps(row) for row in ({"label": "x"}, {"label": " "}, {"label": "y", "alias": 3})))
    with pytest.raises(
        UserError, match=r"(?s)2 broken rows in .*b.jsonl, line 2: found label ' '.*line 3: found alias"
    ):
        read_taxonomy(path)


def test_rows_with_one_id_name_one_skill(tmp_path, caplog):
    caplog.set_level("INFO")
    rows = [("1", "cook", ""), ("2", "bake", ""), ("2", "bake", "make bread"), ("1", "weld", ""), ("", "sing", "")]
    path = write_rows(tmp_path / "skills.csv", [dict(zip(("id", "label", "alias"), row, strict=True)) for row in rows])
    assert read_taxonomy(path).skills == (
        Skill("1", "cook", ("weld",)),
        Skill("2", "bake", ("make bread",)),
        Skill("", "sing"),
    )
    assert "1 row with the id of an earlier one taken as further names of its skill, such as 'weld'" in caplog.text


def test_the_digest_changes_with_the_content():
    changed = TAXONOMY.skills[0]._replace(aliases=())
    others = [type(TAXONOMY)("", (changed, *TAXONOMY.skills[1:])), type(TAXONOMY)("", TAXONOMY.skills[1:])]
    assert type(TAXONOMY)("elsewhere", TAXONOMY.skills).digest == TAXONOMY.digest
    assert TAXONOMY.digest not in {taxonomy.digest for taxonomy in others}
