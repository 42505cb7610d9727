"""Tasks in several languages, on small zips in the portal's layout, and averages over them."""

import json

import pytest
from esco_downloads import OCCUPATION, SKILL, classification, relations, write_zip
from task_data import load, missing, relevant, sources_of, write, write_titles

import uwe_jax
from uwe_jax.evaluation.aggregate import group_means, language_means, macro_average
from uwe_jax.evaluation.tasks.catalogue import choose, load_tasks
from uwe_jax.evaluation.tasks.languages import MEANS, Pair, parse_languages
from uwe_jax.runtime.errors import UserError

GERMAN = {
    "skills": [
        (SKILL + "1", "Metall schweißen", "Metall fügen\nlöten"),
        (SKILL + "2", "Schichten planen", ""),
        (SKILL + "3", "", "feine Küche"),  # without a label in German
    ],
    "occupations": [(OCCUPATION + "a", "Schweißer", ""), (OCCUPATION + "b", "Küchenchef", "")],
}


@pytest.fixture
def data(tmp_path):
    folder = tmp_path / "data"
    for version in ("1.1.0", "1.1.1"):
        write_zip(folder, version, "en", classification())
        write_zip(folder, version, "de", classification(language="de", **GERMAN))
    write_zip(folder, "1.1.1", "", relations())
    write_titles(folder / "titles.csv", ("Welder (m/f)", OCCUPATION + "a"))
    write(folder / "tech_test_annotations.csv", "sentence,label\nWe weld,weld metal\nWe cook,haute cuisine\n")
    return folder


def in_languages(data, name, query, target):
    return load(name, data, language=target, query_language=query)


def test_relations_in_two_languages(data):
    task = in_languages(data, "job_to_skill", "en", "de")
    assert relevant(task) == {
        ("welder", "Metall schweißen"),
        ("welder", "Schichten planen"),
        ("head chef", "Schichten planen"),
    }
    assert task.origin == "ESCO v1.1.1 (en-de)"
    assert "1 of 4 relations of a concept without a label in 'en-de'" in task.notes
    # The skill without a German label is asked for in English.
    assert relevant(in_languages(data, "skill_to_job", "en", "de")) == {
        ("weld metal", "Schweißer"),
        ("plan shifts", "Schweißer"),
        ("plan shifts", "Küchenchef"),
        ("haute cuisine", "Küchenchef"),
    }
    assert relevant(in_languages(data, "job_to_skill", "de", "de")) == {
        ("Schweißer", "Metall schweißen"),
        ("Schweißer", "Schichten planen"),
        ("Küchenchef", "Schichten planen"),
    }


def test_alternatives_in_two_languages(data):
    task = in_languages(data, "skill_normalisation", "de", "en")
    assert relevant(task) == {("löten", "weld metal")}  # the first is for validation
    assert task.origin == "ESCO v1.1.1 (en); alternatives of ESCO v1.1.1 (de)"
    assert not task.queries_are_names
    assert in_languages(data, "skill_normalisation", "de", "de").queries_are_names


def test_labels_of_annotators_are_translated(data):
    task = in_languages(data, "skill_extraction_tech", "en", "de")
    assert relevant(task) == {("We weld", "Metall schweißen")}
    assert task.notes == ("1 label not among the targets left out", "1 query without a relevant target left out")
    assert task.origin.endswith("skills of ESCO v1.1.0 (de)")
    assert "No ESCO v1.1.0 with skills_fr.csv" in missing("skill_extraction_tech", data, language="fr")


