"""Texts to be checked: from the answers of a language model, or from templates."""

from __future__ import annotations

import hashlib
import random
import string
from collections.abc import Sequence

from uwe_jax.curation.enrich.answers import Unreadable, read_answer
from uwe_jax.curation.enrich.asking import answer_to
from uwe_jax.curation.enrich.candidates import Candidate, Rejected
from uwe_jax.curation.enrich.grounding import Example
from uwe_jax.curation.enrich.plan import Request
from uwe_jax.curation.enrich.prompts import TemplateFiles
from uwe_jax.curation.enrich.response_cache import Ledger
from uwe_jax.curation.enrich.settings import EndpointSettings
from uwe_jax.data.text import normalise

UNREADABLE = "answer cannot be read"


def from_answers(
    requests: Sequence[Request], ledger: Ledger, settings: EndpointSettings
) -> tuple[list[Candidate], list[Rejected]]:
    """The texts of all answers in a ledger to some requests, in the order of the requests.

    Returns:
      The texts, and the answers that cannot be read.
    """
    candidates, unreadable = [], []
    for request in requests:
        answer, _ = answer_to(request, settings.model, ledger, settings.tries_to_read)
        if answer is None:
            continue
        try:
            texts = read_answer(answer.answer, answer.finish)
        except Unreadable as error:
            unreadable.append(Rejected(request.kind, request.label, answer.answer, UNREADABLE, str(error), answer.key))
            continue
        grounding = tuple(each.id for each in (*request.sentences, *request.titles))
        candidates += [
            Candidate(
                request,
                text,
                "language_model",
                answer.model,
                answer.prompt,
                grounding,
                answer.key,
                surplus=number >= request.count,
            )
            for number, text in enumerate(texts)
        ]
    return candidates, unreadable


def from_templates(requests: Sequence[Request], files: TemplateFiles, seed: int) -> list[Candidate]:
    """Fills templates, different ones for a skill, with its label and the titles nearest to it.

    The same seed gives the same texts for a skill, whatever else is asked for. A skill without a fitting title
    gets templates without one, where there are any.
    """
    candidates = []
    for request in requests:
        lines = files.lines[request.kind]
        titles = _fitting(request.titles)
        if not titles:
            lines = [line for line in lines if "$title" not in line.lower()]
        draw = random.Random(f"{seed}:{request.kind}:{request.label}")
        for number, line in enumerate(draw.sample(lines, min(request.count, len(lines)))):
            title = titles[number % len(titles)] if titles else None
            gaps = {"skill": request.label, "Skill": _capital(request.label)}
            if title:
                gaps |= {"title": title.text, "Title": _capital(title.text)}
            used = (title.id,) if title and "$title" in line.lower() else ()
            candidates.append(
                Candidate(
                    request,
                    normalise(string.Template(line).substitute(gaps)),
                    "template",
                    "",
                    hashlib.sha256(line.encode("utf-8", "surrogatepass")).hexdigest(),
                    used,
                )
            )
    return candidates


def _fitting(titles: Sequence[Example]) -> list[Example]:
    """The titles that may stand beside the skill: its own, else the nearest if it has anything in common with it."""
    return [each for each in titles if each.own] or [each for each in titles[:1] if each.score > 0]


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]
