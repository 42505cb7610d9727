"""Settings of an enrichment, as frozen dataclasses with a comment per field."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import partial
from typing import Any
from urllib.parse import urlsplit

from uwe_jax.config import PerGraph, SourceSettings
from uwe_jax.runtime.errors import UserError
from uwe_jax.runtime.json_file import parse_json
from uwe_jax.runtime.kinds import GRAPH_KINDS
from uwe_jax.runtime.optional_imports import extra_library
from uwe_jax.runtime.settings import all_within, one_of, within

ENDPOINT = "endpoint"
TEMPLATE = "template"

# Imports a module of the extra `enrich`; raises UserError where it is not installed.
library = partial(
    extra_library,
    use="Enrichment by a language model",
    extra="enrich",
    otherwise=" or fill templates offline with --config.generator=template.",
)


@dataclass(frozen=True)
class CountPerGraph:
    """One integer for each kind of graph."""

    job: int
    vacancy: int
    alias: int


@dataclass(frozen=True)
class RareSettings:
    """Selection of rare skills, in each graph separately."""

    most_edges: int = 2  # edges that a rare skill has in the graph, at most; 0 selects skills without an edge
    skills: int = 500  # per graph at most, those with the fewest edges first; 0 selects all

    def __post_init__(self) -> None:
        all_within(self, "rare.", "most_edges skills", 0)


@dataclass(frozen=True)
class GroundingSettings:
    """Real texts that a request shows as examples: the nearest to the skill."""

    ranker: str = "bm25"  # finds them: any model of `uwe-jax evaluate`, such as tfidf or all-MiniLM-L6-v2
    sentences: int = 4  # real vacancy sentences in a request
    titles: int = 4  # real job titles in a request
    aliases: int = 4  # known aliases of the skill in a request, at most
    siblings: int = 4  # nearest other skills in a request, which the new texts shall not be about
    sentence_files: tuple[str, ...] = ()  # further real sentences: text files, one per line, or folders of edge files
    title_files: tuple[str, ...] = ()  # further real titles, likewise

    def __post_init__(self) -> None:
        all_within(self, "grounding.", "sentences titles aliases siblings", 0)


@dataclass(frozen=True)
class EndpointSettings:
    """Server with OpenAI's chat completions."""

    base_url: str = "http://localhost:8000/v1"  # vLLM's; Ollama's is http://localhost:11434/v1
    model: str = ""  # as the server calls it
    api_key_variable: str = "OPENAI_API_KEY"  # environment variable with the key; unset for a server without one
    temperature: float = 0.8  # negative: not sent, the server's default
    max_tokens: int = 600  # of an answer; 0: not sent, the server's default
    json_object: bool = False  # ask the server to answer with a JSON object, where it can (response_format)
    extra_body: str = ""  # further fields of a request as a JSON object, such as {"max_completion_tokens": 900}
    concurrency: int = 8  # concurrent requests
    requests_per_minute: int = 0  # retries included; 0: no limit
    tokens_per_minute: int = 0  # of questions and answers, by the estimate; 0: no limit
    timeout: float = 120.0  # seconds for one request
    retries: int = 6  # further tries of a request that met 408, 409, 429, 5xx, a lost connection or a time-out
    first_wait: float = 1.0  # seconds before the first of them, doubled each time, with jitter; Retry-After is obeyed
    longest_wait: float = 60.0  # seconds; a server that asks for more ends the run, which can be resumed
    tries_to_read: int = 2  # of a request whose answer cannot be read
    input_price: float = 0.0  # per million tokens of a question, in any currency; 0: free or unknown
    output_price: float = 0.0  # per million tokens of an answer

    def __post_init__(self) -> None:
        all_within(self, "endpoint.", "max_tokens requests_per_minute tokens_per_minute retries", 0)
        all_within(self, "endpoint.", "input_price output_price first_wait longest_wait", 0.0)
        within("endpoint.timeout", self.timeout, 0.1)
        all_within(self, "endpoint.", "concurrency tries_to_read", 1)
        _check_address(self.base_url)
        self.extra_fields()

    def extra_fields(self) -> dict[str, Any]:
        """Parses `extra_body`; raises UserError where it is not a JSON object."""
        fields = parse_json((self.extra_body or "{}").encode(), "endpoint.extra_body", "Write it as a JSON object.")
        if not isinstance(fields, dict):
            raise UserError(f'endpoint.extra_body is {self.extra_body!r}; expected an object such as {{"top_p": 0.9}}.')
        return fields

    def longest_answer(self) -> int:
        """Returns the limit of an answer's tokens, from `max_tokens` or `extra_body`; 0: the server's own limit."""
        fields = self.extra_fields()
        limits = (self.max_tokens, fields.get("max_completion_tokens"), fields.get("max_tokens"))
        return max(limit for limit in limits if isinstance(limit, int))

    @property
    def has_prices(self) -> bool:
        """True where the cost in money is known."""
        return self.input_price + self.output_price > 0


