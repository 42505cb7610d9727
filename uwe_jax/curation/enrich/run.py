"""An enrichment from its settings to its edge files."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from functools import cache
from pathlib import Path

from uwe_jax.curation.enrich.asking import Asking, is_answered
from uwe_jax.curation.enrich.budget import Budget, Cost, cost_text, estimate_text
from uwe_jax.curation.enrich.candidates import Candidate, Rejected
from uwe_jax.curation.enrich.checks import Checker
from uwe_jax.curation.enrich.cost_report import account_text, count, write_account
from uwe_jax.curation.enrich.edges_out import ACCOUNT, ANSWERS, REJECTED, check_out, check_source
from uwe_jax.curation.enrich.evaluation_texts import EvaluationTexts, read_evaluation_texts
from uwe_jax.curation.enrich.generators import from_answers, from_templates
from uwe_jax.curation.enrich.language import LanguageCheck
from uwe_jax.curation.enrich.plan import Request, plan
from uwe_jax.curation.enrich.prompts import TemplateFiles
from uwe_jax.curation.enrich.response_cache import Ledger, open_ledger
from uwe_jax.curation.enrich.settings import TEMPLATE, EnrichmentSettings
from uwe_jax.data.graph_set import GraphSet
from uwe_jax.evaluation.decontamination import load_training_graphs
from uwe_jax.evaluation.ranker import Ranker
from uwe_jax.evaluation.specs import load_ranker
from uwe_jax.runtime.errors import UserError
from uwe_jax.runtime.files import cache_folder
from uwe_jax.runtime.progress import report

LOG = logging.getLogger(__name__)


def enrich(settings: EnrichmentSettings, dry_run: int | None = None) -> bool:
    """Finds rare skills, asks for new texts, checks them, and writes edges into `settings.out`.

    Args:
      settings: what to do.
      dry_run: show so many prompts (or texts of templates) per graph and the estimate, ask and write nothing; 0 shows
        all, None does the work.

    Returns:
      Whether everything that was planned is answered.

    Raises:
      UserError: for anything that the user can fix.
    """
    # ---- Settings and folder ------------------------------------------------------------------------------------
    out = Path(settings.out).expanduser()
    parts = (part.path for part in settings.source.parts.values())
    examples = (*settings.grounding.sentence_files, *settings.grounding.title_files)
    for path in (settings.source.path, *parts, *examples):
        check_source(path)
    check_out(out, writing=dry_run is None)
    cache_dir = cache_folder(settings.source.cache_dir)

    @cache
    def ranker_of(spec: str) -> Ranker:
        return load_ranker(spec, cache_dir=cache_dir, max_tokens=settings.checks.max_tokens)

    # ---- Graphs, texts that must not come back, and what is asked for -------------------------------------------
    graphs = load_training_graphs(settings.source)
    evaluation = read_evaluation_texts(
        settings.data, run=settings.checks.max_run, cache_dir=cache_dir, language=settings.language
    )
    requests = plan(settings, graphs, evaluation, ranker_of)
    LOG.info(_planned(settings, requests))
    if dry_run is not None:
        _show(settings, requests, Ledger.read(out / ANSWERS), dry_run)
        return True
    settings.check_complete()
    checker = Checker(settings.checks, graphs, evaluation, ranker_of(settings.checks.ranker), _language_check(settings))
    work = _Work(settings, graphs, evaluation, requests, checker, out)
    try:
        out.mkdir(parents=True, exist_ok=True)
        with open_ledger(out / ANSWERS) as ledger:
            return work.fill_templates(ledger) if settings.generator == TEMPLATE else work.ask(ledger)
    except (PermissionError, FileExistsError, NotADirectoryError) as error:
        raise UserError(f"Cannot write to {out}: {error.strerror}. Name another folder with out.") from error


class _Work:
    """What is done once everything is planned."""

    def __init__(
        self,
        settings: EnrichmentSettings,
        graphs: GraphSet,
        evaluation: EvaluationTexts,
        requests: Sequence[Request],
        checker: Checker,
        out: Path,
    ):
        self._settings, self._graphs, self._evaluation = settings, graphs, evaluation
        self._requests, self._checker, self._out = requests, checker, out

    def fill_templates(self, ledger: Ledger) -> bool:
        """Fills templates; nothing is asked."""
        files = TemplateFiles(self._settings.prompts, self._settings.kinds)
        candidates = from_templates(self._requests, files, self._settings.seed)
        self._write(candidates, [], self._requests, ledger, complete=True)
        self._report(ledger, "")
        return True

    def ask(self, ledger: Ledger) -> bool:
        """Asks what the ledger does not answer, and writes after every checkpoint and at the end."""
        settings = self._settings
        if ledger.torn:
            LOG.warning(
                f"{ledger.path} ended in {ledger.torn:,} bytes of a line that a kill cut off; they are dropped."
            )
        pending = [each for each in self._requests if not self._is_answered(each, ledger)]
        spent = Cost.of(ledger.answers.values())
        LOG.info(f"{len(self._requests) - len(pending):,} of {len(self._requests):,} requests are answered already.")
        asking = Asking(settings.endpoint, ledger, Budget(settings.budget, settings.endpoint, spent))
        try:
            if pending:
                report(estimate_text(pending, settings.endpoint, spent, settings.budget))
                asking.run(pending, lambda: self._from_ledger(ledger), settings.checkpoint_every)
            else:
                self._from_ledger(ledger)
        finally:
            self._report(ledger, asking.stopped)
        if asking.tries_again:
            LOG.info(f"{asking.tries_again:,} tries were repeated, as the server was busy, broken or slow.")
        if asking.stopped:
            LOG.warning(
                f"Stopped: {asking.stopped}. What was answered is kept and checked; with a larger budget the same "
                "command goes on from there."
            )
        if asking.failed:
            LOG.warning(f"{len(asking.failed):,} requests got no answer; the same command asks them again.")
        return not asking.failed

    def _is_answered(self, request: Request, ledger: Ledger) -> bool:
        endpoint = self._settings.endpoint
        return is_answered(request, endpoint.model, ledger, endpoint.tries_to_read)

    def _from_ledger(self, ledger: Ledger) -> None:
        candidates, unreadable = from_answers(self._requests, ledger, self._settings.endpoint)
        answered = [each for each in self._requests if self._is_answered(each, ledger)]
        self._write(candidates, unreadable, answered, ledger, complete=len(answered) == len(self._requests))

    def _write(
        self,
        candidates: Sequence[Candidate],
        unreadable: Sequence[Rejected],
        answered: Sequence[Request],
        ledger: Ledger,
        *,
        complete: bool,
    ) -> None:
        accepted, rejected = self._checker.check(candidates)
        rejected = [*unreadable, *rejected]
        self._counts = count(self._requests, answered, accepted, rejected, self._graphs)
        notes = {
            "checked_by": self._settings.checks.ranker,
            "evaluation_texts": {
                "count": len(self._evaluation),
                "found": self._evaluation.found,
                "missing": self._evaluation.missing,
            },
        }
        write_account(
            self._out,
            self._settings,
            self._graphs,
            accepted,
            rejected,
            self._counts,
            spent=Cost.of(ledger.answers.values()),
            complete=complete,
            notes=notes,
        )

    def _report(self, ledger: Ledger, stopped: str) -> None:
        if not hasattr(self, "_counts"):
            return
        report(account_text(self._counts))
        if ledger.answers:
            report(f"Spent in this folder: {cost_text(Cost.of(ledger.answers.values()), self._settings.endpoint)}")
        report(f"Wrote {ACCOUNT}, {REJECTED} and edge files to {self._out}")


def _language_check(settings: EnrichmentSettings) -> LanguageCheck | None:
    # Templates are in the language that their file is in; labels would only confuse the check.
    if settings.generator == TEMPLATE or settings.checks.language_certainty >= 1:
        return None
    return LanguageCheck(settings.language, settings.checks.language_certainty)


def _planned(settings: EnrichmentSettings, requests: Sequence[Request]) -> str:
    counts = [
        f"{sum(each.kind == kind for each in requests):,} skills with at most {settings.rare.most_edges} edges in "
        f"skill-{kind}"
        for kind in settings.kinds
    ]
    return f"To be enriched: {', '.join(counts)}."


def _show(settings: EnrichmentSettings, requests: list[Request], ledger: Ledger, most: int) -> None:
    """Prints what would be asked, or what templates give, and what it would cost."""
    if settings.generator == TEMPLATE:
        files = TemplateFiles(settings.prompts, settings.kinds)
        for kind in settings.kinds:
            chosen = [each for each in requests if each.kind == kind]
            for candidate in from_templates(chosen[: most or None], files, settings.seed):
                report(f"[{kind}] {candidate.request.label}: {candidate.text}")
        return
    endpoint = settings.endpoint
    for kind in settings.kinds:
        chosen = [each for each in requests if each.kind == kind]
        for number, each in enumerate(chosen[: most or None], 1):
            assert each.prompt is not None
            report(f"---- {kind}, request {number} of {len(chosen):,}: {each.label} ----")
            report(f"[system]\n{each.prompt.system}\n[user]\n{each.prompt.user}\n")
    pending = [each for each in requests if not is_answered(each, endpoint.model, ledger, endpoint.tries_to_read)]
    LOG.info(
        f"{len(requests) - len(pending):,} of {len(requests):,} requests are answered already. Nothing is asked now."
    )
    report(estimate_text(pending, endpoint, Cost.of(ledger.answers.values()), settings.budget))
