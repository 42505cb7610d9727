"""Language identification of new texts, by py3langid (a naive Bayes model of byte n-grams for 97 languages)."""

from __future__ import annotations

import functools
from typing import Any

from uwe_jax.curation.enrich.settings import library
from uwe_jax.evaluation.lexical import words
from uwe_jax.runtime.errors import UserError

# The language of shorter texts cannot be identified.
LEAST_WORDS = 4


@functools.cache
def _identifier() -> Any:
    langid = library("py3langid.langid")
    return langid.LanguageIdentifier.from_model_file(langid.MODEL_FILE, norm_probs=True)


class LanguageCheck:
    """Recognises texts in another language at a probability above `certainty`.

    Raises:
      UserError: the library is not installed, or does not know the language (an ISO 639-1 code).
    """

    def __init__(self, language: str, certainty: float):
        self._identifier = _identifier()
        self._language, self._certainty = language, certainty
        if language not in self._identifier.labels:
            raise UserError(
                f"language is {language!r}, which is not recognised. Expected one of "
                f"{', '.join(sorted(self._identifier.labels))}; checks.language_certainty=1 switches the check off."
            )

    def wrong(self, text: str) -> str:
        """Returns the other language of a text with its probability; empty for none, or too few words."""
        if len(words(text)) < LEAST_WORDS:
            return ""
        language, probability = self._identifier.classify(text)
        if language == self._language or probability <= self._certainty:
            return ""
        return f"{language} at {probability:.2f}"
