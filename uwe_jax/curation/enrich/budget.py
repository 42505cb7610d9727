"""Cost of enrichment: an estimate before it starts, and a budget for everything that is asked."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from uwe_jax.curation.enrich.plan import Request
from uwe_jax.curation.enrich.response_cache import Answer
from uwe_jax.curation.enrich.settings import BudgetSettings, EndpointSettings

CHARACTERS_PER_TOKEN = 4
# Tokens of a new text of each kind with its quotes and comma, for the estimate.
_LIKELY = {"vacancy": 35, "job": 8, "alias": 8}
_FRAME = 12  # tokens around the texts of an answer, and around the messages of a question


def estimated_tokens(text: str) -> int:
    """Estimates tokens by four characters each: about right for English, too few for other scripts.

    >>> estimated_tokens("plan shifts")
    3
    """
    return math.ceil(len(text) / CHARACTERS_PER_TOKEN)


@dataclass(frozen=True)
class Cost:
    """Requests and tokens."""

    requests: int = 0
    input_tokens: int = 0
    output_tokens: int = 0

    def __add__(self, other: Cost) -> Cost:
        return Cost(*(a + b for a, b in zip(dataclasses.astuple(self), dataclasses.astuple(other), strict=True)))

    def __neg__(self) -> Cost:
        return Cost(*(-each for each in dataclasses.astuple(self)))

    @property
    def tokens(self) -> int:
        """Tokens of questions and answers."""
        return self.input_tokens + self.output_tokens

    def money(self, endpoint: EndpointSettings) -> float:
        """Returns the cost at the prices of an endpoint."""
        return (self.input_tokens * endpoint.input_price + self.output_tokens * endpoint.output_price) / 1e6

    @classmethod
    def of(cls, answers: Iterable[Answer]) -> Cost:
        """Returns the total cost of answers."""
        return sum((cls(1, each.input_tokens, each.output_tokens) for each in answers), cls())

    @classmethod
    def likely(cls, request: Request) -> Cost:
        """Estimates a request with an answer of the expected length."""
        question = estimated_tokens(request.prompt.system) + estimated_tokens(request.prompt.user) + _FRAME
        return cls(1, question, _FRAME + request.count * _LIKELY[request.kind])


class Budget:
    """Tracks what is spent, in earlier runs on the same folder too, and what pending requests may cost."""

    def __init__(self, limits: BudgetSettings, endpoint: EndpointSettings, spent: Cost):
        self.spent = spent
        self._limits, self._endpoint = limits, endpoint
        self._reserved = Cost()

    def at_most(self, request: Request) -> Cost:
        """Estimates a request with an answer of the maximum length; of the expected one where none is set."""
        likely = Cost.likely(request)
        return dataclasses.replace(likely, output_tokens=self._endpoint.longest_answer() or likely.output_tokens)

    def reserve(self, cost: Cost) -> str:
        """Reserves the cost of a request; returns the limit it would exceed, empty where it is reserved."""
        ahead = self.spent + self._reserved + cost
        for name, value in {
            "requests": ahead.requests,
            "tokens": ahead.tokens,
            "money": ahead.money(self._endpoint),
        }.items():
            limit = getattr(self._limits, name)
            if limit and value > limit:
                return f"budget.{name} is {limit:,}, and the next request could bring it to {value:,.6g}"
        self._reserved += cost
        return ""

    @property
    def under_way(self) -> bool:
        """True while anything is reserved."""
        return self._reserved.requests > 0

    def settle(self, reserved: Cost, spent: Cost) -> None:
        """Replaces a reservation by the actual cost."""
        self._reserved += -reserved
        self.spent += spent


class OverBudget(Exception):
    """Another try of a request exceeds the budget at the moment."""


class Reservation:
    """A reservation for one request, one try at a time; `cost` is already reserved in the budget."""

    def __init__(self, budget: Budget, cost: Cost):
        self._budget, self._cost = budget, cost
        self._held = True

    def hold(self) -> None:
        """Reserves the cost again where the previous try has spent it; raises OverBudget."""
        if not self._held and self._budget.reserve(self._cost):
            raise OverBudget
        self._held = True

    def settle(self, spent: Cost) -> None:
        """Replaces the reservation, if any, by the actual cost of a try."""
        if self._held:
            self._budget.settle(self._cost, spent)
            self._held = False


def cost_text(cost: Cost, endpoint: EndpointSettings) -> str:
    """Formats a cost; with money where the endpoint has prices."""
    money = f", {cost.money(endpoint):,.4g} at the prices set" if endpoint.has_prices else ""
    return (
        f"{cost.requests:,} requests, {cost.input_tokens:,} tokens of questions and {cost.output_tokens:,} of "
        f"answers{money}"
    )


def estimate_text(requests: Sequence[Request], settings: EndpointSettings, spent: Cost, limits: BudgetSettings) -> str:
    """Formats the estimate of pending requests, what was spent before on the same folder, and the budget."""
    likely = sum(map(Cost.likely, requests), Cost())
    lines = [f"Pending, by estimate (a token is {CHARACTERS_PER_TOKEN} characters): {cost_text(likely, settings)}"]
    if longest := settings.longest_answer():
        most = dataclasses.replace(likely, output_tokens=len(requests) * longest)
        money = f", {most.money(settings):,.4g}" if settings.has_prices else ""
        lines.append(f"At most {most.output_tokens:,} tokens of answers{money}, plus requests that have to be repeated")
    if not settings.has_prices:
        lines.append("endpoint.input_price and endpoint.output_price are 0: free, or the price is unknown")
    if spent.requests:
        lines.append(f"Spent before in this folder: {cost_text(spent, settings)}")
    limited = [f"{value:,} {name}" for name, value in vars(limits).items() if value]
    lines.append(f"Budget of this folder: {', '.join(limited) or 'none set'}")
    return "\n".join(lines)
