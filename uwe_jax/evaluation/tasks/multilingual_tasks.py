"""Job titles and skills in many languages: job title similarity, MELO and MELS of one publisher.

In files each set is a folder with three tables without a header, id and text of `queries.tsv` and of the corpus, and
TREC qrels, `annotations.tsv`. On the hub it is two tables: queries with the positions of their relevant targets in the
corpus, and the corpus.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from pathlib import Path

from uwe_jax.data.text import normalise
from uwe_jax.evaluation.tasks.languages import ANY, SEVERAL
from uwe_jax.evaluation.tasks.publications import Accepts, anywhere, find_tables, read_tables
from uwe_jax.evaluation.tasks.qrels import Qrels, read_qrels
from uwe_jax.evaluation.tasks.task import TaskContent, TaskDataMissing, TaskSources, TaskSpec
from uwe_jax.runtime.errors import UserError
from uwe_jax.sources.hub.dataset import HubDataset
from uwe_jax.sources.tables.problems import Problems, shorten
from uwe_jax.sources.tables.trec import trec_rows

SIMILARITY = "Avature/Job-Title-Similarity"
SIMILARITY_LANGUAGES = ("de", "en", "es", "fr", "it", "ja", "ko", "nl", "pl", "pt", "zh")
MELO = "Avature/MELO-Benchmark"
MELS = "Avature/MELS-Benchmark"

_QUERIES = {"text": "text", "labels": "ints"}
_CORPUS = {"text": "text"}
_TEXT = ("id", "text")  # fields of a line

# Countries of MELO and the languages of their occupations; each is ranked among ESCO's in this language and in English.
_QUERY_SIDES = (
    *("aut_q_de", "bel_q_fr", "bel_q_nl", "bgr_q_bg", "cze_q_cs", "deu_q_de", "dnk_q_da", "esp_q_es", "est_q_et"),
    *("fra_q_fr", "hrv_q_hr", "hun_q_hu", "ita_q_it", "ltu_q_lt", "lva_q_lv", "nld_q_nl", "nor_q_no", "pol_q_pl"),
    *("prt_q_pt", "rou_q_ro", "svk_q_sk", "svn_q_sl", "swe_q_sv"),
)
MELO_SETS = (
    *(f"{side}_c_{target}" for side in _QUERY_SIDES for target in (side[-2:], "en")),
    *("usa_q_en_c_en", "usa_q_en_c_de_en_es_fr_it_nl_pl_pt"),
)
MELS_SETS = tuple(name for name in MELO_SETS if name[:3] in ("bel", "deu", "swe"))


def read_similarity(sources: TaskSources, split: str) -> TaskContent:
    """Reads job titles and those that mean nearly the same, in one of `SIMILARITY_LANGUAGES`."""
    if sources.language not in SIMILARITY_LANGUAGES or sources.asked_in != sources.language:
        asked = sources.language if sources.asked_in == sources.language else f"{sources.asked_in}-{sources.language}"
        raise TaskDataMissing(
            f"{SIMILARITY} has queries and targets in one language, of {', '.join(SIMILARITY_LANGUAGES)}, and "
            f"{asked!r} was asked for."
        )
    return _read(SIMILARITY, sources.language, ("corpus_documents", "corpus_elements"), anywhere, sources)


def read_linking(repo: str, name: str, sources: TaskSources, split: str) -> TaskContent:
    """Reads a set of MELO or MELS: names of a national classification, and the names of their ESCO concepts.

    Sets of both have the same names. The innermost folder whose name says melo or mels decides; else they are MELO's.
    """

    def accepts(root: str) -> bool:
        said = [{word for word in ("melo", "mels") if word in part.casefold()} for part in reversed(root.split("/"))]
        return next((each for each in said if len(each) == 1), {"melo"}) == ({"mels"} if repo == MELS else {"melo"})

    return _read(repo, name, ("corpus_elements", "corpus_documents"), accepts, sources)


def _read(repo: str, name: str, corpora: tuple[str, ...], accepts: Accepts, sources: TaskSources) -> TaskContent:
    for folder in sources.folders:
        for corpus in corpora:
            tables = [f"{name}/{table}" for table in ("queries", corpus, "annotations")]
            if found := find_tables(folder, tables, accepts):
                return _from_files(folder, *(found[table][0] for table in tables))
    datasets = {
        "queries": (HubDataset(repo, _QUERIES, f"{name}/queries"), ""),
        "corpus": (HubDataset(repo, _CORPUS, f"{name}/corpus"), ""),
    }
    try:
        rows, origin = read_tables(datasets, sources, accepts)
    except TaskDataMissing as error:
        raise TaskDataMissing(
            f"No folder of its name with queries.tsv, {corpora[0]}.tsv and annotations.tsv. {error}"
        ) from error
    targets = [row["text"] for row in rows["corpus"]]
    for number, row in enumerate(rows["queries"], 1):
        if outside := [label for label in row["labels"] if not 0 <= label < len(targets)]:
            raise UserError(
                f"{origin}, {name}: the query of row {number}, {shorten(row['text'])}, has the label {outside[0]}. "
                f"Expected positions from 0 in the corpus of {len(targets):,} texts: get both tables from one version."
            )
    pairs = [(row["text"], [targets[label] for label in row["labels"]]) for row in rows["queries"]]
    return TaskContent(pairs, targets, f"{origin}, {name}")


def _from_files(folder: Path, queries: Path, corpus: Path, annotations: Path) -> TaskContent:
    problems = Problems(str(folder))
    asked, targets = (_texts(path, str(path.relative_to(folder)), problems) for path in (queries, corpus))
    problems.check()  # else every row that refers to a broken one would be reported too
    qrels = Qrels(asked, targets, problems)
    for place, query, target, grade in read_qrels(annotations, str(annotations.relative_to(folder)), problems):
        if qrels.knows(place, query, target):
            qrels.add(query, target, max(grade, 0))
    problems.check()
    origin = str(queries.parent.relative_to(folder)) if queries.parent != folder else folder.name
    return TaskContent(**qrels.content(), targets=targets.values(), origin=origin)


def _texts(path: Path, name: str, problems: Problems) -> Mapping[str, str]:
    """Reads texts by id, in their order."""
    texts: dict[str, str] = {}
    for line, (number, text) in trec_rows(path, name, _TEXT, problems):
        if number in texts:
            problems.add(f"{name}, line {line}", f"id {shorten(number)} again", "an id once")
        texts[number] = normalise(text)
    return texts


def _where(repo: str, corpus: str) -> str:
    return f"a folder per set with queries.tsv, {corpus}.tsv and annotations.tsv, or {repo} on the hub"


def _linking(prefix: str, repo: str, title: str, kind: str, name: str) -> TaskSpec:
    _, _, query, _, *targets = name.split("_")
    languages = (query, targets[0] if len(targets) == 1 else SEVERAL)
    read, where = partial(read_linking, repo, name), _where(repo, "corpus_elements")
    return TaskSpec(f"{prefix}_{name}", f"{title} {name}", "", (kind, kind), ("test",), read, where, languages, prefix)


JOB_TITLE_SIMILARITY = TaskSpec(
    "job_title_similarity",
    "Job title similarity",
    "",
    ("job", "job"),
    ("test",),
    read_similarity,
    _where(SIMILARITY, "corpus_documents"),
    (ANY, ANY),
)
MELO_SPECS = tuple(_linking("melo", MELO, "MELO", "job", name) for name in MELO_SETS)
MELS_SPECS = tuple(_linking("mels", MELS, "MELS", "skill", name) for name in MELS_SETS)
