"""What enrichment costs: an estimate before it starts, and a budget that what is asked has to fit into."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

from uwe_jax.curation.enrich.plan import Request
from uwe_jax.curation.enrich.prompts import Prompt
from uwe_jax.curation.enrich.response_cache import Answer
from uwe_jax.curation.enrich.settings import BudgetSettings, EndpointSettings

CHARACTERS_PER_TOKEN = 4
# Tokens of a new text of each kind with its quotes and comma, for an estimate of what is likely.
_LIKELY = {"vacancy": 35, "job": 8, "alias": 8}
_FRAME = 12  # tokens around the texts of an answer, and around the messages of a question


def estimated_tokens(text: str) -> int:
    """Tokens of a text, by four characters each: about right for English, too few for scripts of rarer characters.

    >>> estimated_tokens("plan shifts")
    3
    """
    return math.ceil(len(text) / CHARACTERS_PER_TOKEN)


def question_tokens(prompt: Prompt) -> int:
    """Estimated tokens of a question."""
    return estimated_tokens(prompt.system) + estimated_tokens(prompt.user) + _FRAME


def likely_answer_tokens(request: Request) -> int:
    """Estimated tokens of an answer that is as long as expected."""
    return _FRAME + request.count * _LIKELY[request.kind]


@dataclass(frozen=True)
class Cost:
    """Requests and tokens.

    >>> Cost(1, 600, 100) + Cost(2, 0, 50)
    Cost(requests=3, input_tokens=600, output_tokens=150)
    """

    requests: int = 0
    input_tokens: int = 0
    output_tokens: int = 0

    def __add__(self, other: Cost) -> Cost:
        return Cost(
            self.requests + other.requests,
            self.input_tokens + other.input_tokens,
            self.output_tokens + other.output_tokens,
        )

    @property
    def tokens(self) -> int:
        """Of questions and answers."""
        return self.input_tokens + self.output_tokens

    def money(self, endpoint: EndpointSettings) -> float:
        """At the prices of an endpoint."""
        return (self.input_tokens * endpoint.input_price + self.output_tokens * endpoint.output_price) / 1e6

    @classmethod
    def of(cls, answers: Iterable[Answer]) -> Cost:
        """What answers have cost."""
        return sum((cls(1, each.input_tokens, each.output_tokens) for each in answers), cls())


class Budget:
    """Keeps account of what is spent and of what requests under way may cost.

    Args:
      limits: of all runs on one folder together.
      endpoint: prices, and the greatest length of an answer.
      spent: before.
    """

    def __init__(self, limits: BudgetSettings, endpoint: EndpointSettings, spent: Cost):
        self.spent = spent
        self._limits, self._endpoint = limits, endpoint
        self._reserved = Cost()

    def at_most(self, request: Request, prompt: Prompt) -> Cost:
        """What a request may cost, by estimate: its question, and an answer of the greatest length.

        Where no greatest length is set, the likely one stands for it, and a longer answer may exceed the budget.
        """
        return Cost(1, question_tokens(prompt), self._endpoint.longest_answer() or likely_answer_tokens(request))

    def reserve(self, cost: Cost) -> str:
        """Sets aside what a request may cost.

        Returns:
          Empty where there is room for it; else what stands in the way, and nothing is set aside.
        """
        ahead = self.spent + self._reserved + cost
        for name, limit, value in (
            ("requests", self._limits.requests, ahead.requests),
            ("tokens", self._limits.tokens, ahead.tokens),
            ("money", self._limits.money, ahead.money(self._endpoint)),
        ):
            if limit and value > limit:
                return f"budget.{name} is {limit:,}, and the next request could bring it to {value:,.6g}"
        self._reserved = self._reserved + cost
        return ""

    @property
    def under_way(self) -> bool:
        """Whether anything is set aside."""
        return self._reserved.requests > 0

    def settle(self, reserved: Cost, spent: Cost) -> None:
        """Replaces what was set aside for a request by what it has cost."""
        self._reserved = self._reserved + Cost(-reserved.requests, -reserved.input_tokens, -reserved.output_tokens)
        self.spent = self.spent + spent


class NoRoom(Exception):
    """A further try of a request does not fit into the budget now."""


class Room:
    """What is set aside for one request, one try at a time.

    Args:
      budget: in which `cost` is set aside already.
      cost: of a try, at most.
    """

    def __init__(self, budget: Budget, cost: Cost):
        self._budget, self._cost = budget, cost
        self._held = True

    def hold(self) -> None:
        """Sets the cost aside once more where the try before has spent it; raises NoRoom where it does not fit."""
        if not self._held and self._budget.reserve(self._cost):
            raise NoRoom
        self._held = True

    def settle(self, spent: Cost) -> None:
        """Replaces what is set aside, if anything is, by what a try has cost."""
        if self._held:
            self._budget.settle(self._cost, spent)
            self._held = False


def cost_text(cost: Cost, endpoint: EndpointSettings) -> str:
    """A cost as a phrase; money where the endpoint has prices."""
    money = f", {cost.money(endpoint):,.4g} at the prices set" if endpoint.input_price + endpoint.output_price else ""
    return (
        f"{cost.requests:,} requests, {cost.input_tokens:,} tokens of questions and {cost.output_tokens:,} of "
        f"answers{money}"
    )


def estimate_text(requests: list[Request], settings: EndpointSettings, spent: Cost, limits: BudgetSettings) -> str:
    """What is ahead, as lines to read before it starts.

    Args:
      requests: that are to be asked.
      settings: prices, and the greatest length of an answer.
      spent: before, on the same folder.
      limits: of the budget.
    """
    questions = sum(question_tokens(each.prompt) for each in requests if each.prompt)
    likely = Cost(len(requests), questions, sum(map(likely_answer_tokens, requests)))
    lines = [f"Ahead, by estimate (a token is {CHARACTERS_PER_TOKEN} characters): {cost_text(likely, settings)}"]
    if longest := settings.longest_answer():
        most = Cost(len(requests), questions, len(requests) * longest)
        money = f", {most.money(settings):,.4g}" if settings.input_price + settings.output_price else ""
        lines.append(
            f"At most {most.output_tokens:,} tokens of answers{money}, unless answers cannot be read, or do "
            "not come, and are asked for again"
        )
    if not settings.input_price + settings.output_price:
        lines.append("endpoint.input_price and endpoint.output_price are 0: free, or what it costs is not known")
    if spent.requests:
        lines.append(f"Spent before in this folder: {cost_text(spent, settings)}")
    limited = [f"{value:,} {name}" for name, value in vars(limits).items() if value]
    lines.append(f"Budget of this folder: {', '.join(limited) or 'none set'}")
    return "\n".join(lines)
