"""The tasks of WorkRB that WorkBench does not have, in the layouts of their publishers."""

import importlib
import itertools
import json
import zlib
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from esco_downloads import OCCUPATION, SKILL, classification, relations, write_release, write_zip
from task_data import load, missing, relevant, sources_of, write

from uwe_jax.commands import evaluate
from uwe_jax.evaluation.measure import measure, summarise
from uwe_jax.evaluation.tasks.catalogue import CATALOGUE, EVERY, SETS, choose, load_tasks
from uwe_jax.evaluation.tasks.languages import Pair, parse_languages
from uwe_jax.runtime.errors import UserError

METRICS = ("map", "mrr", "rp@5", "rp@10", "hit@1", "recall@10", "ndcg", "ndcg@5")
TITLES = {"Koch": "Koch", "Q2": "Schweißer"}
CORPUS = {"Chefkoch": "Chefkoch", "C2": "Küchenchef", "C3": "Schweiß-\u00a0Fachkraft", "C4": "Pilot"}
JUDGED = [("Koch", "Chefkoch", 1), ("Koch", "C2", 1), ("Q2", "C3", 1)]
PAIRS = {("Koch", "Chefkoch"), ("Koch", "Küchenchef"), ("Schweißer", "Schweiß- Fachkraft")}


def lines(rows):
    return "".join("\t".join(map(str, row)) + "\n" for row in rows)


def write_set(folder, corpus="corpus_documents", judged=JUDGED, queries=TITLES, documents=CORPUS):
    """A set as its authors publish it: TSV without a header, and TREC qrels."""
    write(folder / "queries.tsv", lines(queries.items()))
    write(folder / f"{corpus}.tsv", lines(documents.items()))
    write(folder / "annotations.tsv", lines((query, 0, target, grade) for query, target, grade in judged))
    return folder


def write_rows(path, rows):
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(pa.Table.from_pylist(rows), path)


def write_hub_set(folder, labels=((0, 1), (2,))):
    """The same set in the layout of the hub."""
    queries = [{"text": text, "labels": list(each)} for text, each in zip(TITLES.values(), labels, strict=True)]
    write_rows(folder / "queries-00000-of-00001.parquet", queries)
    write_rows(folder / "corpus-00000-of-00001.parquet", [{"text": text} for text in CORPUS.values()])


def load_all(names, folder, *languages):
    return load_tasks(choose(names), sources_of(folder), "any", parse_languages(languages or ["en"]))


@pytest.mark.parametrize("write_de", [write_set, write_hub_set])
def test_job_title_similarity_is_read_by_language(tmp_path, write_de, monkeypatch):
    write_de(tmp_path / "job-title-similarity" / "de")
    tasks, skipped = load_all(["job_title_similarity"], tmp_path, "de", "fr", "en-de")
    (task,) = tasks
    assert (task.name, task.family, task.languages) == ("job_title_similarity_de", "job_title_similarity", ("de", "de"))
    assert relevant(task) == PAIRS
    assert task.targets == tuple(sorted(("Chefkoch", "Küchenchef", "Schweiß- Fachkraft", "Pilot")))
    assert task.origin.startswith("job-title-similarity/de")
    assert [each.task for each in skipped] == ["job_title_similarity_fr", "job_title_similarity_en_de"]
    assert skipped[0].reason.startswith(
        f"No folder of its name with queries.tsv, corpus_documents.tsv and annotations.tsv. Not in {tmp_path}. "
        "Avature/Job-Title-Similarity is not prepared"
    )
    assert "and 'en-de' was asked for" in skipped[1].reason
    monkeypatch.chdir(tmp_path)
    assert load("job_title_similarity", Path("job-title-similarity"), language="de").origin.startswith("de")
    # The folder of one set alone.
    assert load("job_title_similarity", tmp_path / "job-title-similarity" / "de", language="de").queries == task.queries


def test_ids_of_files_name_queries_and_targets(tmp_path):
    task = load("job_title_similarity", write_set(tmp_path / "de"), language="de")
    assert task.query_ids == ("Koch", "Q2")
    assert task.target_ids["C2"] == task.targets.index("Küchenchef")


