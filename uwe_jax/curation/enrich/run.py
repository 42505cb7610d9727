"""An enrichment from its settings to its edge files."""

from __future__ import annotations

import dataclasses
import logging
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

import uwe_jax
from uwe_jax.curation.enrich.asking import Asking
from uwe_jax.curation.enrich.budget import Budget, cost_text, estimate_text
from uwe_jax.curation.enrich.checks import Checker, LanguageCheck
from uwe_jax.curation.enrich.copies import read_evaluation_texts
from uwe_jax.curation.enrich.generators import Rejected, from_answers, from_templates
from uwe_jax.curation.enrich.plan import Request, plan
from uwe_jax.curation.enrich.prompts import read_templates
from uwe_jax.curation.enrich.response_cache import ResponseCache, open_cache
from uwe_jax.curation.enrich.results import (
    ANSWERS,
    REJECTED,
    REPORT,
    check_out,
    check_source,
    count,
    report_text,
    write_edges,
)
from uwe_jax.curation.enrich.settings import ENDPOINT, TEMPLATE, EnrichmentSettings
from uwe_jax.data.graph_set import GraphSet
from uwe_jax.evaluation.decontamination import load_training_graphs
from uwe_jax.evaluation.ranker import Ranker
from uwe_jax.evaluation.specs import load_ranker
from uwe_jax.runtime.errors import UserError
from uwe_jax.runtime.files import cache_folder, make_out, write_atomically, write_json
from uwe_jax.runtime.printable import json_text
from uwe_jax.runtime.progress import counted, report

LOG = logging.getLogger(__name__)


def enrich(settings: EnrichmentSettings, dry_run: int | None = None) -> bool:
    """Finds rare skills, requests new texts, checks them, and writes edges into `settings.out`.

    Args:
      settings: of the enrichment.
      dry_run: shows so many prompts (or texts of templates) per graph and the estimate, and sends and writes nothing; 0
        shows all, None enriches.

    Returns:
      True where every request that was sent got an answer.

    Raises:
      UserError: for anything that the user can fix.
    """
    # ---- Settings and folder ------------------------------------------------------------------------------------
    out = Path(settings.out).expanduser()
    parts = (part.path for part in settings.source.parts.values())
    examples = (*settings.grounding.sentence_files, *settings.grounding.title_files)
    for path in (settings.source.path, *parts, *examples):
        check_source(path)
    check_out(out)
    if dry_run is None:
        make_out(out, "--config.out")
    cache_dir = cache_folder(settings.source.cache_dir)

    @cache
    def ranker_of(spec: str) -> Ranker:
        return load_ranker(spec, cache_dir=cache_dir, max_tokens=settings.checks.max_tokens)

    # ---- Graphs, evaluation texts and requests ------------------------------------------------------------------
    graphs = load_training_graphs(settings.source)
    if settings.with_source and len(graphs.part_weights) > 1:
        raise UserError(
            f"The source is a mixture of {len(graphs.part_weights)} sources ({', '.join(graphs.part_weights)}), whose "
            "weights and further names would be lost beside the new edges. Write the new ones alone "
            "(--config.with_source=False) and add the folder to the mixture as one more source."
        )
    evaluation, guarded = read_evaluation_texts(
        settings.data, run=settings.checks.max_run, cache_dir=cache_dir, language=settings.language
    )
    requests = plan(settings, graphs, evaluation, ranker_of)
    planned = Counter(each.kind for each in requests)
    few = f"skills with at most {settings.rare.most_edges} edges in skill-"
    LOG.info(f"To be enriched: {', '.join(f'{planned[kind]:,} {few}{kind}' for kind in settings.kinds)}.")
    if dry_run is not None:
        _show(settings, requests, ResponseCache(out / ANSWERS), dry_run)
        return True
    if settings.generator == ENDPOINT and not settings.endpoint.model:
        raise UserError(
            "endpoint.model is empty. Set it to the name that your server uses (--config.endpoint.model=...), and "
            "endpoint.base_url to its address; or fill templates offline with --config.generator=template."
        )
    # Templates are in the language of their file; labels would only confuse the check.
    unchecked = settings.generator == TEMPLATE or settings.checks.language_certainty >= 1
    language = None if unchecked else LanguageCheck(settings.language, settings.checks.language_certainty)
    checker = Checker(settings.checks, graphs, evaluation, ranker_of(settings.checks.ranker), language)
    with open_cache(out / ANSWERS) as responses:
        return _Work(settings, graphs, guarded, requests, checker, out, responses).run()


