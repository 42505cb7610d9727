"""Which texts are taken, and in which form: what no model could make anything of is refused with its position."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence

from uwe_jax.base.errors import UserError
from uwe_jax.data.text import normalise
from uwe_jax.rankers.loaded import LoadedModel

# Of one text. A model reads its first few hundred characters; longer ones are files given by mistake.
MAX_CHARACTERS = 100_000


def accepted(texts: Iterable[object], what: str, first: int = 1) -> list[str]:
    r"""Texts in the form in which they are compared, tokenised and stored.

    >>> accepted(["care  for\tpatients ", "nurse\x00"], "Query")
    ['care for patients', 'nurse']

    Args:
      texts: as they were given.
      what: what one of them is called in an error, such as "Query".
      first: the position of the first of them, for texts that come part by part.

    Raises:
      UserError: a text is empty, no text at all, not valid Unicode or longer than MAX_CHARACTERS; positions count
        from 1.
    """
    return [_accepted(text, what, position) for position, text in enumerate(texts, first)]


def _accepted(text: object, what: str, position: int) -> str:
    if not isinstance(text, str):
        raise UserError(f"{what} {position} is {text!r}, a {type(text).__name__}; it must be text (str).")
    if len(text) > MAX_CHARACTERS:
        raise UserError(
            f"{what} {position} has {len(text):,} characters; at most {MAX_CHARACTERS:,} are taken. Cut it into "
            "sentences or paragraphs and give each as a text of its own."
        )
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


def check_max_tokens(loaded: LoadedModel) -> None:
    """Raises UserError where a model's `max_tokens` leave no room for a text, or the encoder has fewer positions."""
    least, most = loaded.tokeniser.special.count + 1, loaded.model.encoder.config.max_tokens
    if not least <= loaded.max_tokens <= most:
        raise UserError(
            f"max_tokens is {loaded.max_tokens}; for the encoder of {loaded.name} it must be {least} to {most}."
        )


def target_ids(targets: Sequence[str], ids: Sequence[str] | None) -> Sequence[str]:
    """The ids of n targets: as given, or the targets themselves. Looked at before the hours that encoding may take.

    Raises:
      UserError: there is not one a target, or one stands twice.
    """
    chosen = targets if ids is None else ids
    if len(chosen) != len(targets):
        raise UserError(f"There are {len(targets):,} targets and {len(chosen):,} ids. Give one id a target.")
    if twice := [each for each, times in Counter(chosen).items() if times > 1]:
        how = "targets that stand twice, and texts are their own ids" if ids is None else "ids that stand twice"
        raise UserError(f"There are {len(twice):,} {how}, such as {twice[0]!r}. Give every target an id of its own.")
    return chosen