def test_sets_of_melo_and_mels_are_measured_in_their_own_languages(tmp_path):
    assert (len(SETS["melo"]), len(SETS["mels"])) == (48, 8)
    write_set(tmp_path / "melo" / "deu_q_de_c_en", "corpus_elements")
    write_hub_set(tmp_path / "MELS-Benchmark" / "deu_q_de_c_en", labels=((3,), (3,)))
    several = "usa_q_en_c_de_en_es_fr_it_nl_pl_pt"
    write_set(tmp_path / "melo" / several, "corpus_elements")
    tasks, skipped = load_all(["melo", "mels"], tmp_path, "fr", "en")
    assert [(task.name, task.family, task.languages) for task in tasks] == [
        ("melo_deu_q_de_c_en", "melo", Pair("de", "en")),
        (f"melo_{several}", "melo", Pair("en", "mul")),
        ("mels_deu_q_de_c_en", "mels", Pair("de", "en")),
    ]
    assert relevant(tasks[0]) == PAIRS
    assert {target for _, target in relevant(tasks[2])} == {"Pilot"}
    assert [task.query_kind for task in tasks] == ["job", "job", "skill"]
    assert len(skipped) == 53
    assert len({each.reason for each in skipped}) == 2  # shown in one line each


def test_broken_sets_are_named_with_file_and_line(tmp_path):
    write_set(tmp_path / "de", judged=[*JUDGED, ("Q3", "C1", 1)])
    write(tmp_path / "fr" / "queries.tsv", "no text here\nq1\ta\nq1\tb\n")
    for name in ("corpus_documents", "annotations"):
        write(tmp_path / "fr" / f"{name}.tsv", "q1\t0\tb\t1\n" if name == "annotations" else "b\tb\nc\tc\n")
    with pytest.raises(UserError, match=r"de/annotations.tsv, line 4: found query_id 'Q3'; expected an id of the 2"):
        load("job_title_similarity", tmp_path, language="de")
    with pytest.raises(UserError, match=r"fr/queries.tsv, line 1: found 3 fields(.|\n)*line 3: found id 'q1' again"):
        load("job_title_similarity", tmp_path, language="fr")
    write_hub_set(tmp_path / "nl", labels=((0,), (2, 4)))
    with pytest.raises(UserError, match=r"the query of row 2, 'Schweißer', has the label 4. .* the corpus of 4 texts"):
        load("job_title_similarity", tmp_path, language="nl")
    write_set(tmp_path / "copy" / "pl")
    write_set(tmp_path / "pl", judged=JUDGED[:2])
    with pytest.raises(UserError, match=r"2 files in .* hold the table pl/annotations, with different content"):
        load("job_title_similarity", tmp_path, language="pl")


def write_graded(folder, split="validation", scores=(4, 0, 2)):
    skills = [("s1", "weld metal"), ("s2", "plan shifts"), ("s3", "solder")]
    write_rows(folder / "queries" / f"{split}.parquet", [{"_id": "q1", "text": "We weld"}, {"_id": "q2", "text": "Hi"}])
    write_rows(folder / "corpus" / "corpus.parquet", [{"_id": k, "title": t, "text": "long"} for k, t in skills])
    rows = [{"query-id": "q1", "corpus-id": k, "score": s} for (k, _), s in zip(skills, scores, strict=True)]
    write_rows(folder / "qrels" / f"{split}.parquet", rows)


def test_graded_sets_are_told_apart_by_the_names_of_their_repositories(tmp_path):
    write_graded(tmp_path / "Skill-extraction-House-graded")
    write_graded(tmp_path / "Skill-extraction-Tech-graded", scores=(0, 1, 3))
    tasks, skipped = load_all(["graded"], tmp_path)
    house, tech = tasks
    assert (house.name, house.split, house.query_kind) == ("skill_extraction_house_graded", "validation", "vacancy")
    assert house.targets == ("plan shifts", "solder", "weld metal")
    assert house.relevant.toarray().tolist() == [[0, 2, 4]]
    assert tech.relevant.toarray().tolist() == [[1, 3, 0]]
    assert house.query_ids == ("q1",)
    assert len(skipped) == 3
    write_graded(tmp_path / "Skill-extraction-House-graded", scores=(4, 1.5, 2))
    with pytest.raises(UserError, match=r"qrels, judgement 2 above 0: found score '1.5'; expected a whole number"):
        load("skill_extraction_house_graded", tmp_path, "validation")


def test_skill_xl_leaves_out_sentences_that_are_not_relevant(tmp_path):
    write_release(tmp_path, "1.1.0")
    rows = "sentence,skill,relevant\nWe weld,weld metal,True\nWe weld,plan pigs,True\nWe smile,weld metal,False\n"
    write(tmp_path / "Skill-XL" / "test.csv", rows)
    task = load("skill_extraction_xl", tmp_path)
    assert relevant(task) == {("We weld", "weld metal")}
    assert task.notes == ("1 row judged not relevant left out", "1 label not among the targets left out")
    assert task.group == ""  # not of WorkBench's average


