"""Cost of enrichment: an estimate before it starts, and a budget for everything that is asked."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence

from uwe_jax.curation.enrich.plan import Request
from uwe_jax.curation.enrich.response_cache import Cost
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


def likely_cost(request: Request) -> Cost:
    """Estimates a request with an answer of the expected length."""
    question = estimated_tokens(request.prompt.system) + estimated_tokens(request.prompt.user) + _FRAME
    return Cost(1, question, _FRAME + request.count * _LIKELY[request.kind])


class Budget:
    """Tracks what is spent, in earlier runs on the same folder too, and what pending requests may cost."""

    def __init__(self, limits: BudgetSettings, endpoint: EndpointSettings, spent: Cost):
        self.spent = spent
        self._limits, self._endpoint = limits, endpoint
        self._reserved: list[Cost] = []

    def at_most(self, request: Request) -> Cost:
        """Estimates a request with an answer of the maximum length; of the expected one where none is set."""
        likely = likely_cost(request)
        return dataclasses.replace(likely, output_tokens=self._endpoint.longest_answer() or likely.output_tokens)

    def reserve(self, cost: Cost) -> str:
        """Reserves the cost of a request; returns the limit it would exceed, empty where it is reserved."""
        ahead = sum(self._reserved, self.spent + cost)
        for name, value in {
            "requests": ahead.requests,
            "tokens": ahead.tokens,
            "money": ahead.money(self._endpoint),
        }.items():
            limit = getattr(self._limits, name)
            if limit and value > limit:
                return f"budget.{name} is {limit:,}, and the next request could bring it to {value:,.6g}"
        self._reserved.append(cost)
        return ""

    @property
    def under_way(self) -> bool:
        """True while anything is reserved."""
        return bool(self._reserved)

    def settle(self, reserved: Cost, spent: Cost) -> None:
        """Replaces a reservation by the actual cost."""
        self._reserved.remove(reserved)
        self.spent += spent


def cost_text(cost: Cost, endpoint: EndpointSettings) -> str:
    """Formats a cost; with money where the endpoint has prices."""
    money = f", {cost.money(endpoint):,.4g} at the prices set" if endpoint.has_prices else ""
    return (
        f"{cost.requests:,} requests, {cost.input_tokens:,} tokens of questions and {cost.output_tokens:,} of "
        f"answers{money}"
    )


def estimate_text(requests: Sequence[Request], settings: EndpointSettings, spent: Cost, limits: BudgetSettings) -> str:
    """Formats the estimate of pending requests, what was spent before on the same folder, and the budget."""
    likely = sum(map(likely_cost, requests), Cost())
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
