"""Options and limits of a service."""

from __future__ import annotations

import ipaddress
import math
from dataclasses import dataclass, fields
from pathlib import Path

from uwe_jax.runtime.errors import UserError


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
        for field in fields(self):
            value = getattr(self, field.name)
            least = 0 if field.type == "float" else 1
            if not least <= value < math.inf or (field.name == "deadline" and not value):
                raise UserError(f"{field.name} is {value}; it must be {least} or more, and a deadline above 0.")
        if self.max_waiting < 2 * self.max_queries:
            raise UserError(
                f"max_waiting is {self.max_waiting} and max_queries {self.max_queries}: a request for scores may have "
                f"{2 * self.max_queries} texts and could never wait. Raise max_waiting to that, or lower max_queries."
            )


@dataclass(frozen=True)
class ServiceOptions:
    """Options of a service.

    Attributes:
      model: as of `uwe_jax.models.loading.load_model`; empty for the model of the first index.
      spaces: name and place (see `open_index`) of every index; the first one is the default of a request.
      host: address to listen at.
      port: 0 for a free one.
      keys: of which a request must bring one; empty for a service without authentication.
      hosts: host names that are allowed besides those of the machine itself. If empty, all are, unless the service
        listens at a loopback address without a key, where a page of another site could otherwise ask it.
      proxies: addresses whose X-Forwarded-For is trusted.
      stop_after: seconds for requests in flight after a signal to stop.
      cache_dir: encoders; None for the user's.
      limits: of requests.
    """

    model: str
    spaces: tuple[tuple[str, str], ...]
    host: str = "127.0.0.1"
    port: int = 8000
    keys: tuple[str, ...] = ()
    hosts: tuple[str, ...] = ()
    proxies: tuple[str, ...] = ()
    stop_after: float = 30.0
    cache_dir: Path | None = None
    limits: Limits = Limits()

    @property
    def allowed_hosts(self) -> tuple[str, ...]:
        """Host names that are allowed; empty for all."""
        if not self.hosts and (self.keys or not is_loopback(self.host)):
            return ()
        return ("localhost", "127.0.0.1", "::1", self.host.strip("[]").lower(), *map(str.lower, self.hosts))


def is_loopback(host: str) -> bool:
    """Checks whether an address can be reached from this machine only.

    >>> is_loopback("localhost"), is_loopback("127.0.0.1"), is_loopback("::1"), is_loopback("0.0.0.0")
    (True, True, True, False)
    """
    try:
        return host.lower() == "localhost" or ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False