JOBS = [{"title": "Dev", "description": "Built it", "skills": ["Go", "SQL"]}]


def write_freelancers(folder, experiences=JOBS):
    profile = {"description": "Bio text", "skills": ["a", "b"], "soft_skills": ["kind"], "experiences": experiences}
    profiles = [
        {"profile_id": k, "language": language, "headline": f"Head {k}", **profile}
        for k, language in enumerate(("en", "de", "en", "de"))
    ]
    tables = {
        "profiles": profiles,
        "briefs": [{"brief_id": k, "title": f"Project {k}", "description": "Do it"} for k in range(2)],
        "brief_scores": [
            {"brief_id": b, "profile_id": p, "score": score}
            for (b, p), score in {
                (0, 0): 0.8,
                (0, 1): 0.95,
                (0, 2): 0.79,
                (1, 3): 0.9,
                (1, 1): 0.81,
                (9, 1): 1.0,
            }.items()
        ],
    }
    for name, rows in tables.items():
        path = folder / "Freelancer-Project-Matching" / f"{name}.jsonl"
        write(path, "".join(json.dumps(row) + "\n" for row in rows))


def test_freelancers_are_ranked_in_one_language_or_in_all(tmp_path):
    write_freelancers(tmp_path)
    tasks, skipped = load_all(["freelancers"], tmp_path, "en", "de")
    names = ["project_to_freelancer", "project_to_freelancer_en_de", "project_to_freelancer_multilingual"]
    assert [task.name for task in tasks] == names
    english, german, both = tasks
    assert [len(task.targets) for task in tasks] == [2, 2, 4]
    assert {task.family for task in tasks} == {"project_to_freelancer"}
    text = "Bio: Bio text Skills: a,b,kind Experiences: Dev Built it Go, SQL"
    assert relevant(english) == {("Project 0 Do it", f"Head 0 {text}")}
    assert {(q, y[:6]) for q, y in relevant(german)} == {
        ("Project 0 Do it", "Head 1"),
        *(("Project 1 Do it", f"Head {k}") for k in (1, 3)),
    }
    assert both.relevant.nnz == 4
    assert both.languages == ("en", "mul")
    assert english.notes == (
        "1 score of unknown queries or profiles left out",
        "1 query without a relevant target left out",
    )
    assert {each.task.partition("_to_")[0] for each in skipped} == {"search"}
    assert "and 'pt' was asked for" in missing("project_to_freelancer", tmp_path, language="pt")
    for wrong, message in (
        ("none", "found experiences 'none'; expected a JSON value"),
        (["Dev"], "profile 0 has exper"),
    ):
        write_freelancers(tmp_path, experiences=wrong)
        with pytest.raises(UserError, match=message):
            load("project_to_freelancer", tmp_path)


def test_sets_of_tasks_and_what_is_skipped(tmp_path, capsys):
    assert set(SETS["all"]) == CATALOGUE.keys() == EVERY.keys() - {*SETS["melo"], *SETS["mels"]}
    assert set(SETS["workrb"]) >= {*SETS["workbench"], *SETS["melo"], *SETS["mels"], *SETS["graded"], "skillskape"}
    write_set(tmp_path / "data" / "melo" / "deu_q_de_c_de", "corpus_elements")
    flags = ("--tasks", "melo,mels", "--data", tmp_path / "data", "--offline", "--cache_dir", tmp_path / "cache")
    evaluate.main([str(flag) for flag in ("--model", "bm25", *flags, "--out", tmp_path / "out")])
    printed = capsys.readouterr()
    assert [line.partition(":")[0] for line in printed.out.splitlines() if line.startswith("Skipped")] == [
        "Skipped melo_aut_q_de_c_de, melo_aut_q_de_c_en, melo_bel_q_fr_c_fr and 44 more",
        "Skipped mels_bel_q_fr_c_fr, mels_bel_q_fr_c_en, mels_bel_q_nl_c_nl and 5 more",
    ]
    assert printed.err.count("Skipped") == 2
    results = json.loads((tmp_path / "out" / "results.json").read_text())
    assert len(results["skipped"]) == 55
    assert results["models"]["bm25"]["results"]["melo_deu_q_de_c_de"]["metrics"]["mrr"] > 0
    assert results["models"]["bm25"]["languages"].keys() == {"de"}