def test_every_task_is_measured_once_in_each_of_its_languages(data):
    specs = choose(["job_to_skill", "job_normalisation", "skill_similarity"])
    asked = parse_languages(["en", "de", "en-de", "de-en", "fr"])
    tasks, skipped = load_tasks(specs, sources_of(data), "any", asked)
    found = {task.name: (task.title, task.family, str(task.languages)) for task in tasks}
    assert found == {
        "job_to_skill": ("Job2Skill", "job_to_skill", "en"),
        "job_to_skill_de": ("Job2Skill (de)", "job_to_skill", "de"),
        "job_to_skill_en_de": ("Job2Skill (en-de)", "job_to_skill", "en-de"),
        "job_to_skill_de_en": ("Job2Skill (de-en)", "job_to_skill", "de-en"),
        "job_normalisation": ("Job normalisation", "job_normalisation", "en"),
        "job_normalisation_en_de": ("Job normalisation (en-de)", "job_normalisation", "en-de"),
    }
    reasons = {each.task: each.reason for each in skipped}
    only = "Its queries are in 'en' only, and 'de-en' was asked for: add it to --languages."
    assert reasons["job_normalisation_de_en"] == only
    assert "skills_fr.csv" in reasons["job_to_skill_fr"]
    assert "occupations_fr.csv" in reasons["job_normalisation_en_fr"]
    similar = ("skill_similarity", "skill_similarity_de", "skill_similarity_en_de")
    assert reasons.keys() >= {*similar, "skill_similarity_de_en", "skill_similarity_fr"}
    assert "SkillMatch" in reasons["skill_similarity"]
    assert "'en' only" in reasons["skill_similarity_en_de"]


def test_an_evaluation_in_two_languages(data, tmp_path):
    tasks = ["job_to_skill", "skill_to_job", uwe_jax.ranking_task("mine", {"a": ["b"]}, ["b", "c"])]
    options = {"data": data, "offline": True, "bootstrap": 10}
    found = uwe_jax.evaluate("tfidf_char", tasks, languages="en,de,en-de,fr", out=tmp_path, **options)
    assert sorted(found.tasks) == [
        *("job_to_skill", "job_to_skill_de", "job_to_skill_en_de", "mine"),
        *("skill_to_job", "skill_to_job_de", "skill_to_job_en_de"),
    ]
    score = {each.task: each.metrics["map"] for each in found}
    results = json.loads((tmp_path / "results.json").read_text())
    entry = results["models"]["tfidf_char"]
    assert results["tasks"]["job_to_skill_en_de"]["query_language"] == "en"
    assert results["tasks"]["mine"]["query_language"] == ""
    groups = {name: (score[name] + score[f"{name}_de"]) / 2 for name in ("job_to_skill", "skill_to_job")}
    assert {name: each["map"] for name, each in entry["groups"].items()} == pytest.approx(groups)
    assert entry["macro"]["map"] == pytest.approx(sum(groups.values()) / 2)
    assert entry["languages"]["de"]["map"] == pytest.approx((score["job_to_skill_de"] + score["skill_to_job_de"]) / 2)
    page = (tmp_path / "results.md").read_text()
    assert "| model | de | en |" in page
    assert "Not averaged, as queries and targets are in two languages (--language-mean monolingual): Job2Skill" in page
    assert "Averages are over several languages: languages of a task count alike." in page
    assert "| job_to_skill_fr | No ESCO with skills_fr.csv, occupations_fr.csv" in page
    with pytest.raises(UserError, match=r"2 of 8 tasks cannot be measured and --strict is set: job_to_skill_fr, skill"):
        uwe_jax.evaluate("random", tasks[:2], languages="en,de,en-de,fr", strict=True, **options)
    with pytest.raises(UserError, match="language_mean is 'both'; it must be one of"):
        uwe_jax.evaluate("random", tasks, language_mean="both", **options)


@pytest.mark.parametrize("code", ["deutsch", "e", "en-", "en-de-fr", "en>de", "../de"])
def test_codes_that_are_none_are_refused(code):
    with pytest.raises(UserError, match=r"--languages has '.*'\. Give codes such as de"):
        parse_languages(["en", code])
    with pytest.raises(UserError, match="--languages names nothing"):
        parse_languages([])


