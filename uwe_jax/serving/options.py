"""Options, limits and API keys of a service."""

from __future__ import annotations

import functools
import hashlib
import hmac
import ipaddress
import math
import os
from collections.abc import Iterable
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Annotated

import tyro

from uwe_jax.retrieval.options import parse_index
from uwe_jax.retrieval.settings import weights_within
from uwe_jax.runtime.errors import UserError
from uwe_jax.runtime.options import OptionalInt, OptionalPath, Repeated, at_least
from uwe_jax.scoring.names import DESCRIPTION_WEIGHT, LABEL_WEIGHT

VARIABLE = "UWE_JAX_API_KEY"
_SHORTEST = 16


@dataclass(frozen=True)
class Limits:
    """Limits of one request and of all that wait.

    Attributes:
      max_body_bytes: of a request.
      max_queries: texts of a request, on either side.
      max_characters: of a text.
      max_vacancy_characters: of a vacancy, which is cut into sentences.
      max_top_k: targets of a query.
      max_waiting: texts that wait for the model, at least twice max_queries; requests beyond them are refused with 503.
      max_batch: texts of several requests that are ranked together.
      batch_wait: seconds that a batch waits for more of them, under load.
      deadline: seconds from a request to its answer; later ones are refused with 504.
      max_connections: open at once.
      rate: requests per second of one client; more are refused with 429; 0 is no limit.
    """

    max_body_bytes: int = 1 << 20
    max_queries: int = 256
    max_characters: int = 10_000
    max_vacancy_characters: int = 20_000
    max_top_k: int = 100
    max_waiting: int = 1024
    max_batch: int = 32
    batch_wait: float = 0.003
    deadline: float = 30.0
    max_connections: int = 512
    rate: float = 0.0

    def __post_init__(self):
        for each in fields(self):
            value = getattr(self, each.name)
            least = 0 if each.type == "float" else 1
            if not least <= value < math.inf or (each.name == "deadline" and not value):
                raise UserError(f"{each.name} is {value}; it must be {least} or more, and a deadline above 0.")
        if self.max_waiting < 2 * self.max_queries:
            raise UserError(
                f"max_waiting is {self.max_waiting} and max_queries {self.max_queries}: a request for scores may have "
                f"{2 * self.max_queries} texts and could never wait. Raise max_waiting to that, or lower max_queries."
            )


@dataclass(frozen=True)
class ServiceOptions:
    """Options of `uwe-jax serve`.

    Attributes:
      index: [NAME=]INDEX, the folder of an index or qdrant:STORE#NAME; may be repeated, the first is the default.
      model: a run, an export, or an encoder such as all-MiniLM-L6-v2:soft; by default the model of the first index.
      host: address to listen at.
      port: 0 takes a free one.
      api_key_file: keys, one per line, of which a request must bring one; see also the environment variable above.
      allowed_host: a name under which the service may be called; may be repeated.
      trusted_proxy: an address whose X-Forwarded-For is believed; may be repeated.
      label_weight: of the label in the score of a target with several names, 0 to 1; the rest is the best name's.
      description_weight: of the best description in the score of a target with descriptions, 0 to 1.
      words: weight of words in common, 0 to 1, which is added to the model's score for queries of at least 7 words.
      clean_queries: score queries without list bullets, gender markers such as (m/f/d) and final full stops.
      candidates: as of `uwe-jax rank`.
      skill_filter: of the sentences of a vacancy: one that is no requirement (company, benefits) has no hits. shipped
        is the filter that comes with uwe_jax for the model, or a file, as of `uwe-jax tag`; by default none.
      stop_after: seconds for requests in flight when the service is asked to stop.
      cache_dir: folder of encoders; by default $UWE_JAX_CACHE or the user's cache folder.

    Raises:
      UserError: indexes have equal names, or a key is invalid.
    """

    index: Repeated = ()
    model: str = ""
    host: str = "127.0.0.1"
    port: int = 8000
    api_key_file: OptionalPath = None
    allowed_host: Repeated = ()
    trusted_proxy: Repeated = ()
    label_weight: float = LABEL_WEIGHT
    description_weight: float = DESCRIPTION_WEIGHT
    words: float = 0.0
    clean_queries: bool = True
    candidates: OptionalInt = None
    skill_filter: str = "none"
    stop_after: float = 30.0
    cache_dir: str = ""
    limits: Annotated[Limits, tyro.conf.arg(name="")] = field(default_factory=Limits)

    def __post_init__(self):
        weights_within(self)
        at_least(1, candidates=self.candidates)
        if len(self.indexes) < len(self.index):
            raise UserError(f"--index is {', '.join(self.index)}; give every index its own name: NAME=INDEX.")
        _ = self.keys

    @functools.cached_property
    def indexes(self) -> dict[str, str]:
        """Places (see `open_index`) of the indexes by name; the first one is the default of a request."""
        return dict(map(parse_index, self.index))

    @functools.cached_property
    def keys(self) -> tuple[str, ...]:
        """Keys of which a request must bring one; empty for a service without authentication."""
        return read_keys(self.api_key_file)

    @property
    def allowed_hosts(self) -> tuple[str, ...]:
        """Host names that are allowed; empty for all.

        Without --allowed-host all are, unless the service listens at a loopback address without a key, where a page of
        another site could otherwise ask it.
        """
        if not self.allowed_host and (self.keys or not is_loopback(self.host)):
            return ()
        return ("localhost", "127.0.0.1", "::1", self.host.strip("[]").lower(), *map(str.lower, self.allowed_host))


def is_loopback(host: str) -> bool:
    """Checks whether an address can be reached from this machine only.

    >>> is_loopback("localhost"), is_loopback("127.0.0.1"), is_loopback("::1"), is_loopback("0.0.0.0")
    (True, True, True, False)
    """
    try:
        return host.lower() == "localhost" or ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False


def read_keys(path: Path | None) -> tuple[str, ...]:
    """Reads keys from a file, one per line, and from the environment variable `VARIABLE`, separated by commas.

    Several keys let one be replaced while the other still works. Lines that begin with # are comments.

    Raises:
      UserError: the file cannot be read or has no key, or a key is shorter than 16 characters or not plain ASCII.
    """
    keys = [key.strip() for key in os.environ.get(VARIABLE, "").split(",") if key.strip()]
    if path is not None:
        try:
            lines = [line.strip() for line in path.read_text(encoding="utf-8").splitlines()]
        except (OSError, UnicodeDecodeError) as error:
            raise UserError(f"--api-key-file {path} cannot be read ({error}). Name a text file of keys.") from error
        found = [line for line in lines if line and not line.startswith("#")]
        if not found:
            raise UserError(
                f"--api-key-file {path} has no key. Write one key per line, of {_SHORTEST} characters or more."
            )
        keys += found
    for key in keys:
        if len(key) < _SHORTEST or not key.isascii() or not key.isprintable() or " " in key:
            raise UserError(
                f"An API key has {len(key)} characters; it must have at least {_SHORTEST}, all of them printable ASCII "
                "without spaces. `openssl rand -hex 32` makes one."
            )
    return tuple(dict.fromkeys(keys))


def admits(keys: Iterable[str], authorization: str, api_key: str) -> bool:
    """Checks the key of the headers Authorization ("Bearer KEY") or X-API-Key, in constant time."""
    scheme, _, token = authorization.partition(" ")
    given = token.strip() if scheme.lower() == "bearer" else api_key.strip()
    digest = hashlib.sha256(given.encode("utf-8", "surrogateescape")).digest()
    return sum([hmac.compare_digest(digest, hashlib.sha256(key.encode()).digest()) for key in keys]) > 0
