"""Strict parsing of a language model's answers."""

from __future__ import annotations

import json
import re

from uwe_jax.data.text import normalise
from uwe_jax.sources.tables.values import half_pair

_FENCED = re.compile(r"```(?:json)?[ \t]*\n(.*?)\n?[ \t]*```", re.DOTALL)


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