# Two sets of one task, the second in fewer languages, and another task.
DATASETS = [
    ("tech", "skill_extraction", "en", "en", 10.0),
    ("tech", "skill_extraction", "de", "de", 20.0),
    ("tech", "skill_extraction", "en", "de", 40.0),
    ("house", "skill_extraction", "en", "en", 70.0),
    ("house", "skill_extraction", "fr", "de", 90.0),
    ("j2s", "job_to_skill", "en", "en", 5.0),
]
RESULTS = {f"{family}_{q}_{t}": {"metrics": {"map": score}} for family, _, q, t, score in DATASETS}
TASKS = {
    f"{family}_{q}_{t}": {"family": family, "group": group, "query_language": q, "target_language": t}
    for family, group, q, t, _ in DATASETS
}
EXPECTED = {
    "monolingual": ((15 + 70) / 2, {"de": 20.0, "en": 85 / 3}),
    "query": (((10 + 40) / 2 + 20, 70 + 90), {"de": 20.0, "en": 125 / 4, "fr": 90.0}),
    "target": ((10 + (20 + 40) / 2, 70 + 90), {"de": 50.0, "en": 85 / 3}),
    "all": ((70 / 3 + (70 + 90) / 2) / 2, {}),
}


@pytest.mark.parametrize("mean", MEANS)
def test_averages_over_languages(mean):
    group, languages = EXPECTED[mean]
    if isinstance(group, tuple):  # of two sets, each the mean over two languages
        group = sum(group) / 4
    groups = group_means(TASKS, RESULTS, mean=mean)
    assert groups["skill_extraction"]["map"] == pytest.approx(group)
    assert macro_average(groups)["map"] == pytest.approx((group + 5) / 2)
    found = language_means(TASKS, RESULTS, mean)
    assert {name: each["map"] for name, each in found.items()} == pytest.approx(languages)


def test_averages_are_those_of_the_toolkit():
    workrb = pytest.importorskip("workrb")
    from workrb.results import BenchmarkMetadata, BenchmarkResults, MetricsResult, TaskResultMetadata, TaskResults

    by_family = {}
    for family, group, q, t, score in DATASETS:
        about = {"task_type": "ranking", "label_type": "", "description": "", "split": "test"}
        found = by_family.setdefault(
            family, TaskResults(metadata=TaskResultMetadata(task_group=group, **about), datasetid_results={})
        )
        found.datasetid_results[f"{q}-{t}"] = MetricsResult(
            evaluation_time=0, metrics_dict={"map": score}, input_languages=[q], output_languages=[t]
        )
    about = {"model_name": "m", "total_evaluation_time": 0, "timestamp": 0, "num_tasks": 3, "languages": ["en"]}
    theirs = BenchmarkResults(task_results=by_family, metadata=BenchmarkMetadata(**about))
    modes = workrb.types.LanguageAggregationMode
    for mean, mode in {
        "monolingual": modes.MONOLINGUAL_ONLY,
        "query": modes.CROSSLINGUAL_GROUP_INPUT_LANGUAGES,
        "target": modes.CROSSLINGUAL_GROUP_OUTPUT_LANGUAGES,
        "all": modes.SKIP_LANGUAGE_AGGREGATION,
    }.items():
        summary = theirs.get_summary_metrics(("mean",), mode)
        groups = group_means(TASKS, RESULTS, mean=mean)
        ours = {f"mean_per_task_group/{name}/map/mean": each["map"] for name, each in groups.items()}
        ours |= {
            f"mean_per_language/{name}/map/mean": each["map"]
            for name, each in language_means(TASKS, RESULTS, mean).items()
        }
        ours["mean_benchmark/map/mean"] = macro_average(groups)["map"]
        expected = {name: value for name, value in summary.items() if "task/" not in name and "_type/" not in name}
        assert ours == pytest.approx(expected)


def test_a_pair_of_one_language_is_that_language():
    assert parse_languages(["DE-de", " de "]) == [Pair("de", "de")]
