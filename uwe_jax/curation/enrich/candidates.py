"""New texts on their way: where each is from, and what becomes of it."""

from __future__ import annotations

from dataclasses import dataclass

from uwe_jax.curation.enrich.plan import Request


@dataclass(frozen=True)
class Candidate:
    """A new text for a skill.

    Attributes:
      request: that it answers.
      text: normalised.
      generator: language_model or template.
      model: as the server calls it; empty for a template.
      prompt_hash: SHA-256 of the prompt, or of the template.
      grounding: ids of the real texts that were shown, or used.
      key: of the answer in the ledger; empty for a template.
      surplus: whether the answer held as many texts as asked for before it.
    """

    request: Request
    text: str
    generator: str
    model: str
    prompt_hash: str
    grounding: tuple[str, ...]
    key: str = ""
    surplus: bool = False


@dataclass(frozen=True)
class Accepted:
    """A text that is taken.

    Attributes:
      candidate: with the text.
      score_skill: of the text with its skill.
      score_sibling: of the text with the best other skill.
      sibling: label of that skill.
      rank: of its skill among all skills for the text, from 1 on.
    """

    candidate: Candidate
    score_skill: float
    score_sibling: float
    sibling: str
    rank: int


@dataclass(frozen=True)
class Rejected:
    """A text, or a whole answer, that is not taken.

    Attributes:
      kind: of the graph.
      skill: label.
      text: or the answer.
      reason: one of a few, to be counted.
      detail: what was found.
      key: of the answer in the ledger.
    """

    kind: str
    skill: str
    text: str
    reason: str
    detail: str
    key: str