def _check_address(base_url: str) -> None:
    if any(mark in base_url for mark in "@?#"):
        raise UserError(
            "endpoint.base_url has a user, a password or a query (one of @ ? #), which would appear in messages and "
            "reports, so it is not shown here. Give the address only, such as https://host/v1, and the key in the "
            "environment variable named by endpoint.api_key_variable."
        )
    what = f"endpoint.base_url is {base_url!r}"
    if not base_url.startswith(("http://", "https://")):
        raise UserError(f"{what}; it must begin with http:// or https://.")
    try:
        parts = urlsplit(base_url)
        valid = parts.hostname and parts.port != 0 and base_url.isprintable() and " " not in base_url
    except ValueError:
        valid = False
    if not valid:
        raise UserError(f"{what}, which is not a valid address. Expected one such as http://localhost:8000/v1.")


@dataclass(frozen=True)
class BudgetSettings:
    """Limits of all runs on one folder together; 0 sets no limit.

    A request that could exceed one is not sent. Tokens of questions, and of answers without a maximum length, are
    estimates until the server has counted them, so tokens and money may be off by the error of the last estimates.
    """

    requests: int = 0
    tokens: int = 0  # of questions and answers
    money: float = 0.0  # at the prices of the endpoint, in their currency

    def __post_init__(self) -> None:
        all_within(self, "budget.", "requests tokens money", 0)


@dataclass(frozen=True)
class CheckSettings:
    """Thresholds for new texts. Scores are those of `ranker`; of an encoder, cosines of mean-pooled tokens."""

    ranker: str = "all-MiniLM-L6-v2"  # any model of `uwe-jax evaluate`; tfidf_char without an encoder
    max_tokens: int = 64  # of a text that an encoder reads
    # Least score with its skill.
    min_score: PerGraph = field(default_factory=lambda: PerGraph(job=0.3, vacancy=0.35, alias=0.5))
    # Largest rank of its skill among all skills for the text, ...
    max_rank: CountPerGraph = field(default_factory=lambda: CountPerGraph(job=100, vacancy=20, alias=5))
    # ... and largest lead of the best other skill over it.
    max_lead: PerGraph = field(default_factory=lambda: PerGraph(job=0.4, vacancy=0.2, alias=0.1))
    max_run: int = 8  # consecutive words that make it a copy of an example of its request, or of an evaluation text
    # Share of its words that makes it a copy of an example, or of another new text for the skill: twice the common
    # words over the words of both, where both have four or more.
    max_overlap: float = 0.8
    language_certainty: float = 0.5  # probability above which another language is refused; 1 switches it off

    def __post_init__(self) -> None:
        all_within(self.max_rank, "checks.max_rank.", "job vacancy alias", 1)
        within("checks.max_run", self.max_run, 3)
        within("checks.max_overlap", self.max_overlap, 0.1, 1.0)
        within("checks.language_certainty", self.language_certainty, 0.0, 1.0)


@dataclass(frozen=True)
class EnrichmentSettings:
    """A whole enrichment."""

    out: str = "runs/enrich"  # answers, edges and their report; re-running the same command resumes
    generator: str = ENDPOINT  # endpoint: a language model; template: template files, offline
    kinds: tuple[str, ...] = ("vacancy", "job", "alias")  # graphs to enrich
    texts: CountPerGraph = field(default_factory=lambda: CountPerGraph(job=3, vacancy=4, alias=3))  # asked per skill
    language: str = "en"  # ISO 639-1 code of the new texts
    prompts: str = ""  # folder of your own prompts and templates; empty: uwe_jax/curation/enrich/prompts
    seed: int = 0  # of the order of equally rare skills, and of templates
    data: tuple[str, ...] = ()  # folders with the data of evaluation tasks, whose texts are excluded
    # Write the whole enriched graphs, to train on; without, only the new edges, to combine with their source under a
    # weight of their own.
    with_source: bool = True
    checkpoint_every: int = 200  # answers between two writes of the edges
    source: SourceSettings = field(default_factory=SourceSettings)  # of the graphs, as for training
    rare: RareSettings = field(default_factory=RareSettings)
    grounding: GroundingSettings = field(default_factory=GroundingSettings)
    endpoint: EndpointSettings = field(default_factory=EndpointSettings)
    budget: BudgetSettings = field(default_factory=BudgetSettings)
    checks: CheckSettings = field(default_factory=CheckSettings)

    def __post_init__(self) -> None:
        one_of("generator", self.generator, (ENDPOINT, TEMPLATE))
        for kind in self.kinds:
            one_of("kinds", kind, GRAPH_KINDS)
        if not self.kinds or not self.out:
            raise UserError(f"{'out' if self.kinds else 'kinds'} is empty; see configs/enrich.py for an example.")
        all_within(self.texts, "texts.", "job vacancy alias", 1)
        within("checkpoint_every", self.checkpoint_every, 1)
        if self.budget.money and not self.endpoint.has_prices:
            raise UserError(
                f"budget.money is {self.budget.money}, but endpoint.input_price and endpoint.output_price are 0, so "
                "it would never be reached. Set the prices per million tokens, or budget.tokens instead."
            )