def random_set(rng, q=25, n=30):
    """Texts with repeated queries and targets, and the positions of relevant targets, of one query none."""
    queries, targets = (
        [f"{name} {k}" for k in rng.integers(0, most, size)] for name, most, size in (("a", 20, q), ("b", 25, n))
    )
    return queries, targets, [[], *(rng.choice(n, rng.integers(1, 6), replace=False).tolist() for _ in range(q - 1))]


class ByText:
    """Scores that only the texts decide, whatever their white space."""

    name = "by text"

    def index(self, targets):
        return lambda queries: np.array(
            [[zlib.crc32(" ".join(f"{query} / {target}".split()).encode()) for target in targets] for query in queries]
        )


class Files:
    """Answers for the hub's library with the files of a folder, which uwe_jax reads as well."""

    def __init__(self, folder):
        self.folder = folder

    def __call__(self, repo, config="", split=""):
        files = [*(self.folder / repo.split("/")[1] / config).glob("*.parquet")]
        if split:
            (file,) = [each for each in files if each.stem in (split, "corpus")]
            return pytest.importorskip("datasets").Dataset(pq.read_table(file))
        return {each.stem.split("-")[0]: pq.read_table(each).to_pydict() for each in files}


def write_linked(folder, rng):
    queries, targets, labels = random_set(rng)
    rows = [{"text": text, "labels": each} for text, each in zip(queries, labels, strict=True)]
    write_rows(folder / "queries-00000-of-00001.parquet", rows)
    write_rows(folder / "corpus-00000-of-00001.parquet", [{"text": text} for text in targets])


def write_judged(folder, rng):
    queries, targets, labels = random_set(rng)
    for part, column, texts in (("queries/test", "text", queries), ("corpus/corpus", "title", targets)):
        rows = [{"_id": f"{part[0]}{k}", column: text} for k, text in enumerate(texts)]
        write_rows(folder / f"{part}.parquet", rows)
    judged = [(q, t, int(rng.integers(1, 5))) for q, each in enumerate(labels) for t in each]
    rows = [{"query-id": f"q{q}", "corpus-id": f"c{t}", "score": score} for q, t, score in judged]
    write_rows(folder / "qrels" / "test.parquet", rows)


def write_matches(folder, rng):
    queries, _, labels = random_set(rng)
    part = "test-00000-of-00001.parquet"
    for table, key, texts in (("briefs", "brief", ("title", "description")), ("queries", "query", ("value",))):
        write_rows(folder / table / part, [{f"{key}_id": k} | dict.fromkeys(texts, t) for k, t in enumerate(queries)])
        pairs = [(q, p) for q in range(len(queries)) for p in range(30)]
        rows = [{f"{key}_id": q, "profile_id": p, "score": 0.8 if p in labels[q] else 0.79} for q, p in pairs]
        write_rows(folder / f"{key}_scores" / part, rows)
    same = {"description": "x  y", "skills": ["a", "b"], "soft_skills": [], "experiences": JOBS * 2}
    named = [{"profile_id": k, "language": "en" if k % 2 else "fr", "headline": f"p {k % 25}"} for k in range(30)]
    write_rows(folder / "profiles" / part, [each | same for each in named])


def write_marked(folder, rng):
    rows = [
        ("a 1", "weld metal"),
        ("a 1", "plan shifts"),
        ("a 2", "no skill"),
        ("a 4", "haute cuisine"),
        ("", "weld metal"),
    ]
    marked = [
        {"sentence": each or "a 3", "skill": skill, "relevant": bool(each)} for each, skill in [*rows, ("", rows[0][1])]
    ]
    write_rows(folder / "test.parquet", marked)


