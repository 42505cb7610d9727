"""New texts to be checked: from the answers of a language model, or from templates."""

from __future__ import annotations

import hashlib
import random
import string
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from uwe_jax.curation.enrich.answers import Unreadable, read_answer
from uwe_jax.curation.enrich.grounding import Example
from uwe_jax.curation.enrich.plan import Request
from uwe_jax.curation.enrich.response_cache import ResponseCache
from uwe_jax.curation.enrich.settings import EndpointSettings
from uwe_jax.data.text import normalise


@dataclass(frozen=True)
class Candidate:
    """A new text for a skill."""

    request: Request
    text: str  # normalised
    generator: str  # language_model or template
    model: str  # as the server calls it; empty for a template
    prompt_hash: str  # SHA-256 of the prompt, or of the template
    grounding: tuple[str, ...]  # ids of the real texts that were shown, or used
    key: str = ""  # of the answer in the response cache; empty for a template
    surplus: bool = False  # the answer held as many texts as asked for before it


@dataclass(frozen=True)
class Rejected:
    """A text, or a whole answer, that is refused."""

    kind: str  # of the graph
    skill: str  # label
    text: str
    reason: str  # one of a few, to be counted
    detail: str
    key: str  # of the answer in the response cache


def from_answers(
    requests: Sequence[Request], responses: ResponseCache, settings: EndpointSettings
) -> tuple[list[Candidate], list[Rejected]]:
    """Returns the texts of all cached answers in the order of the requests, and the answers that cannot be read."""
    candidates, unreadable = [], []
    for request in requests:
        found = responses.answers_to(request, settings)
        if not found:
            continue
        answer = found[-1]
        try:
            texts = read_answer(answer.answer, answer.finish)
        except Unreadable as error:
            reason = ("answer cannot be read", str(error))
            unreadable.append(Rejected(request.kind, request.label, answer.answer, *reason, answer.key))
            continue
        ids = tuple(each.id for each in (*request.sentences, *request.titles))
        origin = ("language_model", answer.model, answer.prompt, ids, answer.key)
        candidates += [Candidate(request, text, *origin, n >= request.count) for n, text in enumerate(texts)]
    return candidates, unreadable


def from_templates(requests: Sequence[Request], templates: Mapping[str, list[str]], seed: int) -> list[Candidate]:
    """Fills templates, different ones for a skill, with its label and the nearest titles.

    The same seed gives the same texts for a skill, whatever else is requested. A skill without a suitable title
    gets templates without one, where there are any.
    """
    candidates = []
    for request in requests:
        lines = templates[request.kind]
        titles = _suitable(request.titles)
        if not titles:
            lines = [line for line in lines if "$title" not in line.lower()]
        draw = random.Random(f"{seed}:{request.kind}:{request.label}")
        for number, line in enumerate(draw.sample(lines, min(request.count, len(lines)))):
            title = titles[number % len(titles)] if titles else None
            gaps: dict[str, str] = {}
            for name, text in {"skill": request.label, "title": title.text if title else ""}.items():
                gaps |= {name: text, name.capitalize(): text[:1].upper() + text[1:]}
            used = (title.id,) if title and "$title" in line.lower() else ()
            text = normalise(string.Template(line).substitute(gaps))
            line_hash = hashlib.sha256(line.encode("utf-8", "surrogatepass")).hexdigest()
            candidates.append(Candidate(request, text, "template", "", line_hash, used))
    return candidates


def _suitable(titles: Sequence[Example]) -> list[Example]:
    """The titles of the skill itself, else the nearest one if it has anything in common with the skill."""
    return [each for each in titles if each.own] or [each for each in titles[:1] if each.score > 0]
