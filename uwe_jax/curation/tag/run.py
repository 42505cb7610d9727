"""A tagging from vacancies to a folder of edges that appears when it is complete."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import logging
import shutil
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

import tyro

# Nothing that imports JAX: the processes that tag by name import this module.
from uwe_jax.curation.tag.by_model import tag_by_model
from uwe_jax.curation.tag.calibrated import check_holds, find_calibration
from uwe_jax.curation.tag.summary import summary_table
from uwe_jax.evaluation.specs import RAW, load_ranker
from uwe_jax.models.remote_workdir import checkpoints_of, make_local
from uwe_jax.retrieval.calibration import Calibration
from uwe_jax.retrieval.skill_filter import SkillFilter, filter_in, shipped_filter
from uwe_jax.runtime.errors import UserError
from uwe_jax.runtime.files import cache_folder, make_out, write_json
from uwe_jax.runtime.locks import exclusive
from uwe_jax.runtime.options import OptionalFloat, OptionalPath, Repeated, at_least
from uwe_jax.runtime.progress import counted, duration, report
from uwe_jax.runtime.settings import within
from uwe_jax.sources.taxonomy import Taxonomy, read_taxonomy
from uwe_jax.sources.vacancies.files import VacancyColumns, find_vacancy_files
from uwe_jax.sources.vacancies.job import CHUNK_ROWS, MAX_BROKEN, job_key, open_job
from uwe_jax.sources.vacancies.lines import LINES, join_lines
from uwe_jax.sources.vacancies.pool import run_job
from uwe_jax.sources.vacancies.sentences import MAX_CHARACTERS, MIN_WORDS
from uwe_jax.sources.vacancies.tagger import JOB, SENTENCES, VACANCY, TagSettings

LOG = logging.getLogger(__name__)
RESULT = "tagging.json"
_LOCK = "lock"
_WORKING = ("done", "taxonomy.json", "job.json", SENTENCES, LINES, _LOCK)  # of the job, not needed once it is complete


@dataclass(frozen=True)
class TaggingOptions:
    """Options of `uwe-jax tag`.

    Attributes:
      vacancies: a file, or a folder of files.
      taxonomy: the folder of the ESCO zips, the zip of a language, or a file of skills; not needed where every vacancy
        brings its skills.
      out: folder of the edges; it appears when all is done.
      title_column: column of the titles; by default one called title or alike.
      description_column: column of the descriptions; by default one called description or alike.
      skills_column: column of given skills; by default one called skills or alike.
      id_column: column of the ids; by default one called id or alike.
      model: a run, an encoder or another ranker, as of `uwe-jax evaluate`; by default none, only names are looked for.
      threshold: least score of a skill that a model gives, on the scale of its scores; by default 0.6.
      precision: of the skills that a model gives, 0 to 1, by a calibration; in place of a threshold.
      calibration: folder of an index of these skills that `uwe-jax calibrate` has calibrated for the model; by default
        the calibration that comes with uwe_jax for the model and ESCO.
      skill_filter: of sentences without a skill, which a model then gives none: a file of
        `uwe-jax calibrate --sentences`, shipped for the one that comes with uwe_jax for the model, if any, or none.
      top_k: skills that a model may give to a sentence.
      model_reads: sentences that the model reads: those that name no skill, or all.
      aliases: look for the other names of skills too, and rank skills by them, not only by their labels.
      language: of the vacancies and of ESCO's labels; several, as en,de, add the labels of the others as further names.
      esco_version: such as 1.1.1; by default the newest in the folder.
      min_words: shorter sentences are left out.
      max_characters: longer sentences are left out.
      max_tokens: of a text that an encoder reads.
      max_broken: share of rows that may be broken and are left out.
      processes: processes that tag by name; 0 is one per core.
      chunk_rows: rows that a kill may cost each process.
      beam_runner: tag by name on this runner of Apache Beam, such as DirectRunner.
      beam_options: option of the runner, as --beam-option=--x=y; may be repeated.
      cache_dir: folder of encoders; by default $UWE_JAX_CACHE or the user's cache folder.
    """

    vacancies: OptionalPath = None
    taxonomy: OptionalPath = None
    out: OptionalPath = None
    title_column: str = ""
    description_column: str = ""
    skills_column: str = ""
    id_column: str = ""
    model: str = ""
    threshold: OptionalFloat = None
    precision: OptionalFloat = None
    calibration: OptionalPath = None
    skill_filter: str = "shipped"
    top_k: int = 5
    model_reads: Literal["untagged", "all"] = "untagged"
    aliases: bool = True
    language: str = "en"
    esco_version: str = ""
    min_words: int = MIN_WORDS
    max_characters: int = MAX_CHARACTERS
    max_tokens: int = 64
    max_broken: float = MAX_BROKEN
    processes: int = 0
    chunk_rows: int = CHUNK_ROWS
    beam_runner: str = ""
    beam_options: Annotated[Repeated, tyro.conf.arg(name="beam-option")] = ()
    cache_dir: str = ""

    def __post_init__(self) -> None:
        least = {"top_k": 1, "min_words": 1, "max_characters": 1, "max_tokens": 3, "chunk_rows": 1}
        for name, value in {**least, "processes": 0, "max_broken": 0}.items():
            at_least(value, **{name: getattr(self, name)})
        within("--precision", self.precision or 0, 0, 1)
        if (self.calibration and self.precision is None) or (self.precision is not None and not self.model):
            raise UserError("--precision needs --model, and --calibration needs both. Give these, or --threshold.")
        if self.precision is not None and self.threshold is not None:
            raise UserError(
                f"--precision {self.precision:g} gives the threshold, and --threshold {self.threshold:g} is another. "
                "Give one of them."
            )

    @property
    def least_score(self) -> float:
        """Returns the threshold of scores, where no precision gives it."""
        return 0.6 if self.threshold is None else self.threshold


def tag(options: TaggingOptions) -> None:
    """Tags the vacancies and prints a summary; resumes where an earlier call was stopped.

    Writes into `out` vacancies.jsonl, a line per vacancy with all its skills; skill_job/ and skill_vacancy/ with
    Parquet files for the source edges; and tagging.json with the settings and counts.

    Raises:
      UserError: for anything that the user can fix.
    """
    started = time.perf_counter()
    vacancies, out = options.vacancies, options.out
    if vacancies is None or out is None:
        raise UserError(f"--{'out' if vacancies else 'vacancies'} is required. Run `uwe-jax tag --help`.")
    make_out(out.parent)
    columns = VacancyColumns(options.title_column, options.description_column, options.skills_column, options.id_column)
    files = find_vacancy_files(vacancies, columns)
    taxonomy = _taxonomy(options, [file.name for file in files if "skills" not in file.columns])
    settings = TagSettings(
        language=options.language,
        min_words=options.min_words,
        max_characters=options.max_characters,
        aliases=options.aliases,
        keep_sentences=options.model_reads if options.model else "none",
    )
    held, place, aliases = None, options.calibration, options.aliases
    threshold = options.least_score  # of scores; with a calibration of probabilities
    if options.precision is not None and taxonomy:
        held = find_calibration(place, options.model, taxonomy, aliases=aliases)
        point = held.threshold(options.precision)
        threshold = point.probability
        LOG.info(f"A model's skills reach probability {threshold:g}: {point}. By the calibration {held}.")
    skill_filter = filter_in(options.skill_filter) if options.model else None
    key = _key(job_key(files, taxonomy, settings, options.chunk_rows), options, held, skill_filter)
    if (done := _read_result(out, key)) is not None:
        _tidy(out)
        LOG.info(f"{out} holds this tagging already.")
        report(summary_table(done))
        return
    work = out.parent / f".{out.name}.{key}.partial"
    for other in out.parent.glob(f".{out.name}.*.partial"):
        if other != work:
            LOG.warning(
                f"{other} is left of a tagging of other vacancies or settings. Remove it if you do not want to go on."
            )
    doing = f"tagging the same vacancies in {work}"
    with exclusive(work / _LOCK, doing, advice="name another folder with --out"):
        job = open_job(work, files, taxonomy, settings, chunk_rows=options.chunk_rows, max_broken=options.max_broken)
        if len(job.left()) < len(job.chunks):
            LOG.info(
                f"Going on: {len(job.chunks) - len(job.left()):,} of {len(job.chunks):,} chunks are tagged by name."
            )
        if options.beam_runner:
            from uwe_jax.sources.vacancies.beam import run_job_on_beam

            total = run_job_on_beam(job, options.beam_runner, options.beam_options)
        else:
            total = run_job(job, options.processes)
        if options.model and taxonomy:
            cache_dir = cache_folder(options.cache_dir)
            how = held.subject.settings if held else RAW
            ranker = load_ranker(options.model, cache_dir=cache_dir, max_tokens=options.max_tokens, how=how)
            if held:
                check_holds(held, place, ranker, options.model, taxonomy, aliases=aliases)
            chosen = skill_filter or (shipped_filter(ranker) if options.skill_filter == "shipped" else None)
            if chosen:
                chosen.check(ranker, options.model)
                least = f"Sentences below probability {chosen.threshold} of having a skill get none by the model"
                LOG.info(f"{least}; --skill-filter none lets it read all.")
            by_model = tag_by_model(
                job,
                taxonomy,
                ranker,
                threshold=threshold,
                top_k=options.top_k,
                aliases=options.aliases,
                weights=how.weights,
                platt=held.platt if held else None,
                skill_filter=chosen,
            )
            total.merge(by_model)
        result = {
            "key": key,
            "vacancies": [str(file.path) for file in files],
            "taxonomy": taxonomy.origin if taxonomy else "",
            "model": options.model,
            "threshold": threshold if options.model else None,
            "precision": options.precision,
            "skill_filter": options.skill_filter if options.model else None,
            "max_tokens": options.max_tokens if options.model else None,
            "settings": dataclasses.asdict(settings),
            "counts": dict(total.counts),
            "edges": dict(total.edges),
            "skills": len(total.skills),
            "top_skills": total.skills.most_common(20),
            "broken": total.broken.to_dict(),
        }
        join_lines(work, len(job.chunks))
        _finish(work, out, result)
    report(summary_table(result))
    use = "read it with the source 'edges'" if result["edges"] else "it holds no edge, as no text has a skill"
    LOG.info(f"Written to {out} in {duration(time.perf_counter() - started)}: {use}.")


def _taxonomy(options: TaggingOptions, bare: list[str]) -> Taxonomy | None:
    if options.taxonomy is not None:
        found = read_taxonomy(options.taxonomy, language=options.language, version=options.esco_version)
        names = sum(len({text.casefold() for text in (skill.label, *skill.aliases)}) for skill in found.skills)
        LOG.info(f"{found.origin}: {counted(len(found), 'skill')} with {counted(names, 'name')}.")
        return found
    if bare or options.model:
        why = f"{', '.join(bare[:3])} has no column of skills" if bare else "a model ranks the skills of one"
        raise UserError(
            f"Command line: no --taxonomy, and {why}. Name the folder of the ESCO zips, or a file of skills."
        )
    return None


def _key(key: str, options: TaggingOptions, held: Calibration | None, skill_filter: SkillFilter | None) -> str:
    if not options.model:
        return key
    # A run in training may have another best checkpoint later.
    folder = checkpoints_of(Path(make_local(options.model, cache_folder(options.cache_dir))).expanduser())
    steps = sorted(path.name for path in folder.iterdir()) if folder.is_dir() else []
    told = [key, options.model, steps, options.least_score, options.top_k, options.max_tokens]
    told += [str(skill_filter) if skill_filter else options.skill_filter]
    told += [options.precision, str(held)] if held else []
    return hashlib.sha256(json.dumps(told).encode()).hexdigest()[:16]


def _read_result(out: Path, key: str) -> dict[str, Any] | None:
    """Returns tagging.json of a complete tagging of this key, None where `out` is empty; raises UserError otherwise."""
    try:
        if not any(out.iterdir()):
            return None
        result = json.loads((out / RESULT).read_text(encoding="utf-8"))
    except FileNotFoundError:
        if not out.exists():
            return None
        raise UserError(f"{out} contains other files and no {RESULT}. Name another folder with --out.") from None
    except (OSError, ValueError, RecursionError) as error:
        raise UserError(f"{out} cannot be read ({error}). Name another folder with --out.") from error
    if isinstance(result, dict) and result.get("key") == key:
        return result
    raise UserError(f"{out} contains a tagging of other vacancies or settings. Name another folder with --out.")


def _finish(work: Path, out: Path, result: dict[str, Any]) -> None:
    write_json(work / RESULT, result)
    for graph in (JOB, VACANCY):
        if (work / graph).is_dir() and not any((work / graph).iterdir()):
            (work / graph).rmdir()  # the source edges refuses an empty folder
    # Atomic, and working files are removed afterwards: a kill leaves a job to resume, or all edges.
    work.replace(out)
    _tidy(out)


def _tidy(out: Path) -> None:
    for name in _WORKING:
        if (out / name).is_dir():
            shutil.rmtree(out / name)
        else:
            (out / name).unlink(missing_ok=True)
    for graph in (JOB, VACANCY):
        for partial in (out / graph).glob(".*.partial"):
            partial.unlink()
