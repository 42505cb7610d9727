"""Limits of texts, indexes and `max_tokens`: input that no model could use is refused with its position."""

from __future__ import annotations

import logging
import math
from collections.abc import Iterable
from numbers import Integral, Real

from uwe_jax.data.text import normalise
from uwe_jax.models.loaded import LoadedModel
from uwe_jax.retrieval.store.searchable import Origin, Searchable
from uwe_jax.retrieval.store.stored_targets import Index
from uwe_jax.runtime.errors import UserError
from uwe_jax.runtime.settings import within
from uwe_jax.scoring.ragged import is_pooled
from uwe_jax.scoring.scorer_text import scorer_text

LOG = logging.getLogger(__name__)
# Of one text. A model reads its first few hundred characters; longer ones are files given by mistake.
MAX_CHARACTERS = 100_000
# A text, normalised, or the error of one that is refused.
Accepted = str | UserError


def accepted(texts: str | Iterable[object], what: str) -> list[str]:
    r"""Returns texts in the form in which they are compared, tokenised and stored; one text is a list of one.

    >>> accepted(["care  for\tpatients ", "nurse\x00"], "Query")
    ['care for patients', 'nurse']

    Args:
      texts: raw input.
      what: the name of one of them in an error, such as "Query".

    Raises:
      UserError: a text is empty, not a string, not valid Unicode or longer than MAX_CHARACTERS; positions count from 1.
    """
    listed = [texts] if isinstance(texts, str) else texts
    return [_accepted(text, what, position) for position, text in enumerate(listed, 1)]


def judge(text: object, what: str, position: int) -> Accepted:
    r"""Returns one text as `accepted` does, or the error where it is refused.

    >>> judge(" head\tchef\n", "Query", 1), str(judge(" \x00 ", "Query", 2)).partition(";")[0]
    ('head chef', 'Query 2 is empty')
    """
    try:
        return _accepted(text, what, position)
    except UserError as error:
        return error


def _accepted(text: object, what: str, position: int) -> str:
    if not isinstance(text, str):
        raise UserError(f"{what} {position} is {text!r}, a {type(text).__name__}; it must be text (str).")
    if len(text) > MAX_CHARACTERS:
        raise UserError(too_long(what, position, len(text)))
    normal = normalise(text)
    if not normal:
        raise UserError(f"{what} {position} is empty; it must hold text. Fill it or leave it out.")
    if not normal.isascii():
        try:
            normal.encode()
        except UnicodeEncodeError as error:
            raise UserError(
                f"{what} {position} is not valid Unicode: character {error.start + 1} is half of a pair "
                f"({normal[error.start]!r}). Read it with the encoding that it was written in."
            ) from error
    return normal


def too_long(what: str, position: int, characters: int) -> str:
    """Returns the error of a text of more than MAX_CHARACTERS."""
    return (
        f"{what} {position} has {characters:,} characters; at most {MAX_CHARACTERS:,} are allowed. Split it into "
        "sentences or paragraphs."
    )


def check_limits(top_k: object, batch: object, min_score: object, min_probability: object) -> None:
    """Raises UserError unless the numbers of a call from Python are whole, or finite or None for thresholds."""
    for name, number in (("top_k", top_k), ("batch", batch)):
        if not isinstance(number, Integral):
            raise UserError(f"{name} is {number!r}; it must be a whole number.")
        within(name, int(number), 1)
    for name, least in (("min_score", min_score), ("min_probability", min_probability)):
        if least is not None and not (isinstance(least, Real) and math.isfinite(least)):
            raise UserError(f"{name} is {least!r}; it must be a finite number, or None to keep all hits.")


def check_index(own: Origin, made: Origin, top_k: int, place: str = "") -> None:
    """Raises UserError unless the model `own` can rank `top_k` targets of the index `made`, at a place."""
    before = f"{place}: " if place else ""
    within(f"{before}top_k", top_k, 1)
    if made.fingerprint != own.fingerprint:
        raise UserError(
            f"{before}The index was encoded by {made.model} ({made.fingerprint}), the queries by {own.model} "
            f"({own.fingerprint}). Load the model of the index, or encode its targets with this one."
        )
    if is_pooled(made.scorer.kind, query=False) and not is_pooled(own.scorer.kind, query=False):
        raise UserError(
            f"{before}The index holds one mean per target, for the scorer {scorer_text(made.scorer)} of {made.model}; "
            f"{own.model} scores by {scorer_text(own.scorer)}, which reads every token. Encode the targets with it."
        )


def note_scorer(own: Origin, made: Origin, place: str) -> None:
    """Logs a warning where the model of an index, at a place, scores otherwise now than when it was built."""
    before, now = (scorer_text(each.scorer, digits=4) for each in (made, own))
    if before != now:
        LOG.warning(
            f"{place} was built with the scorer {before}, and is ranked by {now}, the scorer of {own.model}. To rank "
            f"by the former one, name it with --model ENCODER:{before}."
        )


def check_words(words: float, space: Searchable, place: str = "") -> None:
    """Raises UserError where targets that are elsewhere, at a place, are to be ranked by words."""
    if words and not isinstance(space, Index):
        raise UserError(
            f"{f'{place}: ' if place else ''}words is {words}, but Qdrant does not hold the words of all targets. Give "
            "an index on disk, or 0 for words."
        )


def check_max_tokens(loaded: LoadedModel) -> None:
    """Raises UserError where a model's `max_tokens` leave no room for a text, or its encoder has fewer positions."""
    least, most = loaded.tokeniser.special.count + 1, loaded.model.encoder.config.max_tokens
    if not least <= loaded.max_tokens <= most:
        raise UserError(
            f"max_tokens is {loaded.max_tokens}; for the encoder of {loaded.name} it must be {least} to {most}."
        )
