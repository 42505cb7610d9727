"""What stands in an answer of a language model, read strictly."""

from __future__ import annotations

import json
import re

from uwe_jax.data.text import normalise
from uwe_jax.sources.tables.values import half_pair

_FENCED = re.compile(r"```(?:json)?[ \t]*\n(.*?)\n?[ \t]*```", re.DOTALL)


class Unreadable(Exception):
    """An answer is not what was asked for; in one phrase."""


def read_answer(answer: str, finish: str = "stop") -> list[str]:
    """The texts of an answer: one JSON object with the key `texts` alone, a list of texts of which none is empty.

    One Markdown fence around the whole of it is allowed, as chat models add one whatever they are told. Nothing else is
    mended: a half-read answer would give half-written texts.

    >>> read_answer('{"texts": ["care for patients "]}')
    ['care for patients']

    Args:
      answer: of the model.
      finish: why the server ended it; length means that it was cut off.

    Raises:
      Unreadable: it is anything else.
    """
    if finish == "length":
        raise Unreadable("cut off at the greatest length of an answer (endpoint.max_tokens)")
    text = answer.strip()
    if not text:
        raise Unreadable(f"empty (finish_reason {finish})")
    if fenced := _FENCED.fullmatch(text):
        text = fenced[1]
    try:
        value = json.loads(text, object_pairs_hook=_once)
    except (ValueError, RecursionError) as error:
        raise Unreadable(f"no JSON ({error})") from error
    if not isinstance(value, dict):
        raise Unreadable(f"JSON, but {type(value).__name__} and no object")
    if list(value) != ["texts"]:
        raise Unreadable(f"an object with the keys {', '.join(value) or 'none'} instead of texts alone")
    texts = value["texts"]
    if not isinstance(texts, list) or not texts:
        raise Unreadable("texts is no list" if not isinstance(texts, list) else "texts is an empty list")
    for number, each in enumerate(texts, 1):
        if not isinstance(each, str):
            raise Unreadable(f"entry {number} of texts is {type(each).__name__} and no text")
        if half_pair(each):
            raise Unreadable(f"entry {number} of texts holds half a surrogate pair")
        if not normalise(each):
            raise Unreadable(f"entry {number} of texts is empty")
    return [normalise(each) for each in texts]


def _once(pairs: list[tuple[str, object]]) -> dict[str, object]:
    if len({key for key, _ in pairs}) < len(pairs):
        raise ValueError("a key stands twice")
    return dict(pairs)