@dataclass
class _Work:
    """Generates, checks and writes texts for planned requests."""

    settings: EnrichmentSettings
    graphs: GraphSet
    guarded: dict[str, Any]  # number and origin of the evaluation texts
    requests: Sequence[Request]
    checker: Checker
    out: Path
    responses: ResponseCache
    counts: dict[str, dict[str, Any]] = field(default_factory=dict)

    def run(self) -> bool:
        """Sends the requests without an answer; writes edges at every checkpoint and at the end."""
        endpoint, responses, spent = self.settings.endpoint, self.responses, self.responses.spent
        if responses.torn:
            LOG.info(
                f"{responses.path} ended in {responses.torn:,} bytes of a line that a kill cut off; they are dropped."
            )
        pending = _pending(self.settings, self.requests, responses)
        asking = Asking(endpoint, responses, Budget(self.settings.budget, endpoint, spent))
        try:
            if pending:
                report(estimate_text(pending, endpoint, spent, self.settings.budget))
                asking.run(pending, self._write, self.settings.checkpoint_every)
            else:
                self._write()
        finally:
            self._report()
        if asking.tries_again:
            LOG.info(f"Repeated {counted(asking.tries_again, 'try')}, as the server was busy, broken or slow.")
        if asking.stopped:
            LOG.warning(
                f"Stopped: {asking.stopped}. What was answered is kept and checked; with a larger budget the same "
                "command resumes there."
            )
        if asking.failed:
            LOG.warning(f"{counted(len(asking.failed), 'request')} got no answer; the same command asks again.")
        return not asking.failed

    def _write(self) -> None:
        """Checks all texts so far; writes edges, rejected texts and the report."""
        settings, requests, responses = self.settings, self.requests, self.responses
        unreadable: list[Rejected] = []
        if settings.generator == TEMPLATE:
            answered = requests
            candidates = from_templates(requests, read_templates(settings.prompts, settings.kinds), settings.seed)
        else:
            answered = [each for each in requests if responses.is_answered(each, settings.endpoint)]
            candidates, unreadable = from_answers(requests, responses, settings.endpoint)
        accepted, rejected = self.checker.check(candidates)
        rejected = [*unreadable, *rejected]
        self.counts = count(requests, answered, accepted, rejected, self.graphs)
        spent = responses.spent
        content = {
            "version": uwe_jax.__version__,
            "complete": False,
            "files": {},
            "counts": self.counts,
            "spent": {**dataclasses.asdict(spent), "money": spent.money(settings.endpoint)},
            "source_fingerprints": self.graphs.fingerprints(),
            "checked_by": settings.checks.ranker,
            "evaluation_texts": self.guarded,
            "settings": dataclasses.asdict(settings),
        }
        # Before the first file of edges: a kill between two of them leaves no report that calls them complete.
        write_json(self.out / REPORT, content)
        files = write_edges(self.out, self.graphs, accepted, with_source=settings.with_source)
        write_atomically(self.out / REJECTED, "".join(json_text(vars(each)) + "\n" for each in rejected).encode())
        complete = len(answered) == len(requests)
        write_json(self.out / REPORT, content | {"complete": complete, "files": files})

    def _report(self) -> None:
        if not self.counts:
            return
        report(report_text(self.counts))
        if self.responses.answers:
            report(f"Spent in this folder: {cost_text(self.responses.spent, self.settings.endpoint)}")
        report(f"Wrote {REPORT}, {REJECTED} and edge files to {self.out}")


def _pending(settings: EnrichmentSettings, requests: Sequence[Request], responses: ResponseCache) -> list[Request]:
    """Returns the requests without an answer, none of which are templates, and says how many have one."""
    if settings.generator == TEMPLATE:
        return []
    pending = [each for each in requests if not responses.is_answered(each, settings.endpoint)]
    LOG.info(f"{len(requests) - len(pending):,} of {len(requests):,} requests are answered already.")
    return pending


def _show(settings: EnrichmentSettings, requests: list[Request], responses: ResponseCache, most: int) -> None:
    """Prints prompts and their estimated cost, or texts of templates."""
    template, endpoint = settings.generator == TEMPLATE, settings.endpoint
    for kind in settings.kinds:
        chosen = [each for each in requests if each.kind == kind]
        shown = chosen[: most or None]
        if template:
            for candidate in from_templates(shown, read_templates(settings.prompts, (kind,)), settings.seed):
                report(f"[{kind}] {candidate.request.label}: {candidate.text}")
            continue
        for number, each in enumerate(shown, 1):
            report(f"---- {kind}, request {number} of {len(chosen):,}: {each.label} ----")
            report(f"[system]\n{each.prompt.system}\n[user]\n{each.prompt.user}\n")
    if not template:
        pending = _pending(settings, requests, responses)
        LOG.info("Nothing is asked now.")
        report(estimate_text(pending, endpoint, responses.spent, settings.budget))