FREELANCERS = (write_matches, "Freelancer-Project-Matching")


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")  # of what the toolkit imports
@pytest.mark.parametrize(
    ("ours", "languages", "kind", "theirs", "dataset_id"),
    [
        ("job_title_similarity", "de", (write_linked, "Job-Title-Similarity/de"), "JobTitleSimilarity", "de"),
        ("melo_deu_q_de_c_en", "de", (write_linked, "MELO-Benchmark/deu_q_de_c_en"), "MELO", "deu_q_de_c_en"),
        ("mels_swe_q_sv_c_sv", "sv", (write_linked, "MELS-Benchmark/swe_q_sv_c_sv"), "MELS", "swe_q_sv_c_sv"),
        *(
            (f"{ours}_graded", "en", (write_judged, f"Skill-{repo}-graded"), f"{theirs}", "en")
            for ours, repo, theirs in (
                ("skill_extraction_house", "extraction-House", "HouseGradedSkillExtract"),
                ("skill_extraction_tech", "extraction-Tech", "TechGradedSkillExtract"),
                ("skill_extraction_skillskape", "extraction-SkillSkape", "SkillSkapeGradedSkillExtract"),
                ("skill_extraction_techwolf", "extraction-TechWolf", "TechWolfGradedSkillExtract"),
                ("skill_normalisation", "normalisation-ESCO", "ESCOGradedSkillNorm"),
            )
        ),
        ("project_to_freelancer", "fr", FREELANCERS, "ProjectCandidate", "fr"),
        ("search_to_freelancer", "en", FREELANCERS, "SearchQueryCandidate", "en"),
        ("search_to_freelancer_multilingual", "en", FREELANCERS, "SearchQueryCandidate", "multilingual"),
        ("skill_extraction_xl", "en", (write_marked, "Skill-XL"), "SkillXLSkillExtract", "en"),
    ],
)
def test_tasks_equal_those_of_the_toolkit(tmp_path, rng, monkeypatch, ours, languages, kind, theirs, dataset_id):
    ranking = pytest.importorskip("workrb.tasks.ranking", reason="workrb is not installed: pip install '.[workrb]'")
    write_one, place = kind
    write_one(tmp_path / place, rng)
    write_release(tmp_path, "1.1.0")

    class Esco:
        def __init__(self, **_):
            pass

        @staticmethod
        def get_supported_languages(version):
            return ["en"]

        def get_skills_vocabulary(self):
            return ["haute cuisine", "plan shifts", "weld metal"]

    for module in ("job_similarity", "melo", "mels", "graded_beir", "skill_extraction", "freelancer_project_matching"):
        monkeypatch.setattr(f"workrb.tasks.ranking.{module}.load_dataset", Files(tmp_path))
    monkeypatch.setattr("workrb.tasks.ranking.skill_extraction.ESCO", Esco)
    ((task,), _) = load_all([ours], tmp_path, languages)
    found = summarise(measure(ByText(), task, METRICS), task, 0)["metrics"]
    toolkit = getattr(ranking, f"{theirs}Ranking")
    split = pytest.importorskip("workrb.types").DatasetSplit.TEST
    monkeypatch.setattr(toolkit, "_load_datasets", lambda each, **_: {dataset_id: each.load_dataset(dataset_id, split)})
    other = toolkit(
        split="test", languages=[languages] if languages == "en" or "similar" in ours else ["en", languages]
    )
    dataset = other.datasets[dataset_id]
    scores = ByText().index(dataset.target_space)(dataset.query_texts).astype(np.float64)
    expected = other.compute_metrics_from_prediction_matrix(scores, dataset_id, list(METRICS))
    assert {name: found[name] for name in METRICS} == pytest.approx({k: 100 * v for k, v in expected.items()}, abs=1e-7)


SKILL_NAMES = [f"skill {k}" for k in range(30)]
JOBS_OF_ESCO = [f"job {k}" for k in range(12)]


def write_esco(folder, cache, rng):
    """One random release for us, as the portal's zips, and for the toolkit, as its cache of several versions."""
    names = ["\n".join(f"other {k}" for k in rng.integers(0, 60, rng.integers(0, 5))) for _ in SKILL_NAMES]
    skills = [(f"{SKILL}{k}", *both) for k, both in enumerate(zip(SKILL_NAMES, names, strict=True))]
    jobs = [(f"{OCCUPATION}{k}", name, "") for k, name in enumerate(JOBS_OF_ESCO)]
    pairs = set(zip(rng.integers(0, 12, 60).tolist(), rng.integers(0, 29, 60).tolist(), strict=True))
    related = relations([(f"{OCCUPATION}{job}", "essential", f"{SKILL}{skill}") for job, skill in sorted(pairs)])
    files = classification(skills, jobs)
    write_zip(folder, "1.1.0", "en", files)
    write_zip(folder, "1.1.0", "", related)
    for version, name in itertools.product(("1.0.5", "1.1.0", "1.2.0"), files | related):
        for language in ("en", "Language.EN"):  # by the version of Python
            path = cache / "esco" / version / language / name.replace("Relations.csv", "Relations_en.csv")
            write(path, (files | related)[name])


