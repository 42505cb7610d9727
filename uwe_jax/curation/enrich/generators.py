"""New texts to be checked: from the answers of a language model, or from templates."""

from __future__ import annotations

import hashlib
import json
import random
import re
import string
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from uwe_jax.curation.enrich.grounding import Example
from uwe_jax.curation.enrich.plan import Request
from uwe_jax.curation.enrich.response_cache import ResponseCache
from uwe_jax.curation.enrich.settings import EndpointSettings
from uwe_jax.data.text import normalise
from uwe_jax.sources.tables.values import half_pair

_FENCED = re.compile(r"```(?:json)?[ \t]*\n(.*?)\n?[ \t]*```", re.DOTALL)


@dataclass(frozen=True)
class Candidate:
    """A new text for a skill."""

    request: Request
    text: str  # normalised
    generator: str  # language_model or template
    model: str  # as the server calls it; empty for a template
    prompt_hash: str  # SHA-256 of the prompt, or of the template
    grounding: tuple[str, ...]  # ids of the real texts that were shown, or used
    answer_key: str = ""  # in the response cache; empty for a template
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


class Unreadable(Exception):
    """An answer is not in the requested form; says why in one phrase."""


def read_answer(answer: str, finish: str = "stop") -> list[str]:
    """Parses an answer: one JSON object with the key `texts` only, a non-empty list of non-empty texts.

    One Markdown fence around the whole of it is allowed, as chat models add one despite their instructions. Nothing
    else is repaired: a half-read answer would give half-written texts.

    >>> read_answer('{"texts": ["care for patients "]}')
    ['care for patients']

    Args:
      answer: of the model.
      finish: why the server ended it; length means that it was truncated.

    Raises:
      Unreadable: it has any other form.
    """
    if finish == "length":
        raise Unreadable("truncated at the maximum length of an answer (endpoint.max_tokens)")
    text = answer.strip()
    if not text:
        raise Unreadable(f"empty (finish_reason {finish})")
    if fenced := _FENCED.fullmatch(text):
        text = fenced[1]
    try:
        value = json.loads(text, object_pairs_hook=_once)
    except (ValueError, RecursionError) as error:
        raise Unreadable(f"not valid JSON ({error})") from error
    if not isinstance(value, dict):
        raise Unreadable(f"JSON {type(value).__name__} instead of an object")
    if list(value) != ["texts"]:
        raise Unreadable(f"an object with the keys {', '.join(value) or 'none'} instead of texts only")
    texts = value["texts"]
    if not isinstance(texts, list) or not texts:
        raise Unreadable("texts is not a list" if not isinstance(texts, list) else "texts is an empty list")
    for number, each in enumerate(texts, 1):
        if not isinstance(each, str):
            raise Unreadable(f"entry {number} of texts is {type(each).__name__} instead of a string")
        if half_pair(each):
            raise Unreadable(f"entry {number} of texts contains half a surrogate pair")
        if not normalise(each):
            raise Unreadable(f"entry {number} of texts is empty")
    return [normalise(each) for each in texts]


def _once(pairs: list[tuple[str, object]]) -> dict[str, object]:
    if len({key for key, _ in pairs}) < len(pairs):
        raise ValueError("duplicate key")
    return dict(pairs)


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