def write_hub_rows(folder, rng):
    """The tables of the hub that the toolkit's older tasks read, as copies that we read as well."""
    sentences = [
        {"sentence": f"sentence {rng.integers(0, 12)}", "label": str(rng.choice([*SKILL_NAMES, "UNK"]))}
        for _ in range(40)
    ]
    for name in ("skill-extraction-house", "skill-extraction-tech", "skill-extraction-techwolf", "skillskape"):
        for split in ("validation", "test"):
            write_rows(folder / name / f"{split}.parquet", [dict(each) for each in sentences])
    titles = [
        {"vacancy_job_title": f"title {k}", "esco_URI": f"{OCCUPATION}{job}", "esco_job_title": JOBS_OF_ESCO[job]}
        for k, job in enumerate(rng.integers(0, 12, 20).tolist())
    ]
    write_rows(folder / "JobBERT-evaluation-dataset" / "test.parquet", titles)
    tagged = [
        {"vacancy_job_title": f"title {k}", "tagged_esco_skills": sorted(set(rng.choice(SKILL_NAMES, 4).tolist()))}
        for k in range(15)
    ]
    write_rows(folder / "vacancy-job-to-skill" / "validation.parquet", tagged)
    pairs = [
        {"skill_a": f"a {k}", "skill_b": f"b {rng.integers(0, 9)}", "related": int(rng.integers(0, 2))}
        for k in range(20)
    ]
    write_rows(folder / "SkillMatch-1K" / "test.parquet", pairs)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")  # of what the toolkit imports
@pytest.mark.parametrize(
    ("ours", "split", "theirs"),
    [
        ("job_to_skill", "test", "ESCOJob2Skill"),
        ("job_to_skill", "validation", "ESCOJob2Skill"),
        ("skill_to_job", "test", "ESCOSkill2Job"),
        ("skill_to_job", "validation", "ESCOSkill2Job"),
        ("job_normalisation", "test", "JobBERTJobNorm"),
        ("skill_normalisation", "test", "ESCOSkillNorm"),
        ("skill_normalisation", "validation", "ESCOSkillNorm"),
        ("skill_extraction_house", "validation", "HouseSkillExtract"),
        ("skill_extraction_tech", "test", "TechSkillExtract"),
        ("skill_extraction_techwolf", "test", "TechWolfSkillExtract"),
        ("skillskape", "test", "SkillSkapeExtract"),
        ("skill_similarity", "test", "SkillMatch1kSkillSimilarity"),
    ],
)
def test_workbench_equals_that_of_the_toolkit(tmp_path, rng, monkeypatch, ours, split, theirs):
    ranking = pytest.importorskip("workrb.tasks.ranking", reason="workrb is not installed: pip install '.[workrb]'")
    datasets = pytest.importorskip("datasets")
    write_esco(tmp_path / "data", tmp_path / "cache", rng)
    write_hub_rows(tmp_path / "data", rng)
    monkeypatch.setattr("workrb.data.esco.appdirs.user_cache_dir", lambda name: str(tmp_path / "cache"))

    def load_dataset(repo, split=None):
        files = (tmp_path / "data" / repo.split("/")[1]).glob("*.parquet")
        found = datasets.DatasetDict({path.stem: datasets.Dataset(pq.read_table(path)) for path in files})
        return found[split] if split else found

    module = getattr(ranking, f"{theirs}Ranking").__module__
    for name in ("load_dataset", "train_test_split"):
        if hasattr(importlib.import_module(module), name):
            # Every pair is in our task: the toolkit's draws a tenth for validation.
            whole = load_dataset if name == "load_dataset" else (lambda texts, labels, **_: ([], texts, [], labels))
            monkeypatch.setattr(f"{module}.{name}", whole)
    task = load(ours, tmp_path / "data", split)
    found = summarise(measure(ByText(), task, METRICS), task, 0)["metrics"]
    other = getattr(ranking, f"{theirs}Ranking")(split="val" if split == "validation" else split, languages=["en"])
    dataset = other.datasets["en"]
    scores = ByText().index(dataset.target_space)(dataset.query_texts).astype(np.float64)
    expected = other.compute_metrics_from_prediction_matrix(scores, "en", list(METRICS))
    assert len(task.targets) == len(dataset.target_space)
    assert {name: found[name] for name in METRICS} == pytest.approx({k: 100 * v for k, v in expected.items()}, abs=1e-7)
